// TCP options: `<mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>`; `<...>` is any.
// Read first: TcpOption in script.ts. Kinds: RFC 9293 section 3.2, RFC 7323, RFC 2018, RFC 7413.

import type { Scanner } from "./lexer.ts";
import type { TcpOption } from "./script.ts";

const NAME = /[A-Za-z][A-Za-z0-9_-]*/y;
const BLOCK = /[0-9]+\s*:/y;
const HEX = /(?:0x)?[0-9a-fA-F]+(?![A-Za-z0-9_])/y;
const NUMBER = /[0-9]{1,3}(?![A-Za-z0-9_])/y;
const COOKIE = /[A-Za-z0-9_]+/y;
const ANYTHING = -1;
/** The longest option has 40 bytes, kind and length among them. */
const DATA_MAX = 38;
const KIND_EXPERIMENT = 254;

/** Names of options that scripts use and that are not carried out: of TCP-MD5, Accurate ECN, MPTCP, TCP-AO. */
const REFUSED = /^(?:md5|ao|tcp_ao|ECN|exp-?ecn|accecn\w*|dss|mp_?\w+|(?:add|rm|remove)_?addr\w*)$/i;

type OptionParser = (scanner: Scanner) => TcpOption;

const OPTIONS: ReadonlyMap<string, OptionParser> = new Map<string, OptionParser>([
  ["nop", () => ({ kind: "nop" })],
  ["eol", () => ({ kind: "eol" })],
  ["mss", (scanner) => ({ kind: "mss", mss: scanner.unsigned("a segment size", 0xffff) })],
  ["wscale", (scanner) => ({ kind: "wscale", shift: scanner.unsigned("a shift", 0xff) })],
  ["sackOK", () => ({ kind: "sackOK" })],
  ["sack", parseSack],
  ["TS", parseTimestamp],
  ["FO", (scanner) => ({ kind: "fastopen", cookie: parseCookie(scanner), experimental: false })],
  ["FOEXP", (scanner) => ({ kind: "fastopen", cookie: parseCookie(scanner), experimental: true })],
  ["unknown", (scanner) => parseUnknown(scanner)],
  ["kind", (scanner) => parseUnknown(scanner)],
  ["exp", (scanner) => parseUnknown(scanner, KIND_EXPERIMENT)],
]);

/** Takes options with their brackets. @returns undefined for `<...>` */
export function parseOptions(scanner: Scanner): TcpOption[] | undefined {
  scanner.expect("<");
  if (scanner.accept("...")) {
    scanner.expect(">", "after <...");
    return undefined;
  }
  const options: TcpOption[] = [];
  if (scanner.accept(">")) return options;
  do options.push(parseOption(scanner));
  while (scanner.accept(","));
  scanner.expect(">", 'or a "," after a TCP option');
  return options;
}

function parseOption(scanner: Scanner): TcpOption {
  const at = scanner.next();
  const what = `a TCP option (${[...OPTIONS.keys()].join(", ")})`;
  const name = scanner.match(NAME) ?? scanner.fail(what);
  const parse = OPTIONS.get(name);
  if (parse !== undefined) return parse(scanner);
  if (!REFUSED.test(name)) scanner.fail(what, at);
  return { kind: "refused", name, text: `${name} ${scanner.until(",>", "the end of the option")}`.trimEnd() };
}

function parseSack(scanner: Scanner): TcpOption {
  const blocks: [left: number, right: number][] = [];
  do {
    const left = scanner.unsigned("the edges of a SACK block, such as 1001:2001");
    scanner.expect(":", "between the edges of the block");
    blocks.push([left, scanner.unsigned("the right edge of the block")]);
  } while (scanner.lookAhead(BLOCK) !== undefined);
  return { kind: "sack", blocks };
}

function parseTimestamp(scanner: Scanner): TcpOption {
  if (!scanner.acceptWord("val")) scanner.fail('"val" and the timestamp');
  const value = parseTick(scanner);
  if (!scanner.acceptWord("ecr")) scanner.fail('"ecr" and the timestamp that is echoed');
  return { kind: "timestamp", value, echo: parseTick(scanner) };
}

function parseTick(scanner: Scanner): number {
  if (scanner.accept("*") || scanner.accept("...")) return ANYTHING;
  return scanner.unsigned("a timestamp, or * for any");
}

function parseCookie(scanner: Scanner): Uint8Array {
  const at = scanner.next();
  const word = scanner.match(COOKIE);
  if (word === undefined) return new Uint8Array();
  if (!/^(?:0x)?[0-9a-fA-F]+$/.test(word)) {
    scanner.fail(`a cookie in hexadecimal digits; if ${word} is a symbol, define it: -D ${word}=...`, at);
  }
  return bytes(scanner, word, at);
}

/** `unknown 253 0x1234`, or `exp 0x1234` for the kind that experiments use. */
function parseUnknown(scanner: Scanner, kindOtherwise?: number): TcpOption {
  const at = scanner.next();
  const number = Number(scanner.match(NUMBER) ?? kindOtherwise ?? scanner.fail("the kind of the option, 0 to 255"));
  if (number > 255) scanner.fail("the kind of the option, 0 to 255", at);
  const atData = scanner.next();
  const hex = scanner.match(HEX);
  return { kind: "unknown", number, data: hex === undefined ? new Uint8Array() : bytes(scanner, hex, atData) };
}

function bytes(scanner: Scanner, text: string, at: number): Uint8Array {
  const digits = text.replace(/^0x/, "");
  if (digits.length % 2 !== 0) scanner.fail("an even number of hexadecimal digits", at);
  if (digits.length > 2 * DATA_MAX) scanner.fail(`at most ${DATA_MAX} bytes: an option has no room for more`, at);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

// ICMP packets: `icmp unreachable frag_needed mtu 1000 [5001:6001(1000)]`.
// Read first: icmp-names.ts; IcmpPacket in script.ts.

import { ICMP_CODES, ICMP_TYPES, ICMPV6_NAMES } from "./icmp-names.ts";
import type { Scanner } from "./lexer.ts";
import { parseSequence } from "./parse-tcp.ts";
import type { IcmpPacket, TcpQuote, UdpQuote } from "./script.ts";

const TYPE_NUMBER = /^type_([0-9]{1,3})$/;
const CODE_NUMBER = /^code_([0-9]{1,3})$/;
const QUOTE = /\[\s*(?:[0-9]|udp\b|tcp\b|seq\b)/y;
/** Words that stand behind the code. */
const DETAILS = new Set(["mtu", "id", "seq"]);
const U16_MAX = 0xffff;

/** Whether a quoted packet comes next, `[1:1001(1000)]` or `[udp (100)]`. */
export function peekQuote(scanner: Scanner): boolean {
  return scanner.lookAhead(QUOTE) !== undefined;
}

/** Takes what stands behind the word "icmp". @param quoted what was written before it, as the first scripts had it */
export function parseIcmp(scanner: Scanner, quoted?: IcmpPacket["quoted"]): IcmpPacket {
  const icmpType = parseType(scanner);
  const packet: IcmpPacket = { protocol: "icmp", icmpType, icmpCode: parseCode(scanner, icmpType) };
  if (quoted !== undefined) packet.quoted = quoted;
  for (;;) {
    if (scanner.acceptWord("mtu")) packet.mtu = scanner.unsigned("an MTU in bytes", U16_MAX);
    else if (scanner.acceptWord("id")) packet.id = scanner.unsigned("an identifier", U16_MAX);
    else if (scanner.acceptWord("seq")) packet.sequence = scanner.unsigned("a sequence number", U16_MAX);
    else if (scanner.peek("(")) packet.payload = parseLength(scanner);
    else if (peekQuote(scanner)) packet.quoted = parseQuote(scanner);
    else return packet;
  }
}

/** Takes a quoted packet in brackets. */
export function parseQuote(scanner: Scanner): TcpQuote | UdpQuote {
  scanner.expect("[");
  let quote: TcpQuote | UdpQuote;
  if (scanner.acceptWord("udp")) quote = { protocol: "udp", payload: parseLength(scanner) };
  else {
    if (!scanner.acceptWord("tcp")) scanner.acceptWord("seq");
    quote = { protocol: "tcp", ...parseSequence(scanner) };
  }
  scanner.expect("]", "to close the quoted packet");
  return quote;
}

/** Takes `(bytes)`. */
export function parseLength(scanner: Scanner): number {
  scanner.expect("(", "before the bytes of payload");
  const length = scanner.unsigned("the bytes of payload", U16_MAX);
  scanner.expect(")", "after the bytes of payload");
  return length;
}

function parseType(scanner: Scanner): number {
  const at = scanner.next();
  const name = scanner.word("the type of the ICMP message, such as unreachable or type_3");
  if (ICMPV6_NAMES.has(name)) scanner.refuse(`${name}, which is a message of ICMPv6: Oribi speaks IPv4`, at);
  return ICMP_TYPES.get(name) ?? numbered(scanner, TYPE_NUMBER, name, at, ICMP_TYPES, "a type");
}

function parseCode(scanner: Scanner, icmpType: number): number {
  const at = scanner.next();
  const name = scanner.peekWord();
  if (name === "" || DETAILS.has(name)) return 0;
  scanner.word("a code");
  if (ICMPV6_NAMES.has(name)) scanner.refuse(`${name}, which is a code of ICMPv6: Oribi speaks IPv4`, at);
  const names = ICMP_CODES.get(icmpType);
  return names?.get(name) ?? numbered(scanner, CODE_NUMBER, name, at, names ?? new Map(), "a code");
}

function numbered(
  scanner: Scanner,
  pattern: RegExp,
  name: string,
  at: number,
  names: ReadonlyMap<string, number>,
  what: string,
): number {
  const number = Number(pattern.exec(name)?.[1] ?? NaN);
  if (number <= 255) return number;
  const kind = what.endsWith("type") ? "type_N" : "code_N";
  return scanner.fail(`${what} of ICMP: ${[...names.keys(), `${kind} with N up to 255`].join(", ")}`, at);
}

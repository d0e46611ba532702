// Arguments and results of system calls: numbers, symbols, strings, `...`, lists, structures.
// Read first: Value in script.ts. Names stand for themselves here: the runner knows what O_NONBLOCK is.

import type { Scanner } from "./lexer.ts";
import type { Member, Value } from "./script.ts";

const INTEGER = /-?(?:0x[0-9a-fA-F]+|[0-9]+)(?![A-Za-z0-9_.])/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const MEMBER = /[A-Za-z_][A-Za-z0-9_]*[ \t\r\n]*(?:\([ \t]*(?:[0-9]+|\.\.\.)[ \t]*\)[ \t\r\n]*)?=/y;
const MEMBER_PARTS = /^([A-Za-z0-9_]+)(?:[^(]*\([ \t]*([0-9]+)[ \t]*\))?/;
/** Lists in structures in lists: more than any structure of a system call has, and less than fills the stack. */
const DEPTH_MAX = 24;

/** Takes a value. @param what names it in errors */
export function parseValue(scanner: Scanner, what: string, depth = 0): Value {
  if (depth > DEPTH_MAX) scanner.fail(`no more than ${DEPTH_MAX} lists and structures in one another`);
  const first = parsePart(scanner, what, depth);
  if (!scanner.peek("|")) return first;
  const names = [...orParts(scanner, first)];
  while (scanner.accept("|")) names.push(...orParts(scanner, parsePart(scanner, "a symbol or number after |", depth)));
  return { kind: "symbols", names };
}

/** Takes what stands between parentheses, up to and with the closing one. */
export function parseArguments(scanner: Scanner, depth = 0): Value[] {
  scanner.expect("(", "before the arguments");
  return parseItems(scanner, ")", "an argument", depth);
}

function orParts(scanner: Scanner, value: Value): (string | number)[] {
  if (value.kind === "symbols") return value.names;
  if (value.kind === "integer") return [value.value];
  return scanner.fail("symbols or numbers on both sides of |");
}

function parsePart(scanner: Scanner, what: string, depth: number): Value {
  if (scanner.accept("...")) return { kind: "any" };
  if (scanner.accept("[")) return { kind: "list", items: parseItems(scanner, "]", "an item of the list", depth) };
  if (scanner.accept("{")) return { kind: "struct", members: parseMembers(scanner, depth) };
  const text = scanner.string();
  if (text !== undefined) {
    return scanner.accept("...") ? { kind: "string", value: text, prefix: true } : { kind: "string", value: text };
  }
  const at = scanner.next();
  const integer = scanner.match(INTEGER);
  if (integer !== undefined) return { kind: "integer", value: toNumber(scanner, integer, at) };
  const name = scanner.match(NAME) ?? scanner.fail(what);
  if (!scanner.peek("(")) return { kind: "symbols", names: [name] };
  return { kind: "call", name, arguments: parseArguments(scanner, depth + 1) };
}

/** Decimal, 0x hexadecimal, or octal with a leading 0 as in C. */
function toNumber(scanner: Scanner, text: string, at: number): number {
  const negative = text.startsWith("-");
  const digits = negative ? text.slice(1) : text;
  const value = /^0[0-7]+$/.test(digits) ? parseInt(digits, 8) : Number(digits);
  if (!Number.isSafeInteger(value)) scanner.fail("an integer of at most 2^53 - 1", at);
  return negative ? -value : value;
}

function parseItems(scanner: Scanner, close: string, what: string, depth: number): Value[] {
  const items: Value[] = [];
  if (scanner.accept(close)) return items;
  do items.push(parseValue(scanner, what, depth + 1));
  while (scanner.accept(","));
  scanner.expect(close, `or a "," after ${what}`);
  return items;
}

function parseMembers(scanner: Scanner, depth: number): Member[] {
  const members: Member[] = [];
  if (scanner.accept("}")) return members;
  do members.push(parseMember(scanner, depth));
  while (scanner.accept(",") && !scanner.peek("}"));
  scanner.expect("}", 'or a "," after a member of the structure');
  return members;
}

function parseMember(scanner: Scanner, depth: number): Member {
  const head = scanner.match(MEMBER);
  if (head === undefined) {
    return { name: "", value: parseValue(scanner, "a member of the structure, name=value or a value", depth + 1) };
  }
  const [, name = "", count] = MEMBER_PARTS.exec(head) ?? [];
  const value = parseValue(scanner, `the value of ${name}`, depth + 1);
  return count === undefined ? { name, value } : { name, count: Number(count), value };
}

// The values of system calls: names become numbers, what came back is compared with what is written.
// Read first: script.ts (Value); names.ts.

import { scanAddress } from "../posix/address.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import { numberOf } from "./names.ts";
import type { Member, Value } from "./script.ts";

/** Is it `...`, which stands for anything? */
export function isAny(value: Value | undefined): boolean {
  return value === undefined || value.kind === "any";
}

/** Is it the null pointer? */
export function isNull(value: Value | undefined): boolean {
  return value?.kind === "symbols" && value.names.length === 1 && value.names[0] === "NULL";
}

/** The number that a value stands for: an integer, names put together, htons(), inet_addr(). */
export function toNumber(value: Value, line: number, what: string): number {
  switch (value.kind) {
    case "integer":
      return value.value;
    case "symbols":
      return value.names.reduce<number>((sum, name) => sum | (typeof name === "number" ? name : named(name, line)), 0);
    case "call":
      return called(value.name, value.arguments, line);
    case "list":
      // `[1]` is a pointer to a number.
      if (value.items.length === 1) return toNumber(value.items[0] as Value, line, what);
      break;
    default:
      break;
  }
  throw new ScriptFailure(line, `${what} is ${describe(value)}; expected a number`);
}

function named(name: string, line: number): number {
  const number = numberOf(name);
  if (number === undefined) throw new ScriptRefusal(line, `the name ${name} is not known`);
  return number;
}

function called(name: string, values: readonly Value[], line: number): number {
  const [argument] = values;
  if (argument !== undefined) {
    // Ports and addresses are host-order numbers everywhere here.
    if (["htons", "ntohs", "htonl", "ntohl"].includes(name)) return toNumber(argument, line, name);
    if (name === "inet_addr" && argument.kind === "string") {
      const address = scanAddress(argument.value);
      if (address >= 0) return address;
      throw new ScriptFailure(line, `inet_addr("${argument.value}") is no IPv4 address`);
    }
  }
  throw new ScriptRefusal(line, `the function ${name}() is not supported in arguments`);
}

/** The members of a structure by name. */
export function membersOf(value: Value, line: number, what: string): Map<string, Member> {
  if (value.kind !== "struct") throw new ScriptFailure(line, `${what} is ${describe(value)}; expected a structure`);
  return new Map(value.members.map((member) => [member.name, member]));
}

/** The items of a list. */
export function itemsOf(value: Value, line: number, what: string): readonly Value[] {
  if (value.kind !== "list") throw new ScriptFailure(line, `${what} is ${describe(value)}; expected a list`);
  return value.items;
}

/** Compares a number that came back with what is written, if anything is. */
export function compareNumber(value: Value | undefined, came: number, line: number, what: string): void {
  if (value === undefined || isAny(value)) return;
  const expected = toNumber(value, line, what);
  // Scripts write 64-bit and unsigned numbers as well as negative ones.
  if (expected === came || expected >>> 0 === came >>> 0) return;
  throw new ScriptFailure(line, `${what}: expected ${written(value, expected)}, got ${came}`);
}

/** A number as the script writes it. */
function written(value: Value, number: number): string {
  if (value.kind === "list" && value.items.length === 1) return written(value.items[0] as Value, number);
  if (value.kind !== "symbols") return String(number);
  return `${value.names.join("|")} (${number})`;
}

/** What a value is, for messages. */
export function describe(value: Value): string {
  switch (value.kind) {
    case "integer":
      return String(value.value);
    case "symbols":
      return value.names.join("|");
    case "string":
      return JSON.stringify(value.value);
    case "any":
      return "...";
    case "list":
      return "a list";
    case "struct":
      return "a structure";
    case "call":
      return `${value.name}(...)`;
  }
}

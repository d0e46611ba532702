// The functions and methods that Python code of scripts may call.
// Read first: Python Library Reference, "Built-in Functions".

import { fixed } from "./digits.ts";
import { Mistake } from "./error.ts";
import { format, truncate } from "./format.ts";
import { isSequence, numeric, order, repr, str, truth, typeName, binary } from "./values.ts";
import type { PyValue } from "./values.ts";

type Builtin = (values: readonly PyValue[]) => PyValue;

const DECIMAL = /^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$/;
const DECIMAL_INT = /^\s*([-+]?)([0-9]+)\s*$/;
const ANY_INT = /^\s*([-+]?)(?:0[xob])?([0-9a-f]+)\s*$/i;
const FIELD = /\{\{|\}\}|\{([A-Za-z0-9_]*)(?:!([rsa]))?(?::([^{}]*))?\}|[{}]/g;

const BUILTINS: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["abs", ([value = null]) => magnitude(value)],
  ["min", (values) => extreme("min", values, -1)],
  ["max", (values) => extreme("max", values, 1)],
  ["sum", ([value = null, start = 0n]) => itemsOf(value).reduce((sum, item) => binary("+", sum, item), start)],
  ["int", ([value = 0n, base]) => toInt(value, base)],
  ["float", ([value = 0]) => toFloat(value)],
  ["bool", ([value = null]) => truth(value)],
  ["str", ([value = ""]) => str(value)],
  ["repr", ([value = null]) => repr(value)],
  ["len", ([value = null]) => BigInt(typeof value === "string" ? [...value].length : itemsOf(value).length)],
  ["round", ([value = null, digits]) => round(value, digits)],
  ["hex", ([value = null]) => format(integer(value), "#x")],
  ["bin", ([value = null]) => format(integer(value), "#b")],
  ["oct", ([value = null]) => format(integer(value), "#o")],
  ["tuple", ([value = null]) => ({ tuple: true, items: itemsOf(value) })],
  ["list", ([value = null]) => ({ tuple: false, items: itemsOf(value) })],
  ["sorted", ([value = null]) => ({ tuple: false, items: itemsOf(value).toSorted((a, b) => order(a, b)) })],
  ["any", ([value = null]) => itemsOf(value).some(truth)],
  ["all", ([value = null]) => itemsOf(value).every(truth)],
  ["divmod", ([a = null, b = null]) => ({ tuple: true, items: [binary("//", a, b), binary("%", a, b)] })],
  ["pow", ([a = null, b = null]) => binary("**", a, b)],
  ["format", ([value = null, spec = ""]) => format(value, str(spec))],
]);

/** Calls a function. @throws {Mistake} when there is none of this name in the subset, or the values do not suit it */
export function callBuiltin(name: string, values: readonly PyValue[]): PyValue {
  const builtin = BUILTINS.get(name);
  if (builtin === undefined) {
    throw new Mistake(`not supported in %{ }%: ${name}(); there are ${[...BUILTINS.keys()].join(", ")}`, "refused");
  }
  return builtin(values);
}

/** Calls a method of a string. @throws {Mistake} like callBuiltin */
export function callMethod(
  object: PyValue,
  name: string,
  values: readonly PyValue[],
  named: ReadonlyMap<string, PyValue>,
): PyValue {
  if (typeof object === "string") {
    if (name === "format") return formatFields(object, values, named);
    if (name === "strip") return object.trim();
    if (name === "upper") return object.toUpperCase();
    if (name === "lower") return object.toLowerCase();
    if (name === "startswith") return object.startsWith(str(values[0] ?? ""));
    if (name === "endswith") return object.endsWith(str(values[0] ?? ""));
    if (name === "join")
      return itemsOf(values[0] ?? null)
        .map(str)
        .join(object);
  }
  throw new Mistake(`not supported in %{ }%: the method ${name}() of ${typeName(object)}`, "refused");
}

function formatFields(text: string, values: readonly PyValue[], named: ReadonlyMap<string, PyValue>): string {
  let next = 0;
  return text.replace(
    FIELD,
    (all: string, key: string | undefined, conversion: string | undefined, spec: string | undefined) => {
      if (all === "{{" || all === "}}") return all[0]!;
      if (key === undefined) throw new Mistake("ValueError: Single brace encountered in format string");
      const value = /^[0-9]*$/.test(key) ? values[key === "" ? next++ : Number(key)] : named.get(key);
      if (value === undefined) throw new Mistake(`IndexError: nothing for {${key}} of the format string`);
      return format(convert(value, conversion ?? ""), spec ?? "");
    },
  );
}

/** `!r`, `!s` or `!a` in a replacement field. */
export function convert(value: PyValue, conversion: string): PyValue {
  if (conversion === "") return value;
  return conversion === "s" ? str(value) : repr(value);
}

function itemsOf(value: PyValue): readonly PyValue[] {
  if (isSequence(value)) return value.items;
  if (typeof value === "string") return [...value];
  throw new Mistake(`TypeError: '${typeName(value)}' object is not iterable`);
}

function magnitude(value: PyValue): PyValue {
  const number = numeric(value);
  if (number === undefined) throw new Mistake(`TypeError: bad operand type for abs(): '${typeName(value)}'`);
  return number < 0 ? -number : number;
}

function extreme(name: string, values: readonly PyValue[], sign: number): PyValue {
  const items = values.length === 1 ? itemsOf(values[0]!) : values;
  const first = items[0];
  if (first === undefined) throw new Mistake(`ValueError: ${name}() of nothing`);
  return items.reduce((best, item) => (order(item, best) * sign > 0 ? item : best), first);
}

function integer(value: PyValue): bigint {
  const number = numeric(value);
  if (typeof number !== "bigint") throw new Mistake(`TypeError: '${typeName(value)}' object is not an integer`);
  return number;
}

function toInt(value: PyValue, base: PyValue | undefined): bigint {
  if (typeof value === "string") return parseInteger(value, base === undefined ? 10n : integer(base));
  const number = numeric(value);
  if (number === undefined) throw new Mistake(`TypeError: int() cannot take '${typeName(value)}'`);
  return typeof number === "number" ? truncate(number) : number;
}

function parseInteger(text: string, base: bigint): bigint {
  const prefix = { 2: "0b", 8: "0o", 10: "", 16: "0x" }[Number(base)];
  const [, sign, digits = ""] = (base === 10n ? DECIMAL_INT : ANY_INT).exec(text) ?? [];
  try {
    if (prefix === undefined || digits === "") throw new SyntaxError("not a number");
    const value = BigInt(prefix + digits);
    return sign === "-" ? -value : value;
  } catch {
    throw new Mistake(`ValueError: invalid literal for int() with base ${base}: ${repr(text)}`);
  }
}

function toFloat(value: PyValue): number {
  const number = typeof value === "string" && DECIMAL.test(value) ? Number(value) : numeric(value);
  if (number === undefined) {
    throw new Mistake(`ValueError: could not convert to float: ${repr(value)}`);
  }
  return Number(number);
}

function roundTo(value: number, places: number): number {
  if (!Number.isFinite(value)) return value;
  const size = Number(fixed(Math.abs(value), places));
  return value < 0 ? -size : size;
}

/** Rounds half to even, as Python does. */
function round(value: PyValue, digits: PyValue | undefined): PyValue {
  const number = numeric(value);
  if (number === undefined) throw new Mistake(`TypeError: type ${typeName(value)} doesn't define round()`);
  if (digits !== undefined && digits !== null) {
    const places = Number(integer(digits));
    if (places < 0) throw new Mistake("round() to tens and hundreds", "refused");
    return typeof number === "bigint" ? number : roundTo(number, Math.min(places, 100));
  }
  if (typeof number === "bigint") return number;
  const floor = Math.floor(number);
  const rest = number - floor;
  if (Number.isNaN(rest)) return truncate(number);
  return BigInt(rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1);
}

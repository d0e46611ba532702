// Python's values and what its operators do with them: ints are bigints, floats are numbers.
// Read first: The Python Language Reference, section 6 (floor division, comparisons of unlike types).

import { Mistake } from "./error.ts";

export type PyValue = bigint | number | string | boolean | null | PySequence;

/** A tuple or a list. */
export interface PySequence {
  tuple: boolean;
  items: readonly PyValue[];
}

/** Bits of the largest int and characters of the longest string that an operator makes: code must end soon. */
const BITS_MAX = 4096n;
const LENGTH_MAX = 100_000;

export function isSequence(value: PyValue): value is PySequence {
  return typeof value === "object" && value !== null;
}

export function typeName(value: PyValue): string {
  if (value === null) return "NoneType";
  if (isSequence(value)) return value.tuple ? "tuple" : "list";
  return { bigint: "int", number: "float", string: "str", boolean: "bool" }[
    typeof value as "bigint" | "number" | "string" | "boolean"
  ];
}

export function truth(value: PyValue): boolean {
  if (isSequence(value)) return value.items.length > 0;
  return Boolean(value);
}

/** A value as `str()` shows it. */
export function str(value: PyValue): string {
  return typeof value === "string" ? value : repr(value);
}

/** A value as `repr()` shows it. */
export function repr(value: PyValue): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return floatText(value);
  if (typeof value === "string") return quoted(value);
  const inner = value.items.map(repr).join(", ");
  if (!value.tuple) return `[${inner}]`;
  return value.items.length === 1 ? `(${inner},)` : `(${inner})`;
}

function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  const text = Object.is(value, -0) ? "-0" : String(value);
  return text.includes(".") ? text : `${text}.0`;
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t").replaceAll("\r", "\\r");
  return quote + escaped.replaceAll(quote, `\\${quote}`) + quote;
}

/** The number that arithmetic takes, or undefined: True and False are 1 and 0. */
export function numeric(value: PyValue): bigint | number | undefined {
  if (typeof value === "boolean") return value ? 1n : 0n;
  return typeof value === "bigint" || typeof value === "number" ? value : undefined;
}

// ---- Operators ----------------------------------------------------------------------------------------------------

export function unary(operator: string, operand: PyValue): PyValue {
  if (operator === "not") return !truth(operand);
  const value = numeric(operand);
  if (value !== undefined && operator === "-") return -value;
  if (value !== undefined && operator === "+") return value;
  if (typeof value === "bigint" && operator === "~") return ~value;
  throw new Mistake(`TypeError: bad operand type for unary ${operator}: '${typeName(operand)}'`);
}

/** Every operator of two values except %, of which strings have their own: format.ts. */
export function binary(operator: string, left: PyValue, right: PyValue): PyValue {
  const [a, b] = [numeric(left), numeric(right)];
  if (typeof left === "boolean" && typeof right === "boolean" && /^[&|^]$/.test(operator)) {
    return operator === "&" ? left && right : operator === "|" ? left || right : left !== right;
  }
  if (a !== undefined && b !== undefined) {
    const result = typeof a === "bigint" && typeof b === "bigint" ? ofInts(operator, a, b) : ofFloats(operator, a, b);
    if (result !== undefined) return result;
  } else if (operator === "+") {
    const sum = concatenate(left, right);
    if (sum !== undefined) return sum;
  } else if (operator === "*") {
    const product = typeof b === "bigint" ? repeat(left, b) : typeof a === "bigint" ? repeat(right, a) : undefined;
    if (product !== undefined) return product;
  }
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  throw new Mistake(`TypeError: unsupported operand type(s) for ${operator}: ${types}`);
}

function ofInts(operator: string, a: bigint, b: bigint): PyValue | undefined {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return bounded(bits(a) + bits(b), () => a * b);
    case "/":
      return divideInts(a, b);
    case "//":
      return floorDivide(a, b);
    case "%":
      return a - floorDivide(a, b) * b;
    case "**":
      return b < 0n ? powerOfFloats(Number(a), Number(b)) : bounded(bits(a) * b, () => a ** b);
    case "&":
      return a & b;
    case "|":
      return a | b;
    case "^":
      return a ^ b;
    case "<<":
      return bounded(bits(a) + shiftCount(b), () => a << b);
    case ">>":
      return a >> shiftCount(b);
    default:
      return undefined;
  }
}

function ofFloats(operator: string, left: bigint | number, right: bigint | number): number | undefined {
  const [a, b] = [Number(left), Number(right)];
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / notZero(b);
    case "//":
      return floorDivideFloats(a, notZero(b));
    case "%": {
      const rest = a % notZero(b);
      if (rest === 0) return b < 0 ? -0 : 0;
      return rest < 0 !== b < 0 ? rest + b : rest;
    }
    case "**":
      return powerOfFloats(a, b);
    default:
      return undefined;
  }
}

/** Ints of any size, so not by way of two floats that may both be infinite. */
function divideInts(a: bigint, b: bigint): number {
  if (b === 0n) throw new Mistake("ZeroDivisionError: division by zero");
  const shift = bits(b) > 1000n ? bits(b) - 1000n : 0n;
  return Number(a >> shift) / Number(b >> shift);
}

function floorDivide(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new Mistake("ZeroDivisionError: integer division or modulo by zero");
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}

/** By way of the remainder, which is exact: 1 // 0.1 is 9.0. */
function floorDivideFloats(a: number, b: number): number {
  const rest = a % b;
  const quotient = (a - rest) / b - (rest !== 0 && rest < 0 !== b < 0 ? 1 : 0);
  if (quotient === 0) return a < 0 !== b < 0 ? -0 : 0;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function powerOfFloats(a: number, b: number): number {
  if (a === 0 && b < 0) throw new Mistake("ZeroDivisionError: 0.0 cannot be raised to a negative power");
  const power = a ** b;
  if (!Number.isFinite(power) && Number.isFinite(a) && Number.isFinite(b) && !Number.isNaN(power)) {
    throw new Mistake("OverflowError: numerical result out of range");
  }
  if (Number.isNaN(power) && !Number.isNaN(a) && !Number.isNaN(b)) {
    throw new Mistake("complex numbers are not part of the subset of Python", "refused");
  }
  return power;
}

function notZero(value: number): number {
  if (value === 0) throw new Mistake("ZeroDivisionError: float division by zero");
  return value;
}

function shiftCount(count: bigint): bigint {
  if (count < 0n) throw new Mistake("ValueError: negative shift count");
  return count;
}

function bits(value: bigint): bigint {
  return BigInt((value < 0n ? -value : value).toString(16).length) * 4n;
}

function bounded(size: bigint, compute: () => bigint): bigint {
  if (size > BITS_MAX + 8n) throw new Mistake(`an int of more than ${BITS_MAX} bits`, "refused");
  return compute();
}

function concatenate(left: PyValue, right: PyValue): PyValue | undefined {
  if (typeof left === "string" && typeof right === "string") return checked(left.length + right.length, left + right);
  if (!isSequence(left) || !isSequence(right) || left.tuple !== right.tuple) return undefined;
  checked(left.items.length + right.items.length, "");
  return { tuple: left.tuple, items: [...left.items, ...right.items] };
}

function repeat(value: PyValue, times: bigint): PyValue | undefined {
  if (typeof value !== "string" && !isSequence(value)) return undefined;
  const count = Number(times < 0n ? 0n : times);
  const length = typeof value === "string" ? value.length : value.items.length;
  checked(length * count, "");
  if (typeof value === "string") return value.repeat(length === 0 ? 0 : count);
  if (length === 0) return { tuple: value.tuple, items: [] };
  return { tuple: value.tuple, items: Array.from({ length: count }, () => value.items).flat() };
}

function checked(length: number, text: string): string {
  if (length > LENGTH_MAX) throw new Mistake(`strings and lists of more than ${LENGTH_MAX} items`, "refused");
  return text;
}

// ---- Comparisons --------------------------------------------------------------------------------------------------

export function compare(operator: string, left: PyValue, right: PyValue): boolean {
  switch (operator) {
    case "==":
      return equal(left, right);
    case "!=":
    case "<>":
      return !equal(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    case "is":
      return identical(left, right);
    case "is not":
      return !identical(left, right);
    default:
      return ordered(operator, left, right);
  }
}

export function equal(left: PyValue, right: PyValue): boolean {
  const [a, b] = [numeric(left), numeric(right)];
  // An int and a float may be equal: neither is below the other, and neither is NaN.
  if (a !== undefined && b !== undefined) return a <= b && a >= b;
  if (isSequence(left) && isSequence(right)) {
    const others = right.items;
    return (
      left.tuple === right.tuple &&
      left.items.length === others.length &&
      left.items.every((item, index) => equal(item, others[index]!))
    );
  }
  return left === right;
}

function identical(left: PyValue, right: PyValue): boolean {
  return typeof left === typeof right && equal(left, right);
}

function contains(container: PyValue, value: PyValue): boolean {
  if (isSequence(container)) return container.items.some((item) => equal(item, value));
  if (typeof container === "string" && typeof value === "string") return container.includes(value);
  throw new Mistake(`TypeError: argument of type '${typeName(container)}' is not iterable`);
}

/** Less, equal or more: below, at or above 0; NaN when there is no order. @throws {Mistake} for unlike types */
export function order(left: PyValue, right: PyValue, operator = "<"): number {
  const [a, b] = [numeric(left), numeric(right)];
  if (a !== undefined && b !== undefined) return a < b ? -1 : a > b ? 1 : a <= b ? 0 : NaN;
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : left > right ? 1 : 0;
  if (isSequence(left) && isSequence(right) && left.tuple === right.tuple) {
    const length = Math.min(left.items.length, right.items.length);
    for (let i = 0; i < length; i++) {
      if (!equal(left.items[i]!, right.items[i]!)) return order(left.items[i]!, right.items[i]!, operator);
    }
    return left.items.length - right.items.length;
  }
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  throw new Mistake(`TypeError: '${operator}' not supported between instances of ${types}`);
}

function ordered(operator: string, left: PyValue, right: PyValue): boolean {
  const sign = order(left, right, operator);
  if (operator === "<") return sign < 0;
  if (operator === "<=") return sign <= 0;
  return operator === ">" ? sign > 0 : sign >= 0;
}

// Numbers and strings made into text: '%d' % x, '{:5.1f}'.format(x) and f-strings.
// Read first: Python Library Reference, "printf-style String Formatting" and "Format Specification Mini-Language".

import { fixed, scientific } from "./digits.ts";
import { Mistake } from "./error.ts";
import { isSequence, numeric, repr, str, typeName } from "./values.ts";
import type { PyValue } from "./values.ts";

interface Spec {
  fill: string;
  align: string;
  sign: string;
  alternate: boolean;
  width: number;
  comma: boolean;
  precision: number | undefined;
  type: string;
}

const PERCENT = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d{0,4})(?:\.(\*|\d{0,3}))?[hlL]?(.?)/gs;
const SPEC = /^(?:(.)?([<>=^]))?([-+ ]?)(#?)(0?)(\d{0,4})(,?)(?:\.(\d{1,3}))?([a-zA-Z%]?)$/s;
const PRECISION_MAX = 100;

/** `text % values`. */
export function percent(text: string, values: PyValue): string {
  const items = isSequence(values) && values.tuple ? [...values.items] : [values];
  let next = 0;
  const take = (): PyValue => {
    if (next >= items.length) throw new Mistake("TypeError: not enough arguments for format string");
    return items[next++]!;
  };
  const size = (written: string | undefined): number | undefined => {
    if (written === "*") return toInt(take());
    return written === undefined ? undefined : Number(written || "0");
  };
  const made = text.replace(
    PERCENT,
    (_all, key: string | undefined, flags: string, width: string, precision: string | undefined, type: string) => {
      if (key !== undefined) throw new Mistake("'%(name)s' with a dictionary", "refused");
      if (type === "%") return "%";
      if (type === "") throw new Mistake("ValueError: incomplete format");
      const spec: Spec = {
        fill: flags.includes("0") && !flags.includes("-") ? "0" : " ",
        align: flags.includes("-") ? "<" : flags.includes("0") ? "=" : ">",
        sign: flags.includes("+") ? "+" : flags.includes(" ") ? " " : "-",
        alternate: flags.includes("#"),
        width: size(width) ?? 0,
        comma: false,
        precision: size(precision),
        type,
      };
      return percentItem(take(), spec);
    },
  );
  if (next < items.length && isSequence(values)) {
    throw new Mistake("TypeError: not all arguments converted during string formatting");
  }
  if (next === 0 && !isSequence(values)) {
    throw new Mistake("TypeError: not all arguments converted during string formatting");
  }
  return made;
}

function percentItem(value: PyValue, spec: Spec): string {
  switch (spec.type) {
    case "s":
    case "r":
    case "a": {
      const text = spec.type === "s" ? str(value) : repr(value);
      return pad(text.slice(0, spec.precision), { ...spec, fill: " ", align: spec.align === "<" ? "<" : ">" });
    }
    case "c":
      return pad(typeof value === "string" ? value : String.fromCodePoint(toInt(value)), spec);
    case "d":
    case "i":
    case "u": {
      const number = numeric(value);
      if (number === undefined) throw new Mistake(`TypeError: %${spec.type} format: a number is required`);
      const whole = typeof number === "number" ? truncate(number) : number;
      return formatInt(whole, { ...spec, type: "d" });
    }
    default:
      return formatNumber(value, spec);
  }
}

/** `format(value, text)`, which is also what stands behind the colon in `{:5d}`. */
export function format(value: PyValue, text: string): string {
  if (text === "") return str(value);
  const match = SPEC.exec(text);
  if (match === null) throw new Mistake(`ValueError: Invalid format specifier '${text}'`);
  const [, fill, align, sign, alternate, zero, width, comma, precision, type = ""] = match;
  const isText = numeric(value) === undefined;
  const spec: Spec = {
    fill: fill ?? (zero ? "0" : " "),
    align: align ?? (zero && !isText ? "=" : isText ? "<" : ">"),
    sign: sign || "-",
    alternate: alternate !== "",
    width: Number(width || "0"),
    comma: comma !== "",
    precision: precision === undefined ? undefined : Number(precision),
    type,
  };
  if (isText) {
    if (typeof value !== "string" || !/^s?$/.test(type) || sign || comma || align === "=") {
      throw new Mistake(`ValueError: Invalid format specifier '${text}' for object of type '${typeName(value)}'`);
    }
    return pad(str(value).slice(0, spec.precision), spec);
  }
  return formatNumber(value, spec);
}

function formatNumber(value: PyValue, spec: Spec): string {
  const number = numeric(value);
  if (number === undefined) throw new Mistake(`TypeError: must be real number, not ${typeName(value)}`);
  if (typeof number === "bigint" && /^[dxXobn]?$/.test(spec.type)) return formatInt(number, spec);
  const size = Number(number);
  const text = floatDigits(Math.abs(size), spec);
  return signed(size < 0 || Object.is(size, -0), spec.comma ? grouped(text) : text, spec);
}

function formatInt(value: bigint, spec: Spec): string {
  const radix = { x: 16, X: 16, o: 8, b: 2 }[spec.type] ?? 10;
  let digits = (value < 0n ? -value : value).toString(radix);
  if (spec.type === "X") digits = digits.toUpperCase();
  digits = digits.padStart(Math.min(spec.precision ?? 0, PRECISION_MAX), "0");
  if (spec.comma) digits = grouped(digits);
  if (spec.alternate && radix !== 10) digits = `0${spec.type}${digits}`;
  return signed(value < 0n, digits, spec);
}

function floatDigits(value: number, { type, precision, alternate }: Spec): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : "inf";
  const places = Math.min(precision ?? 6, PRECISION_MAX);
  switch (type) {
    case "f":
    case "F":
      return fixed(value, places);
    case "%":
      return `${fixed(value * 100, places)}%`;
    case "e":
    case "E": {
      const text = scientific(value, places);
      return type === "E" ? text.toUpperCase() : text;
    }
    case "g":
    case "G":
    case "n":
      return general(value, places || 1, alternate);
    case "":
      return precision === undefined ? repr(value) : general(value, places || 1, alternate);
    default:
      throw new Mistake(`ValueError: unsupported format character '${type}'`);
  }
}

/** %g: as many significant digits, without zeros at the end, with an exponent for the very large and small. */
function general(value: number, digits: number, alternate: boolean): string {
  const text = scientific(value, digits - 1);
  const power = Number(text.slice(text.indexOf("e") + 1));
  if (power >= -4 && power < digits) {
    const plain = fixed(value, digits - 1 - power);
    return alternate || !plain.includes(".") ? plain : plain.replace(/\.?0+$/, "");
  }
  return alternate || !text.includes(".") ? text : text.replace(/\.?0+e/, "e");
}

function grouped(digits: string): string {
  const [whole = "", fraction] = digits.split(".");
  const text = whole.replace(/\B(?=(?:\d{3})+$)/g, ",");
  return fraction === undefined ? text : `${text}.${fraction}`;
}

function signed(negative: boolean, digits: string, spec: Spec): string {
  const sign = negative ? "-" : spec.sign === "-" ? "" : spec.sign;
  if (spec.align !== "=") return pad(sign + digits, spec);
  return sign + digits.padStart(spec.width - sign.length, spec.fill);
}

function pad(text: string, { fill, align, width }: Spec): string {
  const missing = width - text.length;
  if (missing <= 0) return text;
  if (align === "<") return text + fill.repeat(missing);
  if (align !== "^") return fill.repeat(missing) + text;
  const before = missing >> 1;
  return fill.repeat(before) + text + fill.repeat(missing - before);
}

function toInt(value: PyValue): number {
  if (typeof value !== "bigint" || value < 0n || value > 10_000n) {
    throw new Mistake("TypeError: an int is required, from 0 to 10000");
  }
  return Number(value);
}

/** A float without its fraction. */
export function truncate(value: number): bigint {
  if (!Number.isFinite(value)) throw new Mistake(`ValueError: cannot convert float ${repr(value)} to integer`);
  return BigInt(Math.trunc(value));
}

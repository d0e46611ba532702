// Options of commands: a typed table that says what there is, and the reading of arguments by it.
// Read first: node:util parseArgs; units.ts for the values.

import { parseArgs } from "node:util";
import { CliError } from "./errors.ts";
import { nearest } from "./suggest.ts";

/** One option. One without `form` and `parse` is a flag: true when given. */
export interface Option<T = unknown> {
  /** What its value looks like in the help, for example "SHARE". */
  form?: string;
  description: string;
  /** What is read when the option is not given, as a person would type it. */
  default?: string;
  /** A single letter, for `-l`. */
  short?: string;
  /** May be given several times: what is read is all values, with commas between. */
  many?: boolean;
  /** Reads the value; throws a CliError (its message may be empty) when it cannot. */
  parse?: (text: string) => T;
}

/** Options by their long names. */
export type OptionTable = Record<string, Option>;

/** What a command gets for an option: a flag's boolean, a value, or undefined for a value not given. */
export type OptionValue<O extends Option> = O extends { parse: (text: string) => infer T }
  ? O extends { default: string }
    ? T
    : T | undefined
  : boolean;

/** The arguments of a command, read. */
export interface Arguments<O extends OptionTable = OptionTable> {
  options: { [Name in keyof O]: OptionValue<O[Name]> };
  /** Arguments that are no options. */
  operands: string[];
  /** Names of the options that were given, not defaulted. */
  given: ReadonlySet<string>;
}

/** Options that every command has. */
export const COMMON_OPTIONS = {
  help: { short: "h", description: "print this help" },
} satisfies OptionTable;

/** What `command` takes besides options. */
export interface Shape<O extends OptionTable> {
  name: string;
  options: O;
  /** Names of the operands, for example ["SCRIPT"]; the last may end in "..." and stand for any number. */
  operands?: readonly string[];
}

/**
 * Reads the arguments of a command.
 * @throws CliError for an unknown option, a missing or bad value, too many operands
 */
export function parseArguments<O extends OptionTable>(shape: Shape<O>, args: readonly string[]): Arguments<O> {
  const { options } = shape;
  const texts = new Map<string, string>();
  const operands: string[] = [];
  for (const token of tokensOf(options, args)) {
    if (token.kind === "positional") {
      operands.push(token.value);
    } else if (token.kind === "option") {
      const text = checkedText(shape, token);
      const before = options[token.name]?.many === true ? texts.get(token.name) : undefined;
      texts.set(token.name, before === undefined ? text : `${before},${text}`);
    }
  }
  checkOperands(shape, operands);
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const text = texts.get(name) ?? option.default;
    if (option.parse === undefined) values[name] = texts.has(name);
    else values[name] = text === undefined ? undefined : parsed(option, name, text);
  }
  return { options: values as Arguments<O>["options"], operands, given: new Set(texts.keys()) };
}

interface OptionToken {
  kind: "option";
  name: string;
  rawName: string;
  value: string | undefined;
  inlineValue: boolean | undefined;
}

type Token = OptionToken | { kind: "positional"; value: string } | { kind: "option-terminator" };

function tokensOf(options: OptionTable, args: readonly string[]): Token[] {
  const table: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const [name, option] of Object.entries({ ...options, ...COMMON_OPTIONS } as OptionTable)) {
    const type = option.parse === undefined ? "boolean" : "string";
    table[name] = option.short === undefined ? { type } : { type, short: option.short };
  }
  // Not strict: the errors of parseArgs do not say what to do.
  const read = parseArgs({ args: [...args], options: table, strict: false, allowPositionals: true, tokens: true });
  return read.tokens as Token[];
}

/** The text of an option's value, checked for what parseArgs lets pass when it is not strict. */
function checkedText<O extends OptionTable>(shape: Shape<O>, token: OptionToken): string {
  const { name, rawName, value, inlineValue } = token;
  const option = shape.options[name];
  if (option === undefined) throw unknownOption(shape, rawName);
  const form = option.form ?? "VALUE";
  if (option.parse === undefined) {
    if (inlineValue === true) throw new CliError(`${rawName} takes no value, but has "${value}"`);
    return "";
  }
  // "-5" may be a number; "--loss --delay" is a value forgotten.
  const forgotten = value === undefined || (inlineValue !== true && /^-(?![\d.])./.test(value));
  if (forgotten) {
    const expected = `${rawName} ${form}: ${option.description}`;
    throw new CliError(value === undefined ? `${rawName} has no value` : `${rawName} has no value before ${value}`, {
      expected,
    });
  }
  return value;
}

function unknownOption<O extends OptionTable>(shape: Shape<O>, rawName: string): CliError {
  const names = [...Object.keys(shape.options), ...Object.keys(COMMON_OPTIONS)];
  const meant = nearest(rawName.replace(/^-+/, ""), names);
  const help = `see: oribi ${shape.name} --help`;
  const hint = meant === undefined ? help : `did you mean --${meant}? (${help})`;
  return new CliError(`${rawName} is no option of "oribi ${shape.name}"`, { hint });
}

function checkOperands<O extends OptionTable>(shape: Shape<O>, operands: readonly string[]): void {
  const names = shape.operands ?? [];
  const endless = names.at(-1)?.endsWith("...") === true;
  if (operands.length <= names.length || endless) return;
  const extra = operands[names.length]!;
  const expected = names.length === 0 ? "options only" : names.join(" ");
  const meant = nearest(extra, Object.keys(shape.options));
  const help = `see: oribi ${shape.name} --help`;
  throw new CliError(`"${extra}" is one argument too many`, {
    expected,
    hint: meant === undefined ? help : `did you mean --${meant}? (${help})`,
  });
}

function parsed(option: Option, name: string, text: string): unknown {
  try {
    return option.parse!(text);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const { message, expected, hint, exitStatus, cause } = error;
    const words = message === "" ? `--${name} is "${text}"` : `--${name}: ${message}`;
    throw new CliError(words, { expected, hint, exitStatus, cause });
  }
}

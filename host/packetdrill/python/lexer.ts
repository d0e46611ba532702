// Cuts Python code into tokens, with the newlines and indentations that matter.
// Read first: The Python Language Reference, chapter 2.

import { PythonError } from "./error.ts";
import type { CodePlace } from "./error.ts";

export interface Token {
  type: "name" | "number" | "string" | "operator" | "newline" | "indent" | "dedent" | "end";
  /** As it is written; of a string without its quotes and with its escapes resolved. */
  text: string;
  line: number;
  /** Offsets in the code. */
  from: number;
  to: number;
  /** Of a string: the letters before its quotes, in lower case. */
  prefix?: string;
}

/** Digits of the longest number: no counter has as many. */
const DIGITS_MAX = 1000;
const BLANKS = /[ \t\f\r]*(?:#[^\n]*)?/y;
const INDENTATION = /[ \t]*/y;
const CONTINUATION = /\\(?:\r?\n|\s*$)/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER =
  /0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?/y;
const QUOTE = /([rRbBuUfF]{0,2})("""|'''|"|')/y;
const OPERATOR = /\*\*=|\/\/=|<<=|>>=|\*\*|\/\/|<<|>>|<=|>=|==|!=|<>|->|:=|[-+*/%&|^]=|[-+*/%&|^~<>=()[\]{},:.;@]/y;
const ESCAPES: Record<string, string> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "\n": "",
};

/** @throws {PythonError} for characters and strings that are not Python */
export function tokenize(code: string, place: CodePlace): Token[] {
  return new Lexer(code, place).run();
}

class Lexer {
  private readonly tokens: Token[] = [];
  /** Columns of the blocks that are open; the outermost is where the code starts. */
  private readonly indents: number[] = [];
  private at = 0;
  private line: number;
  private brackets = 0;

  constructor(
    private readonly code: string,
    private readonly place: CodePlace,
  ) {
    this.line = place.line;
  }

  run(): Token[] {
    let lineStart = true;
    for (;;) {
      if (lineStart && this.brackets === 0) this.indentation();
      lineStart = false;
      this.at += this.taste(BLANKS)!.length;
      if (this.at >= this.code.length) break;
      if (this.code[this.at] === "\n") {
        this.newline();
        lineStart = true;
      } else if (!this.continuation()) this.token();
    }
    this.newline();
    for (; this.indents.length > 1; this.indents.pop()) this.push("dedent", "");
    this.push("end", "");
    return this.tokens;
  }

  /** Takes a backslash at the end of a line, or at the very end of the code. */
  private continuation(): boolean {
    const text = this.taste(CONTINUATION);
    if (text === undefined) return false;
    this.at += text.length;
    this.line++;
    return true;
  }

  private taste(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    return pattern.exec(this.code)?.[0];
  }

  private push(type: Token["type"], text: string, length = 0, prefix?: string): void {
    const token: Token = { type, text, line: this.line, from: this.at, to: this.at + length };
    this.tokens.push(prefix === undefined ? token : { ...token, prefix });
    this.at += length;
  }

  private newline(): void {
    const last = this.tokens.at(-1)?.type;
    const ends =
      this.brackets === 0 && last !== undefined && last !== "newline" && last !== "indent" && last !== "dedent";
    if (ends) this.push("newline", "");
    if (this.at < this.code.length) {
      this.at++;
      this.line++;
    }
  }

  /** Opens and closes blocks by the column of a line that says something. */
  private indentation(): void {
    const blanks = this.taste(INDENTATION)!;
    const rest = this.taste(BLANKS)!;
    const following = this.code[this.at + rest.length];
    if (following === undefined || following === "\n") return;
    // Code that begins behind "%{" on its line stands in no column: it is in line with the next statement.
    if (this.at === 0 && blanks === "") return;
    const column = blanks.length;
    if (this.indents.length === 0) this.indents.push(this.opensBlock() ? 0 : column);
    if (column > this.indents.at(-1)!) {
      this.indents.push(column);
      this.push("indent", "");
      return;
    }
    while (this.indents.length > 1 && column < this.indents.at(-1)!) {
      this.indents.pop();
      this.push("dedent", "");
    }
    if (column !== this.indents.at(-1)) this.fail("unindent does not match any outer indentation level");
  }

  /** Whether the line before ends with a colon. */
  private opensBlock(): boolean {
    return this.tokens.at(-2)?.text === ":";
  }

  private token(): void {
    const quote = this.taste(QUOTE);
    if (quote !== undefined) return this.string(quote);
    for (const [type, pattern] of [
      ["name", NAME],
      ["number", NUMBER],
      ["operator", OPERATOR],
    ] as const) {
      const text = this.taste(pattern);
      if (text === undefined) continue;
      if (type === "operator" && "([{".includes(text)) this.brackets++;
      if (type === "operator" && ")]}".includes(text)) this.brackets = Math.max(0, this.brackets - 1);
      return this.push(type, text, text.length);
    }
    this.fail(`${JSON.stringify(this.code[this.at])} is not Python`);
  }

  private string(open: string): void {
    const prefix = open.replace(/["']/g, "").toLowerCase();
    const quote = open.slice(prefix.length);
    const raw = prefix.includes("r");
    const parts: string[] = [];
    const start = this.line;
    for (let i = this.at + open.length; i < this.code.length; i++) {
      if (this.code.startsWith(quote, i)) {
        this.push("string", parts.join(""), i + quote.length - this.at, prefix);
        return;
      }
      const character = this.code[i]!;
      if (character === "\n") {
        if (quote.length === 1) break;
        this.line++;
      }
      if (character !== "\\") parts.push(character);
      else {
        const [value, length] = raw ? [`\\${this.code[i + 1] ?? ""}`, 1] : escapeAt(this.code, i + 1);
        parts.push(value);
        i += length;
      }
    }
    this.line = start;
    this.fail("a string does not end");
  }

  private fail(reason: string): never {
    throw new PythonError({ kind: "error", file: this.place.file, line: this.line, reason: `SyntaxError: ${reason}` });
  }
}

function escapeAt(code: string, at: number): [value: string, length: number] {
  const coded = /x([0-9a-fA-F]{2})|([0-7]{1,3})/y;
  coded.lastIndex = at;
  const match = coded.exec(code);
  if (match !== null) {
    const value = match[1] === undefined ? parseInt(match[2]!, 8) : parseInt(match[1], 16);
    return [String.fromCharCode(value), match[0].length];
  }
  const character = code[at] ?? "";
  return [ESCAPES[character] ?? `\\${character}`, character.length];
}

/** The value of a number as Python reads it: a bigint for an int, a number for a float; undefined when it is none. */
export function numberOf(text: string): bigint | number | undefined {
  const digits = text.replaceAll("_", "").toLowerCase();
  if (digits.length > DIGITS_MAX) return undefined;
  if (/^(?:0x[0-9a-f]+|0o[0-7]+|0b[01]+|[0-9]+)$/.test(digits)) return BigInt(digits);
  const value = Number(digits);
  return Number.isNaN(value) || /^0[xob]/.test(digits) ? undefined : value;
}

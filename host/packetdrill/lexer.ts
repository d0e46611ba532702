// Walks over the text of a packetdrill script: blanks and comments, words, numbers, quoted things, places for errors.
// Read first: "Lexical structure" in the language's reference by its authors. There are no tokens: what `1.5` or `S.`
// is depends on where it stands, so the parsers ask for what they want.

import { ScriptError } from "./script-error.ts";
import type { ScriptErrorCode } from "./script-error.ts";
import type { Place } from "./script.ts";
import type { Expansion } from "./symbols.ts";

const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const UNSIGNED = /0x[0-9a-fA-F]+(?![A-Za-z0-9_])|[0-9]+(?![A-Za-z0-9_])/y;
const PREPROCESSOR = /#(?:if|ifdef|ifndef|else|elif|endif|define|include)\b/y;
/** What an error quotes: a word, a number, or punctuation. */
const EXCERPT = /\.\.\.|[A-Za-z0-9_.]{1,40}|%\{|\/\*|\S/y;
const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v", 0: "\0" };

/** The largest sequence number and timestamp. */
const U32_MAX = 0xffffffff;

/** A place in a text, and ways to take the next thing from there. Every method skips blanks and comments first. */
export class Scanner {
  position = 0;
  readonly file: string;
  private text: string;
  private readonly original: string;
  private expansion: Expansion | undefined;
  private lineStarts: number[] | undefined;
  /** Where the last skipping of blanks led, and where what was taken before them ends. */
  private skippedTo = 0;
  private takenTo = 0;

  constructor(text: string, file: string) {
    this.text = text;
    this.original = text;
    this.file = file;
  }

  /** Goes on in an expanded text, which must be the same up to the position. */
  expand(expansion: Expansion): void {
    this.text = expansion.text;
    this.expansion = expansion;
  }

  private origin(offset: number): number {
    return this.expansion === undefined ? offset : this.expansion.origin(offset);
  }

  // ---- Places and errors ------------------------------------------------------------------------------------------

  /** Line and column in the file. */
  place(offset = this.position): Place {
    const at = this.origin(offset);
    const starts = (this.lineStarts ??= lineStartsOf(this.original));
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - starts[low]! + 1 };
  }

  /** The file's text from an offset to the end of what was taken last, as it was written. */
  written(from: number): string {
    const to = this.position === this.skippedTo ? this.takenTo : this.position;
    return this.original.slice(this.origin(from), this.origin(to)).trimEnd();
  }

  /** @throws {ScriptError} always: something else should stand here */
  fail(expected: string, at = this.next()): never {
    throw this.error("ERR_ORIBI_SCRIPT", expected, at);
  }

  /** @throws {ScriptError} always: what stands here is not carried out */
  refuse(what: string, at = this.next()): never {
    throw this.error("ERR_ORIBI_SCRIPT_REFUSED", what, at);
  }

  private error(code: ScriptErrorCode, expected: string, at: number): ScriptError {
    const place = this.place(at);
    const start = this.lineStarts![place.line - 1]!;
    const end = this.original.indexOf("\n", start);
    const source = this.original.slice(start, end < 0 ? undefined : end).replace(/\r$/, "");
    return new ScriptError({ code, file: this.file, ...place, found: this.excerptAt(at), expected, source });
  }

  private excerptAt(at: number): string {
    EXCERPT.lastIndex = at;
    const word = EXCERPT.exec(this.text)?.[0];
    return word === undefined ? (at >= this.text.length ? "the end of the script" : "a blank") : JSON.stringify(word);
  }

  // ---- Blanks -----------------------------------------------------------------------------------------------------

  /** Skips blanks and comments. @returns the position of what comes then */
  next(): number {
    const start = this.position;
    while (this.skipSome());
    if (this.position !== start) {
      this.takenTo = start;
      this.skippedTo = this.position;
    }
    return this.position;
  }

  private skipSome(): boolean {
    const character = this.text.charCodeAt(this.position);
    if (isBlank(character)) this.position++;
    else if (character === 0x2f /* / */ && this.text[this.position + 1] === "/") this.skipLine();
    else if (character === 0x2f && this.text[this.position + 1] === "*") this.skipBlock();
    else if (character === 0x23 /* # */) this.skipHash();
    else return false;
    return true;
  }

  private skipLine(): void {
    const end = this.text.indexOf("\n", this.position);
    this.position = end < 0 ? this.text.length : end + 1;
  }

  private skipBlock(): void {
    const end = this.text.indexOf("*/", this.position + 2);
    if (end < 0) this.fail('a "*/" that ends the comment', this.position);
    this.position = end + 2;
  }

  /** Comments like the shell's: nothing in the language begins with "#". One dialect has conditions written so. */
  private skipHash(): void {
    PREPROCESSOR.lastIndex = this.position;
    if (PREPROCESSOR.test(this.text)) this.refuse("lines for a preprocessor (#if ...)", this.position);
    this.skipLine();
  }

  // ---- What comes next --------------------------------------------------------------------------------------------

  atEnd(): boolean {
    return this.next() >= this.text.length;
  }

  /** Whether this punctuation comes next. */
  peek(text: string): boolean {
    return this.text.startsWith(text, this.next());
  }

  /** The word that comes next, or "". */
  peekWord(): string {
    return this.lookAhead(WORD) ?? "";
  }

  /** What a sticky pattern finds next, without taking it. */
  lookAhead(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.next();
    return pattern.exec(this.text)?.[0];
  }

  /** Takes punctuation if it comes next. */
  accept(text: string): boolean {
    const found = this.peek(text);
    if (found) this.position += text.length;
    return found;
  }

  /** Takes this word if it comes next as a whole. */
  acceptWord(word: string): boolean {
    const found = this.peekWord() === word;
    if (found) this.position += word.length;
    return found;
  }

  /** Takes what a sticky pattern finds. */
  match(pattern: RegExp): string | undefined {
    const found = this.lookAhead(pattern);
    if (found !== undefined) this.position += found.length;
    return found;
  }

  /** Takes punctuation. @param where ends the message: `to close the list` */
  expect(text: string, where = ""): void {
    if (!this.accept(text)) this.fail(`"${text}"${where && ` ${where}`}`);
  }

  word(what: string): string {
    return this.match(WORD) ?? this.fail(what);
  }

  /** Takes a number without sign, decimal or with 0x. @param max the largest that may stand here */
  unsigned(what: string, max = U32_MAX): number {
    const at = this.next();
    const value = Number(this.match(UNSIGNED) ?? this.fail(what));
    if (value > max) this.fail(`${what} of at most ${max}`, at);
    return value;
  }

  /** Takes everything up to one of the characters of `stops` outside of brackets, which stays. */
  until(stops: string, what: string): string {
    const start = this.next();
    let depth = 0;
    for (let i = start; i < this.text.length; i++) {
      const character = this.text[i]!;
      if (depth === 0 && stops.includes(character)) {
        this.position = i;
        return this.text.slice(start, i).trim();
      }
      if (character === "\n") break;
      if ("([{".includes(character)) depth++;
      else if (")]}".includes(character)) depth--;
    }
    return this.fail(what, start);
  }

  /** Takes `"..."` and resolves its escapes; undefined when no string comes next. */
  string(): string | undefined {
    const start = this.next();
    if (this.text[start] !== '"') return undefined;
    const parts: string[] = [];
    for (let i = start + 1; i < this.text.length && this.text[i] !== "\n"; i++) {
      const character = this.text[i]!;
      if (character === '"') {
        this.position = i + 1;
        return parts.join("");
      }
      if (character !== "\\") parts.push(character);
      else {
        const [value, length] = escapeAt(this.text, i + 1);
        parts.push(value);
        i += length;
      }
    }
    return this.fail('a second " on the line, which ends the string', start);
  }

  /** Takes a command in back quotes; undefined when none comes next. `\`` is a back quote in it. */
  backQuoted(): string | undefined {
    const start = this.next();
    if (this.text[start] !== "`") return undefined;
    for (let i = start + 1; i < this.text.length; i++) {
      if (this.text[i] === "\\") i++;
      else if (this.text[i] === "`") {
        this.position = i + 1;
        return this.text.slice(start + 1, i).replaceAll("\\`", "`");
      }
    }
    return this.fail("a second back quote, which ends the shell command", start);
  }

  /** Takes `%{ code }%` without the blanks at both ends; undefined when none comes next. */
  code(): { code: string; codeLine: number } | undefined {
    const start = this.next();
    if (!this.text.startsWith("%{", start)) return undefined;
    const end = this.text.indexOf("}%", start + 2);
    if (end < 0) this.fail('a "}%" that ends the code', start);
    let first = start + 2;
    while (first < end && /[ \t]/.test(this.text[first]!)) first++;
    this.position = end + 2;
    return { code: this.text.slice(first, end).trimEnd(), codeLine: this.place(first).line };
  }

  /** Takes a note in parentheses, which may hold anything; undefined when none comes next. */
  note(): string | undefined {
    const start = this.next();
    if (this.text[start] !== "(") return undefined;
    let depth = 0;
    for (let i = start; i < this.text.length; i++) {
      if (this.text[i] === "(") depth++;
      else if (this.text[i] === ")" && --depth === 0) {
        this.position = i + 1;
        return this.text
          .slice(start + 1, i)
          .replace(/\s+/g, " ")
          .trim();
      }
    }
    return this.fail('a ")" that ends the note', start);
  }
}

function isBlank(character: number): boolean {
  return character === 0x20 || (character >= 0x09 && character <= 0x0d) || character === 0xa0 || character === 0xfeff;
}

function lineStartsOf(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

/** The character that an escape stands for, and how many characters stand behind the backslash. */
function escapeAt(text: string, at: number): [value: string, length: number] {
  const coded = /x([0-9a-fA-F]{1,2})|([0-7]{1,3})/y;
  coded.lastIndex = at;
  const match = coded.exec(text);
  if (match !== null) {
    const value = match[1] === undefined ? parseInt(match[2]!, 8) : parseInt(match[1], 16);
    return [String.fromCharCode(value & 0xff), match[0].length];
  }
  const character = text[at] ?? "";
  return [ESCAPES[character] ?? character, character.length];
}

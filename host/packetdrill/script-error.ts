// The error of a packetdrill script that cannot be read: where, what stands there, what was expected.
// Read first: lexer.ts, whose Scanner throws it.

import { OribiError } from "../errors.ts";
import type { Place } from "./script.ts";

/** ERR_ORIBI_SCRIPT: not the language. ERR_ORIBI_SCRIPT_REFUSED: the language, but not carried out here. */
export type ScriptErrorCode = "ERR_ORIBI_SCRIPT" | "ERR_ORIBI_SCRIPT_REFUSED";

export interface ScriptErrorDetails extends Place {
  code: ScriptErrorCode;
  file: string;
  /** What stands at the place, as it would be quoted: `"sak"`, `the end of the script`. */
  found: string;
  /** What should stand there; of a refusal: what is not supported, and why. */
  expected: string;
  /** The whole line of the script. */
  source: string;
}

/** A script that cannot be read. Its message is `FILE:LINE:COLUMN: found ...; expected ...`. */
export class ScriptError extends OribiError implements Place {
  override readonly name = "ScriptError";
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly found: string;
  readonly expected: string;
  /** The line of the script where it happened. */
  readonly source: string;

  constructor({ code, file, line, column, found, expected, source }: ScriptErrorDetails) {
    const what = code === "ERR_ORIBI_SCRIPT" ? `found ${found}; expected ${expected}` : `not supported: ${expected}`;
    super(code, `${file}:${line}:${column}: ${what}.`);
    this.file = file;
    this.line = line;
    this.column = column;
    this.found = found;
    this.expected = expected;
    this.source = source;
  }

  /** The line of the script with a caret under the place, for terminals. */
  excerpt(): string {
    const start = Math.max(0, this.column - 60);
    const before = this.source.slice(start, this.column - 1).replaceAll("\t", " ");
    return `${before}${this.source.slice(this.column - 1, start + 110)}\n${" ".repeat(before.length)}^`;
  }
}

// The error of Python code in a packetdrill script: a failed assert, a mistake, or a part of Python that is not here.
// Read first: ../python.ts.

import { OribiError } from "../../errors.ts";

/** Where code stands: `line` is the script's line of the code's first character. */
export interface CodePlace {
  file: string;
  line: number;
}

/**
 * "assert": an assertion does not hold. "error": a name that is not known, a division by zero, a wrong type, syntax.
 * "refused": Python, but outside of the subset.
 */
export type PythonErrorKind = "assert" | "error" | "refused";

export interface PythonErrorDetails extends CodePlace {
  kind: PythonErrorKind;
  /** What went wrong, without the place. */
  reason: string;
  /** The condition of a failed assert, as it is written. */
  condition?: string;
  /** The names in the condition with their values, as Python shows them. */
  values?: Record<string, string>;
}

/** ERR_ORIBI_PYTHON. The message names the place, the condition, the assert's own message, its names' values. */
export class PythonError extends OribiError {
  override readonly name = "PythonError";
  readonly kind: PythonErrorKind;
  readonly file: string;
  readonly line: number;
  readonly reason: string;
  readonly condition: string | undefined;
  readonly values: Readonly<Record<string, string>>;

  constructor({ kind, file, line, reason, condition, values = {} }: PythonErrorDetails) {
    super("ERR_ORIBI_PYTHON", `${file}:${line}: ${reason}`);
    this.kind = kind;
    this.file = file;
    this.line = line;
    this.reason = reason;
    this.condition = condition;
    this.values = values;
  }
}

/** A mistake found deep in an evaluation, where the line is not known: the statement adds it. */
export class Mistake extends Error {
  readonly kind: PythonErrorKind;

  constructor(reason: string, kind: PythonErrorKind = "error") {
    super(reason);
    this.kind = kind;
  }
}

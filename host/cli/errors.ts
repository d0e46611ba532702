// The error of the command line: what was wrong, what was expected, what to do.
// Read first: main.ts, which prints it and ends with its exit status.

/** Exit status of a command that did its work and found something wrong. */
export const EXIT_FAILURE = 1;
/** Exit status after arguments that could not be understood. */
export const EXIT_USAGE = 2;
/** Exit status after Ctrl-C, as shells have it: 128 + SIGINT. */
export const EXIT_INTERRUPTED = 130;

export interface CliErrorDetails {
  /** What would have been right, for example "a share such as 1% or 0.01". */
  expected?: string;
  /** What to do now, for example "did you mean --loss?". */
  hint?: string;
  /** Default: EXIT_USAGE. */
  exitStatus?: number;
  cause?: unknown;
}

/** An error meant for the person at the terminal; it is printed without a stack. */
export class CliError extends Error {
  readonly code = "ERR_ORIBI_CLI";
  readonly expected: string | undefined;
  readonly hint: string | undefined;
  readonly exitStatus: number;

  /** @param message what was wrong, with the words that were typed */
  constructor(message: string, details: CliErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.name = "CliError";
    this.expected = details.expected;
    this.hint = details.hint;
    this.exitStatus = details.exitStatus ?? EXIT_USAGE;
  }

  /** The lines that are printed. */
  toText(program: string): string {
    const lines = [`${program}: ${this.message}`];
    if (this.expected !== undefined) lines.push(`  expected ${this.expected}`);
    if (this.hint !== undefined) lines.push(`  ${this.hint}`);
    return `${lines.join("\n")}\n`;
  }
}

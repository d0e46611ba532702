// Errors of the host's own API: each has a stable code and says what was wrong, what was expected, what to do.

/** An error of Oribi with a stable `code`. */
export class OribiError extends Error {
  override readonly name: string = "OribiError";
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** ERR_ORIBI_OPTION: an option has a value that cannot be. */
export function optionError(option: string, value: unknown, expected: string): OribiError {
  return new OribiError("ERR_ORIBI_OPTION", `Option "${option}" is ${show(value)}; expected ${expected}.`);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

// Why a script did not pass: something went wrong at a place of it, or it asks for what is not there.

/** At this place something else happened than the script says. */
export class ScriptFailure extends Error {
  override readonly name = "ScriptFailure";
  readonly line: number;
  /** What the script says, when it can be set beside what came. */
  readonly expected: string | undefined;
  readonly actual: string | undefined;

  constructor(line: number, message: string, expected?: string, actual?: string) {
    super(message);
    this.line = line;
    this.expected = expected;
    this.actual = actual;
  }
}

/** The script asks for something that the runner or the stack does not have: neither passed nor failed. */
export class ScriptRefusal extends Error {
  override readonly name = "ScriptRefusal";
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

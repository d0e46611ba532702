// What a seed can show to be wrong.

/** Which promise was broken. */
export type FailureKind =
  /** A byte is wrong, missing or too many. */
  | "data"
  /** A call failed on a connection that both ends keep to its end. */
  | "error"
  /** Nothing will happen any more, and connections are open. */
  | "deadlock"
  /** For hours of its own time, or for millions of steps, a connection did not get on. */
  | "stall"
  /** Something was not given back. */
  | "leak"
  /** The core stopped. */
  | "trap"
  /** The simulator itself is at fault. */
  | "fault";

/** A seed failed. */
export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure";
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

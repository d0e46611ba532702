// What a row of the bench is, and what it leaves behind.
// Read first: DESIGN.md section 6, whose table the rows follow.

/** How much work a measurement may do. */
export interface RunOptions {
  /** Times that each contender is measured. */
  runs: number;
  /** How long each of these measurements takes, milliseconds. */
  millis: number;
}

/** What a row found; `ratio` is value / peerValue. */
export interface Measured {
  value: number;
  peer: string;
  peerValue: number;
  ratio: number;
  /** Measurements behind `value`, the median of theirs. */
  runs: number;
  /** Interquartile range of the runs' ratios, as a share of their median. */
  spread: number;
  /** A remark for people. */
  note?: string;
}

/** One line of the JSON that `npm run bench -- --json FILE` writes. */
export interface JsonRow extends Omit<Measured, "note"> {
  name: string;
  unit: string;
}

/** One row: what it measures, what it has to cost, how it is measured. */
export interface Row {
  name: string;
  /** A few words that say what one unit of work is. */
  title: string;
  unit: string;
  /** Ratio that DESIGN.md asks for: at least this, or at most when less is better. */
  bound?: { atLeast: number; aim: number } | { atMost: number; aim: number };
  measure(options: RunOptions): Promise<Measured> | Measured;
}

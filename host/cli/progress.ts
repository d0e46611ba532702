// One line that shows how far long work has come; nothing at all where no person watches.
// Read first: ECMA-48 (CSI K erases to the end of the line, CSI ?25 l and h hide and show the cursor).

import { formatCount, formatBytes, formatMicros } from "./format.ts";
import type { Output } from "./io.ts";
import { clip, textWidth } from "./table.ts";

const INTERVAL_MILLIS = 100;
/** Rates shown are those of about this time back. */
const MEMORY_MILLIS = 3000;
/** Work younger than this shows no estimate: it would jump about. */
const ESTIMATE_AFTER_MILLIS = 1000;
const BAR_COLUMNS = 24;
const BAR_COLUMNS_LEAST = 8;
const ERASE_LINE = "\r\x1b[K";
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

export interface ProgressOptions {
  /** What is being done: "sending", "seeds". */
  label: string;
  /** How much there is to do; without it no share and no estimate are shown. */
  total?: number;
  /** How amounts are written; default "count". */
  unit?: "count" | "bytes";
  /** A clock in milliseconds; default performance.now. */
  now?: () => number;
}

/** A progress line. `using` or finish() takes it away again. */
export class Progress implements Disposable {
  private readonly now: () => number;
  private readonly startMillis: number;
  private drawnMillis = -Infinity;
  private drawnText = "";
  private done = 0;
  private note = "";
  private total: number | undefined;
  private rate = 0;
  private rateMillis: number;
  private rateDone = 0;
  private finished = false;

  /** @param output where it is drawn, if that is a terminal: io.stderr, so that results can be piped on */
  constructor(
    private readonly output: Output,
    private readonly options: ProgressOptions,
  ) {
    this.now = options.now ?? (() => performance.now());
    this.total = options.total;
    this.startMillis = this.now();
    this.rateMillis = this.startMillis;
  }

  /** Tells how much is done; cheap, and drawn ten times a second at most. */
  update(done: number, note = this.note): void {
    this.done = done;
    this.note = note;
    if (!this.output.isTTY || this.finished) return;
    const millis = this.now();
    if (millis - this.drawnMillis < INTERVAL_MILLIS) return;
    this.drawnMillis = millis;
    this.measure(millis);
    this.draw(this.text(millis));
  }

  /** Changes how much there is to do. */
  setTotal(total: number): void {
    this.total = total;
  }

  /** Writes whole lines above the progress line: results that come while the work goes on. */
  print(output: Output, text: string): void {
    this.clear();
    output.write(text.endsWith("\n") ? text : `${text}\n`);
    this.drawnMillis = -Infinity;
  }

  /** Takes the line away. */
  finish(): void {
    this.clear();
    this.finished = true;
  }

  [Symbol.dispose](): void {
    this.finish();
  }

  private clear(): void {
    if (this.drawnText !== "") this.output.write(ERASE_LINE);
    this.drawnText = "";
  }

  /** The rate: an average that forgets, so that it follows the work without trembling. */
  private measure(millis: number): void {
    const elapsedMillis = millis - this.rateMillis;
    if (elapsedMillis <= 0) return;
    const current = ((this.done - this.rateDone) * 1000) / elapsedMillis;
    // While the work is young, the average is over all of it.
    const memory = Math.min(MEMORY_MILLIS, Math.max(millis - this.startMillis, elapsedMillis));
    this.rate += (current - this.rate) * Math.min(1, elapsedMillis / memory);
    this.rateMillis = millis;
    this.rateDone = this.done;
  }

  private text(millis: number): string {
    const { label } = this.options;
    const total = this.total;
    const share = total === undefined || total <= 0 ? undefined : Math.min(1, Math.max(0, this.done / total));
    const parts = [this.amount(this.done) + (total === undefined ? "" : ` of ${this.amount(total)}`)];
    if (this.rate > 0) parts.push(`${this.amount(this.rate)}/s`);
    const old = millis - this.startMillis >= ESTIMATE_AFTER_MILLIS;
    if (total !== undefined && share !== undefined && share < 1 && this.rate > 0 && old) {
      parts.push(`${formatMicros(Math.max(1, Math.round((total - this.done) / this.rate)) * 1e6)} left`);
    }
    if (this.note !== "") parts.push(this.note);
    const words = parts.join(" · ");
    if (share === undefined) return `${label}  ${words}`;
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    // The bar takes what the words leave; on a narrow terminal it goes first.
    const room = this.output.columns - 1 - textWidth(`${label} ${percent}  ${words}`) - 2;
    const shown = room >= BAR_COLUMNS_LEAST ? ` ${bar(share, Math.min(BAR_COLUMNS, room))}` : "";
    return `${label}${shown}${percent}  ${words}`;
  }

  private amount(value: number): string {
    return this.options.unit === "bytes" ? formatBytes(value) : formatCount(value);
  }

  /**
   * Draws over the line in one write, so that it does not flicker. The cursor is hidden only within that write:
   * however the program ends, the terminal is left with its cursor.
   */
  private draw(text: string): void {
    // The last column stays empty: writing it would move to the next line.
    const line = clip(text, this.output.columns - 1);
    if (line === this.drawnText) return;
    this.drawnText = line;
    this.output.write(`${HIDE_CURSOR}\r${line}\x1b[K${SHOW_CURSOR}`);
  }
}

function bar(share: number, columns: number): string {
  const eighths = Math.round(share * columns * 8);
  const rest = eighths % 8 === 0 ? "" : " ▏▎▍▌▋▊▉"[eighths % 8]!;
  return `▕${("█".repeat(eighths >> 3) + rest).padEnd(columns)}▏`;
}

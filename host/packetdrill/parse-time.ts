// When an event of a packetdrill script happens: `0.1`, `+.1`, `*`, `0~0.2`, `+0~+.2`, and the end of calls that block.
// Read first: EventTime in script.ts.

import type { Scanner } from "./lexer.ts";
import type { EventTime, SyscallEvent } from "./script.ts";

const SECONDS = /(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![A-Za-z0-9_])/y;
const FIRST = /[0-9+*]|\.[0-9]/y;
const SECONDS_MAX = 4e9;

/** Whether something that can be the time of an event comes next. */
export function peekTime(scanner: Scanner): boolean {
  return scanner.lookAhead(FIRST) !== undefined;
}

/** Takes the time of an event. */
export function parseTime(scanner: Scanner): EventTime {
  if (scanner.accept("*")) return { kind: "any" };
  const relative = scanner.accept("+");
  const from = micros(scanner, relative);
  if (!scanner.accept("~")) return relative ? { kind: "relative", after: from } : { kind: "absolute", at: from };
  if (scanner.accept("+") !== relative) {
    scanner.fail(relative ? 'a "+" at the end of the range as at its start' : "an absolute time, as before the ~");
  }
  const at = scanner.next();
  const to = micros(scanner, relative);
  if (to < from) scanner.fail("the end of the range behind its start", at);
  return { kind: "range", from, to, relative };
}

/**
 * Takes the end of a blocking call, `...0.2`, if there is one. Behind a relative time it counts, like that, from the
 * event before: `+.1...0.3` ends 0.2 s after it began.
 */
export function parseEnd(scanner: Scanner, start: EventTime): SyscallEvent["end"] {
  const at = scanner.next();
  if (!scanner.accept("...")) return undefined;
  if (start.kind !== "absolute" && start.kind !== "relative") {
    scanner.fail("one time of start for a call with an end, not a range or *", at);
  }
  const plus = scanner.accept("+");
  const atEnd = scanner.next();
  const end = micros(scanner, plus);
  if (start.kind === "absolute") {
    if (!plus && end < start.at) scanner.fail("an end that does not lie before the start", atEnd);
    return { at: end, relative: plus };
  }
  if (end < start.after) scanner.fail("an end that does not lie before the start (both count from one event)", atEnd);
  return { at: end - start.after, relative: true };
}

/** Takes seconds. @returns microseconds */
function micros(scanner: Scanner, relative: boolean): number {
  const at = scanner.next();
  const text = scanner.match(SECONDS) ?? scanner.fail(`a time in seconds, such as ${relative ? "+" : ""}0.1`);
  const [whole = "", fraction = ""] = text.split(".");
  if (Number(whole) > SECONDS_MAX) scanner.fail(`a time of at most ${SECONDS_MAX} seconds`, at);
  return Number(whole) * 1e6 + Math.round(Number(`0.${fraction || "0"}`) * 1e6);
}

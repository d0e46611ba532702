// Places the model of a plot on an integer grid and thins it, so that any number of packets makes a small picture.
// Read first: the SVG 2 "Paths" chapter; plot-sequence.ts for what is drawn.

import { GRID } from "./plot-scale.ts";
import type { SentSegment, TimeSequence } from "./plot-sequence.ts";

/** Columns that stay apart when marks are thinned: several to a pixel, so that one can zoom in. */
const COLUMNS = 4096;
/** Marks of one kind above which they are thinned. */
const THIN_ABOVE = 6000;
/** Gap, in grid units, that is closed when bars of one column are joined: less than half a pixel. */
const JOIN_GAP = 48;

/** A vertical bar on the grid; low and high count upwards. */
export interface Bar {
  x: number;
  low: number;
  high: number;
}

/** Where times and sequence numbers lie on the grid. */
export interface Extent {
  /** Time at the right edge, microseconds. */
  spanMicros: number;
  /** Sequence numbers at the lower and upper edge. */
  low: number;
  high: number;
}

/** The extent in which everything sent is seen; the window is followed only while that does not dwarf the rest. */
export function extentOf(sequence: TimeSequence): Extent {
  let low = 0;
  let sent = 1;
  for (const { start, end } of sequence.segments) {
    low = Math.min(low, start);
    sent = Math.max(sent, end);
  }
  let edge = 0;
  for (const { ack, window } of sequence.acks) {
    sent = Math.max(sent, ack);
    edge = Math.max(edge, ack + window);
  }
  const high = edge > sent * 1.4 ? sent * 1.06 : Math.max(sent, edge) * 1.03;
  return { spanMicros: Math.max(1, sequence.durationMicros) * 1.012, low, high };
}

export function gridX(extent: Extent, timeMicros: number): number {
  return Math.round((timeMicros / extent.spanMicros) * GRID);
}

/** Far outside the picture is as good as anywhere outside: keeps the numbers short. */
export function gridY(extent: Extent, sequence: number): number {
  const y = ((sequence - extent.low) / (extent.high - extent.low)) * GRID;
  return Math.round(Math.max(-GRID, Math.min(2 * GRID, y)));
}

/** Segments as bars. */
export function segmentBars(extent: Extent, segments: readonly SentSegment[]): Bar[] {
  return segments.map(({ timeMicros, start, end }) => bar(extent, timeMicros, start, end));
}

export function bar(extent: Extent, timeMicros: number, start: number, end: number): Bar {
  return { x: gridX(extent, timeMicros), low: gridY(extent, start), high: gridY(extent, end) };
}

/**
 * Joins bars that lie in one column and touch, when there are many. Every bar is still covered by one that is drawn
 * (within a column's width and JOIN_GAP), so no mark is ever lost.
 */
export function thinBars(bars: readonly Bar[]): Bar[] {
  if (bars.length <= THIN_ABOVE) return [...bars];
  const columnWidth = GRID / COLUMNS;
  const columns = new Map<number, Bar[]>();
  for (const each of bars) {
    const column = Math.floor(each.x / columnWidth) * columnWidth;
    const list = columns.get(column);
    if (list === undefined) columns.set(column, [{ ...each, x: column }]);
    else list.push({ ...each, x: column });
  }
  return [...columns.values()].flatMap(joinColumn);
}

function joinColumn(bars: Bar[]): Bar[] {
  bars.sort((a, b) => a.low - b.low);
  const joined: Bar[] = [];
  for (const each of bars) {
    const last = joined.at(-1);
    if (last !== undefined && each.low <= last.high + JOIN_GAP) last.high = Math.max(last.high, each.high);
    else joined.push(each);
  }
  return joined;
}

/** A point of a line that keeps its value until the next point. */
export interface Step {
  x: number;
  y: number;
}

/** Keeps, of the steps in one column, those that the eye could tell apart: the first, lowest, highest and last. */
export function thinSteps(steps: readonly Step[]): Step[] {
  if (steps.length <= THIN_ABOVE) return [...steps];
  const columnWidth = GRID / COLUMNS;
  const kept: Step[] = [];
  for (let from = 0; from < steps.length;) {
    const column = Math.floor(steps[from]!.x / columnWidth);
    let to = from;
    let lowest = from;
    let highest = from;
    while (to < steps.length && Math.floor(steps[to]!.x / columnWidth) === column) {
      if (steps[to]!.y < steps[lowest]!.y) lowest = to;
      if (steps[to]!.y > steps[highest]!.y) highest = to;
      to += 1;
    }
    const indices = [...new Set([from, lowest, highest, to - 1])].sort((a, b) => a - b);
    for (const index of indices) kept.push(steps[index]!);
    from = to;
  }
  return kept;
}

/** SVG path data of bars, in relative moves: short numbers make a small file. */
export function barPath(bars: readonly Bar[]): string {
  let path = "";
  let penX = 0;
  let penY = 0;
  for (const { x, low, high } of bars) {
    const y = GRID - low;
    path += `m${x - penX} ${y - penY}v${low - high}`;
    penX = x;
    penY = y - (high - low);
  }
  return path;
}

/** SVG path data of a line of steps, drawn on to `endX`. */
export function stepPath(steps: readonly Step[], endX: number): string {
  const [first] = steps;
  if (first === undefined) return "";
  let path = `M${first.x} ${GRID - first.y}`;
  let { x: penX, y: penY } = first;
  for (const { x, y } of steps) {
    if (x !== penX) path += `h${x - penX}`;
    if (y !== penY) path += `v${penY - y}`;
    penX = x;
    penY = y;
  }
  return endX > penX ? `${path}h${endX - penX}` : path;
}

/** SVG path data of the area between two lines of steps that share their x values. */
export function bandPath(lower: readonly Step[], upper: readonly Step[], endX: number): string {
  if (lower.length === 0 || upper.length === 0) return "";
  let path = stepPath(upper, endX);
  let penX = endX;
  for (const { x, y } of lower.toReversed()) {
    path += `V${GRID - y}`;
    if (x !== penX) path += `h${x - penX}`;
    penX = x;
  }
  return `${path}z`;
}

// Finds the segments that left one port of a capture and did not arrive, whole, at another.
// Read first: RFC 791 section 3.1 (identification), RFC 7323 section 3 (TSval): what tells copies of a segment apart.

import { senderOf } from "./plot-flow.ts";
import type { Flow, Side } from "./plot-flow.ts";
import type { Segment } from "./plot-segment.ts";

/** A queue that fills makes each segment slower than the one before: so many times the slowest so far may it take. */
const PATIENCE = 4;

/**
 * The segments of `side` seen leaving `from` that `to` did not see arriving undamaged.
 * Not those that may have been under way when the capture ended: nothing sent later has arrived, and less time was left
 * than segments took to arrive. None at all if most arrivals match nothing that left: large segments that the NIC cut
 * up say nothing about loss.
 */
export function findLost(flow: Flow, side: Side, from: string, to: string): Set<Segment> {
  const waiting = new Map<string, Segment[]>();
  const lost = new Set<Segment>();
  let matched = 0;
  let strange = 0;
  let slowestMicros = 0;
  let newestArrived = -Infinity;
  const sent = flow.segments.filter((segment) => senderOf(flow, segment) === side);
  for (const segment of sent) {
    if (segment.port === from) {
      lost.add(segment);
      const copies = waiting.get(copyKey(segment));
      if (copies === undefined) waiting.set(copyKey(segment), [segment]);
      else copies.push(segment);
    } else if (segment.port === to && !segment.damaged) {
      // Of several equal copies the newest arrived: the older ones are why it was sent again.
      const arrived = waiting.get(copyKey(segment))?.pop();
      if (arrived === undefined) {
        strange += 1;
        continue;
      }
      matched += 1;
      slowestMicros = Math.max(slowestMicros, segment.timeMicros - arrived.timeMicros);
      newestArrived = Math.max(newestArrived, arrived.timeMicros);
      lost.delete(arrived);
    }
  }
  if (strange > matched) return new Set();
  const endMicros = flow.segments.at(-1)?.timeMicros ?? 0;
  for (const segment of lost) {
    const { timeMicros } = segment;
    if (timeMicros >= newestArrived && timeMicros + PATIENCE * slowestMicros >= endMicros) lost.delete(segment);
  }
  return lost;
}

/** Equal for a segment that leaves and the same one that arrives. */
function copyKey(segment: Segment): string {
  const { seq, length, flags, identification, tsval, ack } = segment;
  return `${seq} ${length} ${flags} ${identification} ${tsval} ${ack}`;
}

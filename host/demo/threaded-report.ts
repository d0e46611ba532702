// What the demo prints of its part with threads: its figures, and a table with a row for each queue.
// Read first: report.ts, which prints the rest.

import { formatByteRate, formatBytes, formatCount, formatMicros, formatShare } from "../cli/format.ts";
import { type Cell, formatTable } from "../cli/table.ts";
import type { ThreadedResult } from "./threaded.ts";
import { REQUEST_BYTES } from "./calls.ts";

/** Both tables. */
export function threadedTables(result: ThreadedResult, bytes: number, style: { color: boolean }): string {
  return `${summary(result, bytes, style)}\n${queueTable(result, style)}`;
}

/** "2 stacks, each with its application in its thread": which threads there are. */
function threadsText({ model, threads: { stacks, business } }: ThreadedResult): string {
  const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;
  if (model === "shared") return `${counted(stacks, "thread")}: a stack and its application in each`;
  return `${counted(stacks, "stack thread")}, ${counted(business, "business thread")}`;
}

function summary(result: ThreadedResult, bytes: number, style: { color: boolean }): string {
  const { fetch, roundTrips, connections, retransmissions } = result;
  const rows: [string, string][] = [
    ["file, in ranges over connections", formatCount(fetch.connections)],
    ["took", `${formatMicros(fetch.micros)} for ${formatBytes(bytes)}, ${formatByteRate(fetch.bytesPerSecond)}`],
    [
      `request/response, ${REQUEST_BYTES} B each`,
      `${formatCount(roundTrips.perSecond)} /s on ${formatCount(roundTrips.connections)} connections`,
    ],
    ["connect, 1 B, close", `${formatCount(connections.perSecond)} /s`],
    ["retransmissions", formatCount(retransmissions)],
  ];
  return formatTable([`threads: ${result.model}`, threadsText(result)], rows, style);
}

type QueueRow = ThreadedResult["queues"][number];

const COLUMNS = [
  "queue",
  "RX",
  "RX bytes",
  "TX",
  "TX bytes",
  "served",
  "requests/s",
  "out",
  "in",
  "wake-ups",
  "asleep",
];
const NOTE = "RX, TX: packets · served: connections · out, in: packets handed over to, from other stacks\n";

function queueTable({ queues }: ThreadedResult, style: { color: boolean }): string {
  const rows = queues.map((queue, index) => row(String(index), queue));
  const columns = COLUMNS.map((title) => ({ title, align: "right" }) as const);
  return formatTable(columns, [...rows, row("all", together(queues))], style) + NOTE;
}

/** All queues as one: sums, and the mean of the shares. */
function together(queues: readonly QueueRow[]): QueueRow {
  const sum = { ...(queues[0] as QueueRow) };
  for (const queue of queues.slice(1)) {
    for (const name of Object.keys(sum) as (keyof QueueRow)[]) sum[name] += queue[name];
  }
  return { ...sum, asleep: sum.asleep / queues.length };
}

function row(name: string, queue: QueueRow): Cell[] {
  return [
    name,
    formatCount(queue.rxPackets),
    formatBytes(queue.rxBytes),
    formatCount(queue.txPackets),
    formatBytes(queue.txBytes),
    formatCount(queue.connections),
    formatCount(queue.requestsPerSecond),
    formatCount(queue.handedOut),
    formatCount(queue.handedIn),
    formatCount(queue.wakeups),
    formatShare(queue.asleep),
  ];
}

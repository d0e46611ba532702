// What the demo prints: two short tables, the digest, the files that it left; or all of it as JSON.
// Read first: host/cli/table.ts, host/cli/format.ts.

import { formatBytes, formatCount, formatMicros, formatRate, formatShare } from "../cli/format.ts";
import { type Cell, formatTable } from "../cli/table.ts";
import type { BadResult, Impairments } from "./bad-link.ts";
import type { CleanResult, Figure } from "./clean-link.ts";
import { MADE_NAME } from "./source.ts";
import type { ThreadedResult } from "./threaded.ts";
import { REQUEST_BYTES } from "./calls.ts";

/** Everything that came out. */
export interface Outcome {
  file: { name: string; bytes: number; sha256: string };
  seed: number | string;
  queues: number;
  impairments: Impairments;
  clean: CleanResult;
  /** Where threads were asked for. */
  threads?: ThreadedResult;
  bad: BadResult;
}

/** Did the file arrive whole, each time? */
export function isIntact({ file, clean, threads, bad }: Outcome): boolean {
  return [clean, threads ?? clean, bad].every(({ sha256 }) => sha256 === file.sha256);
}

/** The outcome as JSON text. */
export function jsonReport(outcome: Outcome): string {
  return `${JSON.stringify({ intact: isIntact(outcome), ...outcome }, null, 2)}\n`;
}

/** What is about to be done. */
export function heading(source: { name: string; bytes: number }, seed: string, queues: number): string {
  const bytes = source.name === MADE_NAME ? `seed ${seed}` : `${formatCount(source.bytes)} B`;
  return [
    `${formatBytes(source.bytes)} of ${source.name} (${bytes}), from one host to another`,
    `each host: its own TCP/IP stack in WebAssembly, a NIC of ${queues} queues, all on one bridge\n`,
  ].join("\n");
}

/** What the figures are called. */
export const LABELS: Readonly<Record<Figure["name"], string>> = {
  throughput: "throughput, MTU 1500",
  throughput_tso: "throughput, MTU 1500 and TSO",
  round_trips: `request/response, ${REQUEST_BYTES} B each`,
  connections: "connect, 1 B, close",
};

/** The figures of the clean link, those of node:net beside them. */
export function cleanTable(clean: CleanResult, style: { color: boolean }): string {
  const rows = clean.figures.map((figure): Cell[] => {
    const { oribi, node } = figure;
    const cells: Cell[] = [LABELS[figure.name], rate(figure, oribi)];
    return node === undefined ? cells : [...cells, rate(figure, node), { ratio: oribi / node }];
  });
  const { retransmissions } = clean;
  const [own, kernel] = [retransmissions.oribi, retransmissions.node].map((count): Cell =>
    count === undefined ? undefined : { value: formatCount(count), unit: "" },
  );
  const hasNode = clean.figures.some((figure) => figure.node !== undefined);
  // The kernel counts for all programs together.
  rows.push(hasNode ? ["retransmissions (kernel: machine-wide)", own, kernel] : ["retransmissions", own]);
  const right = (title: string) => ({ title, align: "right" }) as const;
  const columns = ["clean link, real time, one thread", right("oribi")];
  return formatTable(hasNode ? [...columns, right("node:net"), right("ratio")] : columns, rows, style);
}

/** A rate as value and unit, so that the units of a column stand below one another. */
function rate({ unit }: Figure, value: number): Cell {
  if (unit === "1/s") return { value: formatCount(value), unit: "/s" };
  const [number = "", of = ""] = formatBytes(value).split(" ");
  return { value: number, unit: `${of}/s` };
}

/** What the bad link did to the transfer. */
export function badTable({ file, impairments, bad }: Outcome, style: { color: boolean }): string {
  const { toClient, toServer } = bad;
  const rows: [string, string][] = [
    ["received", `${formatBytes(bad.receivedBytes)} of ${formatBytes(file.bytes)}`],
    ["took", `${formatMicros(bad.micros)} (${formatMicros(bad.realMicros)} on this machine)`],
    ["goodput", formatRate(bad.goodputBits)],
    ["lost, server to client", partOf(toClient.lost, toClient.frames, "frames")],
    ["lost, client to server", partOf(toServer.lost, toServer.frames, "frames")],
    ["retransmissions", partOf(bad.retransmissions, bad.segments, "segments")],
    ["timeouts", formatCount(bad.timeouts)],
  ];
  return formatTable([`bad link, simulated time`, impairmentText(impairments)], rows, style);
}

function partOf(part: number, whole: number, what: string): string {
  const share = whole > 0 ? ` (${formatShare(part / whole)})` : "";
  return `${formatCount(part)} of ${formatCount(whole)} ${what}${share}`;
}

const DAMAGES = { loss: "lost", reorder: "overtaking", duplicate: "twice", corrupt: "damaged" } as const;

/** What a link does, in words: "1 % lost, 20 ms each way, ± 2 ms". */
export function impairmentText(link: Impairments): string {
  const words: string[] = [];
  for (const [name, word] of Object.entries(DAMAGES) as [keyof typeof DAMAGES, string][]) {
    if (link[name] > 0) words.push(`${plain(formatShare(link[name]))} ${word}`);
  }
  if (link.delayMicros > 0) words.push(`${plain(formatMicros(link.delayMicros))} each way`);
  if (link.jitterMicros > 0) words.push(`± ${plain(formatMicros(link.jitterMicros))}`);
  if (link.rateBits > 0) words.push(plain(formatRate(link.rateBits)));
  return words.length === 0 ? "without impairments" : words.join(", ");
}

/** A figure that somebody has typed, without the zeros that measured ones end in: "20.0 ms" as "20 ms". */
function plain(figure: string): string {
  return figure.replace(/(\.\d*?)0+(?= )/, "$1").replace(/\.(?= )/, "");
}

/** The digest, and the files that are left. @param relative a path as the user sees it */
export function ending(outcome: Outcome, relative: (path: string) => string): string {
  const { file, clean, threads, bad } = outcome;
  const lines: string[] = [];
  if (isIntact(outcome)) {
    const also = threads === undefined ? "" : ", and from the threads";
    lines.push(`SHA-256  ${file.sha256}`, `         sent, and received over both links${also}`);
  } else {
    lines.push(`SHA-256  ${file.sha256}  sent`);
    lines.push(`         ${arrival(clean.sha256, file.sha256)}  clean link`);
    if (threads !== undefined) lines.push(`         ${arrival(threads.sha256, file.sha256)}  threads`);
    lines.push(`         ${bad.error ?? arrival(bad.sha256, file.sha256)}  bad link`);
  }
  const { packets, isWhole, path } = bad.capture;
  const extent = `${isWhole ? "" : "the first "}${formatCount(packets)} packets of the bad link, seen at both hosts`;
  lines.push(`capture  ${relative(path)}  ${extent}`);
  lines.push(`         in Wireshark, one end alone: frame.interface_name == "client"`);
  if (bad.plot !== undefined) lines.push(`plot     ${relative(bad.plot.path)}  its sequence numbers against time`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The digest of what arrived, and what is to be said of it. */
function arrival(digest: string | undefined, wanted: string): string {
  if (digest === undefined) return "not all of it arrived";
  return digest === wanted ? `${digest}  arrived whole:` : `${digest}  IS ANOTHER FILE:`;
}

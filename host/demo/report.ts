// What the demo prints: two short tables, the digest, the files that it left; or all of it as JSON.
// Read first: host/cli/table.ts, host/cli/format.ts.

import { formatBytes, formatCount, formatMicros, formatRate, formatShare } from "../cli/format.ts";
import { type Cell, formatTable } from "../cli/table.ts";
import type { BadResult, Impairments } from "./bad-link.ts";
import type { CleanResult, Figure } from "./clean-link.ts";
import { MADE_NAME } from "./source.ts";
import { REQUEST_BYTES } from "./workloads.ts";

/** Everything that came out. */
export interface Outcome {
  file: { name: string; bytes: number; sha256: string };
  seed: number | string;
  queues: number;
  impairments: Impairments;
  clean: CleanResult;
  bad: BadResult;
}

/** Did the file arrive whole, both times? */
export function isIntact({ file, clean, bad }: Outcome): boolean {
  return clean.sha256 === file.sha256 && bad.sha256 === file.sha256;
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

const LABELS: Record<Figure["name"], string> = {
  throughput: "throughput, frames of 1,514 B",
  throughput_tso: "throughput, NIC cuts segments (TSO)",
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
  rows.push(hasNode ? ["retransmissions", own, kernel] : ["retransmissions", own]);
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
  const share = (part: number, whole: number): string => (whole > 0 ? `  ${formatShare(part / whole)}` : "");
  const rows: [string, string][] = [
    ["received", `${formatBytes(bad.receivedBytes)} of ${formatBytes(file.bytes)}`],
    ["took", `${formatMicros(bad.micros)} (${formatMicros(bad.realMicros)} of real time)`],
    ["goodput", formatRate(bad.goodputBits)],
    ["frames lost", `${formatCount(bad.lostFrames)} of ${formatCount(bad.frames)}${share(bad.lostFrames, bad.frames)}`],
    [
      "retransmissions",
      `${formatCount(bad.retransmissions)} of ${formatCount(bad.segments)}${share(bad.retransmissions, bad.segments)}`,
    ],
    ["timeouts", formatCount(bad.timeouts)],
  ];
  return formatTable([`bad link, simulated time`, impairmentText(impairments)], rows, style);
}

/** What a link does, in words: "1 % loss, 20 ms each way". */
export function impairmentText(link: Impairments): string {
  const shares = (["loss", "reorder", "duplicate", "corrupt"] as const)
    .filter((name) => link[name] > 0)
    .map(
      (name) =>
        `${formatShare(link[name])} ${{ loss: "lost", reorder: "reordered", duplicate: "twice", corrupt: "damaged" }[name]}`,
    );
  const words = [
    ...shares,
    link.delayMicros > 0 ? `${formatMicros(link.delayMicros)} each way` : "",
    link.jitterMicros > 0 ? `± ${formatMicros(link.jitterMicros)}` : "",
    link.rateBits > 0 ? formatRate(link.rateBits) : "",
  ];
  return words.filter((word) => word !== "").join(", ") || "nothing";
}

/** The digest, and the files that are left. @param relative a path as the user sees it */
export function ending(outcome: Outcome, relative: (path: string) => string): string {
  const { file, clean, bad, seed } = outcome;
  const lines: string[] = [];
  if (isIntact(outcome)) {
    lines.push(`SHA-256  ${file.sha256}`, "         what was sent, and what arrived over both links");
  } else {
    lines.push(`SHA-256  ${file.sha256}  sent`);
    lines.push(`         ${arrival(clean.sha256, file.sha256)}  clean link`);
    lines.push(`         ${bad.error ?? arrival(bad.sha256, file.sha256)}  bad link`);
  }
  const { packets, isWhole, path } = bad.capture;
  const extent = isWhole ? `${formatCount(packets)} packets` : `the first ${formatCount(packets)} packets`;
  lines.push(`capture  ${relative(path)}  ${extent} of the bad link, seen at both hosts, seed ${seed}`);
  if (bad.plot !== undefined)
    lines.push(`plot     ${relative(bad.plot.path)}  for a browser: sequence numbers against time`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The digest of what arrived, and what is to be said of it. */
function arrival(digest: string | undefined, wanted: string): string {
  if (digest === undefined) return "not all of it arrived";
  return digest === wanted ? `${digest}  arrived whole:` : `${digest}  IS ANOTHER FILE:`;
}

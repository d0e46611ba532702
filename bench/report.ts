// What the bench prints and writes: the table, the machine, the JSON.
// Read first: row.ts; host/cli/table.ts.

import { cpus, loadavg, release, totalmem, type } from "node:os";
import { formatByteRate, formatBytes, formatCount, formatShare } from "../host/cli/format.ts";
import { formatTable, type Cell } from "../host/cli/table.ts";
import type { JsonRow, Measured, Row } from "./row.ts";

/** A row and what it found. */
export interface Finding {
  row: Row;
  measured: Measured;
}

/** What the figures were measured on. */
export function machine(): string {
  const all = cpus();
  const [load = 0] = loadavg();
  const model = all[0]?.model.trim() ?? "unknown processor";
  const parts = [
    `${all.length} × ${model}`,
    formatBytes(totalmem()),
    `${type()} ${release()} ${process.arch}`,
    `Node.js ${process.versions.node} (V8 ${process.versions.v8})`,
    `load ${load.toFixed(1)} before`,
  ];
  return parts.join(", ");
}

/** True when others were using more than a quarter of the machine a moment ago: ratios will be unsteady. */
export function isBusy(): boolean {
  return (loadavg()[0] ?? 0) > cpus().length / 4;
}

/** The findings as a table. */
export function formatFindings(findings: readonly Finding[], color: boolean): string {
  const rows = findings.map(({ row, measured }): Cell[] => [
    row.name,
    figure(measured.value, row.unit),
    measured.peer,
    figure(measured.peerValue, row.unit),
    ratio(row, measured),
    measured.runs > 1 ? `±${formatShare(measured.spread / 2)}` : "",
    bound(row),
    verdict(row, measured),
  ]);
  const right = (title: string) => ({ title, align: "right" as const });
  const heads = ["row", right("oribi"), "peer", right("its figure"), right("ratio"), right("spread"), "wanted", ""];
  return formatTable(heads, rows, { color });
}

/** Titles and remarks of the rows, a line each. */
export function formatNotes(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ row }) => row.name.length));
  return findings
    .map(({ row, measured }) => {
      const note = measured.note === undefined ? "" : `; ${measured.note}`;
      return `${row.name.padEnd(width)}  ${row.title}${note}\n`;
    })
    .join("");
}

/** The findings as the JSON file holds them. */
export function toJson(findings: readonly Finding[]): JsonRow[] {
  return findings.map(({ row, measured }) => {
    const { value, peer, peerValue, ratio, runs, spread } = measured;
    return { name: row.name, value, unit: row.unit, peer, peerValue, ratio, runs, spread };
  });
}

function figure(value: number, unit: string): Cell {
  if (unit === "B/s") {
    const [amount = "", name = ""] = formatByteRate(value).split(" ");
    return { value: amount, unit: name };
  }
  return { value: formatCount(value), unit };
}

function ratio({ bound }: Row, measured: Measured): Cell {
  const least = bound !== undefined && "atLeast" in bound ? { least: bound.atLeast } : {};
  return { ratio: measured.ratio, ...least };
}

function bound({ bound }: Row): string {
  if (bound === undefined) return "";
  return "atLeast" in bound
    ? `≥ ${short(bound.atLeast)}, aim ${short(bound.aim)}`
    : `≤ ${short(bound.atMost)}, aim ${short(bound.aim)}`;
}

function short(ratio: number): string {
  return `${Number(ratio.toPrecision(3))}x`;
}

function verdict({ bound }: Row, { ratio }: Measured): string {
  if (bound === undefined) return "";
  const holds = (limit: number): boolean => ("atLeast" in bound ? ratio >= limit : ratio <= limit);
  if (holds(bound.aim)) return "aim";
  return holds("atLeast" in bound ? bound.atLeast : bound.atMost) ? "yes" : "NO";
}

// `oribi bench`: measures Oribi beside node:net and node:dgram in the same run, prints ratios, writes JSON.
// Read first: rows.ts (what is measured), compare.ts (how).

import { writeFileSync } from "node:fs";
import { defineCommand } from "../host/cli/command.ts";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "../host/cli/errors.ts";
import type { Io } from "../host/cli/io.ts";
import { count, micros, writableFile } from "../host/cli/units.ts";
import { measureApart } from "./child.ts";
import { formatFindings, formatNotes, isBusy, machine, toJson, type Finding } from "./report.ts";
import { loadRow, ROW_NAMES, rowsFor } from "./rows.ts";

export const command = defineCommand({
  name: "bench",
  summary: "measure beside node:net and node:dgram in the same run",
  usage:
    "Measures Oribi beside node:net and node:dgram in the same run and prints how many times it is as fast. A ratio " +
    "is Oribi's figure divided by the peer's; the spread is half the interquartile range of the runs' ratios. The " +
    "status is 1 when a row could not be measured.",
  options: {
    filter: {
      form: "NAME",
      description: "only the row of that name, or those whose names hold the text; several with commas between",
      parse: rowsOf,
    },
    json: {
      form: "FILE",
      description: "also write [{name, value, unit, peer, peerValue, ratio, runs, spread}]",
      parse: writableFile,
    },
    runs: {
      form: "N",
      description: "measurements of each contender, whose median counts",
      default: "5",
      parse: count(1, 1000),
    },
    time: { form: "TIME", description: "how long each measurement takes", default: "400ms", parse: micros },
    list: { description: "print the names of the rows" },
  },
  examples: [
    ["oribi bench --filter tcp_rr_1", "one row"],
    ["oribi bench --filter flows --json flows.json", "some, for a program as well"],
  ],
  async run({ options: { filter: rows = [...ROW_NAMES], json, runs, time, list } }, io) {
    if (!list) return await bench({ rows, json, runs, millis: time / 1000 }, io);
    io.stdout.write(`${rows.join("\n")}\n`);
    return 0;
  },
});

interface Options {
  rows: string[];
  json: string | undefined;
  runs: number;
  millis: number;
}

function rowsOf(text: string): string[] {
  const rows = rowsFor(text);
  if (rows.length > 0) return rows;
  throw new CliError("", { expected: `(a part of) one of: ${ROW_NAMES.join(", ")}` });
}

async function bench({ rows, json, runs, millis }: Options, io: Io): Promise<number> {
  const { stdout, stderr, signal } = io;
  stdout.write(`${machine()}\n`);
  if (isBusy()) stdout.write("Others are using this machine: the ratios will be unsteady.\n");
  /** One line on a terminal that the next one takes the place of; nothing elsewhere. */
  const progress = (text: string): void => void (stderr.isTTY && stderr.write(`\r\x1b[K${text}`));
  const findings: Finding[] = [];
  let failures = 0;
  for (const [index, name] of rows.entries()) {
    const row = await loadRow(name);
    progress(`${index + 1}/${rows.length} ${name}`);
    try {
      findings.push({ row, measured: await measureApart(name, { runs, millis }, signal) });
    } catch (error) {
      if (signal.aborted) return EXIT_INTERRUPTED;
      failures++;
      progress("");
      stderr.write(`${(error as Error).message}\n`);
    }
  }
  progress("");
  if (findings.length > 0) {
    stdout.write(`\n${formatFindings(findings, stdout.color)}\n${formatNotes(findings)}`);
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(toJson(findings), null, 2)}\n`);
  return failures > 0 ? EXIT_FAILURE : 0;
}

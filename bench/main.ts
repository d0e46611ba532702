// `npm run bench`: measures Oribi beside node:net and node:dgram in the same run, prints ratios, writes JSON.
// Read first: rows.ts (what is measured), compare.ts (how).

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "../host/cli/errors.ts";
import { count, micros, writableFile } from "../host/cli/units.ts";
import { measureApart } from "./child.ts";
import { formatFindings, formatNotes, isBusy, machine, toJson, type Finding } from "./report.ts";
import { loadRow, ROW_NAMES, rowsFor } from "./rows.ts";

const PROGRAM = "npm run bench --";
const HELP = `usage: ${PROGRAM} [options]

Measures Oribi beside node:net and node:dgram in the same run and prints how many times it is as fast.

  --filter NAME  only the row of that name, or those whose names hold the text; several with commas between
  --json FILE    also write [{name, value, unit, peer, peerValue, ratio, runs, spread}]
  --runs N       measurements of each contender, whose median counts (default 5)
  --time TIME    how long each measurement takes (default 400ms)
  --list         print the names of the rows
  --help         print this help

A ratio is Oribi's figure divided by the peer's; the spread is half the interquartile range of the runs' ratios.
`;

interface Options {
  rows: string[];
  json: string | undefined;
  runs: number;
  millis: number;
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    const options = readOptions(args);
    return typeof options === "string" ? say(options) : await bench(options);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    process.stderr.write(error.toText(PROGRAM));
    return error.exitStatus;
  }
}

/** The options, or a text to print instead of measuring. */
function readOptions(args: string[]): Options | string {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const table = {
    filter: text,
    json: text,
    runs: text,
    time: text,
    list: flag,
    help: { ...flag, short: "h" },
  } as const;
  const values = attempt("", () => parseArgs({ args, options: table }).values);
  if (values.help === true) return HELP;
  const rows = values.filter === undefined ? [...ROW_NAMES] : rowsFor(values.filter);
  if (rows.length === 0) {
    throw new CliError(`--filter is "${values.filter}"`, { expected: `(a part of) one of: ${ROW_NAMES.join(", ")}` });
  }
  if (values.list === true) return `${rows.join("\n")}\n`;
  const { json } = values;
  return {
    rows,
    json: json === undefined ? undefined : attempt("json", () => writableFile(json)),
    runs: attempt("runs", () => count(1, 1000)(values.runs ?? "5")),
    millis: attempt("time", () => micros(values.time ?? "400ms")) / 1000,
  };
}

/** Names the option when its value cannot be read. */
function attempt<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CliError) {
      const { expected, hint, message } = error;
      throw new CliError(`--${option}: ${message === "" ? "cannot be read" : message}`, { expected, hint });
    }
    throw new CliError((error as Error).message, { hint: `see: ${PROGRAM} --help`, cause: error });
  }
}

async function bench({ rows, json, runs, millis }: Options): Promise<number> {
  say(`${machine()}\n`);
  if (isBusy()) say("Others are using this machine: the ratios will be unsteady.\n");
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  const findings: Finding[] = [];
  let failures = 0;
  for (const [index, name] of rows.entries()) {
    const row = await loadRow(name);
    progress(`${index + 1}/${rows.length} ${name}`);
    try {
      findings.push({ row, measured: await measureApart(name, { runs, millis }, abort.signal) });
    } catch (error) {
      if (abort.signal.aborted) return EXIT_INTERRUPTED;
      failures++;
      progress("");
      process.stderr.write(`${(error as Error).message}\n`);
    }
  }
  progress("");
  if (findings.length > 0) {
    const color = process.stdout.isTTY && process.env.NO_COLOR === undefined;
    say(`\n${formatFindings(findings, color)}\n${formatNotes(findings)}`);
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(toJson(findings), null, 2)}\n`);
  return failures > 0 ? EXIT_FAILURE : 0;
}

/** One line on a terminal that the next one takes the place of; nothing elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

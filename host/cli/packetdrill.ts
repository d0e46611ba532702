// `oribi packetdrill`: packetdrill scripts against the stack, in virtual time.
// Read first: host/packetdrill/run.ts (one script), host/packetdrill/batch.ts (many).

import { relative } from "node:path";
import { findScripts, runScripts } from "../packetdrill/batch.ts";
import type { ScriptResult } from "../packetdrill/run.ts";
import { checkOptions } from "../packetdrill/settings.ts";
import { defineCommand } from "./command.ts";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "./errors.ts";
import { formatCount, formatMicros } from "./format.ts";
import type { Io, Output } from "./io.ts";
import type { Arguments } from "./options.ts";
import { Progress } from "./progress.ts";
import { count, listOf, word, writableFolder } from "./units.ts";

const JOBS_MAX = 256;
/** Packets shown of each list around the end of a script that failed. */
const LISTED = 12;
const DEFINITION = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s;

const options = {
  jobs: { form: "N", description: "threads", default: "1", short: "j", parse: count(1, JOBS_MAX) },
  define: {
    form: "NAME=VALUE",
    description: "what stands for a word of the scripts; may be given several times",
    short: "D",
    many: true,
    parse: listOf(definition),
  },
  tolerance_usecs: { form: "N", description: "least tolerance of times, microseconds", parse: count() },
  local_ip: { form: "ADDRESS", description: "address of the stack", parse: word },
  remote_ip: { form: "ADDRESS", description: "address of the other end", parse: word },
  mtu: { form: "N", description: "MTU of the link", parse: count(68, 65535) },
  init_scripts: { form: "COMMAND", description: "a shell command before those of each script", parse: word },
  pcap: { form: "FOLDER", description: "write a pcapng file of each script there", parse: writableFolder },
  verbose: { description: "list the packets of scripts that pass, too; with what they print", short: "v" },
  debug: { description: "use the debug build of the core: slower, but a trap names its line" },
  json: { description: "print the results as JSON" },
};

/** Options that go to the scripts as they are. */
const PASSED_ON = ["tolerance_usecs", "local_ip", "remote_ip", "mtu", "init_scripts"] as const;

type Given = Arguments<typeof options>["options"];

export const command = defineCommand({
  name: "packetdrill",
  summary: "run packetdrill scripts against the stack",
  usage:
    "Runs scripts of the packetdrill language on one host in simulated time: system calls on its POSIX sockets, " +
    "packets that arrive and packets that must leave, each at its time, sysctls, and assertions on TCP_INFO. FILE is " +
    'a script; of a FOLDER all "*.pkt" below it are run. A script that asks for what is not there is refused and ' +
    "counted apart; one with an option that nobody knows, or a wrong value of one, has failed. The status is 1 when " +
    "one failed.",
  options,
  operands: ["FILE|FOLDER..."],
  examples: [
    ["oribi packetdrill test/packetdrill", "a collection"],
    ["oribi packetdrill -j 2 --json DIR > results.json", "on two threads, for a program"],
    ["oribi packetdrill -v one.pkt --pcap .", "one script, with its packets, and a capture"],
  ],
  async run({ options: given, operands }, io) {
    if (operands.length === 0) {
      throw new CliError("no script is named", { expected: "files, or folders with *.pkt files" });
    }
    checkPassedOn(given);
    const files = scriptsOf(operands);
    const startMillis = performance.now();
    const results = await runAll(files, given, io);
    const seconds = (performance.now() - startMillis) / 1000;
    if (given.json) io.stdout.write(`${JSON.stringify(report(results, seconds), null, 2)}\n`);
    else io.stdout.write(`${totalLine(results, seconds)}\n${ignoredLines(results)}`);
    if (results.some((result) => result.status === "failed")) return EXIT_FAILURE;
    return results.length < files.length ? EXIT_INTERRUPTED : 0;
  },
});

/** What goes to the scripts as it is, by its names there. */
function passedOnOf(given: Given): Record<string, string> {
  const passedOn: Record<string, string> = {};
  for (const name of PASSED_ON) if (given[name] !== undefined) passedOn[name] = String(given[name]);
  return passedOn;
}

/** A wrong option of the command line is no matter of the scripts. */
function checkPassedOn(given: Given): void {
  try {
    checkOptions(passedOnOf(given));
  } catch (error) {
    throw new CliError((error as Error).message, { cause: error });
  }
}

function scriptsOf(operands: readonly string[]): string[] {
  let files: string[];
  try {
    files = findScripts(operands);
  } catch (error) {
    throw new CliError((error as Error).message, { expected: "files or folders that are there", cause: error });
  }
  if (files.length > 0) return files;
  throw new CliError(`no script in ${operands.join(", ")}`, { expected: 'files whose names end in ".pkt"' });
}

async function runAll(files: readonly string[], given: Given, io: Io): Promise<ScriptResult[]> {
  const { stdout, stderr, signal } = io;
  using progress = new Progress(stderr, { label: "scripts", total: files.length });
  let done = 0;
  let failed = 0;
  const onResult = (result: ScriptResult): void => {
    if (result.status === "failed") failed++;
    progress.update(++done, failed === 0 ? "" : `${failed} failed`);
    if (!given.json) progress.print(stdout, resultText(result, given.verbose, stdout));
  };
  return await runScripts(files, {
    jobs: given.jobs,
    define: Object.fromEntries(given.define ?? []),
    options: passedOnOf(given),
    debug: given.debug,
    listAll: given.verbose,
    ...(given.pcap === undefined ? {} : { pcap: given.pcap }),
    signal,
    onResult,
  });
}

/** "NAME=VALUE" as a pair. */
function definition(text: string): [string, string] {
  const [, name, value] = DEFINITION.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  throw new CliError("", { expected: "NAME=VALUE, the name of letters, digits and _" });
}

const LABELS = { ok: "ok     ", failed: "not ok ", refused: "refused" } as const;
const COLORS = { ok: 32, failed: 31, refused: 33 } as const;

/** What is said of a script: a line, and more when it did not pass. */
function resultText(result: ScriptResult, verbose: boolean, output: Output): string {
  const { status, message, line } = result;
  const label = output.color ? `\x1b[${COLORS[status]}m${LABELS[status]}\x1b[0m` : LABELS[status];
  const lines = [`${label} ${shortPath(result.file)}${line > 0 ? `:${line}` : ""}`];
  if (message !== "") lines.push(`          ${message}`);
  if (result.expected !== undefined) lines.push(...block("expected", result.expected), ...block("got", result.actual));
  if (result.printed !== "" && (verbose || status === "failed")) lines.push(...block("printed", result.printed));
  if (verbose) lines.push(...list("script", result.script, Infinity), ...list("wire", result.wire, Infinity));
  else if (status === "failed" && result.wire.length > 0) lines.push(...list("wire", result.wire, LISTED));
  return lines.join("\n");
}

function block(title: string, text = ""): string[] {
  if (text === "") return [];
  return text
    .trimEnd()
    .split("\n")
    .map((line, i) => `  ${(i === 0 ? title : "").padStart(8)}  ${line.trimEnd()}`);
}

/** The last packets of a list. */
function list(title: string, packets: readonly string[], most: number): string[] {
  const hidden = Math.max(0, packets.length - most);
  const shown = packets.slice(hidden);
  const head = hidden > 0 ? [`(${formatCount(hidden)} packets before)`] : [];
  return block(title, [...head, ...shown].join("\n"));
}

function shortPath(path: string): string {
  const here = relative(process.cwd(), path);
  return here.startsWith("..") || here === "" ? path : here;
}

function totals(results: readonly ScriptResult[]): Record<"scripts" | ScriptResult["status"], number> {
  const of = (status: ScriptResult["status"]): number => results.filter((result) => result.status === status).length;
  return { scripts: results.length, ok: of("ok"), failed: of("failed"), refused: of("refused") };
}

function totalLine(results: readonly ScriptResult[], seconds: number): string {
  const { scripts, ok, failed, refused } = totals(results);
  const micros = results.reduce((sum, result) => sum + result.micros, 0);
  const speed = `${seconds.toFixed(2)} s (${formatCount(scripts / seconds)} a second)`;
  return [
    `${formatCount(scripts)} scripts: ${ok} ok, ${failed} failed, ${refused} refused`,
    `${formatMicros(micros)} of virtual time in ${speed}`,
  ].join("; ");
}

/** What scripts asked for and does nothing here, once. */
function ignoredLines(results: readonly ScriptResult[]): string {
  const ignored = new Set(results.flatMap((result) => result.ignored));
  return [...ignored].map((what) => `ignored, as it does nothing here: ${what}\n`).join("");
}

function report(results: readonly ScriptResult[], seconds: number): object {
  return { ...totals(results), seconds, scriptsPerSecond: results.length / seconds, results };
}

// `oribi demo`, the main job: a real file over a clean link and over a bad one, measured beside node:net, captured.
// Read first: host/demo/clean-link.ts and host/demo/bad-link.ts, its two halves; host/demo/threaded.ts between them.

import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative, resolve } from "node:path";
import {
  badLink,
  CAPTURE_PACKETS_DEFAULT,
  type BadOptions,
  type BadResult,
  type Impairments,
} from "../demo/bad-link.ts";
import { cleanLink, type CleanOptions, type CleanResult } from "../demo/clean-link.ts";
import { badTable, cleanTable, ending, heading, impairmentText, isIntact, jsonReport, LABELS } from "../demo/report.ts";
import { THREAD_MODELS, ThreadFailure } from "../demo/crew.ts";
import { fileSource, madeSource, sha256, type Source } from "../demo/source.ts";
import { threaded, type ThreadedOptions, type ThreadedResult } from "../demo/threaded.ts";
import { threadedTables } from "../demo/threaded-report.ts";
import { defineCommand } from "./command.ts";
import { CliError, EXIT_FAILURE } from "./errors.ts";
import { formatBytes, formatMicros } from "./format.ts";
import type { Io, Output } from "./io.ts";
import type { Arguments } from "./options.ts";
import { Progress } from "./progress.ts";
import * as units from "./units.ts";

const OUT_DEFAULT = "oribi-demo";
/** What is made lies in memory. */
const SIZE_MAX = 2 ** 30;
const QUEUES_MAX = 64;
const QUEUES_DEFAULT = 4;

const options = {
  file: { form: "FILE", description: "the file to send (default: one of random bytes)", parse: units.readableFile },
  size: { form: "SIZE", description: "size of the file that is made", default: "8MiB", parse: madeSize },
  seed: { form: "SEED", description: "gives every random choice, a number or a word", default: "1", parse: units.seed },
  queues: {
    form: "N",
    description:
      "queues of each NIC, 1 to 64 (default 4; with --threads as many as the client leaves cores, at least 2)",
    parse: units.count(1, QUEUES_MAX),
  },
  threads: {
    form: "MODEL",
    description: "also from a server with a stack and a thread for each queue: shared or separate",
    parse: units.oneOf(...THREAD_MODELS),
  },
  loss: { form: "SHARE", description: "bad link: frames lost, each way", default: "1%", parse: units.share },
  delay: { form: "TIME", description: "bad link: time of travel, each way", default: "20ms", parse: units.micros },
  jitter: {
    form: "TIME",
    description: "bad link: most by which the delay varies; frames stay in order",
    default: "2ms",
    parse: units.micros,
  },
  reorder: { form: "SHARE", description: "bad link: frames that overtake others", default: "0%", parse: units.share },
  duplicate: { form: "SHARE", description: "bad link: frames that arrive twice", default: "0%", parse: units.share },
  corrupt: { form: "SHARE", description: "bad link: frames with a flipped bit", default: "0%", parse: units.share },
  rate: { form: "RATE", description: "bad link: its speed (default: no limit)", parse: units.bitsPerSecond },
  out: {
    form: "PREFIX",
    description: "where PREFIX.pcapng and PREFIX.html go; or a folder",
    default: OUT_DEFAULT,
    parse: outPaths,
  },
  packets: {
    form: "N",
    description: "bad link: most packets that are captured and plotted",
    default: String(CAPTURE_PACKETS_DEFAULT),
    parse: units.count(1),
  },
  measure: {
    form: "TIME",
    description: "clean link and threads: how long each figure is measured",
    default: "750ms",
    parse: units.micros,
  },
  "no-kernel": { description: "do not measure node:net" },
  json: { description: "print the figures as JSON" },
};

export const command = defineCommand({
  name: "demo",
  summary: "send a file over a clean and a bad link",
  usage:
    "Sends a file from one host to another, each on its own TCP/IP stack in WebAssembly, behind a NIC of several " +
    "queues, on one bridge. First over a clean link in real time, which is measured beside node:net over the " +
    "kernel's loopback; then over a bad link in simulated time, which is captured at both hosts and plotted. Checks " +
    "what arrives by its SHA-256, and ends with status 1 if that is not what was sent. The same seed gives the same " +
    "capture, byte for byte. With --threads, between the two, a server whose queues are served by as many threads: " +
    '"shared" has a stack and its application in each; "separate" has a stack in each, and business threads that ' +
    "use all of them. The client fetches the file in parts over many connections, and every queue's figures are told.",
  options,
  examples: [
    ["oribi demo --file photo.jpg --loss 3% --delay 80ms", "your file, over a worse link"],
    ["oribi demo --rate 10Mbit --loss 0%", "a queue that fills, in place of losses by chance"],
    ["oribi demo --threads separate --queues 2", "stacks in threads, the application in others"],
    ["oribi demo --no-kernel --json --out /tmp/run", "figures for a program, files elsewhere"],
  ],
  async run(args, io) {
    const { options: given } = args;
    if (args.given.has("file") && args.given.has("size")) {
      throw new CliError("--size is for the file that is made, but --file names one", {
        hint: "leave out one of them",
      });
    }
    using source = given.file === undefined ? madeSource(given.size, given.seed.text) : openFile(given.file);
    return await demo(source, args, io);
  },
});

async function demo(source: Source, args: Arguments<typeof options>, { stdout, stderr }: Io): Promise<number> {
  const { options: given } = args;
  const { seed, threads: model } = given;
  const queues = given.queues ?? (model === undefined ? QUEUES_DEFAULT : queuesForCores());
  const impairments = impairmentsOf(given);
  const say = (text: string): void => void (given.json || stdout.write(text));
  const table = { color: stdout.color };
  say(heading(source, given.seed.text, queues));
  const file = { name: source.name, bytes: source.bytes, sha256: digest(source, stderr) };
  const how = { kernel: !given["no-kernel"], measureMicros: given.measure };
  const clean = await cleanHalf(source, { seed: seed.value, queues, ...how }, stderr);
  say(`\n${cleanTable(clean, table)}`);
  const threadedOptions = model && { model, queues, seed: seed.value, measureMicros: given.measure };
  const threads = threadedOptions && (await threadedPart(source, threadedOptions, stderr));
  if (threads !== undefined) say(`\n${threadedTables(threads, source.bytes, table)}`);
  const captured = { packets: given.packets, ...given.out };
  const bad = await badHalf(source, { seed: seed.value, queues, impairments, ...captured }, stderr);
  const outcome = { file, seed: seed.value, queues, impairments, clean, ...(threads && { threads }), bad };
  say(`\n${badTable(outcome, table)}\n${ending(outcome, shortPath)}`);
  if (given.json) stdout.write(jsonReport(outcome));
  return isIntact(outcome) ? 0 : EXIT_FAILURE;
}

/** A path as one would type it here. */
function shortPath(path: string): string {
  const here = relative(process.cwd(), path);
  return here.startsWith("..") ? path : here;
}

function digest(source: Source, stderr: Output): string {
  using progress = new Progress(stderr, { label: "reading", total: source.bytes, unit: "bytes" });
  return sha256(source, (bytes) => progress.update(bytes));
}

async function cleanHalf(source: Source, cleanOptions: CleanOptions, stderr: Output): Promise<CleanResult> {
  using sending = new Progress(stderr, { label: "clean link", total: source.bytes, unit: "bytes" });
  using measuring = new Progress(stderr, { label: "measuring" });
  return await cleanLink(source, cleanOptions, {
    sending: (bytes) => sending.update(bytes),
    measuring(done, total, what) {
      sending.finish();
      measuring.setTotal(total);
      measuring.update(done, LABELS[what]);
    },
  });
}

async function threadedPart(source: Source, partOptions: ThreadedOptions, stderr: Output): Promise<ThreadedResult> {
  const label = `${partOptions.model} threads`;
  using starting = new Progress(stderr, { label: `starting ${label}` });
  using fetching = new Progress(stderr, { label, total: source.bytes, unit: "bytes" });
  using measuring = new Progress(stderr, { label: "measuring" });
  try {
    return await threaded(source, partOptions, {
      starting(done, total) {
        starting.setTotal(total);
        starting.update(done);
      },
      fetching(bytes) {
        starting.finish();
        fetching.update(bytes);
      },
      measuring(done, total, what) {
        fetching.finish();
        measuring.setTotal(total);
        measuring.update(done, LABELS[what]);
      },
    });
  } catch (error) {
    if (!(error instanceof ThreadFailure)) throw error;
    throw new CliError(`${label}: ${error.message}`, { exitStatus: EXIT_FAILURE, cause: error });
  }
}

async function badHalf(
  source: Source,
  halfOptions: Omit<BadOptions, "title" | "note">,
  stderr: Output,
): Promise<BadResult> {
  using progress = new Progress(stderr, { label: "bad link", total: source.bytes, unit: "bytes" });
  const { seed, queues, impairments } = halfOptions;
  const title = `${source.name}, ${formatBytes(source.bytes)}, over a bad link`;
  const note = `${impairmentText(impairments)} · ${queues} queues · seed ${seed}`;
  const told = (bytes: number, micros: number): void =>
    progress.update(bytes, `${formatMicros(micros)} of simulated time`);
  return await badLink(source, { ...halfOptions, title, note }, told);
}

function impairmentsOf(given: Arguments<typeof options>["options"]): Impairments {
  const { loss, reorder, duplicate, corrupt } = given;
  return {
    ...{ loss, reorder, duplicate, corrupt },
    delayMicros: given.delay,
    jitterMicros: given.jitter,
    rateBits: given.rate ?? 0,
  };
}

/** With threads: one for each core that the client leaves, and at least two, so that there is something to share. */
function queuesForCores(): number {
  return Math.min(QUEUES_MAX, Math.max(2, availableParallelism() - 1));
}

function madeSize(text: string): number {
  const bytes = units.bytes(text);
  if (bytes <= SIZE_MAX) return bytes;
  throw new CliError("", {
    expected: `a size up to ${SIZE_MAX / 2 ** 30}GiB`,
    hint: "for more, name a file with --file",
  });
}

function openFile(path: string): Source {
  try {
    return fileSource(path);
  } catch (error) {
    throw new CliError(`--file: ${(error as Error).message}`, { expected: "a regular file", cause: error });
  }
}

/** The paths of both files, from their common beginning or from a folder. */
function outPaths(text: string): { capturePath: string; plotPath: string } {
  const path = resolve(text);
  const isFolder = /[/\\]$/.test(text) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const prefix = isFolder ? join(path, OUT_DEFAULT) : path.replace(/\.(pcapng|html)$/i, "");
  return { capturePath: units.writableFile(`${prefix}.pcapng`), plotPath: units.writableFile(`${prefix}.html`) };
}

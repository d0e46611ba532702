// `oribi simulate`: random networks against TCP's promises, thousands of them, and the replay of any one.
// Read first: host/simulate/run.ts (what a seed must keep), host/simulate/draw.ts (what a seed is).

import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { type FailedSeed, simulate, type Totals } from "../simulate/batch.ts";
import { describeScenario } from "../simulate/describe.ts";
import { drawScenario } from "../simulate/draw.ts";
import { SimulationFailure } from "../simulate/failure.ts";
import { runScenario, type SeedResult } from "../simulate/run.ts";
import { defineCommand } from "./command.ts";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "./errors.ts";
import { formatBytes, formatCount, formatMicros } from "./format.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { count, writableFolder } from "./units.ts";

const SEED_MAX = 2 ** 32 - 1;
const JOBS_MAX = 256;
/** Of so many failing seeds captures are written. */
const CAPTURES_MAX = 5;

export const command = defineCommand({
  name: "simulate",
  summary: "try TCP on thousands of random bad networks",
  usage:
    "Each seed is two hosts, wires that lose, reorder, duplicate and corrupt, and connections of random sizes, " +
    "windows, options and endings, on a simulated clock. Every byte must arrive once and in order, every connection " +
    "must end, and everything must be given back. A seed that fails is named, run again and captured in " +
    "oribi-seed-N.pcapng; the status is 1 then.",
  options: {
    seeds: { form: "N", description: "how many seeds to run", default: "1000", parse: count(1, SEED_MAX + 1) },
    from: { form: "K", description: "the first seed", default: "1", parse: count(0, SEED_MAX) },
    seed: { form: "X", description: "run this seed alone, tell about it and capture it", parse: count(0, SEED_MAX) },
    jobs: { form: "J", description: "threads; default: one for each core", short: "j", parse: count(1, JOBS_MAX) },
    out: { form: "FOLDER", description: "where captures are written", default: ".", parse: writableFolder },
    debug: { description: "use the debug build of the core: slower, but a trap names its line" },
    json: { description: "print the figures as JSON" },
  },
  examples: [
    ["oribi simulate --seeds 10000", "seeds 1 to 10000"],
    ["oribi simulate --seeds 100000 --from 10001 --jobs 8", "others, on eight threads"],
    ["oribi simulate --seed 4711", "one of them, with a capture"],
  ],
  async run({ options, given }, io) {
    const { seed, out, json, debug } = options;
    if (seed !== undefined) {
      const other = ["seeds", "from", "jobs"].find((name) => given.has(name));
      if (other !== undefined) throw new CliError(`--seed runs one seed; --${other} has no use beside it`);
      return replay(seed, { out, json, debug }, io);
    }
    const jobs = Math.min(options.jobs ?? availableParallelism(), options.seeds);
    return runAll({ from: options.from, seeds: options.seeds, jobs, out, json, debug }, io);
  },
});

interface Common {
  out: string;
  json: boolean;
  debug: boolean;
}

/** Runs many seeds and prints their totals. */
async function runAll(options: Common & { from: number; seeds: number; jobs: number }, io: Io): Promise<number> {
  const { from, seeds, jobs, debug, json } = options;
  const startMillis = performance.now();
  const { signal } = io;
  using progress = new Progress(io.stderr, { label: "seeds", total: seeds });
  const onProgress = (totals: Totals, failures: readonly FailedSeed[]): void => {
    const note = totals.failures.length === 0 ? "" : `${totals.failures.length} failed`;
    progress.update(totals.seeds, note);
    for (const failed of failures) if (!json) progress.print(io.stdout, failureText(failed));
  };
  const totals = await simulate({ from, count: seeds, jobs, debug, signal, onProgress });
  progress.finish();
  const seconds = (performance.now() - startMillis) / 1000;
  const captures = signal.aborted ? [] : await captureFailures(totals.failures, options);
  if (json) io.stdout.write(`${JSON.stringify({ from, jobs, ...figures(totals, seconds), captures }, null, 2)}\n`);
  else io.stdout.write([...captures.map((path) => `capture: ${path}`), totalLine(totals, seconds), ""].join("\n"));
  if (totals.failures.length > 0) return EXIT_FAILURE;
  return signal.aborted ? EXIT_INTERRUPTED : 0;
}

/** Runs the first of the failing seeds again, with captures; returns the files. */
async function captureFailures(failures: readonly FailedSeed[], { out, debug }: Common): Promise<string[]> {
  const paths: string[] = [];
  for (const { seed } of failures.slice(0, CAPTURES_MAX)) {
    paths.push((await runCaptured(seed, out, debug)).capture);
  }
  return paths;
}

/** Runs one seed with a capture. */
async function runCaptured(
  seed: number,
  out: string,
  debug: boolean,
): Promise<{ capture: string; result?: SeedResult; failure?: FailedSeed }> {
  const capture = resolve(join(out, `oribi-seed-${seed}.pcapng`));
  try {
    return { capture, result: await runScenario(drawScenario(seed), { capture, debug }) };
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    return { capture, failure: { seed, kind: error.kind, message: error.message } };
  }
}

/** Runs one seed and tells about it. */
async function replay(seed: number, { out, json, debug }: Common, io: Io): Promise<number> {
  const scenario = drawScenario(seed);
  if (!json)
    io.stdout.write(
      `seed ${seed}\n${describeScenario(scenario)
        .map((line) => `  ${line}\n`)
        .join("")}`,
    );
  const { capture, result, failure } = await runCaptured(seed, out, debug);
  if (json) {
    io.stdout.write(`${JSON.stringify({ seed, capture, result, failure, scenario }, null, 2)}\n`);
  } else {
    const verdict = result === undefined ? failureLine(failure as FailedSeed) : resultLine(result);
    io.stdout.write(`${verdict}\ncapture: ${capture}\n`);
  }
  return failure === undefined ? 0 : EXIT_FAILURE;
}

function failureLine({ seed, kind, message }: FailedSeed): string {
  return `seed ${seed} failed: ${kind}: ${message}`;
}

function failureText(failed: FailedSeed): string {
  return `${failureLine(failed)}\n    replay: npx oribi simulate --seed ${failed.seed}`;
}

function resultLine(result: SeedResult): string {
  const { seed, bytes, frames, retransmissions, micros } = result;
  const counts = `${formatCount(frames)} frames, ${formatCount(retransmissions)} retransmissions`;
  return `seed ${seed} passed: ${formatBytes(bytes)} delivered, ${counts}, ${formatMicros(micros)} of virtual time`;
}

function totalLine(totals: Totals, seconds: number): string {
  const { seeds, bytes, frames, retransmissions, micros, failures } = totals;
  const time = `${seconds.toFixed(1)} s (${formatCount(seeds / seconds)} seeds/s)`;
  return [
    `${formatCount(seeds)} seeds, ${formatCount(failures.length)} failed: ${formatBytes(bytes)} delivered`,
    `${formatCount(frames)} frames`,
    `${formatCount(retransmissions)} retransmissions`,
    `${(micros / 86_400e6).toFixed(1)} days of virtual time in ${time}`,
  ].join(", ");
}

function figures({ micros, steps: _steps, ...totals }: Totals, seconds: number): object {
  return { ...totals, virtualSeconds: micros / 1e6, seconds, seedsPerSecond: totals.seeds / seconds };
}

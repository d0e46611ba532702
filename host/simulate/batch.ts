// Many seeds: run one after another here, or dealt out to worker threads; their figures summed, their failures listed.
// Read first: run.ts; node:worker_threads; Piscina's README.

import { setImmediate } from "node:timers/promises";
import { Piscina } from "piscina";
import { drawScenario } from "./draw.ts";
import { type FailureKind, SimulationFailure } from "./failure.ts";
import { runScenario, type SeedResult } from "./run.ts";

/** A seed that failed. */
export interface FailedSeed {
  seed: number;
  kind: FailureKind;
  message: string;
}

/** What some seeds did together. */
export interface Totals extends Omit<SeedResult, "seed"> {
  /** How many were run. */
  seeds: number;
  failures: FailedSeed[];
}

export interface BatchOptions {
  /** The first seed. */
  from: number;
  /** How many. */
  count: number;
  /** Use the debug build of the core. */
  debug: boolean;
}

export interface SimulateOptions extends BatchOptions {
  /** Threads; 1: this one. */
  jobs: number;
  /** Stops between seeds; what has been run is returned. */
  signal: AbortSignal;
  /** Is told the totals now and then, and each batch of failures. */
  onProgress?: (totals: Totals, failures: readonly FailedSeed[]) => void;
}

/** Seeds of one piece of work for a thread: a fraction of a second. */
const BATCH = 16;
/** Seeds wrap around behind the last one. */
const SEEDS = 2 ** 32;

/** The figures of no seed. */
export function noTotals(): Totals {
  const figures = { connections: 0, bytes: 0, frames: 0, retransmissions: 0, outOfOrder: 0, micros: 0, steps: 0 };
  return { seeds: 0, failures: [], ...figures };
}

/** Runs seeds in this thread. */
export async function runBatch({ from, count, debug }: BatchOptions): Promise<Totals> {
  const totals = noTotals();
  for (let i = 0; i < count; i++) {
    const seed = (from + i) % SEEDS;
    totals.seeds++;
    try {
      add(totals, await runScenario(drawScenario(seed), { debug }));
    } catch (error) {
      if (!(error instanceof SimulationFailure)) throw error;
      totals.failures.push({ seed, kind: error.kind, message: error.message });
    }
  }
  return totals;
}

/** Runs seeds on as many threads as there are jobs. */
export async function simulate(options: SimulateOptions): Promise<Totals> {
  const { from, count, debug, jobs, signal } = options;
  const totals = noTotals();
  let next = 0;
  const pool = jobs === 1 ? undefined : new Piscina({ filename: worker(), minThreads: jobs, maxThreads: jobs });
  const work = async (): Promise<void> => {
    while (next < count && !signal.aborted) {
      const size = Math.min(pool === undefined ? 1 : BATCH, count - next);
      const batch: BatchOptions = { from: from + next, count: size, debug };
      next += size;
      const done = pool === undefined ? await runBatch(batch) : ((await pool.run(batch)) as Totals);
      add(totals, done);
      totals.seeds += done.seeds;
      totals.failures.push(...done.failures);
      options.onProgress?.(totals, done.failures);
      // Ctrl-C is heard only where the event loop turns.
      if (pool === undefined) await setImmediate();
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    await pool?.destroy();
  }
  totals.failures.sort((x, y) => x.seed - y.seed);
  return totals;
}

function worker(): string {
  return new URL("./worker.js", import.meta.url).href;
}

function add(totals: Totals, more: Omit<SeedResult, "seed">): void {
  for (const name of ["connections", "bytes", "frames", "retransmissions", "outOfOrder", "micros", "steps"] as const) {
    totals[name] += more[name];
  }
}

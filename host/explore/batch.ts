// Many explorations: the parts of each tree dealt out to threads, their figures summed.
// Read first: explorer.ts; host/simulate/batch.ts, which does the same for seeds.

import { setImmediate } from "node:timers/promises";
import { Piscina } from "piscina";
import { explore, type Exploration, type Fate, type Figures } from "./explorer.ts";
import { WORLDS, type World } from "./scenario.ts";

/** Which fates are tried together. */
export type Mode = "drop" | "disorder" | "all";

export const FATES: Readonly<Record<Mode, readonly Fate[]>> = Object.freeze({
  drop: [".", "x"],
  disorder: [".", "2", "s"],
  all: [".", "x", "2", "s"],
});

/** How many of the first frames each mode tries. */
export type Sizes = Readonly<Record<Mode, number>>;

/** Everything that was asked for: 2^16 subsets lost, 3^10 doubled or swapped, 4^8 of all kinds. */
export const FULL: Sizes = Object.freeze({ drop: 16, disorder: 10, all: 8 });
/** What the tests run every day. */
export const EVERYDAY: Sizes = Object.freeze({ drop: 12, disorder: 7, all: 5 });

/** A piece of work for a thread. */
export interface Part {
  world: string;
  mode: Mode;
  frames: number;
  prefix: string;
  debug: boolean;
}

export interface Row extends Figures {
  world: string;
  mode: Mode;
  frames: number;
}

export interface BatchOptions {
  worlds: readonly World[];
  modes: readonly Mode[];
  sizes: Sizes;
  /** Threads; 1: this one. */
  jobs: number;
  debug?: boolean;
  /** Stops between parts; the rows so far are returned. */
  signal?: AbortSignal;
  /** Is told how many parts of all are done, and their row so far. */
  onProgress?: (done: number, parts: number, rows: readonly Row[]) => void;
}

/** Subsets of one part of a tree at most: a fraction of a second of work. */
const PART_SUBSETS = 8192;

/** The world of that name. @throws {Error} when there is none */
export function worldNamed(name: string): World {
  const world = WORLDS.find((one) => one.name === name);
  if (world === undefined) throw new Error(`There is no world "${name}".`);
  return world;
}

/** The exploration that a part is of. */
export function explorationOf({ world, mode, frames }: Omit<Part, "prefix" | "debug">): Exploration {
  return { world: worldNamed(world), fates: FATES[mode], frames };
}

/** Explores one part in this thread. */
export function explorePart(part: Part): Promise<Figures> {
  return explore(explorationOf(part), { prefix: part.prefix, debug: part.debug });
}

/** Explores worlds on as many threads as there are jobs: a row for each world and mode. */
export async function exploreAll(options: BatchOptions): Promise<Row[]> {
  const { jobs, signal } = options;
  const rows: Row[] = [];
  const parts = options.worlds.flatMap((world) => options.modes.flatMap((mode) => partsOf(world, mode, options)));
  let next = 0;
  let done = 0;
  const pool = jobs === 1 ? undefined : new Piscina({ filename: worker(), minThreads: jobs, maxThreads: jobs });
  const work = async (): Promise<void> => {
    for (let part = parts[next++]; part !== undefined && signal?.aborted !== true; part = parts[next++]) {
      const figures = pool === undefined ? await explorePart(part) : ((await pool.run(part)) as Figures);
      addTo(rows, part, figures);
      options.onProgress?.(++done, parts.length, rows);
      // Ctrl-C is heard only where the event loop turns.
      if (pool === undefined) await setImmediate();
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    await pool?.destroy();
  }
  return rows.sort((x, y) => order(x, options) - order(y, options));
}

/** The parts of a tree: one for each choice of fates of its first frames. */
function partsOf(world: World, mode: Mode, { sizes, debug = false }: BatchOptions): Part[] {
  const fates = FATES[mode];
  const frames = sizes[mode];
  const part = (prefix: string): Part => ({ world: world.name, mode, frames, prefix, debug });
  let prefixes = [""];
  while (fates.length ** frames / prefixes.length > PART_SUBSETS) {
    prefixes = prefixes.flatMap((prefix) => fates.map((fate) => prefix + fate));
  }
  return prefixes.map(part);
}

function addTo(rows: Row[], { world, mode, frames }: Part, figures: Figures): void {
  let row = rows.find((one) => one.world === world && one.mode === mode);
  if (row === undefined) {
    row = { world, mode, frames, subsets: 0, runs: 0, states: 0, forks: 0, violations: [] };
    rows.push(row);
  }
  for (const name of ["subsets", "runs", "states", "forks"] as const) row[name] += figures[name];
  row.violations.push(...figures.violations);
  row.violations.sort((x, y) => (x.fates < y.fates ? -1 : 1));
}

function order({ world, mode }: Row, { worlds, modes }: BatchOptions): number {
  return worlds.findIndex(({ name }) => name === world) * modes.length + modes.indexOf(mode);
}

function worker(): string {
  return new URL("./worker.js", import.meta.url).href;
}

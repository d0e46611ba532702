// `oribi explore`: every fate of the first frames of small connections, and the replay of any one history.
// Read first: host/explore/explorer.ts; host/explore/scenario.ts (the worlds).

import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { EVERYDAY, exploreAll, FULL, type Mode, type Row, worldNamed } from "../explore/batch.ts";
import { type Replay, replay, type Violation, type WireLists } from "../explore/explorer.ts";
import { WORLDS } from "../explore/scenario.ts";
import { defineCommand } from "./command.ts";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "./errors.ts";
import { formatCount } from "./format.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { formatTable } from "./table.ts";
import { count, listOf, oneOf, writableFolder } from "./units.ts";

const JOBS_MAX = 256;
/** Frames whose fates fit the lists of a wire, and trees that end in a lifetime. */
const FRAMES_MAX = 24;
/** Of so many violations captures are written. */
const CAPTURES_MAX = 5;
const NAMES = WORLDS.map(({ name }) => name);
const parseWorlds: (text: string) => string[] = listOf(oneOf(...NAMES));
const parseModes: (text: string) => Mode[] = listOf(oneOf("drop", "disorder", "all"));
const parseSize: (text: string) => "full" | "everyday" = oneOf("full", "everyday");

export const command = defineCommand({
  name: "explore",
  summary: "try every loss, double and swap of the first frames of small connections",
  usage:
    "Each world is one small connection: its set-up, a few segments, an end in some order. Of its first frames every " +
    "subset is lost (drop), every choice doubled or swapped with the next of its wire (disorder), or both (all). " +
    "Every history is lived to its end on a simulated clock: all bytes must arrive once and in order, both ends must " +
    "end, and everything must be given back. A history that breaks a promise is named by the fates of its frames: . " +
    "passes, x is lost, 2 comes twice, s swaps. It is captured in oribi-WORLD-FATES.pcapng; the status is 1 then.",
  options: {
    worlds: { form: "W,...", description: `which; default all: ${NAMES.join(", ")}`, parse: parseWorlds },
    modes: {
      form: "M,...",
      description: "drop, disorder, all",
      default: "drop,disorder",
      parse: parseModes,
    },
    size: {
      form: "SIZE",
      description: `full: ${sizeText(FULL)}; everyday: ${sizeText(EVERYDAY)}`,
      default: "full",
      parse: parseSize,
    },
    frames: { form: "N", description: "how many frames, in place of the size's", parse: count(1, FRAMES_MAX) },
    replay: { form: "FATES", description: "live this history of one world alone, and capture it", parse: fates },
    jobs: { form: "J", description: "threads; default: one for each core", short: "j", parse: count(1, JOBS_MAX) },
    out: { form: "FOLDER", description: "where captures are written", default: ".", parse: writableFolder },
    debug: { description: "use the debug build of the core: slower, but a trap names its line" },
    json: { description: "print the figures as JSON" },
  },
  examples: [
    ["oribi explore", "all worlds, 2^16 subsets lost, 3^10 choices of doubled and swapped"],
    ["oribi explore --worlds close-both --modes all --frames 9", "one world, more of it"],
    ["oribi explore --worlds upload --replay ..x.2s", "one history, with a capture"],
  ],
  async run({ options }, io) {
    const { out, json, debug, size } = options;
    const worlds = options.worlds === undefined ? WORLDS : options.worlds.map(worldNamed);
    if (options.replay !== undefined) {
      const [world, other] = worlds;
      if (world === undefined || other !== undefined) throw new CliError("--replay needs one world: add --worlds NAME");
      return replayOne(world.name, options.replay, { out, json, debug }, io);
    }
    const { frames } = options;
    const given = frames === undefined ? (size === "full" ? FULL : EVERYDAY) : undefined;
    const sizes = given ?? { drop: frames as number, disorder: frames as number, all: frames as number };
    const jobs = options.jobs ?? availableParallelism();
    return runAll({ worlds, modes: options.modes, sizes, jobs, out, json, debug }, io);
  },
});

interface Common {
  out: string;
  json: boolean;
  debug: boolean;
}

function sizeText({ drop, disorder, all }: typeof FULL): string {
  return `${drop} frames lost, ${disorder} disordered, ${all} of all`;
}

function fates(text: string): string {
  if (/^[.x2s]{1,32}$/.test(text)) return text;
  throw new CliError("", { expected: "up to 32 of the letters . x 2 s, one for each frame" });
}

type AllOptions = Common & Pick<Parameters<typeof exploreAll>[0], "worlds" | "modes" | "sizes" | "jobs">;

async function runAll({ out, json, debug, ...options }: AllOptions, io: Io): Promise<number> {
  const { signal } = io;
  const startMillis = performance.now();
  using progress = new Progress(io.stderr, { label: "parts" });
  const onProgress = (done: number, parts: number, rows: readonly Row[]): void => {
    progress.setTotal(parts);
    progress.update(done, `${formatCount(totalOf(rows).runs)} runs`);
  };
  const rows = await exploreAll({ ...options, debug, signal, onProgress });
  progress.finish();
  const seconds = (performance.now() - startMillis) / 1000;
  const violations = rows.flatMap((row) => row.violations);
  const captures: string[] = [];
  for (const { world, fates } of violations.slice(0, CAPTURES_MAX)) {
    captures.push((await capture(world, fates, out, debug)).path);
  }
  const total = totalOf(rows);
  if (json) {
    const figures = { ...total, seconds, statesPerSecond: total.states / seconds, runsPerSecond: total.runs / seconds };
    io.stdout.write(`${JSON.stringify({ ...figures, jobs: options.jobs, rows, captures }, null, 2)}\n`);
  } else {
    io.stdout.write(tableText(rows, io));
    for (const violation of violations) io.stdout.write(violationText(violation));
    for (const path of captures) io.stdout.write(`capture: ${path}\n`);
    io.stdout.write(`${totalLine(total, seconds)}\n`);
  }
  if (violations.length > 0) return EXIT_FAILURE;
  return signal.aborted ? EXIT_INTERRUPTED : 0;
}

interface Total {
  subsets: number;
  runs: number;
  states: number;
  forks: number;
  violations: number;
}

function totalOf(rows: readonly Row[]): Total {
  const total = { subsets: 0, runs: 0, states: 0, forks: 0, violations: 0 };
  for (const row of rows) {
    for (const name of ["subsets", "runs", "states", "forks"] as const) total[name] += row[name];
    total.violations += row.violations.length;
  }
  return total;
}

function tableText(rows: readonly Row[], io: Io): string {
  const heads = ["world", "mode", "frames", "choices", "runs", "states", "violations"].map((title) => ({ title }));
  const cells = rows.map(({ world, mode, frames, subsets, runs, states, violations }) => {
    return [world, mode, frames, subsets, runs, states, violations.length];
  });
  return formatTable(heads, cells, { color: io.stdout.color });
}

function totalLine({ subsets, runs, states, violations }: Total, seconds: number): string {
  const rate = `${formatCount(Math.round(states / seconds))} states/s`;
  return [
    `${formatCount(subsets)} choices in ${formatCount(runs)} runs`,
    `${formatCount(states)} states explored in ${seconds.toFixed(1)} s (${rate})`,
    `${formatCount(violations)} violations`,
  ].join(", ");
}

function violationText({ world, fates, kind, message }: Violation): string {
  return `${world} ${fates}: ${kind}: ${message}\n    replay: npx oribi explore --worlds ${world} --replay ${fates}\n`;
}

/** Lives one history with a capture. */
async function capture(world: string, fates: string, out: string, debug: boolean): Promise<Replay & { path: string }> {
  const path = resolve(join(out, `oribi-${world}-${fates}.pcapng`));
  try {
    return { path, ...(await replay(worldNamed(world), fates, path, debug)) };
  } catch (error) {
    rmSync(path, { force: true }); // of a history that cannot be
    throw error;
  }
}

async function replayOne(world: string, fates: string, { out, json, debug }: Common, io: Io): Promise<number> {
  const lived = await capture(world, fates, out, debug).catch((error: unknown) => {
    if (error instanceof RangeError) throw new CliError(error.message, { expected: "at most as many as there are" });
    throw error;
  });
  const { path, violation, lists } = lived;
  if (json) {
    io.stdout.write(`${JSON.stringify({ world, fates, capture: path, violation, lists }, null, 2)}\n`);
  } else {
    const verdict = violation === undefined ? "passed" : `broke a promise: ${violation.kind}: ${violation.message}`;
    const wires = lists.map((list, side) => `  wire of host ${"ab".charAt(side)}: ${listsText(list)}\n`).join("");
    const { about } = worldNamed(world);
    io.stdout.write(`${world}: ${about}\n${wires}${world} ${fates} ${verdict}\ncapture: ${path}\n`);
  }
  return violation === undefined ? 0 : EXIT_FAILURE;
}

/** The frames of a wire to which something happened, by their numbers from 0. */
function listsText(lists: WireLists): string {
  const words = { drop: "lost", duplicate: "doubled", swap: "swapped" };
  const parts = (["drop", "duplicate", "swap"] as const).flatMap((name) => {
    const frames = Array.from({ length: 32 }, (_, i) => i).filter((i) => (lists[name] & (1 << i)) !== 0);
    return frames.length === 0 ? [] : [`${words[name]} ${frames.join(" ")}`];
  });
  return parts.length === 0 ? "all pass" : parts.join(", ");
}

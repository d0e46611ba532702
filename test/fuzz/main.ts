// Runs the fuzzers for as long as one likes:
//   node dist/test/fuzz/main.js [--target stack,sweep,nics,captures] [--frames 5000000] [--seed 7] [--debug]
// Read first: fuzz.ts (frames at live connections), sweep.ts (every value), nics.ts, captures.ts.

import { parseArgs } from "node:util";
import { fuzzCaptures } from "./captures.ts";
import { readCorpus } from "./corpus.ts";
import { Fuzzer } from "./fuzz.ts";
import { lengthCases } from "./length-list.ts";
import { fuzzNics } from "./nics.ts";
import { IPV4_TYPES, optionCases, TCP_KINDS } from "./option-list.ts";
import { DataOptionSweep, Ipv4OptionSweep, LengthSweep, SynOptionSweep } from "./sweep.ts";

const TARGETS = ["stack", "sweep", "nics", "captures"];
const PROGRESS_MILLIS = 5000;

const { values } = parseArgs({
  options: {
    /** Which fuzzers, with commas between. */
    target: { type: "string", default: TARGETS.join() },
    /** Frames (captures) of each target but "sweep", which is as long as it is. */
    frames: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 32) },
    /** Frames of one life of the stacks; then new ones are made, with the next seed. */
    life: { type: "string", default: "200000" },
    /** Sweeps try every how many-th case. */
    stride: { type: "string", default: "1" },
    /** Pools of the stacks that run out all the time, in every life; else in every third. */
    scarce: { type: "boolean", default: false },
    corpus: { type: "string" },
    /** Uses the debug build of the core, whose traps name file and line. */
    debug: { type: "boolean", default: false },
  },
});
if (values.debug) process.env.ORIBI_DEBUG = "1";
const corpus = readCorpus(values.corpus);
const [frames, firstSeed, life, stride] = [values.frames, values.seed, values.life, values.stride].map(Number) as [
  number,
  number,
  number,
  number,
];
const start = performance.now();
let printedAt = start;

/** Says how far it has come, now and then. */
function progress(target: string, count: number): void {
  const now = performance.now();
  if (now - printedAt < PROGRESS_MILLIS) return;
  printedAt = now;
  console.log(`${target}: ${count} so far, ${Math.round((now - start) / 1000)} s`);
}

/** Each target returns its count and what else there is to say. */
const run: Record<string, () => [count: number, remark: string]> = {
  stack() {
    const totals = { frames: 0, answers: 0, alive: 0, gone: 0 };
    for (let seed = firstSeed; totals.frames < frames; seed++) {
      const onProgress = (count: number): void => progress(`stack, seed ${seed}`, totals.frames + count);
      const isScarce = values.scarce || (seed - firstSeed) % 3 === 2;
      const left = Math.min(life, frames - totals.frames);
      const report = new Fuzzer({ frames: left, seed, corpus, isScarce, onProgress }).run();
      for (const name of ["frames", "answers", "alive", "gone"] as const) totals[name] += report[name];
    }
    const { answers, alive, gone } = totals;
    return [totals.frames, `frames, ${answers} answers; of the connections ${alive} lived, ${gone} had ended`];
  },
  sweep() {
    const [tcp, ip] = [TCP_KINDS, IPV4_TYPES].map((kinds) => () => optionCases(kinds, [0, 255, 4], stride));
    const zeros = (): ReturnType<typeof optionCases> => optionCases(TCP_KINDS, [0], stride);
    const counts = [
      new Ipv4OptionSweep().run(ip!(), (count) => progress("sweep, IPv4 options", count)),
      new SynOptionSweep().run(tcp!(), (count) => progress("sweep, options of SYNs", count)),
      new DataOptionSweep(false).run(zeros(), (count) => progress("sweep, options of data", count)),
      new DataOptionSweep(true).run(zeros(), (count) => progress("sweep, options of data with timestamps", count)),
      new LengthSweep().run(lengthCases(stride), (count) => progress("sweep, lengths", count)),
    ];
    return [counts.reduce((sum, count) => sum + count, 0), "frames, each with its verdict"];
  },
  nics() {
    const onProgress = (count: number): void => progress(`nics, seed ${firstSeed}`, count);
    return [fuzzNics({ frames, seed: firstSeed, corpus, onProgress }), "frames from NIC to NIC"];
  },
  captures() {
    const onProgress = (count: number): void => progress(`captures, seed ${firstSeed}`, count);
    const { captures, read, refused, packets } = fuzzCaptures({
      captures: frames,
      seed: firstSeed,
      corpus,
      onProgress,
    });
    return [captures, `damaged captures, ${read} read to the end, ${refused} refused, ${packets} packets`];
  },
};

let total = 0;
for (const target of values.target.split(",")) {
  const fuzz = run[target];
  if (fuzz === undefined) throw new Error(`There is no target "${target}": expected ${TARGETS.join(", ")}.`);
  const begun = performance.now();
  const [count, remark] = fuzz();
  total += count;
  console.log(`${target}: ${count} ${remark}; ${Math.round((count * 1000) / (performance.now() - begun))}/s`);
}
console.log(`total: ${total}, no failure, from seed ${firstSeed}, ${Math.round((performance.now() - start) / 1000)} s`);

// Runs the fuzzer for as long as one likes: node dist/test/fuzz/main.js --frames 5000000 --seed 7 [--debug]
// Read first: fuzz.ts.

import { parseArgs } from "node:util";
import { readCorpus } from "./corpus.ts";
import { Fuzzer } from "./fuzz.ts";

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 32) },
    /** Frames of one life of the stacks; then new ones are made, with the next seed. */
    life: { type: "string", default: "200000" },
    corpus: { type: "string" },
    debug: { type: "boolean", default: false },
  },
});
if (values.debug) process.env.ORIBI_DEBUG = "1";
const corpus = readCorpus(values.corpus);
const frames = Number(values.frames);
const start = performance.now();
let sent = 0;
const totals = { answers: 0, alive: 0, gone: 0 };
for (let seed = Number(values.seed); sent < frames; seed++) {
  const report = new Fuzzer({ frames: Math.min(Number(values.life), frames - sent), seed, corpus }).run();
  sent += report.frames;
  for (const name of ["answers", "alive", "gone"] as const) totals[name] += report[name];
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `${sent} frames up to seed ${seed}: ${totals.answers} answers; of the connections ${totals.alive} lived, ` +
      `${totals.gone} had ended; ${Math.round(sent / seconds)} frames/s`,
  );
}

// What a worker thread of the simulator runs: one batch of seeds after another.

import { type BatchOptions, runBatch, type Totals } from "./batch.ts";

export default function (batch: BatchOptions): Promise<Totals> {
  return runBatch(batch);
}

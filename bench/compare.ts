// Measures two contenders in turn, several times, with tinybench; medians and the spread of their ratio.
// Read first: tinybench's README, "Async Detection" and the options of Bench.

import { Bench, type FnReturnedObject, type Task } from "tinybench";
import type { Measured, RunOptions } from "./row.ts";

/** Something that does the same batch of work again and again. */
export interface Contender {
  name: string;
  /** Units of work (operations, bytes) in one batch. */
  amount: number;
  /** `batch` gives a promise. */
  isAsync?: boolean;
  /** Does it, and may say itself how long that took. */
  batch: () => void | Promise<void | FnReturnedObject>;
}

/**
 * Measures both, one after the other, `runs` times; who begins changes from run to run. The rate of a run is work over
 * time with everything that came in between: collections of garbage, timers, the scheduler.
 * @param figure makes the row's figure of a rate (units of work a second); default: the rate itself
 */
export async function compare(
  ours: Contender,
  peer: Contender,
  options: RunOptions,
  figure = (rate: number): number => rate,
): Promise<Measured> {
  await measureAll([ours, peer], options.millis);
  const values: number[] = [];
  const peerValues: number[] = [];
  for (let run = 0; run < options.runs; run++) {
    const order = run % 2 === 0 ? [ours, peer] : [peer, ours];
    const rates = await measureAll(order, options.millis);
    values.push(figure(rates.get(ours) as number));
    peerValues.push(figure(rates.get(peer) as number));
  }
  return summary(peer.name, values, peerValues);
}

/** Measures one contender against a figure that is given. */
export async function compareToBudget(ours: Contender, budget: number, options: RunOptions): Promise<Measured> {
  await measureAll([ours], options.millis);
  const values: number[] = [];
  for (let run = 0; run < options.runs; run++) {
    values.push((await measureAll([ours], options.millis)).get(ours) as number);
  }
  return summary(
    "budget",
    values,
    values.map(() => budget),
  );
}

/** The median rate of one contender, units of work per second: for remarks. */
export async function rateOf(contender: Contender, options: RunOptions): Promise<number> {
  return (await compareToBudget(contender, 1, options)).value;
}

/** The figures of a row from those of its runs. */
export function summary(peer: string, values: readonly number[], peerValues: readonly number[]): Measured {
  const value = quantile(values, 0.5);
  const peerValue = quantile(peerValues, 0.5);
  const ratios = values.map((each, run) => each / (peerValues[run] as number));
  const spread = (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / quantile(ratios, 0.5);
  return { value, peer, peerValue, ratio: value / peerValue, runs: values.length, spread };
}

/** A quantile with linear interpolation between neighbours. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? NaN;
  const high = sorted[Math.ceil(at)] ?? NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** Units of work per second of each contender, measured one after the other in this order. */
async function measureAll(contenders: readonly Contender[], millis: number): Promise<Map<Contender, number>> {
  // What one contender has littered is not to be cleared away at the other's cost.
  const setup = (): void => globalThis.gc?.();
  const bench = new Bench({ time: millis, iterations: 2, warmup: false, throws: true, setup });
  for (const { name, batch, isAsync = false } of contenders) bench.add(name, batch, { async: isAsync });
  await bench.run();
  return new Map(contenders.map((each) => [each, (each.amount * 1000) / meanMillis(bench.getTask(each.name))]));
}

function meanMillis(task: Task | undefined): number {
  const result = task?.result;
  if (result?.state !== "completed") throw new Error(`${task?.name} was not measured: ${result?.state}`);
  return result.latency.mean;
}

// The options of a link: what a bad wire does, in words and units; from there to the rules in shared memory.
// Read first: tc-netem(8), whose names are kept where they say the same.

import {
  RULE_GILBERT,
  RULE_NORMAL,
  RULE_ORDERED,
  RULE_PARTITION,
  RULES_CORRUPT,
  RULES_DELAY,
  RULES_DROP_LIST,
  RULES_DUPLICATE,
  RULES_DUPLICATE_LIST,
  RULES_FLAGS,
  RULES_GILBERT_P,
  RULES_GILBERT_R,
  RULES_HOLD,
  RULES_JITTER,
  RULES_LOSS,
  RULES_LOSS_BAD,
  RULES_LOSS_GOOD,
  RULES_OVERHEAD,
  RULES_QUEUE_BYTES,
  RULES_QUEUE_PACKETS,
  RULES_RATE,
  RULES_REORDER,
  RULES_REORDER_GAP,
  RULES_SWAP_LIST,
} from "../assembly/layout.ts";
import {
  checkNames,
  type Duration,
  OptionError,
  parseBoolean,
  parseDuration,
  parseInteger,
  parseProbability,
  parseRate,
  parseSize,
  parseWord,
  type Probability,
  type Rate,
  type Size,
  withDefaults,
} from "./options.ts";

/** A two-state burst loss: p = good to bad, r = bad to good, for each frame; then the loss in the state reached. */
export interface GilbertOptions {
  p: Probability;
  r: Probability;
  /** Loss in the good state. Default 0. */
  lossGood?: Probability;
  /** Loss in the bad state. Default 1. */
  lossBad?: Probability;
}

/** The queue before a rate limit: both limits hold; 0 = none. */
export interface QueueOptions {
  packets?: number;
  bytes?: Size;
}

/** What may be changed while traffic is flowing. Every rule is off unless it is given. */
export interface LinkRuleOptions {
  /** Frames lost, each on its own. */
  loss?: Probability;
  /** Frames lost in bursts; null switches it off. */
  gilbert?: GilbertOptions | null;
  /** Time of travel. */
  delay?: Duration;
  /** How much the time of travel varies: a bound each way (uniform), or the standard deviation (normal). */
  jitter?: Duration;
  distribution?: "uniform" | "normal";
  /** Jitter does not reorder frames. */
  ordered?: boolean;
  /** Frames that overtake: with a delay they travel in no time, without one they wait for `reorderGap` others. */
  reorder?: Probability;
  /** Frames that overtake one that waits. Default 3. */
  reorderGap?: number;
  /** Longest time that a frame waits to be overtaken. Default 10 ms. */
  hold?: Duration;
  /** Frames that arrive twice. */
  duplicate?: Probability;
  /** Frames in which one bit behind the Ethernet header is flipped. */
  corrupt?: Probability;
  /** Speed of the wire; 0 = no limit. */
  rate?: Rate;
  /** Bytes that each frame takes on the wire beside its own (24 for Ethernet's preamble, FCS and gap). Default 0. */
  overhead?: number;
  /** The queue before the rate limit, or its packets; what finds it full is dropped. Default 1,000 packets. */
  queue?: QueueOptions | number;
  /** The wire is cut: everything that enters is lost. */
  partition?: boolean;
  /** Frames to drop, by their number since the rules with a list were set: 0 to 63. */
  dropFrames?: readonly number[];
  /** Frames to duplicate, likewise. */
  duplicateFrames?: readonly number[];
  /** Frames to send behind the next one, likewise. */
  swapFrames?: readonly number[];
}

export const LINK_DEFAULTS: Readonly<Required<LinkRuleOptions>> = Object.freeze({
  loss: 0,
  gilbert: null,
  delay: 0,
  jitter: 0,
  distribution: "uniform",
  ordered: false,
  reorder: 0,
  reorderGap: 3,
  hold: 10000,
  duplicate: 0,
  corrupt: 0,
  rate: 0,
  overhead: 0,
  queue: Object.freeze({ packets: 1000, bytes: 0 }),
  partition: false,
  dropFrames: Object.freeze([]),
  duplicateFrames: Object.freeze([]),
  swapFrames: Object.freeze([]),
});

/** Options whose setting starts the numbers of the lists again. */
export const LIST_OPTIONS = ["dropFrames", "duplicateFrames", "swapFrames"] as const;

/** Throws when rules cannot be. @throws {OptionError} */
export function checkRules(options: LinkRuleOptions): void {
  checkNames("link", options, Object.keys(LINK_DEFAULTS));
  writeRules(new DataView(new ArrayBuffer(256)), 0, withDefaults(LINK_DEFAULTS, options));
}

/** Writes rules to RULES_* at `at`. @throws {OptionError} before anything is written */
export function writeRules(view: DataView, at: number, options: Required<LinkRuleOptions>): void {
  checkNames("link", options, Object.keys(LINK_DEFAULTS));
  const floats = floatRules(options);
  const lists = LIST_OPTIONS.map((name) => bitmap(`link.${name}`, options[name]));
  const words: [number, number][] = [
    [RULES_FLAGS, flagsOf(options)],
    [RULES_REORDER_GAP, parseInteger("link.reorderGap", options.reorderGap, 1, 1000)],
    [RULES_QUEUE_PACKETS, parseInteger("link.queue.packets", queueOf(options).packets ?? 0, 0, 1048576)],
    [RULES_OVERHEAD, parseInteger("link.overhead", options.overhead, 0, 65535)],
  ];
  for (const [offset, value] of words) view.setUint32(at + offset, value, true);
  for (const [offset, value] of floats) view.setFloat64(at + offset, value, true);
  [RULES_DROP_LIST, RULES_DUPLICATE_LIST, RULES_SWAP_LIST].forEach((offset, index) => {
    view.setBigUint64(at + offset, lists[index] as bigint, true);
  });
}

function floatRules(options: Required<LinkRuleOptions>): [number, number][] {
  const gilbert = options.gilbert;
  if (gilbert !== null) checkGilbert(gilbert);
  return [
    [RULES_LOSS, parseProbability("link.loss", options.loss)],
    [RULES_GILBERT_P, parseProbability("link.gilbert.p", gilbert?.p ?? 0)],
    [RULES_GILBERT_R, parseProbability("link.gilbert.r", gilbert?.r ?? 0)],
    [RULES_LOSS_GOOD, parseProbability("link.gilbert.lossGood", gilbert?.lossGood ?? 0)],
    [RULES_LOSS_BAD, parseProbability("link.gilbert.lossBad", gilbert?.lossBad ?? 1)],
    [RULES_DELAY, parseDuration("link.delay", options.delay)],
    [RULES_JITTER, parseDuration("link.jitter", options.jitter)],
    [RULES_REORDER, parseProbability("link.reorder", options.reorder)],
    [RULES_DUPLICATE, parseProbability("link.duplicate", options.duplicate)],
    [RULES_CORRUPT, parseProbability("link.corrupt", options.corrupt)],
    [RULES_RATE, parseRate("link.rate", options.rate) / 8e6],
    [RULES_QUEUE_BYTES, parseSize("link.queue.bytes", queueOf(options).bytes ?? 0)],
    [RULES_HOLD, parseDuration("link.hold", options.hold)],
  ];
}

function checkGilbert(gilbert: GilbertOptions): void {
  checkNames("link.gilbert", gilbert, ["p", "r", "lossGood", "lossBad"]);
  for (const name of ["p", "r"] as const) {
    if (gilbert[name] === undefined) throw new OptionError(`link.gilbert.${name}`, undefined, "given with the other");
  }
}

/** The limits of the queue: a number alone is packets, as in tc-netem's `limit`. */
function queueOf({ queue }: Required<LinkRuleOptions>): QueueOptions {
  if (typeof queue === "number") return { packets: parseInteger("link.queue", queue, 0, 1048576) };
  checkNames("link.queue", queue, ["packets", "bytes"]);
  return queue;
}

function flagsOf(options: Required<LinkRuleOptions>): number {
  const normal = parseWord("link.distribution", options.distribution, ["uniform", "normal"]) === "normal";
  return (
    (parseBoolean("link.partition", options.partition) ? RULE_PARTITION : 0) |
    (parseBoolean("link.ordered", options.ordered) ? RULE_ORDERED : 0) |
    (normal ? RULE_NORMAL : 0) |
    (options.gilbert === null ? 0 : RULE_GILBERT)
  );
}

function bitmap(option: string, frames: readonly number[]): bigint {
  if (!Array.isArray(frames)) throw new OptionError(option, frames, "a list of frame numbers from 0 to 63");
  let bits = 0n;
  for (const frame of frames as number[]) bits |= 1n << BigInt(parseInteger(option, frame, 0, 63));
  return bits;
}

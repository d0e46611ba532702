// What a bad wire does, as one idea: the rules see a frame and say pass, drop, delay, duplicate, corrupt.
// Read first: tc-netem(8); E. N. Gilbert (1960), E. O. Elliott (1963) on burst errors.

import {
  LINK_LISTED,
  LINK_LOST,
  LINK_PARTITIONED,
  LINK_QUEUE_DROPS,
  LINK_REORDERED,
  RULE_GILBERT,
  RULE_NORMAL,
  RULE_ORDERED,
  RULE_PARTITION,
  RULES_BYTES,
  RULES_DELAY,
  RULES_DROP_LIST,
  RULES_HOLD,
  RULES_RATE,
} from "../../assembly/layout";
import { Link, linkCount, linkDice } from "./link";
import { randomChance, randomSigned } from "./random";

/** The rules of one link. Times in microseconds, the rate in bytes per microsecond, probabilities from 0 to 1. */
@unmanaged
export class LinkRules {
  flags: u32;
  reorderGap: u32;
  queuePackets: u32;
  overhead: u32;
  loss: f64;
  gilbertP: f64;
  gilbertR: f64;
  lossGood: f64;
  lossBad: f64;
  delay: f64;
  jitter: f64;
  reorder: f64;
  duplicate: f64;
  corrupt: f64;
  rate: f64;
  queueBytes: f64;
  hold: f64;
  dropList: u64;
  duplicateList: u64;
  swapList: u64;
}
if (offsetof<LinkRules>("delay") != RULES_DELAY || offsetof<LinkRules>("rate") != RULES_RATE) ERROR("LinkRules layout");
if (offsetof<LinkRules>("hold") != RULES_HOLD || offsetof<LinkRules>("dropList") != RULES_DROP_LIST) {
  ERROR("LinkRules layout");
}
if (offsetof<LinkRules>() != RULES_BYTES) ERROR("LinkRules layout");

/** A verdict: bits, 0 = pass. The time is in link.due. */
export const VERDICT_DROP: u32 = 1;
export const VERDICT_CORRUPT: u32 = 2;
export const VERDICT_DUPLICATE: u32 = 4;
/** Wait until `link.holdFor` frames have overtaken it. */
export const VERDICT_HOLD: u32 = 8;

/**
 * Judges a frame of `length` bytes that enters the link at time `at`; sets link.due to when it leaves. The caller
 * holds the lock. The order of the questions, and so of the draws, is fixed: a rule that is off draws nothing.
 */
export function linkJudge(l: Link, r: LinkRules, length: u32, at: f64): u32 {
  const index = l.frames;
  l.frames = index + 1;
  const bit: u64 = index < 64 ? u64(1) << index : 0;
  l.due = at;
  if ((r.flags & RULE_PARTITION) != 0) return drop(l, LINK_PARTITIONED);
  if ((r.dropList & bit) != 0) return drop(l, LINK_LISTED);
  if (isLost(l, r)) return drop(l, LINK_LOST);
  if (r.rate > 0 && !serialize(l, r, length, at)) return drop(l, LINK_QUEUE_DROPS);
  const dice = linkDice(l);
  let verdict: u32 = 0;
  if (r.corrupt > 0 && randomChance(dice, r.corrupt)) verdict |= VERDICT_CORRUPT;
  let duplicate = (r.duplicateList & bit) != 0;
  if (r.duplicate > 0 && randomChance(dice, r.duplicate)) duplicate = true;
  if (duplicate) verdict |= VERDICT_DUPLICATE;
  const ahead = r.reorder > 0 && randomChance(dice, r.reorder);
  if (r.delay > 0 || r.jitter > 0) travel(l, r, ahead);
  if ((r.swapList & bit) != 0) return hold(l, verdict, 1);
  return ahead && r.delay == 0 ? hold(l, verdict, r.reorderGap) : verdict;
}

function drop(l: Link, counter: u32): u32 {
  linkCount(l, counter, 1);
  return VERDICT_DROP;
}

function hold(l: Link, verdict: u32, frames: u32): u32 {
  l.holdFor = frames;
  return verdict | VERDICT_HOLD;
}

/** Uniform loss, then Gilbert-Elliott: first the state moves, then the new state's loss is drawn. */
function isLost(l: Link, r: LinkRules): bool {
  const dice = linkDice(l);
  if (r.loss > 0 && randomChance(dice, r.loss)) return true;
  if ((r.flags & RULE_GILBERT) == 0) return false;
  if (randomChance(dice, l.isBad != 0 ? r.gilbertR : r.gilbertP)) l.isBad = 1 - l.isBad;
  const loss = l.isBad != 0 ? r.lossBad : r.lossGood;
  return loss > 0 && randomChance(dice, loss);
}

/** Waits in the queue, then takes its time on the wire. False when the queue is full (tail drop). */
function serialize(l: Link, r: LinkRules, length: u32, at: f64): bool {
  const bytes = f64(length + r.overhead);
  expireDepartures(l, at);
  let start = at;
  if (l.busyUntil > at) {
    start = l.busyUntil;
    // One frame is on the wire; the others wait. What is not sent yet is the time left, times the rate.
    const waiting = l.departed - l.leaving;
    if (r.queuePackets != 0 && waiting > r.queuePackets) return false;
    if (waiting > l.departuresMask) return false;
    if (r.queueBytes > 0 && (start - at) * r.rate + bytes > r.queueBytes) return false;
  }
  l.busyUntil = start + bytes / r.rate;
  l.due = l.busyUntil;
  store<f64>(l.departures + (l.departed & l.departuresMask) * 8, l.busyUntil);
  l.departed++;
  return true;
}

function expireDepartures(l: Link, at: f64): void {
  while (l.leaving != l.departed && load<f64>(l.departures + (l.leaving & l.departuresMask) * 8) <= at) l.leaving++;
}

/** Adds the time of travel. netem's reordering: the chosen frame travels in no time, ahead of those under way. */
function travel(l: Link, r: LinkRules, ahead: bool): void {
  if (ahead && r.delay > 0) {
    linkCount(l, LINK_REORDERED, 1);
    return;
  }
  let micros = r.delay;
  if (r.jitter > 0) micros += r.jitter * ((r.flags & RULE_NORMAL) != 0 ? normal(l) : randomSigned(linkDice(l)));
  l.due += max<f64>(micros, 0);
  if ((r.flags & RULE_ORDERED) != 0) {
    l.due = max<f64>(l.due, l.lastDue);
    l.lastDue = l.due;
  }
}

/** About normal, mean 0 and standard deviation 1: the sum of four uniform numbers, at most 3.5 either way. */
function normal(l: Link): f64 {
  const dice = linkDice(l);
  let sum = randomSigned(dice);
  for (let i = 1; i < 4; i++) sum += randomSigned(dice);
  return sum * 0.8660254037844386; // sqrt(3/4)
}

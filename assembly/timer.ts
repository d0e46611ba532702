// A hierarchical timing wheel (Varghese and Lauck 1987, scheme 7): one tick is a millisecond, five levels of
// 256, 64, 64, 64 and 64 slots span 2^32 ticks. Bitmaps of used slots make jumps over empty time cheap.

import { nowMillis, stack } from "./stack";

/** The head of every object that can wait on the wheel. */
@unmanaged
export class Timer {
  timerPrev: u32;
  /** Descriptor of a socket, -1 without one; never equal to the pool's free mark. */
  fd: i32;
  timerNext: u32;
  /** Tick it is armed for. */
  timerAt: u32;
  /** KIND_* */
  kind: u8;
  /** State of the object's protocol (TCP_* for TCP). */
  state: u8;
  /** 1 while on the wheel. */
  timerArmed: u8;
  timerSlot: u8; // level of the slot, 0 to 4
}

const LEVELS: u32 = 5;
const SLOTS: u32 = 256 + 4 * 64;
/** Offsets in the wheel. */
const WHEEL_TICK: usize = 0; // every timer up to this tick has run
const WHEEL_COUNT: usize = 4;
const WHEEL_BITS: usize = 8; // 8 words of 64 bits: four for level 0, one for each level above
const WHEEL_SLOTS: usize = 128;
export const WHEEL_BYTES: u32 = u32(WHEEL_SLOTS) + SLOTS * 4;

let wheel: usize = 0;

/** Prepares an empty wheel whose time is `tick`. */
export function wheelInit(at: usize, tick: u32): void {
  memory.fill(at, 0, WHEEL_BYTES);
  store<u32>(at, tick, WHEEL_TICK);
}

/** Points this instance at its wheel. */
export function wheelAttach(at: usize): void {
  wheel = at;
}

/** Ticks that the clock is ahead of the wheel. */
export function wheelLag(): u32 {
  return nowMillis - load<u32>(wheel, WHEEL_TICK);
}

/** Timers that wait. */
export function wheelCount(): u32 {
  return load<u32>(wheel, WHEEL_COUNT);
}

function levelOf(distance: u32): u32 {
  return distance < 256 ? 0 : distance < 1 << 14 ? 1 : distance < 1 << 20 ? 2 : distance < 1 << 26 ? 3 : 4;
}

function slotIndex(level: u32, tick: u32): u32 {
  return level == 0 ? tick & 255 : 256 + (level - 1) * 64 + ((tick >>> (2 + 6 * level)) & 63);
}

/**
 * Arms (or moves) a timer for tick `at`, at most 2^31 - 1 ticks from now; a tick that has passed runs at the next one.
 * While the wheel catches up with a clock that has jumped, a tick to come may seem to lie behind the wheel's own.
 */
export function timerArm(t: Timer, at: u32): void {
  if (t.timerArmed) timerCancel(t);
  const tick = load<u32>(wheel, WHEEL_TICK);
  if (i32(at - tick) <= 0 && i32(at - nowMillis) <= 0) at = tick + 1;
  t.timerAt = at;
  link(t, at, tick);
  store<u32>(wheel, load<u32>(wheel, WHEEL_COUNT) + 1, WHEEL_COUNT);
}

function link(t: Timer, at: u32, tick: u32): void {
  const level = levelOf(at - tick);
  const index = slotIndex(level, at);
  const slot = wheel + WHEEL_SLOTS + (index << 2);
  const head = load<u32>(slot);
  const self = u32(changetype<usize>(t));
  t.timerPrev = 0;
  t.timerNext = head;
  t.timerArmed = 1;
  t.timerSlot = u8(level);
  if (head != 0) changetype<Timer>(head).timerPrev = self;
  store<u32>(slot, self);
  const word = wheel + WHEEL_BITS + (usize(index >>> 6) << 3);
  store<u64>(word, load<u64>(word) | (u64(1) << (index & 63)));
}

function unlink(t: Timer): void {
  const next = t.timerNext;
  const prev = t.timerPrev;
  if (next != 0) changetype<Timer>(next).timerPrev = prev;
  if (prev != 0) changetype<Timer>(prev).timerNext = next;
  else {
    const index = slotIndex(t.timerSlot, t.timerAt);
    store<u32>(wheel + WHEEL_SLOTS + (index << 2), next);
    if (next == 0) clearBit(index);
  }
  t.timerArmed = 0;
}

function clearBit(index: u32): void {
  const word = wheel + WHEEL_BITS + (usize(index >>> 6) << 3);
  store<u64>(word, load<u64>(word) & ~(u64(1) << (index & 63)));
}

/** Takes a timer off the wheel; does nothing when it is not on it. */
export function timerCancel(t: Timer): void {
  if (!t.timerArmed) return;
  unlink(t);
  store<u32>(wheel, load<u32>(wheel, WHEEL_COUNT) - 1, WHEEL_COUNT);
}

/** Arms a timer for `at` unless it already waits for an earlier tick: whoever runs then looks at its real deadlines. */
export function timerNotLater(t: Timer, at: u32): void {
  if (t.timerArmed && i32(t.timerAt - at) <= 0) return;
  timerArm(t, at);
}

/** Ticks from the wheel's time to the next slot with work (it may only need a cascade), or -1 when it is empty. */
export function wheelNext(): i64 {
  if (load<u32>(wheel, WHEEL_COUNT) == 0) return -1;
  const tick = load<u32>(wheel, WHEEL_TICK);
  let best: i64 = i64.MAX_VALUE;
  const near = nearestInLevel0(tick + 1);
  if (near >= 0) best = near + 1;
  for (let level: u32 = 1; level < LEVELS; level++) {
    const bits = load<u64>(wheel + WHEEL_BITS + ((3 + level) << 3));
    if (bits == 0) continue;
    const shift = 2 + 6 * level;
    const position = ((tick >>> shift) + 1) & 63;
    const ahead = i64(ctz<u64>(rotr<u64>(bits, u64(position))));
    const start = ((u64(tick >>> shift) + 1 + u64(ahead)) << shift) - u64(tick);
    if (i64(start) < best) best = i64(start);
  }
  return best;
}

/** Slots of level 0 from `from` to the next used one, or -1. */
function nearestInLevel0(from: u32): i64 {
  const first = from & 255;
  for (let step: u32 = 0; step < 5; step++) {
    const word = ((first >>> 6) + step) & 3;
    let bits = load<u64>(wheel + WHEEL_BITS + (usize(word) << 3));
    if (step == 0) bits &= ~u64(0) << (first & 63);
    else if (step == 4) bits &= ~(~u64(0) << (first & 63));
    if (bits != 0) return i64(word * 64 + u32(ctz<u64>(bits)) - first) & 255;
  }
  return -1;
}

/**
 * Moves the wheel's time up to `tick`. Returns the next timer that is due, taken off the wheel, or null when
 * the time has been reached: call it until it returns null.
 */
export function wheelAdvance(tick: u32): Timer | null {
  while (true) {
    const current = load<u32>(wheel, WHEEL_TICK);
    const due = load<u32>(wheel + WHEEL_SLOTS + (usize(current & 255) << 2));
    if (due != 0 && i32(changetype<Timer>(due).timerAt - current) <= 0) {
      const t = changetype<Timer>(due);
      timerCancel(t);
      return t;
    }
    // The clock never runs backwards, so the distance is unsigned.
    const lag = tick - current;
    if (lag == 0) return null;
    const next = wheelNext();
    if (next < 0 || next > i64(lag)) {
      store<u32>(wheel, tick, WHEEL_TICK);
      return null;
    }
    const reached = current + u32(next);
    store<u32>(wheel, reached, WHEEL_TICK);
    cascade(reached);
  }
}

/** Deals out the upper slots that start at `tick` to the levels below. */
function cascade(tick: u32): void {
  for (let level: u32 = LEVELS - 1; level >= 1; level--) {
    const shift = 2 + 6 * level;
    if (tick & ((1 << shift) - 1)) continue;
    const index = slotIndex(level, tick);
    const slot = wheel + WHEEL_SLOTS + (index << 2);
    let at = load<u32>(slot);
    if (at == 0) continue;
    store<u32>(slot, 0);
    clearBit(index);
    while (at != 0) {
      const t = changetype<Timer>(at);
      at = t.timerNext;
      link(t, t.timerAt, tick);
    }
  }
}

/** Absolute time of the wheel's next work in microseconds, Infinity when nothing waits. */
export function wheelDeadlineMicros(): f64 {
  const next = wheelNext();
  if (next < 0) return Infinity;
  // The wheel may lag behind the clock.
  const lag = i64(wheelLag());
  return f64((i64(stack.now) / 1000 - lag + next) * 1000);
}

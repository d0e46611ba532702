// Draws what the two ends of a connection do: how much they send, in what pieces, how they read, how they close.
// Read first: scenario.ts.

import type { Dice } from "./dice.ts";
import { OFFSET_MAX } from "./pattern.ts";
import type { AbortPlan, EndPlan } from "./scenario.ts";

/** Calls that one stream takes at most, about. */
const CALLS_MAX = 4000;
/** Time that a slow reader takes for a whole stream at most, microseconds. */
const SLOW_MICROS = 600e6;

/** How much a stream has: mostly as likely small as large, now and then nothing at all, or the most there may be. */
const SIZES: readonly ((dice: Dice, most: number) => number)[] = [
  ...Array.from({ length: 93 }, () => (dice: Dice, most: number) => dice.log(1, most)),
  ...Array.from({ length: 6 }, () => () => 0),
  (_, most) => most,
];

/** One end that sends at most `most` bytes. */
export function drawEnd(dice: Dice, most: number, order: EndPlan["order"], isFragile: boolean): EndPlan {
  const bytes = dice.pick(SIZES)(dice, most);
  const least = Math.max(1, Math.ceil(bytes / CALLS_MAX));
  const plan: EndPlan = {
    bytes,
    offset: dice.whole(0, OFFSET_MAX - 1),
    writeBytes: dice.log(least, 65536),
    more: dice.chance(0.2) ? dice.real(0, 1) : 0,
    readBytes: dice.chance(0.5) ? 0 : dice.log(Math.ceil(most / CALLS_MAX), 65536),
    peek: dice.chance(0.1) ? 0.3 : 0,
    readEveryMicros: 0,
    readPauseAt: Infinity,
    readPauseMicros: 0,
    writePauseAt: Infinity,
    writePauseMicros: 0,
    order,
    ending: dice.chance(0.5) ? "shutdown" : "close",
    options: drawOptions(dice, isFragile),
  };
  if (dice.chance(0.2)) slowDown(dice, plan, most);
  if (dice.chance(0.15)) {
    plan.readPauseAt = dice.log(1, most) - 1;
    plan.readPauseMicros = dice.log(1000, 120e6);
  }
  if (dice.chance(0.15)) {
    plan.writePauseAt = dice.log(1, most) - 1;
    plan.writePauseMicros = dice.log(1000, 120e6);
  }
  return plan;
}

/** Makes it a slow reader. */
function slowDown(dice: Dice, plan: EndPlan, most: number): void {
  if (plan.readBytes === 0) plan.readBytes = dice.log(Math.ceil(most / CALLS_MAX), 65536);
  const reads = Math.ceil(most / plan.readBytes);
  plan.readEveryMicros = dice.log(100, Math.max(100, Math.min(5_000_000, SLOW_MICROS / reads)));
}

function drawOptions(dice: Dice, isFragile: boolean): Record<string, number | string> {
  const options: Record<string, number | string> = {};
  if (dice.chance(0.35)) options["SO_RCVBUF"] = dice.log(1152, dice.chance(0.5) ? 16_384 : 2_097_152);
  if (dice.chance(0.35)) options["SO_SNDBUF"] = dice.log(2304, dice.chance(0.5) ? 32_768 : 2_097_152);
  const cork = dice.pick(["", "", "", "TCP_NODELAY", "TCP_NODELAY", "TCP_CORK"]);
  if (cork !== "") options[cork] = 1;
  if (dice.chance(0.1)) options["TCP_QUICKACK"] = 1;
  if (dice.chance(0.1)) options["TCP_MAXSEG"] = dice.whole(128, 8960);
  if (dice.chance(0.15)) options["TCP_CONGESTION"] = dice.pick(["reno", "cubic"]);
  if (dice.chance(0.05)) options["TCP_WINDOW_CLAMP"] = dice.log(1024, 262_144);
  // A peer that vanished is only noticed by who asks.
  if (isFragile) Object.assign(options, { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 20, TCP_KEEPINTVL: 10, TCP_KEEPCNT: 12 });
  else if (dice.chance(0.1))
    Object.assign(options, { SO_KEEPALIVE: 1, TCP_KEEPIDLE: dice.whole(1, 30), TCP_KEEPCNT: 100 });
  return options;
}

/** One end breaks the connection off, somewhere on the way. */
export function drawAbort(dice: Dice, ends: readonly [EndPlan, EndPlan]): AbortPlan {
  return {
    end: dice.pick([0, 1] as const),
    how: dice.pick(["reset", "unread", "close"] as const),
    afterBytes: dice.log(1, Math.max(1, ends[0].bytes + ends[1].bytes)) - 1,
    afterMicros: dice.log(1, 60e6),
  };
}

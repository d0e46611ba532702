// Draws the scenario of a seed: which hosts, wires, connections and clock.
// Read first: scenario.ts. A change here gives every seed another meaning.

import type { HostOptions } from "../network.ts";
import { Dice } from "./dice.ts";
import { drawAbort, drawEnd } from "./draw-ends.ts";
import { drawLinks } from "./draw-links.ts";
import type { ClockPlan, ConnectionPlan, CutPlan, Drive, Scenario } from "./scenario.ts";

/** Pools of both stacks: ample for what a scenario does, small enough to be made thousands of times. */
const STACK = {
  connections: 64,
  sockets: 32,
  mbufs: 2048,
  chunks: 8192,
  largeChunks: 64,
  segments: 8192,
  islands: 4096,
  timeWaits: 64,
  reassemblies: 4,
  arpEntries: 16,
};
/**
 * Tunables of both stacks beside the random ones. Linux's limits give connections up after minutes of bad luck on
 * wires as bad as these; here only a fault may end one.
 */
export const PATIENCE = {
  tcp_syn_retries: 40,
  tcp_synack_retries: 40,
  tcp_retries2: 60,
  tcp_orphan_retries: 60,
  tcp_fin_timeout: 3600,
};
const WRAP = 2 ** 32;
const DAY_MICROS = 86_400e6;
/** Segments that one direction of a connection takes at most, about. */
const SEGMENTS_MAX = 1500;

/** The scenario of a seed (0 to 2^32 - 1). */
export function drawScenario(seed: number): Scenario {
  const dice = new Dice(seed, "scenario");
  const crowd = dice.chance(0.06) ? drawCrowd(dice) : undefined;
  const hosts = drawHosts(dice, crowd?.syncookies ?? 1);
  const links = drawLinks(dice);
  const drive = dice.pick<Drive>(["busy", "busy", "level", "edge"]);
  const connections = drawConnections(dice, mssOf(hosts), crowd);
  const clock = drawClock(dice, connections);
  const cuts = drawCuts(dice);
  return { seed, clock, drive, hosts, links, connections, ...(crowd === undefined ? {} : { crowd }), cuts };
}

/** The payload of a segment that both hosts can carry. */
export function mssOf(hosts: Scenario["hosts"]): number {
  return Math.min(...hosts.map(({ mtu = 1500 }) => mtu)) - 40;
}

export function drawHosts(dice: Dice, syncookies: number): Scenario["hosts"] {
  const common = {
    tcp_syncookies: syncookies,
    tcp_timestamps: dice.chance(0.7) ? 1 : 0,
    tcp_sack: dice.chance(0.75) ? 1 : 0,
    tcp_window_scaling: dice.chance(0.8) ? 1 : 0,
    tcp_ecn: dice.pick([0, 1, 2, 2]),
    tcp_congestion_control: dice.pick(["cubic", "cubic", "reno"]),
    tcp_recovery: dice.chance(0.85) ? 1 : 0,
    tcp_early_retrans: dice.chance(0.85) ? 3 : 0,
  };
  const mtu = drawMtu(dice);
  const one = (): Scenario["hosts"][0] => ({
    ...drawNic(dice),
    mtu: dice.chance(0.9) ? mtu : drawMtu(dice),
    stack: STACK,
    sysctl: { ...common, ...drawSysctls(dice), ...PATIENCE },
  });
  return [one(), one()];
}

function drawMtu(dice: Dice): number {
  return dice.chance(0.7) ? 1500 : dice.pick([9000, 1280, 576, 296, dice.whole(128, 9000)]);
}

function drawNic(dice: Dice): Pick<HostOptions, "queues" | "ringSize" | "offloads" | "flowControl"> {
  return {
    queues: dice.chance(0.85) ? 1 : dice.whole(2, 4),
    ringSize: dice.pick([256, 256, 256, 64, 16]),
    offloads: {
      txChecksum: dice.chance(0.6),
      rxChecksum: dice.chance(0.6),
      tso: dice.chance(0.3),
      lro: dice.chance(0.3),
    },
    flowControl: dice.chance(0.8),
  };
}

/** What may differ between two hosts. */
function drawSysctls(dice: Dice): Record<string, number> {
  const values: Record<string, number> = {};
  // One side that does without an option must do for both.
  if (dice.chance(0.05)) values["tcp_timestamps"] = 0;
  if (dice.chance(0.05)) values["tcp_sack"] = 0;
  if (dice.chance(0.05)) values["tcp_window_scaling"] = 0;
  if (dice.chance(0.2)) values["tcp_moderate_rcvbuf"] = 0;
  if (dice.chance(0.2)) values["tcp_slow_start_after_idle"] = 0;
  if (dice.chance(0.15)) values["tcp_init_cwnd"] = dice.whole(1, 40);
  if (dice.chance(0.15)) values["tcp_delack"] = dice.whole(1, 200);
  if (dice.chance(0.1)) values["tcp_rmem_default"] = dice.log(4096, 4_194_304);
  if (dice.chance(0.1)) values["tcp_wmem_default"] = dice.log(4608, 1_048_576);
  return values;
}

function drawCrowd(dice: Dice): NonNullable<Scenario["crowd"]> {
  const acceptEveryMicros = dice.chance(0.5) ? 0 : dice.log(1000, 2_000_000);
  return { backlog: dice.whole(0, 6), acceptEveryMicros, syncookies: dice.pick([0, 0, 1, 2]) };
}

function drawConnections(dice: Dice, mss: number, crowd: Scenario["crowd"]): ConnectionPlan[] {
  const crowded = crowd !== undefined;
  const count = crowded ? dice.whole(4, 16) : dice.chance(0.85) ? 1 : dice.whole(2, 6);
  const client = dice.pick([0, 1] as const);
  const most = Math.min(2 ** 20, Math.ceil((mss * SEGMENTS_MAX) / count));
  return Array.from({ length: count }, (_, index) => {
    const abort = !crowded && dice.chance(0.15);
    const isFragile = abort || (crowded && crowd.syncookies > 0);
    const orders = dice.pick(["first second", "second first", "first first"]).split(" ") as ["first", "second"];
    const ends = [drawEnd(dice, most, orders[0], isFragile), drawEnd(dice, most, orders[1], isFragile)] as const;
    if (!isFragile && !crowded && dice.chance(0.02)) sleep(dice, ends);
    // What a full backlog forgets (or only a cookie knows), the client's data brings back.
    if (crowded && ends[0].bytes === 0) ends[0].bytes = 1;
    return {
      client: crowded || dice.chance(0.7) ? client : dice.pick([0, 1] as const),
      clientPort: 40_000 + index,
      serverPort: crowded ? 80 : 8000 + index,
      openMicros: index === 0 ? 0 : dice.log(1, 3_000_000),
      ends,
      isFragile,
      ...(abort ? { abort: drawAbort(dice, ends) } : {}),
    };
  });
}

/** One end says nothing for a month or two: the clocks that timestamps are judged by turn over meanwhile. */
function sleep(dice: Dice, ends: ConnectionPlan["ends"]): void {
  const sleeper = dice.pick(ends);
  sleeper.writePauseAt = dice.log(1, Math.max(1, sleeper.bytes)) - 1;
  sleeper.writePauseMicros = dice.real(20, 60) * DAY_MICROS;
  // Who asks every few seconds all that time makes millions of frames.
  for (const { options } of ends) delete options["SO_KEEPALIVE"];
}

function drawClock(dice: Dice, connections: readonly ConnectionPlan[]): ClockPlan {
  const first = connections[0] as ConnectionPlan;
  const soon = (): number => dice.log(1000, 20_000_000);
  const end = dice.pick([0, 1] as const);
  switch (dice.pick(["zero", "zero", "micros", "millis", "sign", "any", "sequence", "sequence", "timestamps"])) {
    case "micros":
      return { kind: "time", startMicros: WRAP * dice.whole(1, 50) - soon() };
    case "millis":
      return { kind: "time", startMicros: WRAP * 1000 * dice.whole(1, 3) - soon() };
    case "sign":
      return { kind: "time", startMicros: 2 ** 31 * dice.pick([1, 1000]) - soon() };
    case "any":
      return { kind: "time", startMicros: dice.real(0, 1000 * DAY_MICROS) };
    case "sequence":
      return { kind: "sequence", end, distance: dice.whole(1, Math.max(first.ends[end].bytes, 2)) };
    case "timestamps":
      return { kind: "timestamps", end, distance: dice.log(1, 20_000) };
    default:
      return { kind: "time", startMicros: 0 };
  }
}

function drawCuts(dice: Dice): CutPlan[] {
  if (!dice.chance(0.12)) return [];
  return Array.from({ length: dice.whole(1, 3) }, () => ({
    host: dice.pick([0, 1] as const),
    atMicros: dice.log(100, 20_000_000),
    micros: dice.log(1000, 60_000_000),
  }));
}

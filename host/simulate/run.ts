// Lives one scenario from the first SYN to the last timer, and holds it to its promises: every byte arrives once and
// in order, every connection ends, everything is given back.
// Read first: scenario.ts; endpoint.ts, which checks the bytes; audit.ts, which checks the rest.

import { CoreTrap, toCoreTrap } from "../core.ts";
import type { NetworkCapture } from "../capture.ts";
import { Applications } from "./applications.ts";
import { audit, stockOf } from "./audit.ts";
import { SimulationFailure } from "./failure.ts";
import type { Scenario } from "./scenario.ts";
import { createWorld, impair, type World } from "./world.ts";

/** What a seed that kept its promises did. */
export interface SeedResult {
  seed: number;
  connections: number;
  /** Payload that arrived and was checked, both ways. */
  bytes: number;
  /** Frames that the hosts sent. */
  frames: number;
  retransmissions: number;
  /** Segments that a receiver had to put in order. */
  outOfOrder: number;
  /** From the first SYN to the last timer, microseconds of virtual time. */
  micros: number;
  steps: number;
}

export interface RunOptions {
  /** Use the debug build of the core. */
  debug?: boolean;
  /** Writes a pcapng file, or "memory". */
  capture?: string;
  /** Gets the running capture, to read its bytes afterwards. */
  onCapture?: (capture: NetworkCapture) => void;
}

/** A connection that has not got on for so long never will, microseconds: twice the longest of all pauses. */
const STALL_MICROS = 120 * 86_400e6;
const STEPS_MAX = 30_000_000;
/** Steps without any progress of an application: pauses of a month with probes take some 100,000. */
const IDLE_STEPS_MAX = 3_000_000;

/**
 * Runs a scenario.
 * @throws {SimulationFailure} when it breaks a promise
 */
export async function runScenario(scenario: Scenario, options: RunOptions = {}): Promise<SeedResult> {
  const world = createWorld(scenario, options.debug);
  const { network } = world;
  const capture =
    options.capture === undefined ? undefined : network.capture(options.capture, captureOptions(scenario));
  if (capture !== undefined) options.onCapture?.(capture);
  try {
    return live(world, scenario);
  } catch (error) {
    throw toFailure(error);
  } finally {
    await capture?.close();
    // After a trap the memory may be in any state: what closing says then is no news.
    await network.close().catch(() => undefined);
  }
}

function captureOptions({ seed }: Scenario): { comment: string } {
  return { comment: `oribi simulate --seed ${seed}` };
}

function live(world: World, scenario: Scenario): SeedResult {
  const { network, hosts } = world;
  const stock = hosts.map(stockOf);
  impair(world, scenario);
  const start = network.now();
  const applications = new Applications(scenario, hosts, start);
  const cuts = new Cuts(world, scenario, start);
  let steps = drive(world, applications, cuts, () => applications.isOver);
  cuts.end();
  applications.close();
  steps += drive(world, applications, cuts, () => isQuiet(world));
  hosts.forEach((host, i) => audit(host, stock[i] as ReturnType<typeof stockOf>));
  const counters = hosts.map((host) => host.counters().tcp);
  const sum = (name: string): number => counters.reduce((total, tcp) => total + (tcp[name] ?? 0), 0);
  return {
    seed: scenario.seed,
    connections: scenario.connections.length,
    bytes: applications.bytes,
    frames: hosts.reduce((total, host) => total + (host.xstats()["tx_good_packets"] ?? 0), 0),
    retransmissions: sum("retransSegs"),
    outOfOrder: sum("ofoQueued"),
    micros: network.now() - start,
    steps,
  };
}

/** Nothing is under way, and no timer waits. */
function isQuiet({ network, hosts }: World): boolean {
  return hosts.every((host) => host.nextDeadline() === Infinity) && network.nextDeadline() === Infinity;
}

/** Steps network and applications until `isDone`, from event to event. Returns the steps. */
function drive({ network }: World, applications: Applications, cuts: Cuts, isDone: () => boolean): number {
  let progress = -1;
  let progressAt = network.now();
  let progressSteps = 0;
  for (let steps = 1; ; steps++) {
    const before = network.now();
    const work = network.step();
    const calls = applications.run(network.now()) + cuts.run(network.now());
    // epoll_wait() steps the network too: then it is the time that tells.
    if (work + calls > 0 || network.now() !== before) {
      if (steps > STEPS_MAX) throw stalled(applications, network.now(), `after ${steps} steps`);
      continue;
    }
    if (isDone()) return steps;
    const next = Math.min(network.nextDeadline(), applications.nextDue(), cuts.nextDue());
    if (next === Infinity) {
      const places = applications.connections.flatMap(({ ends }) => ends.map((end) => end.progress()));
      throw new SimulationFailure("deadlock", `nothing will happen any more: ${places.join("; ")}`);
    }
    if (applications.progress !== progress) {
      progress = applications.progress;
      progressAt = before;
      progressSteps = steps;
    } else if (before - progressAt > STALL_MICROS || steps - progressSteps > IDLE_STEPS_MAX) {
      throw stalled(applications, before - progressAt, `for ${steps - progressSteps} steps`);
    }
    network.advance(Math.max(next - before, 1));
  }
}

function stalled(applications: Applications, micros: number, steps: string): SimulationFailure {
  const places = applications.connections.flatMap(({ ends }) => ends.map((end) => end.progress()));
  const hours = (micros / 3600e6).toFixed(1);
  return new SimulationFailure(
    "stall",
    `no progress for ${hours} hours of virtual time (${steps}): ${places.join("; ")}`,
  );
}

export function toFailure(error: unknown): SimulationFailure {
  if (error instanceof SimulationFailure) return error;
  const trap = toCoreTrap(error);
  if (trap instanceof CoreTrap) return new SimulationFailure("trap", trap.message);
  return new SimulationFailure("fault", error instanceof Error ? (error.stack ?? error.message) : String(error));
}

/** The wires' cuts. */
export class Cuts {
  readonly #world: World;
  /** What happens to which host's wire, by time. */
  #changes: { at: number; host: number; cut: boolean }[];

  constructor(world: World, { cuts }: Scenario, start: number) {
    this.#world = world;
    this.#changes = cuts
      .flatMap(({ host, atMicros, micros }) => [
        { at: start + atMicros, host, cut: true },
        { at: start + atMicros + micros, host, cut: false },
      ])
      .sort((x, y) => x.at - y.at);
  }

  nextDue(): number {
    return this.#changes[0]?.at ?? Infinity;
  }

  /** Cuts and mends what is due; returns how many wires changed. */
  run(now: number): number {
    let changes = 0;
    for (let next = this.#changes[0]; next !== undefined && next.at <= now; next = this.#changes[0]) {
      this.#changes.shift();
      this.#set(next.host, next.cut);
      changes++;
    }
    return changes;
  }

  /** Mends every wire for good. */
  end(): void {
    this.#changes = [];
    this.#world.hosts.forEach((_, host) => this.#set(host, false));
  }

  #set(host: number, partition: boolean): void {
    this.#world.hosts[host]?.setLink({ toWire: { partition }, toHost: { partition } });
  }
}

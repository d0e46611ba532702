// A soak: the same two hosts for days of simulated time, traffic of every kind over wires that change for the worse
// and the better, and every hour a stock-taking: nothing may have been lost, nothing kept.
// Read first: steady.ts (what goes on all the time); applications.ts (what comes and goes); audit.ts.

import { setImmediate } from "node:timers/promises";
import { LINK_DEFAULTS } from "../../veth/index.ts";
import { Applications } from "./applications.ts";
import { audit, stockOf } from "./audit.ts";
import { Dice } from "./dice.ts";
import { drawAbort, drawEnd } from "./draw-ends.ts";
import { drawLinks } from "./draw-links.ts";
import { drawHosts, mssOf } from "./draw.ts";
import { SimulationFailure } from "./failure.ts";
import { Cuts, toFailure } from "./run.ts";
import type { ConnectionPlan, CutPlan, Drive, Scenario } from "./scenario.ts";
import { type Actor, connectPair, Echo, Pinger, type SteadyActor } from "./steady.ts";
import { createWorld, type World } from "./world.ts";

export interface SoakOptions {
  seed: number;
  /** Simulated hours. */
  hours: number;
  debug?: boolean;
  /** Stops after an hour; the figures so far are returned. */
  signal?: AbortSignal;
  /** Is told after every hour. */
  onHour?: (figures: SoakFigures) => void;
  /** Writes a pcapng file of that hour (from 0) and what follows it. */
  capture?: { hour: number; path: string };
}

export interface SoakFigures {
  hours: number;
  /** Connections that came and went, and the bytes that they carried. */
  connections: number;
  bytes: number;
  /** Questions answered on connections that stayed. */
  exchanges: number;
  datagrams: number;
  datagramsAnswered: number;
  /** Datagrams of several fragments, damaged so that the checksum cannot tell. */
  datagramsUndetected: number;
  frames: number;
  retransmissions: number;
  fragments: number;
  keepalives: number;
}

/** A soak that broke a promise, and in which hour. */
export class SoakFailure extends SimulationFailure {
  readonly hour: number;

  constructor(hour: number, { kind, message }: SimulationFailure) {
    super(kind, `hour ${hour}: ${message}`);
    this.hour = hour;
  }
}

const MINUTE = 60e6;
const HOUR = 60 * MINUTE;
/** Wires change so often; after STORM they do no harm until the hour is over. */
const WEATHER = 10 * MINUTE;
const STORM = 45 * MINUTE;
/** From the last end of a connection to the stock-taking: retransmissions with backoff, then TIME-WAIT. */
const CALM = 5 * MINUTE;
/** Before the stock-taking nobody begins anything: what only a busy connection holds is given back meanwhile. */
const SILENCE = MINUTE;
/** An hour that is not over by then never will be. */
const HOUR_MAX = 48 * HOUR;
const IDLE_CONNECTIONS = 4;
const ECHO_PORT = 7000;
const UDP_PORT = 7;

/**
 * Lives through `hours` simulated hours.
 * @throws {SoakFailure} when a promise is broken
 */
export async function soak(options: SoakOptions): Promise<SoakFigures> {
  const { seed, hours, debug = false, signal, capture } = options;
  const soaked = new Soak(seed, debug);
  let hour = 0;
  try {
    for (; hour < hours && signal?.aborted !== true; hour++) {
      if (capture?.hour === hour) soaked.world.network.capture(capture.path, { comment: `oribi soak --seed ${seed}` });
      soaked.hour(hour);
      options.onHour?.(soaked.figures());
      // Ctrl-C is heard only where the event loop turns.
      await setImmediate();
    }
    return soaked.figures();
  } catch (error) {
    throw new SoakFailure(hour, toFailure(error));
  } finally {
    await soaked.world.network.close().catch(() => undefined);
  }
}

class Soak {
  readonly world: World;
  readonly #seed: number;
  readonly #mss: number;
  readonly #steady: readonly SteadyActor[];
  readonly #pinger: Pinger;
  readonly #stock: readonly ReturnType<typeof stockOf>[];
  #hours = 0;
  #connections = 0;
  #bytes = 0;

  constructor(seed: number, debug: boolean) {
    const dice = new Dice(seed, "soak");
    const hosts = drawHosts(dice, 1);
    const still: Scenario["links"] = [
      { toWire: {}, toHost: {} },
      { toWire: {}, toHost: {} },
    ];
    this.#seed = seed;
    this.#mss = mssOf(hosts);
    const clock = { kind: "time", startMicros: 0 } as const;
    this.world = createWorld({ seed, clock, drive: "busy", hosts, links: still, connections: [], cuts: [] }, debug);
    this.#clear();
    const { network } = this.world;
    const both = this.world.hosts;
    const now = network.now();
    const keep = { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 60, TCP_KEEPINTVL: 20, TCP_KEEPCNT: 60 };
    const talker = connectPair(network, both, ECHO_PORT, { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 600, TCP_KEEPCNT: 60 });
    const talk = { pause: [1e6, 60e6], bytes: [1, 20_000] } as const;
    const idle = Array.from({ length: IDLE_CONNECTIONS }, (_, i) => {
      const ends = i % 2 === 0 ? both : ([both[1], both[0]] as const);
      const pair = connectPair(network, ends, ECHO_PORT + 1 + i, keep);
      const rarely = { pause: [1200e6, 3000e6], bytes: [1, 100] } as const;
      return new Echo(`idle connection ${i}`, pair, new Dice(seed, `idle ${i}`), now, rarely);
    });
    this.#pinger = new Pinger(both, UDP_PORT, new Dice(seed, "datagrams"), now);
    this.#steady = [new Echo("talker", talker, new Dice(seed, "talker"), now, talk), ...idle, this.#pinger];
    this.#pause(true);
    this.#live(this.#steady, () => network.now() >= now + SILENCE);
    this.#stock = both.map(stockOf);
  }

  /** One hour, or as much longer as its connections take. */
  hour(index: number): void {
    const { network, hosts } = this.world;
    const dice = new Dice(this.#seed, `hour ${index}`);
    const start = network.now();
    const cuts = drawCuts(dice);
    const connections = this.#drawConnections(dice);
    const drive = dice.pick<Drive>(["busy", "level", "edge"]);
    const links = drawLinks(dice);
    const scenario: Scenario = {
      seed: this.#seed + index,
      clock: { kind: "time", startMicros: 0 },
      drive,
      hosts: [{}, {}],
      links,
      connections,
      cuts,
    };
    const before = this.#steady.map((actor) => actor.done);
    this.#pause(false);
    const applications = new Applications(scenario, hosts, start);
    const weather = new Weather(this.world, dice, start);
    const wires = new Cuts(this.world, scenario, start);
    const actors = [applications, weather, wires, ...this.#steady];
    this.#live(actors, () => applications.isOver && network.now() >= start + STORM);
    wires.end();
    weather.end();
    this.#clear();
    applications.close();
    const calmUntil = Math.max(network.now() + CALM, start + HOUR - SILENCE);
    this.#live([applications, ...this.#steady], () => network.now() >= calmUntil);
    this.#pause(true);
    this.#live(this.#steady, () => network.now() >= calmUntil + SILENCE);
    this.#takeStock(before);
    this.#hours++;
    this.#connections += connections.length;
    this.#bytes += applications.bytes;
  }

  figures(): SoakFigures {
    const { hosts } = this.world;
    const counters = hosts.map((host) => host.counters());
    const sum = (group: "tcp" | "ip", name: string): number =>
      counters.reduce((total, counter) => total + (counter[group][name] ?? 0), 0);
    return {
      hours: this.#hours,
      connections: this.#connections,
      bytes: this.#bytes,
      exchanges: this.#steady.reduce((total, actor) => total + (actor === this.#pinger ? 0 : actor.done), 0),
      datagrams: this.#pinger.sent,
      datagramsAnswered: this.#pinger.done,
      datagramsUndetected: this.#pinger.undetected,
      frames: hosts.reduce((total, host) => total + (host.xstats()["tx_good_packets"] ?? 0), 0),
      retransmissions: sum("tcp", "retransSegs"),
      fragments: sum("ip", "fragCreates"),
      keepalives: sum("tcp", "keepaliveProbes"),
    };
  }

  #takeStock(before: readonly number[]): void {
    this.world.hosts.forEach((host, i) => audit(host, this.#stock[i] as ReturnType<typeof stockOf>));
    this.#steady.forEach((actor, i) => {
      if (actor.done > (before[i] as number)) return;
      throw new SimulationFailure("stall", `number ${i} of what goes on all the time did nothing in an hour`);
    });
  }

  #pause(isPaused: boolean): void {
    for (const actor of this.#steady) actor.isPaused = isPaused;
  }

  /** Lets every wire pass everything at once. */
  #clear(): void {
    for (const host of this.world.hosts) host.setLink({ toWire: LINK_DEFAULTS, toHost: LINK_DEFAULTS });
  }

  /** Steps network and actors, from event to event, until `isDone`. */
  #live(actors: readonly Actor[], isDone: () => boolean): void {
    const { network } = this.world;
    const start = network.now();
    for (;;) {
      const before = network.now();
      let work = network.step();
      for (const actor of actors) work += actor.run(network.now());
      // epoll_wait() steps the network too: then it is the time that tells.
      if (work > 0 || network.now() !== before) continue;
      if (isDone()) return;
      let next = Math.min(network.nextDeadline(), start + HOUR_MAX);
      for (const actor of actors) next = Math.min(next, actor.nextDue());
      if (before - start > HOUR_MAX - MINUTE) throw new SimulationFailure("stall", "an hour does not come to its end");
      // The end that is waited for may be a time that nobody else names.
      network.jump(Math.min(Math.max(next, before + 1), before + MINUTE));
    }
  }

  #drawConnections(dice: Dice): ConnectionPlan[] {
    const count = dice.whole(3, 10);
    return Array.from({ length: count }, (_, index) => {
      const abort = dice.chance(0.15);
      const orders = dice.pick(["first second", "second first", "first first"]).split(" ") as ["first", "second"];
      const most = dice.chance(0.15) ? 500 * this.#mss : 60 * this.#mss;
      const ends = [drawEnd(dice, most, orders[0], abort), drawEnd(dice, most, orders[1], abort)] as const;
      return {
        client: dice.pick([0, 1] as const),
        clientPort: 40_000 + index,
        serverPort: 8000 + index,
        openMicros: dice.real(0, 35 * MINUTE),
        ends,
        isFragile: abort,
        ...(abort ? { abort: drawAbort(dice, ends) } : {}),
      };
    });
  }
}

function drawCuts(dice: Dice): CutPlan[] {
  if (!dice.chance(0.3)) return [];
  return Array.from({ length: dice.whole(1, 3) }, () => ({
    host: dice.pick([0, 1] as const),
    atMicros: dice.real(0, 35 * MINUTE),
    micros: dice.log(1e6, 4 * MINUTE),
  }));
}

/** The wires' rules, drawn anew every WEATHER. */
class Weather implements Actor {
  readonly #world: World;
  readonly #dice: Dice;
  #due: number;

  constructor(world: World, dice: Dice, start: number) {
    this.#world = world;
    this.#dice = dice;
    this.#due = start;
  }

  nextDue(): number {
    return this.#due;
  }

  run(now: number): number {
    if (now < this.#due) return 0;
    this.#due += WEATHER;
    drawLinks(this.#dice).forEach(({ toWire, toHost }, i) => {
      const cut = this.#world.hosts[i]?.nic.links.toWire?.rules.partition ?? false;
      const rules = { ...LINK_DEFAULTS, partition: cut };
      this.#world.hosts[i]?.setLink({ toWire: { ...rules, ...toWire }, toHost: { ...rules, ...toHost } });
    });
    return 1;
  }

  end(): void {
    this.#due = Infinity;
  }
}

// The network of an explored world: two small hosts, wires that obey lists, both ends; everything that a fork needs.
// Read first: scenario.ts; end.ts; Network.snapshot().

import { AF_INET, EAGAIN, LINK_FRAMES, POOL_COUNT, SOCK_NONBLOCK, SOCK_STREAM } from "../../assembly/layout.ts";
import type { Link } from "../../veth/index.ts";
import type { NetworkCapture } from "../capture.ts";
import type { Host } from "../host.ts";
import { createNetwork, type Network } from "../network.ts";
import { audit, stockOf, type Stock } from "../simulate/audit.ts";
import { SimulationFailure } from "../simulate/failure.ts";
import { setOptions } from "../simulate/options.ts";
import { meet } from "../simulate/world.ts";
import type { Snapshot } from "../snapshot.ts";
import { End, END_WORDS } from "./end.ts";
import { MTU, sysctlOf, type World } from "./scenario.ts";

/** Time of travel of every frame, microseconds. */
const DELAY = 5000;
/** A frame that is to be overtaken waits so long for another, microseconds. */
const HOLD = 12_000;
const SERVER_PORT = 80;
const CLIENT_PORT = 40_000;
/** A world that is not over by then never will be: beats, microseconds. */
const BEATS_MAX = 100_000;
const MICROS_MAX = 30 * 86_400e6;

/** Pools of both hosts: as much as four segments each way need under the worst of luck, and no more. */
const STACK = {
  connections: 6,
  sockets: 4,
  mbufs: 64,
  chunks: 32,
  largeChunks: 0,
  segments: 64,
  islands: 32,
  epollItems: 0,
  timeWaits: 6,
  reassemblies: 1,
  arpEntries: 4,
};

/** Numbers of a moment before those of the ends. */
const HEAD_WORDS = 4;

/** A moment of an explored world. */
export class Moment {
  snapshot: Snapshot | undefined;
  readonly words = new Int32Array(HEAD_WORDS + 2 * END_WORDS);
}

/** One explored world, alive. */
export class LiveWorld {
  readonly network: Network;
  readonly hosts: readonly [Host, Host];
  readonly #ends: readonly [End, End];
  readonly #links: readonly [Link, Link];
  readonly #stock: readonly Stock[];
  /** The stock again, in the order of #count(). */
  readonly #counts: Int32Array;
  readonly #words: Uint32Array;
  readonly #start: number;
  readonly capture: NetworkCapture | undefined;
  /** Listening sockets, -1 = none; #isOver: both ends are done, and they are closed. */
  readonly #listeners: [number, number] = [-1, -1];
  #isOver = false;
  /** Beats that were run, forks included. */
  beats = 0;
  /** Beats of the history that is at hand. */
  #depth = 0;

  constructor(world: World, { debug = false, capture }: { debug?: boolean; capture?: string | undefined } = {}) {
    this.network = createNetwork({ seed: `explore ${world.name}`, time: "virtual", debug });
    const bridge = this.network.bridge("lan", { ports: 2, entries: 8 });
    const make = (name: string, address: string): Host =>
      this.network.host(name, {
        bridge,
        address,
        mtu: MTU,
        ringSize: 32,
        rules: 1,
        stack: STACK,
        sysctl: sysctlOf(world),
        link: { toWire: { delay: DELAY, hold: HOLD, buffers: 64 } },
      });
    this.hosts = [make("a", "10.0.0.1/24"), make("b", "10.0.0.2/24")];
    meet(this.hosts[0], this.hosts[1]);
    meet(this.hosts[1], this.hosts[0]);
    this.network.advance(1_000_000);
    this.#links = [this.hosts[0].nic.links.toWire as Link, this.hosts[1].nic.links.toWire as Link];
    for (const link of this.#links) link.set({ dropFrames: [], duplicateFrames: [], swapFrames: [] });
    this.#stock = this.hosts.map(stockOf);
    this.#counts = this.#count();
    this.#words = new Uint32Array(this.network.memory.buffer);
    this.capture = capture === undefined ? undefined : this.network.capture(capture, { comment: world.name });
    this.#start = this.network.now();
    this.#ends = [this.#end(world, 0), this.#end(world, 1)];
  }

  #end(world: World, side: 0 | 1): End {
    const [host, peer] = [this.hosts[side], this.hosts[1 - side] as Host];
    const accepts = (of: number): boolean => world.ends[of]?.[0]?.[0] === "accept";
    const port = accepts(side) ? SERVER_PORT : CLIENT_PORT + side;
    const peerPort = accepts(1 - side) || world.isRefused === true ? SERVER_PORT : CLIENT_PORT + 1 - side;
    const end = new End({ world, side, host, peer, port, peerPort, start: this.#start });
    if (accepts(side)) {
      const fd = host.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
      host.posix.bind(fd, { port });
      setOptions(host.posix, fd, world.options ?? {});
      if (host.posix.listen(fd, 4) < 0) throw new Error("The server cannot listen.");
      this.#listeners[side] = end.listener = fd;
    }
    return end;
  }

  /** Frames that a host has put on its wire. */
  frames(side: 0 | 1): number {
    return this.#words[(this.#links[side].handle + LINK_FRAMES) / 4] as number;
  }

  /** What becomes of frames that are still to come: bit k for frame k of that host. */
  setLists(side: 0 | 1, drop: number, duplicate: number, swap: number): void {
    this.#links[side].setLists(drop, duplicate, swap);
  }

  /** Keeps this moment. */
  keep(moment: Moment): void {
    moment.snapshot = this.network.snapshot(moment.snapshot);
    const { words } = moment;
    words[0] = this.#listeners[0];
    words[1] = this.#listeners[1];
    words[2] = Number(this.#isOver);
    words[3] = this.#depth;
    this.#ends.forEach((end, side) => end.save(words, HEAD_WORDS + side * END_WORDS));
  }

  /** Comes back to a moment. */
  restore({ snapshot, words }: Moment): void {
    this.network.restore(snapshot as Snapshot);
    this.#listeners[0] = words[0] as number;
    this.#listeners[1] = words[1] as number;
    this.#isOver = words[2] !== 0;
    this.#depth = words[3] as number;
    this.#ends.forEach((end, side) => end.load(words, HEAD_WORDS + side * END_WORDS));
  }

  /**
   * One beat of the network and of both ends, or a jump to the next one. True when everything is over and was given
   * back.
   * @throws {SimulationFailure} when a promise is broken; {CoreTrap}
   */
  beat(): boolean {
    const { network } = this;
    this.beats++;
    if (++this.#depth > BEATS_MAX) throw this.#stalled(`after ${BEATS_MAX} beats`);
    const work = network.step();
    const now = network.now();
    if (work + this.#ends[0].run(now) + this.#ends[1].run(now) > 0) return false;
    const due = network.nextDeadline();
    if (this.#ends[0].isDone && this.#ends[1].isDone) {
      if (!this.#isOver) {
        this.#finish();
        return false;
      }
      if (due === Infinity) {
        this.#audit();
        return true;
      }
    }
    const next = Math.min(due, this.#ends[0].nextDue(), this.#ends[1].nextDue());
    if (next === Infinity && this.#giveUp()) return false;
    if (next === Infinity) throw new SimulationFailure("deadlock", `nothing will happen any more: ${this.#progress()}`);
    if (next - this.#start > MICROS_MAX) throw this.#stalled("in 30 days");
    network.jump(next);
    return false;
  }

  async close(): Promise<void> {
    await this.capture?.close();
    await this.network.close().catch(() => undefined);
  }

  /** Of a connection that failed early, the server may never hear: it waits no longer. True when somebody gave up. */
  #giveUp(): boolean {
    const [a, b] = this.#ends;
    return (a.isDone && b.giveUp()) || (b.isDone && a.giveUp());
  }

  /** Both ends are done: nobody else may wait to be accepted, and nobody listens any more. */
  #finish(): void {
    this.#isOver = true;
    this.#listeners.forEach((fd, side) => {
      if (fd < 0) return;
      const { posix } = this.hosts[side] as Host;
      const ghost = posix.accept4(fd, null, SOCK_NONBLOCK);
      if (ghost !== -EAGAIN) throw new SimulationFailure("error", `a connection that nobody opened: accept4 ${ghost}`);
      posix.close(fd);
      this.#listeners[side] = -1;
    });
  }

  #audit(): void {
    const counts = this.#count();
    if (counts.every((count, i) => count === this.#counts[i])) return;
    this.hosts.forEach((host, i) => audit(host, this.#stock[i] as Stock));
    throw new SimulationFailure("leak", "the hosts do not hold what they held at the start");
  }

  /** Everything that must be given back, as stockOf() names it. */
  #count(): Int32Array {
    const counts: number[] = [];
    for (const { nic, stack } of this.hosts) {
      const { core } = stack;
      for (let pool = 0; pool < POOL_COUNT; pool++) counts.push(core.poolUsed(pool));
      counts.push(core.currEstab(), core.orphanCount(), core.timeWaitCount(), Number(core.nextDeadline() !== Infinity));
      counts.push(nic.pending(0), ...nic.mbufsInUse(), nic.links.toWire?.inFlight ?? 0);
    }
    return Int32Array.from(counts);
  }

  #progress(): string {
    return this.#ends.map((end) => end.progress()).join("; ");
  }

  #stalled(when: string): SimulationFailure {
    return new SimulationFailure("stall", `not over ${when}: ${this.#progress()}`);
  }
}

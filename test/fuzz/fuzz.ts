// The fuzzer: hostile frames, one burst after another, at a stack with sockets of every kind and connections in every
// state. Nothing traps, twins do the same, counters add up, connections that survive work, and all comes back.
// Read first: twins.ts, live.ts.

import {
  EXCHANGE_DATA,
  IP_ADD_MEMBERSHIP,
  IP_RECVERR,
  IPPROTO_IP,
  RX_IP_BAD,
  RX_IP_GOOD,
  RX_L4_BAD,
  RX_L4_GOOD,
} from "../../assembly/layout.ts";
import { chance } from "../support/chance.ts";
import type { RxOptions } from "../support/fake-nic.ts";
import type { Sample } from "./corpus.ts";
import { faultsOf } from "./faults.ts";
import { FuzzPeer, type Live, LISTEN_PORT, type LiveState, STATES } from "./live.ts";
import { mutate, type Random, randomFrame } from "./mutate.ts";
import { seal } from "./seal.ts";
import { Twins } from "./twins.ts";

export interface FuzzOptions {
  frames: number;
  seed: number;
  corpus: readonly Sample[];
  /** Pools run out all the time: connections may starve then. */
  isScarce?: boolean;
  /** Is told how many frames have been sent. */
  onProgress?: (frames: number) => void;
}

export interface FuzzReport {
  frames: number;
  /** Frames that the stack sent. */
  answers: number;
  /** Connections by what became of them. */
  alive: number;
  gone: number;
  /** How many connections were led into each state. */
  states: Record<LiveState, number>;
  counters: Record<string, number>;
  /** How often a pool was empty. */
  shortages: number;
}

/** Something is wrong. The message names the frame's number: the same seed with as many frames shows it again. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";
}

const AMPLE = { CFG_CONNECTIONS: 512, CFG_CHUNKS: 4096, CFG_MBUFS: 1024, CFG_ISLANDS: 1024, CFG_TIME_WAITS: 256 };
const SCARCE = {
  ...AMPLE,
  CFG_CHUNKS: 48,
  CFG_LARGE_CHUNKS: 2,
  CFG_MBUFS: 40,
  CFG_ISLANDS: 8,
  CFG_FLIGHTS: 6,
  CFG_TXSEGS: 24,
  CFG_TIME_WAITS: 2,
  CFG_REASSEMBLIES: 2,
};
/** The stack gives up soon, so that its dead do not pile up. */
const SYSCTLS = {
  TCP_SYN_RETRIES: 2,
  TCP_SYNACK_RETRIES: 1,
  TCP_RETRIES2: 4,
  TCP_ORPHAN_RETRIES: 2,
  TCP_FIN_TIMEOUT: 3000,
  TCP_TIME_WAIT: 3000,
};
const CONNECTIONS = 16;
const BACKLOG = 4;
/** A burst is at most so many frames. */
const BURST = 12;
/** Frames that a connection is the target of, at most. */
const LIFE = 300;
/** After this time nothing of all connections is left, ms. */
const END_MILLIS = 3_600_000;

export class Fuzzer {
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #twins: Twins;
  readonly #peer: FuzzPeer;
  readonly #sockets: number[];
  readonly #states = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<LiveState, number>;
  #frames = 0;
  #answers = 0;
  #alive = 0;
  #gone = 0;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#random = chance(options.seed);
    const sizes = options.isScarce ? SCARCE : AMPLE;
    this.#twins = new Twins({ sizes, sysctls: SYSCTLS, seed: options.seed });
    const listener = this.#twins.call((stack) => stack.tcp({ bind: `:${LISTEN_PORT}` }));
    this.#twins.call(({ core }) => core.listen(listener, BACKLOG));
    const plain = this.#twins.call((stack) => stack.udp({ bind: ":7" }));
    this.#twins.call((stack) => stack.setOption(plain, IPPROTO_IP, IP_RECVERR, 1));
    const membership = Uint8Array.of(239, 1, 2, 3, 0, 0, 0, 0);
    this.#twins.call((stack) => stack.setOption(plain, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership));
    const connected = this.#twins.call((stack) => stack.udp({ bind: ":5353", connect: "10.0.0.2:53" }));
    this.#sockets = [listener, plain, connected];
    this.#twins.sent();
    this.#peer = new FuzzPeer(this.#twins, this.#random, listener);
  }

  /** @throws {FuzzFailure}, and what a trap throws */
  run(): FuzzReport {
    try {
      while (this.#frames < this.#options.frames) this.#turn();
      this.#end();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const { seed, isScarce = false } = this.#options;
      const replay = `--target stack --seed ${seed} --frames ${this.#frames + 1}${isScarce ? " --scarce" : ""}`;
      throw new FuzzFailure(`After ${this.#frames} frames (${replay}): ${message}`, { cause: error });
    }
    return {
      frames: this.#frames,
      answers: this.#answers,
      alive: this.#alive,
      gone: this.#gone,
      states: this.#states,
      counters: this.#twins.one.counters(),
      shortages: this.#twins.one.shortages(),
    };
  }

  #turn(): void {
    const random = this.#random;
    const { connections } = this.#peer;
    while (connections.length < CONNECTIONS) this.#open();
    const live = connections[random(connections.length)]!;
    const burst = random(3) === 0 ? this.#train(live) : this.#burst(live);
    const options = burst.map((frame) => this.#rxOptions(frame));
    const answers = this.#twins.receive(burst, options);
    this.#answers += answers.length;
    this.#peer.note(answers);
    this.#frames += burst.length;
    live.left -= burst.length;
    if (live.left <= 0) this.#retire(live);
    if (random(12) === 0) this.#peer.note(this.#twins.advance(random(10) === 0 ? random(5000) : random(60)));
    if (random(12) === 0) this.#serve();
    if (random(50) === 0) this.#check();
    this.#options.onProgress?.(this.#frames);
  }

  #open(): void {
    const state = STATES[this.#random(STATES.length)]!;
    this.#states[state]++;
    this.#peer.open(state, 1 + this.#random(LIFE));
  }

  /** Frames that have nothing to do with one another. */
  #burst(live: Live): Uint8Array[] {
    const random = this.#random;
    const count = random(6) === 0 ? 1 + random(BURST) : 1;
    return Array.from({ length: count }, () => {
      if (random(20) === 0) return this.#sealed(randomFrame(random));
      const frame = this.#sample().slice();
      const target = random(4) === 0 ? this.#peer.connections[random(this.#peer.connections.length)]! : live;
      if (random(8) > 0) this.#peer.aim(frame, target);
      return this.#sealed(random(10) === 0 ? frame : mutate(frame, this.#sample(), random));
    });
  }

  /** Segments of one stream in a row, as a sender's burst; some of them damaged, doubled or missing. */
  #train(live: Live): Uint8Array[] {
    const random = this.#random;
    const length = 1 + random(random(3) === 0 ? 1400 : 100);
    const frames: Uint8Array[] = [];
    let seq = live.peerNext;
    for (let n = 1 + random(BURST); n > 0; n--) {
      const flags = random(12) === 0 ? "PA" : random(40) === 0 ? "FA" : "A";
      const body = "t".repeat(random(6) === 0 ? random(length + 1) : length);
      const frame = this.#peer.segment(live, { flags, seq }, body);
      seq = (seq + (random(15) === 0 ? 0 : body.length)) >>> 0;
      frames.push(random(8) === 0 ? this.#sealed(mutate(frame, this.#sample(), random)) : frame);
    }
    return frames;
  }

  #sample(): Uint8Array {
    const { corpus } = this.#options;
    return corpus[this.#random(corpus.length)]!.frame;
  }

  /** Repairs the checksums of most frames, so that they get deep. */
  #sealed(frame: Uint8Array): Uint8Array {
    const random = this.#random;
    const luck = random(10);
    if (luck < 7) {
      if (random(3) === 0) seal(frame, true, 42); // the datagram that an ICMP error quotes
      seal(frame, true);
    } else if (luck < 8) {
      seal(frame, false);
    }
    return frame;
  }

  /** How the NIC hands a frame over: in pieces, with its verdicts. */
  #rxOptions(frame: Uint8Array): RxOptions {
    const random = this.#random;
    const options: RxOptions = {};
    if (frame.length > 2 && random(6) === 0) options.split = this.#pieces(frame.length);
    // A NIC that says so has looked; what it lets pass may still be nonsense.
    if (random(12) === 0)
      options.flags = [RX_L4_GOOD, RX_IP_GOOD, RX_L4_GOOD | RX_IP_GOOD, RX_L4_BAD, RX_IP_BAD][random(5)]!;
    return options;
  }

  #pieces(length: number): number[] {
    const pieces: number[] = [];
    for (let left = length - 1; left > 0 && pieces.length < 5; left -= pieces.at(-1)!)
      pieces.push(1 + this.#random(left));
    return pieces;
  }

  /** A connection has been a target for long enough: if it lives, it must work. */
  #retire(live: Live): void {
    const verdict = this.#peer.examine(live);
    if (verdict === "hung" && !this.#options.isScarce)
      throw new Error(`A connection hangs that was led into ${live.state}: ${JSON.stringify(live)}`);
    if (verdict === "alive") this.#alive++;
    else this.#gone++;
    this.#peer.forget(live);
  }

  #serve(): void {
    this.#peer.serve();
    for (const fd of this.#sockets.slice(1)) {
      while (this.#twins.call(({ core }) => core.recvfrom(fd, core.exchange() + EXCHANGE_DATA, 65536, 0)) >= 0);
    }
  }

  #check(): void {
    const [one, two] = [this.#twins.one.counters(), this.#twins.two.counters()].map((counters) =>
      JSON.stringify(counters),
    );
    if (one !== two) throw new Error(`The twins count differently: ${one} and ${two}`);
    const wrong = [this.#twins.one, this.#twins.two].flatMap((stack) => faultsOf(stack, this.#twins.offered));
    if (wrong.length > 0) throw new Error(wrong.join("; "));
  }

  /** Everything is closed and given back. */
  #end(): void {
    for (const live of [...this.#peer.connections]) this.#retire(live);
    this.#serve();
    for (const fd of this.#sockets) this.#twins.call(({ core }) => core.close(fd));
    this.#twins.advance(END_MILLIS);
    this.#check();
    for (const stack of [this.#twins.one, this.#twins.two]) {
      const left = JSON.stringify(stack.pools());
      if (left !== "{}") throw new Error(`Not given back: ${left}`);
      const { core } = stack;
      const figures = [core.currEstab(), core.orphanCount(), core.timeWaitCount()].join();
      if (figures !== "0,0,0") throw new Error(`Established, orphans, TIME-WAITs at the end: ${figures}`);
      if (core.nextDeadline() !== Infinity) throw new Error("A timer is left.");
    }
  }
}

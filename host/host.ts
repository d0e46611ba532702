// One host of a network: its stacks behind a NIC, with the calls that applications make and the figures for people.

import type { CoreTrap } from "./core.ts";
import { type Counters, type PoolUse, sumCounters, sumPools } from "./counters.ts";
import type { HostStack } from "./host-stack.ts";
import type { Posix } from "./posix/posix.ts";
import { ShadowListener, type ShadowOptions } from "./shadow.ts";
import type { Stack, StackPlace } from "./stack.ts";
import type { ClientPlace } from "./client/place.ts";
import type { HostClient } from "./client/client.ts";
import { THREAD_POLL } from "../assembly/layout.ts";
import { OribiError, optionError } from "./errors.ts";
import { Doorbell } from "./threads/doorbell.ts";
import { POLL_MODES, type PollMode } from "./threads/thread-driver.ts";
import { readShareCounters, type ShareCounters } from "./share.ts";
import type { ShareKeeper } from "./share-keeper.ts";
import type { LinkOptions, UserVeth, VethModule, Xstats } from "../veth/index.ts";

/** Impairments of a host's wire: both directions alike, or each its own. */
export type HostLink = LinkOptions | { toWire?: LinkOptions; toHost?: LinkOptions };

/** What a host with separate threads has beside the others. */
export interface Separation {
  readonly place: ClientPlace;
  /** Takes back what dead threads leave in the share. */
  readonly keeper: ShareKeeper;
  /** This thread's access. */
  attach(): HostClient;
  /** Has a stack, made anew, serve business threads again. */
  restart(stack: HostStack): void;
  close(): void;
}

/** A NIC with one stack or several behind it. What is said of "the" stack or thread here is the first one's. */
export class Host {
  readonly name: string;
  /** Its first IPv4 address. */
  readonly address: string;
  readonly nic: UserVeth;
  /** One for each thread that may serve the host; each has its own sockets and descriptors. */
  readonly stacks: readonly HostStack[];
  /** Where what its stacks share lies; nothing when it has one. */
  readonly shared: StackPlace | undefined;
  /** @internal what its NIC lies in, when that is not the network's memory */
  readonly veth: VethModule | undefined;
  readonly #setLink: (host: Host, link: HostLink) => void;
  #separate: Separation | undefined;
  #own: HostClient | undefined;

  /** @internal made by Network.host() */
  constructor(
    name: string,
    address: string,
    nic: UserVeth,
    stacks: readonly HostStack[],
    shared: StackPlace | undefined,
    setLink: (host: Host, link: HostLink) => void,
    veth?: VethModule,
  ) {
    this.veth = veth;
    this.name = name;
    this.address = address;
    this.nic = nic;
    this.stacks = stacks;
    this.shared = shared;
    this.#setLink = setLink;
  }

  /** The first stack. */
  get first(): HostStack {
    return this.stacks[0] as HostStack;
  }

  get stack(): Stack {
    return this.first.stack;
  }

  /** What stopped the first stack, when it has trapped. */
  get trap(): CoreTrap | undefined {
    return this.first.trap;
  }

  get thread(): HostStack["thread"] {
    return this.first.thread;
  }

  /**
   * The POSIX calls on the first stack, fit to be taken apart; on all stacks of a host with separate threads.
   * @throws {OribiError} ERR_ORIBI_THREAD while it runs in another thread: the calls are that thread's then
   */
  get posix(): Posix {
    return this.#separate === undefined ? this.first.posix : this.ownClient.posix;
  }

  /** This thread's access to a host with separate threads, as attachHost() gives it to others. */
  get ownClient(): HostClient {
    return (this.#own ??= this.#separated().attach());
  }

  /**
   * What another thread needs to use this host with attachHost(): plain data, for postMessage() or workerData.
   * @throws {OribiError} ERR_ORIBI_THREAD when the host was not made with `threads: "separate"`
   */
  client(): ClientPlace {
    return this.#separated().place;
  }

  /** @internal its stacks run in threads of their own, for business threads */
  separate(separation: Separation): void {
    this.#separate = separation;
  }

  /** @internal a stack that had crashed runs again: so does its thread, when it is a separate one */
  restarted(stack: HostStack): void {
    this.#separate?.restart(stack);
  }

  /** @internal takes back what dead threads leave in what separate threads share; undefined: they share nothing */
  get keeper(): ShareKeeper | undefined {
    return this.#separate?.keeper;
  }

  /** @internal the network is closed */
  detach(): void {
    this.#own?.close();
    this.#separate?.close();
  }

  #separated(): Separation {
    if (this.#separate !== undefined) return this.#separate;
    const hint = 'Make it with { threads: "separate" }.';
    throw new OribiError("ERR_ORIBI_THREAD", `Host "${this.name}" shares its thread with its application. ${hint}`);
  }

  /** When a stack wants to be polled though nothing arrives, microseconds; Infinity: no need. */
  nextDeadline(): number {
    let next = Infinity;
    for (const stack of this.stacks) next = Math.min(next, stack.nextDeadline());
    return next;
  }

  /** The counters: `host.counters().tcp.retransSegs`; of all stacks. A packet that is handed over counts at both. */
  counters(): Counters {
    return sumCounters(this.stacks.map((stack) => stack.counters()));
  }

  /** The pools: `host.pools().tcb.used`; of all stacks. */
  pools(): Record<string, PoolUse> {
    return sumPools(this.stacks.map((stack) => stack.pools()));
  }

  /** Reads a tunable by Linux's name ("tcp_sack"), or sets it in all stacks. */
  sysctl(name: string, value?: number | string): number | string {
    if (value !== undefined) for (const stack of this.stacks) stack.sysctl(name, value);
    return this.stack.sysctl(name);
  }

  /** Changes how the stacks' threads of a host with separate threads wait for work. */
  setPoll(mode: PollMode): void {
    const { place } = this.#separated();
    if (!POLL_MODES.includes(mode)) throw optionError("mode", mode, '"busy", "adaptive" or "lowPower"');
    const words = new Int32Array(place.memory.buffer);
    for (const block of place.blocks) {
      Atomics.store(words, (block + THREAD_POLL) / 4, POLL_MODES.indexOf(mode));
      new Doorbell(place.memory, block).ring();
    }
  }

  /**
   * What the stacks have done for business threads, in all: calls answered and cancelled, signals followed, sleepers
   * woken, words that could not be (violations), beats with work.
   */
  sharing(): ShareCounters {
    const { place } = this.#separated();
    return readShareCounters(place.memory.buffer, place.parts);
  }

  /** The NIC's counters. */
  xstats(): Xstats {
    return this.nic.xstats();
  }

  /**
   * Listens on a port with every stack: one listening socket that all of them serve, each with what its queue brings.
   * For stacks of this thread; stacks of other threads listen on the same port themselves, and clients of a host with
   * separate threads by HostClient.listen().
   * @throws {OribiError} ERR_ORIBI_LISTEN when a stack refuses; ERR_ORIBI_THREAD for a host with separate threads
   */
  listen(options: ShadowOptions): ShadowListener {
    if (this.#separate !== undefined) {
      const hint = "Any thread listens with attachHost(place).listen(), this one with host.ownClient.listen().";
      throw new OribiError("ERR_ORIBI_THREAD", `The stacks of host "${this.name}" have threads of their own. ${hint}`);
    }
    return new ShadowListener(this, options);
  }

  /** Changes the impairments of the host's wire while traffic flows. */
  setLink(link: HostLink): void {
    this.#setLink(this, link);
  }
}

// One host of a network: a stack behind a NIC, with the calls that applications make and the figures that people read.

import type { Stack } from "./stack.ts";
import type { CoreTrap } from "./core.ts";
import { toCoreTrap } from "./core.ts";
import type { Counters, PoolUse } from "./counters.ts";
import { OribiError } from "./errors.ts";
import { createPosix, type Posix } from "./posix/posix.ts";
import type { Waiter } from "./posix/waiter.ts";
import type { LinkOptions, UserVeth, Xstats } from "../veth/index.ts";

/** Impairments of a host's wire: both directions alike, or each its own. */
export type HostLink = LinkOptions | { toWire?: LinkOptions; toHost?: LinkOptions };

/** A host whose stack runs in this thread, unless Network.spawn() has lent it to another. */
export class Host {
  readonly name: string;
  /** Its first IPv4 address. */
  readonly address: string;
  readonly nic: UserVeth;
  readonly stack: Stack;
  /** What stopped the stack, when it has trapped. It is not polled any more. */
  trap: CoreTrap | undefined;
  /** Which thread the stack runs in; "lost": in none any more, its own one has crashed. Set by Network.spawn(). */
  thread: "main" | "worker" | "lost" = "main";
  readonly #posix: Posix;
  readonly #setLink: (host: Host, link: HostLink) => void;

  /** @internal made by Network.host() */
  constructor(
    name: string,
    address: string,
    nic: UserVeth,
    stack: Stack,
    waiter: Waiter,
    setLink: (host: Host, link: HostLink) => void,
  ) {
    this.name = name;
    this.address = address;
    this.nic = nic;
    this.stack = stack;
    this.#posix = createPosix(stack.core, stack.memory, waiter);
    this.#setLink = setLink;
  }

  /**
   * The POSIX calls, fit to be taken apart.
   * @throws {OribiError} ERR_ORIBI_THREAD while the host runs in another thread: the calls are that thread's then
   */
  get posix(): Posix {
    if (this.thread === "main") return this.#posix;
    const state = this.thread === "lost" ? "is out of order: its thread has crashed" : "runs in a thread of its own";
    throw new OribiError("ERR_ORIBI_THREAD", `Host "${this.name}" ${state}; its calls cannot be used here.`);
  }

  /** One beat of the stack at `now`, microseconds: frames and timers. A trap stops this stack only. */
  poll(now: number): number {
    if (this.trap !== undefined || this.thread !== "main") return 0;
    try {
      return this.stack.core.poll(now);
    } catch (error) {
      this.trap = toCoreTrap(error) as CoreTrap;
      throw this.trap;
    }
  }

  /** When the stack wants to be polled though nothing arrives, microseconds; Infinity: no need. */
  nextDeadline(): number {
    return this.trap === undefined && this.thread === "main" ? this.stack.core.nextDeadline() : Infinity;
  }

  /** The counters: `host.counters().tcp.retransSegs`. */
  counters(): Counters {
    return this.stack.counters();
  }

  /** The pools: `host.pools().tcb.used`. */
  pools(): Record<string, PoolUse> {
    return this.stack.pools();
  }

  /** Reads a tunable by Linux's name ("tcp_sack"), or sets it. */
  sysctl(name: string, value?: number | string): number | string {
    return this.stack.sysctl(name, value);
  }

  /** The NIC's counters. */
  xstats(): Xstats {
    return this.nic.xstats();
  }

  /** Changes the impairments of the host's wire while traffic flows. */
  setLink(link: HostLink): void {
    this.#setLink(this, link);
  }
}

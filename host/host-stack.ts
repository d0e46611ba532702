// One stack of a host: a host has one for each of its threads, all with the same NIC and addresses.
// Read first: DESIGN.md section 4; assembly/steer/group.ts for what they share.

import { GROUP_MEMBERS, MEMBER_BYTES, MEMBER_DOORBELL, STACK_NOW } from "../assembly/layout.ts";
import type { UserVeth } from "../veth/index.ts";
import { type CoreTrap, toCoreTrap } from "./core.ts";
import type { Counters, PoolUse } from "./counters.ts";
import { OribiError } from "./errors.ts";
import { createPosix, type Posix } from "./posix/posix.ts";
import type { Waiter } from "./posix/waiter.ts";
import type { Membership, Stack } from "./stack.ts";
import type { Runner } from "./threads/runner.ts";

/** Which queues of the NIC a stack uses. */
export interface QueueShare {
  /** First of the RX queues that it serves. */
  first: number;
  /** How many; 0: what is for it comes by its software queue alone. */
  count: number;
  /** Its TX queue. */
  tx: number;
}

/** How a stack with a memory of its own is isolated from the others. */
export interface Isolation {
  /** Tells its ltran where the thread that runs the stack sleeps. */
  setBell(bell: number): void;
}

/** What its network does for a stack. */
export interface StackOwner {
  /** Gives the stack its queues, its interface, its routes. */
  prepare(stack: HostStack): void;
  /** It has trapped in this thread: what it had is to be taken back. */
  trapped(stack: HostStack): void;
  /** It has started or stopped running in this thread. */
  moved(stack: HostStack): void;
}

/** Divides a NIC's RX queues among stacks: each gets neighbours; where they do not suffice, the last ones get none. */
export function shareQueues(queues: number, stacks: number): QueueShare[] {
  return Array.from({ length: stacks }, (_, tx) => {
    if (queues < stacks) return { first: Math.min(tx, queues - 1), count: tx < queues ? 1 : 0, tx };
    const first = Math.floor((tx * queues) / stacks);
    return { first, count: Math.floor(((tx + 1) * queues) / stacks) - first, tx };
  });
}

/** A stack that runs in this thread, unless Network.spawn() has lent it to another. */
export class HostStack implements Runner {
  /** "server", or "server#1" where the host has several. */
  readonly name: string;
  /** The host's first IPv4 address. */
  readonly address: string;
  /** Which of the host's stacks it is. */
  readonly index: number;
  readonly nic: UserVeth;
  readonly queues: QueueShare;
  readonly membership: Membership;
  /** The cores that its thread is kept on; none: any. */
  readonly cpus: readonly number[];
  readonly stack: Stack;
  /** Set when it lies in a memory of its own. */
  readonly isolation: Isolation | undefined;
  #trap: CoreTrap | undefined;
  #thread: "main" | "worker" | "lost" = "main";
  #isSharing = false;
  readonly #posix: Posix;
  readonly #owner: StackOwner;
  readonly #sysctls = new Map<string, number | string>();

  /** @internal made by Network.host() */
  constructor(
    place: Pick<HostStack, "name" | "address" | "index" | "nic" | "queues" | "membership" | "cpus">,
    stack: Stack,
    waiter: Waiter,
    owner: StackOwner,
    isolation?: Isolation,
  ) {
    this.isolation = isolation;
    this.name = place.name;
    this.address = place.address;
    this.index = place.index;
    this.nic = place.nic;
    this.queues = place.queues;
    this.membership = place.membership;
    this.cpus = place.cpus;
    this.stack = stack;
    this.#posix = createPosix(stack.core, stack.memory, waiter);
    this.#owner = owner;
  }

  /**
   * The POSIX calls, fit to be taken apart. Descriptors are those of this stack.
   * @throws {OribiError} ERR_ORIBI_THREAD while the stack runs in another thread: the calls are that thread's then
   */
  get posix(): Posix {
    if (this.thread === "main") return this.#posix;
    const state = this.thread === "lost" ? "is out of order: its thread has crashed" : "runs in a thread of its own";
    throw new OribiError("ERR_ORIBI_THREAD", `Host "${this.name}" ${state}; its calls cannot be used here.`);
  }

  /** A beat in this thread has thrown `error`: the stack stops. Returns what is to be thrown. */
  fail(error: unknown): unknown {
    const trap = toCoreTrap(error);
    this.trap = trap as CoreTrap;
    this.#owner.trapped(this);
    return trap;
  }

  /** Which thread the stack runs in; "lost": in none any more, its own one has crashed. Set by Network.spawn(). */
  get thread(): "main" | "worker" | "lost" {
    return this.#thread;
  }

  set thread(thread: "main" | "worker" | "lost") {
    this.#thread = thread;
    this.#owner.moved(this);
  }

  /** What stopped the stack, when it has trapped. It is not polled any more. */
  get trap(): CoreTrap | undefined {
    return this.#trap;
  }

  set trap(trap: CoreTrap | undefined) {
    this.#trap = trap;
    this.#owner.moved(this);
  }

  /** True while the stack is this thread's to poll. */
  get isHere(): boolean {
    return this.#trap === undefined && this.#thread === "main";
  }

  /** In simulated time the stacks of separate threads are stepped here, with the business threads' part. */
  get isSharing(): boolean {
    return this.#isSharing;
  }

  set isSharing(isSharing: boolean) {
    this.#isSharing = isSharing;
    this.#owner.moved(this);
  }

  /** What makes one beat of the stack at a time, microseconds: frames and timers. Returns the work done. */
  get beat(): (now: number) => number {
    const { poll, shareBeat } = this.stack.core;
    return this.#isSharing ? (now) => poll(now) + shareBeat() : poll;
  }

  /** When the stack wants to be polled though nothing arrives, microseconds; Infinity: no need. */
  nextDeadline(): number {
    if (!this.isHere) return Infinity;
    const { core } = this.stack;
    if (!this.#isSharing) return core.nextDeadline();
    return core.sharePending() !== 0 ? 0 : Math.min(core.nextDeadline(), core.shareDeadline());
  }

  /** Reads a tunable by Linux's name ("tcp_sack"), or sets it, also for the time after a crash. */
  sysctl(name: string, value?: number | string): number | string {
    const result = this.stack.sysctl(name, value);
    if (value !== undefined) this.#sysctls.set(name, value);
    return result;
  }

  /** @internal gives the stack, made anew, what it had when the host was made */
  prepare(): void {
    this.#owner.prepare(this);
    for (const [name, value] of this.#sysctls) this.stack.sysctl(name, value);
  }

  /** @internal the stack runs again, in this thread */
  revive(): void {
    this.trap = undefined;
    this.thread = "main";
  }

  /** Time of the stack's latest beat, microseconds. */
  get lastBeat(): number {
    return new Float64Array(this.stack.memory.buffer, this.stack.place.base + STACK_NOW, 1)[0] as number;
  }

  /** The stack is this thread's again: its instance here reads anew what it keeps of the arena */
  takeBack(): void {
    try {
      this.stack.core.attach(this.stack.place.base);
    } catch (error) {
      if (this.isolation === undefined) throw error;
      this.fail(error);
    }
  }

  /** Frames that wait in the NIC's queues of this stack. */
  pending(): number {
    const { first, count } = this.queues;
    let frames = 0;
    try {
      for (let queue = first; queue < first + count; queue++) frames += this.nic.pending(queue);
    } catch (error) {
      if (this.isolation === undefined) throw error;
      return 1; // The next beat will find out what is wrong with its memory.
    }
    return frames;
  }

  /** Freed mbufs that a thread of its own gathers for each RX queue; 0: none. */
  get mbufCache(): number {
    // All caches of a queue together: a quarter of its mbufs.
    const share = Math.floor(this.nic.mbufs / (4 * this.nic.txQueues));
    return share < 2 ? 0 : Math.min(this.stack.mbufCache, share);
  }

  /** Has a doorbell rung when something comes to one of the stack's queues, the software queue included. */
  setDoorbell(bell: number): void {
    if (this.isolation !== undefined) {
      this.isolation.setBell(bell);
      return;
    }
    const { first, count } = this.queues;
    for (let queue = first; queue < first + count; queue++) this.nic.setDoorbell(queue, bell);
    const { group, index } = this.membership;
    if (group === 0) return;
    const at = group + GROUP_MEMBERS + index * MEMBER_BYTES + MEMBER_DOORBELL;
    Atomics.store(new Uint32Array(this.stack.memory.buffer), at / 4, bell);
  }

  /** The counters of this stack. */
  counters(): Counters {
    return this.stack.counters();
  }

  /** The pools of this stack. */
  pools(): Record<string, PoolUse> {
    return this.stack.pools();
  }
}

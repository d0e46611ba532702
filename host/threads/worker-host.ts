// A host as the function sees it that runs in the host's own thread.

import { Stack, type StackPlace } from "../stack.ts";
import { adoptModules, type CoreModules, instantiateVeth, type SharedMemory } from "../core.ts";
import type { Counters, PoolUse } from "../counters.ts";
import { OribiError } from "../errors.ts";
import type { QueueShare } from "../host-stack.ts";
import { createPosix, type Posix } from "../posix/posix.ts";
import { UserVeth, type VethModule, wakerOf, type Xstats } from "../../veth/index.ts";
import { clockFrom } from "./clock.ts";
import { Pump, type UntilOptions } from "./pump.ts";
import type { ThreadActivity } from "./activity.ts";
import { type PollMode, ThreadDriver } from "./thread-driver.ts";

/** What a thread is given when it starts: plain data, shared memory and compiled modules. */
export interface ThreadSetup {
  /** What the stack and its NIC lie in. */
  memory: SharedMemory;
  /** What doorbells and the state of threads lie in: the network's. The same, unless the stack is isolated. */
  home: SharedMemory;
  /** Address of the ltran in `home` that the NIC is behind; 0: none. */
  ltran: number;
  modules: CoreModules;
  debug?: boolean | undefined;
  /** process.hrtime.bigint() when the network's time was 0. */
  epochNanos: bigint;
  name: string;
  address: string;
  /** Which of the host's stacks it is. */
  index: number;
  /** Number of the stack in the network: names the holder of locks. */
  id: number;
  place: StackPlace;
  /** Handle of the NIC's port. */
  port: number;
  /** Freed mbufs that the thread gathers for each RX queue, 0: none. */
  mbufCache: number;
  queues: QueueShare;
  /** The cores that the thread is kept on; none: any. */
  cpus: readonly number[];
  /** Addresses of the host's THREAD_BYTES and of the main thread's doorbell. */
  block: number;
  mainBell: number;
}

/** A host whose stack runs in this thread. Made by Network.spawn(). */
export class WorkerHost {
  readonly name: string;
  /** Its first IPv4 address. */
  readonly address: string;
  /** Which of the host's stacks this thread has. */
  readonly index: number;
  /** The POSIX calls, fit to be taken apart. Those that wait serve the stack meanwhile. */
  readonly posix: Posix;
  readonly #stack: Stack;
  readonly #nic: UserVeth;
  readonly #driver: ThreadDriver;
  readonly #pump: Pump;
  readonly #mbufCache: number;
  readonly #txQueue: number;

  /** @internal use Network.spawn() */
  constructor(setup: ThreadSetup) {
    const { memory, debug } = setup;
    const core = debug === undefined ? {} : { debug };
    adoptModules(setup.modules);
    const exports =
      setup.ltran === 0
        ? instantiateVeth(memory, core)
        : instantiateVeth(memory, core, wakerOf(setup.home, setup.ltran));
    exports.identify(setup.id);
    const veth: VethModule = { exports, memory, allocate: refuse };
    this.name = setup.name;
    this.address = setup.address;
    this.index = setup.index;
    this.#mbufCache = setup.mbufCache;
    this.#txQueue = setup.queues.tx;
    this.#stack = Stack.attach(memory, exports, setup.place, core);
    this.#nic = UserVeth.attach(veth, { kind: "user-veth", name: setup.name, handle: setup.port, links: {} });
    const port = { handle: setup.port, ...setup.queues };
    const clock = clockFrom(setup.epochNanos);
    this.#driver = new ThreadDriver(clock, this.#stack.core, exports, port, setup.home, setup.block);
    this.#pump = new Pump(this.#driver, this.#driver.bell);
    this.posix = createPosix(this.#stack.core, memory, this.#driver);
  }

  /** Microseconds since the network was made: one time for all of its threads. */
  now(): number {
    return this.#driver.now();
  }

  /** The counters: `host.counters().tcp.retransSegs`. */
  counters(): Counters {
    return this.#stack.counters();
  }

  /** The pools: `host.pools().tcb.used`. */
  pools(): Record<string, PoolUse> {
    return this.#stack.pools();
  }

  /** Reads a tunable by Linux's name ("tcp_sack"), or sets it. */
  sysctl(name: string, value?: number | string): number | string {
    return this.#stack.sysctl(name, value);
  }

  /** The NIC's counters. */
  xstats(): Xstats {
    return this.#nic.xstats();
  }

  /** How often the stack was polled in threads of its own, and how often and how long they slept. */
  activity(): ThreadActivity {
    return this.#driver.activity.read(this.now());
  }

  /**
   * Serves the stack from this thread's event loop until `isDone()` says so: for functions that await other things.
   * @returns false when `timeout` has passed
   */
  until(isDone: () => boolean, options: UntilOptions = {}): Promise<boolean> {
    return this.#pump.until(isDone, options);
  }

  /** @internal the task of a stack thread */
  serve(): never {
    return this.#driver.serve();
  }

  /** @internal a task begins: the main thread may have used the stack meanwhile */
  enter(mode: PollMode): void {
    this.#driver.enter();
    this.#driver.mode = mode;
    this.#driver.isSharing = false;
    this.#stack.core.attach(this.#stack.place.base);
    this.#useCaches(this.#mbufCache);
  }

  /** @internal a task has ended: whoever still waits here must not touch the stack any more. Has it trapped? */
  leave(error: Error): boolean {
    this.#pump.close(error);
    if (!this.#driver.hasTrapped) this.#useCaches(0);
    return this.#driver.hasTrapped;
  }

  #useCaches(mbufs: number): void {
    const nic = this.#nic;
    this.#stack.core.rxCacheUse(nic.poolAddress(0), nic.queues, nic.cachesAddress(this.#txQueue), mbufs);
  }
}

function refuse(): never {
  throw new OribiError("ERR_ORIBI_THREAD", "Only the main thread gives out regions of a network's memory.");
}

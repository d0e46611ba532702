// One stack of the core: its arena in the network's memory, its instance, its interfaces and figures.
// Read first: DESIGN.md sections 2 and 5; assembly/index.ts.

import * as layout from "../assembly/layout.ts";
import { type CoreOptions, instantiateStack, type StackExports } from "./core.ts";
import { type Counters, type PoolUse, readCounters, readPools } from "./counters.ts";
import { OribiError } from "./errors.ts";
import type { SharedMemory } from "./regions.ts";
import { stackConfig, type StackOptions } from "./stack-options.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";

/** What an interface of a stack is made of; addresses are host-order numbers. */
export interface InterfaceConfig {
  /** Handle of the NIC's port. */
  port: number;
  queue: number;
  /** Queues from `queue` on that the stack serves; 0: none. */
  queues: number;
  /** The queue by which it sends. */
  txQueue: number;
  mac: Uint8Array;
  address: number;
  netmask: number;
  mtu: number;
  /** CAP_* */
  capabilities: number;
}

/** Where a stack lies; plain data that a worker can attach to. */
export interface StackPlace {
  base: number;
  bytes: number;
}

/** A stack's place among those of its host and of its network. */
export interface Membership {
  /** Address of what the stacks of its host share; 0: it is the only one. */
  group: number;
  /** Which of the host's stacks it is. */
  index: number;
  /** Its number in the network, from 1. */
  id: number;
}

/** A stack instance of this thread. */
export class Stack {
  readonly core: StackExports;
  readonly memory: SharedMemory;
  readonly place: StackPlace;
  /** What it was made of, where this thread made it: its options, and where they are laid down for the core. */
  readonly #made: { config: Uint32Array; scratch: number; membership: Membership } | undefined;

  private constructor(
    core: StackExports,
    memory: SharedMemory,
    place: StackPlace,
    made?: { config: Uint32Array; scratch: number; membership: Membership },
  ) {
    this.core = core;
    this.memory = memory;
    this.place = place;
    this.#made = made;
  }

  /**
   * Makes a stack in a new region.
   * @param allocate takes a zeroed region of the memory
   * @throws {OribiError} ERR_ORIBI_OPTION when sizes do not fit, ERR_ORIBI_MEMORY when the memory is full
   */
  static create(
    memory: SharedMemory,
    nic: object,
    allocate: (bytes: number) => number,
    options: StackOptions,
    secret: Uint32Array,
    now: number,
    membership: Membership,
    core: CoreOptions = {},
  ): Stack {
    const instance = instantiateStack(memory, nic, core);
    const config = stackConfig(options, secret);
    const scratch = allocate(65536);
    new Uint32Array(memory.buffer, scratch, config.length).set(config);
    const bytes = instance.arenaBytes(scratch) >>> 0;
    if (bytes === 0) {
      throw new OribiError("ERR_ORIBI_OPTION", "The pools of this stack do not fit 4 GiB; lower the sizes in `stack`.");
    }
    const base = allocate(bytes);
    new Uint32Array(memory.buffer, scratch, config.length).set(config);
    const result = instance.init(base, scratch, now);
    if (result < 0) throw new OribiError("ERR_ORIBI_STACK", `The stack could not be set up (errno ${-result}).`);
    instance.join(membership.group, membership.index);
    return new Stack(instance, memory, { base, bytes }, { config, scratch, membership });
  }

  /** Uses a stack that was made before, here or in another thread. */
  static attach(memory: SharedMemory, nic: object, place: StackPlace, core: CoreOptions = {}): Stack {
    const instance = instantiateStack(memory, nic, core);
    instance.attach(place.base);
    return new Stack(instance, memory, place);
  }

  /** Makes a new stack where this one was, with the same options: no interface, no socket. */
  renew(now: number): void {
    if (this.#made === undefined) throw new OribiError("ERR_ORIBI_STACK", "This thread has not made the stack.");
    const { config, scratch, membership } = this.#made;
    new Uint32Array(this.memory.buffer, scratch, config.length).set(config);
    const result = this.core.renew(this.place.base, scratch, now);
    if (result < 0) throw new OribiError("ERR_ORIBI_STACK", `The stack could not be set up (errno ${-result}).`);
    this.core.join(membership.group, membership.index);
  }

  /** Mbufs of each cache for received packets (StackOptions.mbufCache), where this thread made the stack. */
  get mbufCache(): number {
    return this.#made?.config[layout.CFG_MBUF_CACHE] ?? 0;
  }

  /** Adds an interface and returns its index. @throws {OribiError} ERR_ORIBI_INTERFACE */
  addInterface(config: InterfaceConfig): number {
    const at = (this.core.exchange() >>> 0) + layout.EXCHANGE_ARGS;
    const words = new Uint32Array(this.memory.buffer, at, layout.IF_WORDS).fill(0);
    const [m0 = 0, m1 = 0, m2 = 0, m3 = 0, m4 = 0, m5 = 0] = config.mac;
    words[layout.IF_PORT] = config.port;
    words[layout.IF_QUEUE] = config.queue;
    words[layout.IF_MAC_HIGH] = (m0 << 8) | m1;
    words[layout.IF_MAC_LOW] = ((m2 << 24) | (m3 << 16) | (m4 << 8) | m5) >>> 0;
    words[layout.IF_ADDRESS] = config.address;
    words[layout.IF_NETMASK] = config.netmask;
    words[layout.IF_MTU] = config.mtu;
    words[layout.IF_CAPS] = config.capabilities;
    words[layout.IF_QUEUES] = config.queues;
    words[layout.IF_FLAGS] = config.queues === 0 ? layout.IF_NO_RX : 0;
    words[layout.IF_TX_QUEUE] = config.txQueue;
    const index = this.core.netifAdd(at);
    if (index < 0) {
      const hint = "is its address one that a host may have, and its MTU at least 68?";
      throw new OribiError("ERR_ORIBI_INTERFACE", `The interface was refused (errno ${-index}): ${hint}`);
    }
    return index;
  }

  /** The counters by group and name. */
  counters(): Counters {
    return readCounters(this.memory.buffer, this.core.countersAt() >>> 0);
  }

  /** The pools by name. */
  pools(): Record<string, PoolUse> {
    return readPools(this.core);
  }

  /** Reads a tunable by Linux's name, or sets it. */
  sysctl(name: string, value?: number | string): number | string {
    if (value !== undefined) writeSysctl(this.core, name, value);
    return readSysctl(this.core, name);
  }
}

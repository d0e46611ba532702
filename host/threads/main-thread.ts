// The main thread's part in a network with threads: it serves the hosts that have none of their own, from its event
// loop while functions run elsewhere, or inside a call that blocks it.

import type { MessagePort } from "node:worker_threads";
import type { SharedMemory } from "../regions.ts";
import { OribiError } from "../errors.ts";
import type { Host } from "../host.ts";
import type { HostStack } from "../host-stack.ts";
import { type Driver, millisLeft, SPIN_MICROS } from "./driver.ts";
import { Pump, type UntilOptions } from "./pump.ts";
import { type SpawnOptions, type ThreadOwner, Threads } from "./threads.ts";
import type { Runner } from "./runner.ts";

/** What it needs of the network. */
export interface ThreadedNetwork {
  readonly memory: SharedMemory;
  readonly hosts: readonly Host[];
  readonly isCapturing: () => boolean;
  now(): number;
  step(): number;
  nextDeadline(): number;
  allocate(bytes: number): number;
  /** What a host's thread is given. */
  setup(runner: Runner): { worker: URL; setup: object };
  /** It is its thread's from now on, or the main thread's again; with its host's links, if it is the last. */
  ownLinks(runner: Runner, owns: boolean): void;
  /** Does something wait for what is neither a host's nor another thread's? */
  hasArrivals(): boolean;
  /** The stack is nobody's any more; its thread is gone when `gone` says so. */
  lost(runner: Runner, gone: Promise<void>): void;
  /** No thread runs any more. */
  rested(): void;
}

/** A capture's ring rings no bell; it is drained so often, milliseconds. */
const DRAIN_MILLIS = 5;
const SLEEP_MILLIS_MAX = 1000;

/** Threads, and what keeps the main thread's own hosts going. */
export class MainThread implements Driver {
  readonly #network: ThreadedNetwork;
  readonly #threads: Threads;
  readonly #pump: Pump;

  constructor(network: ThreadedNetwork, hangMillis: number) {
    this.#network = network;
    const owner: ThreadOwner = {
      memory: network.memory,
      allocate: (bytes) => network.allocate(bytes),
      setup: (stack) => network.setup(stack),
      lent: (stack) => network.ownLinks(stack, false),
      returned: (stack) => network.ownLinks(stack, true),
      lost: (stack, gone) => network.lost(stack, gone),
      active: (isActive) => {
        this.#pump.background = isActive;
        if (!isActive) network.rested();
      },
    };
    this.#threads = new Threads(owner, hangMillis);
    this.#pump = new Pump(this, this.#threads.bell);
    for (const host of network.hosts) this.watch(host);
  }

  /** Do functions run in other threads? Then something may always happen. */
  get isShared(): boolean {
    return this.#threads.running > 0;
  }

  get sleepMillisMax(): number {
    return this.#network.isCapturing() ? DRAIN_MILLIS : SLEEP_MILLIS_MAX;
  }

  now(): number {
    return this.#network.now();
  }

  step(): number {
    return this.#network.step();
  }

  nextDeadline(): number {
    return this.#network.nextDeadline();
  }

  hasArrivals(): boolean {
    if (this.#threads.hasEnded()) return true;
    if (this.#network.hasArrivals()) return true;
    for (const host of this.#network.hosts) {
      for (const stack of host.stacks) {
        if (stack.thread === "main" && stack.trap === undefined && stack.pending() > 0) return true;
      }
    }
    return false;
  }

  /** Takes back the hosts whose functions have ended. */
  reap(): void {
    if (this.#threads.running > 0) this.#threads.reap();
  }

  /** A host was made. */
  watch(host: Host): void {
    for (const stack of host.stacks) this.watchStack(stack);
  }

  /** A stack is this thread's. */
  watchStack(stack: Runner): void {
    this.#threads.watch(stack);
  }

  /** Has the event loop's part look again how long it may sleep. */
  wake(): void {
    this.#threads.bell.ring();
  }

  /** Address of the block of a host's thread. */
  blockOf(host: HostStack): number {
    return this.#threads.blockOf(host);
  }

  /** Address of this thread's doorbell. */
  get bell(): number {
    return this.#threads.bell.address;
  }

  /** Runs a function in a host's thread. */
  run(host: HostStack, module: URL | string, options: SpawnOptions): Promise<unknown> {
    return this.#threads.run(host, module, options);
  }

  /** Has something run in a thread of its own that is no stack. */
  launch(runner: Runner, task: object, transferList: readonly MessagePort[]): Promise<unknown> {
    return this.#threads.launch(runner, task, transferList);
  }

  /** Ends a stack's function as a crash would. */
  kill(stack: Runner, reason: Error): boolean {
    return this.#threads.kill(stack, reason);
  }

  /** Does something while all threads stand still between two beats; false: one was busy for too long. */
  atSafepoint(work: () => void): boolean {
    return this.#threads.atSafepoint(work);
  }

  /** Steps from the event loop until `isDone()` says so. */
  until(isDone: () => boolean, options: UntilOptions): Promise<boolean> {
    return this.#pump.until(isDone, options);
  }

  /**
   * Blocks the thread until a frame arrives, a deadline or `untilMicros` has come, or `millisMax` have passed; not
   * when `isReady`, which is asked after the sleep was announced.
   */
  sleep(untilMicros: number, millisMax = Infinity, isReady = (): boolean => false): void {
    const spinEnd = this.now() + SPIN_MICROS;
    const limit = (): number => (isReady() ? 0 : Math.min(millisLeft(this, untilMicros), millisMax));
    while (this.now() < spinEnd) if (limit() <= 0) return;
    this.#threads.bell.sleep(limit);
  }

  /** Ends all functions and threads. */
  async close(): Promise<void> {
    this.#pump.close(new OribiError("ERR_ORIBI_CLOSED", "The network was closed."));
    await this.#threads.close();
  }
}

// A network in one process: bridges, hosts and links over one shared memory, driven by real or simulated time.
// Read first: DESIGN.md sections 2, 3 and 5.

import { randomBytes } from "node:crypto";
import {
  type BridgeOptions,
  type Link,
  type LinkOptions,
  LinkDirectory,
  type NicOptions,
  UserVbridge,
  UserVeth,
  type VethModule,
} from "../veth/index.ts";
import { parseDuration } from "../veth/options.ts";
import { NetworkCapture, type NetworkCaptureOptions } from "./capture.ts";
import { parseCidr } from "./cidr.ts";
import { type Clock, RealClock, startMicros, VirtualClock } from "./clock.ts";
import { coreModules, type CoreOptions, createMemory, instantiateVeth, Regions, type SharedMemory } from "./core.ts";
import { OribiError, optionError } from "./errors.ts";
import { Host, type HostLink } from "./host.ts";
import type { HostOptions } from "./host-options.ts";
import { scanAddress } from "./posix/address.ts";
import type { Waiter } from "./posix/waiter.ts";
import { seedWords } from "./seed.ts";
import { type Snapshot, Snapshots } from "./snapshot.ts";
import { Stack } from "./stack.ts";
import { epochOf } from "./threads/clock.ts";
import { MainThread } from "./threads/main-thread.ts";
import type { UntilOptions } from "./threads/pump.ts";
import type { SpawnOptions } from "./threads/threads.ts";

export type { HostOptions } from "./host-options.ts";

export interface NetworkOptions {
  /** Gives every random choice. Default: a different one each time (`network.seed` tells which). */
  seed?: number | string;
  /**
   * "real": the machine's clock. "virtual": time moves only by advance() and by waiting, and the same seed gives the
   * same bytes.
   */
  time?: "real" | "virtual";
  /** What a virtual clock shows at first, microseconds; to see 32-bit clocks wrap, for example. Default: 0. */
  startMicros?: number;
  /** Load the debug build of the core, whose traps name file and line. */
  debug?: boolean;
  /** Closes the network when it is aborted. */
  signal?: AbortSignal;
}

/** What createNetwork() does when nothing is said. */
export const NETWORK_DEFAULTS: Readonly<Required<Pick<NetworkOptions, "time">>> = Object.freeze({ time: "real" });

/** Virtual microseconds that a step with work takes: time goes on even in a network without delays. */
const STEP_MICROS = 1;
/** A condition that another thread makes true is asked at least so often, milliseconds. */
const ASK_MILLIS = 5;
/** Steps without end at one time mean that two hosts talk for ever; settle() gives up then. */
const SETTLE_STEPS_MAX = 10_000_000;

/** Bridges, hosts and the time they live in. Make one with createNetwork(). */
export class Network implements AsyncDisposable {
  readonly seed: number | string;
  readonly time: "real" | "virtual";
  readonly memory: SharedMemory;
  readonly #regions: Regions;
  readonly #veth: VethModule;
  readonly #core: CoreOptions;
  readonly #clock: Clock;
  readonly #links: LinkDirectory;
  readonly #hosts: Host[] = [];
  readonly #bridges: UserVbridge[] = [];
  readonly #sleep = new Int32Array(new SharedArrayBuffer(4));
  #linkCount = 0;
  #capture: NetworkCapture | undefined;
  #snapshots: Snapshots | undefined;
  /** Made when the first thread is, or somebody waits from the event loop. */
  #mainThread: MainThread | undefined;
  /** Regions to give back when no other thread runs any more: one may still be writing there. */
  readonly #retired: number[] = [];
  #isClosed = false;
  #closing: Promise<void> | undefined;
  readonly #waiter: Waiter;

  /** @internal use createNetwork() */
  constructor(options: NetworkOptions = {}) {
    this.time = options.time ?? NETWORK_DEFAULTS.time;
    if (this.time !== "real" && this.time !== "virtual") throw optionError("time", this.time, '"real" or "virtual"');
    this.seed = options.seed ?? randomBytes(4).readUInt32LE();
    this.#core = options.debug === undefined ? {} : { debug: options.debug };
    this.memory = createMemory(1);
    this.#regions = new Regions(this.memory);
    this.#veth = {
      exports: instantiateVeth(this.memory, this.#core),
      memory: this.memory,
      allocate: (bytes) => this.#regions.allocate(bytes),
      free: (address) => this.#free(address),
    };
    this.#clock = this.time === "virtual" ? new VirtualClock(startMicros(options.startMicros)) : new RealClock();
    this.#links = LinkDirectory.create(this.#veth);
    this.#waiter = { poll: () => this.step(), now: () => this.now(), wait: (until) => this.#wait(until) };
    options.signal?.addEventListener("abort", () => void this.close(), { once: true });
  }

  /** The hosts, in the order in which they were made. */
  get hosts(): readonly Host[] {
    return this.#hosts;
  }

  /** Microseconds since the network was made. */
  now(): number {
    return this.#clock.now();
  }

  /** Makes a user-vbridge. */
  bridge(name: string, options: Omit<BridgeOptions, "name"> = {}): UserVbridge {
    this.#assertOpen();
    const bridge = UserVbridge.create(this.#veth, { ...options, name });
    this.#bridges.push(bridge);
    return bridge;
  }

  /**
   * Makes a host: a NIC, a stack behind it, an address.
   * @throws {OribiError} ERR_ORIBI_OPTION for options that cannot be, ERR_ORIBI_MEMORY when the 4 GiB are full
   */
  host(name: string, options: HostOptions): Host {
    this.#assertOpen();
    if (this.#hosts.some((host) => host.name === name)) {
      throw new OribiError("ERR_ORIBI_NAME", `There is a host "${name}" already; give this one another name.`);
    }
    const { address, netmask } = parseCidr("address", options.address);
    const nic = this.#nic(name, options);
    const secret = seedWords(this.seed, `host ${name}`);
    const allocate = (bytes: number): number => this.#regions.allocate(bytes);
    const { exports } = this.#veth;
    const stack = Stack.create(this.memory, exports, allocate, options.stack ?? {}, secret, this.now(), this.#core);
    stack.addInterface({
      port: nic.handle,
      queue: 0,
      queues: nic.queues,
      mac: Uint8Array.from(nic.mac.split(":"), (byte) => parseInt(byte, 16)),
      address,
      netmask,
      mtu: nic.mtu,
      capabilities: nic.capabilities,
    });
    const text = options.address.split("/")[0] as string;
    const host = new Host(name, text, nic, stack, this.#waiter, (of, link) => this.#setLink(of, link));
    for (const [key, value] of Object.entries(options.sysctl ?? {})) host.sysctl(key, value);
    if (options.gateway !== undefined) this.#setGateway(host, options.gateway);
    if (options.link !== undefined) this.#setLink(host, options.link);
    options.bridge?.plug(nic);
    this.#hosts.push(host);
    this.#capture?.add(host);
    this.#mainThread?.watch(host);
    return host;
  }

  #nic(name: string, options: HostOptions): UserVeth {
    const nic: NicOptions = { name };
    for (const key of ["mac", "mtu", "queues", "ringSize", "rules", "offloads", "flowControl"] as const) {
      if (options[key] !== undefined) Object.assign(nic, { [key]: options[key] });
    }
    return UserVeth.create(this.#veth, nic);
  }

  #setGateway(host: Host, gateway: string): void {
    const address = scanAddress(gateway);
    if (address < 0 || host.stack.core.routeAdd(0, 0, address, 1) < 0) {
      throw optionError("gateway", gateway, "an IPv4 address on the host's own network");
    }
  }

  #setLink(host: Host, link: HostLink): void {
    const both = "toWire" in link || "toHost" in link ? link : { toWire: link, toHost: link };
    for (const direction of ["toWire", "toHost"] as const) {
      const options = (both as Partial<Record<typeof direction, LinkOptions>>)[direction];
      if (options === undefined) continue;
      const before = host.nic.links[direction];
      const words = seedWords(this.seed, `link ${host.name} ${direction}`);
      const seed = BigInt(words[0] ?? 0) | (BigInt(words[1] ?? 0) << 32n);
      const after = host.nic.setLink(direction, before === undefined ? { seed, ...options } : options);
      if (after === before) continue;
      if (before !== undefined && this.#links.remove(before)) this.#linkCount--;
      if (host.thread === "worker") continue;
      this.#links.add(after);
      this.#linkCount++;
    }
  }

  /**
   * One step: what is due on the links, one beat of every stack. Returns the work done, 0 when nothing happened.
   * Virtual time moves by a microsecond when there was work.
   */
  step(): number {
    if (this.#mainThread !== undefined) this.#mainThread.reap();
    const now = this.#clock.now();
    let work = this.#linkCount > 0 ? this.#links.poll(now) : 0;
    const hosts = this.#hosts;
    for (let i = 0; i < hosts.length; i++) {
      work += (hosts[i] as Host).poll(now);
      if (this.#capture !== undefined) this.#capture.drain();
    }
    if (work > 0 && this.#clock instanceof VirtualClock) this.#clock.set(now + STEP_MICROS);
    return work;
  }

  /** Steps until nothing happens any more at this time. Returns the work done. */
  settle(): number {
    let total = 0;
    for (let steps = 0; steps < SETTLE_STEPS_MAX; steps++) {
      const work = this.step();
      if (work === 0) return total;
      total += work;
    }
    throw new OribiError("ERR_ORIBI_BUSY", "The network does not come to rest: hosts talk without end at one time.");
  }

  /** When something will happen though nobody does anything, microseconds; Infinity: never. */
  nextDeadline(): number {
    let next = this.#linkCount > 0 ? this.#links.nextDeadline : Infinity;
    for (const host of this.#hosts) next = Math.min(next, host.nextDeadline());
    return next;
  }

  /**
   * Lets time pass: "20ms", or microseconds. Virtual time jumps from event to event; in real time this blocks.
   * @throws {OptionError} when `duration` is not a duration
   */
  advance(duration: number | string): void {
    const end = this.now() + parseDuration("duration", duration);
    while (this.now() < end) {
      if (this.step() > 0) continue;
      this.#sleepUntil(Math.min(this.nextDeadline(), end));
    }
  }

  /**
   * Steps until `isDone()` says so. `isDone` is asked after every step and may itself make calls.
   * @returns false when `timeout` (a duration, of the network's own time) has passed, or nothing can happen any more
   */
  runUntil(isDone: () => boolean, { timeout = Infinity }: { timeout?: number | string } = {}): boolean {
    const end = timeout === Infinity ? Infinity : this.now() + parseDuration("timeout", timeout);
    while (!isDone()) {
      if (this.step() > 0) continue;
      if (isDone()) return true;
      const next = this.nextDeadline();
      if (this.now() >= end || (next === Infinity && end === Infinity && !this.#isShared())) return false;
      // Another thread may make it true without a frame.
      this.#sleepUntil(Math.min(next, end), ASK_MILLIS);
    }
    return true;
  }

  /** What a blocking call does: goes on until something has happened. */
  #wait(until: number): boolean {
    if (this.step() > 0) return true;
    const next = Math.min(this.nextDeadline(), until);
    if (next === Infinity && !this.#isShared()) return false;
    this.#sleepUntil(next);
    return true;
  }

  #sleepUntil(time: number, millisMax = Infinity): void {
    if (this.#clock instanceof VirtualClock) {
      // What is due already and finds nothing to do (a NIC has no room) is tried again later, not for ever at one time.
      const now = this.#clock.now();
      this.#clock.set(time > now ? time : now + STEP_MICROS);
      return;
    }
    if (this.#mainThread !== undefined) {
      this.#mainThread.sleep(time, millisMax);
      return;
    }
    const millis = (time - this.now()) / 1000;
    if (millis > 0) Atomics.wait(this.#sleep, 0, 0, Math.min(millis, 1000));
  }

  /**
   * Runs a function of a module, `(host: WorkerHost, args) => result`, in the host's own thread, on the host's stack.
   * Until it ends, the host's calls are that thread's; figures, links and captures stay here. Then the host is the main
   * thread's again, with its open sockets; descriptors are the same on both sides. This thread serves its own hosts
   * meanwhile, whenever its event loop turns. In real time only.
   * @param module a URL, or an absolute path
   * @returns what the function returned. Rejected with what it threw; with the CoreTrap that stopped its stack; with
   *   ABORT_ERR when `signal` was aborted; with ERR_ORIBI_THREAD, _TIME or _OPTION when it cannot be run
   */
  spawn<T = unknown>(host: Host, module: URL | string, options: SpawnOptions = {}): Promise<T> {
    try {
      const main = this.#useThreads("spawn()");
      if (!this.#hosts.includes(host)) throw optionError("host", host, "a host of this network");
      return main.run(host, module, options) as Promise<T>;
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /**
   * Steps from the event loop until `isDone()` says so: for this thread's hosts, in real time only.
   * @returns false when `timeout` has passed. Rejected with ABORT_ERR when `signal` is aborted
   */
  async until(isDone: () => boolean, options: UntilOptions = {}): Promise<boolean> {
    return this.#useThreads("until()").until(isDone, options);
  }

  #useThreads(what: string): MainThread {
    this.#assertOpen();
    if (this.time === "virtual") {
      const hint = 'Make the network with { time: "real" }, or drive it with runUntil() and advance().';
      throw new OribiError(
        "ERR_ORIBI_TIME",
        `${what} needs real time: threads cannot share a simulated clock. ${hint}`,
      );
    }
    return (this.#mainThread ??= this.#makeMainThread());
  }

  #makeMainThread(): MainThread {
    const modules = coreModules(this.#core);
    const epochNanos = epochOf(this.#clock);
    const { memory } = this;
    return new MainThread({
      memory,
      hosts: this.#hosts,
      isCapturing: () => this.#capture !== undefined,
      now: () => this.now(),
      step: () => this.step(),
      nextDeadline: () => this.nextDeadline(),
      allocate: (bytes) => this.#regions.allocate(bytes),
      setup: ({ name, address, stack, nic }) => {
        return { memory, modules, ...this.#core, epochNanos, name, address, place: stack.place, port: nic.handle };
      },
      ownLinks: (host, owns) => this.#ownLinks(host, owns),
      rested: () => this.#retired.splice(0).forEach((address) => this.#regions.free(address)),
    });
  }

  /** The links of this thread's hosts are polled with the network; those of another's with its stack. */
  #ownLinks(host: Host, owns: boolean): void {
    for (const link of Object.values(host.nic.links) as Link[]) {
      if (!owns) this.#links.remove(link);
      else this.#links.add(link);
      this.#linkCount += owns ? 1 : -1;
    }
  }

  #isShared(): boolean {
    return this.#mainThread !== undefined && this.#mainThread.isShared;
  }

  #free(address: number): void {
    if (this.#isShared()) this.#retired.push(address);
    else this.#regions.free(address);
  }

  /**
   * A buffer in the network's own memory: send() and recv() with it copy once less than with another, since the core
   * reaches it by itself. It lives as long as the network.
   * @param bytes 1 to about 4 GiB
   */
  buffer(bytes: number): Uint8Array {
    this.#assertOpen();
    const address = this.#regions.allocate(bytes);
    return new Uint8Array(this.memory.buffer, address, bytes);
  }

  /**
   * Captures what crosses the NICs of the hosts (all, or those named) until it is closed.
   * @param target a file to write, or "memory"
   */
  capture(target: string, options: NetworkCaptureOptions = {}): NetworkCapture {
    this.#assertOpen();
    if (this.#capture !== undefined) throw new OribiError("ERR_ORIBI_CAPTURE", "A capture is running: close it first.");
    const capture = new NetworkCapture(this.#veth, target, options, () => (this.#capture = undefined));
    for (const host of this.#hosts) capture.add(host);
    this.#capture = capture;
    this.#mainThread?.wake();
    return capture;
  }

  /**
   * Moves a virtual clock on to a time, microseconds, without a step: for drivers that call step() themselves, and jump
   * from one deadline to the next.
   */
  jump(time: number): void {
    this.#virtualClock("jump()").set(time);
  }

  /**
   * Keeps this moment, to come back to with restore() as often as one likes: all that hosts, bridges, links and a
   * running capture hold, and the time. What applications hold in JavaScript or in buffer() is theirs to keep. In
   * virtual time only; costs a few microseconds and as much memory as is in use.
   * @param reuse an earlier snapshot that is not wanted any more: its memory is used again
   */
  snapshot(reuse?: Snapshot): Snapshot {
    return this.#useSnapshots("snapshot()").take(reuse);
  }

  /**
   * Comes back to a snapshot: from here on, the same calls have the same effects as then, to the bit. Hosts, bridges
   * and links must be those of then.
   * @throws {OribiError} ERR_ORIBI_SNAPSHOT when they are not; then nothing has changed
   */
  restore(snapshot: Snapshot): void {
    this.#useSnapshots("restore()").restore(snapshot);
  }

  #useSnapshots(what: string): Snapshots {
    this.#assertOpen();
    const clock = this.#virtualClock(what);
    const free = (address: number): void => this.#regions.free(address);
    const [hosts, bridges] = [this.#hosts, this.#bridges];
    const capture = (): NetworkCapture | undefined => this.#capture;
    return (this.#snapshots ??= new Snapshots({ veth: { ...this.#veth, free }, clock, hosts, bridges, capture }));
  }

  #virtualClock(what: string): VirtualClock {
    if (this.#clock instanceof VirtualClock) return this.#clock;
    throw new OribiError("ERR_ORIBI_TIME", `${what} needs a network with { time: "virtual" }: no other clock obeys.`);
  }

  /** Ends the network: captures are completed, NICs and bridges closed. Sockets that are open simply vanish. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    await this.#mainThread?.close();
    await this.#capture?.close();
    for (const host of this.#hosts) host.nic.close();
    for (const bridge of this.#bridges) bridge.close();
    this.#hosts.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new OribiError("ERR_ORIBI_CLOSED", "This network is closed; make a new one.");
  }
}

/** Makes an empty network. */
export function createNetwork(options: NetworkOptions = {}): Network {
  return new Network(options);
}

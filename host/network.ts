// A network in one process: bridges, hosts and links over one shared memory, driven by real or simulated time.
// Read first: DESIGN.md sections 2, 3 and 5.

import { randomBytes } from "node:crypto";
import {
  GROUP_ALIVE,
  GROUP_FLOWS,
  GROUP_MEMBERS,
  GROUP_PORT,
  GROUP_QUEUELESS,
  GROUP_SOFT_SLOTS,
  GROUP_STACKS,
  GROUP_STACKS_MAX,
  MEMBER_ARENA,
  MEMBER_BYTES,
  MEMBER_POOL,
  MEMBER_QUEUE,
  THREAD_BYTES,
  THREAD_RUNNING,
  THREAD_STATE,
} from "../assembly/layout.ts";
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
import { HostClient } from "./client/client.ts";
import type { ClientPlace } from "./client/place.ts";
import { LOOK_MILLIS } from "./client/waiting.ts";
import { NetworkCapture, type NetworkCaptureOptions } from "./capture.ts";
import { type Clock, RealClock, TurnClock, VirtualClock } from "./clock.ts";
import {
  coreModules,
  type CoreOptions,
  createMemory,
  instantiateStack,
  instantiateVeth,
  Regions,
  type SharedMemory,
  type StackExports,
} from "./core.ts";
import { OribiError, optionError } from "./errors.ts";
import { Host, type HostLink } from "./host.ts";
import { HostStack, shareQueues } from "./host-stack.ts";
import { scanAddress } from "./posix/address.ts";
import type { Waiter } from "./posix/waiter.ts";
import { seedWords } from "./seed.ts";
import { createShare, type ShareOptions, shareOptions } from "./share.ts";
import { Stack } from "./stack.ts";
import { STACK_DEFAULTS, type StackOptions } from "./stack-options.ts";
import { epochOf } from "./threads/clock.ts";
import { MainThread } from "./threads/main-thread.ts";
import type { UntilOptions } from "./threads/pump.ts";
import { POLL_MODES, type PollMode } from "./threads/thread-driver.ts";
import { SPAWN_DEFAULTS, type SpawnOptions } from "./threads/threads.ts";

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

export interface HostOptions extends Pick<
  NicOptions,
  "mac" | "mtu" | "queues" | "ringSize" | "offloads" | "flowControl"
> {
  /** The bridge that the host's NIC is plugged into; without one it is plugged into nothing. */
  bridge?: UserVbridge;
  /** IPv4 address with prefix length: "10.0.0.1/24". */
  address: string;
  /** Default gateway. */
  gateway?: string;
  /** Impairments of the host's wire. */
  link?: HostLink;
  /** Sizes of the pools of each stack. */
  stack?: StackOptions;
  /**
   * Stacks, 1 to 64: one for each thread that is to serve the host. All have the host's addresses, each its own queue
   * of the NIC (`queues`: as many by default) and its own sockets; packets for another one are handed over.
   */
  stacks?: number;
  /** Tunables by Linux's names. */
  sysctl?: Record<string, number | string>;
  /**
   * "shared": a stack runs in the thread of its application, and within the calls of that. "separate": each stack has
   * a thread of its own, and any thread may use the host: this one by `host.posix`, others by attachHost(). In
   * simulated time the stacks are stepped in this thread, and calls go the same way as between threads.
   */
  threads?: "shared" | "separate";
  /** How separate threads, the stacks' and those that call, wait for work. Default: "adaptive". */
  poll?: PollMode;
  /** Sizes of what separate threads share. */
  share?: ShareOptions;
}

/** What the thread of a stack runs in the separate model. */
const STACK_THREAD = new URL("./threads/stack-thread.js", import.meta.url);
/** Virtual microseconds that a step with work takes: time goes on even in a network without delays. */
const STEP_MICROS = 1;
/** A condition that another thread makes true is asked at least so often, milliseconds. */
const ASK_MILLIS = 5;
/** Latest start of a virtual clock: a century; doubles still tell half a microsecond there. */
const START_MICROS_MAX = 3.2e15;
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
  readonly #turns: TurnClock;
  readonly #links: LinkDirectory;
  readonly #hosts: Host[] = [];
  readonly #bridges: UserVbridge[] = [];
  readonly #sleep = new Int32Array(new SharedArrayBuffer(4));
  #linkCount = 0;
  /** Number of the next stack. */
  #nextId = 1;
  /** An instance that lays groups out; made when the first host with several stacks is. */
  #groupCore: StackExports | undefined;
  #capture: NetworkCapture | undefined;
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
    this.#clock = this.time === "virtual" ? new VirtualClock(startOf(options)) : new RealClock();
    this.#turns = new TurnClock(this.#clock);
    this.#links = LinkDirectory.create(this.#veth);
    this.#waiter = {
      poll: () => this.step(),
      now: () => this.now(),
      turns: this.#turns,
      wait: (until) => this.#wait(until),
    };
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
    const stacks = stacksOf(options);
    const separate = this.#separation(options);
    const nic = this.#nic(name, { ...options, queues: options.queues ?? stacks }, stacks);
    const text = options.address.split("/")[0] as string;
    const group = stacks === 1 ? 0 : this.#group(nic, stacks, options.stack ?? {});
    const shares = shareQueues(nic.queues, stacks);
    const made = shares.map((queues, index) => {
      const membership = { group, index, id: this.#nextId++ };
      const place = { name: stacks === 1 ? name : `${name}#${index}`, address: text, index, nic, queues, membership };
      return new HostStack(place, this.#stack(options, name, place, { address, netmask }), this.#waiter);
    });
    if (group !== 0) made.forEach((each) => this.#enroll(each));
    const host = new Host(name, text, nic, made, (of, link) => this.#setLink(of, link));
    for (const [key, value] of Object.entries(options.sysctl ?? {})) host.sysctl(key, value);
    if (options.gateway !== undefined) this.#setGateway(host, options.gateway);
    if (options.link !== undefined) this.#setLink(host, options.link);
    options.bridge?.plug(nic);
    this.#hosts.push(host);
    this.#capture?.add(host);
    this.#mainThread?.watch(host);
    if (separate !== undefined) this.#separate(host, options, separate);
    return host;
  }

  /** Starts the threads of a host's stacks; they end with the network. */
  #separate(host: Host, options: HostOptions, share: Required<ShareOptions>): void {
    const main = this.time === "real" ? this.#useThreads('a host with threads: "separate"') : undefined;
    const { memory } = this;
    const core = (this.#groupCore ??= instantiateStack(memory, this.#veth.exports, this.#core));
    const allocate = (bytes: number): number => this.#regions.allocate(bytes);
    const blocks = host.stacks.map((stack) => main?.blockOf(stack) ?? ownBlock(memory, allocate(THREAD_BYTES)));
    const place = createShare(memory, core, allocate, blocks, main?.bell ?? 0, options.stack ?? {}, share);
    const poll = options.poll ?? SPAWN_DEFAULTS.poll;
    host.stacks.forEach((at, index) => {
      at.stack.core.shareJoin(place.parts[index] as number);
      at.isSharing = main === undefined;
      // It ends with the network, or with a trap, which host.trap shows.
      if (main !== undefined) this.spawn(at, STACK_THREAD, { poll }).catch(() => undefined);
    });
    const { name, address } = host;
    const modules = coreModules(this.#core);
    const epochNanos = epochOf(this.#clock);
    const { callTimeout } = share;
    const client: ClientPlace = {
      ...{ kind: "oribi-host", name, address, memory, modules, ...this.#core, epochNanos },
      ...{ ...place, blocks, poll, callTimeout },
    };
    const background = {
      now: () => this.now(),
      step: () => this.step(),
      sleep: (isReady: () => boolean, until: number) => {
        const next = main === undefined ? Math.min(until, this.nextDeadline()) : until;
        if (main !== undefined) main.sleep(next, LOOK_MILLIS, isReady);
        else if (next !== Infinity) this.#sleepUntil(next);
        return main !== undefined || next !== Infinity;
      },
    };
    host.separate(client, () => new HostClient(client, background));
  }

  /** What a host with separate threads shares; undefined: it is not to have any. */
  #separation({ threads = "shared", poll, share = {} }: HostOptions): Required<ShareOptions> | undefined {
    if (poll !== undefined && !POLL_MODES.includes(poll)) {
      throw optionError("poll", poll, '"busy", "adaptive" or "lowPower"');
    }
    if (threads === "shared") return undefined;
    if (threads !== "separate") throw optionError("threads", threads, '"shared" or "separate"');
    return shareOptions(share);
  }

  /** Makes a stack of a host, with its interface. All stacks of a host have one secret: any may take a SYN cookie. */
  #stack(
    options: HostOptions,
    host: string,
    { nic, queues, membership }: Pick<HostStack, "nic" | "queues" | "membership">,
    { address, netmask }: { address: number; netmask: number },
  ): Stack {
    const secret = seedWords(this.seed, `host ${host}`);
    const allocate = (bytes: number): number => this.#regions.allocate(bytes);
    const { exports } = this.#veth;
    const { memory } = this;
    const sizes = options.stack ?? {};
    const stack = Stack.create(memory, exports, allocate, sizes, secret, this.now(), membership, this.#core);
    stack.addInterface({
      port: nic.handle,
      queue: queues.first,
      queues: queues.count,
      txQueue: queues.tx,
      mac: Uint8Array.from(nic.mac.split(":"), (byte) => parseInt(byte, 16)),
      address,
      netmask,
      mtu: nic.mtu,
      capabilities: nic.capabilities,
    });
    return stack;
  }

  /** Makes what the stacks of a host share. */
  #group(nic: UserVeth, stacks: number, options: StackOptions): number {
    const { connections, timeWaits, sockets } = { ...STACK_DEFAULTS, ...options };
    const core = (this.#groupCore ??= instantiateStack(this.memory, this.#veth.exports, this.#core));
    const flows = stacks * (connections + timeWaits + sockets);
    const softSlots = nic.ringSize;
    const base = this.#regions.allocate(core.groupBytes(stacks, softSlots, flows) >>> 0);
    const words = new Uint32Array(this.memory.buffer, base, GROUP_MEMBERS / 4);
    words[GROUP_STACKS / 4] = stacks;
    words[GROUP_SOFT_SLOTS / 4] = softSlots;
    words[GROUP_FLOWS / 4] = flows;
    words[GROUP_PORT / 4] = nic.handle;
    const bits = new BigUint64Array(this.memory.buffer, base, GROUP_MEMBERS / 8);
    shareQueues(nic.queues, stacks).forEach(({ count }, index) => {
      if (count === 0) bits[GROUP_QUEUELESS / 8] = (bits[GROUP_QUEUELESS / 8] as bigint) | (1n << BigInt(index));
    });
    core.groupInit(base);
    return base;
  }

  /** Enters a stack in its group: the others hand packets over to it from now on. */
  #enroll({ stack, queues, nic, membership }: HostStack): void {
    const { group, index } = membership;
    const words = new Uint32Array(this.memory.buffer, group + GROUP_MEMBERS + index * MEMBER_BYTES, MEMBER_BYTES / 4);
    words[MEMBER_ARENA / 4] = stack.place.base;
    words[MEMBER_POOL / 4] = nic.poolAddress(queues.first);
    words[MEMBER_QUEUE / 4] = queues.first;
    const alive = new BigUint64Array(this.memory.buffer, group + GROUP_ALIVE, 1);
    Atomics.or(alive, 0, 1n << BigInt(index));
  }

  #nic(name: string, options: HostOptions, stacks: number): UserVeth {
    const nic: NicOptions = { name, txQueues: Math.max(stacks, options.queues ?? 1) };
    for (const key of ["mac", "mtu", "queues", "ringSize", "offloads", "flowControl"] as const) {
      if (options[key] !== undefined) Object.assign(nic, { [key]: options[key] });
    }
    return UserVeth.create(this.#veth, nic);
  }

  #setGateway(host: Host, gateway: string): void {
    const address = scanAddress(gateway);
    if (address < 0 || host.stacks.some(({ stack }) => stack.core.routeAdd(0, 0, address, 1) < 0)) {
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
      if (host.stacks.every(({ thread }) => thread === "worker")) continue;
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
    const now = this.#turns.take();
    let work = this.#linkCount > 0 ? this.#links.poll(now) : 0;
    const hosts = this.#hosts;
    for (let i = 0; i < hosts.length; i++) {
      work += (hosts[i] as Host).poll(now);
      if (this.#capture !== undefined) this.#capture.drain();
    }
    if (work > 0 && this.#clock instanceof VirtualClock) this.#clock.set(now + STEP_MICROS);
    return work;
  }

  /** A step from the event loop: other callbacks may have run since a call that sent read the clock. */
  #lateStep(): number {
    this.#turns.end();
    return this.step();
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
    this.#turns.end();
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
   * Runs a function of a module, `(host: WorkerHost, args) => result`, in a thread of the stack's own: of the host's
   * first one, or of the one that is given (`network.spawn(host.stacks[1], ...)`).
   * Until it ends, the host's calls are that thread's; figures, links and captures stay here. Then the host is the main
   * thread's again, with its open sockets; descriptors are the same on both sides. This thread serves its own hosts
   * meanwhile, whenever its event loop turns. In real time only.
   * @param module a URL, or an absolute path
   * @returns what the function returned. Rejected with what it threw; with the CoreTrap that stopped its stack; with
   *   ABORT_ERR when `signal` was aborted; with ERR_ORIBI_THREAD, _TIME or _OPTION when it cannot be run
   */
  spawn<T = unknown>(host: Host | HostStack, module: URL | string, options: SpawnOptions = {}): Promise<T> {
    try {
      const main = this.#useThreads("spawn()");
      const stack = host instanceof Host ? host.first : host;
      if (!this.#hosts.some(({ stacks }) => stacks.includes(stack))) {
        throw optionError("host", host, "a host of this network, or a stack of one");
      }
      return main.run(stack, module, options) as Promise<T>;
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
      step: () => this.#lateStep(),
      nextDeadline: () => this.nextDeadline(),
      allocate: (bytes) => this.#regions.allocate(bytes),
      setup: ({ name, address, index, stack, nic, queues }) => {
        const { place } = stack;
        const port = nic.handle;
        return { memory, modules, ...this.#core, epochNanos, name, address, index, place, port, queues };
      },
      ownLinks: (host, owns) => this.#ownLinks(host, owns),
      rested: () => this.#retired.splice(0).forEach((address) => this.#regions.free(address)),
    });
  }

  /** The links of this thread's hosts are polled with the network; those of others' with their stacks. */
  #ownLinks(stack: HostStack, owns: boolean): void {
    const host = this.#hosts.find(({ stacks }) => stacks.includes(stack)) as Host;
    // A host has its links here as long as one of its stacks is here.
    if (host.stacks.some((other) => other !== stack && other.thread !== "worker")) return;
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

  /** Ends the network: captures are completed, NICs and bridges closed. Sockets that are open simply vanish. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    await this.#mainThread?.close();
    await this.#capture?.close();
    for (const host of this.#hosts) {
      host.detach();
      host.nic.close();
    }
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

/** The block of a thread that is this one: always there. */
function ownBlock(memory: SharedMemory, at: number): number {
  new Int32Array(memory.buffer, at, THREAD_BYTES / 4)[THREAD_STATE / 4] = THREAD_RUNNING;
  return at;
}

/** The start of a virtual clock. */
function startOf({ startMicros = 0 }: NetworkOptions): number {
  if (startMicros >= 0 && startMicros <= START_MICROS_MAX) return startMicros;
  throw optionError("startMicros", startMicros, `a number from 0 to ${START_MICROS_MAX}`);
}

/** How many stacks a host is to have. */
function stacksOf({ stacks = 1, stack }: HostOptions): number {
  if (!Number.isInteger(stacks) || stacks < 1 || stacks > GROUP_STACKS_MAX) {
    throw optionError("stacks", stacks, `a whole number from 1 to ${GROUP_STACKS_MAX}`);
  }
  // A router's packets belong to no connection, and its fragments to no port.
  if (stacks > 1 && stack?.forwarding === true) throw optionError("stacks", stacks, "1 for a host that forwards");
  return stacks;
}

/** An address with its prefix length, as host-order numbers. */
function parseCidr(option: string, text: string): { address: number; netmask: number } {
  const [host = "", prefix = "", ...rest] = String(text).split("/");
  const address = scanAddress(host);
  const bits = /^\d{1,2}$/.test(prefix) ? Number(prefix) : -1;
  if (address < 0 || bits < 0 || bits > 32 || rest.length > 0) {
    throw optionError(option, text, 'an IPv4 address with its prefix length, as "10.0.0.1/24"');
  }
  return { address, netmask: bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0 };
}

/** Makes an empty network. */
export function createNetwork(options: NetworkOptions = {}): Network {
  return new Network(options);
}

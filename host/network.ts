// A network in one process: bridges, hosts and links over one shared memory, driven by real or simulated time.
// Read first: DESIGN.md sections 2, 3 and 5.

import { randomBytes } from "node:crypto";
import { type BridgeOptions, type NicOptions, UserVbridge, UserVeth, type VethModule } from "../veth/index.ts";
import { parseDuration } from "../veth/options.ts";
import { NetworkCapture, type NetworkCaptureOptions } from "./capture.ts";
import { parseCidr } from "./cidr.ts";
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
import { Host } from "./host.ts";
import { createGroup, enroll } from "./group.ts";
import { HostLinks } from "./host-links.ts";
import { HostStack, shareQueues } from "./host-stack.ts";
import {
  hangMillisOf,
  type HostOptions,
  NETWORK_DEFAULTS,
  NIC_KEYS,
  type NetworkOptions,
  stacksOf,
  startOf,
} from "./network-options.ts";
import { scanAddress } from "./posix/address.ts";
import type { Waiter } from "./posix/waiter.ts";
import { seedWords } from "./seed.ts";
import { type Audit, Manager } from "./manager.ts";
import type { StackEntry } from "./registry.ts";
import { separate, type SeparateNetwork, separationOf } from "./separate.ts";
import { type Snapshot, Snapshots } from "./snapshot.ts";
import { type Membership, Stack, type StackPlace } from "./stack.ts";
import type { StackOptions } from "./stack-options.ts";
import { affinityOf } from "./threads/affinity.ts";
import { ActivityWords, type ThreadActivity } from "./threads/activity.ts";
import { epochOf } from "./threads/clock.ts";
import { MainThread, type ThreadedNetwork } from "./threads/main-thread.ts";
import type { UntilOptions } from "./threads/pump.ts";
import type { SpawnOptions } from "./threads/threads.ts";

export { type HostOptions, NETWORK_DEFAULTS, type NetworkOptions } from "./network-options.ts";

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
  readonly #virtual: VirtualClock | undefined;
  readonly #turns: TurnClock;
  readonly #links: HostLinks;
  readonly #manager: Manager;
  readonly #hosts: Host[] = [];
  /** What a step polls; gathered anew when a stack came, went to another thread or trapped. */
  #running: { stacks: HostStack[]; beats: ((now: number) => number)[] } | undefined;
  readonly #bridges: UserVbridge[] = [];
  readonly #sleep = new Int32Array(new SharedArrayBuffer(4));
  readonly #hangMillis: number;
  /** An instance that lays groups out; made when the first host with several stacks is. */
  #groupCore: StackExports | undefined;
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
    this.#virtual = this.time === "virtual" ? new VirtualClock(startOf(options)) : undefined;
    this.#clock = this.#virtual ?? new RealClock();
    this.#turns = new TurnClock(this.#clock);
    this.#links = new HostLinks(this.#veth, this.seed);
    this.#hangMillis = hangMillisOf(options);
    this.#manager = new Manager({
      memory: this.memory,
      exports: this.#veth.exports,
      hosts: this.#hosts,
      bridges: this.#bridges,
      allocate: (bytes) => this.#regions.allocate(bytes),
      now: () => this.now(),
      atSafepoint: (work) => {
        if (this.#mainThread !== undefined) return this.#mainThread.atSafepoint(work);
        work();
        return true;
      },
    });
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
    parseCidr("address", options.address);
    const stacks = stacksOf(options);
    const share = separationOf(options);
    const cpus = affinityOf(options, stacks);
    const nic = this.#nic(name, { ...options, queues: options.queues ?? stacks }, stacks);
    const text = options.address.split("/")[0] as string;
    const shared = stacks === 1 ? undefined : this.#group(nic, stacks, options.stack ?? {});
    const group = shared?.base ?? 0;
    const shares = shareQueues(nic.queues, stacks);
    const made = shares.map((queues, index) => {
      const membership = { group, index, id: this.#manager.registry.number() };
      const title = stacks === 1 ? name : `${name}#${index}`;
      const cores = cpus[index] as readonly number[];
      const place = { name: title, address: text, index, nic, queues, membership, cpus: cores };
      const stack = this.#stack(options, name, membership);
      return new HostStack(place, stack, this.#waiter, {
        prepare: (each) => this.#prepare(each, options),
        trapped: (each) => this.#manager.buryHere(each),
        moved: () => (this.#running = undefined),
      });
    });
    const host = new Host(name, text, nic, made, shared, (of, link) => this.#links.set(of, link));
    for (const [key, value] of Object.entries(options.sysctl ?? {})) host.sysctl(key, value);
    for (const each of made) this.#prepare(each, options);
    if (options.link !== undefined) this.#links.set(host, options.link);
    options.bridge?.plug(nic);
    this.#hosts.push(host);
    this.#running = undefined;
    this.#capture?.add(host);
    this.#mainThread?.watch(host);
    if (share !== undefined) separate(this.#forSeparate(), host, options, share);
    return host;
  }

  /** Makes a stack of a host. All stacks of a host have one secret: any may take a SYN cookie. */
  #stack(options: HostOptions, host: string, membership: Membership): Stack {
    const secret = seedWords(this.seed, `host ${host}`);
    const allocate = (bytes: number): number => this.#regions.allocate(bytes);
    const { exports } = this.#veth;
    const { memory } = this;
    const sizes = options.stack ?? {};
    return Stack.create(memory, exports, allocate, sizes, secret, this.now(), membership, this.#core);
  }

  /** Gives a stack, new or made anew, its queues, its interface and its routes. */
  #prepare(each: HostStack, options: HostOptions): void {
    const { stack, nic, queues } = each;
    const { address, netmask } = parseCidr("address", options.address);
    enroll(this.memory, each);
    this.#manager.start(each, options.stack?.forwarding === true);
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
    if (options.gateway !== undefined) this.#setGateway(each, options.gateway);
  }

  #group(nic: UserVeth, stacks: number, options: StackOptions): StackPlace {
    const core = (this.#groupCore ??= instantiateStack(this.memory, this.#veth.exports, this.#core));
    return createGroup(this.memory, core, (bytes) => this.#regions.allocate(bytes), nic, stacks, options);
  }

  #nic(name: string, options: HostOptions, stacks: number): UserVeth {
    const nic: NicOptions = { name, txQueues: Math.max(stacks, options.queues ?? 1) };
    for (const key of NIC_KEYS) {
      if (options[key] !== undefined) Object.assign(nic, { [key]: options[key] });
    }
    if (options.rxMbufs !== undefined) nic.mbufs = options.rxMbufs;
    return UserVeth.create(this.#veth, nic);
  }

  #setGateway({ stack }: HostStack, gateway: string): void {
    const address = scanAddress(gateway);
    if (address < 0 || stack.core.routeAdd(0, 0, address, 1) < 0) {
      throw optionError("gateway", gateway, "an IPv4 address on the host's own network");
    }
  }

  /**
   * One step: what is due on the links, one beat of every stack. Returns the work done, 0 when nothing happened.
   * Virtual time moves by a microsecond when there was work.
   */
  step(): number {
    if (this.#mainThread !== undefined) this.#mainThread.reap();
    const now = this.#turns.take();
    let work = this.#links.poll(now);
    const running = (this.#running ??= this.#gatherRunning());
    const { beats } = running;
    let i = 0;
    try {
      for (; i < beats.length; i++) {
        work += (beats[i] as (now: number) => number)(now);
        if (this.#capture !== undefined) this.#capture.drain();
      }
    } catch (error) {
      // A trap stops this stack only.
      throw running.stacks[i]?.fail(error) ?? error;
    }
    if (work > 0 && this.#virtual !== undefined) this.#virtual.set(now + STEP_MICROS);
    return work;
  }

  /** The stacks of this thread; their beats apart, so that a step goes from one to the next without a detour. */
  #gatherRunning(): { stacks: HostStack[]; beats: ((now: number) => number)[] } {
    const stacks = this.#hosts.flatMap((host) => host.stacks.filter((stack) => stack.isHere));
    return { stacks, beats: stacks.map(({ beat }) => beat) };
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
    let next = this.#links.nextDeadline;
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
    if (this.#virtual !== undefined) {
      // What is due already and finds nothing to do (a NIC has no room) is tried again later, not for ever at one time.
      const now = this.#virtual.now();
      this.#virtual.set(time > now ? time : now + STEP_MICROS);
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
   * Ends the function that runs in a stack's thread at once, wherever the thread is: as a crash would. What the stack
   * had is taken back, its peers find its connections unknown; restart() starts it again.
   * @returns false when nothing runs there
   */
  kill(stack: HostStack): boolean {
    const reason = new OribiError("ERR_ORIBI_KILLED", `The thread of "${stack.name}" was killed.`);
    return this.#mainThread?.kill(stack, reason) ?? false;
  }

  /**
   * Starts a stack again that has crashed: on this thread, with its queues and its host's addresses, without sockets.
   * @throws {OribiError} ERR_ORIBI_STACK when it runs
   */
  async restart(stack: HostStack): Promise<void> {
    this.#assertOpen();
    await this.#manager.restart(stack, (each) => each.prepare());
    stack.revive();
    this.#mainThread?.watchStack(stack);
    this.#hostOf(stack).restarted(stack);
  }

  /** What threads of a stack's own have done for it so far, those that run now too. */
  activity(stack: HostStack): ThreadActivity {
    return new ActivityWords(this.memory, this.#useThreads("activity()").blockOf(stack)).read(this.now());
  }

  /** What the registry says of a stack. */
  stackEntry(stack: HostStack): StackEntry {
    return this.#manager.registry.get(stack.membership.id);
  }

  /** Looks for what belongs to nobody, after crashes: every number should be 0. Waits until all has been taken back. */
  audit(): Promise<Audit> {
    return this.#manager.audit();
  }

  /**
   * Steps from the event loop until `isDone()` says so: for this thread's hosts, in real time only.
   * @returns false when `timeout` has passed. Rejected with ABORT_ERR when `signal` is aborted
   */
  async until(isDone: () => boolean, options: UntilOptions = {}): Promise<boolean> {
    return this.#useThreads("until()").until(isDone, options);
  }

  /** What the separate model needs of this network. */
  #forSeparate(): SeparateNetwork {
    return {
      memory: this.memory,
      core: this.#core,
      layer: (this.#groupCore ??= instantiateStack(this.memory, this.#veth.exports, this.#core)),
      epochNanos: epochOf(this.#clock),
      main: this.time === "real" ? this.#useThreads('a host with threads: "separate"') : undefined,
      allocate: (bytes) => this.#regions.allocate(bytes),
      now: () => this.now(),
      step: () => this.step(),
      nextDeadline: () => this.nextDeadline(),
      sleepUntil: (time) => this.#sleepUntil(time),
      spawn: (stack, module, options) => this.spawn(stack, module, options),
    };
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
    const threaded: ThreadedNetwork = {
      memory,
      hosts: this.#hosts,
      isCapturing: () => this.#capture !== undefined,
      now: () => this.now(),
      step: () => this.#lateStep(),
      nextDeadline: () => this.nextDeadline(),
      allocate: (bytes) => this.#regions.allocate(bytes),
      setup: ({ name, address, index, stack, nic, queues, membership, cpus, mbufCache }) => {
        const { place } = stack;
        const port = nic.handle;
        const { id } = membership;
        const core = { memory, modules, ...this.#core, epochNanos };
        return { ...core, name, address, index, id, place, port, queues, cpus, mbufCache };
      },
      lost: (stack, gone) => this.#manager.bury(stack, gone),
      ownLinks: (stack, owns) => this.#links.own(this.#hostOf(stack), stack, owns),
      rested: () => this.#retired.splice(0).forEach((address) => this.#regions.free(address)),
    };
    return new MainThread(threaded, this.#hangMillis);
  }

  #hostOf(stack: HostStack): Host {
    return this.#hosts.find(({ stacks }) => stacks.includes(stack)) as Host;
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
   * Moves a virtual clock to `time`, microseconds, at once: nothing happens on the way, as in a machine that slept.
   * @throws {OribiError} ERR_ORIBI_TIME when the network lives in real time
   */
  jump(time: number): void {
    this.#virtualClock("jump()").set(time);
    this.#turns.end();
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
    const [turns, veth] = [this.#turns, { ...this.#veth, free }];
    const capture = (): NetworkCapture | undefined => this.#capture;
    return (this.#snapshots ??= new Snapshots({ veth, clock, turns, hosts, bridges, capture }));
  }

  #virtualClock(what: string): VirtualClock {
    if (this.#virtual !== undefined) return this.#virtual;
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

/** Makes an empty network. */
export function createNetwork(options: NetworkOptions = {}): Network {
  return new Network(options);
}

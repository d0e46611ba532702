// A network in one process: bridges, hosts and links over one shared memory, driven by real or simulated time.
// Read first: DESIGN.md sections 2, 3 and 5.

import { randomBytes } from "node:crypto";
import { type BridgeOptions, type PfOptions, SriovNic, UserVbridge, type VethModule } from "../veth/index.ts";
import { parseBoolean, parseDuration } from "../veth/options.ts";
import { NetworkCapture, type NetworkCaptureOptions } from "./capture.ts";
import { type Clock, RealClock, TurnClock, VirtualClock } from "./clock.ts";
import { coreModules, type CoreOptions, createMemory, instantiateVeth, Regions, type SharedMemory } from "./core.ts";
import { OribiError, optionError } from "./errors.ts";
import { Host } from "./host.ts";
import { HostLinks } from "./host-links.ts";
import { HostMaker } from "./host-maker.ts";
import { HostStack } from "./host-stack.ts";
import { Ltran, type LtranOptions } from "./ltran.ts";
import { Ltrans } from "./ltrans.ts";
import { hangMillisOf, type HostOptions, NETWORK_DEFAULTS, type NetworkOptions, startOf } from "./network-options.ts";
import type { Waiter } from "./posix/waiter.ts";
import { type Audit, Manager } from "./manager.ts";
import type { StackEntry } from "./registry.ts";
import { separate, type SeparateNetwork, separationOf } from "./separate.ts";
import { type Snapshot, Snapshots } from "./snapshot.ts";
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
/** What the thread of a stack runs. */
const STACK_WORKER = new URL("./threads/worker.js", import.meta.url);
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
  /** Those whose memory is the network's. */
  readonly #common: Host[] = [];
  readonly #ltrans: Ltrans;
  readonly #nics: SriovNic[] = [];
  /** What a step polls; gathered anew when a stack came, went to another thread or trapped. */
  #running: { stacks: HostStack[]; beats: ((now: number) => number)[] } | undefined;
  readonly #bridges: UserVbridge[] = [];
  readonly #sleep = new Int32Array(new SharedArrayBuffer(4));
  readonly #hangMillis: number;
  readonly #maker: HostMaker;
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
      hosts: this.#common,
      nics: () => [...this.#ltrans.all.map(({ nic }) => nic), ...this.#nics.map(({ uplink }) => uplink)],
      bridges: this.#bridges,
      allocate: (bytes) => this.#regions.allocate(bytes),
      now: () => this.now(),
      atSafepoint: (work) => {
        if (this.#mainThread !== undefined) return this.#mainThread.atSafepoint(work);
        work();
        return true;
      },
    });
    this.#ltrans = new Ltrans({ veth: this.#veth, core: this.#core, manager: this.#manager });
    this.#waiter = {
      poll: () => this.step(),
      now: () => this.now(),
      turns: this.#turns,
      wait: (until) => this.#wait(until),
    };
    this.#maker = new HostMaker({
      seed: this.seed,
      veth: this.#veth,
      core: this.#core,
      hosts: this.#hosts,
      nics: this.#nics,
      ltrans: this.#ltrans,
      links: this.#links,
      manager: this.#manager,
      waiter: this.#waiter,
      now: () => this.now(),
      moved: () => (this.#running = undefined),
    });
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
   * Makes a NIC whose PF is split into VFs, each a port for a host of its own: `host(name, { port: nic.vf(0) })`. The
   * NIC switches between them by MAC address and VLAN; what is for none of them goes to the bridge.
   * @throws {OptionError}
   */
  nic(name: string, { bridge, ...options }: PfOptions & { bridge?: UserVbridge }): SriovNic {
    this.#assertOpen();
    const nic = SriovNic.create(this.#veth, name, options);
    // A function without a host takes nothing, and stops no sender.
    for (const port of nic.functions) port.up = false;
    bridge?.plug(nic.uplink);
    this.#nics.push(nic);
    return nic;
  }

  /**
   * Makes an ltran: a NIC, and the forwarder behind it that serves isolated hosts, `host(name, { ltran })`. In real
   * time it runs in a thread of its own, unless `thread: false` has it stepped with the hosts of this thread.
   * @throws {OptionError}; {OribiError} ERR_ORIBI_TIME for a thread in simulated time
   */
  ltran(name: string, { thread = this.time === "real", ...options }: LtranOptions = {}): Ltran {
    this.#assertOpen();
    const isApart = parseBoolean("ltran.thread", thread);
    const main = isApart ? this.#useThreads("an ltran with a thread") : undefined;
    const ltran = this.#ltrans.make(name, options);
    this.#capture?.addLtran(name, ltran.nic);
    if (main !== undefined) this.#ltrans.launch(ltran, main);
    else this.#mainThread?.watchStack(ltran);
    return ltran;
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
    const share = separationOf(options);
    const { host, cell } = this.#maker.make(name, options);
    this.#hosts.push(host);
    if (cell === undefined) this.#common.push(host);
    this.#running = undefined;
    this.#capture?.add(host);
    this.#mainThread?.watch(host);
    cell?.adopt(host);
    if (share !== undefined) separate(this.#forSeparate(), host, options, share);
    return host;
  }

  /**
   * One step: what is due on the links, one beat of every stack. Returns the work done, 0 when nothing happened.
   * Virtual time moves by a microsecond when there was work.
   */
  step(): number {
    if (this.#mainThread !== undefined) this.#mainThread.reap();
    const now = this.#turns.take();
    let work = this.#links.poll(now);
    work += this.#ltrans.beat(now);
    const running = (this.#running ??= this.#gatherRunning());
    const { beats } = running;
    let i = 0;
    try {
      for (; i < beats.length; i++) {
        work += (beats[i] as (now: number) => number)(now);
        if (this.#capture !== undefined) this.#capture.drain();
      }
      // With all stacks in other threads there is no beat here after which it would be.
      if (i === 0 && this.#capture !== undefined) this.#capture.drain();
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
    let next = Math.min(this.#links.nextDeadline, this.#ltrans.nextDeadline());
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
   * @param stack a stack, or an ltran
   * @returns false when nothing runs there
   */
  kill(stack: HostStack | Ltran): boolean {
    const reason = new OribiError("ERR_ORIBI_KILLED", `The thread of "${stack.name}" was killed.`);
    return this.#mainThread?.kill(stack, reason) ?? false;
  }

  /**
   * Starts a stack again that has crashed: on this thread, with its queues and its host's addresses, without sockets.
   * An ltran that has crashed goes on where it was. So does an isolated stack that its ltran has cut off, from anew.
   * @throws {OribiError} ERR_ORIBI_STACK when it runs
   */
  async restart(stack: HostStack | Ltran): Promise<void> {
    this.#assertOpen();
    if (stack instanceof Ltran) return this.#ltrans.restart(stack, this.#useThreads("an ltran with a thread"));
    if (stack.isolation !== undefined) await this.#ltrans.renew(stack, this.now());
    else await this.#manager.restart(stack, (each) => each.prepare());
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
      layer: this.#maker.layer,
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
      hasArrivals: () => this.#ltrans.hasArrivals(),
      setup: (runner) => {
        const common = { home: memory, modules, ...this.#core, epochNanos };
        if (!(runner instanceof HostStack)) return this.#ltrans.setup(runner, common);
        const { name, address, index, stack, nic, queues, membership, cpus, mbufCache } = runner;
        const { place } = stack;
        const ltran = this.#ltrans.handleOf(runner);
        const own = { memory: stack.memory, ltran, name, address, index, id: membership.id, place, queues };
        return { worker: STACK_WORKER, setup: { ...common, ...own, port: nic.handle, cpus, mbufCache } };
      },
      lost: (runner, gone) => {
        if (!(runner instanceof HostStack) || runner.isolation !== undefined) this.#ltrans.lost(runner, gone);
        else this.#manager.bury(runner, gone);
      },
      ownLinks: (runner, owns) => {
        if (runner instanceof HostStack) this.#links.own(this.#hostOf(runner), runner, owns);
      },
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
    for (const { name, nic } of this.#ltrans.all) capture.addLtran(name, nic);
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
    const [hosts, bridges, nics] = [this.#hosts, this.#bridges, this.#nics];
    const [turns, veth] = [this.#turns, { ...this.#veth, free }];
    const capture = (): NetworkCapture | undefined => this.#capture;
    return (this.#snapshots ??= new Snapshots({
      veth,
      clock,
      turns,
      hosts,
      bridges,
      nics,
      ltrans: this.#ltrans.all,
      capture,
    }));
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
      // What an isolated host had goes with its memory.
      if (host.veth === undefined) host.nic.close();
    }
    for (const nic of this.#nics) nic.close();
    this.#ltrans.close();
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

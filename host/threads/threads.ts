// The hosts of a network that run in threads of their own, as the main thread sees them: it lends a host to a thread,
// sees through shared memory when it comes back, and asks threads to end.
// Read first: DESIGN.md section 4; the README of Piscina.

import type * as piscina from "piscina";
import { createRequire } from "node:module";
import { isAbsolute } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { MessagePort, Worker } from "node:worker_threads";
import {
  REGION_ALIGN,
  THREAD_ASKED,
  THREAD_AWAY,
  THREAD_BEATS,
  THREAD_BYTES,
  THREAD_ENDED,
  THREAD_PARKED,
  THREAD_RUNNING,
  THREAD_SAFEPOINT_SHIFT,
  THREAD_STATE,
  THREAD_STOP,
  THREAD_TRAPPED,
} from "../../assembly/layout.ts";
import { CoreTrap } from "../core.ts";
import { OribiError, optionError } from "../errors.ts";
import type { HostStack } from "../host-stack.ts";
import type { SharedMemory } from "../regions.ts";
import { Doorbell } from "./doorbell.ts";
import { abortError, type Outcome, unpackError } from "./outcome.ts";
import { POLL_MODES, type PollMode } from "./thread-driver.ts";
import type { ThreadTask } from "./worker.ts";
import type { Runner } from "./runner.ts";
import type { WorkerHost } from "./worker-host.ts";

/** What a thread runs: an exported function of a module. */
export type ThreadFunction<A, T> = (host: WorkerHost, args: A) => T | Promise<T>;

export interface SpawnOptions {
  /** Given to the function; what structuredClone() takes, and shared memory. */
  args?: unknown;
  /** Objects in `args` to move in place of copying them (message ports, array buffers). */
  transferList?: readonly (ArrayBuffer | MessagePort)[];
  /** Name of the exported function. */
  name?: string;
  /** "busy": the thread never sleeps. "adaptive": it spins briefly, then sleeps. "lowPower": it sleeps at once. */
  poll?: PollMode;
  /** Ends the function: the call that it waits in throws, and a thread that does not come back is terminated. */
  signal?: AbortSignal;
}

/** What spawn() does when nothing is said. */
export const SPAWN_DEFAULTS: Readonly<{ name: string; poll: PollMode }> = Object.freeze({
  name: "default",
  poll: "adaptive",
});

/** The network, as far as its threads are concerned. */
export interface ThreadOwner {
  readonly memory: SharedMemory;
  allocate(bytes: number): number;
  /** What is the same for every thread, and for every host. */
  setup(runner: Runner): { worker: URL; setup: object };
  /** The host is a thread's now: its links are, too. */
  lent(runner: Runner): void;
  /** The host has come back, or is nobody's any more (`host.thread`). */
  returned(runner: Runner): void;
  /** The stack is nobody's any more: what it had may be taken back when its thread has gone. */
  lost(runner: Runner, gone: Promise<void>): void;
  /** Threads run now, or do no more. */
  active(isActive: boolean): void;
}

/** A thread that was asked to end has so long to do it, milliseconds. */
const GRACE_MILLIS = 1000;
/** Threads have so long to come to a safepoint, milliseconds; those that are there wait for the others. */
const PARK_MILLIS = 5;
/** Numbers of safepoints, which fit above THREAD_SAFEPOINT_SHIFT. */
const SAFEPOINTS = 0x7fff;
/** A thread has so long to load the program that it runs before it is terminated all the same, milliseconds. */
const LOAD_MILLIS = 10_000;
/** An idle thread stays for so long, for the next function on its host, milliseconds. */
const IDLE_MILLIS = 10_000;

type Pool = piscina.Piscina<object, Outcome>;

/** A host's thread: a pool of one, since a stack belongs to one thread and the next task finds it warm. */
interface HostThread {
  readonly block: number;
  readonly words: Int32Array;
  readonly bell: Doorbell;
  pool: Pool | undefined;
  /** Resolves when the pool's thread is gone. */
  exited: Promise<void>;
  idle: NodeJS.Timeout | undefined;
}

/** One function under way. */
interface Run {
  readonly host: Runner;
  readonly thread: HostThread;
  /** The host is not the thread's any more. */
  isOver: boolean;
  wasTerminated: boolean;
  /** What the caller gets when the function ends because it was asked to. */
  stopped: Error | undefined;
  promise: Promise<unknown>;
  /** What the thread showed of its life when it was last looked at, and since when that has not changed (ms). */
  sign: number;
  signAt: number;
}

/** All threads of a network. */
export class Threads {
  /** The main thread sleeps on it. */
  readonly bell: Doorbell;
  readonly #owner: ThreadOwner;
  readonly #threads = new Map<Runner, HostThread>();
  readonly #runs = new Set<Run>();
  readonly #blocks: number[] = [];
  #isClosed = false;
  #safepoint = 0;
  readonly #watchdog: NodeJS.Timeout | undefined;

  /** @param hangMillis after so long without a sign of life a thread is taken for hung; Infinity: never */
  constructor(owner: ThreadOwner, hangMillis: number) {
    this.#owner = owner;
    if (hangMillis !== Infinity) {
      const period = Math.min(Math.max(hangMillis / 4, 5), 1000);
      this.#watchdog = setInterval(() => this.#watch(hangMillis), period).unref();
    }
    this.bell = new Doorbell(owner.memory, this.#block());
  }

  /** Functions under way. */
  get running(): number {
    return this.#runs.size;
  }

  /** Has a thread let go of its host? */
  hasEnded(): boolean {
    for (const run of this.#runs) if (!run.isOver && stateOf(run) !== THREAD_RUNNING) return true;
    return false;
  }

  /** Takes back the hosts that their threads have let go of. */
  reap(): void {
    for (const run of this.#runs) if (!run.isOver && stateOf(run) !== THREAD_RUNNING) this.#end(run);
  }

  /** Rings the main thread when frames come to a host of its own. */
  watch(host: Runner): void {
    host.setDoorbell(this.bell.address);
  }

  /** Address of the block of a host's thread: its doorbell, and what tells whether it runs. */
  blockOf(host: Runner): number {
    return this.#threadOf(host).block;
  }

  /** Runs a function of a module in the host's thread. See Network.spawn(). */
  run(host: HostStack, module: URL | string, options: SpawnOptions): Promise<unknown> {
    const { args, transferList = [], signal } = options;
    const { name, poll } = { ...SPAWN_DEFAULTS, ...defined(options) };
    if (!POLL_MODES.includes(poll)) throw optionError("poll", poll, `one of ${POLL_MODES.map(quoted).join(", ")}`);
    if (typeof name !== "string") throw optionError("name", name, "the name of an exported function");
    const task: ThreadTask = { module: addressOf(module), name, args, poll };
    return this.launch(host, task, transferList, signal);
  }

  /** Gives a task to a thread of its own. Resolves, or is rejected, with what the task comes to. */
  launch(
    host: Runner,
    task: object,
    transferList: readonly (ArrayBuffer | MessagePort)[] = [],
    signal?: AbortSignal,
  ): Promise<unknown> {
    if (signal?.aborted === true) throw abortError(signal.reason);
    this.#assertFree(host);
    const thread = this.#threadOf(host);
    const run: Run = {
      host,
      thread,
      isOver: false,
      wasTerminated: false,
      stopped: undefined,
      promise: NOTHING,
      sign: NaN,
      signAt: performance.now(),
    };
    this.#lend(run);
    const aborted = (): void => this.#stop(run, abortError(signal?.reason));
    signal?.addEventListener("abort", aborted, { once: true });
    const posted = this.#poolOf(thread, host).run(task, { transferList: transferList as ArrayBuffer[] });
    run.promise = this.#outcome(run, posted).finally(() => signal?.removeEventListener("abort", aborted));
    return run.promise;
  }

  /**
   * Ends a function at once, wherever its thread is: as a crash would. Its stack is lost.
   * @returns false when no function runs on the stack
   */
  kill(stack: Runner, reason: Error): boolean {
    const run = [...this.#runs].find((each) => each.host === stack && !each.isOver);
    if (run === undefined) return false;
    run.stopped ??= reason;
    run.wasTerminated = true;
    run.promise.catch(() => {});
    void dismiss(run.thread);
    return true;
  }

  /**
   * Brings every thread to stand still between two beats of its stack, and runs `work` meanwhile.
   * @returns false when a thread did not come to a beat in time: nothing was done
   */
  atSafepoint(work: () => void): boolean {
    const runs = [...this.#runs].filter((run) => !run.isOver && stateOf(run) === THREAD_RUNNING);
    this.#safepoint = (this.#safepoint % SAFEPOINTS) + 1;
    for (const { thread } of runs) {
      Atomics.or(thread.words, THREAD_STOP / 4, this.#safepoint << THREAD_SAFEPOINT_SHIFT);
      thread.bell.ring();
    }
    const end = performance.now() + PARK_MILLIS;
    try {
      if (!runs.every((run) => this.#waitParked(run, end))) return false;
      work();
      return true;
    } finally {
      for (const { thread } of runs) {
        Atomics.and(thread.words, THREAD_STOP / 4, (1 << THREAD_SAFEPOINT_SHIFT) - 1);
        Atomics.notify(thread.words, THREAD_STOP / 4);
      }
    }
  }

  #waitParked(run: Run, end: number): boolean {
    const { words } = run.thread;
    while (stateOf(run) === THREAD_RUNNING) {
      const parked = Atomics.load(words, THREAD_PARKED / 4);
      if (parked === this.#safepoint || parked === THREAD_AWAY) return true;
      const left = end - performance.now();
      if (left <= 0) return false;
      Atomics.wait(words, THREAD_PARKED / 4, parked, Math.min(left, 1));
    }
    return true;
  }

  /** Kills threads that have done nothing for `millis`: no beat of the stack, no turn of the event loop, no sleep. */
  #watch(millis: number): void {
    for (const run of this.#runs) {
      if (run.isOver || stateOf(run) !== THREAD_RUNNING) continue;
      const sign = lifeSign(run);
      const now = performance.now();
      const isStarting = Atomics.load(run.thread.words, THREAD_BEATS / 4) === 0;
      if (isStarting || sign !== run.sign || run.thread.bell.isSlept) {
        run.sign = sign;
        run.signAt = now;
      } else if (now - run.signAt > millis) {
        const text = `The thread of host "${run.host.name}" has hung for ${Math.round(now - run.signAt)} ms.`;
        this.kill(run.host, new OribiError("ERR_ORIBI_HANG", text));
      }
    }
  }

  /** Ends every function and every thread; resolves when no thread runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watchdog);
    for (const run of this.#runs) {
      this.#stop(run, new OribiError("ERR_ORIBI_CLOSED", `The network was closed while "${run.host.name}" ran.`));
    }
    await Promise.allSettled([...this.#runs].map((run) => run.promise));
    await Promise.all([...this.#threads.values()].map((thread) => dismiss(thread)));
  }

  #assertFree(host: Runner): void {
    const isBusy = [...this.#runs].some((run) => run.host === host);
    if (!isBusy && host.thread !== "lost" && host.trap === undefined) return;
    const state = isBusy ? "runs in a thread of its own already" : "is out of order: its stack has crashed";
    throw new OribiError("ERR_ORIBI_THREAD", `Host "${host.name}" ${state}.`);
  }

  async #outcome(run: Run, posted: Promise<Outcome>): Promise<unknown> {
    try {
      const outcome = await posted.catch((error: unknown) => this.#died(run, error));
      if (!("error" in outcome)) return outcome.value;
      const error = unpackError(outcome.error);
      if (error instanceof CoreTrap && run.host.trap === undefined) run.host.trap = error;
      throw outcome.error.kind === "stop" && run.stopped !== undefined ? run.stopped : error;
    } finally {
      if (!run.isOver) this.#end(run);
      this.#runs.delete(run);
      if (this.#runs.size === 0) this.#owner.active(false);
      this.#rest(run.thread);
    }
  }

  /** The thread has died under its function, or never got it. @throws always */
  async #died(run: Run, error: unknown): Promise<never> {
    if (error instanceof Error && error.name === "DataCloneError") throw error;
    const { thread } = run;
    await dismiss(thread);
    if (run.stopped !== undefined) throw run.stopped;
    const code = /exited with code: (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
    if (code === undefined) throw error;
    throw new OribiError("ERR_ORIBI_THREAD", `The thread of host "${run.host.name}" exited with code ${code}.`, error);
  }

  #lend(run: Run): void {
    const { host, thread } = run;
    clearTimeout(thread.idle);
    this.#owner.lent(host);
    host.thread = "worker";
    host.setDoorbell(thread.bell.address);
    Atomics.store(thread.words, THREAD_STOP / 4, 0);
    Atomics.store(thread.words, THREAD_PARKED / 4, THREAD_AWAY);
    Atomics.store(thread.words, THREAD_STATE / 4, THREAD_RUNNING);
    this.#runs.add(run);
    this.#owner.active(true);
  }

  /** The host is the main thread's again; or nobody's, when its stack may be in the middle of something. */
  #end(run: Run): void {
    run.isOver = true;
    const { host, thread } = run;
    const state = stateOf(run);
    const isLost = state === THREAD_RUNNING ? run.wasTerminated : state !== THREAD_ENDED;
    host.thread = isLost ? "lost" : "main";
    if (!isLost) {
      host.takeBack();
      host.setDoorbell(this.bell.address);
    }
    // A thread that died has not said so itself.
    if (state === THREAD_RUNNING) Atomics.store(thread.words, THREAD_STATE / 4, isLost ? THREAD_TRAPPED : THREAD_ENDED);
    Atomics.or(thread.words, THREAD_STOP / 4, THREAD_ASKED);
    this.#owner.returned(host);
    // A thread whose stack has trapped still has to say so.
    if (isLost)
      this.#owner.lost(
        host,
        run.promise.catch(() => {}).then(() => dismiss(thread)),
      );
  }

  /** Asks a function to end; terminates its thread when it does not. */
  #stop(run: Run, error: Error): void {
    if (run.stopped !== undefined) return;
    run.stopped = error;
    // Nobody need wait for a function that was asked to end.
    const settled = run.promise.catch(() => {});
    if (run.isOver) return;
    Atomics.or(run.thread.words, THREAD_STOP / 4, THREAD_ASKED);
    run.thread.bell.ring();
    const timer = setTimeout(() => {
      if (run.isOver) return;
      run.wasTerminated = true;
      void dismiss(run.thread);
    }, GRACE_MILLIS);
    void settled.finally(() => clearTimeout(timer));
  }

  #threadOf(host: Runner): HostThread {
    let thread = this.#threads.get(host);
    if (thread === undefined) {
      const block = this.#block();
      const words = new Int32Array(this.#owner.memory.buffer, block, THREAD_BYTES / 4);
      const bell = new Doorbell(this.#owner.memory, block);
      thread = { block, words, bell, pool: undefined, exited: Promise.resolve(), idle: undefined };
      this.#threads.set(host, thread);
    }
    return thread;
  }

  /**
   * Piscina starts the threads of minThreads at once and gives them tasks at once; later ones get theirs when this
   * thread's event loop turns, which would be too late for a program that goes on with a call that blocks.
   */
  #poolOf(thread: HostThread, host: Runner): Pool {
    if (thread.pool !== undefined) return thread.pool;
    const { Piscina } = createRequire(import.meta.url)("piscina") as typeof piscina;
    const { worker: program, setup } = this.#owner.setup(host);
    const pool = new Piscina<object, Outcome>({
      filename: fileURLToPath(program),
      workerData: { ...setup, block: thread.block, mainBell: this.bell.address },
      minThreads: 1,
      maxThreads: 1,
      // An idle thread waits in its event loop, so that what the application left there can end.
      atomics: "disabled",
      recordTiming: false,
    });
    // What goes wrong in a thread after its function has ended is nobody's business any more.
    pool.on("error", () => void dismiss(thread));
    const [worker] = pool.threads as [Worker];
    thread.exited = new Promise((resolve) => worker.once("exit", () => resolve()));
    Atomics.store(thread.words, THREAD_BEATS / 4, 0);
    return (thread.pool = pool);
  }

  #rest(thread: HostThread): void {
    if (this.#isClosed || thread.pool === undefined) return;
    thread.idle = setTimeout(() => void dismiss(thread), IDLE_MILLIS).unref();
  }

  /** A piece of memory for a host's thread, or for the main thread. */
  #block(): number {
    if (this.#blocks.length === 0) {
      const region = this.#owner.allocate(REGION_ALIGN);
      for (let at = region + REGION_ALIGN; at > region; at -= THREAD_BYTES) this.#blocks.push(at - THREAD_BYTES);
    }
    return this.#blocks.pop() as number;
  }
}

const NOTHING: Promise<unknown> = Promise.resolve();

/** A number that changes when the thread's stack beats, or its event loop turns. */
function lifeSign({ host, thread }: Run): number {
  return host.lastBeat + Atomics.load(thread.words, THREAD_BEATS / 4) * 1e15;
}

function stateOf(run: Run): number {
  return Atomics.load(run.thread.words, THREAD_STATE / 4);
}

/** Ends a host's thread; resolves when it is gone. */
async function dismiss(thread: HostThread): Promise<void> {
  const { pool } = thread;
  thread.pool = undefined;
  clearTimeout(thread.idle);
  if (pool !== undefined) await hasLoaded(thread);
  await pool?.destroy();
  await thread.exited;
}

/** Node may end the process when it terminates a thread whose program is still being loaded: by require(), for one. */
async function hasLoaded({ words, exited }: HostThread): Promise<void> {
  let isGone = false;
  void exited.then(() => (isGone = true));
  const end = performance.now() + LOAD_MILLIS;
  while (Atomics.load(words, THREAD_BEATS / 4) === 0 && !isGone && performance.now() < end) await delay(1);
}

/** The address of a module for import() in another thread. */
function addressOf(module: URL | string): string {
  if (module instanceof URL) return module.href;
  if (typeof module === "string" && isAbsolute(module)) return pathToFileURL(module).href;
  if (typeof module === "string" && /^[a-z]{2,}:/i.test(module)) return module;
  throw optionError("module", module, 'a URL or an absolute path, as new URL("./app.js", import.meta.url)');
}

function quoted(text: string): string {
  return `"${text}"`;
}

function defined(options: SpawnOptions): SpawnOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

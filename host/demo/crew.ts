// The threads of the demo's server, in either model: started, watched, and asked to end.
// Read first: DESIGN.md section 4; service.ts for what they do.

import { setTimeout } from "node:timers/promises";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";
import type { HostStack } from "../host-stack.ts";
import type { Network } from "../network.ts";
import type { BusinessSetup } from "./business-thread.ts";
import type { Hosts } from "./hosts.ts";
import { openListeners, type ServiceSetup } from "./service.ts";
import { Tally } from "./tally.ts";

/** "shared": a stack and its application in one thread. "separate": business threads use stacks of other threads. */
export const THREAD_MODELS = ["shared", "separate"] as const;
export type ThreadModel = (typeof THREAD_MODELS)[number];

const STACK_APP = new URL("./stack-app.js", import.meta.url);
const BUSINESS_THREAD = new URL("./business-thread.js", import.meta.url);
/** More business threads than this bring nothing: stacks do most of the work. */
const BUSINESS_THREADS_MAX = 8;
/** When no thread has started for so long, none will, milliseconds. */
const START_MILLIS_MAX = 60_000;
/** Threads that were asked to end have so long to do it, milliseconds. */
const END_MILLIS_MAX = 2000;

/** Is told how many threads of all have started. */
export type OnStart = (started: number, of: number) => void;

/** A thread of the demo has ended too early, or does nothing any more. */
export class ThreadFailure extends Error {
  override readonly name = "ThreadFailure";
}

/** How many business threads there are beside so many stacks. */
export function businessThreads(queues: number): number {
  return Math.min(queues, BUSINESS_THREADS_MAX);
}

/** The threads that serve. */
export class Crew implements AsyncDisposable {
  /** How many applications there are: threads that open the file, accept and answer. */
  readonly applications: number;
  readonly tally: Tally;
  readonly #stacks: readonly HostStack[];
  readonly #ends: Promise<void>[] = [];
  readonly #workers: Worker[] = [];
  #failure: ThreadFailure | undefined;

  private constructor({ server }: Hosts, model: ThreadModel, setup: ServiceSetup) {
    this.tally = new Tally(setup.tally);
    this.#stacks = server.stacks;
    this.applications = model === "shared" ? server.stacks.length : businessThreads(server.stacks.length);
  }

  /**
   * Starts the threads; resolves when all of them serve.
   * @param onProgress is told how many do already
   * @throws {ThreadFailure}
   */
  static async start(hosts: Hosts, model: ThreadModel, setup: ServiceSetup, onProgress: OnStart): Promise<Crew> {
    const crew = new Crew(hosts, model, setup);
    const { network } = hosts;
    // Applications of the separate model have stacks that must run before.
    const stacks = model === "separate" ? crew.#stacks.length : 0;
    const told = (done: number): void => onProgress(done, stacks + crew.applications);
    try {
      const running = (): number => crew.#stacks.filter((stack) => network.activity(stack).polls > 0).length;
      if (model === "separate") await crew.#await(network, running, stacks, told);
      if (model === "shared") crew.#spawnStacks(hosts, setup);
      else crew.#startBusiness(hosts, setup);
      await crew.#await(
        network,
        () => crew.tally.ready,
        crew.applications,
        (done) => told(stacks + done),
      );
      return crew;
    } catch (error) {
      await crew[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** @throws {ThreadFailure} when a thread has ended that should not have */
  check(): void {
    for (const { name, trap, thread } of this.#stacks) {
      if (trap !== undefined) throw new ThreadFailure(`stack "${name}" has stopped: ${trap.message}`, { cause: trap });
      if (thread === "lost") throw new ThreadFailure(`the thread of stack "${name}" has crashed`);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Asks the applications to end, and waits for them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.tally.stop();
    await Promise.race([Promise.all(this.#ends), setTimeout(END_MILLIS_MAX, undefined, { ref: false })]);
    // Those that have not ended; the network ends those of stacks.
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** Waits until `count` has come to `all`, for as long as it still goes up. */
  async #await(network: Network, count: () => number, all: number, told: (done: number) => void): Promise<void> {
    const isDone = (): boolean => {
      told(count());
      return this.#failure !== undefined || count() === all;
    };
    // A machine with few cores starts many threads slowly, but one after the other comes.
    for (let before = -1; before < count();) {
      before = count();
      const isInTime = await network.until(isDone, { timeout: START_MILLIS_MAX * 1000 });
      if (isInTime) return this.check();
    }
    const patience = `no other within ${START_MILLIS_MAX / 1000} s`;
    throw new ThreadFailure(`only ${count()} of ${all} threads have started, and ${patience}`);
  }

  /** Shared: each stack moves to a thread, where its application runs too. */
  #spawnStacks({ network }: Hosts, setup: ServiceSetup): void {
    for (const stack of this.#stacks) {
      const what = `the thread of stack "${stack.name}"`;
      const running = network.spawn(stack, STACK_APP, { args: setup });
      this.#ends.push(
        running.then(
          () => this.#ended(what),
          (error: unknown) => this.#ended(what, error),
        ),
      );
    }
  }

  /** Separate: the stacks have threads of their own already; the applications run in others. */
  #startBusiness({ server }: Hosts, setup: ServiceSetup): void {
    const listeners = openListeners(server.posix, server.stacks.length);
    const workerData: BusinessSetup = { ...setup, place: server.client(), listeners };
    for (let i = 0; i < this.applications; i++) {
      const what = `business thread ${i}`;
      const worker = new Worker(BUSINESS_THREAD, { workerData });
      worker.on("error", (error) => this.#ended(what, error));
      this.#ends.push(
        new Promise<void>((resolve) => {
          worker.once("exit", () => {
            this.#ended(what);
            resolve();
          });
        }),
      );
      this.#workers.push(worker);
    }
  }

  /** The first thread that has ended without being asked is what is told; others may follow from it. */
  #ended(what: string, error?: unknown): void {
    if (this.tally.isStopped || this.#failure !== undefined) return;
    const reason = error instanceof Error ? error.message : inspect(error);
    const why = error === undefined ? "has ended" : `failed: ${reason}`;
    this.#failure = new ThreadFailure(`${what} ${why}`, { cause: error });
  }
}

// The threads of the demo's server, in either model: started, watched, and asked to end.
// Read first: DESIGN.md section 4; service.ts for what they do.

import { Worker } from "node:worker_threads";
import type { HostStack } from "../host-stack.ts";
import type { Hosts } from "./hosts.ts";
import type { BusinessSetup } from "./business-thread.ts";
import { openListeners, type ServiceSetup } from "./service.ts";
import { Tally } from "./tally.ts";

/** "shared": a stack and its application in one thread. "separate": business threads use stacks of other threads. */
export const THREAD_MODELS = ["shared", "separate"] as const;
export type ThreadModel = (typeof THREAD_MODELS)[number];

const STACK_APP = new URL("./stack-app.js", import.meta.url);
const BUSINESS_THREAD = new URL("./business-thread.js", import.meta.url);
/** More business threads than this bring nothing: stacks do most of the work. */
const BUSINESS_THREADS_MAX = 8;
const START_MILLIS_MAX = 60_000;
/** A business thread that was asked to end has so long to do it, milliseconds. */
const END_MILLIS_MAX = 2000;

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

  private constructor(hosts: Hosts, model: ThreadModel, setup: ServiceSetup) {
    const { server } = hosts;
    this.tally = new Tally(setup.tally);
    this.#stacks = server.stacks;
    this.applications = model === "shared" ? server.stacks.length : businessThreads(server.stacks.length);
    if (model === "shared") this.#spawnStacks(hosts, setup);
    else this.#startBusiness(hosts, setup);
  }

  /** Starts the threads; resolves when all of them serve. @throws {ThreadFailure} */
  static async start(hosts: Hosts, model: ThreadModel, setup: ServiceSetup): Promise<Crew> {
    const crew = new Crew(hosts, model, setup);
    try {
      const isReady = (): boolean => crew.#failure !== undefined || crew.tally.ready === crew.applications;
      const isInTime = await hosts.network.until(isReady, { timeout: START_MILLIS_MAX * 1000 });
      if (!isInTime) throw new ThreadFailure(`the threads have not started within ${START_MILLIS_MAX / 1000} s`);
      crew.check();
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
    const late = setTimeout(() => this.#workers.forEach((worker) => void worker.terminate()), END_MILLIS_MAX);
    await Promise.all(this.#ends);
    clearTimeout(late);
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
    const why = error === undefined ? "has ended" : `failed: ${error instanceof Error ? error.message : String(error)}`;
    this.#failure = new ThreadFailure(`${what} ${why}`, { cause: error });
  }
}

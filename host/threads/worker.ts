// What a Piscina worker runs: one function of an application, on the host that the thread was started for.

import { workerData } from "node:worker_threads";
import {
  THREAD_ASKED,
  THREAD_BEATS,
  THREAD_BYTES,
  THREAD_ENDED,
  THREAD_STATE,
  THREAD_STOP,
  THREAD_TRAPPED,
} from "../../assembly/layout.ts";
import { OribiError } from "../errors.ts";
import { CoreTrap, toCoreTrap } from "../core.ts";
import { pinThread } from "./affinity.ts";
import { Doorbell } from "./doorbell.ts";
import { type Outcome, packError, packValue } from "./outcome.ts";
import type { PollMode } from "./thread-driver.ts";
import { type ThreadSetup, WorkerHost } from "./worker-host.ts";

/** One function to run. */
export interface ThreadTask {
  /** Address of the module. */
  module: string;
  /** Name of the exported function. */
  name: string;
  args: unknown;
  poll: PollMode;
}

const setup = workerData as ThreadSetup;
const words = new Int32Array(setup.home.buffer, setup.block, THREAD_BYTES / 4);
let host: WorkerHost | undefined;

/** A thread that awaits other things does not beat, but it is not hung: its event loop says so this often. */
const BEAT_MILLIS = 100;
setInterval(() => Atomics.add(words, THREAD_BEATS / 4, 1), BEAT_MILLIS).unref();

/** Runs a task; the stack is the main thread's again when this is over. */
export default async function run(task: ThreadTask): Promise<Outcome> {
  let hasTrapped = false;
  // The first beat comes when the module has been loaded to its end, see hasLoaded() in threads.ts.
  Atomics.add(words, THREAD_BEATS / 4, 1);
  try {
    if (host === undefined) pinThread(setup.cpus);
    host ??= new WorkerHost(setup);
    const application = await find(task);
    host.enter(task.poll);
    return packValue(await application(host, task.args));
  } catch (error) {
    hasTrapped = toCoreTrap(error) instanceof CoreTrap;
    return { error: packError(error) };
  } finally {
    const over = new OribiError("ERR_ORIBI_THREAD", `The task of host "${setup.name}" is over.`);
    if (host?.leave(over) === true) hasTrapped = true;
    handBack(hasTrapped ? THREAD_TRAPPED : THREAD_ENDED);
  }
}

async function find({ module, name }: ThreadTask): Promise<(host: WorkerHost, args: unknown) => unknown> {
  const exports = (await import(module)) as Record<string, unknown>;
  const found = exports[name];
  if (typeof found === "function") return found as (host: WorkerHost, args: unknown) => unknown;
  const names = Object.keys(exports).filter((key) => typeof exports[key] === "function");
  const has = names.length === 0 ? "It exports no function." : `Functions that it exports: ${names.join(", ")}.`;
  throw new OribiError("ERR_ORIBI_THREAD", `The module ${module} exports no function "${name}". ${has}`);
}

/** Through shared memory: the main thread may be blocked in a call that waits for this very host. */
function handBack(state: number): void {
  // Code of the application that goes on all the same must not touch the stack any more.
  Atomics.or(words, THREAD_STOP / 4, THREAD_ASKED);
  Atomics.store(words, THREAD_STATE / 4, state);
  new Doorbell(setup.home, setup.mainBell).ring();
}

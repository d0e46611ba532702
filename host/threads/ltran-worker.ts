// What a Piscina worker runs for an ltran: its beats, until it is asked to end.
// Read first: thread-driver.ts, which spins, sleeps and stands still as for a stack; veth/ltran.ts for a beat.

import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import {
  THREAD_ASKED,
  THREAD_BEATS,
  THREAD_BYTES,
  THREAD_ENDED,
  THREAD_STATE,
  THREAD_STOP,
  THREAD_TRAPPED,
} from "../../assembly/layout.ts";
import { Forwarder, type ForwarderDescription, type TrunkPlace, type VethModule } from "../../veth/index.ts";
import { adoptModules, type CoreModules, instantiateVeth, type SharedMemory } from "../core.ts";
import { OribiError } from "../errors.ts";
import { clockFrom } from "./clock.ts";
import { Doorbell } from "./doorbell.ts";
import { type Outcome, packError } from "./outcome.ts";
import { type DriverCore, type PollMode, ThreadDriver } from "./thread-driver.ts";

/** What the thread is given when it starts: plain data, shared memory and compiled modules. */
export interface LtranSetup {
  home: SharedMemory;
  modules: CoreModules;
  debug?: boolean | undefined;
  /** process.hrtime.bigint() when the network's time was 0. */
  epochNanos: bigint;
  /** Names the holder of locks. */
  id: number;
  forwarder: ForwarderDescription;
  /** Handle of the NIC. */
  port: number;
  /** Addresses of its THREAD_BYTES and of the main thread's doorbell. */
  block: number;
  mainBell: number;
}

/** What it is to do. */
export interface LtranTask {
  poll: PollMode;
  /** Brings the places of trunks, in the order in which they are made. */
  trunks: MessagePort;
}

const setup = workerData as LtranSetup;
const words = new Int32Array(setup.home.buffer, setup.block, THREAD_BYTES / 4);

/** Forwards until it is asked to end. */
export default function run(task: LtranTask): Outcome {
  let driver: ThreadDriver | undefined;
  Atomics.add(words, THREAD_BEATS / 4, 1);
  try {
    driver = driverOf(task);
    driver.enter();
    driver.mode = task.poll;
    return driver.serve();
  } catch (error) {
    return { error: packError(error) };
  } finally {
    task.trunks.close();
    Atomics.or(words, THREAD_STOP / 4, THREAD_ASKED);
    Atomics.store(words, THREAD_STATE / 4, driver?.hasTrapped === true ? THREAD_TRAPPED : THREAD_ENDED);
    new Doorbell(setup.home, setup.mainBell).ring();
  }
}

function driverOf({ trunks }: LtranTask): ThreadDriver {
  adoptModules(setup.modules);
  const exports = instantiateVeth(setup.home, setup.debug === undefined ? {} : { debug: setup.debug });
  exports.identify(setup.id);
  const veth: VethModule = { exports, memory: setup.home, allocate: refuse };
  const forwarder = Forwarder.attach(veth, setup.forwarder);
  let known = 0;
  const learn = (): void => {
    for (; known !== forwarder.news; known++) {
      const news = receiveMessageOnPort(trunks);
      if (news === undefined) return;
      forwarder.connect((news as { message: TrunkPlace }).message);
    }
  };
  const core: DriverCore = {
    poll: (now) => {
      if (known !== forwarder.news) learn();
      return forwarder.beat(now);
    },
    nextDeadline: () => forwarder.nextDeadline,
    // It frees nobody's mbufs but its own NIC's, a burst at a time.
    rxCacheBeat: () => undefined,
    rxCacheSweep: () => undefined,
    shareBeat: () => 0,
    shareDeadline: () => Infinity,
    sharePending: () => Number(forwarder.hasOutput() || known !== forwarder.news),
  };
  const port = { handle: setup.port, first: 0, count: 1 };
  return new ThreadDriver(clockFrom(setup.epochNanos), core, exports, port, setup.home, setup.block);
}

function refuse(): never {
  throw new OribiError("ERR_ORIBI_THREAD", "Only the main thread gives out regions of a network's memory.");
}

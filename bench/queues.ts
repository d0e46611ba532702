// What a second queue brings: many flows between two hosts whose stacks, one pair for each queue, run in as many
// threads, busy polling. A thread has a stack of the client and one of the server; RSS decides which stack of the
// server has a flow. Each thread is kept on a core of its own, and one queue is measured on either of these cores:
// cores of a virtual machine are seldom equally fast, and two threads have the slower one, too.
// Read first: queue-worker.ts; DESIGN.md section 4. Two queues want two cores that nobody else uses.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { coreModules } from "../host/core.ts";
import type { HostOptions } from "../host/index.ts";
import { usableCores } from "../host/threads/affinity.ts";
import { compare, type Contender, rateOf } from "./compare.ts";
import { pair, SERVER_ADDRESS, type Pair } from "./pair.ts";
import { type Order, type Report, type Share, WORDS } from "./queue-worker.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

const CONNECTIONS = 64;
const REQUESTS = 32768;
const CALLS = 4096;

/** Both hosts have the symmetric key: a flow is on the same queue, and in the same thread, at either. */
export const queues2: Row = {
  name: "queues_2",
  title: "64 B request and response, 64 TCP connections a queue, two queues and threads beside one; symmetric RSS key",
  unit: "op/s",
  bound: { atLeast: 1.8, aim: 1.9 },
  measure: (options) => measure(options, "requests", { rssKey: "symmetric" }),
};

export const queues2Crr: Row = {
  name: "queues_2_crr",
  title: "TCP connect, 1 B from the server, close; two queues and threads beside one; symmetric RSS key",
  unit: "op/s",
  bound: { atLeast: 1.8, aim: 1.9 },
  measure: (options) => measure(options, "connections", { rssKey: "symmetric" }),
};

export const queues2Crossing: Row = {
  name: "queues_2_crossing",
  title: "queues_2 with Microsoft's RSS key: half of the flows have their ends in different threads",
  unit: "op/s",
  measure: (options) => measure(options, "requests", {}),
};

async function measure(options: RunOptions, kind: Order["kind"], nic: Pick<HostOptions, "rssKey">): Promise<Measured> {
  const cores = usableCores().slice(0, 2);
  await using two = await start(2, kind, nic, cores);
  const each: Running[] = [];
  try {
    for (const core of cores.length === 0 ? [undefined] : cores) {
      each.push(await start(1, kind, nic, core === undefined ? [] : [core]));
    }
    const amount = amountOf(kind);
    const alone: Contender = { name: "one queue", amount, batch: () => batch(each, amount, false), isAsync: true };
    const both: Contender = { name: "oribi", amount, batch: () => batch([two], amount, true), isAsync: true };
    const apart: Contender = { name: "apart", amount, batch: () => batch(each, amount, true), isAsync: true };
    const measured = await compare(both, alone, options);
    const ceiling = (await rateOf(apart, options)) / measured.peerValue;
    const { out, in: taken } = two.hosts.server.counters().steer;
    const text = `packets handed over in software: ${out} out, ${taken} in; two networks that share nothing, at once:`;
    return { ...measured, note: `${text} ${ceiling.toFixed(2)} times one` };
  } finally {
    for (const running of each) await running[Symbol.asyncDispose]();
  }
}

function amountOf(kind: Order["kind"]): number {
  return kind === "requests" ? REQUESTS : CALLS;
}

/**
 * A batch of all these networks: all at once, and their rates are added up; or one after the other, and their mean
 * counts. The time for `amount` units at that rate.
 */
async function batch(
  networks: readonly Running[],
  amount: number,
  atOnce: boolean,
): Promise<{ overriddenDuration: number }> {
  let rate = 0;
  if (atOnce) for (const each of await Promise.all(networks.map((network) => network.run()))) rate += each;
  else for (const network of networks) rate += (await network.run()) / networks.length;
  return { overriddenDuration: amount / rate };
}

interface Running extends AsyncDisposable {
  hosts: Pair;
  /** Does a batch; units of work in a millisecond. */
  run: () => Promise<number>;
}

/** Hosts with `queues` stacks each, and their threads, each on one of these cores, which wait for orders. */
async function start(
  queues: number,
  kind: Order["kind"],
  nic: Pick<HostOptions, "rssKey">,
  cores: readonly number[],
): Promise<Running> {
  const stack = { connections: 4096, timeWaits: 1024, chunks: 8192, largeChunks: 16 };
  const hosts = pair({ stacks: queues, stack, ...nic });
  const { network, client, server } = hosts;
  const words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  const workers = client.stacks.map((stack, index) => {
    const share: Share = {
      memory: network.memory,
      modules: coreModules(),
      places: [stack.stack.place, (server.stacks[index] as typeof stack).stack.place],
      id: index + 1,
      address: SERVER_ADDRESS,
      connections: CONNECTIONS,
      words,
      threads: queues,
      cpus: cores.length === 0 ? [] : [cores[index % cores.length] as number],
      micros: network.now(),
    };
    return new Worker(new URL("./queue-worker.js", import.meta.url), { workerData: share });
  });
  await Promise.all(workers.map(answer));
  const run = async (): Promise<number> => {
    words.fill(0);
    const answers = workers.map(answer);
    for (const worker of workers) worker.postMessage({ kind, amount: amountOf(kind) } satisfies Order);
    const reports = (await Promise.all(answers)) as Report[];
    return reports.reduce((sum, { done, millis }) => sum + done / millis, 0);
  };
  const end = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.terminate()));
    await hosts[Symbol.asyncDispose]();
  };
  return { hosts, run, [Symbol.asyncDispose]: end };
}

/** The next message of a worker. Rejects with the worker's error. */
async function answer(worker: Worker): Promise<unknown> {
  const [message] = (await once(worker, "message")) as [unknown];
  return message;
}

// What a second queue brings: many flows between two hosts whose stacks, one pair for each queue, run in as many
// threads, busy polling. A thread has a stack of the client and one of the server; RSS decides which stack of the
// server has a flow.
// Read first: queue-worker.ts; DESIGN.md section 4. Two queues want two cores that nobody else uses.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { coreModules } from "../host/core.ts";
import type { HostOptions } from "../host/index.ts";
import { compare, type Contender } from "./compare.ts";
import { pair, SERVER_ADDRESS, type Pair } from "./pair.ts";
import { type Order, type Share, WORDS } from "./queue-worker.ts";
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
  await using one = await start(1, kind, nic);
  await using two = await start(2, kind, nic);
  const measured = await compare(two.contender, one.contender, options);
  const { out, in: taken } = two.hosts.server.counters().steer;
  return { ...measured, note: `packets handed over in software: ${out} out, ${taken} in` };
}

interface Running extends AsyncDisposable {
  hosts: Pair;
  contender: Contender;
}

/** Hosts with `queues` stacks each, and their threads, which wait for orders. */
async function start(queues: number, kind: Order["kind"], nic: Pick<HostOptions, "rssKey">): Promise<Running> {
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
      micros: network.now(),
    };
    return new Worker(new URL("./queue-worker.js", import.meta.url), { workerData: share });
  });
  await Promise.all(workers.map(answer));
  const amount = kind === "requests" ? REQUESTS : CALLS;
  const batch = async (): Promise<{ overriddenDuration: number }> => {
    words.fill(0);
    const answers = workers.map(answer);
    for (const worker of workers) worker.postMessage({ kind, amount } satisfies Order);
    return { overriddenDuration: Math.max(...(await Promise.all(answers))) };
  };
  const contender = { name: queues === 1 ? "one queue" : "oribi", amount: queues * amount, batch, isAsync: true };
  const end = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.terminate()));
    await hosts[Symbol.asyncDispose]();
  };
  return { hosts, contender, [Symbol.asyncDispose]: end };
}

/** The next message of a worker: milliseconds. Rejects with the worker's error. */
async function answer(worker: Worker): Promise<number> {
  const [millis] = (await once(worker, "message")) as [number];
  return millis;
}

// What a second queue brings: many flows between two hosts whose stacks, one pair for each queue, run in as many
// threads, busy polling. A thread has a stack of the client and one of the server; RSS decides which stack of the
// server has a flow, so with two queues half of the flows cross between the threads.
// Read first: queue-worker.ts; DESIGN.md section 4. Two queues want two cores that nobody else uses.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { coreModules } from "../host/core.ts";
import { compare, type Contender } from "./compare.ts";
import { pair, SERVER_ADDRESS, type Pair } from "./pair.ts";
import { type Order, type Share, WORDS } from "./queue-worker.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

const CONNECTIONS = 64;
const REQUESTS = 32768;

export const queues2: Row = {
  name: "queues_2",
  title: "64 B request and response, 64 TCP connections for each queue, two queues and threads beside one",
  unit: "op/s",
  bound: { atLeast: 1.8, aim: 1.9 },
  measure,
};

async function measure(options: RunOptions): Promise<Measured> {
  await using one = await start(1);
  await using two = await start(2);
  const measured = await compare(two.contender, one.contender, options);
  const { out, in: taken } = two.hosts.server.counters().steer;
  return { ...measured, note: `packets handed over in software: ${out} out, ${taken} in` };
}

interface Running extends AsyncDisposable {
  hosts: Pair;
  contender: Contender;
}

/** Hosts with `queues` stacks each, and their threads, which wait for orders. */
async function start(queues: number): Promise<Running> {
  const stack = { connections: 4096, timeWaits: 1024, chunks: 8192, largeChunks: 16 };
  const hosts = pair({ stacks: queues, stack });
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
  const batch = async (): Promise<{ overriddenDuration: number }> => {
    words.fill(0);
    const answers = workers.map(answer);
    for (const worker of workers) worker.postMessage({ requests: REQUESTS } satisfies Order);
    return { overriddenDuration: Math.max(...(await Promise.all(answers))) };
  };
  const contender = { name: queues === 1 ? "one queue" : "oribi", amount: queues * REQUESTS, batch, isAsync: true };
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

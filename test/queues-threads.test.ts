// Hosts with several stacks, each in a thread of its own: shares, forwarding, and tables that all of them use at once.
// The applications are in fixtures/queue-apps.ts. Read first: DESIGN.md section 4; assembly/steer/.

import { expect } from "chai";
import { createNetwork, type Host, type Network } from "../host/index.ts";
import type { HostOptions } from "../host/network.ts";
import { DONE, READY, STOP, type Served, type Talked } from "./fixtures/queue-apps.ts";
import { chance, seedOf } from "./support/chance.ts";

const APPS = new URL("./fixtures/queue-apps.js", import.meta.url);
const PORT = 7;
const SMALL = { connections: 2048, timeWaits: 4096, sockets: 64 };

const made: Network[] = [];

async function closeAll(): Promise<void> {
  await Promise.all(made.splice(0).map((net) => net.close()));
}

interface Lab {
  net: Network;
  server: Host;
  client: Host;
  words: Int32Array;
}

function lab(server: Partial<HostOptions>, client: Partial<HostOptions>): Lab {
  const net = createNetwork({ seed: 1 });
  made.push(net);
  const bridge = net.bridge("lan");
  return {
    net,
    server: net.host("server", { bridge, address: "10.0.0.1/24", stack: SMALL, ...server }),
    client: net.host("client", { bridge, address: "10.0.0.2/24", stack: SMALL, ...client }),
    words: new Int32Array(new SharedArrayBuffer(16)),
  };
}

/** Starts an echo server on each of the server's stacks, then a client on each of the client's. */
async function run(
  { net, server, client, words }: Lab,
  connections: number,
  rounds: number,
  seed: number,
  meanwhile: () => void = () => {},
): Promise<{ served: Served[]; talked: Talked[] }> {
  const servers = server.stacks.map((at) =>
    net.spawn<Served>(at, APPS, { name: "serve", args: { port: PORT, words } }),
  );
  await net.until(() => Atomics.load(words, READY) === servers.length, { timeout: "20s" });
  const clients = client.stacks.map((at, i) => {
    const args = { address: server.address, port: PORT, connections, rounds, seed: seed + i, words };
    return net.spawn<Talked>(at, APPS, { name: "talk", args });
  });
  const talking = Promise.all(clients);
  while (Atomics.load(words, DONE) < clients.length) {
    meanwhile();
    const over = await Promise.race([talking.then(() => true), new Promise<false>((r) => setTimeout(r, 2, false))]);
    if (over) break;
  }
  const talked = await talking;
  Atomics.store(words, STOP, 1);
  return { served: await Promise.all(servers), talked };
}

function expectAllGood({ served, talked }: { served: Served[]; talked: Talked[] }): void {
  for (const { errors, wrong } of talked) expect({ errors, wrong }).to.deep.equal({ errors: {}, wrong: 0 });
  const sum = (numbers: number[]): number => numbers.reduce((all, n) => all + n, 0);
  expect(sum(served.map(({ bytes }) => bytes))).to.equal(sum(talked.map(({ bytes }) => bytes)));
  expect(sum(served.map(({ connections }) => connections))).to.equal(sum(talked.map(({ connected }) => connected)));
}

describe("stacks of one host in threads of their own", function () {
  this.timeout(90_000);
  afterEach(closeAll);

  it("share a listening port by RSS, each its connections", async () => {
    const all = lab({ stacks: 2 }, { stacks: 2 });
    const result = await run(all, 20, 30, 1);
    expectAllGood(result);
    for (const { connections } of result.served) expect(connections).to.be.above(8);
  });

  it("serve with more threads than the NIC has queues", async () => {
    const all = lab({ stacks: 3, queues: 1 }, { stacks: 1 });
    const result = await run(all, 30, 20, 2);
    expectAllGood(result);
    for (const { connections } of result.served) expect(connections).to.be.above(3);
    expect(all.server.counters().steer.out).to.be.above(500);
  });

  it("lose no connection while the redirection tables of both move under load", async () => {
    const seed = seedOf(3);
    const dice = chance(seed);
    const all = lab({ stacks: 2 }, { stacks: 2 });
    let moves = 0;
    const result = await run(all, 25, 60, seed, () => {
      for (const { nic } of [all.server, all.client]) {
        nic.rss.setReta(Object.fromEntries(Array.from({ length: 16 }, () => [dice(128), dice(2)])));
        moves++;
      }
    });
    expectAllGood(result);
    expect(moves).to.be.above(20);
    const { out, in: taken, drops } = all.server.counters().steer;
    expect(out).to.be.above(200);
    expect(taken! + drops!).to.be.at.least(out! - 64);
    for (const host of [all.server, all.client]) {
      expect(host.counters().tcp.estabResets, `${host.name}: resets`).to.equal(0);
    }
  });
});

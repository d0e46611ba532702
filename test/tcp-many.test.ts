// More connections than caches hold, where a burst's look-ups are made ready beforehand: nothing goes to another one's
// socket, whatever else is in the burst and whatever comes and goes.
// Read first: assembly/flow.ts, assembly/net/warm.ts.

import { expect } from "chai";
import { AF_INET, createNetwork, type Network, type Posix, SOCK_NONBLOCK, SOCK_STREAM } from "../host/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { listener, ok } from "./support/sockets.ts";

const FLOWS = 1500;
const PORT = 7;
const SERVER = "10.0.0.1";

interface Flow {
  client: number;
  server: number;
  /** What is under way to the server. */
  asked: number;
}

interface World {
  net: Network;
  client: Posix;
  server: Posix;
  listening: number;
}

function world(seed: number): World {
  const net = createNetwork({ seed, time: "virtual" });
  const bridge = net.bridge("lan");
  const stack = { connections: FLOWS + 8, timeWaits: 256 };
  const server = net.host("server", { bridge, address: `${SERVER}/24`, stack }).posix;
  const client = net.host("client", { bridge, address: "10.0.0.2/24", stack }).posix;
  net.settle();
  return { net, client, server, listening: listener(server, PORT, 64) };
}

function connect({ net, client, server, listening }: World): Flow {
  const fd = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  client.connect(fd, { address: SERVER, port: PORT });
  net.settle();
  return { client: fd, server: ok(server.accept4(listening, null, SOCK_NONBLOCK)), asked: 0 };
}

describe("many connections", function () {
  this.timeout(20_000);

  it(`${FLOWS} of them, asked in bursts while others end and begin: each gets its own answers`, async () => {
    const seed = seedOf(0x4d41);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const all = world(seed);
    const { net, client, server } = all;
    const flows = Array.from({ length: FLOWS }, () => connect(all));
    expect(net.hosts[0]!.stack.core.currEstab()).to.equal(FLOWS);
    const word = Buffer.alloc(4);
    let answers = 0;
    for (let round = 0; round < 100; round++) {
      const burst = new Set(Array.from({ length: 1 + random(60) }, () => flows[random(FLOWS)]!));
      for (const flow of burst) {
        word.writeUInt32LE((flow.asked = random(0x100000000)));
        expect(client.send(flow.client, word)).to.equal(4);
      }
      net.settle();
      for (const flow of burst) {
        expect(server.recv(flow.server, word)).to.equal(4);
        expect(word.readUInt32LE()).to.equal(flow.asked);
        word.writeUInt32LE(~flow.asked >>> 0);
        expect(server.send(flow.server, word)).to.equal(4);
      }
      net.settle();
      for (const flow of burst) {
        expect(client.recv(flow.client, word)).to.equal(4);
        expect(word.readUInt32LE()).to.equal(~flow.asked >>> 0);
        answers++;
      }
      // Time for the ACKs that go alone, all at once; then some end, by either side, and their places are taken.
      if (round % 3 === 0) net.advance("50ms");
      for (let i = 0; i < 5; i++) {
        const at = random(FLOWS);
        const { client: mine, server: its } = flows[at]!;
        const ends = [() => client.close(mine), () => server.close(its)];
        for (const end of random(2) === 0 ? ends : ends.reverse()) {
          end();
          net.settle();
        }
        flows[at] = connect(all);
      }
    }
    expect(answers).to.be.greaterThan(1000);
    const counters = net.hosts.map((host) => host.counters().tcp);
    for (const tcp of counters) expect([tcp.retransSegs, tcp.outRsts, tcp.inErrs]).to.deep.equal([0, 0, 0]);
    for (const flow of flows) client.close(flow.client);
    net.settle();
    for (const flow of flows) server.close(flow.server);
    net.advance("200s");
    expect(net.hosts.map((host) => host.pools().tcb!.used)).to.deep.equal([1, 0]);
    await net.close();
  });
});

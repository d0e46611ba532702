// Caches of freed mbufs in front of an RX queue's pool, in one thread and simulated time, so that each step can be
// checked. Read first: assembly/memory/rx-cache.ts. mbuf-pressure.test.ts has them between real threads.

import { expect } from "chai";
import { createNetwork, type Host, type Network } from "../host/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { datagramSocket, pattern } from "./support/sockets.ts";

const SIZE = 8;
const MBUFS = 32;
/** Words of a cache: see RxCache. */
const COUNT = 2;
const LIMIT = 3;
const OFF = 1;
/** Payload of a datagram that takes five mbufs. */
const LARGE = 8900;

interface Lab {
  net: Network;
  client: Host;
  server: Host;
  /** Sends datagrams to the server, of one mbuf or of five. */
  send: (count: number, size?: number) => void;
  /** A step, with the beat that a thread of its own would make for the server's cache. */
  beat: () => number;
  /** A word of the server's cache. */
  word: (index: number) => number;
}

const made: Network[] = [];

function lab(): Lab {
  const net = createNetwork({ seed: 1, time: "virtual" });
  made.push(net);
  const bridge = net.bridge("lan");
  const options = { bridge, mtu: 9000, flowControl: false, stack: { connections: 16, sockets: 16 } };
  const client = net.host("client", { ...options, address: "10.0.0.1/24" });
  const server = net.host("server", { ...options, address: "10.0.0.2/24", ringSize: 16, rxMbufs: MBUFS });
  const from = datagramSocket(client.posix, 9);
  const to = { address: server.address, port: 9 };
  const send = (count: number, size = 10): void => {
    for (let i = 0; i < count; i++) client.posix.sendto(from, pattern(size), 0, to);
  };
  send(1);
  net.settle();
  const { nic } = server;
  server.stack.core.rxCacheUse(nic.poolAddress(0), nic.queues, nic.cachesAddress(0), SIZE);
  const word = (index: number): number => new Uint32Array(net.memory.buffer, nic.cachesAddress(0), 8)[index]!;
  const beat = (): number => {
    const work = net.step();
    server.stack.core.rxCacheBeat();
    return work;
  };
  return { net, client, server, send, beat, word };
}

/** Beats until nothing happens any more. */
function settle({ beat }: Lab): void {
  while (beat() > 0);
}

/** Takes what the client has sent off the server's queue, many times over: nothing is lost, nothing counts twice. */
async function expectWhole({ net, server }: Lab, where: string): Promise<void> {
  expect((await net.audit()).mbufs, `${where}: mbufs that belong to nobody`).to.equal(0);
  expect(server.nic.mbufsInUse()[0], where).to.be.at.least(server.nic.pending(0));
  if (server.nic.pending(0) === 0) expect(server.nic.mbufsInUse(), where).to.deep.equal([0]);
}

describe("caches of freed mbufs", () => {
  afterEach(() => Promise.all(made.splice(0).map((net) => net.close())));

  it("give back many at a time", async () => {
    const all = lab();
    for (let i = 1; i < SIZE; i++) {
      all.send(1);
      settle(all);
      expect(all.word(COUNT)).to.equal(i);
    }
    await expectWhole(all, "full but for one");
    all.send(1);
    settle(all);
    expect(all.word(COUNT), "all at once").to.equal(0);
  });

  it("are off and swept when the pool has run out, and on again when it has been well for a while", async () => {
    const all = lab();
    all.send(3);
    settle(all);
    expect([all.word(COUNT), all.word(LIMIT)]).to.deep.equal([3, SIZE]);
    // Five and five: the seventh finds too few.
    all.send(7, LARGE);
    all.client.stack.core.poll(all.net.now());
    expect(all.word(LIMIT)).to.equal(OFF);
    expect(all.server.xstats().rx_mbuf_shortages).to.be.above(0);
    settle(all);
    expect(all.word(COUNT)).to.equal(0);
    expect(all.server.counters().mbuf.cacheSweeps).to.equal(1);
    await expectWhole(all, "swept");
    all.send(2);
    settle(all);
    expect([all.word(COUNT), all.word(LIMIT)], "each goes back at once").to.deep.equal([0, OFF]);
    all.net.advance("49ms");
    all.beat();
    expect(all.word(LIMIT)).to.equal(OFF);
    all.net.advance("3ms");
    all.beat();
    expect(all.word(LIMIT)).to.equal(SIZE);
    all.send(2);
    settle(all);
    expect(all.word(COUNT)).to.equal(2);
    expect(all.server.counters().mbuf.cacheSweeps).to.equal(1);
  });

  it("stay off while the pool is short again and again", () => {
    const all = lab();
    for (let i = 0; i < 10; i++) {
      all.send(7, LARGE);
      settle(all);
      all.net.advance("30ms");
      expect(all.word(LIMIT)).to.equal(OFF);
    }
    expect(all.server.counters().mbuf.cacheSweeps).to.equal(1);
  });

  it("give back everything when their thread lets go of the stack", async () => {
    const all = lab();
    all.send(5);
    settle(all);
    all.server.stack.core.rxCacheUse(0, 0, 0, 0);
    expect([all.word(COUNT), all.word(LIMIT)]).to.deep.equal([0, 0]);
    await expectWhole(all, "let go");
    all.send(12);
    settle(all);
    expect(all.word(COUNT)).to.equal(0);
  });

  it("of a stack that has trapped are taken back", async () => {
    const all = lab();
    all.send(5);
    settle(all);
    expect(all.word(COUNT)).to.equal(5);
    // The pool of its packets says that an element is free which is none.
    const { base } = all.server.stack.place;
    new Uint32Array(all.net.memory.buffer, base + 256, 1)[0] = base;
    const socket = datagramSocket(all.server.posix, 10);
    expect(() => {
      all.server.posix.sendto(socket, pattern(10), 0, { address: "10.0.0.1", port: 9 });
    }).to.throw();
    all.server.first.fail(new WebAssembly.RuntimeError("unreachable"));
    expect(all.word(COUNT)).to.equal(0);
    expect((await all.net.audit()).mbufs).to.equal(0);
    expect(all.server.nic.mbufsInUse()).to.deep.equal([0]);
  });

  const seed = seedOf(20251125);
  it(`hold every mbuf to account in 1,500 random steps of seed ${seed}`, async () => {
    const dice = chance(seed);
    const all = lab();
    let switches = 0;
    let was = all.word(LIMIT);
    for (let step = 0; step < 1500; step++) {
      const isRough = step % 300 < 150;
      const what = dice(8);
      if (what < 4) all.send(1 + dice(isRough ? 12 : 3), isRough && dice(2) === 0 ? LARGE : 10 + dice(100));
      else if (what === 4) all.client.stack.core.poll(all.net.now());
      else if (what < 7) all.beat();
      else all.net.advance(dice(isRough ? 2000 : 20_000));
      if (all.word(LIMIT) !== was) switches++;
      was = all.word(LIMIT);
      await expectWhole(all, `step ${step} of seed ${seed}`);
    }
    expect(switches, "off and on again").to.be.above(5);
    settle(all);
    await expectWhole(all, "at the end");
  });
});

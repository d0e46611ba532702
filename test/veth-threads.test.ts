// NICs and bridges under several real threads: every frame arrives exactly once, each sender's frames in order, no
// wake-up is lost, no mbuf stays out. Read first: assembly/memory/ring.ts; veth/datapath/burst.ts.

import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { coreModules } from "../host/core.ts";
import { Capture, type UserVeth } from "../veth/index.ts";
import type { Consume, Job, Produce, Seen } from "./fixtures/veth-worker.ts";
import { BROADCAST_MAC } from "./support/frames.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";

const PROGRAM = new URL("./fixtures/veth-worker.js", import.meta.url);

interface Running {
  /** The worker has begun. */
  ready: Promise<void>;
  done: Promise<Seen>;
}

/** Starts a worker. */
function start(lab: Lab, nic: UserVeth, task: Partial<Produce> | Partial<Consume>): Running {
  const defaults = {
    count: 1,
    queue: 0,
    burst: 32,
    pauseMicros: 0,
    from: [nic.mac],
    to: [],
    doorbell: 0,
    clock: false,
  };
  const job = { modules: coreModules(), share: lab.share(), nic: nic.describe(), ...defaults, ...task } as Job;
  const worker = new Worker(PROGRAM, { workerData: job });
  const done = new Promise<Seen>((resolve, reject) => {
    worker.on("message", (seen: Seen | "ready") => {
      if (seen !== "ready") void worker.terminate().then(() => resolve(seen));
    });
    worker.once("error", reject);
  });
  return { done, ready: new Promise((resolve) => worker.once("message", () => resolve())) };
}

/** Expects that a consumer saw frames 0 to count - 1 of each sender once, in order. */
function expectAll(seen: readonly Seen[], senders: readonly UserVeth[], count: number): void {
  for (const sender of senders) {
    const last = parseInt(sender.mac.slice(-2), 16);
    const numbers = seen.flatMap((one) => [...one.numbers].filter((_, i) => one.senders[i] === last));
    expect(numbers.length).to.equal(count);
    for (const one of seen) {
      const mine = [...one.numbers].filter((_, i) => one.senders[i] === last);
      for (let i = 1; i < mine.length; i++) expect(mine[i]! > mine[i - 1]!, `frame ${mine[i]} in order`).to.be.true;
    }
    expect(new Set(numbers).size).to.equal(count);
  }
}

describe("NICs under several threads", function () {
  this.timeout(60000);

  it("two senders, one receiver, each in a thread, over a bridge: every frame once, in order", async () => {
    const lab = new Lab();
    const bridge = lab.bridge();
    const [a, b, c] = [lab.nic(), lab.nic(), lab.nic({ ringSize: 64 })];
    for (const nic of [a, b, c]) bridge.plug(nic);
    // The bridge knows the receiver: flow control holds for a frame to one port, not for one that is flooded.
    c.send(numbered(c.mac, BROADCAST_MAC, 0), 0);
    for (const nic of [a, b]) receiveAll(nic);
    const count = 60000;
    const receiver = start(lab, c, { kind: "consume", count: 2 * count });
    await receiver.ready;
    const senders = [
      start(lab, a, { kind: "produce", to: [c.mac], count, burst: 32 }),
      start(lab, b, { kind: "produce", to: [c.mac], count, burst: 7 }),
    ];
    const [seen] = await Promise.all([receiver, ...senders].map(({ done }) => done));
    expectAll([seen!], [a, b], count);
    expect(c.pending(0)).to.equal(0);
    expect(c.mbufsInUse()).to.deep.equal([0]);
    expect(c.xstats()).to.include({ rx_missed_errors: 0, rx_mbuf_allocation_errors: 0, rx_good_packets: 2 * count });
    expect(a.xstats().tx_good_packets).to.equal(count);
  });

  it("two threads with a TX queue each on one NIC, a receiver asleep between frames: no lost wake-up", async () => {
    const lab = new Lab();
    const [a, b] = lab.pair({ queues: 2 });
    const doorbell = lab.allocate(64);
    b.setDoorbell(0, doorbell);
    const count = 4000;
    const receiver = start(lab, b, { kind: "consume", count: 2 * count, doorbell });
    await receiver.ready;
    const task = { kind: "produce", to: [b.mac], count, burst: 1, pauseMicros: 60 } as const;
    const senders = [0, 1].map((queue) => start(lab, a, { ...task, queue }));
    const [seen] = (await Promise.all([receiver, ...senders].map(({ done }) => done))) as [Seen];
    expect(seen.lost).to.equal(0);
    expect(seen.sleeps).to.be.above(0);
    const times = new Map<number, number>();
    for (const number of seen.numbers) times.set(number, (times.get(number) ?? 0) + 1);
    expect(times.size).to.equal(count);
    for (const [number, seenTimes] of times) expect(seenTimes, `frame ${number}`).to.equal(2);
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("two threads sending to each other while the main thread changes links, rules and the bridge", async () => {
    const lab = new Lab();
    const bridge = lab.bridge({ entries: 64 });
    const [a, b, other] = [lab.nic({ queues: 2 }), lab.nic({ queues: 2 }), lab.nic()];
    for (const nic of [a, b]) bridge.plug(nic);
    const links = [a, b].flatMap((nic) => [nic.setLink("toWire", { seed: 1 }), nic.setLink("toHost", { seed: 2 })]);
    const stations = (place: number): string[] =>
      Array.from({ length: 30 }, (_, i) => `02:00:00:0${place}:00:${10 + i}`);
    const task = { kind: "produce", count: 30000, clock: true } as const;
    const tasks = [
      start(lab, a, { ...task, from: [...stations(1), a.mac], to: [b.mac, BROADCAST_MAC] }),
      start(lab, b, { ...task, from: [...stations(2), b.mac], to: [a.mac, ...stations(1)] }),
    ];
    let done = false;
    const all = Promise.all(tasks.map((task) => task.done)).finally(() => (done = true));
    const flow = { protocol: "udp", source: 1, sourcePort: 1, destination: 2, destinationPort: 2 } as const;
    let received = 0;
    for (let turn = 0; !done; turn++) {
      const now = (performance.timeOrigin + performance.now()) * 1000;
      links[turn & 3]!.set({
        loss: (turn % 5) / 10,
        delay: (turn % 3) * 50,
        jitter: turn % 40,
        duplicate: (turn % 4) / 20,
      });
      if (turn % 7 === 0) bridge.flush();
      if (turn % 5 === 0) bridge.plug(other);
      if (turn % 5 === 3) bridge.unplug(other);
      a.director.add({ ...flow, sourcePort: turn % 50 }, turn & 1);
      a.director.remove({ ...flow, sourcePort: (turn + 25) % 50 });
      for (const link of links) link.poll(now);
      for (const nic of [a, b]) for (const queue of [0, 1]) received += receiveAll(nic, now, queue).length;
      receiveAll(other, now);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
    for (const link of links) link.set({ delay: 0, jitter: 0 });
    const end = (performance.timeOrigin + performance.now()) * 1000 + 1e6;
    for (let i = 0; links.some((link) => link.inFlight > 0); i++) {
      for (const link of links) link.poll(end + i * 20);
      for (const nic of [a, b]) for (const queue of [0, 1]) received += receiveAll(nic, end + i * 20, queue).length;
    }
    for (const nic of [a, b]) for (const queue of [0, 1]) received += receiveAll(nic, end + 1e6, queue).length;
    receiveAll(other);
    for (const link of links) {
      const c = link.counters();
      expect(c.offered).to.be.above(0);
      expect(c.delivered).to.equal(c.offered - c.lost - c.bufferDrops + c.duplicated);
    }
    for (const nic of [a, b, other]) expect(nic.mbufsInUse().every((used) => used === 0)).to.be.true;
    // Whatever came out of the links to the hosts was received, or its loss was counted.
    const out = [a, b].map((nic) => nic.links.toHost!.counters().delivered);
    const lost = [a, b].map((nic) => {
      const { rx_filtered_packets: filtered, rx_missed_errors: missed, rx_mbuf_allocation_errors: none } = nic.xstats();
      return filtered! + missed! + none!;
    });
    expect(received).to.equal(out[0]! + out[1]! - lost[0]! - lost[1]!);
    expect(received).to.be.above(0);
    for (const { mac, slot } of bridge.table()) {
      if (mac.startsWith("02:00:00:01")) expect(slot).to.equal(0);
      if (mac.startsWith("02:00:00:02")) expect(slot).to.equal(1);
    }
  });

  it("two senders, one capture ring: every frame whole, each sender's in order, the others counted", async () => {
    for (const size of ["64KiB", "16MiB"]) await captureTwo(size);
  });

  /** Two senders captured into a ring of some size; the larger one holds everything. */
  async function captureTwo(size: string): Promise<void> {
    const lab = new Lab();
    const [a, b] = [lab.nic(), lab.nic()];
    const [sinkA, sinkB] = [lab.nic({ promiscuous: true }), lab.nic({ promiscuous: true })];
    const bridges = [lab.bridge(), lab.bridge()];
    for (const nic of [a, sinkA]) bridges[0]!.plug(nic);
    for (const nic of [b, sinkB]) bridges[1]!.plug(nic);
    const capture = Capture.create(lab, { size });
    for (const nic of [a, b]) nic.setCapture(capture);
    const count = 20000;
    let done = false;
    const tasks = [a, b].map((nic) => start(lab, nic, { kind: "produce", to: [BROADCAST_MAC], count }));
    const all = Promise.all(tasks.map((task) => task.done)).finally(() => (done = true));
    const numbers = new Map([
      [a.index, [] as number[]],
      [b.index, [] as number[]],
    ]);
    const collect = (): void => {
      for (const { port, data } of capture.drain()) {
        const number = numberOf(data);
        expect(data.length).to.equal(60 + (number % 200));
        expect(data[11]).to.equal(port);
        numbers.get(port)!.push(number);
      }
    };
    while (!done) {
      collect();
      receiveAll(sinkA);
      receiveAll(sinkB);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
    collect();
    expect([...numbers.values()].reduce((sum, list) => sum + list.length, 0) + capture.dropped).to.equal(2 * count);
    if (size === "16MiB") expect(capture.dropped).to.equal(0);
    for (const list of numbers.values()) {
      for (let i = 1; i < list.length; i++) expect(list[i]! > list[i - 1]!).to.be.true;
    }
    expect(capture.received).to.be.above(0);
  }
});

// What a thread leaves that dies between two steps of an operation, made by hand, and how it is put in order.
// Read first: veth/datapath/reclaim.ts, link-repair.ts; assembly/memory/ring.ts and pool.ts for the steps.

import { expect } from "chai";
import {
  BRIDGE_MAC_TABLE,
  CACHE_SPREAD,
  MAC_ENTRY_BYTES,
  MBUF_BYTES,
  PORT_DIRECTOR,
  PORT_RX_QUEUES,
  RXQ_POOL,
  RXQ_RING,
} from "../assembly/layout.ts";
import { Capture, type UserVeth } from "../veth/index.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";

const DEAD = 77;
/** Offsets in a ring, in a pool, in a link, in a flow director: see their classes. */
const RING_HEAD = 0;
const RING_TAIL = CACHE_SPREAD;
const RING_SLOTS = 2 * CACHE_SPREAD;
const POOL_BASE = 8;
const POOL_CARVED = 20;
const LINK_LOCK = 4;
const LINK_HEAP = 24;
const LINK_HEAP_COUNT = 28;
const DIRECTOR_EXACT = 12;
const DIRECTOR_LISTENING = 16;

function words(lab: Lab): Uint32Array {
  return new Uint32Array(lab.memory.buffer);
}

function send(from: UserVeth, to: UserVeth, numbers: readonly number[]): void {
  for (const number of numbers) expect(from.send(numbered(from.mac, to.mac, number), 0)).to.be.true;
}

function arrived(nic: UserVeth): number[] {
  return receiveAll(nic).map(({ data }) => numberOf(data));
}

function queueAddress(lab: Lab, nic: UserVeth): number {
  return words(lab)[(nic.handle + PORT_RX_QUEUES) / 4] as number;
}

/** Lost mbufs of a NIC with one queue and no software queues. */
function sweep(lab: Lab, nic: UserVeth, frees: boolean): number {
  const bits = lab.allocate(65536);
  return lab.exports.poolSweep(nic.handle, 0, 0, 0, 0, bits, Number(frees));
}

describe("a sender that dies", () => {
  it("between reserving slots of a ring and filling them: what others send behind the gap arrives in order", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    send(a, b, [1, 2]);
    const ring = words(lab)[(queueAddress(lab, b) + RXQ_RING) / 4] as number;
    const head = (ring + RING_HEAD) / 4;
    words(lab)[head] = (words(lab)[head] as number) + 3;
    send(a, b, [3, 4]);
    expect(arrived(b), "nothing behind the gap").to.deep.equal([1, 2]);
    expect(lab.exports.rxQueueGaps(b.handle, 0)).to.equal(3);
    expect(lab.exports.rxQueueRepair(b.handle, 0)).to.equal(3);
    expect(lab.exports.rxQueueGaps(b.handle, 0)).to.equal(0);
    expect(arrived(b)).to.deep.equal([3, 4]);
    send(a, b, [5]);
    expect(arrived(b)).to.deep.equal([5]);
    expect(sweep(lab, b, false)).to.equal(0);
  });

  it("with mbufs of its receiver in its hands: the pool gets them back, and only them", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({}, { ringSize: 16, mbufs: 32 });
    for (let i = 0; i < 8; i++) {
      send(a, b, [i]);
      arrived(b);
    }
    const pool = queueAddress(lab, b) + RXQ_POOL;
    const memory = words(lab);
    // One on its way out, marked as free still, one in use; one carved and never handed out.
    const take = (): number => {
      const element = memory[pool / 4] as number;
      memory[pool / 4] = memory[element / 4] as number;
      memory[pool / 4 + 1] = (memory[pool / 4 + 1] as number) + 1;
      return element;
    };
    take();
    const used = memory[(pool + POOL_CARVED) / 4] as number;
    memory[(pool + POOL_CARVED) / 4] = used + 1;
    const carved = (memory[(pool + POOL_BASE) / 4] as number) + used * MBUF_BYTES;
    expect(memory[carved / 4 + 1], "never used").to.equal(0);
    send(a, b, [100, 101]);
    expect(sweep(lab, b, false), "lost").to.equal(2);
    expect(sweep(lab, b, true)).to.equal(2);
    expect(sweep(lab, b, false)).to.equal(0);
    expect(arrived(b), "what waits in the ring was left alone").to.deep.equal([100, 101]);
    expect(b.mbufsInUse()).to.deep.equal([0]);
    // All 32 are there: that many arrive at once, and come back.
    for (let round = 0; round < 4; round++) {
      send(a, b, [...Array(16).keys()]);
      expect(arrived(b)).to.have.lengthOf(16);
    }
    expect(sweep(lab, b, false)).to.equal(0);
  });

  it("with a link locked and its heap in disorder: the frames under way arrive, no buffer is lost", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const link = a.setLink("toWire", { delay: "1ms", buffers: 16 });
    for (let i = 0; i < 10; i++) a.send(numbered(a.mac, b.mac, i), i * 10);
    const memory = words(lab);
    const heap = (memory[(link.handle + LINK_HEAP) / 4] as number) / 4;
    // In the middle of a swap: an entry stands twice, another not at all; and the heap is out of order.
    for (let k = 0; k < 4; k++) memory[heap + 3 * 4 + k] = memory[heap + 7 * 4 + k] as number;
    for (let k = 0; k < 4; k++) {
      const first = memory[heap + k] as number;
      memory[heap + k] = memory[heap + 9 * 4 + k] as number;
      memory[heap + 9 * 4 + k] = first;
    }
    memory[(link.handle + LINK_LOCK) / 4] = DEAD;
    expect(lab.exports.linkRecover(link.handle, DEAD + 1), "somebody else's lock").to.equal(0);
    expect(lab.exports.linkRecover(link.handle, DEAD)).to.equal(1);
    expect(memory[(link.handle + LINK_LOCK) / 4]).to.equal(0);
    expect(link.inFlight).to.equal(9);
    expect(link.nextDue).to.equal(1000);
    link.poll(2000);
    const numbers = arrived(b);
    expect(numbers).to.have.lengthOf(9);
    expect(
      [...numbers].sort((x, y) => x - y),
      "in the order in which they were due",
    ).to.deep.equal(numbers);
    expect(memory[(link.handle + LINK_HEAP_COUNT) / 4]).to.equal(0);
    // All 16 buffers serve again.
    for (let i = 0; i < 16; i++) a.send(numbered(a.mac, b.mac, i), 3000);
    expect(link.inFlight).to.equal(16);
    expect(link.counters().bufferDrops).to.equal(0);
    link.poll(5000);
    expect(arrived(b)).to.deep.equal([...Array(16).keys()]);
  });

  it("with a record of a capture that it has not completed: the reader goes on", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const capture = Capture.create(lab, { size: "64KiB" });
    a.setCapture(capture);
    send(a, b, [1]);
    const head = (capture.handle + CACHE_SPREAD) / 4;
    words(lab)[head] = (words(lab)[head] as number) + 96;
    send(a, b, [2]);
    expect(capture.drain().map(({ data }) => numberOf(data))).to.deep.equal([1]);
    expect(lab.exports.captureRepair(capture.handle)).to.equal(96 + 88);
    for (let i = 3; i < 2000; i++) {
      send(a, b, [i]);
      arrived(b);
      expect(capture.drain().map(({ data }) => numberOf(data))).to.deep.equal([i]);
    }
  });

  it("with the flow director locked, or rules counted wrong", () => {
    const lab = new Lab();
    const nic = lab.nic({ queues: 4 });
    const flow = { protocol: "tcp", source: "10.0.0.2", sourcePort: 5, destination: "10.0.0.1" } as const;
    for (let i = 0; i < 5; i++) expect(nic.director.add({ ...flow, destinationPort: i }, i % 4)).to.equal(0);
    expect(nic.director.listen("udp", 53, 2)).to.equal(0);
    const director = words(lab)[(nic.handle + PORT_DIRECTOR) / 4] as number;
    words(lab)[director / 4] = DEAD;
    words(lab)[(director + DIRECTOR_EXACT) / 4] = 4;
    words(lab)[(director + DIRECTOR_LISTENING) / 4] = 2;
    expect(lab.exports.ruleRecover(nic.handle, DEAD)).to.equal(1);
    expect(nic.director.count).to.equal(6);
    expect(lab.exports.rulesOfQueue(nic.handle, 0, 0)).to.equal(2);
    expect(lab.exports.rulesOfQueue(nic.handle, 0, 1)).to.equal(2);
    expect(nic.director.count).to.equal(4);
    expect(nic.director.add({ ...flow, destinationPort: 9 }, 1)).to.equal(0);
  });

  it("with entries of a bridge's table claimed: they serve again", () => {
    const lab = new Lab();
    const bridge = lab.bridge({ entries: 8 });
    const [a, b] = [lab.nic(), lab.nic()];
    bridge.plug(a);
    bridge.plug(b);
    const table = words(lab)[(bridge.handle + BRIDGE_MAC_TABLE) / 4] as number;
    for (let i = 0; i < 8; i++) {
      words(lab)[(table + i * MAC_ENTRY_BYTES) / 4] = 0xffffffff;
      words(lab)[(table + i * MAC_ENTRY_BYTES) / 4 + 1] = 0xffffffff;
    }
    send(a, b, [1]);
    expect(bridge.counters().learned).to.equal(0);
    expect(lab.exports.bridgeRepair(bridge.handle)).to.equal(8);
    send(a, b, [2]);
    expect(bridge.counters().learned).to.equal(1);
  });
});

describe("a receiver that dies", () => {
  it("between clearing slots of its ring and saying so: the ring goes on, the packets are lost and found", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    send(a, b, [1, 2, 3, 4]);
    const memory = words(lab);
    const ring = memory[(queueAddress(lab, b) + RXQ_RING) / 4] as number;
    const tail = memory[(ring + RING_TAIL) / 4] as number;
    for (let i = 0; i < 2; i++) memory[(ring + RING_SLOTS) / 4 + tail + i] = 0;
    expect(arrived(b)).to.deep.equal([]);
    expect(lab.exports.rxQueueRepair(b.handle, 0)).to.equal(2);
    expect(sweep(lab, b, true)).to.equal(2);
    expect(arrived(b)).to.deep.equal([3, 4]);
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("leaves a closed queue: senders are not stopped, what comes is dropped and counted", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    send(a, b, [1, 2]);
    lab.exports.rxQueueOpen(b.handle, 0, 0);
    expect(lab.exports.rxQueueIsOpen(b.handle, 0)).to.equal(0);
    send(a, b, [3, 4, 5]);
    expect(b.xstats().rx_down_packets).to.equal(3);
    expect(lab.exports.rxQueueDrain(b.handle, 0, lab.allocate(65536))).to.equal(2);
    expect(b.mbufsInUse()).to.deep.equal([0]);
    lab.exports.rxQueueOpen(b.handle, 0, 1);
    send(a, b, [6]);
    expect(arrived(b)).to.deep.equal([6]);
  });
});

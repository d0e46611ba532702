// A NIC by itself, on a cable: what it takes, what it drops and counts, room, flow control, its life.
// Read first: veth/datapath/receive.ts, transmit.ts; DPDK rte_eth_stats.

import { expect } from "chai";
import { DOORBELL_SLEEPING, EINVAL, MBUF_DATA_ROOM, PAUSE_MICROS_MAX } from "../assembly/layout.ts";
import { connectCable, disconnectCable, UserVeth, VethError } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { BROADCAST_MAC, ether, ipv4, pattern, udp } from "./support/frames.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";

describe("a user-veth on a cable", () => {
  it("carries frames of every length, byte for byte", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const random = chance(seedOf(11));
    const lengths = [
      ...Array.from({ length: 300 }, (_, i) => 14 + i),
      1513,
      1514,
      1518,
      ...Array.from({ length: 50 }, () => 14 + random(1500)),
    ];
    for (const length of lengths) {
      const frame = pattern(length, length);
      frame.set(numbered(a.mac, b.mac, 0, 18).subarray(0, 14), 0);
      expect(a.send(frame, 0)).to.be.true;
      const [packet, ...more] = receiveAll(b);
      expect(more).to.deep.equal([]);
      expect(Buffer.from(packet!.data).equals(Buffer.from(frame)), `${length} bytes`).to.be.true;
      expect(packet).to.include({ port: b.index, queue: 0, segments: 1 });
    }
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("keeps the order, over many turns of the ring", () => {
    const [a, b] = new Lab().pair({}, { ringSize: 16 });
    let next = 0;
    for (let number = 0; number < 1000; number++) {
      expect(a.send(numbered(a.mac, b.mac, number), 0)).to.be.true;
      if (number % 7 === 6) for (const packet of receiveAll(b)) expect(numberOf(packet.data)).to.equal(next++);
    }
    expect(next).to.be.above(990);
  });

  it("gathers a packet from pieces of any length", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const random = chance(seedOf(12));
    for (let i = 0; i < 200; i++) {
      const whole = pattern(60 + random(1400), i);
      whole.set(numbered(a.mac, b.mac, i, 18), 0);
      const parts: Uint8Array[] = [];
      for (let at = 0; at < whole.length;) {
        const length = Math.min(random(i % 2 === 0 ? 9 : 300), whole.length - at);
        parts.push(whole.slice(at, at + length));
        at += length;
      }
      if (parts.length > 200) continue;
      expect(lab.txBurst(a, [lab.packet(parts)])).to.equal(1);
      const [packet] = receiveAll(b);
      expect(Buffer.from(packet!.data).equals(Buffer.from(whole)), `packet ${i}`).to.be.true;
    }
    expect(lab.packetsInUse).to.equal(0);
  });

  it("scatters a jumbo frame over several mbufs", () => {
    const [a, b] = new Lab().pair({ mtu: 9000 }, { mtu: 9000 });
    for (const length of [MBUF_DATA_ROOM, MBUF_DATA_ROOM + 1, 2 * MBUF_DATA_ROOM, 9018]) {
      const frame = pattern(length);
      frame.set(numbered(a.mac, b.mac, 1, 18), 0);
      expect(a.send(frame, 0)).to.be.true;
      const [packet] = receiveAll(b);
      expect(packet!.segments).to.equal(Math.ceil(length / MBUF_DATA_ROOM));
      expect(Buffer.from(packet!.data).equals(Buffer.from(frame))).to.be.true;
    }
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("takes its own address, groups, and everything only when promiscuous", () => {
    const [a, b] = new Lab().pair();
    const stranger = "02:00:00:00:99:99";
    const send = (to: string): number => {
      a.send(numbered(a.mac, to, 0), 0);
      return receiveAll(b).length;
    };
    expect([b.mac, BROADCAST_MAC, "01:00:5e:00:00:fb", stranger].map(send)).to.deep.equal([1, 1, 1, 0]);
    expect(b.xstats()).to.include({ rx_filtered_packets: 1, rx_good_packets: 3, rx_good_bytes: 192 });
    b.promiscuous = true;
    expect(send(stranger)).to.equal(1);
    b.promiscuous = false;
    expect(send(stranger)).to.equal(0);
  });

  it("drops and counts what is too long, too short or going nowhere", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({ mtu: 1500 }, { mtu: 1000 });
    for (const length of [1018, 1019, 1518, 1519, 14, 13, 1])
      a.send(numbered(a.mac, b.mac, 0, Math.max(length, 18)).subarray(0, length), 0);
    expect(receiveAll(b).map((packet) => packet.data.length)).to.deep.equal([1018, 14]);
    expect(b.xstats()).to.include({ rx_oversize_errors: 2 });
    expect(a.xstats()).to.include({ tx_errors: 2, tx_oversize_errors: 1, tx_good_packets: 7 });

    b.up = false;
    a.send(numbered(a.mac, b.mac, 0), 0);
    expect(b.xstats()).to.include({ rx_down_packets: 1 });
    disconnectCable(lab, a);
    a.send(numbered(a.mac, b.mac, 0), 0);
    expect(a.xstats()).to.include({ tx_no_carrier_packets: 1 });
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("drops a packet whose chain does not hold what its head says", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    for (const parts of [[64], [30, 34], [10, 10, 44]]) {
      const packet = lab.packet(parts.map((length) => numbered(a.mac, b.mac, 0, 64).subarray(0, length)));
      lab.lie(packet, 65);
      expect(lab.txBurst(a, [packet])).to.equal(1);
    }
    expect(a.xstats().tx_errors).to.equal(3);
    expect(receiveAll(b)).to.deep.equal([]);
    expect(lab.packetsInUse).to.equal(0);
  });

  it("sends the shorter part when the head says less than the chain holds", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const packet = lab.packet([numbered(a.mac, b.mac, 5, 40), pattern(40)]);
    lab.lie(packet, 50);
    lab.txBurst(a, [packet]);
    expect(receiveAll(b).map(({ data }) => [data.length, numberOf(data)])).to.deep.equal([[50, 5]]);
  });
});

describe("room in a NIC", () => {
  const RING = 16;

  it("stops the sender with flow control, and nothing is lost", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({}, { ringSize: RING, mbufs: 32 });
    let given = 0;
    const seen: number[] = [];
    for (let turn = 0; turn < 40; turn++) {
      const burst = Array.from({ length: 10 }, (_, i) => lab.packet([numbered(a.mac, b.mac, given + i)]));
      const taken = lab.txBurst(a, burst, turn);
      given += taken;
      expect(lab.packetsInUse).to.equal(burst.length - taken);
      // What is left is the test's: free it by sending it to a port that takes it.
      for (const packet of burst.slice(taken)) lab.lie(packet, 1);
      expect(lab.txBurst(a, burst.slice(taken), turn)).to.equal(burst.length - taken);
      if (turn % 3 === 2) for (const packet of receiveAll(b, turn)) seen.push(numberOf(packet.data));
    }
    for (const packet of receiveAll(b, 41)) seen.push(numberOf(packet.data));
    expect(seen).to.deep.equal(Array.from({ length: given }, (_, i) => i));
    expect(given).to.be.above(150);
    expect(b.xstats()).to.include({ rx_missed_errors: 0, rx_mbuf_allocation_errors: 0 });
    expect(a.xstats().tx_pauses).to.be.above(0);
  });

  it("drops and counts without flow control: no descriptor, or no mbuf", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({ flowControl: false, mtu: 9000 }, { ringSize: RING, mbufs: 20, mtu: 9000 });
    for (let i = 0; i < RING + 5; i++) expect(a.send(numbered(a.mac, b.mac, i), 0)).to.be.true;
    expect(b.pending(0)).to.equal(RING);
    expect(b.xstats()).to.include({ rx_missed_errors: 5 });
    expect(receiveAll(b).map(({ data }) => numberOf(data))).to.deep.equal(Array.from({ length: RING }, (_, i) => i));
    // Five mbufs a frame: the pool has four times as many.
    for (let i = 0; i < 6; i++) expect(a.send(numbered(a.mac, b.mac, i, 9000), 0)).to.be.true;
    expect(b.xstats()).to.include({ rx_missed_errors: 5, rx_mbuf_allocation_errors: 2 });
    expect(receiveAll(b)).to.have.length(4);
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("no longer waits for a receiver that takes nothing for a second, until it takes frames again", () => {
    const [a, b] = new Lab().pair({}, { ringSize: RING });
    for (let i = 0; i < RING; i++) expect(a.send(numbered(a.mac, b.mac, i), 1000)).to.be.true;
    expect(a.send(numbered(a.mac, b.mac, 100), 1000)).to.be.false;
    expect(a.send(numbered(a.mac, b.mac, 100), 1000 + PAUSE_MICROS_MAX - 1)).to.be.false;
    expect(a.send(numbered(a.mac, b.mac, 100), 1000 + PAUSE_MICROS_MAX)).to.be.true;
    expect(a.send(numbered(a.mac, b.mac, 101), 1000 + PAUSE_MICROS_MAX)).to.be.true;
    expect(b.xstats().rx_missed_errors).to.equal(2);
    const later = 2 * PAUSE_MICROS_MAX;
    expect(receiveAll(b, later)).to.have.length(RING);
    for (let i = 0; i < RING; i++) expect(a.send(numbered(a.mac, b.mac, i), later)).to.be.true;
    expect(a.send(numbered(a.mac, b.mac, 102), later)).to.be.false;
    expect(b.xstats().rx_missed_errors).to.equal(2);
  });

  it("does not let one full receiver stop frames that are dropped or flooded", () => {
    const lab = new Lab();
    const bridge = lab.bridge();
    const [a, b, c] = [lab.nic(), lab.nic({ ringSize: RING }), lab.nic()];
    for (const nic of [a, b, c]) bridge.plug(nic);
    for (let i = 0; i < RING + 8; i++) expect(a.send(numbered(a.mac, BROADCAST_MAC, i), 0)).to.be.true;
    expect(receiveAll(c)).to.have.length(RING + 8);
    expect(receiveAll(b)).to.have.length(RING);
    expect(b.xstats().rx_missed_errors).to.equal(8);
  });
});

describe("the life of a NIC", () => {
  it("is the same object in another place: described as plain data and opened again", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({ name: "left", queues: 3 }, {});
    a.setLink("toWire", { loss: 1 });
    const again = UserVeth.attach(lab, structuredClone(a.describe()));
    expect(again).to.include({ name: "left", handle: a.handle, mac: a.mac, mtu: 1500, queues: 3, index: a.index });
    again.send(numbered(a.mac, b.mac, 0), 0);
    expect(again.links.toWire!.counters().lost).to.equal(1);
    again.links.toWire!.set({ loss: 0 });
    a.send(numbered(a.mac, b.mac, 7), 0);
    expect(receiveAll(b).map(({ data }) => numberOf(data))).to.deep.equal([7]);
    expect(a.xstats()).to.deep.equal(again.xstats());
  });

  it("plugs into one thing at a time", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const c = lab.nic();
    const bridge = lab.bridge();
    expect(() => connectCable(lab, a, c))
      .to.throw(VethError, "plugged in already")
      .with.property("code", "ERR_ORIBI_PLUGGED");
    expect(() => connectCable(lab, c, c)).to.throw(VethError);
    expect(() => bridge.plug(b)).to.throw(VethError, "is plugged in already");
    expect(disconnectCable(lab, b)).to.be.true;
    expect(disconnectCable(lab, b)).to.be.false;
    expect(bridge.plug(b)).to.equal(0);
    expect(() => connectCable(lab, a, b)).to.throw(VethError);
  });

  it("gives everything back when it is closed", () => {
    const lab = new Lab();
    const before = lab.regions.usedBytes;
    const bridge = lab.bridge();
    const nics = Array.from({ length: 5 }, () => lab.nic());
    for (const nic of nics) {
      bridge.plug(nic);
      nic.setLink("toHost", { delay: "1ms" });
      nic.send(numbered(nic.mac, BROADCAST_MAC, 0), 0);
      nic.receive(0);
    }
    for (const nic of nics) nic.close();
    nics[0]!.close();
    bridge.close();
    expect(lab.regions.usedBytes).to.equal(before);
  });

  it("rings a doorbell for a sleeper only, once for a burst", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const bell = lab.allocate(8);
    const words = new Int32Array(lab.memory.buffer, bell, 2);
    b.setDoorbell(0, bell);
    a.send(numbered(a.mac, b.mac, 0), 0);
    expect(words[0]).to.equal(0);
    words[DOORBELL_SLEEPING / 4] = 1;
    a.send(numbered(a.mac, b.mac, 0), 0);
    expect(words[0]).to.equal(1);
    lab.txBurst(
      a,
      Array.from({ length: 20 }, (_, i) => lab.packet([numbered(a.mac, b.mac, i)])),
    );
    expect(words[0]).to.equal(2);
    b.setDoorbell(0, 0);
    a.send(numbered(a.mac, b.mac, 0), 0);
    expect(words[0]).to.equal(2);
  });

  it("counts per queue and in all", () => {
    const [a, b] = new Lab().pair({ queues: 2 }, { queues: 2 });
    b.director.listen("udp", 7, 1);
    const frame = (to: number): Uint8Array => ether({ to: b.mac, from: a.mac }, ipv4(udp({ to }, "12345"))).bytes();
    b.rss.setTypes([]);
    a.send(frame(7), 0, { queue: 1 });
    a.send(frame(8), 0, { queue: 0 });
    a.send(frame(7), 0, { queue: 1 });
    receiveAll(b, 0, 0);
    receiveAll(b, 0, 1);
    expect(a.xstats()).to.include({ tx_good_packets: 3, tx_q0_packets: 1, tx_q1_packets: 2, tx_q1_bytes: 94 });
    expect(b.xstats()).to.include({ rx_good_packets: 3, rx_q0_packets: 1, rx_q1_packets: 2, rx_q0_bytes: 47 });
  });

  it("has no rule for a queue that does not exist", () => {
    expect(new Lab().nic({ queues: 2 }).director.listen("tcp", 1, 2)).to.equal(-EINVAL);
  });
});

// The capture tap: what was on the wire at a port, in order, with its time; full rings are counted.
// Read first: veth/datapath/capture.ts; the pcapng draft for what a reader wants to know.

import { expect } from "chai";
import { TX_IP_CSUM, TX_L4_CSUM, TX_VLAN_INSERT } from "../assembly/layout.ts";
import { Capture, type UserVeth } from "../veth/index.ts";
import { PcapngWriter } from "../veth/pcapng.ts";
import { chance } from "./support/chance.ts";
import { BROADCAST_MAC, checksum, ether, ipv4, pattern, pseudoHeader, udp } from "./support/frames.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";
import { needTshark, tsharkFields } from "./support/tshark.ts";

function offloaded(a: UserVeth, b: UserVeth, payload: Uint8Array): { right: Uint8Array; left: Uint8Array } {
  const right = ether({ to: b.mac, from: a.mac }, ipv4(udp({}, payload))).bytes();
  const left = right.slice();
  const view = new DataView(left.buffer);
  view.setUint16(24, 0);
  const pseudo = pseudoHeader({ from: 0x0a000002, to: 0x0a000001 }, 17, left.length - 34);
  view.setUint16(40, ~checksum(pseudo) & 0xffff);
  return { right, left };
}

describe("the capture", () => {
  it("shows a frame at both ends: leaving, then arriving, with its time in nanoseconds", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const capture = Capture.create(lab);
    a.setCapture(capture);
    b.setCapture(capture);
    const frame = numbered(a.mac, b.mac, 7, 100);
    a.send(frame, 1234.567);
    const records = capture.drain();
    expect(records.map(({ port, direction, timeNanos }) => [port, direction, timeNanos])).to.deep.equal([
      [a.index, "outbound", 1234567n],
      [b.index, "inbound", 1234567n],
    ]);
    for (const { data, originalLength } of records) {
      expect([...data]).to.deep.equal([...frame]);
      expect(originalLength).to.equal(100);
    }
    expect([capture.received, capture.dropped]).to.deep.equal([2, 0]);
    a.setCapture(null);
    b.setCapture(null);
    a.send(frame, 2000);
    expect(capture.drain()).to.deep.equal([]);
  });

  it("shows checksums computed and tags in place, whatever the NICs take on themselves", () => {
    const lab = new Lab();
    const vlan = { offloads: { vlan: true } };
    const [a, b] = lab.pair(vlan, vlan);
    const capture = Capture.create(lab);
    a.setCapture(capture);
    b.setCapture(capture);
    const { right, left } = offloaded(a, b, pattern(200));
    const tagged = Uint8Array.from([...right.slice(0, 12), 0x81, 0, 0x30, 9, ...right.slice(12)]);
    lab.txBurst(a, [
      lab.packet([left.slice(0, 42), left.slice(42)], {
        flags: TX_L4_CSUM | TX_IP_CSUM | TX_VLAN_INSERT,
        vlanTci: 0x3009,
      }),
      lab.packet([left], { flags: TX_L4_CSUM | TX_IP_CSUM }),
    ]);
    const frames = capture.drain().map(({ data }) => Buffer.from(data).toString("hex"));
    const want = [tagged, tagged, right, right].map((frame) => Buffer.from(frame).toString("hex"));
    expect(frames).to.deep.equal(want);
    expect(receiveAll(b).map(({ data, vlanTci }) => [data.length, vlanTci])).to.deep.equal([
      [right.length, 0x3009],
      [right.length, 0],
    ]);
  });

  it("shows what leaves even if a link loses it, and a corrupted frame as it arrives", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const capture = Capture.create(lab);
    a.setCapture(capture);
    b.setCapture(capture);
    const link = a.setLink("toWire", { loss: 1 });
    a.send(numbered(a.mac, b.mac, 1), 0);
    link.set({ loss: 0, corrupt: 1, delay: 50 });
    a.send(numbered(a.mac, b.mac, 2), 10);
    link.poll(100);
    const records = capture.drain();
    expect(records.map(({ direction, timeNanos }) => [direction, timeNanos])).to.deep.equal([
      ["outbound", 0n],
      ["outbound", 10000n],
      ["inbound", 60000n],
    ]);
    expect([...records[2]!.data]).to.not.deep.equal([...records[1]!.data]);
  });

  it("does not show what was not sent: a frame that flow control stopped, twice", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({}, { ringSize: 16 });
    const capture = Capture.create(lab);
    a.setCapture(capture);
    let sent = 0;
    for (let i = 0; i < 40; i++) if (a.send(numbered(a.mac, b.mac, sent), i)) sent++;
    receiveAll(b);
    for (let i = 40; i < 50; i++) if (a.send(numbered(a.mac, b.mac, sent), i)) sent++;
    expect(capture.drain().map(({ data }) => numberOf(data))).to.deep.equal(Array.from({ length: sent }, (_, i) => i));
    expect(capture.received).to.equal(sent);
    expect(sent).to.equal(26);
  });

  it("counts what finds the ring full, and goes on when it has been drained", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({ mtu: 9000, flowControl: false }, { mtu: 9000 });
    const capture = Capture.create(lab, { size: "64KiB" });
    a.setCapture(capture);
    const random = chance(5);
    const want: number[] = [];
    let dropped = 0;
    const got: number[] = [];
    for (let i = 0; i < 3000; i++) {
      const before = capture.received;
      a.send(numbered(a.mac, b.mac, i, 60 + random(8900)), i);
      if (capture.received > before) want.push(i);
      else dropped++;
      if (random(10) === 0) for (const { data } of capture.drain(random(20))) got.push(numberOf(data));
      receiveAll(b);
    }
    got.push(...capture.drain().map(({ data }) => numberOf(data)));
    expect(got).to.deep.equal(want);
    expect(capture.dropped).to.equal(dropped);
    expect(dropped).to.be.above(100);
    expect(want.length).to.be.above(500);
  });

  it("keeps as much of a frame as it should, and says how long it was", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const capture = Capture.create(lab, { snap: 96 });
    b.setCapture(capture);
    for (const length of [60, 96, 97, 1514]) {
      const frame = numbered(a.mac, b.mac, 1, length);
      a.send(frame, 0);
      const record = capture.next();
      expect(record).to.include({ originalLength: length });
      expect([...record!.data]).to.deep.equal([...frame.subarray(0, 96)]);
    }
  });

  it(
    "holds what tshark reads without a complaint",
    needTsharkAround(() => {
      const lab = new Lab();
      const bridge = lab.bridge();
      const nics = [lab.nic(), lab.nic(), lab.nic({ queues: 4 })];
      const capture = Capture.create(lab);
      const writer = PcapngWriter.toMemory();
      for (const nic of nics) {
        bridge.plug(nic);
        nic.setCapture(capture);
        writer.addInterface({ name: nic.name });
      }
      const random = chance(9);
      for (let i = 0; i < 200; i++) {
        const [a, b] = [nics[random(3)]!, nics[random(3)]!];
        const { left } = offloaded(a, b, pattern(random(1400), i));
        lab.txBurst(a, [lab.packet([left], { flags: TX_L4_CSUM | TX_IP_CSUM })], i);
        for (const nic of nics) for (let queue = 0; queue < nic.queues; queue++) receiveAll(nic, i, queue);
      }
      nics[0]!.send(numbered(nics[0]!.mac, BROADCAST_MAC, 1), 300);
      const records = capture.drain();
      for (const { port, timeMicros, data, direction, originalLength, queue } of records) {
        writer.packet(port, timeMicros, data, { direction, originalLength, queue });
      }
      const fields = tsharkFields(writer.bytes(), ["udp.checksum.status", "ip.checksum.status", "_ws.malformed"]);
      expect(fields).to.have.length(records.length);
      const udpFrames = fields.filter((packet) => packet["udp.checksum.status"] !== "");
      expect(udpFrames.length).to.be.above(300);
      for (const packet of udpFrames) {
        expect(packet).to.deep.include({ "udp.checksum.status": "1", "ip.checksum.status": "1", "_ws.malformed": "" });
      }
    }),
  );
});

/** A test that runs where tshark is. */
function needTsharkAround(test: () => void): Mocha.Func {
  return function (this: Mocha.Context) {
    needTshark.call(this);
    test();
  };
}

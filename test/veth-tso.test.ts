// TCP segmentation offload: a large packet crosses whole where it may, and is cut into segments that nobody could tell
// from a stack's own everywhere else. The segments are built here a second time, from RFC 9293 and RFC 791.
// Read first: veth/datapath/tso.ts; Linux tcp_gso_segment() for what each segment's header says.

import { expect } from "chai";
import {
  MBUF_DATA_ROOM,
  RX_IP_GOOD,
  RX_L4_GOOD,
  RX_LRO,
  TX_IP_CSUM,
  TX_L4_CSUM,
  TX_TSO,
  TX_VLAN_INSERT,
} from "../assembly/layout.ts";
import { Capture, type UserVeth } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { checksum, ether, ipv4, pattern, pseudoHeader, tcp } from "./support/frames.ts";
import { Lab, receiveAll } from "./support/nics.ts";

const GOOD = RX_IP_GOOD | RX_L4_GOOD;
const WORK = TX_TSO | TX_L4_CSUM | TX_IP_CSUM;
const TSO = { offloads: { tso: true } };
const LRO = { offloads: { lro: true } };
const UNDER = { from: 0x0a000002, to: 0x0a000001 };

interface Send {
  flags?: string;
  seq?: number;
  id?: number;
}

/** A frame as it should be on the wire. */
function frameOf(
  a: UserVeth,
  b: UserVeth,
  payload: Uint8Array,
  { flags = "PA", seq = 1000, id = 7 }: Send = {},
): Uint8Array {
  const segment = tcp({ seq, ack: 99, flags, options: { timestamps: [5, 6] } }, payload);
  return ether({ to: b.mac, from: a.mac }, ipv4({ id, df: true }, segment)).bytes();
}

/** What the stack hands over: a large packet with the pseudo-header sum of its whole length. */
function large(a: UserVeth, b: UserVeth, payload: Uint8Array, send: Send = {}): Uint8Array {
  const frame = frameOf(a, b, payload, send);
  const view = new DataView(frame.buffer);
  view.setUint16(24, 0);
  view.setUint16(50, ~checksum(pseudoHeader(UNDER, 6, frame.length - 34)) & 0xffff);
  return frame;
}

/** The segments that should come out. */
function segmentsOf(a: UserVeth, b: UserVeth, payload: Uint8Array, mss: number, send: Send = {}): Uint8Array[] {
  const { flags = "PA", seq = 1000, id = 7 } = send;
  const frames: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += mss) {
    const isLast = at + mss >= payload.length;
    const kept = [...flags].filter((flag) => (flag === "C" ? at === 0 : !"FP".includes(flag) || isLast)).join("");
    const here = { flags: kept, seq: (seq + at) >>> 0, id: (id + frames.length) & 0xffff };
    frames.push(frameOf(a, b, payload.slice(at, at + mss), here));
  }
  return frames;
}

/** Headers in one mbuf, payload in pieces outside, as a stack sends it. */
function parts(frame: Uint8Array, random: (bound: number) => number): Uint8Array[] {
  const cut = [frame.slice(0, 66)];
  for (let at = 66; at < frame.length;) {
    const length = Math.min(1 + random(4000), frame.length - at);
    cut.push(frame.slice(at, at + length));
    at += length;
  }
  return cut;
}

function hex(frames: readonly Uint8Array[]): string[] {
  return frames.map((frame) => Buffer.from(frame).toString("hex"));
}

describe("TSO", () => {
  it("cuts a large packet into the segments that a stack would have sent", () => {
    const seed = seedOf(0x750);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const lab = new Lab();
    const [a, b] = lab.pair(TSO, {});
    const sizes = [1, 1448, 1449, 2896, 2897, 10000, 65000];
    for (let i = 0; i < 60; i++) {
      const payload = pattern(sizes[i] ?? 1 + random(60000), i);
      const mss = [1448, 536, 1000, 1447][i & 3]!;
      const send = { flags: ["A", "PA", "FPA", "CPA", "CEPA"][i % 5]!, seq: i % 3 === 0 ? 0xfffff000 : i, id: 65530 };
      const packet = lab.packet(parts(large(a, b, payload, send), random), { flags: WORK, mss });
      expect(lab.txBurst(a, [packet])).to.equal(1);
      const got = receiveAll(b);
      expect(hex(got.map(({ data }) => data))).to.deep.equal(hex(segmentsOf(a, b, payload, mss, send)));
      for (const { flags, mss: left } of got) expect([flags & (GOOD | RX_LRO), left]).to.deep.equal([GOOD, 0]);
    }
    expect(lab.packetsInUse).to.equal(0);
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("cuts where headers and payload share an mbuf, and where the headers themselves are in pieces", () => {
    const lab = new Lab();
    const [a, b] = lab.pair(TSO, {});
    const payload = pattern(1700);
    const whole = large(a, b, payload);
    const cuts = [
      [whole],
      [whole.slice(0, 300), whole.slice(300)],
      [...Array(40).keys()].map((i) => whole.slice(i * 5, i * 5 + 5)).concat(whole.slice(200)),
    ];
    for (const cut of cuts) {
      lab.txBurst(a, [lab.packet(cut, { flags: TX_TSO, mss: 500 })]);
      expect(hex(receiveAll(b).map(({ data }) => data))).to.deep.equal(hex(segmentsOf(a, b, payload, 500)));
    }
  });

  it("lets it cross as one descriptor when the receiver takes that: summed once, in a chain of mbufs", () => {
    const lab = new Lab();
    const random = chance(7);
    const [a, b] = lab.pair(TSO, LRO);
    for (const length of [2000, 20000, 65483]) {
      const payload = pattern(length, length);
      lab.txBurst(a, [lab.packet(parts(large(a, b, payload), random), { flags: WORK, mss: 1448 })]);
      const got = receiveAll(b);
      expect(got).to.have.length(1);
      expect(Buffer.from(got[0]!.data).equals(Buffer.from(frameOf(a, b, payload)))).to.be.true;
      expect(got[0]!.flags & (GOOD | RX_LRO)).to.equal(GOOD | RX_LRO);
      expect(got[0]!.mss).to.equal(1448);
      expect(got[0]!.segments).to.equal(Math.ceil((66 + length) / MBUF_DATA_ROOM));
    }
    expect(a.xstats()).to.include({ tx_tso_packets: 3, tx_tso_segments: 0 });
    expect(b.mbufsInUse()).to.deep.equal([0]);
  });

  it("cuts for a link, for a bridge that does not know the receiver, and crosses whole once it does", () => {
    const lab = new Lab();
    const bridge = lab.bridge();
    const [a, b, c] = [lab.nic(TSO), lab.nic(LRO), lab.nic()];
    for (const nic of [a, b, c]) bridge.plug(nic);
    const send = (): number => {
      lab.txBurst(a, [lab.packet([large(a, b, pattern(1600))], { flags: WORK, mss: 400 })]);
      const got = receiveAll(b);
      expect(Buffer.concat(got.map(({ data }) => data.subarray(66))).equals(Buffer.from(pattern(1600)))).to.be.true;
      return got.length;
    };
    expect(send()).to.equal(4);
    b.send(frameOf(b, a, pattern(1)), 0);
    expect(send()).to.equal(1);
    b.setLink("toHost", {});
    expect(send()).to.equal(4);
    b.removeLink("toHost");
    expect(send()).to.equal(1);
    a.setLink("toWire", {});
    expect(send()).to.equal(4);
    expect(receiveAll(c)).to.deep.equal([]);
    expect(c.xstats().rx_filtered_packets).to.equal(4);
  });

  it("takes a packet whole or not at all when there is no room for all of its segments", () => {
    const lab = new Lab();
    const [a, b] = lab.pair(TSO, { ringSize: 16 });
    const packet = (): number => lab.packet([large(a, b, pattern(1500))], { flags: WORK, mss: 150 });
    expect(lab.txBurst(a, [packet(), packet()])).to.equal(1);
    expect(receiveAll(b)).to.have.length(10);
    expect(b.xstats().rx_missed_errors).to.equal(0);
    // One that would never fit is not waited for: what fits goes, the rest is a counted drop.
    lab.txBurst(a, [lab.packet([large(a, b, pattern(1700))], { flags: WORK, mss: 85 })]);
    expect(receiveAll(b)).to.have.length(16);
    expect(b.xstats().rx_missed_errors).to.equal(4);
  });

  it("drops and counts what it cannot cut", () => {
    const lab = new Lab();
    const [a, b] = lab.pair(TSO, {});
    const good = large(a, b, pattern(1600));
    const change = (at: number, value: number): Uint8Array =>
      Uint8Array.from(good, (byte, i) => (i === at ? value : byte));
    const packets: [string, Uint8Array, number][] = [
      ["no segment size", good, 0],
      ["segments longer than the MTU", large(a, b, pattern(1800)), 1449],
      ["UDP", change(23, 17), 500],
      ["a fragment", change(20, 0x20), 500],
      ["a TCP header of four words", change(46, 0x40), 500],
      ["IPv6", change(14, 0x65), 500],
      ["trailing bytes", Uint8Array.from([...good, 0, 0]), 500],
    ];
    for (const [, frame, mss] of packets)
      expect(lab.txBurst(a, [lab.packet([frame], { flags: WORK, mss })])).to.equal(1);
    expect(a.xstats().tx_errors! + a.xstats().tx_oversize_errors!).to.equal(packets.length);
    expect(receiveAll(b)).to.deep.equal([]);

    const [plain, other] = lab.pair({}, {});
    lab.txBurst(plain, [lab.packet([large(plain, other, pattern(1600))], { flags: WORK, mss: 500 })]);
    expect(plain.xstats().tx_errors).to.equal(1);
  });

  it("cuts packets with a tag, inserted or inside", () => {
    const lab = new Lab();
    const [a, b] = lab.pair({ offloads: { tso: true, vlan: true } }, {});
    const payload = pattern(1000);
    const untagged = large(a, b, payload);
    const tagged = Uint8Array.from([...untagged.slice(0, 12), 0x81, 0, 0x20, 5, ...untagged.slice(12)]);
    lab.txBurst(a, [lab.packet([untagged], { flags: WORK | TX_VLAN_INSERT, vlanTci: 0x2005, mss: 300 })]);
    lab.txBurst(a, [lab.packet([tagged], { flags: WORK, mss: 300 })]);
    const want = segmentsOf(a, b, payload, 300).map((frame) =>
      Uint8Array.from([...frame.slice(0, 12), 0x81, 0, 0x20, 5, ...frame.slice(12)]),
    );
    const got = receiveAll(b).map(({ data }) => data);
    expect(hex(got)).to.deep.equal([...hex(want), ...hex(want)]);
  });

  it("shows in a capture what is on the wire: whole, or cut, with right checksums", () => {
    const lab = new Lab();
    const capture = Capture.create(lab);
    const payload = pattern(30000);
    const [a, b] = lab.pair(TSO, LRO);
    a.setCapture(capture);
    lab.txBurst(a, [
      lab.packet(
        [large(a, b, payload)].flatMap((f) => [f.slice(0, 66), f.slice(66)]),
        { flags: WORK, mss: 1448 },
      ),
    ]);
    expect(hex(capture.drain().map(({ data }) => data))).to.deep.equal(hex([frameOf(a, b, payload)]));
    b.setLink("toHost", {});
    lab.txBurst(a, [
      lab.packet(
        [large(a, b, payload)].flatMap((f) => [f.slice(0, 66), f.slice(66)]),
        { flags: WORK, mss: 1448 },
      ),
    ]);
    expect(hex(capture.drain().map(({ data }) => data))).to.deep.equal(hex(segmentsOf(a, b, payload, 1448)));
  });
});

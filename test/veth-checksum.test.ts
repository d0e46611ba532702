// Checksum offload as honest capabilities: what the NIC computes is what a wire would carry, what it says it verified
// it has summed. Every checksum is computed here a second time, independently.
// Read first: RFC 1071, RFC 768; veth/datapath/copy.ts.

import { expect } from "chai";
import { RX_IP_BAD, RX_IP_GOOD, RX_L4_BAD, RX_L4_GOOD, TX_IP_CSUM, TX_L4_CSUM } from "../assembly/layout.ts";
import type { UserVeth } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import {
  checksum,
  ether,
  type Ipv4Fields,
  ipv4,
  type Layer,
  pattern,
  pseudoHeader,
  tcp,
  udp,
} from "./support/frames.ts";
import { Lab, receiveAll } from "./support/nics.ts";

const VERDICTS = RX_IP_GOOD | RX_IP_BAD | RX_L4_GOOD | RX_L4_BAD;
const ADDRESSES = { from: 0x0a000002, to: 0x0a000001 };

interface Kind {
  name: string;
  protocol: number;
  field: number;
  layer: (payload: Uint8Array) => Layer;
}
const KINDS: Kind[] = [
  { name: "TCP", protocol: 6, field: 16, layer: (payload) => tcp({ options: { timestamps: [1, 2] } }, payload) },
  { name: "UDP", protocol: 17, field: 6, layer: (payload) => udp({}, payload) },
];

/** A right frame, and the same one as a stack leaves it to the NIC: pseudo-header sum in place of the checksums. */
function both(
  a: UserVeth,
  b: UserVeth,
  kind: Kind,
  payload: Uint8Array,
  fields: Ipv4Fields = {},
): [Uint8Array, Uint8Array] {
  const right = ether({ to: b.mac, from: a.mac }, ipv4(fields, kind.layer(payload))).bytes();
  const left = right.slice();
  const l4 = 14 + (left[14]! & 15) * 4;
  const view = new DataView(left.buffer);
  view.setUint16(24, 0xdead);
  const pseudo = pseudoHeader(ADDRESSES, kind.protocol, left.length - l4);
  view.setUint16(l4 + kind.field, ~checksum(pseudo) & 0xffff);
  return [right, left];
}

/** Cuts bytes at random places. */
function pieces(bytes: Uint8Array, random: (bound: number) => number): Uint8Array[] {
  const cuts = Array.from({ length: random(4) }, () => 1 + random(bytes.length - 1));
  if (bytes.length > 1500) cuts.push(1 + random(1500));
  cuts.sort((x, y) => x - y);
  return [0, ...cuts].map((from, index) => bytes.slice(from, cuts[index] ?? bytes.length));
}

describe("checksum offload", () => {
  for (const kind of KINDS) {
    it(`computes ${kind.name}'s and IPv4's while it copies, for every length and cut`, () => {
      const seed = seedOf(0xc5);
      console.log(`      seed ${seed}`);
      const random = chance(seed);
      const lab = new Lab();
      const [a, b] = lab.pair({ mtu: 9000 }, { mtu: 9000 });
      for (let i = 0; i < 400; i++) {
        const payload = pattern(i < 100 ? i : random(8900), random(1000));
        const [right, left] = both(a, b, kind, payload, i % 5 === 0 ? { options: [1, 1, 1, 1, 148, 4, 0, 0] } : {});
        expect(lab.txBurst(a, [lab.packet(pieces(left, random), { flags: TX_L4_CSUM | TX_IP_CSUM })])).to.equal(1);
        const [packet] = receiveAll(b);
        expect(Buffer.from(packet!.data).equals(Buffer.from(right)), `${payload.length} bytes of payload`).to.be.true;
        expect(packet!.flags & VERDICTS).to.equal(RX_IP_GOOD | RX_L4_GOOD);
      }
      expect(b.xstats()).to.include({ rx_l4_checksum_errors: 0, rx_ip_checksum_errors: 0 });
    });

    it(`verifies ${kind.name} frames that come ready made, and tells every single flipped bit`, () => {
      const [a, b] = new Lab().pair();
      for (const length of [0, 1, 30, 33, 101]) {
        const [right] = both(a, b, kind, pattern(length));
        a.send(right, 0);
        expect(receiveAll(b)[0]!.flags & VERDICTS).to.equal(RX_IP_GOOD | RX_L4_GOOD);
        for (let at = 34; at < right.length; at++) {
          // A UDP length that is wrong is the stack's to judge; a checksum of zero would be none.
          if (kind.protocol === 17 && (at === 38 || at === 39)) continue;
          // A data offset is part of TCP's sum like any other byte.
          const wrong = right.slice();
          wrong[at] = wrong[at]! ^ (1 << (at & 7));
          a.send(wrong, 0);
          const [packet] = receiveAll(b);
          expect(packet!.flags & VERDICTS, `byte ${at} of ${right.length}`).to.equal(RX_IP_GOOD | RX_L4_BAD);
          expect(Buffer.from(packet!.data).equals(Buffer.from(wrong))).to.be.true;
        }
      }
      expect(b.xstats().rx_l4_checksum_errors).to.be.above(100);
    });
  }

  it("does not believe a sender's wrong pseudo-header sum", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const [, left] = both(a, b, KINDS[0]!, pattern(50));
    left[left.length - 50 - 32 + 16]! ^= 1;
    lab.txBurst(a, [lab.packet([left], { flags: TX_L4_CSUM | TX_IP_CSUM })]);
    expect(receiveAll(b)[0]!.flags & VERDICTS).to.equal(RX_IP_GOOD | RX_L4_BAD);
  });

  it("tells a wrong IPv4 header, with and without options", () => {
    const [a, b] = new Lab().pair();
    for (const options of [[], [1, 1, 1, 0, 7, 3, 4, 0]]) {
      for (const wrong of [undefined, 0x1234]) {
        a.send(ether({ to: b.mac }, ipv4({ options, checksum: wrong }, udp({}, "payload"))).bytes(), 0);
        const want = wrong === undefined ? RX_IP_GOOD : RX_IP_BAD;
        expect(receiveAll(b)[0]!.flags & VERDICTS).to.equal(want | RX_L4_GOOD);
      }
    }
    expect(b.xstats().rx_ip_checksum_errors).to.equal(2);
  });

  it("says nothing of what it cannot know: fragments, no checksum, other protocols, lengths that lie", () => {
    const [a, b] = new Lab().pair();
    const cases: [string, Layer][] = [
      ["first fragment", ipv4({ mf: true }, udp({}, "01234567"))],
      ["last fragment", ipv4({ offset: 8, protocol: 17 }, "0123456789")],
      ["UDP without a checksum", ipv4(udp({ checksum: 0 }, "x"))],
      ["another protocol", ipv4({ protocol: 132 }, "0123456789ab")],
      ["a UDP length that is too long", ipv4(udp({ length: 500 }, "0123456789"))],
      ["a UDP length that is too short", ipv4(udp({ length: 9 }, "0123456789"))],
      ["half a TCP header", ipv4({ protocol: 6 }, "0123456789")],
      ["a datagram longer than its frame", ipv4({ total: 1000 }, udp({}, "0123456789"))],
    ];
    for (const [name, layer] of cases) {
      a.send(ether({ to: b.mac }, layer).bytes(), 0);
      const [packet] = receiveAll(b);
      expect(packet!.flags & (RX_L4_GOOD | RX_L4_BAD), name).to.equal(0);
      expect(packet!.flags & RX_IP_GOOD, name).to.equal(RX_IP_GOOD);
    }
    const six: [string, Layer][] = [
      ["IP version 6", ipv4({ version: 6 }, udp({}, "x"))],
      ["a header of four words", ipv4({ headerWords: 4 }, udp({}, "x"))],
    ];
    for (const [name, layer] of six) {
      a.send(ether({ to: b.mac }, layer).bytes(), 0);
      expect(receiveAll(b)[0]!.flags & VERDICTS, name).to.equal(0);
    }
  });

  it("does not sum the padding of a short frame", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const [right, left] = both(a, b, KINDS[1]!, pattern(3));
    const padding = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
    const padded = (bytes: Uint8Array): Uint8Array => Uint8Array.from([...bytes, ...padding]);
    a.send(padded(right), 0);
    lab.txBurst(a, [lab.packet([padded(left)], { flags: TX_L4_CSUM | TX_IP_CSUM })]);
    const packets = receiveAll(b);
    expect(packets).to.have.length(2);
    for (const { data, flags } of packets) {
      expect(flags & VERDICTS).to.equal(RX_IP_GOOD | RX_L4_GOOD);
      expect([...data]).to.deep.equal([...padded(right)]);
    }
  });

  it("writes UDP's sum of zero as ones (RFC 768)", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    // Two bytes of payload that make the sum come out as 0xffff, so that its complement would be 0.
    const [right] = both(a, b, KINDS[1]!, Uint8Array.of(0, 0));
    const sum = new DataView(right.buffer).getUint16(40);
    const [, left] = both(a, b, KINDS[1]!, Uint8Array.of(sum >> 8, sum & 255));
    lab.txBurst(a, [lab.packet([left], { flags: TX_L4_CSUM | TX_IP_CSUM })]);
    const [packet] = receiveAll(b);
    expect(new DataView(packet!.data.buffer).getUint16(40)).to.equal(0xffff);
    expect(packet!.flags & VERDICTS).to.equal(RX_IP_GOOD | RX_L4_GOOD);
  });

  it("is a capability: who does not offer it does not do it", () => {
    const lab = new Lab();
    const offloads = { txChecksum: false, rxChecksum: false };
    const [a, b] = lab.pair({ offloads }, { offloads });
    const [right, left] = both(a, b, KINDS[0]!, pattern(20));
    expect(lab.txBurst(a, [lab.packet([left], { flags: TX_L4_CSUM })])).to.equal(1);
    expect(a.xstats().tx_errors).to.equal(1);
    a.send(right, 0);
    const packets = receiveAll(b);
    expect(packets.map(({ flags }) => flags & VERDICTS)).to.deep.equal([0]);
    expect(lab.packetsInUse).to.equal(0);
  });

  it("refuses to compute a checksum for a frame that has no place for it", () => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    const frames = [
      ether({ to: b.mac, type: 0x0806 }, new Uint8Array(28)),
      ether({ to: b.mac }, ipv4({ mf: true }, udp({}, "01234567"))),
      ether({ to: b.mac }, ipv4({ protocol: 132 }, "0123456789ab")),
      ether({ to: b.mac }, ipv4({ protocol: 6 }, "0123")),
    ];
    for (const frame of frames) lab.txBurst(a, [lab.packet([frame.bytes()], { flags: TX_L4_CSUM })]);
    expect(a.xstats().tx_errors).to.equal(frames.length);
    expect(receiveAll(b)).to.deep.equal([]);
  });

  it("arrives bad when a link flips a bit after the sender's NIC computed it", () => {
    const lab = new Lab();
    for (const direction of ["toWire", "toHost"] as const) {
      const [a, b] = lab.pair();
      (direction === "toWire" ? a : b).setLink(direction, { corrupt: 1, seed: 3 });
      let bad = 0;
      for (let i = 0; i < 300; i++) {
        const [right, left] = both(a, b, KINDS[i & 1]!, pattern(100, i));
        lab.txBurst(a, [lab.packet([left], { flags: TX_L4_CSUM | TX_IP_CSUM })]);
        const [packet] = receiveAll(b);
        const flipped = right.findIndex((byte, at) => byte !== packet!.data[at]);
        expect(flipped).to.be.at.least(14);
        // Where the flip makes it another thing (protocol, length, fragment), nothing is claimed.
        expect(packet!.flags & RX_L4_GOOD, `byte ${flipped}`).to.equal(flipped < 34 ? packet!.flags & RX_L4_GOOD : 0);
        if (flipped < 34) expect(packet!.flags & RX_IP_GOOD, `byte ${flipped}`).to.equal(0);
        if ((packet!.flags & (RX_L4_BAD | RX_IP_BAD)) !== 0) bad++;
      }
      expect(bad).to.be.above(280);
    }
  });
});

// Hostile frames: random bytes, mutated packets, lying lengths and lying offload requests, through NICs with every
// combination of capabilities, bridges and links. No trap; what comes out is what went in; all counters add up.

import { expect } from "chai";
import { RX_IP_GOOD, RX_L4_GOOD, TX_IP_CSUM, TX_L4_CSUM, TX_TSO, TX_VLAN_INSERT } from "../assembly/layout.ts";
import type { UserVeth } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { BROADCAST_MAC, checksum, ether, ipv4, mac, pseudoHeader, tcp, udp } from "./support/frames.ts";
import { Lab, receiveAll } from "./support/nics.ts";

type Random = (bound: number) => number;

/** A packet that begins well and then goes wrong somewhere. */
function mutant(random: Random, from: string, to: string): Uint8Array {
  const payload = Uint8Array.from({ length: random(3) === 0 ? random(3000) : random(100) }, () => random(256));
  const options = Array.from({ length: random(11) * 4 }, () => random(256));
  const header = { options, mf: random(8) === 0, offset: random(8) === 0 ? random(1000) * 8 : 0 };
  const body = random(2) === 0 ? tcp({ flags: "PA", seq: random(0x100000000) }, payload) : udp({}, payload);
  const bytes = ether({ to, from }, ipv4(random(3) === 0 ? header : {}, body)).bytes();
  for (let i = random(4); i > 0; i--) bytes[12 + random(Math.min(60, bytes.length - 12))] = random(256);
  return random(4) === 0 ? bytes.slice(0, 1 + random(bytes.length)) : bytes;
}

/** Cuts bytes into the pieces of a chain; the first fits into an mbuf. */
function pieces(bytes: Uint8Array, random: Random): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length && parts.length < 12;) {
    const length = parts.length === 11 ? bytes.length : random(5) === 0 ? random(20) : 1 + random(1800);
    parts.push(bytes.slice(at, at + length));
    at += length;
  }
  return parts.length === 0 ? [bytes] : parts;
}

/** The verdict on a received packet, by an independent reader: true, false, or undefined when there is none to give. */
function isGood(frame: Uint8Array): { ip?: boolean; l4?: boolean } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  let at = 14;
  let type = view.getUint16(12);
  if (type === 0x8100 && frame.length >= 18) {
    type = view.getUint16(16);
    at = 18;
  }
  if (type !== 0x0800 || frame.length < at + 20 || frame[at]! >> 4 !== 4) return {};
  const header = (frame[at]! & 15) * 4;
  if (header < 20 || frame.length < at + header) return {};
  const ip = checksum(frame.subarray(at, at + header)) === 0;
  const total = view.getUint16(at + 2);
  const length = total - header;
  if ((view.getUint16(at + 6) & 0x3fff) !== 0 || at + total > frame.length) return { ip };
  const protocol = frame[at + 9]!;
  const l4 = at + header;
  if (length < (protocol === 6 ? 20 : protocol === 17 ? 8 : Infinity)) return { ip };
  if (protocol === 17 && (view.getUint16(l4 + 6) === 0 || view.getUint16(l4 + 4) !== length)) return { ip };
  const pseudo = pseudoHeader({ from: view.getUint32(at + 12), to: view.getUint32(at + 16) }, protocol, length);
  return { ip, l4: checksum(pseudo, frame.subarray(l4, l4 + length)) === 0 };
}

describe("hostile frames", function () {
  this.timeout(60000);

  it("pass as they are, with verdicts that an independent reader shares", () => {
    const seed = seedOf(0xf022);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const lab = new Lab();
    for (let round = 0; round < 20; round++) {
      const [a, b] = lab.pair({ mtu: 4000 }, { mtu: 4000, queues: 1 + random(4), promiscuous: true, ringSize: 64 });
      let sent = 0;
      let passed = 0;
      for (let i = 0; i < 500; i++) {
        const frame =
          random(3) === 0
            ? Uint8Array.from({ length: 1 + random(200) }, () => random(256))
            : mutant(random, a.mac, b.mac);
        expect(lab.txBurst(a, [lab.packet(pieces(frame, random))])).to.equal(1);
        sent++;
        const got = Array.from({ length: b.queues }, (_, queue) => receiveAll(b, 0, queue)).flat();
        if (frame.length < 14) {
          expect(got).to.deep.equal([]);
          continue;
        }
        passed++;
        expect(got).to.have.length(1);
        expect(Buffer.from(got[0]!.data).equals(Buffer.from(frame))).to.be.true;
        const want = isGood(frame);
        const text = Buffer.from(frame.subarray(0, 80)).toString("hex");
        expect((got[0]!.flags & RX_IP_GOOD) !== 0, text).to.equal(want.ip === true);
        expect((got[0]!.flags & RX_L4_GOOD) !== 0, text).to.equal(want.l4 === true);
      }
      expect(a.xstats()).to.include({ tx_good_packets: sent, tx_errors: sent - passed });
      expect(lab.packetsInUse).to.equal(0);
      expect(b.mbufsInUse().every((used) => used === 0)).to.be.true;
      a.close();
      b.close();
    }
  });

  it("with any work asked of the NIC, any capabilities, bridges, tags and links: no trap, nothing leaks", () => {
    const seed = seedOf(0xf023);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const coin = (): boolean => random(2) === 0;
    const WORK = [
      0,
      TX_L4_CSUM,
      TX_IP_CSUM,
      TX_L4_CSUM | TX_IP_CSUM,
      TX_TSO,
      TX_VLAN_INSERT,
      TX_TSO | TX_VLAN_INSERT,
      0xffffffff,
    ];
    for (let round = 0; round < 25; round++) {
      const lab = new Lab();
      const bridge = lab.bridge({ vlanAware: coin(), entries: 16 });
      const make = (): UserVeth => {
        const offloads = {
          txChecksum: coin(),
          rxChecksum: coin(),
          tso: coin(),
          lro: coin(),
          vlan: coin(),
          rssHash: coin(),
        };
        const nic = lab.nic({
          offloads,
          mtu: [576, 1500, 9000][random(3)],
          queues: 1 + random(3),
          ringSize: 64,
          promiscuous: coin(),
        });
        bridge.plug(nic, coin() ? { access: 1 + random(2) } : { pvid: random(3), tagged: [1, 2] });
        const rules = {
          loss: 0.1,
          corrupt: 0.3,
          duplicate: 0.1,
          delay: random(100),
          jitter: random(50),
          reorder: 0.1,
          rate: "1Gbit",
        };
        if (random(3) === 0) nic.setLink("toWire", { ...rules, seed: round });
        if (random(3) === 0) nic.setLink("toHost", { ...rules, seed: round + 1000 });
        return nic;
      };
      const nics = [make(), make(), make()];
      const drain = (now: number): void => {
        for (const nic of nics) for (let queue = 0; queue < nic.queues; queue++) receiveAll(nic, now, queue);
      };
      for (let i = 0; i < 400; i++) {
        const from = nics[random(3)]!;
        const to = [nics[random(3)]!.mac, BROADCAST_MAC, "02:77:77:77:77:77"][random(3)]!;
        let frame = mutant(random, from.mac, to);
        if (random(3) === 0)
          frame = Uint8Array.from([...frame.slice(0, 12), 0x81, 0, random(256), random(5), ...frame.slice(12)]);
        if (random(10) === 0) frame.set(mac(from.mac).subarray(0, Math.min(6, frame.length)));
        const work = {
          flags: WORK[random(WORK.length)]!,
          mss: random(4) === 0 ? random(65536) : 100 + random(1400),
          vlanTci: random(65536),
        };
        const packet = lab.packet(pieces(frame, random), work);
        if (random(20) === 0) lab.lie(packet, random(70000));
        // A chain may hold more than its head says, never less: what is said too much is refused.
        let taken = lab.txBurst(from, [packet], i);
        for (let turn = 1; taken === 0 && turn < 100; turn++) {
          drain(i + turn * 10);
          taken = lab.txBurst(from, [packet], i + turn * 10);
        }
        expect(taken, "the packet is taken in the end").to.equal(1);
        if (random(5) === 0) drain(i);
      }
      for (let now = 1e6; nics.some((nic) => nic.nextDue < Infinity); now += 1000) {
        for (const nic of nics) for (const link of Object.values(nic.links)) link.poll(now);
        drain(now);
      }
      drain(1e9);
      expect(lab.packetsInUse).to.equal(0);
      for (const nic of nics) {
        expect(nic.mbufsInUse().every((used) => used === 0)).to.be.true;
        for (const link of Object.values(nic.links)) {
          const c = link.counters();
          expect(c.delivered).to.equal(c.offered - c.lost - c.queueDrops - c.bufferDrops + c.duplicated);
        }
      }
    }
  });
});

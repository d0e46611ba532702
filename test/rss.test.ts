// Receive-side scaling: the published vectors, the redirection table, and that every way to ask gives one answer.
// Read first: Microsoft "Verifying the RSS Hash Calculation"; DPDK rte_thash.h.

import { expect } from "chai";
import { CAP_RSS_HASH, RETA_SIZE, RX_RSS_HASH } from "../assembly/layout.ts";
import { connectCable, DEFAULT_RSS_KEY, SYMMETRIC_RSS_KEY, toeplitz, type UserVeth } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ether, type Ipv4Fields, ip, ipv4, ipText, type Layer, tcp, udp } from "./support/frames.ts";
import { Lab, receiveAll } from "./support/nics.ts";

/** Microsoft's verification suite for IPv4: destination, source, hash of the addresses, hash with the TCP ports. */
const VECTORS: [string, number, string, number, number, number][] = [
  ["161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178],
  ["65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea],
  ["12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a],
  ["209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f],
  ["202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2],
];

/** Sends a frame to `nic` and returns the packet as its host gets it, from whatever queue. */
function through(from: UserVeth, nic: UserVeth, frame: Layer): { hash: number; flags: number; queue: number } {
  expect(from.send(frame.bytes(), 0)).to.be.true;
  const packets = Array.from({ length: nic.queues }, (_, queue) => receiveAll(nic, 0, queue)).flat();
  expect(packets).to.have.length(1);
  const { rssHash: hash, flags, queue } = packets[0]!;
  return { hash, flags, queue };
}

function setup(options: Parameters<Lab["nic"]>[0] = {}): { lab: Lab; from: UserVeth; nic: UserVeth } {
  const lab = new Lab();
  const [from, nic] = lab.pair({}, { promiscuous: true, ...options });
  return { lab, from, nic };
}

describe("RSS", () => {
  describe("Microsoft's verification suite", () => {
    const { lab, from, nic } = setup({ queues: 4 });
    for (const [to, toPort, source, sourcePort, addresses, withPorts] of VECTORS) {
      it(`${source}:${sourcePort} -> ${to}:${toPort}`, () => {
        const input = [ip(source), ip(to)].flatMap((word) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 255));
        const ports = [sourcePort >> 8, sourcePort & 255, toPort >> 8, toPort & 255];
        expect(toeplitz(DEFAULT_RSS_KEY, input)).to.equal(addresses);
        expect(toeplitz(DEFAULT_RSS_KEY, [...input, ...ports])).to.equal(withPorts);

        const ask = (ported: number): number =>
          lab.exports.rssHash(nic.handle, ip(source), ip(to), sourcePort, toPort, ported) >>> 0;
        expect(ask(0)).to.equal(addresses);
        expect(ask(1)).to.equal(withPorts);

        const header: Ipv4Fields = { from: source, to };
        const segment = tcp({ from: sourcePort, to: toPort });
        const datagram = udp({ from: sourcePort, to: toPort }, "x");
        for (const layer of [
          ipv4(header, segment),
          ipv4(header, datagram),
          ipv4({ ...header, options: [1, 1, 1, 0] }, segment),
        ]) {
          const got = through(from, nic, ether(layer));
          expect(got.hash).to.equal(withPorts);
          expect(got.flags & RX_RSS_HASH).to.not.equal(0);
          expect(got.queue).to.equal((withPorts & 127) % 4);
        }
        const icmp = through(from, nic, ether(ipv4({ ...header, protocol: 1 }, "12345678")));
        expect(icmp.hash).to.equal(addresses);
      });
    }
  });

  it("hashes a fragment by its addresses alone: its ports are not there, or not all fragments have them", () => {
    const { from, nic } = setup({ queues: 4 });
    const [to, toPort, source, sourcePort, addresses] = VECTORS[0]!;
    const payload = tcp({ from: sourcePort, to: toPort }, "0123456789ab");
    const first = through(from, nic, ether(ipv4({ from: source, to, mf: true }, payload)));
    const second = through(from, nic, ether(ipv4({ from: source, to, offset: 32, protocol: 6 }, "0123456789abcdef")));
    expect(first.hash).to.equal(addresses);
    expect(second.hash).to.equal(addresses);
  });

  it("agrees with the plain Toeplitz hash for random keys and tuples", () => {
    const seed = seedOf(0x5255);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const word = (): number => random(0x100000000);
    for (let keys = 0; keys < 5; keys++) {
      const { lab, nic } = setup({ queues: 2 });
      const key = Uint8Array.from({ length: 40 }, () => random(256));
      nic.rss.setKey(key);
      expect([...nic.rss.key]).to.deep.equal([...key]);
      for (let i = 0; i < 200; i++) {
        const [from, to, fromPort, toPort] = [word(), word(), random(65536), random(65536)];
        const bytes = new DataView(new ArrayBuffer(12));
        bytes.setUint32(0, from);
        bytes.setUint32(4, to);
        bytes.setUint16(8, fromPort);
        bytes.setUint16(10, toPort);
        const want = toeplitz(key, new Uint8Array(bytes.buffer));
        expect(lab.exports.rssHash(nic.handle, from, to, fromPort, toPort, 1) >>> 0).to.equal(want);
      }
    }
  });

  it("hashes with the key that the port has now: another lies where one was, or has got a new key", () => {
    const [to, toPort, source, sourcePort, addresses, withPorts] = VECTORS[0]!;
    const segment = ether(ipv4({ from: source, to }, tcp({ from: sourcePort, to: toPort })));
    const other = ether(ipv4({ from: source, to, protocol: 1 }, "12345678"));
    const input = [...source.split("."), ...to.split(".")].map(Number);
    const ports = [sourcePort >> 8, sourcePort & 255, toPort >> 8, toPort & 255];
    const { lab, from, nic } = setup({ queues: 2 });
    const hashes = (at: UserVeth): number[] => [segment, other].map((frame) => through(from, at, frame).hash);
    expect(hashes(nic)).to.deep.equal([withPorts, addresses]);
    nic.close();
    const first = Uint8Array.from({ length: 40 }, (_, i) => ~i);
    const next = lab.nic({ queues: 2, rssKey: first, promiscuous: true });
    expect(next.handle, "the same address").to.equal(nic.handle);
    connectCable(lab, from, next);
    expect(hashes(next)).to.deep.equal([toeplitz(first, [...input, ...ports]), toeplitz(first, input)]);
    const second = Uint8Array.from({ length: 40 }, (_, i) => i * 7);
    next.rss.setKey(second);
    expect(hashes(next)).to.deep.equal([toeplitz(second, [...input, ...ports]), toeplitz(second, input)]);
  });

  it("hashes both directions of a flow alike with the symmetric key, and spreads flows all the same", () => {
    const seed = seedOf(0x5257);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const { lab, nic } = setup({ queues: 4, rssKey: "symmetric" });
    expect([...nic.rss.key]).to.deep.equal([...SYMMETRIC_RSS_KEY]);
    const queues = [0, 0, 0, 0];
    for (let i = 0; i < 1000; i++) {
      const [a, b, aPort, bPort] = [random(0x100000000), random(0x100000000), random(65536), random(65536)];
      const there = lab.exports.rssHash(nic.handle, a, b, aPort, bPort, 1) >>> 0;
      expect(lab.exports.rssHash(nic.handle, b, a, bPort, aPort, 1) >>> 0).to.equal(there);
      expect(lab.exports.rssHash(nic.handle, a, b, 0, 0, 0)).to.equal(lab.exports.rssHash(nic.handle, b, a, 0, 0, 0));
      queues[nic.rss.reta[there & 127]!]!++;
    }
    for (const flows of queues) expect(flows).to.be.within(200, 300);
  });

  it("queueOf names the queue on which the packet arrives, whatever the types, the table and the rules", () => {
    const seed = seedOf(0x5256);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const { from, nic } = setup({ queues: 7 });
    const used = new Set<number>();
    for (let i = 0; i < 300; i++) {
      if (i % 50 === 0) {
        nic.rss.setReta(Array.from({ length: RETA_SIZE }, () => random(7)));
        nic.rss.setTypes((["ipv4", "tcp", "udp"] as const).filter(() => random(2) === 1));
        nic.director.listen("tcp", 80, random(7));
      }
      const protocol = random(2) === 0 ? "tcp" : "udp";
      const flow = {
        protocol,
        source: ipText(random(0x100000000)),
        destination: ipText(random(0x100000000)),
        sourcePort: random(65536),
        destinationPort: random(4) === 0 ? 80 : random(65536),
      } as const;
      const ports = { from: flow.sourcePort, to: flow.destinationPort };
      const body = protocol === "tcp" ? tcp(ports) : udp(ports);
      const got = through(from, nic, ether(ipv4({ from: flow.source, to: flow.destination }, body)));
      expect(got.queue).to.equal(nic.director.queueOf(flow));
      used.add(got.queue);
    }
    expect(used.size).to.equal(7);
  });

  describe("the redirection table", () => {
    it("spreads 128 entries over the queues in turn", () => {
      for (const queues of [1, 3, 4, 64]) {
        const { nic } = setup({ queues });
        expect(nic.rss.reta).to.deep.equal(Array.from({ length: 128 }, (_, i) => i % queues));
      }
    });

    it("can be set entry by entry at run time", () => {
      const { from, nic } = setup({ queues: 4 });
      const [to, toPort, source, sourcePort, , hash] = VECTORS[1]!;
      const frame = ether(ipv4({ from: source, to }, tcp({ from: sourcePort, to: toPort })));
      for (const queue of [3, 0, 2]) {
        nic.rss.setReta({ [hash & 127]: queue });
        expect(through(from, nic, frame).queue).to.equal(queue);
      }
    });

    it("refuses a queue or an index that does not exist, and changes nothing", () => {
      const { nic } = setup({ queues: 4 });
      const before = nic.rss.reta;
      expect(() => nic.rss.setReta({ 3: 2, 5: 4 })).to.throw(
        'The option "reta[5]" must be a whole number from 0 to 3, not 4',
      );
      expect(() => nic.rss.setReta({ 128: 0 })).to.throw('"reta index"');
      expect(() => nic.rss.setReta([1, 2, 3])).to.throw("128 entries");
      expect(nic.rss.reta).to.deep.equal(before);
    });
  });

  it("hashes on one queue only when asked to, and never what is not IPv4", () => {
    const [to, toPort, source, sourcePort, , hash] = VECTORS[0]!;
    const frame = ether(ipv4({ from: source, to }, tcp({ from: sourcePort, to: toPort })));
    const silent = setup({ queues: 1 });
    expect(through(silent.from, silent.nic, frame)).to.include({ hash: 0, queue: 0 });
    expect(through(silent.from, silent.nic, frame).flags & RX_RSS_HASH).to.equal(0);

    const asked = setup({ queues: 1, offloads: { rssHash: true } });
    expect(asked.nic.capabilities & CAP_RSS_HASH).to.not.equal(0);
    expect(through(asked.from, asked.nic, frame).hash).to.equal(hash);
    const arp = through(asked.from, asked.nic, ether({ type: 0x0806 }, new Uint8Array(46)));
    expect(arp.flags & RX_RSS_HASH).to.equal(0);
  });
});

// Fragments in: every order, duplicates, overlaps, lies about lengths, time, limits. Fragments out.
// Read first: RFC 791 section 3.2, RFC 815, RFC 1858; RFC 3168 section 5.3 for ECN.

import { expect } from "chai";
import {
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_DONT,
  IP_PMTUDISC_PROBE,
  IPPROTO_IP,
} from "../assembly/layout.ts";
import { ether, fragments, HOST, ipv4, pattern, tcp, udp } from "./support/frames.ts";
import type { Ipv4Fields, Layer } from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";
import { chance, seedOf } from "./support/chance.ts";

function listening(options: Parameters<typeof stackHarness>[0] = {}): { h: StackHarness; fd: number } {
  const h = stackHarness(options);
  return { h, fd: h.udp({ bind: ":7" }) };
}

/** The fragments of a datagram with `size` bytes of payload for the socket. */
function cut(size: number, step = 1480, fields: Ipv4Fields = {}): Layer[] {
  return fragments(ipv4(fields, udp({ to: 7 }, pattern(size))).bytes(), step).map((bytes) => ether(bytes));
}

/** Expects that the whole pattern has arrived, once. */
function expectWhole(h: StackHarness, fd: number, size: number): void {
  const received = h.receiveFrom(fd);
  if (typeof received === "string") throw new Error(received);
  expect(Buffer.from(received.data).equals(pattern(size)), "payload").to.be.true;
  expect(h.text(fd)).to.equal("EAGAIN");
}

function expectNothing(h: StackHarness, fd: number): void {
  expect(h.text(fd)).to.equal("EAGAIN");
  expect({ ...h.pools(), SOCKET: 0 }, "elements in use").to.deep.equal({ SOCKET: 0 });
}

describe("reassembly: orders", () => {
  const orders: [string, number[]][] = [
    ["in order", [0, 1, 2, 3]],
    ["backwards", [3, 2, 1, 0]],
    ["the last first", [3, 0, 1, 2]],
    ["the first last", [1, 2, 3, 0]],
    ["odd ones first", [1, 3, 0, 2]],
    ["even ones first", [0, 2, 1, 3]],
    ["the middle last", [0, 3, 2, 1]],
  ];
  for (const [what, order] of orders) {
    it(`puts four fragments together, ${what}`, () => {
      const { h, fd } = listening();
      const parts = cut(5000);
      expect(parts).to.have.length(4);
      for (const i of order) h.receive(parts[i]!);
      expectWhole(h, fd, 5000);
      expectNothing(h, fd);
      expect(h.counters()).to.deep.include({ IP_REASM_REQDS: 4, IP_REASM_OKS: 1, IP_IN_DELIVERS: 1 });
    });
  }

  it("puts the largest datagram together", () => {
    const { h, fd } = listening();
    for (const part of cut(65507)) h.receive(part);
    expectWhole(h, fd, 65507);
    expectNothing(h, fd);
  });

  it("puts fragments of 8 bytes together, up to 64 runs apart", () => {
    const { h, fd } = listening();
    const parts = cut(64 * 16 - 8, 8);
    for (const [i, part] of parts.entries()) if (i % 2 === 1) h.receive(part);
    for (const [i, part] of parts.entries()) if (i % 2 === 0) h.receive(part);
    expectWhole(h, fd, 64 * 16 - 8);
  });

  it("gives up a datagram whose fragments make more runs than 64", () => {
    const { h, fd } = listening();
    for (const [i, part] of cut(3000, 8).entries()) if (i % 2 === 1) h.receive(part);
    expect(h.counter("IP_REASM_FAILS")).to.equal(2);
    h.advance(60_000);
    expectNothing(h, fd);
  });

  it("keeps datagrams apart by identification, source and protocol", () => {
    const { h, fd } = listening();
    const a = cut(2000, 1480, { id: 1 });
    const b = cut(2000, 1480, { id: 2 });
    const c = cut(2000, 1480, { id: 1, from: "10.0.0.3" });
    const d = fragments(ipv4({ id: 1, protocol: 200 }, pattern(2000)).bytes(), 1480).map((bytes) => ether(bytes));
    for (const parts of [a, b, c, d]) h.receive(parts[0]!);
    for (const parts of [d, c, b, a]) h.receive(parts[1]!);
    const from = [1, 2, 3].map(() => {
      const received = h.receiveFrom(fd);
      return typeof received === "string" ? received : received.from;
    });
    expect(from).to.deep.equal(["10.0.0.3", "10.0.0.2", "10.0.0.2"]);
    h.expectSent({ icmp: { type: 3, code: 2 } });
    expectNothing(h, fd);
  });

  it("puts fragments together that each span several mbufs", () => {
    const { h, fd } = listening();
    for (const part of cut(5000)) h.receive(part, { split: [40, 3, 500] });
    expectWhole(h, fd, 5000);
  });

  it("delivers in small chunks when no large one is left for the socket", () => {
    const { h, fd } = listening({ sizes: { CFG_LARGE_CHUNKS: 1 } });
    for (const part of cut(40_000)) h.receive(part);
    expectWhole(h, fd, 40_000);
  });

  it("verifies the checksum of the whole", () => {
    const { h, fd } = listening();
    const parts = fragments(ipv4(udp({ to: 7, checksum: 0x5555 }, pattern(3000))).bytes(), 1480);
    for (const part of parts) h.receive(ether(part));
    expect(h.counter("UDP_IN_CSUM_ERRORS")).to.equal(1);
    expectNothing(h, fd);
  });

  it("quotes the whole in the error when nobody listens", () => {
    const h = stackHarness();
    for (const part of fragments(ipv4({ id: 9 }, udp({ to: 8 }, pattern(3000))).bytes(), 1480)) h.receive(ether(part));
    h.expectSent({ icmp: { type: 3, code: 3 }, quoted: { ip: { id: 9, total: 3028, mf: false }, udp: { to: 8 } } });
  });

  const seed = seedOf(0x5eed);
  it(`puts shuffled and repeated fragments together (seed ${seed})`, () => {
    const random = chance(seed);
    const { h, fd } = listening();
    for (let round = 0; round < 60; round++) {
      const size = 1 + random(20_000);
      const step = 8 * (1 + random(180));
      const parts = cut(size, Math.max(step, Math.ceil(size / 60 / 8) * 8), { id: round });
      const order = parts.flatMap((part) => (random(4) === 0 ? [part, part] : [part]));
      for (let i = order.length - 1; i > 0; i--) {
        const j = random(i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      for (const part of order) h.receive(part);
      const received = h.receiveFrom(fd);
      const data = typeof received === "string" ? Buffer.from(received) : Buffer.from(received.data);
      expect(data.equals(pattern(size)), `round ${round}, ${size} bytes in parts of ${step}`).to.be.true;
      // Duplicates that came after the end have begun a datagram that never ends.
      while (h.text(fd) !== "EAGAIN");
    }
    h.advance(60_000);
    expectNothing(h, fd);
  });
});

describe("reassembly: what is refused", () => {
  it("ignores duplicates", () => {
    const { h, fd } = listening();
    const parts = cut(5000);
    for (const i of [0, 0, 1, 1, 0, 2, 1, 3]) h.receive(parts[i]!);
    expectWhole(h, fd, 5000);
    expect(h.counter("IP_REASM_FAILS")).to.equal(0);
  });

  it("drops the whole datagram when fragments overlap (RFC 5722)", () => {
    const { h, fd } = listening();
    const whole = ipv4(udp({ to: 7 }, pattern(3000)))
      .bytes()
      .subarray(20);
    const part = (from: number, to: number, mf = true): Layer =>
      ipv4({ protocol: 17, offset: from, mf }, whole.subarray(from, to));
    const overlaps: Layer[][] = [
      [part(0, 1480), part(1472, 3008, false)],
      [part(1480, 3008, false), part(0, 1488)],
      [part(800, 1600), part(0, 2400)],
      [part(0, 800), part(1600, 2400), part(400, 2000)],
      [part(0, 800), part(1600, 2400), part(800, 2000)],
    ];
    for (const [i, parts] of overlaps.entries()) {
      for (const one of parts) h.receive(one);
      expect(h.counter("IP_REASM_FAILS"), `case ${i}`).to.equal(i + 1);
      expectNothing(h, fd);
    }
  });

  const lies: [string, Layer[]][] = [
    ["is empty", [ipv4({ protocol: 17, mf: true }, "")]],
    ["is no multiple of 8 though more follow", [ipv4({ protocol: 17, mf: true }, pattern(9))]],
    ["ends beyond 65,535 bytes (the ping of death)", [ipv4({ protocol: 17, offset: 65528 }, pattern(1000))]],
    ["ends one byte beyond", [ipv4({ protocol: 17, offset: 65512 }, pattern(4))]],
  ];
  for (const [what, frames] of lies) {
    it(`drops a fragment that ${what}`, () => {
      const { h, fd } = listening();
      for (const frame of frames) h.receive(frame);
      expect(h.counter("IP_REASM_FAILS")).to.equal(1);
      expectNothing(h, fd);
    });
  }

  it("takes a fragment that ends at 65,535 bytes", () => {
    const { h } = listening();
    h.receive(ipv4({ protocol: 17, offset: 65512 }, pattern(3)));
    expect(h.counter("IP_REASM_FAILS")).to.equal(0);
    expect(h.pools()).to.include({ REASSEMBLY: 1 });
  });

  const contradictions: [string, [number, number, boolean][]][] = [
    [
      "two ends",
      [
        [800, 400, false],
        [1600, 400, false],
      ],
    ],
    [
      "data behind the end",
      [
        [800, 400, false],
        [1600, 400, true],
      ],
    ],
    [
      "an end before data that is there",
      [
        [1600, 400, true],
        [800, 400, false],
      ],
    ],
  ];
  for (const [what, parts] of contradictions) {
    it(`drops a datagram with ${what}`, () => {
      const { h, fd } = listening();
      for (const [offset, length, mf] of parts) h.receive(ipv4({ protocol: 17, offset, mf }, pattern(length)));
      expect(h.counter("IP_REASM_FAILS")).to.equal(1);
      expectNothing(h, fd);
    });
  }

  it("drops TCP fragments that hide the flags (RFC 1858 4.2)", () => {
    const { h, fd } = listening();
    h.receive(ipv4({ protocol: 6, offset: 8, mf: true }, tcp({ flags: "S" }).bytes().subarray(8, 16)));
    expect(h.counter("IP_REASM_FAILS")).to.equal(1);
    expectNothing(h, fd);
  });
});

describe("reassembly: time and limits", () => {
  it("gives up after 30 s and tells the sender when the first fragment was there", () => {
    const { h, fd } = listening();
    const [first, second] = cut(4000, 1480, { id: 42 });
    h.receive(first!);
    h.advance(10_000);
    h.receive(second!);
    h.advance(19_999);
    h.expectSilence();
    h.advance(1);
    h.expectSent({
      ip: { to: "10.0.0.2", from: HOST.address },
      icmp: { type: 11, code: 1 },
      quoted: { ip: { id: 42 }, udp: { to: 7 } },
    });
    expect(h.counters()).to.deep.include({ IP_REASM_TIMEOUT: 1, IP_REASM_FAILS: 1 });
    expectNothing(h, fd);
  });

  it("gives up silently when it was not (RFC 1122 3.3.2)", () => {
    const { h, fd } = listening();
    h.receive(cut(4000)[1]!);
    h.advance(30_000);
    h.expectSilence();
    expect(h.counter("IP_REASM_TIMEOUT")).to.equal(1);
    expectNothing(h, fd);
  });

  it("takes the fragments that come later for another datagram", () => {
    const { h, fd } = listening();
    const [first, second, third] = cut(4000);
    h.receive(first!);
    h.advance(30_000);
    for (const part of [second!, third!]) h.receive(part);
    expect(h.text(fd)).to.equal("EAGAIN");
    h.receive(first!);
    expectWhole(h, fd, 4000);
  });

  it("lets the oldest datagram make room when the contexts are used up", () => {
    const { h, fd } = listening({ sizes: { CFG_REASSEMBLIES: 3, CFG_LARGE_CHUNKS: 64 } });
    const all = [1, 2, 3, 4].map((id) => cut(2000, 1480, { id }));
    for (const parts of all) h.receive(parts[0]!);
    expect(h.pools().REASSEMBLY).to.equal(3);
    expect(h.counter("IP_REASM_FAILS")).to.equal(1);
    for (const parts of all.slice(1)) h.receive(parts[1]!);
    for (let i = 0; i < 3; i++) expect(h.receiveFrom(fd)).to.be.an("object");
    h.receive(all[0]![1]!);
    expect(h.text(fd)).to.equal("EAGAIN");
    h.advance(60_000);
    expectNothing(h, fd);
  });

  it("never takes more than a quarter of the large chunks", () => {
    const { h, fd } = listening({ sizes: { CFG_REASSEMBLIES: 64, CFG_LARGE_CHUNKS: 16 } });
    for (let id = 0; id < 200; id++) h.receive(cut(2000, 1480, { id })[0]!);
    expect(h.pools()).to.include({ CHUNK_LARGE: 4, REASSEMBLY: 4 });
    expect(h.counter("IP_REASM_FAILS")).to.equal(196);
    h.advance(60_000);
    expectNothing(h, fd);
  });

  it("counts and drops when there is no large chunk at all", () => {
    const { h, fd } = listening({ sizes: { CFG_LARGE_CHUNKS: 0 } });
    for (const part of cut(2000)) h.receive(part);
    expect(h.counter("IP_REASM_FAILS")).to.equal(2);
    expectNothing(h, fd);
  });

  it("marks the datagram when a fragment met congestion, and drops a forged mix (RFC 3168 5.3)", () => {
    const { h, fd } = listening();
    const ecn = (first: number, second: number): string | number => {
      const mark = (i: number): number => (i === 0 ? first : second);
      const body = udp({ to: 7 }, pattern(2000)).bytes({ from: 0x0a000002, to: 0x0a000001 });
      h.receive(ipv4({ protocol: 17, mf: true, tos: mark(0) }, body.subarray(0, 1480)));
      h.receive(ipv4({ protocol: 17, offset: 1480, tos: mark(1) }, body.subarray(1480)));
      const received = h.receiveFrom(fd);
      return typeof received === "string" ? received : received.tos;
    };
    expect(ecn(2, 2)).to.equal(2);
    expect(ecn(2, 3)).to.equal(3);
    expect(ecn(3, 1)).to.equal(3);
    expect(ecn(0, 0)).to.equal(0);
    expect(ecn(0, 3)).to.equal("EAGAIN");
  });
});

describe("fragmentation", () => {
  for (const size of [1472, 1473, 2952, 2953, 65507]) {
    it(`cuts ${size} bytes of UDP so that a receiver puts them together`, () => {
      const h = stackHarness({ sizes: { CFG_MBUFS: 256 } });
      const fd = h.udp({ bind: ":7" });
      expect(h.send(fd, pattern(size), "10.0.0.2:9")).to.equal(size);
      const sent = h.sent();
      expect(sent).to.have.length(Math.ceil((size + 8) / 1480));
      expect(new Set(sent.map((packet) => packet.ip!.id)).size).to.equal(1);
      for (const [i, { ip: header, frame }] of sent.entries()) {
        expect(frame.length).to.be.at.most(1514);
        expect(header).to.include({ offset: i * 1480, mf: i < sent.length - 1, df: sent.length === 1 });
      }
      expect(h.pools()).to.deep.equal({ SOCKET: 1 });
      // Back again: what left is a datagram that another stack takes.
      const { h: other, fd: socket } = listening({ address: "10.0.0.2/24", resolved: false });
      const bind = other.udp({ bind: ":9" });
      for (const { frame } of sent) other.receive(ether({ from: HOST.mac, to: HOST.mac }, frame.subarray(14)));
      expectWhole(other, bind, size);
      other.core.close(socket);
    });
  }

  it("counts", () => {
    const h = stackHarness();
    h.send(h.udp(), pattern(4000), "10.0.0.2:9");
    expect(h.counters()).to.deep.include({ IP_OUT_REQUESTS: 1, IP_FRAG_OKS: 1, IP_FRAG_CREATES: 3 });
  });

  const modes: [string, number, string | number][] = [
    ["DONT", IP_PMTUDISC_DONT, 3000],
    ["DO", IP_PMTUDISC_DO, "EMSGSIZE"],
    ["PROBE", IP_PMTUDISC_PROBE, "EMSGSIZE"],
  ];
  for (const [name, mode, expected] of modes) {
    it(`IP_PMTUDISC_${name}: ${expected === 3000 ? "cuts" : "refuses"} what is too large`, () => {
      const h = stackHarness();
      const fd = h.udp();
      h.ok(h.setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, mode));
      const result = h.send(fd, pattern(3000), "10.0.0.2:9");
      expect(result).to.equal(expected === "EMSGSIZE" ? -90 : expected);
      expect(h.sent()).to.have.length(expected === 3000 ? 3 : 0);
      h.send(fd, "small", "10.0.0.2:9");
      h.expectSent({ ip: { df: mode !== IP_PMTUDISC_DONT } });
    });
  }

  it("stops, counted, when the mbufs run out half-way", () => {
    const h = stackHarness({ sizes: { CFG_MBUFS: 20 } });
    const fd = h.udp();
    h.send(fd, pattern(65507), "10.0.0.2:9");
    expect(h.counter("IP_FRAG_FAILS")).to.equal(1);
    h.sent();
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("sends jumbo frames whole where the link takes them", () => {
    const h = stackHarness({ mtu: 9000 });
    h.send(h.udp(), pattern(8000), "10.0.0.2:9");
    h.expectSent({ ip: { total: 8028, df: true } });
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
    const fd = h.udp();
    const texts = ["a", "b"].map((letter) => letter.repeat(5000));
    for (const text of texts) h.send(fd, text, "10.0.0.2:9"); // from the same buffer
    expect(h.sent().map((packet) => Buffer.from(packet.payload).toString())).to.deep.equal(texts);
  });
});

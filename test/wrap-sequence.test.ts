// Sequence numbers across 2^32: whole transfers with loss in both directions, then every number that a segment carries
// at the wrap itself. Read first: RFC 9293 3.4; RFC 2018, 2883, 6093.

import { expect } from "chai";
import { MSG_OOB } from "../assembly/layout.ts";
import { runScenario } from "../host/simulate/run.ts";
import type { EndPlan, Scenario } from "../host/simulate/scenario.ts";
import { pattern } from "./support/frames.ts";
import { TcpPeer } from "./support/wrap-peer.ts";

const WRAP = 2 ** 32;
const BYTES = 150_000;

/** One connection over a wire that loses, reorders and duplicates; the numbers of one end wrap after `distance`. */
function scenario(end: 0 | 1, distance: number, sysctl: Record<string, number>): Scenario {
  const plan = (offset: number): EndPlan => ({
    bytes: BYTES,
    offset,
    writeBytes: 8000,
    more: 0,
    readBytes: 0,
    peek: 0,
    readEveryMicros: 0,
    readPauseAt: Infinity,
    readPauseMicros: 0,
    writePauseAt: Infinity,
    writePauseMicros: 0,
    order: "first",
    ending: "shutdown",
    options: {},
  });
  const bad = { delay: 5000, loss: 0.03, duplicate: 0.02, reorder: 0.05, reorderGap: 3, hold: 8000 };
  const host = { stack: { connections: 8 }, sysctl };
  return {
    seed: distance + end,
    clock: { kind: "sequence", end, distance },
    drive: "busy",
    hosts: [host, host],
    links: [
      { toWire: bad, toHost: bad },
      { toWire: {}, toHost: {} },
    ],
    connections: [
      {
        client: 0,
        clientPort: 40_000,
        serverPort: 8000,
        openMicros: 0,
        ends: [plan(1), plan(2)],
        isFragile: false,
      },
    ],
    cuts: [],
  };
}

describe("sequence numbers wrap", function () {
  this.timeout(60_000);
  const flavours: [name: string, sysctl: Record<string, number>][] = [
    ["with every option", {}],
    ["without SACK", { tcp_sack: 0 }],
    ["without timestamps and scaling", { tcp_timestamps: 0, tcp_window_scaling: 0 }],
  ];
  // In the SYN, at its end, in the first segment, between two, far into the stream, at its end, in the FIN, behind it.
  const places = [0, 1, 2, 700, 1448, 1449, 2897, 65_535, 65_536, BYTES, BYTES + 1, BYTES + 2];
  for (const [name, sysctl] of flavours) {
    for (const end of [0, 1] as const) {
      it(`${places.length} places in a transfer with loss, by ${end ? "server" : "client"}, ${name}`, async () => {
        let retransmissions = 0;
        for (const distance of places) {
          const result = await runScenario(scenario(end, distance, sysctl));
          expect(result.bytes, `wrap after ${distance}`).to.equal(2 * BYTES);
          retransmissions += result.retransmissions;
        }
        expect(retransmissions).to.be.above(80);
      });
    }
  }
});

describe("at the wrap of what the stack sends", () => {
  it("SACK blocks on both sides of it: what lies between is sent again, and only that", () => {
    const peer = TcpPeer.nearWrap(3 * 1448);
    peer.write(pattern(10 * 1448));
    const segments = peer.segments();
    expect(segments.map(({ seq }) => seq)).to.include(0);
    const [first, , , fourth] = segments as [{ seq: number }, unknown, unknown, { seq: number }];
    expect(fourth.seq).to.equal(0);
    const block = (from: number, count: number): [number, number] => [
      (first.seq + from * 1448) >>> 0,
      (first.seq + (from + count) * 1448) >>> 0,
    ];
    // Segments 2 and 3 of those around the wrap are missing; the rest has come.
    peer.ack(first.seq + 2 * 1448, { sack: [block(4, 6)] });
    peer.advance(50);
    expect(peer.segments().map(({ seq }) => seq)).to.deep.equal([block(2, 1)[0], 0]);
    peer.ack(first.seq + 10 * 1448);
    peer.advance(2000);
    expect(peer.segments()).to.deep.equal([]);
  });

  it("a FIN that is the number 2^32 - 1, or 0", () => {
    for (const bytes of [99, 100]) {
      const peer = TcpPeer.nearWrap(100);
      peer.write(pattern(bytes));
      peer.shutdown();
      const segments = peer.segments();
      const last = segments.at(-1)!;
      expect(last.flags).to.contain("F");
      expect((last.seq + last.bytes) >>> 0).to.equal(bytes === 99 ? WRAP - 1 : 0);
      peer.ack(last.seq + last.bytes + 1);
      expect(peer.state()).to.equal(5); // FIN-WAIT-2
    }
  });

  it("a window that ends at it is filled to the last byte, and opened beyond it", () => {
    const peer = TcpPeer.nearWrap(5000);
    // A window shrinks only behind something new (Linux: tcp_may_update_window).
    peer.say("x");
    peer.ack(WRAP - 5000, { window: 5000 });
    peer.write(pattern(20_000));
    // What is less than a segment waits until nothing is in flight.
    peer.ack(WRAP - 656, { window: 656 });
    peer.advance(3000);
    const end = (): number => Math.max(...peer.segments().map(({ seq, bytes }) => (seq === 0 ? WRAP : seq) + bytes));
    expect(end()).to.equal(WRAP);
    peer.ack(0, { window: 0 });
    peer.advance(20_000);
    // Probes say the number below what is not acknowledged.
    expect(new Set(peer.segments().map(({ seq }) => seq))).to.deep.equal(new Set([WRAP - 1]));
    peer.ack(0, { window: 6000 });
    expect(peer.segments()[0]).to.include({ seq: 0 });
  });

  it("an urgent pointer beyond it", () => {
    const peer = TcpPeer.nearWrap(2);
    peer.write(pattern(5), MSG_OOB);
    const segment = peer.segments()[0]!;
    expect(segment.flags).to.contain("U");
    expect(segment.seq).to.equal(WRAP - 2);
    expect((segment.seq + segment.urgent) >>> 0).to.be.within(2, 3);
  });

  it("an ACK behind what was sent is no news, one in front of it neither", () => {
    const peer = TcpPeer.nearWrap(1000);
    peer.write(pattern(2000));
    peer.segments();
    peer.ack(WRAP - 1000 + 2001);
    peer.ack(WRAP - 1000 - 3000);
    expect(peer.unacknowledged()).to.equal(2000);
    peer.ack(1000);
    expect(peer.unacknowledged()).to.equal(0);
  });
});

describe("at the wrap of what the stack receives", () => {
  for (const ahead of [0, 1, 700, 1448, 3000]) {
    it(`islands on both sides of it, filled from behind (2^32 is ${ahead} bytes away)`, () => {
      const peer = TcpPeer.open({ isn: (WRAP - 1 - ahead) >>> 0 });
      const data = pattern(10_000);
      const parts = Array.from({ length: 10 }, (_, i) => i * 1000);
      for (const at of parts.slice(1).reverse()) peer.say(data.subarray(at, at + 1000), { at });
      const sack = peer.latest().options.sack!;
      expect(sack[0]).to.deep.equal([(peer.first + 1000) >>> 0, (peer.first + 10_000) >>> 0]);
      peer.say(data.subarray(0, 1000), { at: 0 });
      expect(peer.latest().ack).to.equal((peer.first + 10_000) >>> 0);
      expect(peer.read()).to.deep.equal(data);
    });
  }

  it("what comes twice is reported by a D-SACK that spans it", () => {
    const peer = TcpPeer.open({ isn: WRAP - 1 - 500 });
    const data = pattern(1000);
    peer.say(data, { at: 0 });
    peer.say(data, { at: 0 });
    expect(peer.latest().options.sack![0]).to.deep.equal([WRAP - 500, 500]);
    expect(peer.read()).to.deep.equal(data);
  });

  it("the urgent byte is found beyond it", () => {
    const peer = TcpPeer.open({ isn: WRAP - 1 - 2 });
    peer.say("abcdef", { at: 0, flags: "PAU", urgent: 4 });
    expect(Buffer.from(peer.read(MSG_OOB)).toString()).to.equal("d");
    expect(Buffer.from(peer.read()).toString()).to.equal("abc");
  });

  for (const ahead of [0, 1]) {
    it(`a FIN ${ahead === 0 ? "whose number is 0" : "whose number is 2^32 - 1"} ends the stream`, () => {
      const peer = TcpPeer.open({ isn: WRAP - 1 - 100 - ahead });
      peer.say(pattern(100), { at: 0, flags: "FA" });
      peer.advance(200);
      expect(peer.latest().ack).to.equal((WRAP - ahead + 1) >>> 0);
      expect(peer.read()).to.deep.equal(pattern(100));
      expect(peer.read()).to.deep.equal(new Uint8Array(0));
    });
  }

  it("a reset counts at the very number, one beside it is challenged", () => {
    for (const [beside, state] of [
      [0, 7],
      [1, 1],
      [-1, 1],
    ] as const) {
      const peer = TcpPeer.open({ isn: WRAP - 1 });
      peer.say("", { at: beside, flags: "R" });
      expect(peer.state(), `${beside} beside`).to.equal(state);
    }
  });

  it("the window's right edge: what lies in it is taken, what lies behind it is not", () => {
    const peer = TcpPeer.open({ isn: WRAP - 1 - 1000 });
    peer.say("y", { at: 0 });
    const room = 1 + peer.latest().window;
    peer.say("x", { at: room - 1 });
    expect(peer.latest().options.sack![0]).to.deep.equal([peer.first + room - 1 - WRAP, peer.first + room - WRAP]);
    const before = peer.counter("TCP_OUT_OF_WINDOW");
    peer.say("x", { at: room });
    peer.say("x", { at: room + 1 });
    expect(peer.counter("TCP_OUT_OF_WINDOW") - before).to.be.within(1, 2);
  });
});

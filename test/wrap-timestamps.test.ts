// Timestamps at their worst: they wrap, the peer's clock stands still or runs backwards, the connection sleeps for
// weeks, months, years. Read first: RFC 7323 section 5 (PAWS), 5.5 (outdated timestamps); RFC 6191.

import { expect } from "chai";
import { EXCHANGE_ARGS, IPPROTO_TCP, TCP_INFO, TCP_TIMESTAMP } from "../assembly/layout.ts";
import { ether, ipv4, pattern, tcp } from "./support/frames.ts";
import { type StackHarness, stackHarness } from "./support/harness.ts";
import { TcpPeer } from "./support/wrap-peer.ts";
import { Wired } from "./support/wired.ts";

const WRAP = 2 ** 32;
const DAY = 86_400_000;
const HALF = 2 ** 31;
/** Offset of tcpi_rtt in struct tcp_info. */
const RTT_AT = 68;

/** The smoothed round trip of a connection (tcpi_rtt). */
function rttMicros(stack: StackHarness, fd: number): number {
  const at = stack.core.exchange() + EXCHANGE_ARGS;
  stack.ok(stack.core.getsockopt(fd, IPPROTO_TCP, TCP_INFO, at, RTT_AT + 4));
  return stack.exchangeWord(EXCHANGE_ARGS + RTT_AT);
}

/** Sends a byte with TSval `stamp`; has the stack taken it? */
function takes(peer: TcpPeer, stamp: number, at: number): boolean {
  peer.stamp = stamp >>> 0;
  peer.say("x", { at });
  return typeof peer.h.read(peer.fd) !== "string";
}

describe("the peer's timestamps wrap", () => {
  it("what is new across the wrap is taken, what is old across it is refused", () => {
    const peer = TcpPeer.open({ stamp: WRAP - 2 });
    const stamps = [WRAP - 2, WRAP - 1, 0, 1, 5000];
    stamps.forEach((stamp, at) => expect(takes(peer, stamp, at), `${stamp}`).to.be.true);
    for (const old of [WRAP - 1, HALF + 5001, 4000]) expect(takes(peer, old, 5), `${old}`).to.be.false;
    expect(peer.counter("TCP_PAWS_REJECTED")).to.equal(3);
    expect(takes(peer, HALF - 1 + 5000, 5)).to.be.true;
  });

  it("of a whole stream, tick by tick", () => {
    const peer = TcpPeer.open({ stamp: WRAP - 500 });
    for (let at = 0; at < 1000; at++) expect(takes(peer, WRAP - 500 + at, at)).to.be.true;
    expect(peer.counter("TCP_PAWS_REJECTED")).to.equal(0);
  });
});

describe("the stack's timestamps wrap", () => {
  for (const before of [1, 300, 2000]) {
    it(`${before} ms into a transfer with loss: round trips are measured, data arrives`, () => {
      const wired = new Wired();
      const ends = wired.connect();
      const stacks = [
        [wired.a, ends.a],
        [wired.b, ends.b],
      ] as const;
      for (const [stack, fd] of stacks) stack.setOption(fd, IPPROTO_TCP, TCP_TIMESTAMP, WRAP - before);
      let count = 0;
      for (let i = 0; i < 100; i++) {
        wired.exchange(ends, 20_000, 5, (frame) => frame.length > 100 && ++count % 37 === 0);
        wired.advance(30);
      }
      for (const [stack, fd] of stacks) expect(rttMicros(stack, fd)).to.be.below(100_000);
      expect(wired.a.counter("TCP_PAWS_REJECTED") + wired.b.counter("TCP_PAWS_REJECTED")).to.equal(0);
      expect(wired.a.counter("TCP_RETRANS_SEGS")).to.be.above(5);
    });
  }

  it("an echo from before the wrap gives a round trip that is right", () => {
    const peer = TcpPeer.open({ stamp: 1 });
    peer.h.setOption(peer.fd, IPPROTO_TCP, TCP_TIMESTAMP, WRAP - 30);
    for (let i = 0; i < 8; i++) {
      peer.write(pattern(100));
      const sent = peer.latest();
      peer.advance(20);
      peer.ack(sent.seq + sent.bytes);
    }
    expect(peer.latest().options.timestamps![0]).to.be.below(200);
    peer.write(pattern(100));
    peer.segments();
    // An RTO of a second or more would mean that a sample was taken for weeks.
    peer.advance(400);
    expect(peer.segments().length).to.be.above(0);
  });
});

describe("timestamps after a long sleep (RFC 7323 5.5)", () => {
  for (const [days, isTaken] of [
    [1, false],
    [20, false],
    [23.9, false],
    [24.1, true],
    [25, true],
    [49.8, true],
    [60, true],
    [72, true],
    [100, true],
    [1000, true],
  ] as const) {
    it(`of ${days} days: a smaller one is ${isTaken ? "taken, since PAWS is outdated" : "refused"}`, () => {
      const peer = TcpPeer.open({ stamp: 1_000_000 });
      expect(takes(peer, 1_000_000, 0)).to.be.true;
      peer.advance(days * DAY);
      expect(takes(peer, 999_000, 1)).to.equal(isTaken);
      // It is the measure from now on.
      if (isTaken) {
        expect(takes(peer, 998_000, 2)).to.be.false;
        expect(takes(peer, 999_001, 2)).to.be.true;
      }
    });
  }
});

describe("the peer's clock", () => {
  it("stands still: every segment is taken, and round trips are measured by our own clock", () => {
    const peer = TcpPeer.open({ stamp: 77 });
    const data = pattern(1000);
    for (let at = 0; at < 100_000; at += 1000) {
      peer.say(data, { at });
      expect(peer.read()).to.deep.equal(data);
      if (at % 10_000 === 0) peer.advance(10);
    }
    for (let i = 0; i < 20; i++) {
      peer.write(pattern(500));
      const sent = peer.latest();
      peer.advance(15);
      peer.ack(sent.seq + sent.bytes);
    }
    expect(peer.counter("TCP_PAWS_REJECTED") + peer.counter("TCP_RETRANS_SEGS")).to.equal(0);
  });

  it("runs backwards: all is refused with an ACK, within limits, until it is right again", () => {
    const peer = TcpPeer.open({ stamp: 1_000_000, harness: { sysctls: { TCP_CHALLENGE_ACK_LIMIT: 100 } } });
    peer.segments();
    for (let i = 0; i < 1000; i++) expect(takes(peer, 999_000 - i, 0)).to.be.false;
    expect(peer.segments()).to.have.length(100);
    expect(peer.counter("TCP_PAWS_REJECTED")).to.equal(1000);
    expect(peer.state()).to.equal(1);
    expect(takes(peer, 1_000_001, 0)).to.be.true;
  });

  it("ticks once a second: nothing is refused", () => {
    const peer = TcpPeer.open({ stamp: WRAP - 3 });
    for (let at = 0; at < 100; at++) {
      expect(takes(peer, WRAP - 3 + Math.floor(at / 10), at)).to.be.true;
      peer.advance(100);
    }
  });
});

describe("TIME-WAIT across the wrap (RFC 6191)", () => {
  for (const [before, after, isNew] of [
    [WRAP - 10, 5, true],
    [5, WRAP - 10, false],
    [HALF, HALF + 1000, true],
  ] as const) {
    it(`a SYN with ${after} after ${before} is ${isNew ? "a new connection" : "an old duplicate"}`, () => {
      const h = stackHarness();
      const listener = h.tcp({ bind: ":80" });
      h.core.listen(listener, 4);
      const say = (fields: Parameters<typeof tcp>[0]): void => h.receive(ether(ipv4(tcp({ to: 80, ...fields }))));
      const stamps = { timestamps: [before, 0] as [number, number] };
      say({ flags: "S", seq: 100, options: { mss: 1460, ...stamps } });
      const isn = h.sentOne().tcp!.seq;
      say({ flags: "A", seq: 101, ack: isn + 1, options: stamps });
      const fd = h.ok(h.core.accept(listener, 0));
      h.core.close(fd);
      h.sent();
      say({ flags: "FA", seq: 101, ack: isn + 2, options: stamps });
      h.sent();
      expect(h.core.timeWaitCount()).to.equal(1);
      // Its number is older, so that only the timestamp speaks for it.
      say({ flags: "S", seq: 50, options: { mss: 1460, timestamps: [after, 0] } });
      expect(h.sentOne().tcp!.flags).to.equal(isNew ? "SA" : "A");
    });
  }
});

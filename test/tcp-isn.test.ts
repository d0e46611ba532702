// Initial sequence numbers: a clock, and a function of the connection that nobody can compute without the secret.
// Read first: RFC 6528 section 3; RFC 9293 section 3.4.1.

import { expect } from "chai";
import { stackHarness, type StackHarness } from "./support/harness.ts";
import { listenOn, type PeerOptions, TcpPeer } from "./support/tcp-peer.ts";

/** The number that the stack answers a SYN with. */
function initial(h: StackHarness, options: PeerOptions = {}): number {
  const peer = new TcpPeer(h, options);
  peer.say("S", { options: { mss: 1000 } });
  peer.heard();
  expect(peer.irs).not.to.equal(undefined);
  return peer.irs as number;
}

function server(seed = 1): StackHarness {
  const h = stackHarness({ seed });
  listenOn(h);
  return h;
}

/** The number of a new stack that has run for so long, for always the same connection. */
function after(millis: number, seed = 1): number {
  const h = server(seed);
  h.advance(millis);
  return initial(h);
}

describe("initial sequence numbers (RFC 6528)", () => {
  it("grows with the time", () => {
    // "M is the 4 microsecond timer"; a faster one is allowed: here 16 ticks in a microsecond.
    const start = after(0);
    for (const millis of [1, 10, 1000]) expect((after(millis) - start) >>> 0).to.equal((millis * 16_000) >>> 0);
  });

  it("starts elsewhere for each connection", () => {
    const h = server();
    const numbers = Array.from({ length: 64 }, (_, i) => initial(h, { port: 6000 + i }));
    const distances = numbers.slice(1).map((number, i) => Math.abs((number - numbers[i]!) | 0));
    expect(new Set(numbers).size).to.equal(64);
    // Neighbouring ports lie far apart: the chance of one pair within 2^16 is 63 in 2^15.
    expect(Math.min(...distances)).to.be.greaterThan(1 << 12);
  });

  it("depends on the secret", () => {
    const numbers = Array.from({ length: 32 }, (_, i) => after(0, i + 1));
    expect(new Set(numbers).size).to.equal(32);
    for (let bit = 0; bit < 32; bit++) {
      const ones = numbers.filter((number) => (number >>> bit) & 1).length;
      expect(ones, `bit ${bit}`).to.be.within(4, 28);
    }
  });
});

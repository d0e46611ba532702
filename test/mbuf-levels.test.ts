// The two pools of mbufs for transmission: when the second is created, what it serves, when it is dissolved.
// Read first: assembly/memory/tx-pool.ts.

import { expect } from "chai";
import { EAGAIN } from "../assembly/layout.ts";
import { chance, seedOf } from "./support/chance.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";

const L1 = 24;
const L2 = 16;
const LOW = 4;
const HIGH = 10;
const LINGER = 100;
const PEER = "10.0.0.2:9";

function harness(sizes: Record<string, number> = {}): StackHarness {
  const levels = { CFG_MBUFS: L1, CFG_L2_MBUFS: L2, CFG_MBUF_LOW: LOW, CFG_MBUF_HIGH: HIGH, CFG_L2_LINGER: LINGER };
  return stackHarness({ sizes: { ...levels, ...sizes } });
}

/** Sends one-mbuf datagrams; returns how many were taken. */
function send(h: StackHarness, fd: number, count: number): number {
  let taken = 0;
  for (let i = 0; i < count; i++) {
    const result = h.send(fd, "x", PEER);
    if (result === 1) taken++;
    else expect(result).to.equal(-EAGAIN);
  }
  return taken;
}

/** Lets the NIC take `count` of the packets that wait. */
function drain(h: StackHarness, count: number): void {
  h.nic.limit(1, count);
  h.poll();
  h.nic.limit(1, 0);
}

function used(h: StackHarness): [number, number] {
  const { MBUF = 0, MBUF_L2 = 0 } = h.pools();
  return [MBUF, MBUF_L2];
}

/** Times the L2 pool was created and dissolved. */
function lives(h: StackHarness): [number, number] {
  return [h.counter("MBUF_L2_CREATED"), h.counter("MBUF_L2_DISSOLVED")];
}

/** What the pools must do, written down a second time: where each packet that waits has its mbuf. */
class Oracle {
  readonly waiting: ("l1" | "l2")[] = [];
  room = 0;
  pressure = false;
  shortAt = -Infinity;
  readonly counts = { low: 0, l2: 0, failures: 0 };

  used(pool: "l1" | "l2"): number {
    return this.waiting.filter((each) => each === pool).length;
  }

  flush(): void {
    const taken = Math.min(this.room, this.waiting.length);
    this.waiting.splice(0, taken);
    this.room -= taken;
  }

  send(now: number): boolean {
    if (this.#take(now)) return true;
    if (this.waiting.length > 0) {
      this.flush();
      if (this.#take(now)) return true;
    }
    this.counts.failures++;
    return false;
  }

  #take(now: number): boolean {
    if (this.used("l1") < L1 - (this.pressure ? HIGH : LOW)) {
      this.waiting.push("l1");
      return true;
    }
    this.shortAt = now;
    if (!this.pressure) this.counts.low++;
    this.pressure = true;
    if (this.used("l2") < L2) {
      this.counts.l2++;
      this.waiting.push("l2");
      return true;
    }
    if (this.used("l1") === L1) return false;
    this.waiting.push("l1");
    return true;
  }

  /** May pressure end? */
  isQuiet(now: number): boolean {
    return this.used("l2") === 0 && this.used("l1") <= L1 - HIGH && now - this.shortAt >= LINGER;
  }
}

describe("the L2 pool of mbufs", () => {
  it("is created when L1 has fallen to its low watermark, and serves what is sent then", () => {
    const h = harness();
    const fd = h.udp();
    h.nic.limit(1, 0);
    expect(send(h, fd, L1 - LOW)).to.equal(L1 - LOW);
    expect(lives(h)).to.deep.equal([0, 0]);
    expect(send(h, fd, 3)).to.equal(3);
    expect(lives(h)).to.deep.equal([1, 0]);
    expect(used(h)).to.deep.equal([L1 - LOW, 3]);
    expect(h.counter("MBUF_LOW_WATERMARK")).to.equal(1);
    expect(h.counter("MBUF_L2_ALLOCS")).to.equal(3);
  });

  it("and what is left of L1 when both are gone: EAGAIN, counted once for each packet", () => {
    const h = harness();
    const fd = h.udp();
    h.nic.limit(1, 0);
    expect(send(h, fd, L1 + L2 + 5)).to.equal(L1 + L2);
    expect(used(h)).to.deep.equal([L1, L2]);
    expect(h.counter("MBUF_ALLOC_FAILURES")).to.equal(5);
    expect(h.counter("UDP_SNDBUF_ERRORS")).to.equal(5);
    drain(h, 7);
    expect(send(h, fd, 10), "room again").to.equal(7);
  });

  it("is dissolved when its mbufs are home and L1 has been above its high watermark for the linger time", () => {
    const h = harness();
    const fd = h.udp();
    h.nic.limit(1, 0);
    send(h, fd, L1 + 2);
    h.advance(10 * LINGER);
    expect(lives(h), "its mbufs wait in the queue").to.deep.equal([1, 0]);
    drain(h, Infinity);
    h.advance(2 * LINGER);
    expect(lives(h)).to.deep.equal([1, 1]);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
    expect(h.core.poolUsed(11), "nothing of it is in use").to.equal(0);
    expect(h.core.nextDeadline(), "no timer is left").to.equal(Infinity);
  });

  it("does not come and go with a load that swings about the low watermark", () => {
    const h = harness();
    const fd = h.udp();
    h.nic.limit(1, 0);
    send(h, fd, L1 - LOW - 1);
    for (let swing = 0; swing < 100; swing++) {
      expect(send(h, fd, 6)).to.equal(6);
      h.advance(LINGER * 0.4);
      drain(h, 6);
      h.advance(LINGER * 0.4);
    }
    expect(lives(h)).to.deep.equal([1, 0]);
    expect(h.counter("MBUF_LOW_WATERMARK")).to.equal(1);
    drain(h, Infinity);
    h.advance(3 * LINGER);
    expect(lives(h)).to.deep.equal([1, 1]);
    h.nic.limit(1, 0);
    send(h, fd, L1);
    expect(lives(h), "and again when it must").to.deep.equal([2, 1]);
  });

  it("may be missing: pressure is counted all the same", () => {
    const h = harness({ CFG_L2_MBUFS: 0 });
    const fd = h.udp();
    h.nic.limit(1, 0);
    expect(send(h, fd, L1 + 1)).to.equal(L1);
    expect(lives(h)).to.deep.equal([0, 0]);
    expect(h.counter("MBUF_LOW_WATERMARK")).to.equal(1);
    drain(h, Infinity);
    h.advance(3 * LINGER);
    h.nic.limit(1, 0);
    send(h, fd, L1);
    expect(h.counter("MBUF_LOW_WATERMARK")).to.equal(2);
  });

  const seed = seedOf(20251125);
  it(`holds every mbuf to account in 5,000 random steps of seed ${seed}`, () => {
    const dice = chance(seed);
    const h = harness();
    const fd = h.udp();
    const oracle = new Oracle();
    h.nic.limit(1, 0);
    let dissolved = 0;
    let quietSince = -Infinity;
    for (let step = 0; step < 5_000; step++) {
      const where = `step ${step} of seed ${seed}`;
      const what = dice(10);
      if (what < 4) {
        for (let i = dice(step % 1000 < 500 ? 14 : 3); i >= 0; i--) {
          expect(h.send(fd, "x", PEER), where).to.equal(oracle.send(h.now) ? 1 : -EAGAIN);
        }
      } else if (what < 8) {
        oracle.room = dice(dice(4) === 0 ? 60 : 8);
        h.nic.limit(1, oracle.room);
        h.poll();
        oracle.flush();
        h.nic.take(1);
      } else {
        h.nic.limit(1, (oracle.room = 0));
        h.advance(dice(dice(8) === 0 ? 300 : 30));
      }
      if (h.counter("MBUF_L2_DISSOLVED") !== dissolved) {
        dissolved++;
        expect(oracle.pressure && oracle.isQuiet(h.now), `${where}: dissolved`).to.be.true;
        oracle.pressure = false;
      }
      if (!oracle.isQuiet(h.now)) quietSince = h.now;
      else if (oracle.pressure) expect(h.now - quietSince, `${where}: lingers`).to.be.at.most(LINGER + 1 + 300);
      expect(used(h), where).to.deep.equal([oracle.used("l1"), oracle.used("l2")]);
      expect(lives(h), where).to.deep.equal([oracle.counts.low, dissolved]);
      expect(h.counter("MBUF_L2_ALLOCS"), where).to.equal(oracle.counts.l2);
      expect(h.counter("MBUF_ALLOC_FAILURES"), where).to.equal(oracle.counts.failures);
    }
    expect(dissolved, "lives of the L2 pool").to.be.above(3);
    expect(oracle.counts.failures).to.be.above(50);
    h.nic.limit(1, Infinity);
    h.advance(5 * LINGER);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });
});

// The stack's clock at its worst: it wraps around 2^32 (ms and us), stands still, jumps ahead by hours and years, goes
// back. Read first: assembly/index.ts (poll), assembly/timer.ts, assembly/stack.ts (setNow).

import { expect } from "chai";
import { IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_INFO, TCP_NODELAY } from "../assembly/layout.ts";
import { createNetwork } from "../host/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ether, fragments, ipv4, pattern, tcp, udp } from "./support/frames.ts";
import { stackHarness } from "./support/harness.ts";
import { type Ends, type Loses, Wired } from "./support/wired.ts";

const WRAP = 2 ** 32;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MEBIBYTE = 1_048_576;

/** Loses frames with data by chance. */
function lossy(seed: number): Loses {
  const random = chance(seed);
  return (frame) => frame.length > 100 && random(50) === 0;
}

/** A byte that says the state of a connection (TCP_*). */
function stateOf(wired: Wired, ends: Ends): number[] {
  return [wired.a.option(ends.a, IPPROTO_TCP, TCP_INFO) & 255, wired.b.option(ends.b, IPPROTO_TCP, TCP_INFO) & 255];
}

/** Everything of both stacks is given back once the last timer has run. */
function expectNothingLeft(wired: Wired): void {
  wired.advance(300_000);
  expect([wired.a.pools(), wired.b.pools()]).to.deep.equal([{}, {}]);
  expect([wired.a.core.nextDeadline(), wired.b.core.nextDeadline()]).to.deep.equal([Infinity, Infinity]);
}

describe("the clock wraps", function () {
  this.timeout(60_000);
  const seed = seedOf(7);
  const places: [name: string, startMillis: number][] = [
    ["microseconds at 2^32", WRAP / 1000],
    ["microseconds at 2^31", WRAP / 2000],
    ["milliseconds at 2^32", WRAP],
    ["milliseconds at 2^31", WRAP / 2],
    ["milliseconds at 3 * 2^32", 3 * WRAP],
  ];
  for (const [name, millis] of places) {
    for (const before of [40, 700]) {
      it(`${name}, ${before} ms after a transfer with loss begins (seed ${seed})`, () => {
        const startMillis = millis - before;
        const wired = new Wired({ startMillis }, { startMillis });
        const ends = wired.connect();
        const loses = lossy(seed + before);
        let took = 0;
        for (; wired.a.now < millis + 500; wired.advance(40, loses)) took += wired.exchange(ends, 50_000, 1, loses);
        expect(wired.a.counter("TCP_RETRANS_SEGS") + wired.b.counter("TCP_RETRANS_SEGS")).to.be.above(10);
        // Timers that a wrap leads astray fire never, or weeks later.
        expect(took).to.be.below(60_000);
        wired.close(ends);
        expectNothingLeft(wired);
      });
    }
  }

  it("a network's, with the option startMicros", async () => {
    for (const startMicros of [WRAP - 20_000, WRAP * 1000 - 20_000]) {
      const network = createNetwork({ seed: 3, time: "virtual", startMicros });
      const bridge = network.bridge("lan");
      const [one, two] = ["10.0.0.1/24", "10.0.0.2/24"].map((address, i) =>
        network.host(`h${i}`, { bridge, address, link: { delay: 3000, loss: 0.02 } }),
      );
      network.settle();
      const results = one!.posix;
      const fd = results.socket(2, 1 | 2048);
      const listener = two!.posix.socket(2, 1 | 2048);
      two!.posix.bind(listener, { port: 80 });
      two!.posix.listen(listener, 1);
      results.connect(fd, "10.0.0.2", 80);
      let served = -1;
      expect(network.runUntil(() => (served = two!.posix.accept4(listener, null, 2048)) >= 0, { timeout: "20s" })).to.be
        .true;
      const data = pattern(300_000);
      const got = new Uint8Array(300_000);
      let [sent, come] = [0, 0];
      const isDone = (): boolean => {
        sent += Math.max(0, results.send(fd, data.subarray(sent)));
        come += Math.max(0, two!.posix.recv(served, got.subarray(come)));
        return come === data.length;
      };
      expect(network.runUntil(isDone, { timeout: "60s" })).to.be.true;
      expect(Buffer.compare(got, data)).to.equal(0);
      expect(network.now()).to.be.within(startMicros + 20_000, startMicros + 60e6);
      await network.close();
    }
  });
});

describe("the clock stands still", () => {
  it("data flows, connections open and close, every poll ends", () => {
    const wired = new Wired();
    for (let i = 0; i < 5; i++) {
      const ends = wired.connect();
      wired.exchange(ends, MEBIBYTE);
      wired.close(ends);
    }
    expect(wired.a.counter("TCP_RETRANS_SEGS") + wired.b.counter("TCP_RETRANS_SEGS")).to.equal(0);
    expect(wired.a.now).to.equal(1_000_000);
    expectNothingLeft(wired);
  });

  it("small requests are answered", () => {
    const wired = new Wired();
    const ends = wired.connect();
    wired.a.setOption(ends.a, IPPROTO_TCP, TCP_NODELAY, 1);
    for (let i = 0; i < 1000; i++) wired.exchange(ends, 1 + (i % 50));
    wired.close(ends);
    expectNothingLeft(wired);
  });

  it("what is lost is sent again by the ACKs that come, the rest when the clock goes on", () => {
    const wired = new Wired();
    const ends = wired.connect();
    const every = (frame: Uint8Array, index: number): boolean => frame.length > 1000 && index % 40 === 17;
    try {
      wired.exchange(ends, MEBIBYTE, 0, every);
    } catch (error) {
      expect((error as Error).message).to.match(/^Nothing moves/);
    }
    expect(wired.a.counter("TCP_FAST_RETRANS")).to.be.above(0);
    for (let i = 0; i < 1000; i++) wired.a.poll();
    wired.a.nic.take(1);
    wired.advance(5000);
    expect(stateOf(wired, ends)).to.deep.equal([1, 1]);
  });
});

describe("the clock jumps ahead", function () {
  this.timeout(60_000);
  const jumps: [name: string, millis: number][] = [
    ["an hour", HOUR],
    ["a day", DAY],
    ["13 days", 13 * DAY],
    ["25 days", 25 * DAY],
    ["30 days", 30 * DAY],
    ["50 days", 50 * DAY],
    ["100 days", 100 * DAY],
  ];
  for (const [name, millis] of jumps) {
    /** Both clocks jump at once. Frames that this makes the stacks send. */
    const jump = (wired: Wired): number => {
      const to = wired.a.now + millis;
      for (const stack of [wired.a, wired.b]) stack.jump(to);
      return wired.settle();
    };

    it(`by ${name}: an idle connection stays, and works`, () => {
      const wired = new Wired();
      const ends = wired.connect();
      wired.exchange(ends, 100_000, 1);
      wired.advance(100);
      expect(jump(wired)).to.equal(0);
      wired.exchange(ends, 100_000, 1);
      expect(stateOf(wired, ends)).to.deep.equal([1, 1]);
      wired.close(ends);
      expectNothingLeft(wired);
    });

    it(`by ${name}: keepalive asks, it does not give up`, () => {
      const wired = new Wired();
      const ends = wired.connect();
      wired.a.setOption(ends.a, SOL_SOCKET, SO_KEEPALIVE, 1);
      wired.exchange(ends, 1000, 1);
      wired.advance(100);
      expect(jump(wired)).to.equal(name === "an hour" ? 0 : 2);
      wired.exchange(ends, 100_000, 1);
      expect(stateOf(wired, ends)).to.deep.equal([1, 1]);
    });

    it(`by ${name}, with data in flight that was lost: it is sent again, once`, () => {
      const wired = new Wired();
      const ends = wired.connect();
      wired.exchange(ends, 50_000, 1);
      wired.a.send(ends.a, pattern(5000));
      wired.settle(() => true);
      expect(jump(wired)).to.be.within(2, 60);
      wired.advance(1000);
      expect(wired.b.read(ends.b)).to.deep.equal(pattern(5000));
      expect(stateOf(wired, ends)).to.deep.equal([1, 1]);
      wired.exchange(ends, 100_000, 1);
    });

    it(`by ${name}, with a window that is shut: it is asked for, and opens`, () => {
      const wired = new Wired();
      const ends = wired.connect();
      const data = pattern(400_000);
      let sent = 0;
      for (let n = 1; n > 0; wired.settle()) {
        n = Math.max(0, wired.a.send(ends.a, data.subarray(sent, sent + 16_384)));
        sent += n;
      }
      wired.advance(2000);
      expect(jump(wired)).to.be.within(2, 40);
      let got = 0;
      for (let i = 0; got < sent && i < 1000; i++) {
        const bytes = wired.b.read(ends.b);
        if (typeof bytes !== "string") got += bytes.length;
        wired.advance(200);
      }
      expect(got).to.equal(sent);
      expect(stateOf(wired, ends)).to.deep.equal([1, 1]);
    });

    it(`by ${name}: what waits for its end ends: TIME-WAIT, fragments, ARP; timers run once`, () => {
      const h = stackHarness();
      const fd = h.tcp({ bind: ":80" });
      h.core.listen(fd, 4);
      h.receive(tcpSyn()); // a SYN-ACK that nobody answers
      const large = ipv4({ id: 9 }, udp({ to: 7 }, pattern(3000))).bytes();
      h.receive(ether(fragments(large, 1480)[0]!));
      h.udp({ connect: "10.0.0.99:5" });
      h.send(h.udp(), "to nobody", "10.0.0.77:9");
      h.poll();
      h.nic.take(1);
      const start = performance.now();
      h.jump(h.now + millis);
      h.poll();
      expect(h.nic.take(1).length).to.be.below(20);
      expect(performance.now() - start, "milliseconds that the jump takes").to.be.below(2000);
      for (let i = 0; i < 10; i++) h.advance(200_000);
      h.core.close(fd);
      expect(h.core.nextDeadline() - h.now * 1000).to.be.above(0);
      expect(h.pools()["REASSEMBLY"] ?? 0).to.equal(0);
      expect(h.pools()["TCB"] ?? 0).to.equal(0);
    });
  }

  it("by 200 years", () => {
    const wired = new Wired();
    const ends = wired.connect();
    wired.a.send(ends.a, pattern(5000));
    wired.settle();
    expect(wired.b.read(ends.b)).to.deep.equal(pattern(5000));
    for (const stack of [wired.a, wired.b]) stack.jump(200 * 365 * DAY);
    wired.settle();
    wired.exchange(ends, 100_000, 1);
    expect(wired.b.core.nextDeadline()).to.be.above(wired.b.now * 1000);
  });

  it("by centuries is refused by an assert, not by an endless loop", () => {
    const h = stackHarness();
    for (const now of [Infinity, NaN, 2 ** 60]) expect(() => h.core.poll(now)).to.throw(WebAssembly.RuntimeError);
  });

  it("between two polls: what is sent then has a time that the timers can follow", () => {
    const wired = new Wired();
    const ends = wired.connect();
    for (let days = 20; days <= 60; days += 20) wired.a.core.setClock((wired.a.now + days * DAY) * 1000);
    wired.a.send(ends.a, pattern(5000));
    for (const stack of [wired.a, wired.b]) stack.jump(stack.now + 60 * DAY);
    wired.settle();
    wired.advance(1000);
    expect(wired.b.read(ends.b)).to.deep.equal(pattern(5000));
  });
});

function tcpSyn(): Uint8Array {
  return ether(ipv4(tcp({ to: 80, flags: "S", seq: 1, options: { mss: 1460 } }))).bytes();
}

describe("the clock goes back", () => {
  for (const [name, millis] of [
    ["a millisecond", 1],
    ["an hour", HOUR],
    ["11 days", 11 * DAY],
  ] as const) {
    it(`by ${name}: for the stack it stands still until that time has come again`, () => {
      const startMillis = 12 * DAY;
      const wired = new Wired({ startMillis }, { startMillis });
      const ends = wired.connect();
      wired.exchange(ends, 100_000, 1);
      wired.advance(500);
      const top = wired.a.now;
      for (const stack of [wired.a, wired.b]) stack.jump(top - millis);
      wired.exchange(ends, MEBIBYTE);
      wired.a.send(ends.a, "lost");
      wired.settle(() => true);
      // The deadline lies ahead of where the clock was.
      expect(wired.a.core.nextDeadline()).to.be.above(top * 1000);
      for (const stack of [wired.a, wired.b]) stack.jump(top);
      wired.advance(1000);
      expect(Buffer.from(wired.b.read(ends.b) as Uint8Array).toString()).to.equal("lost");
      wired.exchange(ends, 100_000, 1);
      wired.close(ends);
      expectNothingLeft(wired);
    });
  }

  it("at one end only: the other one's retransmissions bridge it", () => {
    const wired = new Wired();
    const ends = wired.connect();
    wired.exchange(ends, 100_000, 1);
    wired.b.jump(wired.b.now - 500_000);
    let came = 0;
    for (let i = 0; i < 20; i++) {
      wired.a.send(ends.a, pattern(3000));
      wired.settle((frame, index) => frame.length > 1000 && index % 3 === 0);
      wired.a.advance(2000);
      wired.settle();
      const bytes = wired.b.read(ends.b);
      came += typeof bytes === "string" ? 0 : bytes.length;
    }
    expect(came).to.equal(60_000);
  });
});

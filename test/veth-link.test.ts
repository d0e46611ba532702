// Links: each rule does what it says, by count or by statistics with a seed; the same seed does the same again.
// Read first: veth/link-options.ts, veth/datapath/link-rules.ts; tc-netem(8).

import { expect } from "chai";
import {
  Capture,
  type CaptureRecord,
  type Link,
  LinkDirectory,
  type LinkOptions,
  type UserVeth,
} from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { BROADCAST_MAC, pattern } from "./support/frames.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";

interface Line {
  lab: Lab;
  a: UserVeth;
  b: UserVeth;
  link: Link;
  capture: Capture;
}

/** Two NICs with a link between, on the sender's or the receiver's side; arrivals are captured. */
function line(options: LinkOptions, side: "toWire" | "toHost" = "toWire"): Line {
  const lab = new Lab();
  const [a, b] = lab.pair({}, { ringSize: 8192 });
  const capture = Capture.create(lab, { size: "16MiB" });
  b.setCapture(capture);
  return { lab, a, b, link: (side === "toWire" ? a : b).setLink(side, options), capture };
}

interface Arrival {
  number: number;
  /** Microseconds. */
  at: number;
}

function arrivals(records: readonly CaptureRecord[]): Arrival[] {
  return records.map(({ data, timeNanos }) => ({ number: numberOf(data), at: Number(timeNanos) / 1000 }));
}

/** Sends frames 0 to count - 1, one every `gap` microseconds, and lets all of them arrive. */
function run({ a, b, link, capture }: Line, count: number, { gap = 1, length = 64, from = 0 } = {}): Arrival[] {
  const seen: Arrival[] = [];
  for (let number = 0; number < count; number++) {
    const now = from + number * gap;
    expect(a.send(numbered(a.mac, b.mac, number, length), now)).to.be.true;
    receiveAll(b, now);
    if (number % 1000 === 0) seen.push(...arrivals(capture.drain()));
  }
  while (link.nextDue < Infinity) {
    link.poll(link.nextDue);
    receiveAll(b, 0);
  }
  seen.push(...arrivals(capture.drain()));
  expect(b.mbufsInUse()).to.deep.equal([0]);
  expect(link.inFlight).to.equal(0);
  return seen;
}

function numbers(list: readonly Arrival[]): number[] {
  return list.map(({ number }) => number);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Expects a count of successes within five standard deviations of what it should be. */
function expectShare(count: number, trials: number, p: number): void {
  const deviation = Math.sqrt(trials * p * (1 - p));
  expect(count, `${count} of ${trials}, p = ${p}`).to.be.within(trials * p - 5 * deviation, trials * p + 5 * deviation);
}

const SEED = seedOf(42);

describe("a link", () => {
  before(() => console.log(`      seed ${SEED}`));

  for (const side of ["toWire", "toHost"] as const) {
    it(`without rules passes everything at once, in order (${side})`, () => {
      const made = line({}, side);
      const seen = run(made, 100);
      expect(seen).to.deep.equal(upTo(100).map((number) => ({ number, at: number })));
      expect(made.link.counters()).to.include({ offered: 100, delivered: 100, bytes: 6400, lost: 0 });
    });
  }

  it("loses as many frames as it should, each on its own", () => {
    const made = line({ loss: "10%", seed: SEED });
    const seen = run(made, 20000);
    expectShare(20000 - seen.length, 20000, 0.1);
    expect(made.link.counters()).to.include({ offered: 20000, lost: 20000 - seen.length, delivered: seen.length });
    const lost = new Set(upTo(20000));
    for (const { number } of seen) lost.delete(number);
    expectShare([...lost].filter((number) => lost.has(number + 1)).length, lost.size, 0.1);
  });

  it("loses all or nothing at the ends of the scale", () => {
    expect(run(line({ loss: 1 }), 500)).to.have.length(0);
    expect(run(line({ loss: 0, duplicate: 0, corrupt: 0 }), 500)).to.have.length(500);
  });

  it("loses in bursts of the right length and share (Gilbert-Elliott)", () => {
    const made = line({ gilbert: { p: "1%", r: "20%", lossGood: 0, lossBad: 1 }, seed: SEED });
    const count = 60000;
    const arrived = new Set(numbers(run(made, count)));
    let bursts = 0;
    for (let i = 1; i < count; i++) if (!arrived.has(i) && arrived.has(i - 1)) bursts++;
    const lost = count - arrived.size;
    // In the long run p / (p + r) of the frames are lost, in bursts of 1 / r.
    expect(lost / count).to.be.closeTo(0.01 / 0.21, 0.01);
    expect(lost / bursts).to.be.closeTo(5, 0.6);
    const mild = line({ gilbert: { p: 0.5, r: 0.5, lossGood: "1%", lossBad: "21%" }, seed: SEED });
    expectShare(20000 - run(mild, 20000).length, 20000, 0.11);
  });

  it("delays by exactly the delay, and not a moment less", () => {
    const { a, b, link } = line({ delay: "20ms" });
    a.send(numbered(a.mac, b.mac, 1), 1000.5);
    a.send(numbered(a.mac, b.mac, 2), 1200);
    expect(link.nextDue).to.equal(21000.5);
    expect([link.inFlight, link.poll(21000.4), b.pending(0)]).to.deep.equal([2, 0, 0]);
    expect([link.poll(21000.5), b.pending(0), link.nextDue]).to.deep.equal([1, 1, 21200]);
    // The NIC's own bursts look after its links.
    expect(receiveAll(b, 21199).map(({ data }) => numberOf(data))).to.deep.equal([1]);
    a.send(numbered(a.mac, BROADCAST_MAC, 3), 21200);
    expect(receiveAll(b, 21200).map(({ data }) => numberOf(data))).to.deep.equal([2]);
    expect(link.nextDue).to.equal(41200);
    expect(line({ delay: "5ms" }, "toHost")).to.satisfy(({ a, b }: Line) => {
      a.send(numbered(a.mac, b.mac, 1), 0);
      return receiveAll(b, 4999).length === 0 && b.nextDue === 5000 && receiveAll(b, 5000).length === 1;
    });
  });

  it("varies the delay within its bound, evenly; and so reorders, unless told not to", () => {
    const free = run(line({ delay: 1000, jitter: 400, seed: SEED }), 5000, { gap: 10 });
    const delays = free.map(({ number, at }) => at - number * 10);
    expect(Math.min(...delays)).to.be.within(600, 602);
    expect(Math.max(...delays)).to.be.within(1398, 1400);
    expect(delays.reduce((sum, delay) => sum + delay, 0) / delays.length).to.be.closeTo(1000, 17);
    expect(numbers(free)).to.not.deep.equal(upTo(5000));
    expect(numbers(free).sort((x, y) => x - y)).to.deep.equal(upTo(5000));
    for (let i = 1; i < free.length; i++) expect(free[i]!.at).to.be.at.least(free[i - 1]!.at);

    const ordered = run(line({ delay: 1000, jitter: 400, ordered: true, seed: SEED }), 5000, { gap: 10 });
    expect(numbers(ordered)).to.deep.equal(upTo(5000));
    expect(Math.min(...ordered.map(({ number, at }) => at - number * 10))).to.be.at.least(600);
  });

  it("varies the delay as a bell does when asked to", () => {
    const seen = run(line({ delay: 10000, jitter: 1000, distribution: "normal", seed: SEED }), 8000, { gap: 100 });
    const delays = seen.map(({ number, at }) => at - number * 100);
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
    const variance = delays.reduce((sum, delay) => sum + (delay - mean) ** 2, 0) / delays.length;
    expect(mean).to.be.closeTo(10000, 60);
    expect(Math.sqrt(variance)).to.be.closeTo(1000, 50);
    expectShare(delays.filter((delay) => Math.abs(delay - 10000) < 1000).length, delays.length, 0.67);
  });

  it("lets chosen frames overtake those under way (netem's reordering)", () => {
    const made = line({ delay: 1000, reorder: "5%", seed: SEED });
    const seen = run(made, 4000, { gap: 10 });
    const early = seen.filter(({ number, at }) => at === number * 10);
    expectShare(early.length, 4000, 0.05);
    expect(seen.filter(({ number, at }) => at === number * 10 + 1000)).to.have.length(4000 - early.length);
    expect(made.link.counters().reordered).to.equal(early.length);
  });

  it("holds chosen frames back until others have passed when there is no delay, but not for ever", () => {
    const made = line({ reorder: "2%", reorderGap: 3, hold: "1ms", seed: SEED });
    const seen = numbers(run(made, 3000, { gap: 1 }));
    const late = seen.filter((number, place) => seen.slice(0, place).some((other) => other > number));
    expect(late.length).to.equal(made.link.counters().reordered);
    expectShare(late.length, 3000, 0.02);
    for (const number of late.filter((one) => one < 2990)) {
      const ahead = seen.slice(0, seen.indexOf(number)).filter((other) => other > number && !late.includes(other));
      expect(ahead, `${number}`).to.have.length(3);
    }
    expect([...seen].sort((x, y) => x - y)).to.deep.equal(upTo(3000));

    const alone = line({ reorder: 1, hold: "1ms" });
    alone.a.send(numbered(alone.a.mac, alone.b.mac, 1), 500);
    expect(alone.link.nextDue).to.equal(1500);
    alone.link.poll(1500);
    expect(receiveAll(alone.b, 1500)).to.have.length(1);
  });

  it("duplicates: both copies whole, one behind the other", () => {
    const made = line({ duplicate: "25%", seed: SEED });
    const seen = numbers(run(made, 4000));
    const { duplicated, delivered } = made.link.counters();
    expectShare(duplicated, 4000, 0.25);
    expect([delivered, seen.length]).to.deep.equal([4000 + duplicated, 4000 + duplicated]);
    expect([...new Set(seen)]).to.deep.equal(upTo(4000));
    expect([...seen].sort((x, y) => x - y)).to.deep.equal(seen);
    expect(run(line({ duplicate: 1, delay: 50 }), 3).map(({ number, at }) => [number, at])).to.deep.equal([
      [0, 50],
      [0, 50],
      [1, 51],
      [1, 51],
      [2, 52],
      [2, 52],
    ]);
  });

  it("flips exactly one bit behind the Ethernet header, each as often as another", () => {
    const { a, b, link } = line({ corrupt: 1, seed: SEED });
    const hits = new Map<number, number>();
    const frame = pattern(30);
    frame.set(numbered(a.mac, b.mac, 0, 18).subarray(0, 14));
    for (let i = 0; i < 6400; i++) {
      a.send(frame, i);
      const [packet] = receiveAll(b, i);
      const flipped = [...packet!.data].flatMap((byte, at) => {
        const bits = byte ^ frame[at]!;
        return [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (bits >> bit) & 1).map((bit) => at * 8 + bit);
      });
      expect(flipped).to.have.length(1);
      hits.set(flipped[0]!, (hits.get(flipped[0]!) ?? 0) + 1);
    }
    expect(Math.min(...hits.keys())).to.equal(14 * 8);
    expect(hits.size).to.equal(16 * 8);
    for (const count of hits.values()) expect(count).to.be.within(15, 90);
    expect(link.counters().corrupted).to.equal(6400);
    // A frame that is nothing but its header has no bit to flip.
    a.send(frame.subarray(0, 14), 7000);
    expect([...receiveAll(b, 7000)[0]!.data]).to.deep.equal([...frame.subarray(0, 14)]);
  });

  it("loses everything while it is cut", () => {
    const { a, b, link } = line({ partition: true });
    const send = (number: number): number[] => {
      a.send(numbered(a.mac, b.mac, number), number);
      return receiveAll(b, number).map(({ data }) => numberOf(data));
    };
    expect(send(1)).to.deep.equal([]);
    link.set({ partition: false });
    expect(send(2)).to.deep.equal([2]);
    link.set({ partition: true });
    expect(send(3)).to.deep.equal([]);
    expect(link.counters()).to.include({ offered: 3, partitioned: 2, delivered: 1 });
  });

  it("does to listed frames what the lists say: every set of six frames", () => {
    const made = line({});
    const deliver = (options: LinkOptions): number[] => {
      made.link.set({ dropFrames: [], duplicateFrames: [], swapFrames: [], ...options });
      return numbers(run(made, 6));
    };
    for (let mask = 0; mask < 64; mask++) {
      const list = upTo(6).filter((number) => (mask >> number) & 1);
      expect(deliver({ dropFrames: list })).to.deep.equal(upTo(6).filter((number) => !list.includes(number)));
      expect(deliver({ duplicateFrames: list })).to.deep.equal(
        upTo(6).flatMap((number) => (list.includes(number) ? [number, number] : [number])),
      );
      // A frame waits for one frame that does not wait itself; at the end it goes by its time.
      const swapped: number[] = [];
      let waiting: number[] = [];
      for (const number of upTo(6)) {
        if (list.includes(number)) waiting.push(number);
        else {
          swapped.push(number, ...waiting);
          waiting = [];
        }
      }
      expect(deliver({ swapFrames: list })).to.deep.equal([...swapped, ...waiting]);
    }
    expect(deliver({ dropFrames: [63] })).to.deep.equal(upTo(6));
    made.link.set({ dropFrames: [63] });
    expect(numbers(run(made, 70))).to.deep.equal(upTo(70).filter((number) => number !== 63));
  });
});

describe("a link with a rate", () => {
  it("sends one frame after the other, each for as long as its bits take", () => {
    // 8 Mbit/s: a byte a microsecond.
    const seen = run(line({ rate: "8Mbit", delay: 5 }), 10, { gap: 0, length: 100 });
    expect(seen).to.deep.equal(upTo(10).map((number) => ({ number, at: (number + 1) * 100 + 5 })));
    const idle = run(line({ rate: "8Mbit" }), 10, { gap: 150, length: 100 });
    expect(idle.map(({ at, number }) => at - number * 150)).to.deep.equal(Array(10).fill(100));
    const framed = run(line({ rate: "8Mbit", overhead: 24 }), 3, { gap: 0, length: 100 });
    expect(framed.map(({ at }) => at)).to.deep.equal([124, 248, 372]);
  });

  it("keeps its rate over a long time, whatever is offered", () => {
    for (const gap of [100, 500, 900]) {
      const made = line({ rate: "10Mbit", queue: { packets: 20 } });
      const seen = run(made, 3000, { gap, length: 1250 });
      const span = seen.at(-1)!.at - seen[0]!.at;
      expect(((seen.length - 1) * 1250 * 8) / span).to.be.closeTo(10, 0.01);
      expect(made.link.counters().queueDrops).to.equal(3000 - seen.length);
      expect(made.link.counters().queueDrops).to.be.above(200);
    }
  });

  it("drops what finds the queue full: frames, or bytes", () => {
    const packets = line({ rate: "8Mbit", queue: { packets: 5 } });
    expect(numbers(run(packets, 20, { gap: 0, length: 100 }))).to.deep.equal(upTo(6)); // one on the wire, five wait
    const plain = line({ rate: "8Mbit", queue: 5 });
    expect(numbers(run(plain, 20, { gap: 0, length: 100 }))).to.deep.equal(upTo(6));
    const endless = line({ rate: "8Mbit", queue: 0 });
    expect(numbers(run(endless, 20, { gap: 0, length: 100 }))).to.deep.equal(upTo(20));
    const bytes = line({ rate: "8Mbit", queue: { packets: 0, bytes: 550 } });
    expect(numbers(run(bytes, 20, { gap: 0, length: 100 }))).to.deep.equal(upTo(5));
    expect(bytes.link.counters().queueDrops).to.equal(15);
    // An idle wire takes a frame that is larger than its queue.
    expect(numbers(run(line({ rate: "8Mbit", queue: { bytes: 50 } }), 3, { gap: 1000, length: 100 }))).to.deep.equal(
      upTo(3),
    );
    // Room comes back as frames leave.
    const later = line({ rate: "8Mbit", queue: { packets: 2 } });
    expect(numbers(run(later, 6, { gap: 50, length: 100 }))).to.deep.equal([0, 1, 2, 3, 4]);
  });

  it("drops and counts what finds no buffer, and gives every buffer back", () => {
    const made = line({ delay: "1s", buffers: 10 });
    for (let turn = 0; turn < 3; turn++) {
      expect(numbers(run(made, 15, { from: turn * 2e6 }))).to.deep.equal(upTo(10));
      expect(made.link.counters().bufferDrops).to.equal(5 * (turn + 1));
    }
    // The copy of a duplicated frame may be the one that finds none.
    const twice = line({ delay: "1s", duplicate: 1, buffers: 3 });
    expect(numbers(run(twice, 4))).to.deep.equal([0, 0, 1]);
    expect(twice.link.counters()).to.include({ offered: 4, duplicated: 2, bufferDrops: 3, delivered: 3 });
  });
});

describe("links together", () => {
  it("apply all rules at once, and nothing is lost without being counted", () => {
    const options: LinkOptions = {
      loss: "3%",
      gilbert: { p: "1%", r: "30%" },
      delay: 2000,
      jitter: 1500,
      reorder: "2%",
      duplicate: "4%",
      corrupt: "3%",
      rate: "50Mbit",
      queue: { packets: 40 },
      dropFrames: [3],
      seed: SEED,
    };
    for (const side of ["toWire", "toHost"] as const) {
      const made = line(options, side);
      const seen = run(made, 20000, { gap: 25, length: 150 });
      const c = made.link.counters();
      expect(c.offered).to.equal(20000);
      expect(c.delivered).to.equal(seen.length);
      expect(c.delivered).to.equal(c.offered - c.lost - c.listed - c.queueDrops - c.bufferDrops + c.duplicated);
      for (const counter of [c.lost, c.listed, c.duplicated, c.corrupted, c.reordered]) expect(counter).to.be.above(0);
    }
  });

  /** Four hosts on a bridge with bad links, sending at random; the whole story as text. */
  function story(seed: number): string {
    const lab = new Lab();
    const bridge = lab.bridge();
    const directory = LinkDirectory.create(lab);
    const capture = Capture.create(lab, { size: "16MiB" });
    const nics = upTo(4).map(() => lab.nic());
    for (const [place, nic] of nics.entries()) {
      bridge.plug(nic);
      nic.setCapture(capture);
      const rules = {
        loss: "5%",
        delay: 500,
        jitter: 300,
        duplicate: "5%",
        corrupt: "5%",
        reorder: "5%",
        rate: "20Mbit",
      };
      directory.add(nic.setLink("toWire", { ...rules, seed: seed + place }));
      directory.add(nic.setLink("toHost", { ...rules, seed: seed + 100 + place }));
    }
    const random = chance(1);
    let now = 0;
    let moved = 0;
    for (let i = 0; i < 2000; i++) {
      now += random(50);
      while (directory.nextDeadline <= now) moved += directory.poll(directory.nextDeadline);
      const from = nics[random(4)]!;
      from.send(numbered(from.mac, random(5) === 0 ? BROADCAST_MAC : nics[random(4)]!.mac, i, 64 + random(500)), now);
      for (const nic of nics) receiveAll(nic, now);
    }
    while (directory.nextDeadline < Infinity) moved += directory.poll(directory.nextDeadline);
    for (const nic of nics) {
      receiveAll(nic, now + 1e6);
      expect(nic.mbufsInUse()).to.deep.equal([0]);
    }
    expect(moved).to.be.above(2000);
    const records = capture.drain();
    expect(records.length).to.be.above(3000);
    return records
      .map((r) => `${r.port} ${r.direction} ${r.timeNanos} ${Buffer.from(r.data).toString("base64")}`)
      .join("\n");
  }

  it("tell the same story for the same seed, to the last bit, and another for another", () => {
    const first = story(SEED);
    expect(story(SEED) === first).to.be.true;
    expect(story(SEED + 1) === first).to.be.false;
  });

  it("reseeded, a link throws the same dice again", () => {
    const { a, b, link } = line({ loss: "50%" });
    const throwDice = (): string => {
      link.seed(123456789012345678n);
      return upTo(64)
        .map((number) => (a.send(numbered(a.mac, b.mac, number), number), receiveAll(b).length))
        .join("");
    };
    expect(throwDice()).to.equal(throwDice());
    expect(throwDice()).to.include("0").and.include("1");
  });

  it("change while frames are under way, which keep their times", () => {
    const { a, b, link } = line({ delay: 1000 });
    a.send(numbered(a.mac, b.mac, 1), 0);
    link.set({ delay: 10 });
    a.send(numbered(a.mac, b.mac, 2), 100);
    link.set({ delay: 0 });
    a.send(numbered(a.mac, b.mac, 3), 105);
    expect(receiveAll(b, 105).map(({ data }) => numberOf(data))).to.deep.equal([3]);
    link.poll(110);
    expect(receiveAll(b, 110).map(({ data }) => numberOf(data))).to.deep.equal([2]);
    link.poll(1000);
    expect(receiveAll(b, 1000).map(({ data }) => numberOf(data))).to.deep.equal([1]);
    expect(link.rules.delay).to.equal(0);
    link.set({ delay: "1h" });
    a.send(numbered(a.mac, b.mac, 4), 2000);
    expect(a.removeLink("toWire")).to.equal(1);
    a.send(numbered(a.mac, b.mac, 5), 2001);
    expect(receiveAll(b, 1e12).map(({ data }) => numberOf(data))).to.deep.equal([5]);
  });

  it("wait for a receiver that has no room, and lose nothing", () => {
    for (const options of [{}, { delay: 100 }, { rate: "100Mbit" }, { loss: "1%" }] as LinkOptions[]) {
      for (const side of ["toWire", "toHost"] as const) {
        const lab = new Lab();
        const [a, b] = lab.pair({}, { ringSize: 16 });
        const link = (side === "toWire" ? a : b).setLink(side, { ...options, seed: SEED, queue: { packets: 0 } });
        const seen: number[] = [];
        let number = 0;
        for (let now = 0; number < 600; now += 7) {
          while (number < 600 && a.send(numbered(a.mac, b.mac, number), now)) number++;
          if (now % 70 === 0) seen.push(...receiveAll(b, now).map(({ data }) => numberOf(data)));
          link.poll(now);
        }
        for (let now = 1e6; link.inFlight + b.pending(0) > 0; now += 20) {
          link.poll(now);
          seen.push(...receiveAll(b, now).map(({ data }) => numberOf(data)));
        }
        expect(seen.length).to.equal(600 - link.counters().lost);
        expect([...seen].sort((x, y) => x - y)).to.deep.equal(seen);
        expect(b.xstats()).to.include({ rx_missed_errors: 0, rx_mbuf_allocation_errors: 0 });
        expect(link.counters()).to.include({ bufferDrops: 0, queueDrops: 0 });
      }
    }
  });
});

// Sweeps, NICs and captures of the fuzzer, a bounded number of each, and that they would notice.
// Read first: test/fuzz/sweep.ts, nics.ts, captures.ts. `node dist/test/fuzz/main.js` runs millions.

import { expect } from "chai";
import { fuzzCaptures } from "./fuzz/captures.ts";
import { readCorpus } from "./fuzz/corpus.ts";
import { faultsOf } from "./fuzz/faults.ts";
import { counterOf, lengthCases, lengthFrame } from "./fuzz/length-list.ts";
import { fuzzNics } from "./fuzz/nics.ts";
import {
  IPV4_TYPES,
  ipv4OptionsPass,
  optionBytes,
  optionCases,
  readSynOptions,
  TCP_KINDS,
} from "./fuzz/option-list.ts";
import { steer } from "./fuzz/steering.ts";
import { DataOptionSweep, Ipv4OptionSweep, LengthSweep, SweepFailure, SynOptionSweep } from "./fuzz/sweep.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ether, ipv4, udp } from "./support/frames.ts";
import { Guard } from "./support/guard.ts";
import { stackHarness } from "./support/harness.ts";
import { Lab } from "./support/nics.ts";

/** Every how many-th case is tried here; primes, so that no length or place is left out throughout. */
const STRIDE = 37;
const LENGTH_STRIDE = 71;

describe("every option and length", function () {
  this.timeout(60_000);

  it("of IPv4: a datagram comes or its header is refused", () => {
    expect(new Ipv4OptionSweep().run(optionCases(IPV4_TYPES, [0, 255, 4], STRIDE))).to.be.above(3000);
  });

  it("of a SYN: the SYN-ACK offers what was asked for", () => {
    expect(new SynOptionSweep().run(optionCases(TCP_KINDS, [0, 255, 4], STRIDE))).to.be.above(6000);
  });

  for (const timestamps of [false, true]) {
    it(`of data ${timestamps ? "with" : "without"} timestamps: the byte comes`, () => {
      expect(new DataOptionSweep(timestamps).run(optionCases(TCP_KINDS, [0], STRIDE))).to.be.above(3000);
    });
  }

  it("of headers, datagrams, fragments and messages: each is counted where it must be", () => {
    expect(new LengthSweep().run(lengthCases(LENGTH_STRIDE))).to.be.above(30_000);
  });
});

describe("hostile frames from NIC to NIC", function () {
  this.timeout(60_000);
  const seed = seedOf(20_260_102);

  it(`12000 of them: bytes, queue and hash are right, work is done or refused (seed ${seed})`, () => {
    expect(fuzzNics({ frames: 12_000, seed, corpus: readCorpus() })).to.equal(12_000);
  });
});

describe("damaged captures", function () {
  this.timeout(60_000);
  const seed = seedOf(20_260_103);

  it(`3000 of them: packets or a PcapngError, the same from memory and file (seed ${seed})`, () => {
    const report = fuzzCaptures({ captures: 3000, seed, corpus: readCorpus() });
    expect(report.read).to.be.above(200);
    expect(report.refused).to.be.above(1000);
    expect(report.packets).to.be.above(2000);
  });
});

describe("the sweeps", () => {
  it("have independent readers of options", () => {
    const options = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
    expect(readSynOptions(options(2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7))).to.deep.equal({
      mss: true,
      wscale: true,
      sackPermitted: true,
      timestamps: 9,
    });
    expect(readSynOptions(options(3, 1, 4, 2)), "a bad length ends the list").to.include({ sackPermitted: false });
    expect(readSynOptions(options(3, 4, 0, 0, 4, 2, 1, 1)), "a wrong size is skipped").to.deep.include({
      wscale: false,
      sackPermitted: true,
    });
    expect(ipv4OptionsPass(options(7, 7, 4, 0, 0, 0, 0, 0))).to.be.true;
    for (const bad of [options(7, 1), options(7, 9, 4, 0), options(131, 3, 4, 0), options(1, 1, 1, 7)]) {
      expect(ipv4OptionsPass(bad), bad.join()).to.be.false;
    }
  });

  it("try each kind with each length at each place", () => {
    const cases = [...optionCases([8], [0])];
    expect(new Set(cases.map(({ length }) => length)).size).to.equal(45);
    expect(new Set(cases.map(({ at, room }) => `${at} of ${room}`)).size).to.equal(220);
    expect(optionBytes({ kind: 8, length: 10, at: 38, room: 40, fill: 5 }).subarray(37)).to.deep.equal(
      Uint8Array.of(1, 8, 10),
    );
  });

  it("notice a verdict that is not kept", () => {
    const whole = { protocol: 17, words: 5, total: 28, held: 28, fragment: 0, says: 8 };
    expect(counterOf(whole)).to.equal("IP_IN_DELIVERS");
    expect(lengthFrame(whole)).to.have.length(42);
    expect(new LengthSweep().run([whole])).to.equal(1);
    // Protocol 253 is nobody's, the verdict takes it for one that is delivered.
    expect(() => new LengthSweep().run([{ ...whole, protocol: 253 }])).to.throw(SweepFailure, "IP_IN_DELIVERS");
  });

  it("know where a frame must go", () => {
    const [, nic] = new Lab().pair({}, { queues: 4, offloads: { rssHash: true } });
    const frame = ether(ipv4(udp({ from: 1, to: 7 }, "x"))).bytes();
    const byHash = steer(nic, new Map(), frame);
    expect(byHash.queue).to.equal(nic.rss.reta[byHash.hash % 128]);
    expect(steer(nic, new Map([["17:7", 3]]), frame)).to.deep.equal({ ...byHash, queue: 3 });
    expect(steer(nic, new Map([["17:7", 3]]), frame.subarray(0, 41)).hash).to.not.equal(byHash.hash);
    expect(steer(nic, new Map(), frame.subarray(0, 33))).to.deep.equal({ queue: 0, hash: 0 });
  });
});

describe("the guards around an arena", () => {
  it("show the first byte that was written", () => {
    const buffer = new SharedArrayBuffer(300);
    const guard = new Guard(buffer, 100, 200);
    new Uint8Array(buffer)[99] = new Uint8Array(buffer)[200] = 1;
    expect(guard.firstTouched()).to.equal(-1);
    new Uint8Array(buffer)[150] = 0;
    expect(guard.firstTouched()).to.equal(50);
  });

  it("are part of what is wrong with a stack", () => {
    const h = stackHarness();
    expect(faultsOf(h, 0)).to.deep.equal([]);
    const random = chance(1);
    h.trespasses = () => [`Byte ${random(2)} was written.`];
    expect(faultsOf(h, 0)).to.have.length(1);
  });
});

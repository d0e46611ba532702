// The fuzzer for a bounded number of frames, and that it would notice. `node dist/test/fuzz/main.js` runs millions.
// Read first: test/fuzz/fuzz.ts.

import { expect } from "chai";
import { readCorpus } from "./fuzz/corpus.ts";
import { faultsOf } from "./fuzz/faults.ts";
import { Fuzzer, type FuzzReport } from "./fuzz/fuzz.ts";
import { FuzzPeer, LISTEN_PORT, STATES } from "./fuzz/live.ts";
import { isTcp, mutate, randomFrame } from "./fuzz/mutate.ts";
import { seal } from "./fuzz/seal.ts";
import { Twins, TwinsDiffer } from "./fuzz/twins.ts";
import { chance, seedOf } from "./support/chance.ts";
import { parse } from "./support/packets.ts";

const FRAMES = 80_000;
const DEBUG_FRAMES = 20_000;
const SCARCE_FRAMES = 20_000;

/** What a run of some ten thousand frames must have reached, or it says nothing. */
const REACHED = [
  ..."TCP_IN_CSUM_ERRORS TCP_IN_ERRS TCP_OUT_RSTS TCP_CHALLENGE_ACKS TCP_PAWS_REJECTED TCP_OUT_OF_WINDOW".split(" "),
  ..."TCP_OFO_QUEUED TCP_DUP_SEGS TCP_SACK_RECV TCP_DSACK_SENT TCP_RETRANS_SEGS TCP_TIME_WAITS".split(" "),
  ..."TCP_HEADER_PREDICTIONS TCP_ESTAB_RESETS TCP_PERSIST_PROBES TCP_SYN_COOKIES_SENT".split(" "),
  ..."UDP_IN_DATAGRAMS UDP_NO_PORTS ICMP_IN_ECHOS ICMP_IN_DEST_UNREACHS IGMP_IN_MSGS".split(" "),
  ..."ARP_IN_REQUESTS ARP_IN_REPLIES ARP_IN_ERRORS IP_IN_HDR_ERRORS IP_IN_TRUNCATED IP_REASM_REQDS".split(" "),
];

function fuzz(frames: number, seed: number, debug: boolean): FuzzReport {
  const before = process.env.ORIBI_DEBUG;
  process.env.ORIBI_DEBUG = debug ? "1" : "0";
  try {
    return new Fuzzer({ frames, seed, corpus: readCorpus() }).run();
  } finally {
    if (before === undefined) delete process.env.ORIBI_DEBUG;
    else process.env.ORIBI_DEBUG = before;
  }
}

describe("hostile frames at live connections", function () {
  this.timeout(120_000);
  const seed = seedOf(20_260_101);

  it(`${FRAMES} of them: no trap, nothing outside is read, counters add up, survivors work (seed ${seed})`, () => {
    const report = fuzz(FRAMES, seed, false);
    expect(report.frames).to.be.at.least(FRAMES);
    for (const state of STATES) expect(report.states[state], state).to.be.at.least(10);
    expect(report.alive, "survivors").to.be.at.least(30);
    expect(report.gone, "ended").to.be.at.least(30);
    expect(report.answers).to.be.above(10_000);
    for (const name of REACHED) expect(report.counters[name] ?? 0, name).to.be.at.least(5);
  });

  it(`${SCARCE_FRAMES} of them while every pool runs out (seed ${seed + 2})`, () => {
    const corpus = readCorpus();
    const report = new Fuzzer({ frames: SCARCE_FRAMES, seed: seed + 2, corpus, isScarce: true }).run();
    expect(report.shortages).to.be.above(300);
    expect(report.alive).to.be.above(10);
  });

  it(`${DEBUG_FRAMES} of them with every assert of the debug build (seed ${seed + 1})`, () => {
    expect(fuzz(DEBUG_FRAMES, seed + 1, true).answers).to.be.above(1000);
  });
});

describe("the fuzzer", () => {
  const corpus = readCorpus();

  it("starts from good frames of every protocol", () => {
    for (const { name, frame } of corpus) expect(() => parse(frame), name).to.not.throw();
    const protocols = new Set(corpus.map(({ frame }) => (frame[13] === 6 ? "arp" : frame[23])));
    expect([...protocols]).to.include.members(["arp", 1, 2, 6, 17, 99]);
    expect(corpus).to.have.length.above(50);
  });

  it("repairs checksums", () => {
    for (const { name, frame } of corpus.filter(({ frame }) => frame[13] === 0)) {
      const sealed = frame.slice();
      // A fragment's transport is not all there; a datagram may do without a checksum.
      const whole = (frame[20]! & 0x3f) === 0 && frame[21] === 0 && name !== "without a checksum";
      sealed.fill(0xee, 24, 26);
      if (whole && isTcp(frame)) sealed.fill(0xee, 50, 52);
      seal(sealed, whole);
      expect(Buffer.from(sealed).toString("hex"), name).to.equal(Buffer.from(frame).toString("hex"));
    }
  });

  it("damages frames in many ways, the same for the same seed", () => {
    const damaged = (seed: number): string[] => {
      const random = chance(seed);
      return Array.from({ length: 500 }, (_, i) => {
        const { frame } = corpus[i % corpus.length]!;
        return Buffer.from(i % 10 === 0 ? randomFrame(random) : mutate(frame, corpus[0]!.frame, random)).toString(
          "hex",
        );
      });
    };
    expect(damaged(3)).to.deep.equal(damaged(3));
    expect(new Set(damaged(3)))
      .to.have.property("size")
      .above(400);
    expect(new Set([...damaged(3), ...damaged(4)]))
      .to.have.property("size")
      .above(800);
  });

  it("notices twins that differ", () => {
    const twins = new Twins({});
    expect(() => twins.call((stack) => (stack === twins.one ? 1 : 2))).to.throw(TwinsDiffer, "A call gave 1 and 2");
    twins.one.inject(corpus.find(({ name }) => name === "echo request")!.frame);
    expect(() => twins.sent()).to.throw(TwinsDiffer, "1 and 0 frames left");
  });

  it("notices counters that do not add up", () => {
    const twins = new Twins({});
    twins.receive(corpus.map(({ frame }) => frame));
    expect(faultsOf(twins.one, corpus.length)).to.deep.equal([]);
    expect(faultsOf(twins.one, corpus.length + 1)).to.have.lengthOf(1);
    const counter = twins.one.counter.bind(twins.one);
    twins.one.counter = (name) => counter(name) + Number(name === "TCP_IN_SEGS");
    expect(faultsOf(twins.one, corpus.length)).to.have.lengthOf(1);
  });

  for (const timestamps of [true, false]) {
    it(`leads connections into every state, ${timestamps ? "with" : "without"} timestamps`, () => {
      const twins = new Twins({ sysctls: { TCP_TIMESTAMPS: Number(timestamps) } });
      const listener = twins.call((stack) => stack.tcp({ bind: `:${LISTEN_PORT}` }));
      twins.call(({ core }) => core.listen(listener, 16));
      const peer = new FuzzPeer(twins, chance(5), listener);
      for (const state of STATES) {
        const live = peer.open(state, 1);
        expect(live.heard, state).to.be.above(0);
        const mayReceive = /^ESTABLISHED|^FIN-WAIT-[12]$/.test(state);
        expect(peer.examine(live), state).to.equal(mayReceive ? "alive" : "gone");
        peer.forget(live);
      }
    });
  }

  it("notices a connection that hangs", () => {
    const twins = new Twins({});
    const listener = twins.call((stack) => stack.tcp({ bind: `:${LISTEN_PORT}` }));
    twins.call(({ core }) => core.listen(listener, 16));
    const peer = new FuzzPeer(twins, chance(5), listener);
    const live = peer.open("ESTABLISHED", 1);
    // A wire that carries nothing any more lets the stack look dead.
    twins.receive = () => [];
    expect(peer.examine(live)).to.equal("hung");
  });
});

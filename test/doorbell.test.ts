// The doorbell: no wake-up is lost. The protocol in every interleaving, then the class, then two threads at random.
// Read first: host/threads/doorbell.ts.

import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { DOORBELL_SEQUENCE, DOORBELL_SLEEPING } from "../assembly/layout.ts";
import { Doorbell } from "../host/threads/doorbell.ts";
import { numbered, Lab } from "./support/nics.ts";

describe("the doorbell's protocol, in every interleaving", () => {
  /** Shared words, and what the sleeper keeps: `n`, and whether it waits. */
  interface State {
    work: number;
    sleeping: number;
    sequence: number;
    n: number;
    waits: boolean;
  }
  /** One atomic action of a thread; "jump" leaves out the rest of its program. */
  type Action = (state: State) => void | "jump";

  const announce: Action = (s) => void (s.sleeping = 1);
  const readSequence: Action = (s) => void (s.n = s.sequence);
  const look: Action = (s) => (s.work > 0 ? "jump" : undefined);
  const waitUnlessChanged: Action = (s) => void (s.waits = s.sequence === s.n);
  const put: Action = (s) => void s.work++;
  const askSleeping: Action = (s) => (s.sleeping === 0 ? "jump" : undefined);
  const change: Action = (s) => void s.sequence++;
  const notify: Action = (s) => void (s.waits = false);
  const sender = [put, askSleeping, change, notify];

  /** Runs the threads in every order; returns the runs that end with work and a sleeper that nobody will wake. */
  function lost(threads: readonly (readonly Action[])[]): { runs: number; lost: number } {
    const result = { runs: 0, lost: 0 };
    const walk = (state: State, at: readonly number[]): void => {
      let moved = false;
      threads.forEach((program, i) => {
        const action = program[at[i] as number];
        if (action === undefined) return;
        moved = true;
        const next = { ...state };
        const to = action(next) === "jump" ? program.length : (at[i] as number) + 1;
        walk(next, at.with(i, to));
      });
      if (moved) return;
      result.runs++;
      if (state.waits && state.work > 0) result.lost++;
    };
    const start = { work: 0, sleeping: 0, sequence: 0, n: -1, waits: false };
    walk(
      start,
      threads.map(() => 0),
    );
    return result;
  }

  const sleeper = [announce, readSequence, look, waitUnlessChanged];

  it("loses nothing with one sender, two and three", () => {
    expect(lost([sleeper, sender])).to.include({ lost: 0 });
    expect(lost([sleeper, sender, sender])).to.include({ lost: 0 });
    const three = lost([sleeper, sender, sender, sender]);
    expect(three.lost).to.equal(0);
    expect(three.runs).to.be.above(10_000);
  });

  it("would lose some if the sleeper looked first, or read the sequence last", () => {
    expect(lost([[look, announce, readSequence, waitUnlessChanged], sender]).lost).to.be.above(0);
    expect(lost([[announce, look, readSequence, waitUnlessChanged], sender]).lost).to.be.above(0);
    expect(lost([sleeper, [askSleeping, put, change, notify]]).lost).to.be.above(0);
  });
});

describe("a doorbell", () => {
  function setUp(): { bell: Doorbell; words: Int32Array; lab: Lab } {
    const lab = new Lab();
    const at = lab.allocate(64);
    return { bell: new Doorbell(lab.memory, at), words: new Int32Array(lab.memory.buffer, at, 2), lab };
  }

  /** A thread that rings some milliseconds after it is told to, as the NIC does: one waiter is woken. */
  const RINGER = `
    const { parentPort } = require("node:worker_threads");
    parentPort.on("message", ({ words, millis }) => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis);
      while (Atomics.load(words, 1) === 0);
      Atomics.add(words, 0, 1);
      Atomics.notify(words, 0, 1);
    });`;

  it("does not sleep when there is work, and announces itself before it looks", () => {
    const { bell, words } = setUp();
    let announced = 0;
    expect(bell.sleep(() => ((announced = words[DOORBELL_SLEEPING / 4]!), 0))).to.equal("awake");
    expect(announced).to.equal(1);
    expect(words[DOORBELL_SLEEPING / 4]).to.equal(0);
  });

  it("sleeps no longer than it may", () => {
    const { bell } = setUp();
    expect(bell.sleep(() => 2)).to.equal("over");
  });

  it("does not sleep when it rings while it looks", () => {
    const { bell } = setUp();
    expect(bell.sleep(() => (bell.ring(), 60_000))).to.equal("rung");
  });

  it("does not sleep when a frame arrives right after it has looked", () => {
    const { bell, words, lab } = setUp();
    const [a, b] = lab.pair();
    b.setDoorbell(0, bell.address);
    a.send(numbered(a.mac, b.mac, 0), 0);
    expect(words[DOORBELL_SEQUENCE / 4], "nobody sleeps").to.equal(0);
    const end = bell.sleep(() => {
      a.send(numbered(a.mac, b.mac, 1), 0);
      return 60_000;
    });
    expect(end).to.equal("rung");
  });

  it("wakes a blocked thread, also when a promise of that thread waits as well", async () => {
    const { bell, words } = setUp();
    const ringer = new Worker(RINGER, { eval: true });
    const ringSoon = (): number => {
      ringer.postMessage({ words, millis: 2 });
      return 20_000;
    };
    try {
      for (let i = 0; i < 20; i++) {
        expect(bell.sleep(ringSoon)).to.equal("rung");
        const promise = bell.sleepAsync(() => 20_000, false);
        expect(bell.sleep(ringSoon)).to.equal("rung");
        await promise;
        await bell.sleepAsync(ringSoon, false);
      }
    } finally {
      await ringer.terminate();
    }
    expect(words[DOORBELL_SEQUENCE / 4]).to.equal(60);
    expect(words[DOORBELL_SLEEPING / 4]).to.equal(0);
  });

  it("lets the event loop turn while a promise waits, and ends with the time", async () => {
    const { bell } = setUp();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await bell.sleepAsync(() => 30, false);
    clearInterval(timer);
    expect(turns).to.be.above(0);
  });
});

// The doorbell: no wake-up is lost. The protocol in every interleaving, then the class, then two threads at random.
// Read first: host/threads/doorbell.ts.

import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { DOORBELL_SEQUENCE, DOORBELL_SLEEPING } from "../assembly/layout.ts";
import { Doorbell } from "../host/threads/doorbell.ts";
import { BLOCKED, ENDED, explore, loadedEarly, type Program } from "./support/interleave.ts";
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
  /** One atomic action of a thread: how many of its next actions it leaves out, or "blocked". */
  type Action = (state: State) => number | "blocked" | void;

  const announce: Action = (s) => void (s.sleeping = 1);
  const readSequence: Action = (s) => void (s.n = s.sequence);
  const wait: Action = (s) => void (s.waits = s.sequence === s.n);
  const blocked: Action = (s) => (s.waits ? "blocked" : 0);
  const clear: Action = (s) => void (s.sleeping = 0);
  const take: Action = (s) => void (s.work = 0);
  /** Leaves out the sleep, which is the next `rest` actions, when there is work. */
  const look =
    (rest: number): Action =>
    (s) =>
      s.work > 0 ? rest : 0;
  const put: Action = (s) => void s.work++;
  const askSleeping: Action = (s) => (s.sleeping === 0 ? 2 : 0);
  const change: Action = (s) => void s.sequence++;
  const notify: Action = (s) => void (s.waits = false);

  const sender = [put, askSleeping, change, notify];
  const sleeper = [announce, readSequence, look(2), wait, blocked, clear, take];

  /** Runs the threads in every order; how many states there are, and how many leave work to a sleeper for ever. */
  function exploreBell(threads: readonly (readonly Action[])[]): { states: number; lost: number } {
    const seen = new Set<string>();
    let lost = 0;
    const visit = (state: State, at: readonly number[]): void => {
      const key = JSON.stringify([state, at]);
      if (seen.has(key)) return;
      seen.add(key);
      let isStuck = true;
      threads.forEach((program, i) => {
        const index = at[i] as number;
        const next = { ...state };
        const skipped = program[index]?.(next);
        if (index === program.length || skipped === "blocked") return;
        isStuck = false;
        visit(next, at.with(i, index + 1 + (skipped ?? 0)));
      });
      if (isStuck && state.waits && state.work > 0) lost++;
    };
    const start = { work: 0, sleeping: 0, sequence: 0, n: -1, waits: false };
    visit(start, Array<number>(threads.length).fill(0));
    return { states: seen.size, lost };
  }

  it("loses nothing with one sender, two and three, while the sleeper sleeps once or twice", () => {
    for (const sleeps of [sleeper, [...sleeper, ...sleeper]]) {
      for (const senders of [[sender], [sender, sender], [[...sender, ...sender], sender], [sender, sender, sender]]) {
        const { states, lost } = exploreBell([sleeps, ...senders]);
        expect(lost).to.equal(0);
        expect(states).to.be.above(senders.length === 1 ? 40 : 300);
      }
    }
  });

  it("would lose some if the sleeper looked first, or read the sequence last, or the sender asked first", () => {
    const looksFirst = [look(4), announce, readSequence, wait, blocked, clear, take];
    const readsLast = [announce, look(3), readSequence, wait, blocked, clear, take];
    expect(exploreBell([looksFirst, sender]).lost).to.be.above(0);
    expect(exploreBell([readsLast, sender]).lost).to.be.above(0);
    expect(exploreBell([sleeper, [askSleeping, change, notify, put]]).lost).to.be.above(0);
  });
});

describe("what is asked before a sleep, in every order that the memory model allows", () => {
  interface State {
    /** Work that was put down, a word that says so, and the address of the bell that the sleeper has made known. */
    work: number;
    bell: number;
    sleeping: number;
    sequence: number;
    /** What the sleeper has read. */
    n: number;
    seen: number;
    waits: boolean;
    /** What the sender has read. */
    rings: number;
  }
  const START: State = { work: 0, bell: 0, sleeping: 0, sequence: 0, n: -1, seen: 0, waits: false, rings: 0 };
  const sleeper: Program<State> = {
    makeKnown: (s) => void (s.bell = 1),
    announce: (s) => void (s.sleeping = 1),
    read: (s) => void (s.n = s.sequence),
    load: (s) => void (s.seen = s.work),
    test: (s) => (s.seen > 0 ? ENDED : undefined),
    wait: (s) => void (s.waits = s.sequence === s.n),
    sleep: (s) => (s.waits ? BLOCKED : ENDED),
  };
  const sender: Program<State> = {
    put: (s) => void s.work++,
    bell: (s) => void (s.rings = s.bell),
    none: (s) => (s.rings === 0 ? ENDED : undefined),
    ask: (s) => (s.sleeping === 0 ? ENDED : undefined),
    change: (s) => void s.sequence++,
    notify: (s) => void (s.waits = false),
  };
  const lost = (programs: Program<State>[]): number =>
    explore(programs, START, (s) => s.waits && s.work > 0).bad.length;

  it("loses nothing when every word of others is loaded atomically, on either side", () => {
    expect(lost([sleeper, sender])).to.equal(0);
    expect(lost([sleeper, sender, sender])).to.equal(0);
  });

  it("would lose a wake-up if the word that says that there is work were loaded plainly", () => {
    const lostBy = loadedEarly(sleeper, "load").map((early) => lost([early, sender]));
    expect(lostBy[0]).to.equal(0);
    expect(
      lostBy.filter((count) => count > 0),
      "before it was announced",
    ).to.have.length.above(0);
  });

  it("would lose one if the sender loaded plainly which bell there is", () => {
    const lostBy = loadedEarly(sender, "bell").map((early) => lost([sleeper, early]));
    expect(lostBy[0]).to.equal(0);
    expect(lostBy[1], "before the work was put down").to.be.above(0);
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

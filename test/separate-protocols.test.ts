// The protocols between business threads and stacks in every interleaving of their atomic steps: no wake-up, signal,
// event or send buffer is lost, whoever dies where.
// Read first: host/client/waiting.ts, assembly/share/client.ts and ready.ts, which carry them out; interleave.ts.

import { expect } from "chai";
import { BLOCKED, ENDED, explore, type Program } from "./support/interleave.ts";

describe("the stack wakes business threads, in every interleaving", () => {
  interface State {
    /** What the stack has published, and each thread has taken. */
    published: number;
    taken: number;
    waiters: number;
    sequence: number;
    /** What a thread has read of the sequence, and whether it sleeps. */
    read: number[];
    sleeps: boolean[];
  }
  const start = (threads: number): State => ({
    ...{ published: 0, taken: 0, waiters: 0, sequence: 0 },
    read: Array<number>(threads).fill(-1),
    sleeps: Array<boolean>(threads).fill(false),
  });

  const take = (s: State): boolean => s.taken < s.published && (s.taken++, true);
  const stack = (times: number): Program<State> => {
    const program: Program<State> = {};
    for (let i = 0; i < times; i++) {
      const next = i + 1 < times ? `publish${i + 1}` : ENDED;
      program[`publish${i}`] = (s) => void s.published++;
      program[`ask${i}`] = (s) => (s.waiters === 0 ? next : undefined);
      program[`change${i}`] = (s) => void s.sequence++;
      program[`notify${i}`] = (s) => (s.sleeps.fill(false), next);
    }
    return program;
  };
  const waiter: Program<State> = {
    try: (s) => (take(s) ? ENDED : undefined),
    announce: (s) => void s.waiters++,
    read: (s, me) => void (s.read[me] = s.sequence),
    look: (s) => (s.taken < s.published ? "leave" : undefined),
    wait: (s, me) => void (s.sleeps[me] = s.sequence === s.read[me]),
    sleep: (s, me) => (s.sleeps[me] === true ? BLOCKED : undefined),
    leave: (s) => (s.waiters--, "try"),
  };
  const isLost = (s: State): boolean => s.taken < s.published && s.sleeps.includes(true);

  it("loses nothing with one waiter, two and three", () => {
    for (const [waiters, times] of [
      [1, 1],
      [1, 3],
      [2, 2],
      [2, 3],
      [3, 3],
    ] as const) {
      const threads = [...Array.from({ length: waiters }, () => waiter), stack(times)];
      const { states, bad } = explore(threads, start(threads.length), isLost);
      expect(bad).to.deep.equal([]);
      expect(states).to.be.above(20);
    }
  });

  it("loses nothing when a waiter dies anywhere: its count only costs a notification", () => {
    const threads = [waiter, waiter, stack(2)];
    expect(explore(threads, start(3), isLost, 0).bad.filter((s) => s.sleeps[1])).to.deep.equal([]);
  });

  it("would lose some if a waiter looked before it announces itself, or the stack asked before it publishes", () => {
    const { try: first, announce, read, wait, sleep, leave } = waiter as Record<string, Program<State>[string]>;
    const hasty = { try: first, read, announce, wait, sleep, leave } as Program<State>;
    // Reading the sequence and announcing oneself in this order is no harm as long as one looks afterwards.
    expect(explore([hasty, stack(1)], start(2), isLost).bad).to.have.length.above(0);
    const early: Program<State> = {
      ask: (s) => (s.waiters === 0 ? "late" : undefined),
      change: (s) => void s.sequence++,
      notify: (s) => void s.sleeps.fill(false),
      late: (s) => (s.published++, ENDED),
    };
    expect(explore([waiter, early], start(2), isLost).bad).to.have.length.above(0);
  });
});

describe("business threads signal the stack, in every interleaving", () => {
  interface State {
    /** Whose turn it is to send: 0 nobody's; what was committed and what the stack has taken. */
    turn: number;
    sent: number;
    drained: number;
    signalled: number;
    ring: number;
    hot: boolean;
    sleeping: number;
    sequence: number;
    read: number;
    waits: boolean;
    dead: boolean;
  }
  const START: State = {
    ...{ turn: 0, sent: 0, drained: 0, signalled: 0, ring: 0, hot: false },
    ...{ sleeping: 0, sequence: 0, read: -1, waits: false, dead: false },
  };

  /** The stack: beats as long as there is something, else sleeps on its doorbell. */
  const stack: Program<State> = {
    pop: (s) => (s.ring === 0 ? "cool" : (s.ring--, undefined)),
    clear: (s) => ((s.signalled = 0), "look"),
    cool: (s) => (s.hot ? ((s.hot = false), "look") : "announce"),
    look: (s) => {
      // One load: {position, whose turn}.
      s.drained = s.sent;
      if (s.turn !== 0) s.hot = true;
      return "pop";
    },
    announce: (s) => void (s.sleeping = 1),
    read: (s) => void (s.read = s.sequence),
    pending: (s) => (s.ring > 0 || s.hot ? "awake" : undefined),
    wait: (s) => void (s.waits = s.sequence === s.read),
    sleep: (s) => (s.waits ? BLOCKED : undefined),
    awake: (s) => ((s.sleeping = 0), "pop"),
  };
  const ring = (next: string): Program<State> => ({
    ask: (s) => (s.sleeping === 0 ? next : undefined),
    change: (s) => void s.sequence++,
    notify: (s) => ((s.waits = false), next),
  });
  const sender = (number: number): Program<State> => ({
    turn: (s) => (s.turn === 0 ? void (s.turn = number) : BLOCKED),
    flag: (s) => (s.signalled++ > 0 ? ((s.signalled = 1), "commit") : undefined),
    push: (s) => void s.ring++,
    ...ring("commit"),
    // One exchange: it fails when the turn was taken away.
    commit: (s) => (s.turn === number ? (s.sent++, (s.turn = 0), ENDED) : "turn"),
  });
  /** Takes the turn of a dead thread away (or, when it errs, of a slow one), signals in any case, then sends. */
  const thief = (holder: number, number: number, errs: boolean): Program<State> => ({
    free: (s) => (s.turn === 0 ? "turn" : s.turn === holder && (s.dead || errs) ? void (s.turn = 0) : BLOCKED),
    flagAnyway: (s) => void (s.signalled = 1),
    pushAnyway: (s) => void s.ring++,
    askAnyway: (s) => (s.sleeping === 0 ? "turn" : undefined),
    changeAnyway: (s) => void s.sequence++,
    notifyAnyway: (s) => void (s.waits = false),
    ...sender(number),
  });
  const isLost = (s: State): boolean => s.sent !== s.drained && s.waits;

  it("loses nothing with one sender, two and three", () => {
    for (const count of [1, 2, 3]) {
      const senders = Array.from({ length: count }, (_, i) => sender(i + 1));
      const { states, bad } = explore([stack, ...senders], START, isLost);
      expect(bad).to.deep.equal([]);
      expect(states).to.be.above(50);
    }
  });

  it("loses nothing that others send when a sender dies anywhere", () => {
    const { states, bad } = explore([stack, sender(1), thief(1, 2, false)], START, isLost, 1);
    expect(bad).to.deep.equal([]);
    expect(states).to.be.above(200);
  });

  it("loses nothing when a turn is taken from a thread that was only slow", () => {
    const { states, bad } = explore([stack, sender(1), thief(1, 2, true)], START, isLost);
    expect(bad).to.deep.equal([]);
    expect(states).to.be.above(200);
  });

  it("would lose some if a dying sender signalled after its commit, or if the stack did not wait for turns", () => {
    const late: Program<State> = {
      turn: (s) => (s.turn === 0 ? void (s.turn = 1) : BLOCKED),
      commit: (s) => void (s.sent++, (s.turn = 0)),
      flag: (s) => (s.signalled++ > 0 ? ENDED : undefined),
      push: (s) => void s.ring++,
      ...ring(ENDED),
    };
    expect(explore([stack, late], START, isLost, 1).bad).to.have.length.above(0);
    const hasty = { ...stack, look: (s: State) => ((s.drained = s.sent), "pop") };
    expect(explore([hasty, sender(1)], START, isLost).bad).to.have.length.above(0);
  });
});

describe("send buffers come and go, in every interleaving", () => {
  interface State {
    turn: number;
    sent: number;
    drained: number;
    buffer: number;
    /** What the stack has read of {sent, turn}. */
    read: string;
    /** Bytes were to be taken from a buffer that is not there, or put there. */
    isWrong: boolean;
  }
  const START: State = { turn: 0, sent: 0, drained: 0, buffer: 0, read: "", isWrong: false };
  const STACK = -1;
  const word = (s: State): string => `${s.sent} ${s.turn}`;

  const sender = (number: number, times: number): Program<State> => {
    const program: Program<State> = {};
    for (let i = 0; i < times; i++) {
      program[`turn${i}`] = (s) => (s.turn === 0 ? void (s.turn = number) : BLOCKED);
      program[`buffer${i}`] = (s) => void (s.buffer = 1);
      program[`copy${i}`] = (s) => void (s.isWrong ||= s.buffer === 0);
      program[`commit${i}`] = (s) => (s.sent++, void (s.turn = 0));
    }
    return program;
  };
  /** Looks, takes what is there, gives an idle buffer back; `fresh`: decides anew what the word was. */
  const stack = (times: number, fresh: boolean): Program<State> => {
    const program: Program<State> = {};
    for (let i = 0; i < times; i++) {
      const next = i + 1 < times ? `read${i + 1}` : ENDED;
      program[`read${i}`] = (s) => void (s.read = word(s));
      program[`take${i}`] = (s) => {
        const sent = Number(s.read.split(" ")[0]);
        if (sent === s.drained) return s.read.endsWith(" 0") && s.buffer > 0 ? undefined : next;
        s.isWrong ||= s.buffer === 0;
        s.drained = sent;
        return next;
      };
      program[`again${i}`] = (s) => void (s.read = fresh ? word(s) : s.read);
      program[`claim${i}`] = (s) => (word(s) === s.read && s.turn === 0 ? void (s.turn = STACK) : next);
      program[`free${i}`] = (s) => void (s.buffer = 0);
      program[`give${i}`] = (s) => ((s.turn = 0), next);
    }
    return program;
  };

  it("nobody reads or writes a buffer that was given back", () => {
    const threads = [stack(4, false), sender(1, 2), sender(2, 1)];
    const wrong: State[] = [];
    const { states } = explore(threads, START, (s) => (s.isWrong && wrong.push(s), false));
    expect(wrong).to.deep.equal([]);
    expect(states).to.be.above(500);
  });

  it("would, if the stack claimed the buffer by what it reads later than what it decided on", () => {
    const { bad } = explore([stack(4, true), sender(1, 2)], START, (s) => s.isWrong);
    expect(bad).to.have.length.above(0);
  });
});

describe("ready bits of an epoll, in every interleaving", () => {
  interface State {
    /** Unread bytes; the two levels of the note; what a level-triggered watch has last reported. */
    ready: number;
    bit: number;
    /** The bit of another watch in the same word. */
    other: number;
    above: number;
  }
  const NOTED: State = { ready: 1, bit: 1, other: 0, above: 1 };
  /** The stack publishes, then notes; the upper level only where it is not noted yet. */
  const stack = (times: number): Program<State> => {
    const program: Program<State> = {};
    for (let i = 0; i < times; i++) {
      program[`publish${i}`] = (s) => void s.ready++;
      program[`low${i}`] = (s) => void (s.bit = 1);
      program[`high${i}`] = (s) => void (s.above = 1);
    }
    return program;
  };
  const elsewhere: Program<State> = {
    low: (s) => void (s.other = 1),
    high: (s) => (s.above > 0 ? ENDED : undefined),
    set: (s) => ((s.above = 1), ENDED),
  };
  const setAbove =
    (next: string): Program<State>[string] =>
    (s) => ((s.above = 1), next);
  /** One look of epoll_wait at a noted watch that is level-triggered, the reader having read everything before. */
  const look: Program<State> = {
    read: (s) => void (s.ready = 0),
    state: (s) => (s.ready > 0 ? ENDED : undefined),
    clear: (s) => ((s.bit = 0), s.other > 0 ? "again" : undefined),
    clearAbove: (s) => void (s.above = 0),
    recheck: (s) => (s.bit + s.other > 0 ? "restore" : "again"),
    restore: setAbove("again"),
    again: (s) => (s.ready > 0 ? undefined : ENDED),
    set: (s) => void (s.bit = 1),
    setAbove: setAbove(ENDED),
  };
  const isLost = ({ ready, bit, other, above }: State): boolean =>
    (ready > 0 && (bit === 0 || above === 0)) || (other > 0 && above === 0);

  it("keep the note of every watch that is ready", () => {
    for (const times of [1, 2, 3]) {
      const { states, bad } = explore([look, stack(times), elsewhere], NOTED, isLost);
      expect(bad).to.deep.equal([]);
      expect(states).to.be.above(20);
    }
  });

  it("would lose some without the second look, or without restoring the upper level", () => {
    const once = { ...look, again: (): string => ENDED };
    const flat = { ...look, recheck: (): string => "again" };
    expect(explore([once, stack(1)], NOTED, isLost).bad).to.have.length.above(0);
    expect(explore([flat, elsewhere], NOTED, isLost).bad).to.have.length.above(0);
  });
});

// What was published is taken back in an order in which nobody comes to what is another's: the protocol in every
// interleaving of its atomic steps, then the code itself with threads stopped in the middle of a call.
// Read first: assembly/share/withdraw.ts; interleave.ts. withdraw.test.ts has what applications see.

import { expect } from "chai";
import { SEAT_THREAD } from "../assembly/layout.ts";
import { Link } from "../host/client/link.ts";
import {
  AF_INET,
  AF_UNSPEC,
  createNetwork,
  EAGAIN,
  ECONNRESET,
  EINVAL,
  EPIPE,
  type Host,
  type Network,
  SHUT_RDWR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/index.ts";
import { BLOCKED, ENDED, explore, loadedEarly, type Program, storedLate } from "./support/interleave.ts";
import { listener, ok, pattern, readAll, refused } from "./support/sockets.ts";

/** A program with one action moved in front of another. */
function before<S>(program: Program<S>, name: string, other: string): Program<S> {
  const entries = Object.entries(program);
  const [moved] = entries.splice(
    entries.findIndex(([key]) => key === name),
    1,
  );
  entries.splice(
    entries.findIndex(([key]) => key === other),
    0,
    moved as (typeof entries)[number],
  );
  return Object.fromEntries(entries);
}

describe("received bytes are taken back, in every interleaving", () => {
  type Kind = "stream" | "listener";
  interface State {
    kind: Kind;
    /** {position, epoch}, and the position behind what is published. */
    consumed: number;
    epoch: number;
    produced: number;
    /** Where the bytes that were published last lie; what lies where: a stream's name, or another's bytes. */
    run: number;
    memory: string[];
    /** The word that a listener's descriptors lie in is that of runs, too. */
    entry: string;
    /** What each reader has seen so far. */
    word: { consumed: number; epoch: number }[];
    found: number[];
    is: Kind[];
    copied: string[];
    calls: number[];
    /** What readers were given that they must not be given. */
    wrong: string[];
  }
  const start = (unread: number): State => ({
    ...{ kind: "stream", consumed: 0, epoch: 0, produced: unread, run: 0, memory: ["old", "old"], entry: "run" },
    ...{ word: [], found: [], is: [], copied: [], calls: [], wrong: [] },
  });

  /** One reader that calls recv() `times` times at most; `whole`: they are one call with MSG_WAITALL. */
  const reader = (whole: boolean): Program<State> => ({
    look: (s, me) => void (s.word[me] = { consumed: s.consumed, epoch: s.epoch }),
    produced: (s, me) => void (s.found[me] = s.produced),
    kind: (s, me) => void (s.is[me] = s.kind),
    judge: (s, me): string | void => {
      if (s.is[me] !== "stream" || s.found[me] === s.word[me]!.consumed) return ENDED;
      return whole && s.calls[me] !== undefined && s.calls[me] !== s.word[me]!.epoch ? ENDED : undefined;
    },
    run: (s, me) => void (s.found[me] = s.run),
    copy: (s, me) => void (s.copied[me] = s.memory[s.found[me]!]!),
    take: (s, me) => {
      if (s.consumed !== s.word[me]!.consumed || s.epoch !== s.word[me]!.epoch) return "look";
      s.consumed++;
      const stream = s.epoch === 0 ? "old" : "new";
      if (s.copied[me] !== stream || s.kind === "listener") s.wrong.push(`${s.copied[me]} for ${stream}`);
      if (whole && s.calls[me] !== undefined && s.calls[me] !== s.epoch) s.wrong.push("one call, two streams");
      s.calls[me] = s.epoch;
      return "look";
    },
  });
  const acceptor: Program<State> = {
    look: (s, me) => void (s.word[me] = { consumed: s.consumed, epoch: s.epoch }),
    produced: (s, me) => void (s.found[me] = s.produced),
    entry: (s, me) => void (s.copied[me] = s.entry),
    kind: (s, me) => void (s.is[me] = s.kind),
    judge: (s, me) => (s.is[me] !== "listener" || s.found[me] === s.word[me]!.consumed ? ENDED : undefined),
    take: (s, me) => {
      if (s.consumed !== s.word[me]!.consumed || s.epoch !== s.word[me]!.epoch) return "look";
      s.consumed++;
      if (s.copied[me] !== "descriptor") s.wrong.push(`${s.copied[me]} was accepted`);
      return "look";
    },
  };
  /** A stream's next life: disconnected, what it had goes to others, then connected again. */
  const disconnect: Program<State> = {
    exchange: (s) => {
      s.consumed = s.produced;
      s.epoch++;
    },
    clear: (s) => void (s.memory = ["another's", "another's"]),
    receive: (s) => void (s.memory[1] = "new"),
    place: (s) => void (s.run = 1),
    publish: (s) => void s.produced++,
  };
  /** A stream becomes a listener, which is given a connection; then a stream again. */
  const listen: Program<State> = {
    exchange: disconnect["exchange"]!,
    role: (s) => void (s.kind = "listener"),
    entry: (s) => void (s.entry = "descriptor"),
    handOut: (s) => void s.produced++,
  };
  const unlisten: Program<State> = {
    exchange: disconnect["exchange"]!,
    forget: (s) => void (s.entry = "run"),
    role: (s) => void (s.kind = "stream"),
    receive: (s) => void (s.memory[0] = s.epoch === 0 ? "old" : "new"),
    publish: (s) => void s.produced++,
  };
  const listening = (waiting: number): State => ({ ...start(waiting), kind: "listener", entry: "descriptor" });

  function wrong(programs: Program<State>[], from: State, mayDie = -1): { states: number; wrong: number } {
    let count = 0;
    const { states } = explore(programs, from, (s) => ((count += s.wrong.length), false), mayDie);
    return { states, wrong: count };
  }

  it("no reader gets a byte that is not its stream's, with one reader and with two, peeking or not", () => {
    for (const unread of [0, 1, 2]) {
      const two = unread === 1 ? [[reader(false), reader(true)]] : [];
      for (const readers of [[reader(false)], [reader(true)], ...two]) {
        const found = wrong([...readers, disconnect], start(unread));
        expect(found.wrong).to.equal(0);
        expect(found.states).to.be.above(15);
      }
    }
    expect(wrong([reader(false), disconnect], start(2), 0).wrong, "it dies").to.equal(0);
  });

  it("nobody accepts what is not a connection, nor reads one, when roles change", () => {
    for (const waiting of [0, 1]) {
      for (const one of [reader(false), acceptor]) {
        expect(wrong([one, listen], start(waiting)).wrong).to.equal(0);
        expect(wrong([one, unlisten], listening(waiting)).wrong).to.equal(0);
      }
    }
    expect(wrong([acceptor, reader(false), unlisten], listening(1)).wrong).to.equal(0);
  });

  it("would go wrong if the queue were emptied, or the role changed, first", () => {
    expect(wrong([reader(false), before(disconnect, "clear", "exchange")], start(1)).wrong).to.be.above(0);
    expect(wrong([reader(false), before(listen, "role", "exchange")], start(1)).wrong).to.be.above(0);
  });

  it("would go wrong if a reader asked for the kind first, or did not tell epochs apart", () => {
    expect(wrong([before(reader(false), "kind", "produced"), listen], start(0)).wrong).to.be.above(0);
    expect(wrong([before(acceptor, "kind", "produced"), unlisten], listening(0)).wrong).to.be.above(0);
    const careless: Program<State> = {
      ...reader(true),
      judge: (s, me) => (s.found[me] === s.word[me]!.consumed ? ENDED : undefined),
    };
    expect(wrong([careless, disconnect], start(1)).wrong).to.be.above(0);
  });
});

describe("bytes to send are taken back, in every interleaving", () => {
  interface State {
    /** Which connection there is; what the state says. */
    stream: number;
    maySend: boolean;
    epoch: number;
    /** {position, turn}, how far the stack has taken, and what lies in the buffer: the stream that it was meant for. */
    position: number;
    turn: number;
    drained: number;
    buffer: number[];
    word: number[];
    meant: number[];
    /** The epoch of the first piece of a call. */
    first: number[];
    sent: number[];
    wrong: string[];
  }
  const START: State = {
    ...{ stream: 1, maySend: true, epoch: 1, position: 0, turn: 0, drained: 0 },
    ...{ buffer: [], word: [], meant: [], first: [], sent: [], wrong: [] },
  };

  /** A call that sends two pieces, each in a turn of its own. */
  const sender: Program<State> = {
    turn: (s, me): string | void => {
      if (s.turn !== 0) return BLOCKED;
      s.turn = me + 1;
      s.word[me] = s.position;
    },
    state: (s, me): string | void => {
      s.meant[me] = s.stream;
      return s.maySend ? undefined : "giveUp";
    },
    epoch: (s, me): string | void => {
      const first = (s.first[me] ??= s.epoch);
      return first === s.epoch ? undefined : "giveUp";
    },
    copy: (s, me) => void (s.buffer[s.word[me]!] = s.meant[me]!),
    commit: (s, me) => {
      if (s.position !== s.word[me] || s.turn !== me + 1) return "giveUp";
      s.position++;
      s.turn = 0;
      s.sent[me] = (s.sent[me] ?? 0) + 1;
      return s.sent[me] === 2 ? ENDED : "turn";
    },
    giveUp: (s, me) => {
      if (s.turn === me + 1) s.turn = 0;
      return ENDED;
    },
  };
  /** Takes what is there, for the connection that there is. */
  const drain = (s: State): void => {
    for (; s.drained < s.position; s.drained++) {
      if (s.buffer[s.drained] !== s.stream) s.wrong.push(`bytes of stream ${s.buffer[s.drained]} in ${s.stream}`);
    }
  };
  const stack: Program<State> = {
    hide: (s) => void (s.maySend = false),
    move: (s) => {
      if (s.turn !== 0) s.position++;
      s.drained = s.position;
    },
    next: (s) => void s.epoch++,
    connect: (s) => void s.stream++,
    show: (s) => void (s.maySend = true),
    drain,
    drainAgain: drain,
    drainLast: (s) => (s.turn !== 0 ? BLOCKED : drain(s)),
  };
  function wrong(programs: Program<State>[]): { states: number; wrong: number } {
    let count = 0;
    const { states } = explore(programs, START, (s) => ((count += s.wrong.length), false));
    return { states, wrong: count };
  }

  it("no byte of the last connection goes into the next one, with one sender and with two", () => {
    for (const senders of [[sender], [sender, sender]]) {
      const found = wrong([...senders, stack]);
      expect(found.wrong).to.equal(0);
      expect(found.states).to.be.above(60);
    }
  });

  it("one call sends to one connection", () => {
    // The first piece went to the last connection, and was taken back with it: the second one must not follow.
    const split: Program<State> = {
      ...sender,
      state: (s: State, me: number) => {
        s.meant[me] = s.sent[me] === 1 ? s.meant[me]! : s.stream;
        return s.maySend ? undefined : "giveUp";
      },
    };
    expect(wrong([split, stack]).wrong).to.equal(0);
    expect(wrong([split, before(stack, "next", "move")]).wrong, "epochs change behind the position").to.be.above(0);
    expect(wrong([before(split, "epoch", "state"), stack]).wrong, "and are asked behind the state").to.be.above(0);
    expect(wrong([{ ...split, epoch: () => undefined }, stack]).wrong).to.be.above(0);
  });

  it("would go wrong if the state were hidden later, or the position did not move under who has the turn", () => {
    expect(wrong([sender, before(stack, "move", "hide")]).wrong).to.be.above(0);
    const still = { ...stack, move: (s: State) => void (s.drained = s.position) };
    expect(wrong([sender, still]).wrong).to.be.above(0);
  });
});

describe("readers and the stack tell each other of what was read, in every order that the memory model allows", () => {
  interface State {
    consumed: number;
    published: number;
    signalAt: number;
    /** What is left to publish, and who has to look: by a signal, by itself. */
    left: number;
    signalled: boolean;
    hot: boolean;
    read: number;
    mark: number;
  }
  const START: State = {
    ...{ consumed: 0, published: 1, signalAt: 9, left: 1, signalled: false, hot: false },
    ...{ read: 0, mark: 9 },
  };
  /** Reads what there is; then tells, if it is to. */
  const reader: Program<State> = {
    take: (s) => void (s.consumed = s.published),
    mark: (s) => void (s.mark = s.signalAt),
    tell: (s) => void (s.signalled ||= s.consumed >= s.mark),
  };
  /** Has no run left: whoever reads is to tell, so that it can publish more. */
  const stack: Program<State> = {
    want: (s) => void (s.signalAt = s.published),
    load: (s) => void (s.read = s.consumed),
    look: (s) => void (s.hot = s.read >= s.published),
  };
  const lost = (programs: Program<State>[]): number =>
    explore(programs, START, (s) => !s.signalled && !s.hot).bad.length;

  it("tell at least one of them, when mark and position are stored and loaded atomically", () => {
    expect(lost([reader, stack])).to.equal(0);
  });

  it("would tell neither if the mark were a plain store, or a plain load", () => {
    expect(Math.max(...storedLate(stack, "want").map((late) => lost([reader, late])))).to.be.above(0);
    expect(Math.max(...loadedEarly(reader, "mark").map((early) => lost([early, stack])))).to.be.above(0);
  });
});

describe("a send buffer is given back, in every interleaving", () => {
  interface State {
    turn: number;
    /** Which buffer the channel has; who has each: a channel, or the pool. */
    buffer: number;
    free: boolean[];
    read: number;
    claimed: boolean;
    isWrong: boolean;
  }
  const START: State = { turn: 0, buffer: 1, free: [false, false, true], read: 0, claimed: false, isWrong: false };
  /** Puts a larger buffer in the place of an empty one, and gives the turn up without having sent. */
  const sender: Program<State> = {
    turn: (s) => (s.turn === 0 ? void (s.turn = 1) : BLOCKED),
    alloc: (s) => void (s.free[2] = false),
    replace: (s) => void (s.buffer = 2),
    free: (s) => ((s.isWrong ||= s.free[1] === true), void (s.free[1] = true)),
    give: (s) => ((s.turn = 0), ENDED),
  };
  const stack: Program<State> = {
    claim: (s) => (s.turn === 0 ? void (s.turn = -1) : ENDED),
    read: (s) => void (s.read = s.buffer),
    free: (s) => {
      s.isWrong ||= s.free[s.read] === true;
      s.free[s.read] = true;
      s.buffer = 0;
    },
    give: (s) => ((s.turn = 0), ENDED),
  };
  const isWrong = (s: State): boolean => s.isWrong || (s.buffer === 0 && (s.free[1] !== true || s.free[2] !== true));
  // A sender that comes behind finds none, and takes one: that is not of interest here.
  const replacing = {
    ...sender,
    turn: (s: State) => (s.turn === 0 ? (s.buffer === 0 ? ENDED : void (s.turn = 1)) : BLOCKED),
  };

  it("is that of the channel when the turn was won", () => {
    expect(explore([stack, replacing], START, isWrong).bad).to.deep.equal([]);
  });

  it("would be one that another thread has given back already, if it were read before", () => {
    expect(explore([before(stack, "read", "claim"), replacing], START, isWrong).bad).to.have.length.above(0);
  });
});

describe("threads stopped in the middle of a call", () => {
  let net: Network;
  let server: Host;
  let client: Host;
  const buffer = Buffer.alloc(1000);

  beforeEach(() => {
    net = createNetwork({ seed: 1, time: "virtual" });
    const common = { bridge: net.bridge("lan"), threads: "separate", stack: { connections: 64, sockets: 16 } } as const;
    server = net.host("server", { ...common, address: "10.0.0.1/24" });
    client = net.host("client", { ...common, address: "10.0.0.2/24" });
    net.settle();
  });

  afterEach(() => net.close());

  /** A connection that the server has sent "unread" on. */
  function connection(l = listener(server.posix, 80)): { l: number; c: number; s: number } {
    const c = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    const s = again(c, l);
    say(server, s, "unread");
    return { l, c, s };
  }

  function again(c: number, l: number): number {
    client.posix.connect(c, { address: server.address, port: 80 });
    net.settle();
    return ok(server.posix.accept4(l, null, SOCK_NONBLOCK));
  }

  function say(host: Host, fd: number, text: string): void {
    expect(host.posix.send(fd, Buffer.from(text))).to.equal(text.length);
    net.settle();
  }

  const disconnect = (fd: number): number => ok(client.posix.connect(fd, { family: AF_UNSPEC }));

  /** A business thread of a host, in this thread, at a descriptor. */
  function thread(host: Host, fd: number): Link {
    const link = new Link(host.client());
    link.find(fd);
    return link;
  }

  it("take nothing that was taken back while they copied, nor anything of the next stream for it", () => {
    const { l, c } = connection();
    const { core, channel, seat } = thread(client, c);
    const other = thread(client, c);
    expect(core.clientLook(channel.at)).to.equal(6);
    expect(core.clientPiece(channel.at, 0)).to.equal(6);
    expect(other.core.clientLook(channel.at)).to.equal(6);
    disconnect(c);
    const s = again(c, l);
    say(server, s, "fresh bytes");
    expect(core.clientStill(channel.at), "a peek").to.equal(0);
    expect(core.clientTake(channel.part, channel.at, 6)).to.equal(0);
    expect(core.clientPiece(channel.at, 0), "where it lay").to.equal(0);
    expect(other.core.clientPiece(channel.at, 0), "where it would have lain").to.equal(0);
    expect(core.clientRecv(channel.part, channel.at, seat.address, seat.exchange, 0, 0, core.clientEpoch())).to.equal(
      -EPIPE,
    );
    expect(readAll(client.posix, c)).to.equal("fresh bytes");
    seat.leave();
    other.seat.leave();
  });

  it("accept no connection that was waiting when the listener ended", () => {
    const l = listener(server.posix, 80);
    const c = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    client.posix.connect(c, { address: server.address, port: 80 });
    net.settle();
    const { core, channel, seat } = thread(server, l);
    expect(core.clientWaiting(channel.at)).to.equal(1);
    ok(server.posix.shutdown(l, SHUT_RDWR));
    expect(core.clientWaiting(channel.at)).to.equal(0);
    expect(core.clientAccept(channel.part, channel.at)).to.equal(-EINVAL);
    refused(client.posix.recv(c, buffer), ECONNRESET);
    ok(server.posix.listen(l, 4));
    expect(core.clientAccept(channel.part, channel.at)).to.equal(-EAGAIN);
    seat.leave();
  });

  it("send nothing that they copied for the last connection, whether they live on or die", () => {
    const l = listener(server.posix, 80);
    for (const dies of [false, true]) {
      const { c } = connection(l);
      const { core, channel, seat, words } = thread(client, c);
      expect(core.clientReserve(channel.part, channel.at, seat.turn, 100, 0)).to.equal(100);
      Buffer.from(client.client().memory.buffer, core.clientRoomAt(), 100).fill("old ");
      disconnect(c);
      client.posix.connect(c, { address: server.address, port: 80 });
      // Its stack looks after the turn as long as somebody has it.
      for (let i = 0; i < 50; i++) net.step();
      const s = ok(server.posix.accept4(l, null, SOCK_NONBLOCK));
      if (dies) Atomics.store(words, (seat.address + SEAT_THREAD) / 4, 0x7ffffffe);
      else expect(core.clientCommit(channel.at, seat.turn, 100, 0), "committed").to.equal(0);
      say(client, c, "fresh bytes");
      expect(readAll(server.posix, s)).to.equal("fresh bytes");
      if (!dies) seat.leave();
    }
  });

  it("do not trap on words of another life of the descriptor", () => {
    const { l, c } = connection();
    const { core, channel, seat } = thread(client, c);
    expect(core.clientLook(channel.at)).to.equal(6);
    for (let life = 0; life < 40; life++) {
      ok(client.posix.close(c));
      expect(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)).to.equal(c);
      const next = again(c, l);
      expect(server.posix.send(next, pattern(1 + life * 97))).to.equal(1 + life * 97);
      net.settle();
      expect(core.clientPiece(channel.at, life % 6), `life ${life}`).to.equal(0);
      expect(core.clientTake(channel.part, channel.at, 6)).to.equal(0);
      expect(client.posix.recv(c, buffer)).to.equal(Math.min(1000, 1 + life * 97));
      ok(server.posix.close(next));
    }
    seat.leave();
  });
});

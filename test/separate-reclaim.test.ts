// What business threads and stacks leave in the share that die between two steps of an operation, made by hand; how it
// is taken back, and that the others go on.
// Read first: assembly/share/reclaim.ts and reset.ts; host/share-keeper.ts.

import { expect } from "chai";
import {
  CACHE_SPREAD,
  CALL_ANSWERED,
  CALL_ASKED,
  CALL_IDLE,
  CALL_SOCKET,
  CALL_STACK,
  CALL_UNDER_WAY,
  CHANNEL_GENERATION,
  CHANNEL_SIGNALLED,
  CHANNEL_TX,
  PART_CALLS,
  PART_SMALL_POOL,
  READY_TURN,
  READY_WAITERS,
  SEAT_CALL,
  SEAT_FREE,
  SEAT_PART,
  SEAT_RESULT,
  SEAT_STATE,
  SEAT_STATUS,
  SEAT_THREAD,
  SEAT_WAITS,
  SEAT_WINDOW,
  SEAT_ARGUMENTS,
  THREAD_STATE,
  THREAD_TRAPPED,
  TURN_STACK,
} from "../assembly/layout.ts";
import {
  AF_INET,
  CoreTrap,
  createNetwork,
  EBADF,
  ENETDOWN,
  EPOLL_CTL_ADD,
  EPOLLEXCLUSIVE,
  EPOLLIN,
  type Host,
  type HostStack,
  type Network,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/index.ts";
import { Link } from "../host/client/link.ts";
import { CLEAN_AUDIT } from "../host/manager.ts";
import { listener, ok, pattern, refused } from "./support/sockets.ts";

/** A thread that is not there. */
const NOBODY = 0x7ffffffe;
const STACK = { connections: 64, sockets: 32, timeWaits: 64 };
/** Where the directory of pools lies in an arena (assembly/stack.ts); the first is that of packets. */
const POOLS_AT = 256;
const POOL_CARVED = 20;
const RING_MASK = 4;
const RING_TAIL = CACHE_SPREAD;
const RING_SLOTS = 2 * CACHE_SPREAD;

let net: Network;
let server: Host;
let client: Host;
let links: Link[] = [];

/** A business thread's link, in this thread. */
function link(host = server): Link {
  const made = new Link(host.client());
  links.push(made);
  return made;
}

function word(of: Link, address: number, value?: number): number {
  if (value !== undefined) Atomics.store(of.words, address / 4, value);
  return Atomics.load(of.words, address / 4);
}

/** The link's thread has died. */
function dies(of: Link): void {
  word(of, of.seat.address + SEAT_THREAD, NOBODY);
}

/** A connection from the client: its descriptors on both sides. */
function connect(port = 80): { c: number; s: number } {
  const l = listener(server.posix, port);
  const c = ok(client.posix.socket(AF_INET, SOCK_STREAM));
  ok(client.posix.connect(c, { address: server.address, port }));
  net.settle();
  const s = ok(server.posix.accept4(l, null, SOCK_NONBLOCK));
  ok(server.posix.close(l));
  return { c, s };
}

/** A stack stops. */
function traps(stack: HostStack): void {
  new Uint32Array(net.memory.buffer, stack.stack.place.base + POOLS_AT, 1)[0] = stack.stack.place.base;
  const fd = client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  client.posix.connect(fd, { address: server.address, port: 9 });
  expect(() => net.advance("3s")).to.throw(CoreTrap);
}

/** Index of a link's seat. */
function seatOf({ seat }: Link): number {
  return (seat.turn & 0xffff) - 1;
}

/** Asks a stack for a socket, as Seat.call() does, and does not wait. */
function ask(of: Link, stack: number): void {
  const { address } = of.seat;
  word(of, address + SEAT_CALL, CALL_SOCKET);
  word(of, address + SEAT_ARGUMENTS, AF_INET);
  word(of, address + SEAT_ARGUMENTS + 4, SOCK_STREAM);
  word(of, address + SEAT_ARGUMENTS + 8, 0);
  expect(of.core.clientCall(of.place.parts[stack] as number, address, seatOf(of))).to.equal(1);
}

describe("what the dead leave in the share", () => {
  beforeEach(() => {
    net = createNetwork({ seed: 1, time: "virtual" });
    const bridge = net.bridge("lan");
    const common = { bridge, stack: STACK, threads: "separate" } as const;
    const share = { sendBuffers: 4, largeSendBuffers: 1, threads: 8, callTimeout: 50 };
    server = net.host("server", { ...common, address: "10.0.0.1/24", stacks: 2, share });
    client = net.host("client", { ...common, address: "10.0.0.2/24" });
    net.settle();
    links = [];
  });

  afterEach(() => net.close());

  it("is a seat whose next thread has no send buffer in its hands, as the audit counts", async () => {
    const dead = link();
    word(dead, dead.seat.address + SEAT_WINDOW, 1);
    dies(dead);
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    const next = link();
    expect(next.seat.address).to.equal(dead.seat.address);
    expect(word(next, next.seat.address + SEAT_WINDOW) & 1).to.equal(0);
  });

  it("is a turn to send, which the audit takes back; bytes that were not given are not sent", async () => {
    const { c, s } = connect();
    const dead = link();
    dead.find(s);
    const { at, part } = dead.channel;
    expect(dead.core.clientReserve(part, at, dead.seat.turn, 100, 0)).to.equal(100);
    dies(dead);
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    expect(word(dead, at + CHANNEL_TX + 4), "nobody's turn").to.equal(0);
    ok(server.posix.send(s, Buffer.from("after")));
    const buffer = Buffer.alloc(200);
    expect(client.posix.recv(c, buffer)).to.equal(5);
    expect(buffer.toString("latin1", 0, 5)).to.equal("after");
  });

  it("is a seat that the audit takes back, also when its thread ends while the audit is under way", async () => {
    const dying = link();
    const keeper = server.keeper!;
    const reclaimAll = keeper.reclaimAll.bind(keeper);
    let looks = 0;
    keeper.reclaimAll = async (atSafepoint) => {
      await reclaimAll(atSafepoint);
      if (++looks === 1) dies(dying);
    };
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    expect(looks).to.equal(2);
    expect(word(dying, dying.seat.address + SEAT_STATE)).to.equal(SEAT_FREE);
  });

  it("is a turn of an epoll and a place among its sleepers", async () => {
    const epfd = ok(server.posix.epoll_create1(0));
    const dead = link();
    const e = dead.core.shareEpollAt(dead.place.share, epfd) >>> 0;
    word(dead, e + READY_TURN, dead.seat.turn);
    word(dead, e + READY_WAITERS, 1);
    word(dead, dead.seat.address + SEAT_WAITS, e + READY_WAITERS);
    dies(dead);
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    expect([word(dead, e + READY_TURN), word(dead, e + READY_WAITERS)]).to.deep.equal([0, 0]);
  });

  it("is a signal that never came: the descriptor is looked at all the same", async () => {
    const { c, s } = connect();
    const dead = link();
    dead.find(s);
    word(dead, dead.channel.at + CHANNEL_SIGNALLED, 1);
    dies(dead);
    await net.audit();
    ok(server.posix.send(s, pattern(1000)));
    net.settle();
    expect(client.posix.recv(c, Buffer.alloc(2000))).to.equal(1000);
  });

  it("is a send buffer in its hands, which comes back; one in the hands of the living is left to them", async () => {
    const dead = link();
    const living = link();
    const carved = (dead.place.parts[0] as number) + PART_SMALL_POOL + POOL_CARVED;
    Atomics.add(dead.words, carved / 4, 1);
    expect((await net.audit()).buffers, "an audit sees it").to.equal(1);
    const window = living.seat.address + SEAT_WINDOW;
    word(living, window, 1);
    dies(dead);
    server.keeper?.sweep();
    word(living, window, 2);
    expect((await net.audit()).buffers).to.equal(0);
    const { s } = connect();
    ok(server.posix.send(s, Buffer.from("x")));
    expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
  });

  it("is a sleeper that never wakes: an exclusive event goes on to the next epoll", () => {
    const l = listener(server.posix, 80);
    const [first, second] = [ok(server.posix.epoll_create1(0)), ok(server.posix.epoll_create1(0))];
    for (const epfd of [first, second]) {
      ok(server.posix.epoll_ctl(epfd, EPOLL_CTL_ADD, l, { events: EPOLLIN | EPOLLEXCLUSIVE }));
    }
    const dead = link();
    word(dead, (dead.core.shareEpollAt(dead.place.share, first) >>> 0) + READY_WAITERS, 1);
    const c = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    client.posix.connect(c, { address: server.address, port: 80 });
    net.settle();
    expect(server.posix.epoll_wait(second, [], 4, 0)).to.equal(1);
  });

  it("is a call in a stack's ring: that stack does not take what its caller asks of another one", () => {
    const caller = link();
    ask(caller, 0);
    const status = caller.seat.address + SEAT_STATUS;
    expect(word(caller, status)).to.equal(CALL_ASKED | (1 << CALL_STACK));
    word(caller, status, CALL_IDLE);
    const before = server.stacks.map((stack) => stack.pools().tcb!.used);
    ask(caller, 1);
    net.settle();
    expect(word(caller, status)).to.equal(CALL_ANSWERED);
    const after = server.stacks.map((stack) => stack.pools().tcb!.used);
    expect(after.map((used, i) => used - before[i]!)).to.deep.equal([0, 1]);
    expect(server.sharing().cancelled).to.equal(1);
  });

  describe("when it is a stack", () => {
    const first = (): HostStack => server.stacks[0] as HostStack;

    it("ends the call that it was busy with at once, not only when it runs again", () => {
      const caller = link();
      const { address } = caller.seat;
      word(caller, address + SEAT_PART, caller.place.parts[0]);
      word(caller, address + SEAT_STATUS, CALL_UNDER_WAY);
      traps(first());
      expect(word(caller, address + SEAT_STATUS)).to.equal(CALL_ANSWERED);
      expect(word(caller, address + SEAT_RESULT)).to.equal(-ENETDOWN);
    });

    it("does not keep the next one from taking calls, wherever it was in taking one", async () => {
      const caller = link();
      ask(caller, 0);
      // mpscPop() has freed the slot, and not moved on yet.
      const ring = word(caller, (caller.place.parts[0] as number) + PART_CALLS);
      const [mask, tail] = [word(caller, ring + RING_MASK), word(caller, ring + RING_TAIL)];
      word(caller, ring + RING_SLOTS + (tail & mask) * 8, tail + mask + 1);
      traps(first());
      await net.restart(first());
      const fds = [1, 2].map(() => ok(server.posix.socket(AF_INET, SOCK_STREAM)));
      expect(fds.map((fd) => fd % 2).sort()).to.deep.equal([0, 1]);
      expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    });

    it("is not made anew while a thread still writes into one of its send buffers", async () => {
      let pair = connect();
      while (pair.s % 2 !== 0) pair = connect(pair.s + 100);
      const writer = link();
      writer.find(pair.s);
      const { at, part } = writer.channel;
      const generation = word(writer, at + CHANNEL_GENERATION);
      expect(writer.core.clientReserve(part, at, writer.seat.turn, 10, 0)).to.equal(10);
      traps(first());
      let isDone = false;
      const restarted = net.restart(first()).then(() => (isDone = true));
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(isDone, "it waits for the writer").to.equal(false);
      expect(word(writer, at + CHANNEL_GENERATION), "nobody begins anything any more").to.equal(generation + 1);
      writer.core.clientCommit(at, writer.seat.turn, 10, 0);
      await restarted;
      refused(server.posix.send(pair.s, Buffer.from("x")), EBADF);
      expect(await net.audit()).to.deep.equal(CLEAN_AUDIT);
    });

    it("leaves its turn: a send says -ENETDOWN and does not wait for a stack that is dead", () => {
      let pair = connect();
      while (pair.s % 2 !== 0) pair = connect(pair.s + 100);
      const writer = link();
      writer.find(pair.s);
      word(writer, writer.channel.at + CHANNEL_TX + 4, TURN_STACK);
      word(writer, (writer.place.blocks[0] as number) + THREAD_STATE, THREAD_TRAPPED);
      refused(server.posix.send(pair.s, Buffer.from("x")), ENETDOWN);
    });
  });
});

describe("close() with bytes to send and not a chunk left", () => {
  it("sends them as room comes: no end where bytes are missing, and no reset", async () => {
    net = createNetwork({ seed: 1, time: "virtual" });
    const bridge = net.bridge("lan");
    const common = { bridge, threads: "separate" } as const;
    const stack = { ...STACK, chunks: 16, largeChunks: 0 };
    server = net.host("server", { ...common, address: "10.0.0.1/24", stack, share: { largeSendBuffers: 0 } });
    client = net.host("client", { ...common, address: "10.0.0.2/24", stack: STACK });
    const l = listener(server.posix, 80);
    const c = ok(client.posix.socket(AF_INET, SOCK_STREAM));
    ok(client.posix.setsockopt(c, SOL_SOCKET, SO_RCVBUF, 4096));
    ok(client.posix.connect(c, { address: server.address, port: 80 }));
    net.settle();
    const s = ok(server.posix.accept4(l, null, SOCK_NONBLOCK));
    ok(server.posix.setsockopt(s, SOL_SOCKET, SO_SNDBUF, 1 << 20));
    const data = pattern(200_000);
    let sent = 0;
    for (let n; (n = server.posix.send(s, data.subarray(sent, sent + 4096))) > 0; sent += n) net.settle();
    expect(sent, "more than all chunks hold that are for bulk").to.be.above(8 * 2048 + 4096);
    ok(server.posix.close(s));
    refused(server.posix.send(s, data), EBADF);
    const got = Buffer.alloc(200_000);
    let received = 0;
    for (let n; (n = ok(client.posix.recv(c, got.subarray(received)))) > 0;) received += n;
    expect(received).to.equal(sent);
    expect(got.subarray(0, sent).equals(data.subarray(0, sent))).to.equal(true);
    ok(client.posix.close(c));
    net.advance("2s");
    expect(server.pools().chunk!.used).to.be.below(3);
    await net.close();
  });
});

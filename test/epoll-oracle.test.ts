// epoll against an oracle: random operations on random sockets, and after each of them the true state of every
// descriptor, asked with poll(2), says what epoll_wait must and must not report.
// ORIBI_SEED=n runs one seed. separate-parity.test.ts runs it once more by way of what business threads share; on real
// threads, whose state changes under the oracle's eyes, host/torture/talker.ts holds answers against it.

import { expect } from "chai";
import {
  AF_INET,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLRDHUP,
  MSG_DONTWAIT,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_RCVBUF,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import type { EpollEvent, Posix } from "../host/posix/posix.ts";
import { chance } from "./support/chance.ts";
import { datagramSocket, freshPort, listener, ok, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

const ALL = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
const OPERATIONS = 400;
const ONE_SEED = process.env.ORIBI_SEED;
/** Seeds that once found something, and some more. */
const SEEDS = ONE_SEED === undefined ? [607, ...Array.from({ length: 40 }, (_, i) => i + 1)] : [Number(ONE_SEED)];

/** A watch as the test knows it. */
interface Watch {
  events: number;
  /** Fired and not armed again (one-shot). */
  spent: boolean;
  /** Something became true, or came anew, since it was last reported or armed: an edge-triggered one must report it. */
  edge: boolean;
  /** Anything at all has happened to the socket since then: without it, an edge-triggered one must be silent. */
  touched: boolean;
  /** State when it was last looked at. */
  state: number;
}

/** What the server holds: streams with the client's end of them, datagram sockets, listeners. */
interface Watched {
  fd: number;
  kind: "stream" | "datagram" | "listener" | "epoll";
  /** The client's descriptor of a stream; 0 when it has been closed. */
  peer: number;
  port: number;
}

class Run {
  readonly hosts: TwoHosts;
  readonly client: Posix;
  readonly server: Posix;
  readonly random: (bound: number) => number;
  readonly sockets = new Map<number, Watched>();
  readonly epolls = new Map<number, Map<number, Watch>>();
  readonly sender: number;
  /** What was done, for the message of a failure. */
  readonly log: string[] = [];
  reports = 0;

  constructor(hosts: TwoHosts, seed: number) {
    this.hosts = hosts;
    this.client = hosts.client;
    this.server = hosts.server;
    this.random = chance(seed);
    this.sender = ok(this.client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    for (let i = 0; i < 3; i++) this.openEpoll();
    this.openListener();
    for (let i = 0; i < 3; i++) this.openDatagram();
    for (let i = 0; i < 3; i++) this.knock();
    settle(hosts);
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[this.random(list.length)];
  }

  of(kind: Watched["kind"]): Watched[] {
    return [...this.sockets.values()].filter((socket) => socket.kind === kind);
  }

  openEpoll(): void {
    const fd = ok(this.server.epoll_create1(0));
    this.epolls.set(fd, new Map());
    this.sockets.set(fd, { fd, kind: "epoll", peer: 0, port: 0 });
  }

  openListener(): void {
    const port = freshPort();
    const fd = listener(this.server, port, 8);
    this.sockets.set(fd, { fd, kind: "listener", peer: 0, port });
  }

  openDatagram(): void {
    const port = freshPort();
    const fd = datagramSocket(this.server, port);
    this.sockets.set(fd, { fd, kind: "datagram", peer: 0, port });
  }

  /** A client connects; accept() is another operation. */
  knock(): void {
    const l = this.pick(this.of("listener"));
    if (l === undefined) return;
    const c = ok(this.client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    this.client.connect(c, this.hosts.serverAddress, l.port);
    this.knocking.push(c);
    this.touch(l.fd);
  }

  readonly knocking: number[] = [];

  accept(): void {
    const l = this.pick(this.of("listener"));
    if (l === undefined) return;
    const name: { port?: number } = {};
    const fd = this.server.accept4(l.fd, name, SOCK_NONBLOCK);
    this.touch(l.fd);
    if (fd < 0) return;
    // Which of the waiting clients is it?
    const index = this.knocking.findIndex((c) => {
      const own: { port?: number } = {};
      return this.client.getsockname(c, own) === 0 && own.port === name.port;
    });
    const peer = index < 0 ? 0 : (this.knocking.splice(index, 1)[0] as number);
    if (this.random(2)) ok(this.server.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 4096));
    this.sockets.set(fd, { fd, kind: "stream", peer, port: 0 });
  }

  /** Anything may have happened to a descriptor of the server. */
  touch(fd: number): void {
    for (const [epfd, watches] of this.epolls) {
      const watch = watches.get(fd);
      if (watch === undefined) continue;
      watch.touched = true;
      this.touch(epfd);
    }
  }

  /** New bytes or messages have come: an edge for those who watch for input. */
  arrived(fd: number): void {
    for (const watches of this.epolls.values()) {
      const watch = watches.get(fd);
      if (watch !== undefined && watch.events & EPOLLIN) watch.edge = true;
    }
  }

  state(fd: number): number {
    const entry = { fd, events: ALL, revents: 0 };
    ok(this.server.poll([entry], 0));
    return entry.revents;
  }

  /** Compares states with the last look: what has become true is an edge. */
  observe(): void {
    settle(this.hosts);
    for (const watches of this.epolls.values()) {
      for (const [fd, watch] of watches) {
        if (this.sockets.get(fd)?.kind === "epoll") continue;
        const state = this.state(fd) & this.maskOf(watch);
        if (state & ~watch.state) watch.edge = true;
        if (state !== watch.state) watch.touched = true;
        watch.state = state;
      }
    }
  }

  maskOf(watch: Watch): number {
    return watch.spent ? 0 : (watch.events & ALL) | EPOLLERR | EPOLLHUP;
  }

  operate(): void {
    const stream = this.pick(this.of("stream"));
    const datagram = this.pick(this.of("datagram"));
    const any = this.pick([...this.sockets.values()]);
    const { client, server } = this;
    const choice = this.random(20);
    this.log.push(`${choice} stream ${stream?.fd} datagram ${datagram?.fd} any ${any?.fd}`);
    if (choice < 3 && stream?.peer) {
      const free = client.ioctl(stream.peer, 0x5411);
      const n = client.send(stream.peer, Buffer.alloc(1 + this.random(3000)), MSG_DONTWAIT);
      this.touch(stream.fd);
      settle(this.hosts);
      if (n > 0 && free === 0) this.arrivedIfReadable(stream.fd);
    } else if (choice < 5 && datagram !== undefined) {
      client.sendto(this.sender, Buffer.from("x"), 0, { address: this.hosts.serverAddress, port: datagram.port });
      this.touch(datagram.fd);
      settle(this.hosts);
      this.arrivedIfReadable(datagram.fd);
    } else if (choice < 7 && any !== undefined && any.kind !== "epoll" && any.kind !== "listener") {
      server.recv(any.fd, Buffer.alloc(1 + this.random(5000)), MSG_DONTWAIT);
      this.touch(any.fd);
    } else if (choice === 7 && stream !== undefined) {
      server.send(stream.fd, Buffer.alloc(1 + this.random(200_000)), MSG_DONTWAIT);
      this.touch(stream.fd);
    } else if (choice === 8 && stream?.peer) {
      client.recv(stream.peer, Buffer.alloc(1 + this.random(200_000)), MSG_DONTWAIT);
      this.touch(stream.fd);
    } else if (choice === 9 && stream !== undefined) {
      const how = [SHUT_RD, SHUT_WR, SHUT_RDWR][this.random(3)] as number;
      if (this.random(2)) server.shutdown(stream.fd, how);
      else if (stream.peer) client.shutdown(stream.peer, how);
      this.touch(stream.fd);
    } else if (choice === 10 && stream?.peer && this.random(2)) {
      ok(client.close(stream.peer));
      stream.peer = 0;
      this.touch(stream.fd);
    } else if (choice === 11) {
      this.knock();
    } else if (choice === 12) {
      this.accept();
    } else if (choice === 13 && any !== undefined && this.random(3) === 0) {
      this.close(any);
    } else if (choice === 14) {
      if (this.sockets.size < 30) this.pick([() => this.openDatagram(), () => this.openListener()])?.();
      if (this.epolls.size < 4) this.openEpoll();
    } else if (choice < 18 && any !== undefined) {
      this.control(any);
    } else {
      this.hosts.advance(this.random(50));
      for (const fd of this.sockets.keys()) this.touch(fd);
    }
  }

  arrivedIfReadable(fd: number): void {
    if (this.state(fd) & EPOLLIN) this.arrived(fd);
  }

  close(socket: Watched): void {
    this.touch(socket.fd);
    ok(this.server.close(socket.fd));
    if (socket.peer) ok(this.client.close(socket.peer));
    this.sockets.delete(socket.fd);
    this.epolls.delete(socket.fd);
    for (const watches of this.epolls.values()) watches.delete(socket.fd);
  }

  control(socket: Watched): void {
    const found = this.pick([...this.epolls.entries()].filter(([fd]) => fd !== socket.fd));
    if (found === undefined) return;
    const [epfd, watches] = found;
    // Epolls are watched level-triggered only; which of them report edges is what the sockets test.
    const extra =
      socket.kind === "epoll" ? 0 : ([0, 0, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT][this.random(5)] ?? 0);
    const events =
      (this.random(8) & 7 ? EPOLLIN : 0) | (this.random(3) ? 0 : EPOLLOUT) | (this.random(3) ? 0 : EPOLLRDHUP) | extra;
    const known = watches.has(socket.fd);
    const op = !known ? EPOLL_CTL_ADD : this.random(3) ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    const result = this.server.epoll_ctl(epfd, op, socket.fd, { events });
    this.log.push(`ctl ${epfd} ${op} ${socket.fd} ${events} -> ${result}`);
    this.touch(epfd);
    if (result < 0) {
      // Only circles and chains that are too deep are refused.
      expect(socket.kind, this.where()).to.equal("epoll");
      return;
    }
    if (op === EPOLL_CTL_DEL) watches.delete(socket.fd);
    else watches.set(socket.fd, { events, spent: false, edge: true, touched: true, state: 0 });
  }

  where(): string {
    return `the last operations: ${this.log.slice(-25).join("; ")}`;
  }

  /** What an epoll must report now, and what it may report beside that: descriptor to events. */
  expected(epfd: number): { must: Map<number, number>; may: Map<number, number> } {
    const must = new Map<number, number>();
    const may = new Map<number, number>();
    for (const [fd, watch] of this.epolls.get(epfd) ?? []) {
      const inner = this.sockets.get(fd)?.kind === "epoll";
      const now = (inner ? (this.expected(fd).must.size > 0 ? EPOLLIN : 0) : this.state(fd)) & this.maskOf(watch);
      const possible = inner && this.expected(fd).may.size > 0 ? EPOLLIN & this.maskOf(watch) : now;
      if (now !== 0 && (!(watch.events & EPOLLET) || watch.edge)) must.set(fd, now);
      if (possible !== 0 && (!(watch.events & EPOLLET) || watch.touched)) may.set(fd, possible);
    }
    return { must, may };
  }

  /** One epoll_wait, held against the oracle. */
  check(epfd: number, most: number): void {
    const { must, may } = this.expected(epfd);
    const events: EpollEvent[] = [];
    const n = ok(this.server.epoll_wait(epfd, events, most, 0));
    const reported = new Map(events.slice(0, n).map((event) => [event.data.fd, event.events]));
    const message = (): string => {
      const show = (map: Map<number, number>): string => [...map].map(([fd, e]) => `${fd}:${e}`).join(" ");
      return `epoll ${epfd} reported {${show(reported)}}, must {${show(must)}}, may {${show(may)}}; ${this.where()}`;
    };
    expect(reported.size, `no descriptor twice; ${message()}`).to.equal(n);
    for (const [fd, what] of reported) {
      expect(may.get(fd) ?? 0, `${fd} reported as it is; ${message()}`).to.equal(what);
      const watch = this.epolls.get(epfd)?.get(fd) as Watch;
      watch.edge = false;
      watch.touched = false;
      if (watch.events & EPOLLONESHOT) watch.spent = true;
    }
    if (n < most) for (const fd of must.keys()) expect(reported.has(fd), `${fd} was lost; ${message()}`).to.equal(true);
    this.reports += n;
    // Who watches this epoll may find it changed.
    this.touch(epfd);
  }
}

describe("epoll against the true state", () => {
  let reports = 0;
  for (const seed of SEEDS) {
    it(`tells the truth, all of it, and each edge once (seed ${seed})`, () => {
      const run = new Run(twoHosts({ connections: 200 }), seed);
      for (let i = 0; i < OPERATIONS; i++) {
        run.operate();
        run.observe();
        const epfd = run.pick([...run.epolls.keys()]);
        if (epfd !== undefined && run.random(2)) run.check(epfd, run.random(3) ? 100 : 1 + run.random(4));
      }
      for (const epfd of run.epolls.keys()) run.check(epfd, 1000);
      reports += run.reports;
    });
  }

  after(() => {
    expect(reports, "the runs had something to report").to.be.greaterThan(SEEDS.length * 50);
  });
});

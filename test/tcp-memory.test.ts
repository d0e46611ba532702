// Memory that runs short: what each connection may hold all the same, who waits and who is woken, what windows and
// readiness say meanwhile. Read first: tcp(7) tcp_mem, tcp_wmem, tcp_rmem; assembly/memory/chunk.ts.

import { expect } from "chai";
import { EAGAIN, POOL_CHUNK, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET } from "../assembly/layout.ts";
import {
  createNetwork,
  EPIPE,
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  type Host,
  type HostOptions,
  MSG_DONTWAIT,
  type Network,
  POLLOUT,
  SHUT_WR,
  SOCK_NONBLOCK,
} from "../host/index.ts";
import { Peer, Victim } from "./support/attacker.ts";
import { connected, ok, type Pair, pattern, polled, refused } from "./support/sockets.ts";
import type { TwoHosts } from "./support/two-hosts.ts";

const made: Network[] = [];
const A = Buffer.from("a");

interface Lab extends TwoHosts {
  from: Host;
  to: Host;
}

/** Two hosts in virtual time; the client has the sizes `stack`, the server those of `others`. */
function lab(threads: "shared" | "separate", client: Partial<HostOptions>, server: Partial<HostOptions> = {}): Lab {
  const network = createNetwork({ seed: 1, time: "virtual" });
  made.push(network);
  const bridge = network.bridge("lan");
  const from = network.host("client", { bridge, address: "10.0.0.1/24", threads, ...client });
  const to = network.host("server", { bridge, address: "10.0.0.2/24", threads, ...server });
  network.settle();
  return {
    network,
    from,
    to,
    client: from.posix,
    server: to.posix,
    clientAddress: from.address,
    serverAddress: to.address,
    now: () => network.now(),
    step: () => network.step(),
    advance: (millis) => network.advance(millis * 1000),
    pools: () => [],
  };
}

function pairs(hosts: Lab, n: number): Pair[] {
  return Array.from({ length: n }, () => connected(hosts));
}

/** Writes to all of them until none takes any more and nothing moves. Returns the bytes that each has taken. */
function fill(hosts: Lab, all: readonly Pair[], chunk: Uint8Array): number[] {
  const taken = all.map(() => 0);
  for (let before = -1, sum = 0; sum !== before;) {
    before = sum;
    all.forEach(({ client }, i) => {
      for (let n; (n = hosts.client.send(client, chunk, MSG_DONTWAIT)) > 0;) taken[i]! += n;
    });
    hosts.advance(500);
    sum = taken.reduce((a, b) => a + b);
  }
  return taken;
}

/** Reads whatever comes on all of them until each has had as many bytes as `taken` says. */
function drain(hosts: Lab, all: readonly Pair[], taken: readonly number[]): void {
  const buffer = Buffer.alloc(65_536);
  const left = [...taken];
  for (let quiet = 0; left.some((n) => n > 0) && quiet < 200;) {
    quiet++;
    all.forEach(({ server }, i) => {
      for (let n; left[i]! > 0 && (n = hosts.server.recv(server, buffer, MSG_DONTWAIT)) > 0;) {
        left[i]! -= n;
        quiet = 0;
      }
    });
    hosts.advance(1000);
  }
  expect(left.filter((n) => n !== 0)).to.deep.equal([]);
}

/** Small and large chunks in use by a host. */
function chunks(host: Host): number[] {
  const { chunk, chunkLarge } = host.pools();
  return [chunk!.used, chunkLarge!.used];
}

function closeAll(hosts: Lab, all: readonly Pair[]): void {
  for (const { client, server, listener } of all) {
    ok(hosts.client.close(client));
    ok(hosts.server.close(server));
    ok(hosts.server.close(listener));
  }
  hosts.advance(130_000);
}

for (const threads of ["shared", "separate"] as const) {
  describe(`memory that runs short (${threads})`, () => {
    afterEach(() => Promise.all(made.splice(0).map((network) => network.close())));

    it("63 bulk connections that use up the chunks leave tcp_wmem[0] to an idle one, which sends at once", () => {
      const hosts = lab(threads, { stack: { connections: 256, chunks: 1024, largeChunks: 8 } });
      const all = pairs(hosts, 64);
      const idle = all.pop()!;
      for (const { client } of all) ok(hosts.client.setsockopt(client, SOL_SOCKET, SO_SNDBUF, 1 << 20));
      for (const { server } of all) ok(hosts.server.setsockopt(server, SOL_SOCKET, SO_RCVBUF, 8192));
      const taken = fill(hosts, all, pattern(65_536));
      const [small, large] = chunks(hosts.from);
      expect(small, "small chunks in use").to.be.above(700);
      expect(large).to.equal(8);
      for (const { client } of all) expect(hosts.client.send(client, A, MSG_DONTWAIT)).to.equal(-EAGAIN);
      expect(polled(hosts.client, idle.client)).to.equal(POLLOUT);
      expect(hosts.client.send(idle.client, pattern(4096))).to.equal(4096);
      hosts.advance(100);
      const buffer = Buffer.alloc(5000);
      expect(hosts.server.recv(idle.server, buffer)).to.equal(4096);
      expect(Buffer.compare(buffer.subarray(0, 4096), pattern(4096))).to.equal(0);
      expect(Math.min(...taken), "what the last of the bulk connections has got").to.be.at.least(4096);
      drain(hosts, all, taken);
      closeAll(hosts, [...all, idle]);
      expect(chunks(hosts.from)).to.deep.equal([0, 0]);
      expect(chunks(hosts.to)).to.deep.equal([0, 0]);
    });

    it("a blocking send waits while there is no chunk at all, and goes on when acknowledgments have freed some", () => {
      const stack = { connections: 64, chunks: 16, largeChunks: 0 };
      const hosts = lab(threads, { stack, share: { sendBuffers: 1, largeSendBuffers: 0 } });
      const all = pairs(hosts, 17);
      const last = all.pop()!;
      hosts.from.setLink({ delay: "1s" });
      for (const { client } of all) expect(hosts.client.send(client, A)).to.equal(1);
      if (threads === "shared") {
        expect(hosts.from.pools().chunk!.used).to.equal(16);
        expect(polled(hosts.client, last.client), "not writable").to.equal(0);
        expect(hosts.client.send(last.client, A, MSG_DONTWAIT)).to.equal(-EAGAIN);
      }
      expect(hosts.client.send(last.client, A)).to.equal(1);
      expect(polled(hosts.client, last.client)).to.equal(POLLOUT);
      hosts.advance(10_000);
      const buffer = Buffer.alloc(10);
      expect(hosts.server.recv(last.server, buffer)).to.equal(1);
      closeAll(hosts, [...all, last]);
      expect(chunks(hosts.from)).to.deep.equal([0, 0]);
    });

    it("memory that comes back is told to those who wait for EPOLLOUT's edge: all of them get their turn", () => {
      const stack = { connections: 512, chunks: 64, largeChunks: 0, epollItems: 512 };
      const share = { sendBuffers: 16, largeSendBuffers: 0 };
      const hosts = lab(threads, { stack, share });
      const all = pairs(hosts, 150);
      hosts.from.setLink({ delay: "5ms" });
      const data = pattern(20_000);
      const ep = ok(hosts.client.epoll_create1(0));
      const sent = new Map<number, number>();
      for (const { client } of all) {
        ok(hosts.client.fcntl(client, 4, SOCK_NONBLOCK));
        const events = EPOLLOUT | EPOLLET;
        ok(hosts.client.epoll_ctl(ep, EPOLL_CTL_ADD, client, { events, data: { fd: client } }));
        sent.set(client, 0);
      }
      const got = new Map(all.map(({ server }) => [server, Buffer.alloc(0)]));
      const buffer = Buffer.alloc(65_536);
      const read = (): void => {
        for (const { server } of all) {
          const n = hosts.server.recv(server, buffer, MSG_DONTWAIT);
          if (n > 0) got.set(server, Buffer.concat([got.get(server)!, buffer.subarray(0, n)]));
        }
      };
      const events = Array.from({ length: 64 }, () => ({ events: 0, data: { fd: 0 } }));
      let refusals = 0;
      for (let silent = 0; silent < 3 && [...sent.values()].some((n) => n < data.length);) {
        const n = ok(hosts.client.epoll_wait(ep, events as never, 64, 2000));
        silent = n === 0 ? silent + 1 : 0;
        for (const {
          data: { fd },
        } of events.slice(0, n) as { data: { fd: number } }[]) {
          // As edges demand: until it is refused.
          let done = sent.get(fd)!;
          for (let m; done < data.length; done += m) {
            m = hosts.client.send(fd, data.subarray(done));
            if (m < 0) {
              refused(m, EAGAIN);
              refusals++;
              break;
            }
          }
          sent.set(fd, done);
        }
        read();
      }
      expect(refusals, "memory was short").to.be.above(100);
      expect([...sent.values()].filter((n) => n !== data.length)).to.deep.equal([]);
      for (let i = 0; i < 50; i++) {
        hosts.advance(100);
        read();
      }
      for (const { server } of all) expect(Buffer.compare(got.get(server)!, data)).to.equal(0);
      closeAll(hosts, all);
      expect(chunks(hosts.from)).to.deep.equal([0, 0]);
    });

    it("a receiver whose chunks are out keeps tcp_rmem[0] for an idle connection, and deadlocks with none", () => {
      const hosts = lab(threads, {}, { stack: { connections: 256, chunks: 400, largeChunks: 0 } });
      const all = pairs(hosts, 64);
      const idle = all.pop()!;
      for (const { client } of all) ok(hosts.client.setsockopt(client, SOL_SOCKET, SO_SNDBUF, 65_536));
      const taken = fill(hosts, all, pattern(16_384));
      expect(hosts.to.pools().chunk!.used, "chunks of the server in use").to.be.above(290);
      expect(hosts.client.send(idle.client, pattern(1000))).to.equal(1000);
      hosts.advance(1000);
      const buffer = Buffer.alloc(2000);
      expect(hosts.server.recv(idle.server, buffer, MSG_DONTWAIT)).to.equal(1000);
      drain(hosts, all, taken);
      closeAll(hosts, [...all, idle]);
      expect(chunks(hosts.to)).to.deep.equal([0, 0]);
    });
  });
}

describe("shutdown() while memory is short (separate)", () => {
  afterEach(() => Promise.all(made.splice(0).map((network) => network.close())));

  it("succeeds: what was sent before arrives when there is memory, then the end of the stream", () => {
    const hosts = lab("separate", { stack: { connections: 64, chunks: 16, largeChunks: 0 } });
    const all = pairs(hosts, 17);
    const last = all.pop()!;
    hosts.from.setLink({ delay: "1s" });
    for (const { client } of all) expect(hosts.client.send(client, A)).to.equal(1);
    hosts.step();
    expect(hosts.from.pools().chunk!.used).to.equal(16);
    expect(hosts.client.send(last.client, pattern(3000))).to.equal(3000);
    expect(hosts.client.shutdown(last.client, SHUT_WR)).to.equal(0);
    refused(hosts.client.send(last.client, A, MSG_DONTWAIT), EPIPE);
    expect(polled(hosts.client, last.client) & POLLOUT, "as after any shutdown").to.equal(POLLOUT);
    hosts.advance(10_000);
    const buffer = Buffer.alloc(4000);
    expect(hosts.server.recv(last.server, buffer)).to.equal(3000);
    expect(Buffer.compare(buffer.subarray(0, 3000), pattern(3000))).to.equal(0);
    expect(hosts.server.recv(last.server, buffer)).to.equal(0);
    closeAll(hosts, [...all, last]);
    expect(chunks(hosts.from)).to.deep.equal([0, 0]);
  });
});

describe("a receive buffer without memory", () => {
  const sizes = { CFG_CHUNKS: 16, CFG_LARGE_CHUNKS: 0 };

  /** A victim, all of whose chunks hold a byte that nobody has read. */
  function full(): { victim: Victim; all: Peer[]; last: Peer } {
    const victim = new Victim({ sizes, backlog: 32 });
    const all = Array.from({ length: 17 }, (_, i) => new Peer(victim, { from: 5000 + i }).open());
    const last = all.pop()!;
    for (const peer of all) peer.send({ flags: "PA" }, "a");
    expect(victim.core.poolUsed(POOL_CHUNK)).to.equal(16);
    victim.advance(1000);
    victim.sent();
    return { victim, all, last };
  }

  it("drops a segment with an ACK that shuts the window, and opens it by itself when memory is there", () => {
    const { victim, all, last } = full();
    const { seq } = last;
    const [refusal] = victim.answers(() => last.send({ flags: "PA", seq }, "hello"));
    expect(refusal!.tcp).to.include({ ack: last.seq, window: 0 });
    expect(victim.counter("TCP_RCV_PRUNED")).to.equal(1);
    const updates = victim.answers(() => {
      victim.read(all[0]!.fd);
      victim.advance(1);
    });
    const update = updates.find(({ tcp }) => tcp!.to === last.from);
    expect(update!.tcp!.ack).to.equal(last.seq);
    expect(update!.tcp!.window).to.be.above(0);
    last.send({ flags: "PA" }, "hello");
    expect(Buffer.from(victim.read(last.fd) as Uint8Array).toString()).to.equal("hello");
    last.expectAlive();
  });

  it("announces what can be stored: nothing of the window that it opens anew has to be dropped", () => {
    const { victim, all, last } = full();
    last.send({ flags: "PA", seq: last.seq }, "x".repeat(1460));
    victim.sent();
    const updates = victim.answers(() => {
      victim.read(all[0]!.fd);
      victim.advance(1);
    });
    const { window } = updates.find(({ tcp }) => tcp!.to === last.from)!.tcp!;
    expect(window).to.be.within(1, 2032);
    last.send({ flags: "PA" }, "x".repeat(window));
    expect((victim.read(last.fd) as Uint8Array).length).to.equal(window);
    last.expectAlive();
  });

  it("gives up what is out of order before it refuses what is in line", () => {
    const victim = new Victim({ sizes: { CFG_CHUNKS: 16, CFG_LARGE_CHUNKS: 0 } });
    const peer = new Peer(victim).open();
    const data = pattern(60_000);
    const send = (from: number, to: number): void => {
      peer.send({ flags: "PA", seq: (peer.seq + from) >>> 0 }, data.subarray(from, to));
    };
    // Every second segment: each takes a chunk, as far as there is one for such.
    for (let from = 1460; from < 56_000; from += 2920) send(from, from + 1460);
    const islands = victim.core.poolUsed(POOL_CHUNK);
    expect(islands).to.be.within(9, 14);
    let at = 0;
    for (let rounds = 0; rounds < 60 && at < 14_600; rounds++) {
      const [answer] = victim.answers(() => send(at, at + 1460)).slice(-1);
      at = (answer!.tcp!.ack - peer.seq) >>> 0;
    }
    expect(at).to.be.at.least(14_600);
    const got = victim.read(peer.fd) as Uint8Array;
    expect(Buffer.compare(got, data.subarray(0, got.length))).to.equal(0);
  });
});

describe("events of a socket whose memory is short", () => {
  afterEach(() => Promise.all(made.splice(0).map((network) => network.close())));

  it("EPOLLIN comes as always while EPOLLOUT waits", () => {
    const stack = { connections: 64, chunks: 16, largeChunks: 0 };
    const hosts = lab("shared", { stack });
    const all = pairs(hosts, 17);
    const last = all.pop()!;
    hosts.from.setLink({ delay: "1s" });
    for (const { client } of all) expect(hosts.client.send(client, A)).to.equal(1);
    const ep = ok(hosts.client.epoll_create1(0));
    ok(hosts.client.epoll_ctl(ep, EPOLL_CTL_ADD, last.client, { events: EPOLLIN | EPOLLOUT }));
    const events = [{ events: 0 }] as never[];
    expect(hosts.client.epoll_wait(ep, events, 1, 0)).to.equal(0);
    const before = hosts.now();
    expect(hosts.client.epoll_wait(ep, events, 1, 10_000)).to.equal(1);
    expect((events[0] as { events: number }).events).to.equal(EPOLLOUT);
    expect(hosts.now() - before, "it has waited for the acknowledgments").to.be.above(1e6);
  });
});

// epoll(7): level, edge, one-shot, exclusive, nested; what each call refuses.
// Read first: epoll_ctl(2), epoll_wait(2).

import { expect } from "chai";
import {
  AF_INET,
  EBADF,
  EDEADLK,
  EEXIST,
  EINVAL,
  ELOOP,
  ENOENT,
  ENOSPC,
  ENOTSOCK,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLRDHUP,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/posix/constants.ts";
import type { EpollEvent, Posix } from "../host/posix/posix.ts";
import { connected, datagramSocket, freshPort, listener, ok, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("epoll", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;
  let epfd: number;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
    epfd = ok(server.epoll_create1(SOCK_CLOEXEC));
  });

  /** What epoll_wait reports without waiting: descriptor and events of each. */
  const wait = (ep = epfd, max = 100, timeout = 0): [number, number][] => {
    const events: EpollEvent[] = [];
    const n = ok(server.epoll_wait(ep, events, max, timeout));
    expect(events).to.have.length(n);
    return events.map((event) => [event.data.fd, event.events]);
  };
  const add = (fd: number, events: number, ep = epfd): number => server.epoll_ctl(ep, EPOLL_CTL_ADD, fd, { events });
  const mod = (fd: number, events: number, ep = epfd): number => server.epoll_ctl(ep, EPOLL_CTL_MOD, fd, { events });
  const del = (fd: number, ep = epfd): number => server.epoll_ctl(ep, EPOLL_CTL_DEL, fd);
  const say = (fd: number, text = "x"): void => {
    ok(client.send(fd, Buffer.from(text)));
    settle(hosts);
  };

  describe("level-triggered", () => {
    it("reports as long as it is so", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLIN));
      expect(wait()).to.deep.equal([]);
      say(pair.client);
      for (let i = 0; i < 3; i++) expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      readAll(server, pair.server);
      expect(wait()).to.deep.equal([]);
    });

    it("reports at once what was ready before, and what MOD asks for", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      say(pair.client);
      ok(add(pair.server, EPOLLIN));
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      ok(mod(pair.server, EPOLLOUT));
      expect(wait()).to.deep.equal([[pair.server, EPOLLOUT]]);
      ok(mod(pair.server, 0));
      expect(wait()).to.deep.equal([]);
      ok(mod(pair.server, EPOLLIN | EPOLLOUT));
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN | EPOLLOUT]]);
    });

    it("reports EPOLLHUP and EPOLLERR unasked, EPOLLRDHUP when asked", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLRDHUP));
      ok(client.shutdown(pair.client, SHUT_WR));
      settle(hosts);
      expect(wait()).to.deep.equal([[pair.server, EPOLLRDHUP]]);
      ok(mod(pair.server, 0));
      expect(wait()).to.deep.equal([]);
      ok(server.shutdown(pair.server, SHUT_WR));
      settle(hosts);
      expect(wait()).to.deep.equal([[pair.server, EPOLLHUP]]);

      const ep = ok(client.epoll_create1(0));
      const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      client.connect(c, hosts.serverAddress, freshPort());
      ok(client.epoll_ctl(ep, EPOLL_CTL_ADD, c, { events: 0 }));
      settle(hosts);
      const events: EpollEvent[] = [];
      expect(client.epoll_wait(ep, events, 9, 0)).to.equal(1);
      expect(events[0]?.events).to.equal(EPOLLERR | EPOLLHUP);
    });

    it("watches listeners and datagram sockets", () => {
      const port = freshPort();
      const l = listener(server, port);
      const u = datagramSocket(server, port);
      ok(add(l, EPOLLIN));
      ok(add(u, EPOLLIN));
      const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      client.connect(c, hosts.serverAddress, port);
      settle(hosts);
      expect(wait()).to.deep.equal([[l, EPOLLIN]]);
      const d = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      ok(client.sendto(d, Buffer.from("x"), 0, { address: hosts.serverAddress, port }));
      settle(hosts);
      expect(wait()).to.have.deep.members([
        [l, EPOLLIN],
        [u, EPOLLIN],
      ]);
      ok(server.accept(l));
      readAll(server, u);
      expect(wait()).to.deep.equal([]);
    });

    it("serves everybody in turn when maxevents is small", () => {
      const pairs = Array.from({ length: 7 }, () => connected(hosts, SOCK_NONBLOCK));
      for (const pair of pairs) {
        ok(add(pair.server, EPOLLIN));
        say(pair.client);
      }
      const seen = new Map<number, number>();
      for (let i = 0; i < 7; i++) {
        for (const [fd] of wait(epfd, 3)) seen.set(fd, (seen.get(fd) ?? 0) + 1);
      }
      expect([...seen.keys()].sort()).to.deep.equal(pairs.map((pair) => pair.server).sort());
      for (const [fd, times] of seen) expect(times, `descriptor ${fd}`).to.equal(3);
    });
  });

  describe("edge-triggered", () => {
    it("reports once for each arrival, read or not", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLIN | EPOLLET));
      say(pair.client);
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      expect(wait()).to.deep.equal([]);
      say(pair.client);
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      readAll(server, pair.server);
      expect(wait()).to.deep.equal([]);
      say(pair.client);
      readAll(server, pair.server);
      expect(wait(), "gone before anybody looked").to.deep.equal([]);
    });

    it("starts with what is there; MOD arms it again", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      say(pair.client);
      ok(add(pair.server, EPOLLIN | EPOLLOUT | EPOLLET));
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN | EPOLLOUT]]);
      expect(wait()).to.deep.equal([]);
      ok(mod(pair.server, EPOLLIN | EPOLLET));
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      expect(wait()).to.deep.equal([]);
    });

    it("tells a blocked sender when there is room again", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLOUT | EPOLLET));
      expect(wait()).to.deep.equal([[pair.server, EPOLLOUT]]);
      const data = Buffer.alloc(100_000);
      while (server.send(pair.server, data) > 0) settle(hosts);
      expect(wait()).to.deep.equal([]);
      for (let i = 0; i < 100 && wait().length === 0; i++) {
        readAll(client, pair.client);
        hosts.advance(10);
        if (server.poll([{ fd: pair.server, events: EPOLLOUT }], 0) === 1) {
          expect(wait()).to.deep.equal([[pair.server, EPOLLOUT]]);
          return;
        }
      }
      expect.fail("No room came up, or nobody was told.");
    });
  });

  describe("one-shot", () => {
    it("reports once, until MOD arms it again", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLIN | EPOLLONESHOT));
      say(pair.client);
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      say(pair.client);
      ok(client.close(pair.client));
      settle(hosts);
      expect(wait(), "not even for an end").to.deep.equal([]);
      ok(mod(pair.server, EPOLLIN | EPOLLONESHOT));
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      expect(wait()).to.deep.equal([]);
    });
  });

  describe("several epolls", () => {
    it("each sees what it asked for", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      const other = ok(server.epoll_create1(0));
      ok(add(pair.server, EPOLLIN));
      ok(add(pair.server, EPOLLIN | EPOLLOUT | EPOLLET, other));
      expect(wait(other)).to.deep.equal([[pair.server, EPOLLOUT]]);
      say(pair.client);
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      expect(wait(other)).to.deep.equal([[pair.server, EPOLLIN | EPOLLOUT]]);
      expect(wait(other)).to.deep.equal([]);
      ok(del(pair.server));
      expect(wait()).to.deep.equal([]);
      say(pair.client);
      expect(wait(other)).to.deep.equal([[pair.server, EPOLLIN | EPOLLOUT]]);
    });

    it("EPOLLEXCLUSIVE: an event stops at the first that sleeps", () => {
      const port = freshPort();
      const l = listener(server, port);
      const [second, third] = [ok(server.epoll_create1(0)), ok(server.epoll_create1(0))];
      for (const ep of [epfd, second, third]) ok(add(l, EPOLLIN | EPOLLEXCLUSIVE, ep));
      const knock = (): void => {
        const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        client.connect(c, hosts.serverAddress, port);
      };
      knock();
      // `second` sleeps while the connection comes: `epfd` stands before it, `third` behind.
      expect(wait(second, 9, 1000)).to.deep.equal([[l, EPOLLIN]]);
      expect(wait(third)).to.deep.equal([]);
      expect(wait(epfd)).to.deep.equal([[l, EPOLLIN]]);
      ok(server.accept(l));
      for (const ep of [epfd, second, third]) expect(wait(ep)).to.deep.equal([]);
      // Nobody sleeps: all of them are told.
      knock();
      settle(hosts);
      for (const ep of [epfd, second, third]) expect(wait(ep)).to.deep.equal([[l, EPOLLIN]]);
    });

    it("EPOLLEXCLUSIVE has its own rules", () => {
      const u = datagramSocket(server, freshPort());
      const inner = ok(server.epoll_create1(0));
      refused(add(u, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
      refused(add(u, EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP), EINVAL);
      refused(add(inner, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
      ok(add(u, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE));
      refused(mod(u, EPOLLIN), EINVAL);
      ok(del(u));
      ok(add(u, EPOLLIN));
      refused(mod(u, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    });
  });

  describe("an epoll in an epoll", () => {
    it("is readable while it would report something", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      const outer = ok(server.epoll_create1(0));
      ok(add(epfd, EPOLLIN, outer));
      ok(add(pair.server, EPOLLIN));
      expect(wait(outer)).to.deep.equal([]);
      say(pair.client);
      expect(wait(outer)).to.deep.equal([[epfd, EPOLLIN]]);
      expect(server.poll([{ fd: epfd, events: EPOLLIN }], 0)).to.equal(1);
      expect(wait(outer)).to.deep.equal([[epfd, EPOLLIN]]);
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      readAll(server, pair.server);
      expect(wait(outer)).to.deep.equal([]);
      expect(server.poll([{ fd: epfd, events: EPOLLIN }], 0)).to.equal(0);
    });

    it("passes edges on", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      const outer = ok(server.epoll_create1(0));
      ok(add(epfd, EPOLLIN | EPOLLET, outer));
      ok(add(pair.server, EPOLLIN | EPOLLET));
      say(pair.client);
      expect(wait(outer)).to.deep.equal([[epfd, EPOLLIN]]);
      expect(wait(outer)).to.deep.equal([]);
      expect(wait()).to.deep.equal([[pair.server, EPOLLIN]]);
      say(pair.client);
      expect(wait(outer)).to.deep.equal([[epfd, EPOLLIN]]);
    });

    it("may not watch itself, nor in a circle, nor too deep", () => {
      refused(add(epfd, EPOLLIN), EINVAL);
      const chain = [epfd];
      for (let i = 0; i < 4; i++) {
        const outer = ok(server.epoll_create1(0));
        ok(add(chain.at(-1) ?? -1, EPOLLIN, outer));
        chain.push(outer);
      }
      refused(add(chain.at(-1) ?? -1, EPOLLIN, ok(server.epoll_create1(0))), ELOOP);
      refused(add(chain[2] ?? -1, EPOLLIN, chain[0]), ELOOP);
      refused(add(chain[4] ?? -1, EPOLLIN, chain[0]), ELOOP);
      refused(add(ok(server.epoll_create1(0)), EPOLLIN, chain[0]), ELOOP);
      // A socket at the deep end wakes the outermost.
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLIN));
      say(pair.client);
      for (const [i, ep] of chain.entries()) if (i > 0) expect(wait(ep)).to.deep.equal([[chain[i - 1], EPOLLIN]]);
      for (const ep of chain) ok(server.close(ep));
    });
  });

  describe("epoll_ctl(2)", () => {
    it("refuses what makes no sense", () => {
      const u = datagramSocket(server, freshPort());
      refused(mod(u, EPOLLIN), ENOENT);
      refused(del(u), ENOENT);
      ok(add(u, EPOLLIN));
      refused(add(u, EPOLLIN), EEXIST);
      refused(server.epoll_ctl(epfd, 9, u, { events: EPOLLIN }), EINVAL);
      refused(add(u, EPOLLIN, u), EINVAL);
      refused(add(888, EPOLLIN), EBADF);
      refused(add(u, EPOLLIN, 888), EBADF);
      refused(server.epoll_create1(1), EINVAL);
      refused(server.epoll_create(0), EINVAL);
      refused(server.send(epfd, Buffer.from("x")), ENOTSOCK);
      refused(server.recv(epfd, Buffer.alloc(1)), ENOTSOCK);
    });

    it("says ENOSPC when the watches are used up", () => {
      const small = twoHosts({ epollItems: 4 });
      const ep = ok(small.server.epoll_create1(0));
      const fds = Array.from({ length: 5 }, () => ok(small.server.socket(AF_INET, SOCK_DGRAM, 0)));
      const results = fds.map((fd) => small.server.epoll_ctl(ep, EPOLL_CTL_ADD, fd, { events: EPOLLIN }));
      expect(results).to.deep.equal([0, 0, 0, 0, -ENOSPC]);
      ok(small.server.close(fds[0] ?? -1));
      ok(small.server.epoll_ctl(ep, EPOLL_CTL_ADD, fds[4] ?? -1, { events: EPOLLIN }));
    });

    it("keeps user data of 64 bits, and forgets watches with their descriptor", () => {
      const u = datagramSocket(server, freshPort());
      const read = (data: unknown): EpollEvent["data"] => {
        ok(server.epoll_ctl(epfd, EPOLL_CTL_ADD, u, { events: EPOLLOUT, data: data as never }));
        const events: EpollEvent[] = [];
        expect(server.epoll_wait(epfd, events, 1, 0)).to.equal(1);
        ok(del(u));
        return (events[0] as EpollEvent).data;
      };
      expect(read(undefined).fd).to.equal(u);
      expect(read({ fd: -5 }).fd).to.equal(-5);
      expect(read({ u32: 0xfedcba98 }).u32).to.equal(0xfedcba98);
      expect(read({ u64: 0xfedcba9876543210n }).u64).to.equal(0xfedcba9876543210n);
      expect(read(2 ** 40 + 7).u64).to.equal(2n ** 40n + 7n);
      const kept = read({ u64: 1n << 63n });
      expect(read(kept).u64).to.equal(1n << 63n);
      ok(add(u, EPOLLOUT));
      ok(server.close(u));
      expect(wait()).to.deep.equal([]);
      expect(datagramSocket(server, freshPort()), "the same number").to.equal(u);
      expect(wait()).to.deep.equal([]);
      ok(add(u, EPOLLOUT));
    });
  });

  describe("epoll_wait(2)", () => {
    it("refuses what is no epoll and no room", () => {
      const u = datagramSocket(server, freshPort());
      refused(server.epoll_wait(u, [], 1, 0), EINVAL);
      refused(server.epoll_wait(epfd, [], 0, 0), EINVAL);
      refused(server.epoll_wait(epfd, [], -1, 0), EINVAL);
      refused(server.epoll_wait(777, [], 1, 0), EBADF);
    });

    it("waits for its timeout, or until something happens", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(add(pair.server, EPOLLIN));
      const before = hosts.now();
      expect(wait(epfd, 9, 75)).to.deep.equal([]);
      expect(hosts.now() - before).to.be.within(75_000, 76_000);
      ok(client.send(pair.client, Buffer.from("x")));
      expect(wait(epfd, 9, -1)).to.deep.equal([[pair.server, EPOLLIN]]);
      expect(hosts.now() - before).to.be.lessThan(77_000);
    });

    it("says EDEADLK when nothing can ever happen", () => {
      hosts.advance(600_000);
      refused(server.epoll_wait(epfd, [], 1, -1), EDEADLK);
      expect(wait(epfd, 1, 10), "a timeout still comes").to.deep.equal([]);
    });

    it("reuses the caller's events", () => {
      const u = datagramSocket(server, freshPort());
      ok(add(u, EPOLLOUT));
      const events: EpollEvent[] = [];
      expect(server.epoll_wait(epfd, events, 5, 0)).to.equal(1);
      const first = events[0];
      expect(server.epoll_wait(epfd, events, 5, 0)).to.equal(1);
      expect(events[0]).to.equal(first);
    });
  });

  it("closing an epoll ends its watches", () => {
    hosts.advance(1000);
    const before = hosts.pools();
    const pair = connected(hosts, SOCK_NONBLOCK);
    const outer = ok(server.epoll_create1(0));
    ok(add(pair.server, EPOLLIN));
    ok(add(pair.listener, EPOLLIN));
    ok(add(epfd, EPOLLIN, outer));
    say(pair.client);
    ok(server.close(epfd));
    expect(wait(outer)).to.deep.equal([]);
    readAll(server, pair.server);
    for (const fd of [pair.server, pair.listener, outer]) ok(server.close(fd));
    ok(client.close(pair.client));
    hosts.advance(120_000);
    epfd = ok(server.epoll_create1(0));
    expect(hosts.pools()).to.deep.equal(before);
  });
});

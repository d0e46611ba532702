// Stream sockets through the POSIX calls: shutting down, closing, resets, SO_LINGER.
// Read first: POSIX.1-2024 XSH 2.10; the section 2 pages of Linux, whose answers these are.

import { expect } from "chai";
import {
  AF_INET,
  ECONNRESET,
  EINVAL,
  ENOTCONN,
  EPIPE,
  MSG_DONTWAIT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_LINGER,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import type { Posix } from "../host/posix/posix.ts";
import { connected, ok, pattern, polled, readAll, refused, settle, soError } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("ends of connections", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
  });

  describe("shutdown(2)", () => {
    it("SHUT_WR: the peer reads to the end, and may still answer", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.send(pair.client, Buffer.from("question")));
      ok(client.shutdown(pair.client, SHUT_WR));
      refused(client.send(pair.client, Buffer.from("x")), EPIPE);
      settle(hosts);
      expect(readAll(server, pair.server)).to.equal("question");
      expect(server.recv(pair.server, Buffer.alloc(1))).to.equal(0);
      expect(polled(server, pair.server)).to.equal(POLLIN | POLLRDHUP | POLLOUT);
      ok(server.send(pair.server, Buffer.from("answer")));
      settle(hosts);
      expect(readAll(client, pair.client)).to.equal("answer");
      ok(server.shutdown(pair.server, SHUT_WR));
      settle(hosts);
      expect(polled(client, pair.client) & (POLLHUP | POLLRDHUP)).to.equal(POLLHUP | POLLRDHUP);
    });

    it("SHUT_RD: reading ends, writing goes on", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.shutdown(pair.client, SHUT_RD));
      expect(client.recv(pair.client, Buffer.alloc(1))).to.equal(0);
      expect(polled(client, pair.client)).to.equal(POLLIN | POLLRDHUP | POLLOUT);
      ok(client.send(pair.client, Buffer.from("x")));
      settle(hosts);
      expect(readAll(server, pair.server)).to.equal("x");
    });

    it("SHUT_RDWR: both, and the poller sees POLLHUP", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.shutdown(pair.client, SHUT_RDWR));
      expect(client.recv(pair.client, Buffer.alloc(1))).to.equal(0);
      refused(client.send(pair.client, Buffer.from("x")), EPIPE);
      expect(polled(client, pair.client) & POLLHUP).to.equal(POLLHUP);
      settle(hosts);
      expect(server.recv(pair.server, Buffer.alloc(1))).to.equal(0);
    });

    it("refuses sockets that are not connected, and directions that are none", () => {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
      refused(client.shutdown(fd, SHUT_WR), ENOTCONN);
      refused(client.shutdown(connected(hosts).client, 3), EINVAL);
    });
  });

  describe("close(2)", () => {
    it("still sends what is queued, then the end", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      const data = pattern(50_000);
      let at = 0;
      const got: Buffer[] = [];
      while (at < data.length) {
        const n = client.send(pair.client, data.subarray(at), MSG_DONTWAIT);
        if (n > 0) at += n;
        if (at < data.length) {
          settle(hosts);
          const buffer = Buffer.alloc(65536);
          const m = server.recv(pair.server, buffer);
          if (m > 0) got.push(buffer.subarray(0, m));
        }
      }
      ok(client.close(pair.client));
      ok(server.fcntl(pair.server, 4, 0));
      const rest = Buffer.alloc(data.length);
      for (let n: number; (n = ok(server.recv(pair.server, rest))) > 0;) got.push(Buffer.from(rest.subarray(0, n)));
      expect(Buffer.concat(got).equals(data)).to.equal(true);
    });

    it("resets the connection when received bytes were not read", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.send(pair.client, Buffer.from("unread")));
      settle(hosts);
      ok(server.close(pair.server));
      settle(hosts);
      refused(client.recv(pair.client, Buffer.alloc(1)), ECONNRESET);
      refused(client.send(pair.client, Buffer.from("x")), EPIPE);
    });

    it("after a reset: the error once, then the end for readers and EPIPE for writers", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(server.setsockopt(pair.server, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 }));
      ok(server.close(pair.server));
      settle(hosts);
      expect(polled(client, pair.client) & (POLLERR | POLLHUP | POLLIN)).to.equal(POLLERR | POLLHUP | POLLIN);
      refused(client.recv(pair.client, Buffer.alloc(1)), ECONNRESET);
      expect(client.recv(pair.client, Buffer.alloc(1))).to.equal(0);
      refused(client.send(pair.client, Buffer.from("x")), EPIPE);
      expect(soError(client, pair.client)).to.equal(0);
    });

    it("lets the peer learn of it by a reset of what it still sends", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(server.close(pair.server));
      settle(hosts);
      expect(client.recv(pair.client, Buffer.alloc(1))).to.equal(0);
      expect(client.send(pair.client, Buffer.from("x"))).to.equal(1);
      settle(hosts);
      refused(client.send(pair.client, Buffer.from("x")), EPIPE);
    });

    it("lingers until the peer has taken all, at most for SO_LINGER's time", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.setsockopt(pair.client, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 5 }));
      ok(client.send(pair.client, Buffer.from("last words")));
      const before = hosts.now();
      ok(client.close(pair.client));
      expect(hosts.now() - before, "the peer answers at once").to.be.lessThan(1_000_000);
      expect(readAll(server, pair.server)).to.equal("last words");

      const stuck = connected(hosts, SOCK_NONBLOCK);
      ok(server.setsockopt(stuck.server, SOL_SOCKET, SO_RCVBUF, 2048));
      ok(client.setsockopt(stuck.client, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 3 }));
      while (client.send(stuck.client, pattern(65536), MSG_DONTWAIT) > 0) settle(hosts);
      const start = hosts.now();
      ok(client.close(stuck.client));
      expect(hosts.now() - start).to.be.within(3_000_000, 3_001_000);
    });

    it("gives every buffer, TCB and watch back", () => {
      hosts.advance(1000);
      const before = hosts.pools();
      const epfd = ok(server.epoll_create1(0));
      for (let i = 0; i < 20; i++) {
        const pair = connected(hosts, SOCK_NONBLOCK);
        ok(server.epoll_ctl(epfd, 1, pair.server, { events: POLLIN }));
        ok(server.setsockopt(pair.server, SOL_SOCKET, SO_RCVTIMEO, 5));
        ok(client.send(pair.client, pattern(3000)));
        settle(hosts);
        if (i % 2) readAll(server, pair.server);
        ok(server.close(pair.server));
        ok(server.close(pair.listener));
        ok(client.close(pair.client));
      }
      ok(server.close(epfd));
      hosts.advance(300_000);
      expect(hosts.pools()).to.deep.equal(before);
    });
  });
});

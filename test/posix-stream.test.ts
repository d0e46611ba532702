// Stream sockets through the POSIX calls: connecting, accepting, reading, writing, shutting down, closing.
// Read first: POSIX.1-2024 XSH 2.10; the section 2 pages of Linux, whose answers these are.

import { expect } from "chai";
import {
  AF_INET,
  AF_UNSPEC,
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  EBADF,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  EMFILE,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
  FIONREAD,
  INADDR_LOOPBACK,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SIOCOUTQ,
  SO_ERROR,
  SO_LINGER,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SO_SNDBUF,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../host/posix/constants.ts";
import type { Posix, SocketAddressResult } from "../host/posix/posix.ts";
import { connected, freshPort, listener, ok, pattern, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("stream sockets", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
  });

  const events = (posix: Posix, fd: number): number => {
    const entry = { fd, events: POLLIN | POLLOUT | POLLRDHUP, revents: 0 };
    ok(posix.poll([entry], 0));
    return entry.revents;
  };
  const soError = (posix: Posix, fd: number): number => ok(posix.getsockopt(fd, SOL_SOCKET, SO_ERROR));

  describe("socket(2)", () => {
    it("gives the lowest free descriptor, from 3 on", () => {
      const fds = [0, 1, 2].map(() => ok(client.socket(AF_INET, SOCK_STREAM, 0)));
      expect(fds).to.deep.equal([3, 4, 5]);
      ok(client.close(4));
      expect(client.socket(AF_INET, SOCK_DGRAM, 0)).to.equal(4);
    });

    it("refuses what it does not offer", () => {
      refused(client.socket(10, SOCK_STREAM, 0), EAFNOSUPPORT);
      refused(client.socket(AF_INET, 3, 0), ESOCKTNOSUPPORT);
      refused(client.socket(AF_INET, SOCK_STREAM, 17), EPROTONOSUPPORT);
      refused(client.socket(AF_INET, SOCK_STREAM | (1 << 20), 0), EINVAL);
      ok(client.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    });

    it("knows no closed or foreign descriptor", () => {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
      ok(client.close(fd));
      for (const bad of [fd, -1, 1_000_000, 0]) {
        refused(client.close(bad), EBADF);
        refused(client.send(bad, Buffer.from("x")), EBADF);
        refused(client.recv(bad, Buffer.alloc(1)), EBADF);
        refused(client.bind(bad, { port: 1 }), EBADF);
        refused(client.listen(bad, 1), EBADF);
        refused(client.accept(bad), EBADF);
        refused(client.connect(bad, "10.0.0.1", 1), EBADF);
        refused(client.shutdown(bad, SHUT_RD), EBADF);
        refused(client.getsockopt(bad, SOL_SOCKET, SO_ERROR), EBADF);
        refused(client.fcntl(bad, 3), EBADF);
        refused(client.ioctl(bad, FIONREAD), EBADF);
      }
    });

    it("says EMFILE when the table is full, and goes on when there is room again", () => {
      const small = twoHosts({ connections: 8, sockets: 8 });
      const fds: number[] = [];
      let fd: number;
      while ((fd = small.client.socket(AF_INET, fds.length < 8 ? SOCK_STREAM : SOCK_DGRAM, 0)) >= 0) fds.push(fd);
      refused(fd, EMFILE);
      expect(fds).to.have.length(16);
      ok(small.client.close(fds[5] as number));
      expect(small.client.socket(AF_INET, SOCK_STREAM, 0)).to.equal(fds[5]);
    });
  });

  describe("connect(2) and accept(2)", () => {
    it("connects, names both ends, and hands the connection out once", () => {
      const port = freshPort();
      const pair = connected(hosts, SOCK_NONBLOCK, port);
      const own: SocketAddressResult = {};
      const peer: SocketAddressResult = {};
      ok(client.getsockname(pair.client, own));
      ok(client.getpeername(pair.client, peer));
      expect(own.address).to.equal(hosts.clientAddress);
      expect(peer).to.deep.equal({ family: AF_INET, address: hosts.serverAddress, port });
      const serverPeer: SocketAddressResult = {};
      ok(server.getpeername(pair.server, serverPeer));
      expect(serverPeer).to.deep.equal(own);
      refused(server.accept(pair.listener), EAGAIN);
    });

    it("gives the peer's address to accept", () => {
      const port = freshPort();
      const l = listener(server, port);
      const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      refused(client.connect(c, hosts.serverAddress, port), EINPROGRESS);
      refused(client.connect(c, hosts.serverAddress, port), EALREADY);
      settle(hosts);
      const peer: SocketAddressResult = {};
      const s = ok(server.accept(l, peer));
      const own: SocketAddressResult = {};
      ok(client.getsockname(c, own));
      expect(peer).to.deep.equal(own);
      expect(server.fcntl(s, 3) & SOCK_NONBLOCK, "O_NONBLOCK is not inherited").to.equal(0);
      expect(server.fcntl(ok(server.accept4(connectedListener(), null, SOCK_NONBLOCK)), 3) & SOCK_NONBLOCK).to.not.equal(0);
      refused(client.connect(c, hosts.serverAddress, port), EISCONN);

      function connectedListener(): number {
        const another = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        client.connect(another, hosts.serverAddress, port);
        settle(hosts);
        return l;
      }
    });

    it("blocks until the connection stands, and until there is one to accept", () => {
      const port = freshPort();
      const l = listener(server, port, 4, 0);
      const c = ok(client.socket(AF_INET, SOCK_STREAM, 0));
      expect(client.connect(c, { address: hosts.serverAddress, port })).to.equal(0);
      ok(server.accept(l));
    });

    it("reports a refused connection: blocking at once, else by SO_ERROR, which clears", () => {
      const port = freshPort();
      refused(client.connect(ok(client.socket(AF_INET, SOCK_STREAM, 0)), hosts.serverAddress, port), ECONNREFUSED);
      const fd = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      refused(client.connect(fd, hosts.serverAddress, port), EINPROGRESS);
      settle(hosts);
      expect(events(client, fd) & (POLLERR | POLLHUP)).to.equal(POLLERR | POLLHUP);
      expect(soError(client, fd)).to.equal(ECONNREFUSED);
      expect(soError(client, fd)).to.equal(0);
      expect(events(client, fd) & POLLERR).to.equal(0);
    });

    it("ends a blocking connect after SO_SNDTIMEO with EINPROGRESS", () => {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
      ok(client.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, { tv_sec: 0, tv_usec: 200_000 }));
      const before = hosts.now();
      refused(client.connect(fd, "10.0.0.99", 80), EINPROGRESS);
      expect(hosts.now() - before).to.be.within(200_000, 201_000);
    });

    it("connects to the host itself by 127.0.0.1, its own address, and the wildcard", () => {
      const port = freshPort();
      const l = listener(server, port);
      for (const address of ["127.0.0.1", hosts.serverAddress, "0.0.0.0", INADDR_LOOPBACK]) {
        const fd = ok(server.socket(AF_INET, SOCK_STREAM, 0));
        expect(server.connect(fd, { address, port }), String(address)).to.equal(0);
        settle(hosts);
        const s = ok(server.accept(l));
        ok(server.send(fd, Buffer.from("hello")));
        settle(hosts);
        expect(readAll(server, s)).to.equal("hello");
      }
    });

    it("has names only for what is connected", () => {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
      refused(client.getpeername(fd, {}), ENOTCONN);
      const name: SocketAddressResult = {};
      ok(client.getsockname(fd, name));
      expect(name).to.deep.equal({ family: AF_INET, address: "0.0.0.0", port: 0 });
      refused(client.connect(fd, { family: 10, address: "10.0.0.1", port: 1 }), EAFNOSUPPORT);
      refused(client.connect(fd, { family: AF_UNSPEC }), EAFNOSUPPORT);
    });

    it("accepts only from listening sockets", () => {
      refused(server.accept(ok(server.socket(AF_INET, SOCK_STREAM, 0))), EINVAL);
      refused(server.accept(ok(server.socket(AF_INET, SOCK_DGRAM, 0))), EOPNOTSUPP);
      refused(server.accept4(listener(server, freshPort()), null, 1), EINVAL);
    });

    it("times out in accept and recv after SO_RCVTIMEO", () => {
      const l = listener(server, freshPort(), 4, 0);
      ok(server.setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, 50));
      const before = hosts.now();
      refused(server.accept(l), EAGAIN);
      expect(hosts.now() - before).to.be.within(50_000, 51_000);
    });
  });

  describe("listen(2)", () => {
    it("binds to an ephemeral port when nobody has bound the socket", () => {
      const l = ok(server.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ok(server.listen(l, 1));
      const name: SocketAddressResult = {};
      ok(server.getsockname(l, name));
      expect(name.port).to.be.greaterThan(1023);
      expect(client.connect(ok(client.socket(AF_INET, SOCK_STREAM, 0)), hosts.serverAddress, name.port ?? 0)).to.equal(0);
    });

    it("takes backlog + 1 connections, and more when some are accepted", () => {
      const port = freshPort();
      const l = listener(server, port, 2);
      const fds = Array.from({ length: 6 }, () => ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)));
      for (const fd of fds) {
        client.connect(fd, hosts.serverAddress, port);
        settle(hosts);
      }
      const accepted: number[] = [];
      for (let fd: number; (fd = server.accept(l)) >= 0; ) accepted.push(fd);
      expect(accepted).to.have.length(3);
      // The SYNs of the others were dropped; they come again.
      hosts.advance(10_000);
      for (let fd: number; (fd = server.accept(l)) >= 0; ) accepted.push(fd);
      expect(accepted).to.have.length(6);
      for (const fd of fds) expect(client.send(fd, Buffer.from("x"))).to.equal(1);
    });

    it("may be called again for another backlog, but not on a connection", () => {
      const pair = connected(hosts);
      ok(server.listen(pair.listener, 5));
      refused(server.listen(pair.server, 5), EINVAL);
      refused(server.listen(ok(server.socket(AF_INET, SOCK_DGRAM, 0)), 5), EOPNOTSUPP);
    });

    it("resets connections that nobody has accepted when it is closed", () => {
      const port = freshPort();
      const l = listener(server, port);
      const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      client.connect(c, hosts.serverAddress, port);
      settle(hosts);
      ok(server.close(l));
      settle(hosts);
      refused(client.recv(c, Buffer.alloc(1)), ECONNRESET);
    });
  });

  describe("send(2) and recv(2)", () => {
    for (const size of [1, 63, 1460, 4096, 4097, 30_000, 300_000]) {
      it(`carries ${size} bytes each way, blocking`, () => {
        const pair = connected(hosts);
        const data = pattern(size);
        // Both ends are in one thread: the receiver reads while the sender is blocked, so send in steps it can take.
        const got: Buffer[] = [];
        for (let at = 0; at < size; ) {
          const sent = ok(client.send(pair.client, data.subarray(at), MSG_DONTWAIT));
          at += sent;
          settle(hosts);
          const buffer = Buffer.alloc(size);
          const n = ok(server.recv(pair.server, buffer));
          got.push(buffer.subarray(0, n));
        }
        const rest = size - got.reduce((sum, part) => sum + part.length, 0);
        if (rest > 0) {
          const buffer = Buffer.alloc(rest);
          expect(server.recv(pair.server, buffer, MSG_WAITALL)).to.equal(rest);
          got.push(buffer);
        }
        expect(Buffer.concat(got).equals(data)).to.equal(true);
      });
    }

    it("takes lengths as C does, and refuses what is longer than the buffer", () => {
      const pair = connected(hosts);
      expect(client.send(pair.client, Buffer.from("abcdef"), 3, 0)).to.equal(3);
      settle(hosts);
      const buffer = Buffer.alloc(8, "-");
      expect(server.recv(pair.server, buffer, 2, 0)).to.equal(2);
      expect(buffer.toString()).to.equal("ab------");
      expect(server.read(pair.server, buffer)).to.equal(1);
      expect(client.write(pair.client, Buffer.from("xyz"), 1)).to.equal(1);
      expect(() => client.send(pair.client, Buffer.from("abc"), 4, 0)).to.throw(RangeError);
      expect(() => server.recv(pair.server, buffer, 9, 0)).to.throw(RangeError);
    });

    it("fills only what was received", () => {
      const pair = connected(hosts);
      ok(client.send(pair.client, Buffer.from("abc")));
      settle(hosts);
      for (const size of [16, 10_000]) {
        const buffer = Buffer.alloc(size, "-");
        expect(server.recv(pair.server, buffer, MSG_PEEK)).to.equal(3);
        expect(buffer.toString("latin1", 0, 5)).to.equal("abc--");
      }
    });

    it("says EAGAIN for O_NONBLOCK and for MSG_DONTWAIT when there is nothing", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      refused(server.recv(pair.server, Buffer.alloc(1)), EAGAIN);
      ok(server.fcntl(pair.server, 4, 0));
      refused(server.recv(pair.server, Buffer.alloc(1), MSG_DONTWAIT), EAGAIN);
    });

    it("waits in recv for SO_RCVTIMEO and no longer", () => {
      const pair = connected(hosts);
      ok(server.setsockopt(pair.server, SOL_SOCKET, SO_RCVTIMEO, { tv_sec: 1, tv_usec: 500_000 }));
      const before = hosts.now();
      refused(server.recv(pair.server, Buffer.alloc(1)), EAGAIN);
      expect(hosts.now() - before).to.be.within(1_500_000, 1_501_000);
    });

    it("takes what fits when the send buffer is full, then says EAGAIN; SO_SNDTIMEO ends a blocking send", () => {
      const pair = connected(hosts);
      ok(client.setsockopt(pair.client, SOL_SOCKET, SO_SNDBUF, 20_000));
      ok(server.setsockopt(pair.server, SOL_SOCKET, SO_RCVBUF, 20_000));
      const data = pattern(1_000_000);
      const first = ok(client.send(pair.client, data, MSG_DONTWAIT));
      expect(first).to.be.within(1, 999_999);
      settle(hosts);
      let sent = first;
      while (true) {
        const n = client.send(pair.client, data.subarray(sent), MSG_DONTWAIT);
        if (n < 0) {
          refused(n, EAGAIN);
          break;
        }
        sent += n;
        settle(hosts);
      }
      expect(events(client, pair.client) & POLLOUT).to.equal(0);
      ok(client.setsockopt(pair.client, SOL_SOCKET, SO_SNDTIMEO, 100));
      refused(client.send(pair.client, data.subarray(0, 10)), EAGAIN);
      const buffer = Buffer.alloc(sent);
      expect(server.recv(pair.server, buffer, MSG_WAITALL)).to.equal(sent);
      expect(buffer.equals(data.subarray(0, sent))).to.equal(true);
      settle(hosts);
      expect(events(client, pair.client) & POLLOUT).to.equal(POLLOUT);
    });

    it("peeks without taking, across calls, and takes afterwards", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.send(pair.client, Buffer.from("hello world")));
      settle(hosts);
      const buffer = Buffer.alloc(5);
      for (let i = 0; i < 2; i++) {
        expect(server.recv(pair.server, buffer, MSG_PEEK)).to.equal(5);
        expect(buffer.toString()).to.equal("hello");
      }
      expect(server.ioctl(pair.server, FIONREAD)).to.equal(11);
      expect(readAll(server, pair.server)).to.equal("hello world");
      refused(server.recv(pair.server, buffer, MSG_PEEK), EAGAIN);
    });

    it("drops bytes unseen with MSG_TRUNC", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.send(pair.client, Buffer.from("hello world")));
      settle(hosts);
      const buffer = Buffer.alloc(6, "-");
      expect(server.recv(pair.server, buffer, MSG_TRUNC)).to.equal(6);
      expect(buffer.toString()).to.equal("------");
      expect(readAll(server, pair.server)).to.equal("world");
    });

    it("waits for all with MSG_WAITALL, and stops short at the end, at a timeout, without blocking", () => {
      const pair = connected(hosts);
      const buffer = Buffer.alloc(10);
      ok(client.send(pair.client, Buffer.from("abcd")));
      settle(hosts);
      expect(server.recv(pair.server, buffer, MSG_WAITALL | MSG_DONTWAIT)).to.equal(4);
      ok(client.send(pair.client, Buffer.from("efgh")));
      ok(server.setsockopt(pair.server, SOL_SOCKET, SO_RCVTIMEO, 20));
      expect(server.recv(pair.server, buffer, MSG_WAITALL)).to.equal(4);
      ok(client.send(pair.client, Buffer.from("ijkl")));
      expect(server.recv(pair.server, buffer, MSG_WAITALL | MSG_PEEK)).to.equal(4);
      ok(client.shutdown(pair.client, SHUT_WR));
      ok(server.setsockopt(pair.server, SOL_SOCKET, SO_RCVTIMEO, 0));
      expect(server.recv(pair.server, buffer, MSG_WAITALL | MSG_PEEK)).to.equal(4);
      expect(server.recv(pair.server, buffer, MSG_WAITALL)).to.equal(4);
      expect(buffer.toString("latin1", 0, 4)).to.equal("ijkl");
      expect(server.recv(pair.server, buffer, MSG_WAITALL)).to.equal(0);
    });

    it("holds partial segments back with MSG_MORE until something goes without it", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, 1));
      ok(client.send(pair.client, Buffer.from("head "), MSG_MORE));
      settle(hosts);
      expect(server.ioctl(pair.server, FIONREAD)).to.equal(0);
      ok(client.send(pair.client, Buffer.from("body")));
      settle(hosts);
      expect(readAll(server, pair.server)).to.equal("head body");
    });

    it("is refused on sockets that are not connected", () => {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      refused(client.send(fd, Buffer.from("x")), EPIPE);
      refused(client.recv(fd, Buffer.alloc(1)), ENOTCONN);
      const l = listener(client, freshPort());
      refused(client.send(l, Buffer.from("x")), EPIPE);
      refused(client.recv(l, Buffer.alloc(1)), ENOTCONN);
    });

    it("sends and receives nothing when asked to", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      expect(client.send(pair.client, Buffer.alloc(0))).to.equal(0);
      ok(client.send(pair.client, Buffer.from("x")));
      settle(hosts);
      expect(server.recv(pair.server, Buffer.alloc(0))).to.equal(0);
      expect(readAll(server, pair.server)).to.equal("x");
    });

    it("counts what is readable and what is not yet acknowledged", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.send(pair.client, Buffer.from("abc")));
      expect(client.ioctl(pair.client, SIOCOUTQ)).to.equal(3);
      settle(hosts);
      const figure = { value: -1 };
      expect(server.ioctl(pair.server, FIONREAD, figure)).to.equal(0);
      expect(figure.value).to.equal(3);
      hosts.advance(1000);
      expect(client.ioctl(pair.client, SIOCOUTQ)).to.equal(0);
      refused(server.ioctl(pair.listener, FIONREAD), EINVAL);
    });
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
      expect(events(server, pair.server)).to.equal(POLLIN | POLLRDHUP | POLLOUT);
      ok(server.send(pair.server, Buffer.from("answer")));
      settle(hosts);
      expect(readAll(client, pair.client)).to.equal("answer");
      ok(server.shutdown(pair.server, SHUT_WR));
      settle(hosts);
      expect(events(client, pair.client) & (POLLHUP | POLLRDHUP)).to.equal(POLLHUP | POLLRDHUP);
    });

    it("SHUT_RD: reading ends, writing goes on", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.shutdown(pair.client, SHUT_RD));
      expect(client.recv(pair.client, Buffer.alloc(1))).to.equal(0);
      expect(events(client, pair.client)).to.equal(POLLIN | POLLRDHUP | POLLOUT);
      ok(client.send(pair.client, Buffer.from("x")));
      settle(hosts);
      expect(readAll(server, pair.server)).to.equal("x");
    });

    it("SHUT_RDWR: both, and the poller sees POLLHUP", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      ok(client.shutdown(pair.client, SHUT_RDWR));
      expect(client.recv(pair.client, Buffer.alloc(1))).to.equal(0);
      refused(client.send(pair.client, Buffer.from("x")), EPIPE);
      expect(events(client, pair.client) & POLLHUP).to.equal(POLLHUP);
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
      for (let n: number; (n = ok(server.recv(pair.server, rest))) > 0; ) got.push(Buffer.from(rest.subarray(0, n)));
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
      expect(events(client, pair.client) & (POLLERR | POLLHUP | POLLIN)).to.equal(POLLERR | POLLHUP | POLLIN);
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

// Stream sockets through the POSIX calls: opening, connecting, listening, accepting.
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
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
  FIONREAD,
  INADDR_LOOPBACK,
  IPPROTO_TCP,
  POLLERR,
  POLLHUP,
  SHUT_RD,
  SO_ERROR,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import type { Posix, SocketAddressResult } from "../host/posix/posix.ts";
import { connected, freshPort, listener, ok, polled, readAll, refused, settle, soError } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("connections", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
  });

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
      expect(
        server.fcntl(ok(server.accept4(connectedListener(), null, SOCK_NONBLOCK)), 3) & SOCK_NONBLOCK,
      ).to.not.equal(0);
      // A connect that did not block is told once that it has succeeded.
      expect(client.connect(c, hosts.serverAddress, port)).to.equal(0);
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
      expect(polled(client, fd) & (POLLERR | POLLHUP)).to.equal(POLLERR | POLLHUP);
      expect(soError(client, fd)).to.equal(ECONNREFUSED);
      expect(soError(client, fd)).to.equal(0);
      expect(polled(client, fd) & POLLERR).to.equal(0);
    });

    it("asks at port 0 as at any other, and is refused", () => {
      refused(client.connect(ok(client.socket(AF_INET, SOCK_STREAM, 0)), hosts.serverAddress, 0), ECONNREFUSED);
      refused(client.connect(ok(client.socket(AF_INET, SOCK_STREAM, 0)), "127.0.0.1", 0), ECONNREFUSED);
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
      ok(client.connect(fd, { family: AF_UNSPEC }));
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
      expect(client.connect(ok(client.socket(AF_INET, SOCK_STREAM, 0)), hosts.serverAddress, name.port ?? 0)).to.equal(
        0,
      );
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
      for (let fd: number; (fd = server.accept(l)) >= 0;) accepted.push(fd);
      expect(accepted).to.have.length(3);
      // The SYNs of the others were dropped; they come again.
      hosts.advance(10_000);
      for (let fd: number; (fd = server.accept(l)) >= 0;) accepted.push(fd);
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
});

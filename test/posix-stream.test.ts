// Stream sockets through the POSIX calls: reading and writing.
// Read first: POSIX.1-2024 XSH 2.10; the section 2 pages of Linux, whose answers these are.

import { expect } from "chai";
import {
  AF_INET,
  EAGAIN,
  ECONNRESET,
  EINVAL,
  ENOTCONN,
  EPIPE,
  FIONREAD,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  POLLOUT,
  SHUT_WR,
  SIOCOUTQ,
  SO_LINGER,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SO_SNDBUF,
  SO_SNDTIMEO,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../host/posix/constants.ts";
import type { Posix } from "../host/posix/posix.ts";
import { connected, freshPort, listener, ok, pattern, polled, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("stream sockets", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
  });

  describe("send(2) and recv(2)", () => {
    for (const size of [1, 63, 1460, 4096, 4097, 30_000, 300_000]) {
      it(`carries ${size} bytes each way, blocking`, () => {
        const pair = connected(hosts);
        const data = pattern(size);
        // Both ends are in one thread: the receiver reads while the sender is blocked, so send in steps it can take.
        const got: Buffer[] = [];
        for (let at = 0; at < size;) {
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
      expect(polled(client, pair.client) & POLLOUT).to.equal(0);
      ok(client.setsockopt(pair.client, SOL_SOCKET, SO_SNDTIMEO, 100));
      refused(client.send(pair.client, data.subarray(0, 10)), EAGAIN);
      const buffer = Buffer.alloc(sent);
      expect(server.recv(pair.server, buffer, MSG_WAITALL)).to.equal(sent);
      expect(buffer.equals(data.subarray(0, sent))).to.equal(true);
      settle(hosts);
      expect(polled(client, pair.client) & POLLOUT).to.equal(POLLOUT);
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

    it("reads what came before a reset, then the error, then the end", () => {
      for (const size of [100, 10_000]) {
        const pair = connected(hosts, SOCK_NONBLOCK);
        ok(client.setsockopt(pair.client, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 }));
        ok(client.send(pair.client, pattern(3000)));
        settle(hosts);
        ok(client.close(pair.client));
        settle(hosts);
        const buffer = Buffer.alloc(size);
        let got = 0;
        while (got < 3000) got += ok(server.recv(pair.server, buffer));
        expect(got).to.equal(3000);
        refused(server.recv(pair.server, buffer), ECONNRESET);
        expect(server.recv(pair.server, buffer)).to.equal(0);
      }
    });

    it("uses buffers in the stack's own memory where they are, also when it has grown", () => {
      const { memory } = hosts.network;
      const pair = connected(hosts, SOCK_NONBLOCK);
      for (let round = 0; round < 2; round++) {
        const at = memory.buffer.byteLength;
        memory.grow(4);
        const [out, into] = [
          new Uint8Array(memory.buffer, at, 9000),
          new Uint8Array(memory.buffer, at + 131_072, 20_000),
        ];
        out.set(pattern(9000, round));
        memory.grow(1);
        expect(client.send(pair.client, out)).to.equal(9000);
        settle(hosts);
        expect(server.recv(pair.server, into)).to.equal(9000);
        expect(Buffer.from(into.slice(0, 9000)).equals(pattern(9000, round))).to.equal(true);
        expect(into.slice(9000).every((byte) => byte === 0)).to.equal(true);
      }
    });
  });
});

// Datagram sockets: whole messages, connected and not, broadcast, multicast, errors that come back.
// Read first: udp(7), ip(7).

import { expect } from "chai";
import {
  AF_INET,
  AF_UNSPEC,
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EDESTADDRREQ,
  EHOSTUNREACH,
  EINVAL,
  EMSGSIZE,
  ENETUNREACH,
  ENOTCONN,
  EPIPE,
  FIONREAD,
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MTU_DISCOVER,
  IP_MULTICAST_LOOP,
  IP_PMTUDISC_DO,
  IP_RECVERR,
  IPPROTO_IP,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_MORE,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SIOCOUTQ,
  SO_BROADCAST,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_LOCAL,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import type { ExtendedError, MessageHeader, Posix, SocketAddressResult } from "../host/posix/posix.ts";
import { connected, datagramSocket, freshPort, ok, pattern, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("datagram sockets", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;
  let port: number;
  /** A bound socket of the server, an unbound one of the client. */
  let s: number;
  let c: number;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
    port = freshPort();
    s = datagramSocket(server, port);
    c = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  });

  const there = (p = port): { address: string; port: number } => ({ address: hosts.serverAddress, port: p });
  const take = (posix: Posix, fd: number, flags = 0): string => {
    const buffer = Buffer.alloc(65_536);
    const n = posix.recv(fd, buffer, flags | MSG_DONTWAIT);
    return n < 0 ? "" : buffer.toString("latin1", 0, n);
  };
  const events = (posix: Posix, fd: number): number => {
    const entry = { fd, events: POLLIN | POLLOUT | POLLRDHUP, revents: 0 };
    ok(posix.poll([entry], 0));
    return entry.revents;
  };

  describe("sendto(2) and recvfrom(2)", () => {
    it("keep messages whole and in order, and name the sender", () => {
      for (const text of ["one", "", "three"])
        expect(client.sendto(c, Buffer.from(text), 0, there())).to.equal(text.length);
      settle(hosts);
      const from: SocketAddressResult = {};
      const buffer = Buffer.alloc(10, "-");
      expect(server.recvfrom(s, buffer, 0, from)).to.equal(3);
      expect(buffer.toString()).to.equal("one-------");
      const own: SocketAddressResult = {};
      ok(client.getsockname(c, own));
      expect(from).to.deep.equal({ family: AF_INET, address: hosts.clientAddress, port: own.port });
      expect(server.recvfrom(s, buffer, 0, from)).to.equal(0);
      expect(server.recvfrom(s, buffer, 10, 0, from)).to.equal(5);
      refused(server.recvfrom(s, buffer, 0, from), EAGAIN);
      // And back to where it came from.
      ok(server.sendto(s, Buffer.from("answer"), 0, from));
      settle(hosts);
      expect(take(client, c)).to.equal("answer");
    });

    it("cut what the buffer cannot take; MSG_TRUNC tells the whole length", () => {
      for (let i = 0; i < 3; i++) ok(client.sendto(c, Buffer.from("abcdefgh"), 0, there()));
      settle(hosts);
      const buffer = Buffer.alloc(3);
      expect(server.recv(s, buffer)).to.equal(3);
      expect(buffer.toString()).to.equal("abc");
      expect(server.recv(s, buffer, MSG_PEEK | MSG_TRUNC)).to.equal(8);
      expect(server.recv(s, buffer, MSG_TRUNC)).to.equal(8);
      expect(take(server, s)).to.equal("abcdefgh");
    });

    it("peek leaves the message, FIONREAD tells the next one's length", () => {
      ok(client.sendto(c, Buffer.from("first"), 0, there()));
      ok(client.sendto(c, Buffer.from("2nd"), 0, there()));
      settle(hosts);
      expect(server.ioctl(s, FIONREAD)).to.equal(5);
      expect(take(server, s, MSG_PEEK)).to.equal("first");
      expect(take(server, s)).to.equal("first");
      expect(server.ioctl(s, FIONREAD)).to.equal(3);
      expect(client.ioctl(c, SIOCOUTQ)).to.equal(0);
    });

    for (const size of [1472, 1473, 4097, 30_000, 65_507]) {
      it(`carry ${size} bytes in one message`, () => {
        const data = pattern(size);
        ok(server.setsockopt(s, SOL_SOCKET, SO_RCVBUF, 200_000));
        expect(client.sendto(c, data, 0, there())).to.equal(size);
        settle(hosts);
        const buffer = Buffer.alloc(size + 1);
        expect(server.recv(s, buffer)).to.equal(size);
        expect(buffer.subarray(0, size).equals(data)).to.equal(true);
      });
    }

    it("refuse more than 65,507 bytes, and more than the MTU when fragments are forbidden", () => {
      refused(client.sendto(c, pattern(65_508), 0, there()), EMSGSIZE);
      refused(client.sendto(c, pattern(200_000), 0, there()), EMSGSIZE);
      ok(client.setsockopt(c, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
      expect(client.sendto(c, pattern(1472), 0, there())).to.equal(1472);
      refused(client.sendto(c, pattern(1473), 0, there()), EMSGSIZE);
    });

    it("refuse an address of another family, but take AF_UNSPEC for AF_INET; a stream ignores it", () => {
      const to = there();
      refused(client.sendto(c, Buffer.from("x"), 0, { ...to, family: 10 }), EAFNOSUPPORT);
      refused(client.sendmsg(c, { msg_iov: [Buffer.from("x")], msg_name: { ...to, family: 10 } }), EAFNOSUPPORT);
      expect(client.sendto(c, Buffer.from("x"), 0, { ...to, family: AF_UNSPEC })).to.equal(1);
      refused(client.sendto(99, Buffer.from("x"), 0, { ...to, family: 10 }), EBADF);
      const stream = connected(hosts).client;
      expect(client.sendto(stream, Buffer.from("x"), 0, { ...to, family: 10 })).to.equal(1);
    });

    it("need a destination", () => {
      refused(client.send(c, Buffer.from("x")), EDESTADDRREQ);
      refused(client.sendto(c, Buffer.from("x"), 0, { address: hosts.serverAddress, port: 0 }), EINVAL);
      refused(client.sendto(c, Buffer.from("x"), 0, { address: "192.168.7.7", port: 9 }), ENETUNREACH);
    });

    it("block until something comes, for SO_RCVTIMEO at most", () => {
      const b = datagramSocket(server, freshPort(), 0);
      ok(server.setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, 30));
      const before = hosts.now();
      refused(server.recvfrom(b, Buffer.alloc(1), 0, {}), EAGAIN);
      expect(hosts.now() - before).to.be.within(30_000, 31_000);
      const name: SocketAddressResult = {};
      ok(server.getsockname(b, name));
      ok(client.sendto(c, Buffer.from("late"), 0, there(name.port)));
      expect(server.recvfrom(b, Buffer.alloc(9), 0, {})).to.equal(4);
    });

    it("block no longer than the message takes, from either side", () => {
      const ends = [
        { posix: client, fd: datagramSocket(client, 7100, 0), address: hosts.clientAddress },
        { posix: server, fd: datagramSocket(server, 7100, 0), address: hosts.serverAddress },
      ] as const;
      const say = (from: 0 | 1): number => {
        const to = ends[from === 0 ? 1 : 0];
        ok(ends[from].posix.sendto(ends[from].fd, Buffer.from("x"), 0, { address: to.address, port: 7100 }));
        const before = hosts.now();
        expect(to.posix.recv(to.fd, Buffer.alloc(9))).to.equal(1);
        return hosts.now() - before;
      };
      say(0);
      hosts.advance(1000);
      for (const from of [0, 1, 1, 0] as const) expect(say(from)).to.be.lessThan(100);
    });

    it("gather with MSG_MORE into one message", () => {
      ok(client.connect(c, there()));
      expect(client.send(c, Buffer.from("head "), MSG_MORE)).to.equal(5);
      settle(hosts);
      refused(server.recv(s, Buffer.alloc(1)), EAGAIN);
      expect(client.send(c, Buffer.from("body"))).to.equal(4);
      settle(hosts);
      expect(take(server, s)).to.equal("head body");
    });

    it("reach the host itself", () => {
      for (const address of ["127.0.0.1", hosts.serverAddress, "0.0.0.0"]) {
        const fd = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
        ok(server.sendto(fd, Buffer.from(address), 0, { address, port }));
        settle(hosts);
        expect(take(server, s)).to.equal(address);
      }
    });

    it("drop what a full receive buffer cannot hold, and take more when it is read", () => {
      ok(server.setsockopt(s, SOL_SOCKET, SO_RCVBUF, 4096));
      for (let i = 0; i < 100; i++) ok(client.sendto(c, pattern(1000), 0, there()));
      settle(hosts);
      let got = 0;
      while (take(server, s) !== "") got++;
      expect(got).to.be.within(1, 99);
      ok(client.sendto(c, Buffer.from("after"), 0, there()));
      settle(hosts);
      expect(take(server, s)).to.equal("after");
    });
  });

  describe("connect(2)", () => {
    it("fixes the peer: others are not heard", () => {
      ok(client.bind(c, { port: 7001 }));
      ok(server.connect(s, hosts.clientAddress, 7001));
      const other = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      ok(client.sendto(other, Buffer.from("stranger"), 0, there()));
      ok(client.sendto(c, Buffer.from("friend"), 0, there()));
      settle(hosts);
      expect(take(server, s)).to.equal("friend");
      refused(server.recv(s, Buffer.alloc(1)), EAGAIN);
      const peer: SocketAddressResult = {};
      ok(server.getpeername(s, peer));
      expect(peer).to.deep.equal({ family: AF_INET, address: hosts.clientAddress, port: 7001 });
    });

    it("can be done again, and undone with AF_UNSPEC", () => {
      const second = datagramSocket(server, freshPort());
      const name: SocketAddressResult = {};
      ok(server.getsockname(second, name));
      ok(client.connect(c, there()));
      ok(client.connect(c, there(name.port)));
      ok(client.send(c, Buffer.from("x")));
      settle(hosts);
      expect(take(server, second)).to.equal("x");
      ok(client.connect(c, { family: AF_UNSPEC }));
      refused(client.getpeername(c, {}), ENOTCONN);
      refused(client.send(c, Buffer.from("x")), EDESTADDRREQ);
      ok(client.sendto(c, Buffer.from("y"), 0, there()));
    });

    it("a connected socket beats a bound one, a bound one the wildcard", () => {
      ok(client.bind(c, { port: 7002 }));
      const own = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      ok(server.setsockopt(own, SOL_SOCKET, SO_REUSEADDR, 1));
      ok(server.setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1));
      ok(server.bind(own, there()));
      ok(client.sendto(c, Buffer.from("bound"), 0, there()));
      settle(hosts);
      expect(take(server, own)).to.equal("bound");
      ok(server.connect(s, hosts.clientAddress, 7002));
      ok(client.sendto(c, Buffer.from("connected"), 0, there()));
      settle(hosts);
      expect(take(server, s)).to.equal("connected");
      expect(take(server, own)).to.equal("");
    });

    it("spreads peers over sockets with SO_REUSEPORT, each peer always to the same one", () => {
      const p = freshPort();
      const group = Array.from({ length: 4 }, () => {
        const fd = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
        ok(server.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1));
        ok(server.bind(fd, { port: p }));
        return fd;
      });
      const got = group.map(() => 0);
      for (let i = 0; i < 60; i++) {
        const fd = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
        for (let k = 0; k < 3; k++) ok(client.sendto(fd, Buffer.from("x"), 0, there(p)));
        settle(hosts);
        const takers = group.filter((member, index) => {
          let n = 0;
          while (take(server, member) !== "") n++;
          if (n > 0) (got[index] as number) += n;
          return n > 0;
        });
        expect(takers, "one taker for one peer").to.have.length(1);
        ok(client.close(fd));
      }
      expect(got.reduce((a, b) => a + b)).to.equal(180);
      for (const n of got) expect(n, "each has its share").to.be.greaterThan(0);
    });
  });

  describe("errors that come back", () => {
    it("a closed port refuses a connected socket, once for each datagram", () => {
      ok(client.connect(c, there(freshPort())));
      ok(client.send(c, Buffer.from("x")));
      settle(hosts);
      expect(events(client, c) & POLLERR).to.equal(POLLERR);
      refused(client.recv(c, Buffer.alloc(1)), ECONNREFUSED);
      refused(client.recv(c, Buffer.alloc(1)), EAGAIN);
      ok(client.send(c, Buffer.from("x")));
      settle(hosts);
      refused(client.send(c, Buffer.from("x")), ECONNREFUSED);
      ok(client.send(c, Buffer.from("x")));
      settle(hosts);
      expect(client.getsockopt(c, SOL_SOCKET, SO_ERROR)).to.equal(ECONNREFUSED);
      expect(client.getsockopt(c, SOL_SOCKET, SO_ERROR)).to.equal(0);
    });

    it("an unconnected socket does not hear of it", () => {
      ok(client.sendto(c, Buffer.from("x"), 0, there(freshPort())));
      settle(hosts);
      refused(client.recv(c, Buffer.alloc(1)), EAGAIN);
    });

    it("a silent neighbour is EHOSTUNREACH for those who want soft errors too (IP_RECVERR)", () => {
      ok(client.connect(c, "10.0.0.99", 9));
      for (const wanted of [false, true]) {
        ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, wanted));
        ok(client.send(c, Buffer.from("x")));
        hosts.advance(10_000);
        refused(client.recv(c, Buffer.alloc(1)), wanted ? EHOSTUNREACH : EAGAIN);
      }
    });

    it("IP_RECVERR queues them with their cause, also for unconnected sockets", () => {
      ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, 1));
      const closed = freshPort();
      ok(client.sendto(c, Buffer.from("payload"), 0, there(closed)));
      settle(hosts);
      const buffer = Buffer.alloc(20);
      const message: MessageHeader = { msg_name: {}, msg_iov: [buffer], msg_control: [] };
      expect(client.recvmsg(c, message, MSG_ERRQUEUE)).to.equal(7);
      expect(buffer.toString("latin1", 0, 7)).to.equal("payload");
      expect((message.msg_flags ?? 0) & MSG_ERRQUEUE).to.equal(MSG_ERRQUEUE);
      expect(message.msg_name).to.deep.equal({ family: AF_INET, ...there(closed) });
      expect(message.msg_control).to.have.length(1);
      const error = message.msg_control?.[0]?.data as ExtendedError;
      expect(error).to.include({ ee_errno: ECONNREFUSED, ee_origin: SO_EE_ORIGIN_ICMP, ee_type: 3, ee_code: 3 });
      expect(error.offender.address).to.equal(hosts.serverAddress);
      refused(client.recvmsg(c, message, MSG_ERRQUEUE), EAGAIN);
    });

    it("IP_RECVERR tells the MTU of a datagram that was too large", () => {
      ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, 1));
      ok(client.setsockopt(c, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
      refused(client.sendto(c, pattern(2000), 0, there()), EMSGSIZE);
      const message: MessageHeader = { msg_iov: [Buffer.alloc(10)], msg_control: [] };
      ok(client.recvmsg(c, message, MSG_ERRQUEUE));
      const error = message.msg_control?.[0]?.data as ExtendedError;
      expect(error).to.include({ ee_errno: EMSGSIZE, ee_origin: SO_EE_ORIGIN_LOCAL, ee_info: 1500 });
    });

    it("the error behind one that was read from the queue is pending then; after the last none is", () => {
      ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, 1));
      for (let i = 0; i < 2; i++) {
        client.sendto(c, Buffer.from("x"), 0, there(freshPort()));
        settle(hosts);
        if (i === 0) ok(client.getsockopt(c, SOL_SOCKET, SO_ERROR));
      }
      const read = (): number => client.recvmsg(c, { msg_iov: [Buffer.alloc(1)] }, MSG_ERRQUEUE);
      ok(client.getsockopt(c, SOL_SOCKET, SO_ERROR));
      expect(read()).to.equal(1);
      expect(client.getsockopt(c, SOL_SOCKET, SO_ERROR)).to.equal(ECONNREFUSED);
      expect(read()).to.equal(1);
      expect(events(client, c) & POLLERR).to.equal(0);
      expect(client.sendto(c, Buffer.from("x"), 0, there(freshPort()))).to.equal(1);
    });

    it("an error that was read from the queue does not come back", () => {
      ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, 1));
      ok(client.connect(c, there(freshPort())));
      ok(client.send(c, Buffer.from("x")));
      settle(hosts);
      expect(events(client, c) & POLLERR).to.equal(POLLERR);
      expect(client.recvmsg(c, { msg_iov: [Buffer.alloc(1)] }, MSG_ERRQUEUE)).to.equal(1);
      expect(events(client, c) & POLLERR).to.equal(0);
      expect(client.send(c, Buffer.from("x"))).to.equal(1);
    });

    it("switching IP_RECVERR off drops the queue", () => {
      ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, 1));
      ok(client.sendto(c, Buffer.from("x"), 0, there(freshPort())));
      settle(hosts);
      ok(client.setsockopt(c, IPPROTO_IP, IP_RECVERR, 0));
      refused(client.recvmsg(c, { msg_iov: [Buffer.alloc(1)] }, MSG_ERRQUEUE), EAGAIN);
    });
  });

  describe("shutdown(2)", () => {
    it("works on connected sockets; unconnected ones are shut down with ENOTCONN (as Linux)", () => {
      refused(client.shutdown(c, SHUT_WR), ENOTCONN);
      refused(client.sendto(c, Buffer.from("x"), 0, there()), EPIPE);
      const d = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      ok(client.connect(d, there()));
      ok(client.shutdown(d, SHUT_RD));
      expect(client.recv(d, Buffer.alloc(1))).to.equal(0);
      expect(events(client, d)).to.equal(POLLIN | POLLRDHUP | POLLOUT);
      ok(client.send(d, Buffer.from("x")));
      ok(client.shutdown(d, SHUT_RDWR));
      refused(client.send(d, Buffer.from("x")), EPIPE);
      expect(events(client, d) & POLLHUP).to.equal(POLLHUP);
    });
  });

  describe("broadcast", () => {
    it("needs SO_BROADCAST, and reaches every socket of the port, on all hosts", () => {
      for (const address of ["255.255.255.255", "10.0.0.255"]) {
        ok(client.setsockopt(c, SOL_SOCKET, SO_BROADCAST, 0));
        refused(client.sendto(c, Buffer.from("x"), 0, { address, port }), EACCES);
        ok(client.setsockopt(c, SOL_SOCKET, SO_BROADCAST, 1));
        const group = [1, 2].map(() => {
          const fd = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
          ok(server.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
          return fd;
        });
        const p = freshPort();
        for (const fd of group) ok(server.bind(fd, { port: p }));
        expect(client.sendto(c, Buffer.from(address), 0, { address, port: p })).to.equal(address.length);
        settle(hosts);
        for (const fd of group) expect(take(server, fd)).to.equal(address);
      }
    });
  });

  describe("multicast", () => {
    const group = "239.7.7.7";
    const membership = { imr_multiaddr: group };

    it("reaches those who have joined, until they leave", () => {
      const say = (text: string): string => {
        ok(client.sendto(c, Buffer.from(text), 0, { address: group, port }));
        settle(hosts);
        return take(server, s);
      };
      expect(say("before")).to.equal("");
      ok(server.setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership));
      refused(server.setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership), EADDRINUSE);
      expect(say("joined")).to.equal("joined");
      ok(server.setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, membership));
      refused(server.setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, membership), EADDRNOTAVAIL);
      expect(say("left")).to.equal("");
      refused(server.setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, { imr_multiaddr: "10.1.1.1" }), EINVAL);
    });

    it("is left when the socket is closed", () => {
      ok(server.setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, { ...membership, imr_interface: hosts.serverAddress }));
      const other = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      ok(server.setsockopt(other, SOL_SOCKET, SO_REUSEADDR, 1));
      ok(server.setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1));
      ok(server.bind(other, { port }));
      ok(client.sendto(c, Buffer.from("both"), 0, { address: group, port }));
      settle(hosts);
      // IP_MULTICAST_ALL: the host has joined, so every socket of the port hears it (as Linux).
      expect(take(server, other)).to.equal("both");
      ok(server.close(s));
      ok(client.sendto(c, Buffer.from("none"), 0, { address: group, port }));
      settle(hosts);
      expect(take(server, other)).to.equal("");
    });

    it("comes back to the own host unless IP_MULTICAST_LOOP is off", () => {
      ok(server.setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership));
      const sender = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
      ok(server.sendto(sender, Buffer.from("loop"), 0, { address: group, port }));
      settle(hosts);
      expect(take(server, s)).to.equal("loop");
      ok(server.setsockopt(sender, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
      ok(server.sendto(sender, Buffer.from("none"), 0, { address: group, port }));
      settle(hosts);
      expect(take(server, s)).to.equal("");
    });
  });

  it("gives every buffer back", () => {
    ok(server.close(s));
    ok(client.close(c));
    hosts.advance(1000);
    const before = hosts.pools();
    for (let i = 0; i < 20; i++) {
      const [a, b] = [datagramSocket(server, port), datagramSocket(client, port)];
      ok(client.setsockopt(b, IPPROTO_IP, IP_RECVERR, 1));
      ok(server.setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, { imr_multiaddr: "239.0.0.1" }));
      for (let k = 0; k < 5; k++) ok(client.sendto(b, pattern(3000), 0, there(k === 4 ? 9 : port)));
      ok(client.sendto(b, pattern(100), MSG_MORE, there()));
      settle(hosts);
      if (i % 2) readAll(server, a);
      ok(server.close(a));
      ok(client.close(b));
    }
    hosts.advance(60_000);
    expect(hosts.pools()).to.deep.equal(before);
  });
});

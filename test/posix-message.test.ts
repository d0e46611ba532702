// sendmsg, recvmsg, readv and writev: scattered buffers and ancillary data.
// Read first: sendmsg(2), recvmsg(2), cmsg(3).

import { expect } from "chai";
import {
  AF_INET,
  EAGAIN,
  EINVAL,
  EMSGSIZE,
  IP_PKTINFO,
  IP_RECVTOS,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  IPPROTO_IP,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  SO_RCVBUF,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import type { MessageHeader, Posix, SocketAddressResult } from "../host/posix/posix.ts";
import { connected, datagramSocket, freshPort, ok, pattern, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

const pieces = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text));

describe("scattered messages", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
  });

  describe("of a stream", () => {
    it("writev gathers, readv scatters", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      expect(client.writev(pair.client, pieces("ab", "", "cdef", "g"))).to.equal(7);
      settle(hosts);
      const into = [Buffer.alloc(1, "-"), Buffer.alloc(0), Buffer.alloc(3, "-"), Buffer.alloc(9, "-")];
      expect(server.readv(pair.server, into)).to.equal(7);
      expect(into.map((buffer) => buffer.toString())).to.deep.equal(["a", "", "bcd", "efg------"]);
      refused(server.readv(pair.server, into), EAGAIN);
    });

    it("carries a long message buffer by buffer", () => {
      const pair = connected(hosts, SOCK_NONBLOCK);
      const parts = [pattern(60_000), pattern(70_000, 1), pattern(10, 2)];
      const all = Buffer.concat(parts);
      let sent = ok(client.sendmsg(pair.client, { msg_iov: parts }));
      let text = "";
      while (text.length < all.length) {
        settle(hosts);
        text += readAll(server, pair.server);
        if (sent < all.length) {
          const n = client.send(pair.client, all.subarray(sent), MSG_DONTWAIT);
          if (n > 0) sent += n;
        } else if (text.length < all.length) hosts.advance(100);
      }
      expect(text === all.toString("latin1")).to.equal(true);
    });

    it("waits for all, peeks, and leaves name and flags alone", () => {
      const pair = connected(hosts);
      ok(client.send(pair.client, Buffer.from("hello")));
      settle(hosts);
      const name: SocketAddressResult = {};
      const message: MessageHeader = { msg_name: name, msg_iov: [Buffer.alloc(2), Buffer.alloc(3)], msg_flags: 99 };
      expect(server.recvmsg(pair.server, message, MSG_PEEK)).to.equal(5);
      expect(server.recvmsg(pair.server, message, MSG_WAITALL)).to.equal(5);
      expect(Buffer.concat(message.msg_iov).toString()).to.equal("hello");
      expect(name).to.deep.equal({});
      expect(message.msg_flags).to.equal(0);
    });
  });

  describe("of datagrams", () => {
    let port: number;
    let s: number;
    let c: number;

    beforeEach(() => {
      port = freshPort();
      s = datagramSocket(server, port);
      c = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    });

    it("are one datagram, with a name", () => {
      const to = { address: hosts.serverAddress, port };
      expect(client.sendmsg(c, { msg_name: to, msg_iov: pieces("ab", "cd", "e") })).to.equal(5);
      settle(hosts);
      const name: SocketAddressResult = {};
      const message: MessageHeader = {
        msg_name: name,
        msg_iov: [Buffer.alloc(3), Buffer.alloc(3, "-")],
        msg_control: [],
      };
      expect(server.recvmsg(s, message)).to.equal(5);
      expect(Buffer.concat(message.msg_iov).toString()).to.equal("abcde-");
      expect(name.address).to.equal(hosts.clientAddress);
      expect(message.msg_flags).to.equal(0);
      expect(message.msg_control).to.deep.equal([]);
    });

    it("say MSG_TRUNC when they were cut", () => {
      ok(client.sendto(c, Buffer.from("abcdefgh"), 0, { address: hosts.serverAddress, port }));
      settle(hosts);
      const message: MessageHeader = { msg_iov: [Buffer.alloc(2), Buffer.alloc(3)] };
      expect(server.recvmsg(s, message, MSG_PEEK | MSG_TRUNC)).to.equal(8);
      expect(server.recvmsg(s, message)).to.equal(5);
      expect(message.msg_flags).to.equal(MSG_TRUNC);
      expect(Buffer.concat(message.msg_iov).toString()).to.equal("abcde");
    });

    it("may be as long as a datagram can be, from many buffers", () => {
      ok(server.setsockopt(s, SOL_SOCKET, SO_RCVBUF, 200_000));
      const parts = Array.from({ length: 7 }, (_, i) => pattern(9000, i));
      ok(client.connect(c, hosts.serverAddress, port));
      expect(client.sendmsg(c, { msg_iov: parts })).to.equal(63_000);
      refused(client.sendmsg(c, { msg_iov: [...parts, ...parts] }), EMSGSIZE);
      settle(hosts);
      const into = [Buffer.alloc(40_000), Buffer.alloc(40_000)];
      expect(server.recvmsg(s, { msg_iov: into })).to.equal(63_000);
      expect(Buffer.concat(into).subarray(0, 63_000).equals(Buffer.concat(parts))).to.equal(true);
    });

    it("carry TTL and TOS there, and bring TTL, TOS and destination along", () => {
      ok(client.connect(c, hosts.serverAddress, port));
      for (const option of [IP_RECVTTL, IP_RECVTOS, IP_PKTINFO]) ok(server.setsockopt(s, IPPROTO_IP, option, 1));
      const receive = (): unknown => {
        settle(hosts);
        const message: MessageHeader = { msg_iov: [Buffer.alloc(9)], msg_control: [] };
        ok(server.recvmsg(s, message));
        return message.msg_control?.map((entry) => [entry.cmsg_type, entry.data]);
      };
      const info = { ipi_ifindex: 2, ipi_spec_dst: hosts.serverAddress, ipi_addr: hosts.serverAddress };
      ok(client.send(c, Buffer.from("plain")));
      expect(receive()).to.deep.equal([
        [IP_PKTINFO, info],
        [IP_TTL, 64],
        [IP_TOS, 0],
      ]);
      const control = [
        { cmsg_level: IPPROTO_IP, cmsg_type: IP_TTL, data: 3 },
        { cmsg_level: IPPROTO_IP, cmsg_type: IP_TOS, data: 0x20 },
      ];
      ok(client.sendmsg(c, { msg_iov: pieces("mar", "ked"), msg_control: control }));
      expect(receive()).to.deep.equal([
        [IP_PKTINFO, info],
        [IP_TTL, 3],
        [IP_TOS, 0x20],
      ]);
      ok(client.send(c, Buffer.from("plain again")));
      expect(receive()).to.deep.equal([
        [IP_PKTINFO, info],
        [IP_TTL, 64],
        [IP_TOS, 0],
      ]);
    });

    it("say MSG_CTRUNC when there is no room for ancillary data, EINVAL for what cannot be sent", () => {
      ok(server.setsockopt(s, IPPROTO_IP, IP_RECVTTL, 1));
      ok(client.connect(c, hosts.serverAddress, port));
      ok(client.send(c, Buffer.from("x")));
      settle(hosts);
      const message: MessageHeader = { msg_iov: [Buffer.alloc(9)] };
      ok(server.recvmsg(s, message));
      expect(message.msg_flags).to.equal(MSG_CTRUNC);
      for (const entry of [
        { cmsg_level: 1, cmsg_type: 1, data: 1 },
        { cmsg_level: IPPROTO_IP, cmsg_type: IP_TTL, data: 0 },
        { cmsg_level: IPPROTO_IP, cmsg_type: IP_TTL, data: 256 },
        { cmsg_level: IPPROTO_IP, cmsg_type: IP_RECVTTL, data: 1 },
      ]) {
        refused(client.sendmsg(c, { msg_iov: pieces("x"), msg_control: [entry] }), EINVAL);
      }
      refused(client.sendmsg(c, { msg_iov: new Array<Buffer>(1025).fill(Buffer.alloc(0)) }), EINVAL);
    });
  });
});

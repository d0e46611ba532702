// Options of TCP sockets beside those of posix-options.test.ts: when readers and writers wait, FIN-WAIT-2, clamps.
// Read first: tcp(7), socket(7).

import { expect } from "chai";
import * as layout from "../assembly/layout.ts";
import {
  FIONREAD,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  SO_RCVLOWAT,
  SOL_SOCKET,
  TCP_CM_INQ,
  TCP_INQ,
} from "../host/posix/constants.ts";
import type { ControlMessage } from "../host/posix/posix.ts";
import { pattern } from "./support/frames.ts";
import { errnoName, stackHarness } from "./support/harness.ts";
import { connected, ok, settle } from "./support/sockets.ts";
import { infoOf, opened } from "./support/tcp-peer.ts";
import { twoHosts } from "./support/two-hosts.ts";

const { EPOLLOUT, TCP_LINGER2, TCP_NOTSENT_LOWAT, TCP_WINDOW_CLAMP } = layout;
/** What the peer of support/tcp-peer.ts announces. */
const WINDOW = 32792;

describe("TCP_NOTSENT_LOWAT", () => {
  it("stops a writer whose unsent bytes reach it, and wakes him at half of it", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4000));
    expect(h.option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT)).to.equal(4000);
    // Of the first packet, half of the peer's window, ten segments leave; what is left of it is filled up as well.
    const packet = WINDOW / 2 - ((WINDOW / 2) % 1000);
    expect(h.send(fd, pattern(60_000))).to.equal(10_000 + packet);
    expect(errnoName(h.send(fd, "x"))).to.equal("EAGAIN");
    expect(h.events(fd) & EPOLLOUT).to.equal(0);
    // Each ACK of two segments lets four go.
    for (let left = packet - 4000, ack = 2001; left >= 2000; left -= 4000, ack += 2000) {
      peer.say(".", { seq: 1, ack });
      expect(h.events(fd) & EPOLLOUT, `with ${left} bytes unsent`).to.equal(0);
    }
    peer.say(".", { seq: 1, ack: 2000 * Math.ceil((packet - 2000) / 4000) + 1 });
    expect(h.events(fd) & EPOLLOUT).to.equal(EPOLLOUT);
  });

  it("has its default from tcp_notsent_lowat", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0, TCP_NOTSENT_LOWAT: 2000 } });
    const { fd } = opened(h);
    expect(h.send(fd, pattern(60_000))).to.be.lessThan(30_000);
    expect(errnoName(h.send(fd, "x"))).to.equal("EAGAIN");
  });
});

describe("readiness to write", () => {
  it("is announced when the ACK that makes room comes with data", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    const ep = h.ok(h.core.epollCreate(0));
    h.ok(h.setOption(fd, SOL_SOCKET, layout.SO_SNDBUF, 3000));
    while (h.send(fd, pattern(1000)) > 0);
    h.ok(h.core.epollCtl(ep, layout.EPOLL_CTL_ADD, fd, EPOLLOUT | layout.EPOLLET, 0, 0));
    const out = h.core.exchange() + layout.EXCHANGE_EVENTS;
    expect(h.core.epollWait(ep, out, 1)).to.equal(0);
    peer.say("P.", { seq: 1, ack: 4001, data: "answer" });
    expect(h.core.epollWait(ep, out, 1)).to.equal(1);
  });
});

describe("SO_RCVLOWAT", () => {
  it("makes a recv() that blocks wait for so many bytes", () => {
    const hosts = twoHosts();
    const { client, server } = connected(hosts);
    ok(hosts.server.setsockopt(server, SOL_SOCKET, SO_RCVLOWAT, 500));
    ok(hosts.client.send(client, Buffer.alloc(300)));
    settle(hosts);
    const buffer = Buffer.alloc(1000);
    expect(hosts.server.recv(server, buffer, MSG_DONTWAIT)).to.equal(300);
    ok(hosts.client.send(client, Buffer.alloc(300)));
    ok(hosts.server.setsockopt(server, SOL_SOCKET, layout.SO_RCVTIMEO, 100));
    const before = hosts.now();
    expect(hosts.server.recv(server, buffer)).to.equal(300);
    expect(hosts.now() - before).to.be.within(99_000, 101_000);
    ok(hosts.client.send(client, Buffer.alloc(600)));
    expect(hosts.server.recv(server, buffer)).to.equal(600);
  });

  it("lets the window have room for so much", () => {
    const h = stackHarness();
    const { fd } = opened(h);
    h.ok(h.setOption(fd, SOL_SOCKET, SO_RCVLOWAT, 1_000_000));
    expect(h.option(fd, SOL_SOCKET, layout.SO_RCVBUF)).to.be.at.least(2_000_000);
  });
});

describe("TCP_INQ", () => {
  it("tells with each recvmsg() what is left to read, and 1 for the end", () => {
    const hosts = twoHosts();
    const { client, server } = connected(hosts);
    const message = { msg_iov: [Buffer.alloc(300)], msg_control: [] as ControlMessage[] };
    ok(hosts.client.send(client, Buffer.alloc(1000)));
    settle(hosts);
    expect(hosts.server.recvmsg(server, message)).to.equal(300);
    expect(message.msg_control).to.deep.equal([]);
    ok(hosts.server.setsockopt(server, IPPROTO_TCP, TCP_INQ, 1));
    expect(hosts.server.recvmsg(server, message)).to.equal(300);
    expect(message.msg_control).to.deep.equal([{ cmsg_level: IPPROTO_TCP, cmsg_type: TCP_CM_INQ, data: 400 }]);
    expect(hosts.server.ioctl(server, FIONREAD)).to.equal(400);
    hosts.client.close(client);
    settle(hosts);
    hosts.server.recvmsg(server, message);
    expect(message.msg_control[0]?.data).to.equal(100);
    hosts.server.recvmsg(server, message);
    expect(message.msg_control[0]?.data).to.equal(1);
  });
});

describe("TCP_LINGER2", () => {
  const closedByUs = (linger2: number): { h: ReturnType<typeof stackHarness>; heard: () => string[] } => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_LINGER2, linger2));
    h.core.close(fd);
    peer.hears("F. 1:1(0) ack 1");
    peer.say(".", { seq: 1, ack: 2 });
    return { h, heard: () => peer.heard() };
  };

  it("limits FIN-WAIT-2 of what nobody holds any more", () => {
    const { h } = closedByUs(5);
    h.advance(4900);
    expect(h.core.orphanCount()).to.equal(1);
    h.advance(200);
    expect(h.core.orphanCount()).to.equal(0);
  });

  it("below 0 resets in the place of waiting", () => {
    const { h, heard } = closedByUs(-1);
    expect(heard()).to.deep.equal(["R 2:2(0)"]);
    expect(h.core.orphanCount()).to.equal(0);
  });

  it("below 0 resets a connection that waits already when it is closed", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_LINGER2, -1));
    h.core.shutdown(fd, layout.SHUT_WR);
    peer.say(".", { seq: 1, ack: 2 });
    peer.heard();
    h.core.close(fd);
    peer.hears("R. 2:2(0) ack 1");
  });

  it("reads back as it counts", () => {
    const h = stackHarness();
    const fd = h.tcp();
    expect(h.option(fd, IPPROTO_TCP, TCP_LINGER2)).to.equal(60);
    for (const [set, get] of [
      [7, 7],
      [-5, -1],
      [500, 120],
    ] as const) {
      h.ok(h.setOption(fd, IPPROTO_TCP, TCP_LINGER2, set));
      expect(h.option(fd, IPPROTO_TCP, TCP_LINGER2)).to.equal(get);
    }
  });
});

describe("the receive window", () => {
  it("opens by twice what arrives, not at once (Linux's rcv_ssthresh)", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0, TCP_RMEM_DEFAULT: 1_000_000 } });
    const { peer, fd } = opened(h, { mss: 1000, wscale: 7 });
    peer.say(".", { seq: 1, ack: 1, data: pattern(1000) });
    const [first] = peer.packets();
    expect(first!.tcp!.window << 7).to.be.within(65_535 - 128, 65_535 + 3000);
    h.read(fd);
    peer.hears();
    for (let i = 1; i < 40; i++) peer.say(".", { seq: 1 + i * 1000, ack: 1, data: pattern(1000) });
    const last = peer.packets().at(-1)!;
    expect(last.tcp!.window << 7).to.be.greaterThan(100_000);
    expect(infoOf(h, fd)(64)).to.be.at.least((last.tcp!.window << 7) >>> 1);
  });

  it("tells by TCP_WINDOW_CLAMP what limits the window where none was set, as Linux does", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const closed = h.tcp();
    expect(h.option(closed, IPPROTO_TCP, TCP_WINDOW_CLAMP)).to.equal(0);
    h.ok(h.setOption(closed, IPPROTO_TCP, TCP_WINDOW_CLAMP, -1));
    expect(h.option(closed, IPPROTO_TCP, TCP_WINDOW_CLAMP)).to.equal(1152);
    // Half of the buffer of 131,072 bytes, less a segment of 1,460.
    const { fd } = opened(h);
    expect(h.option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP)).to.equal(64_076);
    expect(errnoName(h.setOption(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 0))).to.equal("EINVAL");
  });

  it("stays below TCP_WINDOW_CLAMP", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h, { mss: 1000, wscale: 7 });
    expect(errnoName(h.setOption(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 0))).to.equal("EINVAL");
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 20_000));
    expect(h.option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP)).to.equal(20_000);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 1));
    expect(h.option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP)).to.equal(1152);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 20_000));
    let edge = 0;
    for (let i = 0; i < 80; i++) {
      peer.say(".", { seq: 1 + i * 1000, ack: 1, data: pattern(1000) });
      h.read(fd);
      for (const { tcp } of peer.packets()) {
        const right = tcp!.ack - peer.iss + (tcp!.window << 7);
        expect(right).to.be.at.least(edge);
        edge = right;
      }
    }
    expect(edge - 80_001).to.be.at.most(20_000 + 128);
  });
});

describe("options that are stored, and options that are not there", () => {
  it("keeps SO_MARK and SO_PRIORITY", () => {
    const h = stackHarness();
    const fd = h.tcp();
    h.ok(h.setOption(fd, SOL_SOCKET, layout.SO_MARK, 666));
    h.ok(h.setOption(fd, SOL_SOCKET, layout.SO_PRIORITY, 5));
    expect(h.option(fd, SOL_SOCKET, layout.SO_MARK)).to.equal(666);
    expect(h.option(fd, SOL_SOCKET, layout.SO_PRIORITY)).to.equal(5);
  });

  it("refuses TCP_MD5SIG, TCP_REPAIR and TCP_SAVE_SYN with ENOPROTOOPT", () => {
    const h = stackHarness();
    const fd = h.tcp();
    for (const [level, name] of [
      [IPPROTO_TCP, 14],
      [IPPROTO_TCP, 19],
      [IPPROTO_TCP, 27],
    ] as const) {
      expect(errnoName(h.setOption(fd, level, name, 1))).to.equal("ENOPROTOOPT");
    }
  });
});

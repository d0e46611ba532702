// UDP: the header's checks, who gets a datagram, queues and their limits, errors, options of sending.
// Read first: RFC 768; RFC 1122 section 4.1; udp(7) and ip(7) for what Linux adds.

import { expect } from "chai";
import {
  CAP_TX_L4_CSUM,
  EACCES,
  EDESTADDRREQ,
  EINVAL,
  EMSGSIZE,
  ENETUNREACH,
  EPIPE,
  EPOLLERR,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  FIONREAD,
  IP_TOS,
  IP_TTL,
  IPPROTO_IP,
  MSG_MORE,
  MSG_PEEK,
  MSG_TRUNC,
  RX_L4_BAD,
  RX_L4_GOOD,
  SHUT_RD,
  SHUT_WR,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOL_SOCKET,
} from "../assembly/layout.ts";
import { BROADCAST_MAC, ether, HOST, ip, ipv4, pattern, PEER, udp } from "./support/frames.ts";
import type { Ipv4Fields, Layer, UdpFields } from "./support/frames.ts";
import { type Received, stackHarness, type StackHarness } from "./support/harness.ts";

function listening(options: Parameters<typeof stackHarness>[0] = {}): { h: StackHarness; fd: number } {
  const h = stackHarness(options);
  return { h, fd: h.udp({ bind: ":7" }) };
}

function ping(fields: UdpFields = {}, text = "ping", header: Ipv4Fields = {}): Layer {
  return ipv4(header, udp({ to: 7, ...fields }, text));
}

describe("UDP: datagrams in (RFC 768)", () => {
  it("delivers payload, sender, destination, TTL and TOS", () => {
    const { h, fd } = listening();
    h.receive(ping({ from: 4242 }, "hello", { ttl: 33, tos: 0x2c }));
    expect(h.receiveFrom(fd)).to.deep.equal({
      data: Uint8Array.from(Buffer.from("hello")),
      from: PEER.address,
      port: 4242,
      flags: 0,
      length: 5,
      to: HOST.address,
      netif: 2,
      ttl: 33,
      tos: 0x2c,
    } satisfies Received);
    expect(h.counters()).to.deep.include({ UDP_IN_DATAGRAMS: 1 });
    expect(h.counter("UDP_IN_ERRORS")).to.equal(0);
  });

  it("delivers an empty datagram", () => {
    const { h, fd } = listening();
    h.receive(ping({}, ""));
    expect(h.events(fd) & EPOLLIN).to.equal(EPOLLIN);
    expect(h.receiveFrom(fd)).to.deep.include({ length: 0, port: 5000 });
  });

  it("takes a datagram without a checksum", () => {
    const { h, fd } = listening();
    h.receive(ping({ checksum: 0 }));
    expect(h.text(fd)).to.equal("ping");
  });

  it("takes a checksum of all ones, which stands for a sum of zero", () => {
    const { h, fd } = listening();
    // Two bytes that make the sum come out as zero: the checksum without them.
    const bare = udp({ to: 7 }, [0, 0]).bytes({ from: ip(PEER.address), to: ip(HOST.address) });
    h.receive(ipv4(udp({ to: 7 }, bare.subarray(6, 8))));
    expect(h.receiveFrom(fd)).to.be.an("object");
    const zero = udp({ to: 7 }, bare.subarray(6, 8)).bytes({ from: ip(PEER.address), to: ip(HOST.address) });
    expect([...zero.subarray(6, 8)]).to.deep.equal([255, 255]);
  });

  it("cuts what follows the datagram's own length", () => {
    const { h, fd } = listening();
    const bytes = Buffer.concat([
      udp({ to: 7 }, "ping").bytes({ from: ip(PEER.address), to: ip(HOST.address) }),
      Buffer.from("junk"),
    ]);
    h.receive(ipv4({ protocol: 17 }, bytes));
    expect(h.text(fd)).to.equal("ping");
  });

  const bad: [string, Layer, Record<string, number>][] = [
    ["a wrong checksum", ping({ checksum: 0x1234 }), { UDP_IN_CSUM_ERRORS: 1, UDP_IN_ERRORS: 1 }],
    ["a length below the header's", ping({ length: 7 }), { UDP_IN_ERRORS: 1 }],
    ["a length beyond the datagram", ping({ length: 13 }), { UDP_IN_ERRORS: 1 }],
    ["a header that is cut", ipv4({ protocol: 17 }, [0, 1, 0, 7, 0, 8, 0]), { UDP_IN_ERRORS: 1 }],
    ["no header at all", ipv4({ protocol: 17 }, ""), { UDP_IN_ERRORS: 1 }],
  ];
  for (const [what, frame, expected] of bad) {
    it(`drops and counts one with ${what}`, () => {
      const { h, fd } = listening();
      const changes = h.counting(() => h.receive(frame));
      expect(changes).to.deep.include(expected);
      expect(changes).not.to.have.any.keys("UDP_IN_DATAGRAMS", "UDP_NO_PORTS");
      expect(h.text(fd)).to.equal("EAGAIN");
      expect(h.pools()).to.deep.equal({ SOCKET: 1 });
      h.expectSilence();
    });
  }

  it("drops one whose payload was changed, wherever the change is", () => {
    const { h, fd } = listening();
    for (const at of [42, 43, 100, 500, 1000, 1440, 1441]) {
      const frame = ether(ipv4(udp({ to: 7 }, pattern(1400)))).bytes();
      frame[at]! ^= 0x40;
      h.receive(frame);
    }
    expect(h.counter("UDP_IN_CSUM_ERRORS")).to.equal(7);
    expect(h.text(fd)).to.equal("EAGAIN");
  });

  for (const size of [1, 2, 3, 31, 32, 33, 63, 64, 65, 95, 1471, 1472]) {
    it(`verifies and delivers ${size} bytes, in one mbuf and in many`, () => {
      const { h, fd } = listening();
      for (const split of [[], [42], [43], [44, 1], [60, 7, 8]]) {
        if (split.reduce((sum, n) => sum + n, 0) > 42 + size) continue;
        h.receive(ping({}, Buffer.from(pattern(size)).toString("latin1")), { split });
        const received = h.receiveFrom(fd);
        expect(
          typeof received !== "string" && Buffer.from(received.data).equals(pattern(size)),
          `split ${split.join()}`,
        ).to.be.true;
      }
    });
  }

  it("takes the NIC's word about the checksum", () => {
    const { h, fd } = listening();
    h.receive(ping({ checksum: 0x1234 }), { flags: RX_L4_GOOD });
    expect(h.text(fd)).to.equal("ping");
    h.receive(ping(), { flags: RX_L4_BAD });
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.counter("UDP_IN_CSUM_ERRORS")).to.equal(1);
  });

  it("answers with port unreachable when nobody listens", () => {
    const h = stackHarness();
    h.receive(ping());
    h.expectSent({ icmp: { type: 3, code: 3 }, quoted: { udp: { to: 7 } } });
    expect(h.counter("UDP_NO_PORTS")).to.equal(1);
  });
});

describe("UDP: who gets a datagram", () => {
  it("prefers a connected socket, then one bound to the address, then the wildcard", () => {
    const h = stackHarness();
    const any = h.udp();
    const own = h.udp();
    const connected = h.udp();
    for (const fd of [any, own, connected]) h.ok(h.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    h.ok(h.core.bind(any, 0, 7));
    h.ok(h.core.bind(own, ip(HOST.address), 7));
    h.ok(h.core.bind(connected, ip(HOST.address), 7));
    h.ok(h.core.connect(connected, ip(PEER.address), 5000));
    h.receive(ping({}, "from the peer"));
    h.receive(ping({ from: 5001 }, "from another port"));
    h.send(h.udp(), "by the loopback", "127.0.0.1:7");
    h.poll();
    expect(h.text(connected)).to.equal("from the peer");
    expect(h.text(own)).to.equal("from another port");
    expect(h.text(any)).to.equal("by the loopback");
    for (const fd of [any, own, connected]) expect(h.text(fd)).to.equal("EAGAIN");
  });

  it("gives a connected socket only what its peer sends", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":7", connect: "10.0.0.2:5000" });
    h.receive(ping({ from: 5001 }));
    h.receive(ping({}, "stranger", { from: "10.0.0.3" }));
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.counter("UDP_NO_PORTS")).to.equal(2);
    h.receive(ping());
    expect(h.text(fd)).to.equal("ping");
  });

  it("spreads peers over sockets with SO_REUSEPORT, and keeps each peer with one", () => {
    const h = stackHarness();
    const fds = [1, 2, 3, 4].map(() => h.udp());
    for (const fd of fds) {
      h.ok(h.setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1));
      h.ok(h.core.bind(fd, 0, 7));
    }
    for (let round = 0; round < 2; round++) {
      for (let port = 1000; port < 1200; port++) h.receive(ping({ from: port }, String(port)));
    }
    const counts = fds.map((fd) => {
      const seen = new Map<string, number>();
      for (let text = h.text(fd); text !== "EAGAIN"; text = h.text(fd)) seen.set(text, (seen.get(text) ?? 0) + 1);
      expect([...seen.values()].every((n) => n === 2)).to.be.true;
      return seen.size;
    });
    expect(counts.reduce((sum, n) => sum + n, 0)).to.equal(200);
    for (const n of counts) expect(n).to.be.within(20, 90);
  });

  it("gives a broadcast to every socket that is bound to the wildcard or to the broadcast address", () => {
    const h = stackHarness();
    const fds = ["0.0.0.0", "10.0.0.255", HOST.address].map((address) => {
      const fd = h.udp();
      h.ok(h.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      h.ok(h.core.bind(fd, ip(address), 7));
      return fd;
    });
    h.receive(ether({ to: BROADCAST_MAC }, ping({}, "all", { to: "10.0.0.255" })));
    expect(fds.map((fd) => h.text(fd))).to.deep.equal(["all", "all", "EAGAIN"]);
    expect(h.counter("UDP_IN_DATAGRAMS")).to.equal(2);
  });

  it("is silent about a broadcast that nobody wants", () => {
    const h = stackHarness();
    h.receive(ether({ to: BROADCAST_MAC }, ping({}, "all", { to: "10.0.0.255" })));
    h.expectSilence();
    expect(h.counter("UDP_NO_PORTS")).to.equal(1);
  });
});

describe("UDP: the receive queue", () => {
  it("keeps datagrams apart and in order, whatever their sizes", () => {
    const { h, fd } = listening();
    const sizes = [0, 1, 3, 4, 1000, 1472, 2, 700, 700, 700, 0, 5];
    for (const size of sizes) h.receive(ipv4(udp({ to: 7 }, pattern(size, size))));
    expect(h.core.ioctl(fd, FIONREAD, 0)).to.equal(0);
    for (const size of sizes) {
      const received = h.receiveFrom(fd);
      expect(typeof received !== "string" && Buffer.from(received.data).equals(pattern(size, size)), `${size} bytes`).to
        .be.true;
    }
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("owns no buffer while it is empty, and one chunk for many small datagrams", () => {
    const { h, fd } = listening();
    for (let i = 0; i < 40; i++) h.receive(ping());
    expect(h.pools()).to.deep.equal({ SOCKET: 1, CHUNK: 1 });
    while (h.text(fd) !== "EAGAIN");
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("drops and counts what does not fit SO_RCVBUF, and takes new ones when there is room", () => {
    const { h, fd } = listening();
    h.ok(h.setOption(fd, SOL_SOCKET, SO_RCVBUF, 8192)); // doubled: 16 KiB, 8 chunks of 2 KiB
    for (let i = 0; i < 20; i++) h.receive(ping({}, Buffer.from(pattern(1400)).toString("latin1")));
    expect(h.counters()).to.deep.include({ UDP_IN_DATAGRAMS: 8, UDP_RCVBUF_ERRORS: 12, UDP_IN_ERRORS: 12 });
    expect(h.receiveFrom(fd)).to.be.an("object");
    h.receive(ping());
    expect(h.counter("UDP_IN_DATAGRAMS")).to.equal(9);
  });

  it("drops and counts when the chunks run out", () => {
    const { h, fd } = listening({ sizes: { CFG_CHUNKS: 3, CFG_LARGE_CHUNKS: 0 } });
    for (let i = 0; i < 5; i++) h.receive(ipv4(udp({ to: 7 }, pattern(1400))));
    expect(h.counters()).to.deep.include({ UDP_IN_DATAGRAMS: 3, UDP_MEM_ERRORS: 2 });
    h.core.close(fd);
    expect(h.pools()).to.deep.equal({});
  });

  it("cuts a datagram that is longer than the buffer, and says so", () => {
    const { h, fd } = listening();
    h.receive(ping({}, "0123456789"));
    h.receive(ping({}, "next"));
    const received = h.receiveFrom(fd, 4);
    expect(received).to.deep.include({ flags: MSG_TRUNC, length: 10 });
    expect(Buffer.from((received as Received).data).toString()).to.equal("0123");
    expect(h.text(fd)).to.equal("next");
  });

  it("peeks without taking, tells the full length with MSG_TRUNC", () => {
    const { h, fd } = listening();
    h.receive(ping({}, "0123456789"));
    expect(h.core.ioctl(fd, FIONREAD, 0)).to.equal(10);
    expect(h.core.recv(fd, h.core.exchange() + 32768, 4, MSG_PEEK | MSG_TRUNC)).to.equal(10);
    expect(h.receiveFrom(fd, 100, MSG_PEEK)).to.be.an("object");
    expect(h.text(fd)).to.equal("0123456789");
    expect(h.text(fd)).to.equal("EAGAIN");
  });

  it("gives everything back on close", () => {
    const { h, fd } = listening();
    for (const size of [1, 1400, 1400]) h.receive(ipv4(udp({ to: 7 }, pattern(size))));
    h.send(fd, "held back", "10.0.0.2:9", MSG_MORE);
    h.core.close(fd);
    expect(h.pools()).to.deep.equal({});
    h.receive(ping());
    h.expectSent({ icmp: { type: 3, code: 3 } });
  });

  it("is readable as long as something waits, always writable", () => {
    const { h, fd } = listening();
    expect(h.events(fd) & (EPOLLIN | EPOLLOUT | EPOLLERR)).to.equal(EPOLLOUT);
    h.receive(ping());
    h.receive(ping());
    h.text(fd);
    expect(h.events(fd) & EPOLLIN).to.equal(EPOLLIN);
    h.text(fd);
    expect(h.events(fd) & EPOLLIN).to.equal(0);
  });

  it("ends reading after shutdown, and writing", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":7", connect: "10.0.0.2:5000" });
    h.receive(ping());
    h.ok(h.core.shutdown(fd, SHUT_RD));
    expect(h.events(fd) & (EPOLLIN | EPOLLRDHUP)).to.equal(EPOLLIN | EPOLLRDHUP);
    expect(h.text(fd)).to.equal("ping");
    expect(h.read(fd)).to.have.length(0);
    h.ok(h.core.shutdown(fd, SHUT_WR));
    expect(h.send(fd, "x")).to.equal(-EPIPE);
  });
});

describe("UDP: datagrams out", () => {
  it("writes a right header", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    expect(h.send(fd, "hello", "10.0.0.2:9")).to.equal(5);
    const packet = h.expectSent({
      ip: { from: HOST.address, to: PEER.address, ttl: 64, tos: 0, protocol: 17, total: 33, df: true },
      udp: { from: 5000, to: 9, length: 13 },
    });
    expect(packet.udp!.checksum).not.to.equal(0);
    expect(h.counter("UDP_OUT_DATAGRAMS")).to.equal(1);
  });

  for (const caps of [0, CAP_TX_L4_CSUM]) {
    it(`has right checksums for every size ${caps ? "that a NIC completes" : "that it computes"}`, () => {
      const h = stackHarness({ caps });
      const fd = h.udp();
      for (let size = 0; size < 200; size++) h.send(fd, pattern(size, size), "10.0.0.2:9");
      const sent = h.sent();
      expect(sent).to.have.length(200);
      for (const [size, packet] of sent.entries()) {
        expect(Buffer.from(packet.payload).equals(pattern(size, size)), `${size} bytes`).to.be.true;
        expect(packet.udp!.checksum).not.to.equal(0);
      }
    });
  }

  it("sends a sum of zero as all ones", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    h.send(fd, Uint8Array.of(0, 0), "10.0.0.2:9");
    const { frame } = h.sentOne();
    h.send(fd, frame.slice(40, 42), "10.0.0.2:9");
    h.expectSent({ udp: { checksum: 0xffff } });
  });

  it("binds to a port of the ephemeral range on the first send", () => {
    const h = stackHarness();
    const fd = h.udp();
    expect(h.name(fd)).to.equal("0.0.0.0:0");
    h.send(fd, "x", "10.0.0.2:9");
    const port = h.sentOne().udp!.from;
    expect(port).to.be.within(32768, 60999);
    expect(h.name(fd)).to.equal(`0.0.0.0:${port}`);
  });

  it("connects: has both names, sends without an address, forgets the peer on demand", () => {
    const h = stackHarness();
    const fd = h.udp({ connect: "10.0.0.2:9" });
    expect(h.name(fd, true)).to.equal("10.0.0.2:9");
    expect(h.name(fd)).to.match(/^10\.0\.0\.1:\d+$/);
    h.send(fd, "x");
    h.expectSent({ udp: { to: 9 } });
    h.ok(h.core.disconnect(fd));
    expect(h.send(fd, "x")).to.equal(-EDESTADDRREQ);
    expect(h.name(fd)).to.match(/^0\.0\.0\.0:\d+$/);
  });

  it("stays connected when connecting elsewhere fails", () => {
    const h = stackHarness();
    const fd = h.udp({ connect: "10.0.0.2:9" });
    const own = h.name(fd);
    expect(h.core.connect(fd, ip("192.0.2.1"), 9)).to.equal(-ENETUNREACH);
    expect([h.name(fd), h.name(fd, true)]).to.deep.equal([own, "10.0.0.2:9"]);
    expect(h.core.connect(fd, ip("10.0.0.255"), 9)).to.equal(-EACCES);
    h.send(fd, "x");
    h.expectSent({ udp: { to: 9 }, ip: { to: "10.0.0.2" } });
  });

  it("sends elsewhere from a connected socket when it is told where", () => {
    const h = stackHarness();
    const fd = h.udp({ connect: "10.0.0.2:9" });
    h.core.arpAdd(ip("10.0.0.3"), 2, 3);
    h.send(fd, "a", "10.0.0.3:10");
    h.send(fd, "b");
    expect(h.sent().map((packet) => `${packet.ip!.to}:${packet.udp!.to}`)).to.deep.equal(["10.0.0.3:10", "10.0.0.2:9"]);
  });

  it("refuses what cannot be", () => {
    const h = stackHarness();
    const fd = h.udp();
    expect(h.send(fd, "x")).to.equal(-EDESTADDRREQ);
    expect(h.send(fd, pattern(65508), "10.0.0.2:9")).to.equal(-EMSGSIZE);
    const bound = h.udp({ bind: "127.0.0.1:7" });
    expect(h.send(bound, "x", "10.0.0.2:9")).to.equal(-EINVAL);
    h.expectSilence();
  });

  it("takes the wildcard as a destination for this host", () => {
    const { h, fd } = listening();
    h.send(h.udp(), "me", "0.0.0.0:7");
    h.poll();
    expect(h.text(fd)).to.equal("me");
  });

  it("sets TTL and TOS", () => {
    const h = stackHarness();
    const fd = h.udp();
    h.ok(h.setOption(fd, IPPROTO_IP, IP_TTL, 3));
    h.ok(h.setOption(fd, IPPROTO_IP, IP_TOS, 0xb8));
    h.send(fd, "x", "10.0.0.2:9");
    h.expectSent({ ip: { ttl: 3, tos: 0xb8 } });
    h.sysctl("IP_DEFAULT_TTL", 128);
    h.send(h.udp(), "x", "10.0.0.2:9");
    h.expectSent({ ip: { ttl: 128 } });
  });

  it("needs SO_BROADCAST for broadcasts, which this host hears too", () => {
    const { h, fd } = listening();
    const sender = h.udp();
    for (const to of ["255.255.255.255:7", "10.0.0.255:7"]) {
      expect(h.send(sender, "x", to)).to.equal(-EACCES);
      h.ok(h.setOption(sender, SOL_SOCKET, SO_BROADCAST, 1));
      expect(h.send(sender, to, to)).to.equal(to.length);
      h.expectSent({ ether: { to: BROADCAST_MAC }, ip: { to: to.slice(0, -2), from: HOST.address } });
      expect(h.text(fd)).to.equal(to);
      h.ok(h.setOption(sender, SOL_SOCKET, SO_BROADCAST, 0));
    }
  });

  it("gathers with MSG_MORE until a send without it", () => {
    const h = stackHarness();
    const fd = h.udp();
    expect(h.send(fd, "one ", "10.0.0.2:9", MSG_MORE)).to.equal(4);
    expect(h.send(fd, "two ", "10.0.0.2:10", MSG_MORE)).to.equal(4); // the first address counts
    h.expectSilence();
    expect(h.send(fd, "three", "10.0.0.2:9")).to.equal(5);
    const packet = h.expectSent({ udp: { to: 9, length: 8 + 13 } });
    expect(Buffer.from(packet.payload).toString()).to.equal("one two three");
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("gathers more than a frame holds, and refuses more than a datagram holds", () => {
    const h = stackHarness();
    const fd = h.udp({ connect: "10.0.0.2:9" });
    for (let i = 0; i < 5; i++) h.ok(h.send(fd, pattern(1000, i), undefined, MSG_MORE));
    h.ok(h.send(fd, ""));
    const sent = h.sent();
    expect(sent.map((packet) => packet.ip!.total)).to.deep.equal([1500, 1500, 1500, 588]);
    const whole = Buffer.concat(sent.map((packet) => Buffer.from(packet.payload))).subarray(8);
    expect(whole.equals(Buffer.concat([0, 1, 2, 3, 4].map((i) => pattern(1000, i))))).to.be.true;
    h.ok(h.send(fd, pattern(60_000), undefined, MSG_MORE));
    expect(h.send(fd, pattern(6000), undefined, MSG_MORE)).to.equal(-EMSGSIZE);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
    h.send(fd, "fresh");
    expect(Buffer.from(h.sentOne().payload).toString()).to.equal("fresh");
  });
});

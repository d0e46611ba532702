// ICMP: echo, errors out within the rules, errors in that reach a socket.
// Read first: RFC 792; RFC 1122 section 3.2.2; RFC 1812 section 4.3.2.

import { expect } from "chai";
import { IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_RECVERR, IPPROTO_IP } from "../assembly/layout.ts";
import {
  BROADCAST_MAC,
  echo,
  ether,
  fragments,
  HOST,
  icmp,
  ip,
  ipv4,
  pattern,
  pseudoHeader,
  udp,
} from "./support/frames.ts";
import type { Ipv4Fields, Layer } from "./support/frames.ts";
import { stackHarness } from "./support/harness.ts";

/** An ICMP error that quotes a datagram of ours to the peer. */
function errorAbout(type: number, code: number, body: Layer, rest = 0, fields: Ipv4Fields = {}): Layer {
  return ipv4(icmp({ type, code, rest }, ipv4({ from: HOST.address, to: "10.0.0.2", ...fields }, body).bytes()));
}

describe("ICMP: echo (RFC 1122 3.2.2.6)", () => {
  for (const size of [0, 1, 56, 57, 1472]) {
    it(`answers with the same ${size} bytes`, () => {
      const h = stackHarness();
      h.receive(ipv4({ tos: 0x10 }, echo(pattern(size), 0x1234, 7)));
      const reply = h.expectSent({ icmp: { type: 0, code: 0, rest: 0x12340007 }, ip: { tos: 0x10, ttl: 64 } });
      expect(Buffer.from(reply.payload).equals(pattern(size))).to.be.true;
      expect(h.pools()).to.deep.equal({});
    });
  }

  it("answers one of nothing but zeros with a right checksum (RFC 1624 section 3)", () => {
    const h = stackHarness();
    h.receive(ipv4(echo(new Uint8Array(20), 0, 0)));
    h.expectSent({ icmp: { type: 0, rest: 0 } });
  });

  it("answers one that spans mbufs", () => {
    const h = stackHarness();
    h.receive(ipv4(echo(pattern(1001))), { split: [50, 333, 1, 2] });
    expect(Buffer.from(h.sentOne().payload).equals(pattern(1001))).to.be.true;
  });

  it("answers 65,507 bytes in fragments", () => {
    const h = stackHarness();
    const whole = ipv4(echo(pattern(65507))).bytes();
    expect(whole).to.have.length(65535);
    for (const fragment of fragments(whole, 1480)) h.receive(ether(fragment));
    const sent = h.sent();
    expect(sent).to.have.length(45);
    const back = Buffer.concat(sent.map((packet) => packet.payload));
    expect(back.subarray(8).equals(pattern(65507))).to.be.true;
    expect(h.pools()).to.deep.equal({});
  });

  it("does not answer one with a wrong checksum, to a broadcast, or when it is told not to", () => {
    const h = stackHarness();
    h.receive(ipv4(icmp({ type: 8, checksum: 1 }, "x")));
    expect(h.counter("ICMP_IN_CSUM_ERRORS")).to.equal(1);
    h.receive(ether({ to: BROADCAST_MAC }, ipv4({ to: "10.0.0.255" }, echo())));
    h.receive(ether({ to: "01:00:5e:00:00:01" }, ipv4({ to: "224.0.0.1" }, echo())));
    h.sysctl("ICMP_ECHO_IGNORE_ALL", 1);
    h.receive(ipv4(echo()));
    h.expectSilence();
    expect(h.counter("ICMP_IN_ECHOS")).to.equal(3);
  });

  it("drops and counts what is shorter than a header", () => {
    const h = stackHarness();
    for (let length = 0; length < 8; length++) h.receive(ipv4({ protocol: 1 }, pattern(length)));
    expect(h.counter("ICMP_IN_ERRORS")).to.equal(8);
    h.expectSilence();
  });

  it("ignores replies, redirects, source quenches and unknown types, and counts them", () => {
    const h = stackHarness();
    for (const type of [0, 4, 5, 13, 17, 99, 255]) h.receive(ipv4(icmp({ type }, pattern(64))));
    h.expectSilence();
    expect(h.counter("ICMP_IN_ECHO_REPS")).to.equal(1);
    expect(h.counter("ICMP_IN_OTHERS")).to.equal(6);
  });
});

describe("ICMP: errors out (RFC 1122 3.2.2)", () => {
  it("says that a port is unreachable, from the address that was asked, with the precedence of control", () => {
    const h = stackHarness();
    h.receive(ipv4({ id: 77, ttl: 9 }, udp({ from: 4000, to: 9 }, "hello")));
    const error = h.expectSent({
      ip: { from: HOST.address, to: "10.0.0.2", tos: 0xc0 },
      icmp: { type: 3, code: 3, rest: 0 },
      quoted: { ip: { id: 77, ttl: 9 }, udp: { from: 4000, to: 9 } },
    });
    expect(Buffer.from(error.quoted!.payload).toString()).to.equal("hello");
    expect(h.counter("ICMP_OUT_DEST_UNREACHS")).to.equal(1);
    expect(h.counter("UDP_NO_PORTS")).to.equal(1);
  });

  it("quotes no more than makes a datagram of 576 bytes (RFC 1812 4.3.2.3)", () => {
    const h = stackHarness();
    h.receive(ipv4(udp({ to: 9 }, pattern(1400))));
    expect(h.sentOne().ip!.total).to.equal(576);
  });

  it("quotes no padding of the link", () => {
    const h = stackHarness();
    h.receive(ether({ pad: 60 }, ipv4(udp({ to: 9 }, "x"))));
    expect(h.sentOne().ip!.total).to.equal(20 + 8 + 29);
  });

  const silent: [string, Layer][] = [
    ["a broadcast", ether({ to: BROADCAST_MAC }, ipv4({ to: "10.0.0.255" }, udp({ to: 9 })))],
    ["a broadcast of the link", ether({ to: BROADCAST_MAC }, ipv4(udp({ to: 9 })))],
    ["a multicast", ether({ to: "01:00:5e:00:00:01" }, ipv4({ to: "224.0.0.1" }, udp({ to: 9 })))],
    ["a datagram with a bad checksum", ipv4(udp({ to: 9, checksum: 1 }, "x"))],
    [
      "a datagram from nobody in particular",
      ether({ to: BROADCAST_MAC }, ipv4({ from: 0, to: "255.255.255.255" }, udp({ to: 9 }))),
    ],
  ];
  for (const [what, frame] of silent) {
    it(`says nothing about ${what}`, () => {
      const h = stackHarness();
      h.receive(frame);
      h.expectSilence();
    });
  }

  it("says nothing about an ICMP error that cannot be delivered, and answers no error with an error", () => {
    const h = stackHarness({ forwarding: true, more: [{}] });
    h.receive(ipv4({ to: "192.0.2.1" }, icmp({ type: 3, code: 3 }, pattern(28))));
    h.receive(ipv4({ to: "192.0.2.1" }, icmp({ type: 77 }, pattern(28))));
    h.expectSilence();
    h.receive(ipv4({ to: "192.0.2.1" }, echo()));
    h.expectSent({ icmp: { type: 3, code: 0 } });
  });

  it("says nothing about later fragments", () => {
    const h = stackHarness({ forwarding: true, more: [{}] });
    h.receive(ipv4({ to: "10.0.1.9", ttl: 1, offset: 8, protocol: 17 }, "fragment"));
    h.expectSilence();
    h.receive(ipv4({ to: "10.0.1.9", ttl: 1, mf: true, protocol: 17 }, "fragment"));
    h.expectSent({ icmp: { type: 11 } });
  });

  it("sends 50 at once, then as many a second as the tunable says, and counts the rest", () => {
    const h = stackHarness({ sysctls: { ICMP_RATELIMIT: 10 } });
    const burst = (): number => {
      for (let i = 0; i < 60; i++) h.receive(ipv4(udp({ to: 9 })));
      return h.sent().length;
    };
    expect(burst()).to.equal(50);
    expect(h.counter("ICMP_OUT_RATE_LIMITED")).to.equal(10);
    h.advance(1000);
    expect(burst()).to.equal(10);
    h.advance(99);
    expect(burst()).to.equal(0);
    h.advance(1);
    expect(burst()).to.equal(1);
    h.advance(86_400_000);
    expect(burst()).to.equal(50);
  });

  it("sends none with a rate of 0, but still answers echoes", () => {
    const h = stackHarness({ sysctls: { ICMP_RATELIMIT: 0 } });
    h.receive(ipv4(udp({ to: 9 })));
    h.expectSilence();
    for (let i = 0; i < 100; i++) h.receive(ipv4(echo()));
    expect(h.sent()).to.have.length(100);
  });
});

describe("ICMP: errors in", () => {
  const ours = udp({ from: 5000, to: 9 }, "payload");

  /** A port unreachable that quotes the first `length` bytes. */
  function quoting(datagram: Layer, length: number): Layer {
    return ipv4(icmp({ type: 3, code: 3 }, datagram.bytes().subarray(0, length)));
  }

  it("counts the kinds", () => {
    const h = stackHarness();
    h.udp({ bind: ":5000" });
    h.receive(errorAbout(3, 3, ours));
    h.receive(errorAbout(11, 0, ours));
    h.receive(errorAbout(12, 0, ours));
    expect(h.counters()).to.deep.include({
      ICMP_IN_MSGS: 3,
      ICMP_IN_DEST_UNREACHS: 1,
      ICMP_IN_TIME_EXCDS: 1,
      ICMP_IN_OTHERS: 1,
    });
    expect(h.counter("ICMP_IN_ERRORS")).to.equal(0);
  });

  const nonsense: [string, Layer][] = [
    ["quotes a datagram of somebody else", errorAbout(3, 3, ours, 0, { from: "10.0.0.77" })],
    ["quotes a later fragment", errorAbout(3, 3, ours, 0, { offset: 8 })],
    ["quotes IPv6", errorAbout(3, 3, ours, 0, { version: 6 })],
    ["quotes a header that is too short", errorAbout(3, 3, ours, 0, { headerWords: 4 })],
    ["quotes a header longer than itself", errorAbout(3, 3, ours, 0, { headerWords: 15 })],
    ["quotes less than 8 bytes behind the header", quoting(ipv4({ from: HOST.address, to: "10.0.0.2" }, ours), 27)],
    ["quotes less than a header", quoting(ipv4({ from: HOST.address, to: "10.0.0.2" }, ours), 19)],
    [
      "quotes less than 8 bytes behind a header with options",
      quoting(ipv4({ from: HOST.address, to: "10.0.0.2", options: [1, 1, 1, 0] }, ours), 31),
    ],
    ["quotes a socket that is not there", errorAbout(3, 3, udp({ from: 5999, to: 9 }))],
    ["tells an MTU of 67", errorAbout(3, 4, udp({ from: 5000, to: 9 }, pattern(1400)), 67)],
    ["tells an MTU that is no lower", errorAbout(3, 4, udp({ from: 5000, to: 9 }, pattern(1400)), 1428)],
  ];
  for (const [what, frame] of nonsense) {
    it(`counts and ignores one that ${what}`, () => {
      const h = stackHarness();
      const fd = h.udp({ bind: ":5000", connect: "10.0.0.2:9" });
      h.receive(frame);
      expect(h.counter("ICMP_IN_ERRORS")).to.equal(1);
      expect(h.text(fd)).to.equal("EAGAIN");
      h.expectSilence();
    });
  }
});

describe("ICMP: errors in, for a socket that wants all", () => {
  it("believes one about its own datagram only", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    h.ok(h.setOption(fd, IPPROTO_IP, IP_RECVERR, 1));
    h.receive(errorAbout(3, 3, udp({ from: 5000, to: 9 }), 0, { from: "10.0.0.77" }));
    expect(h.text(fd)).to.equal("EAGAIN");
    h.receive(errorAbout(3, 3, udp({ from: 5000, to: 9 })));
    expect(h.text(fd)).to.equal("ECONNREFUSED");
  });
});

describe("ICMP: path MTU (RFC 1191)", () => {
  function tooBig(mtu: number, size = 1400): Layer {
    return errorAbout(3, 4, udp({ from: 5000, to: 9 }, pattern(size)), mtu, { df: true });
  }

  /** Sizes of what 1,400 bytes of payload become, and whether they may be cut. */
  function sizes(h: ReturnType<typeof stackHarness>, fd: number): [number, boolean][] {
    h.send(fd, pattern(1400), "10.0.0.2:9");
    return h.sent().map((packet) => [packet.ip!.total, packet.ip!.df]);
  }

  it("cuts datagrams to what a router told, for ten minutes", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    expect(sizes(h, fd)).to.deep.equal([[1428, true]]);
    h.receive(tooBig(1000));
    expect(sizes(h, fd)).to.deep.equal([
      [996, false],
      [452, false],
    ]);
    h.advance(599_000);
    expect(sizes(h, fd)).to.have.length(2);
    h.advance(2000);
    expect(sizes(h, fd)).to.deep.equal([[1428, true]]);
  });

  it("guesses the next plateau when a router tells none", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    h.receive(tooBig(0));
    expect(sizes(h, fd)[0]).to.deep.equal([1004, false]);
  });

  it("is never lowered below 552 bytes, nor raised by a message", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    h.receive(tooBig(68));
    expect(sizes(h, fd)[0]).to.deep.equal([548, false]);
    h.receive(tooBig(1300));
    expect(sizes(h, fd)[0]).to.deep.equal([548, false]);
  });

  it("below 552 bytes has routers cut what goes there, small datagrams too (Linux: min_pmtu)", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":5000" });
    const small = (): boolean => {
      h.send(fd, pattern(400), "10.0.0.2:9");
      return h.sent()[0]!.ip!.df;
    };
    expect(small()).to.equal(true);
    h.receive(tooBig(300));
    expect(small()).to.equal(false);
    h.advance(601_000);
    expect(small()).to.equal(true);
    h.ok(h.setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
    h.receive(tooBig(300));
    expect(small(), "the socket insists").to.equal(true);
  });

  it("concerns one destination", () => {
    const h = stackHarness({ gateway: "10.0.0.2" });
    const fd = h.udp({ bind: ":5000" });
    h.receive(tooBig(600));
    h.send(fd, pattern(1400), "192.0.2.9:9");
    h.expectSent({ ip: { total: 1428 } });
  });
});

describe("the test's own checksums", () => {
  it("agree with RFC 1071's example and with a known datagram", () => {
    expect(pseudoHeader({ from: ip("1.2.3.4"), to: ip("5.6.7.8") }, 17, 9)).to.deep.equal(
      Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 0, 17, 0, 9),
    );
    // The example header of the "IPv4 header checksum" literature: 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7
    const header = ipv4(
      { from: "192.168.0.1", to: "192.168.0.199", id: 0, df: true, protocol: 17, total: 0x73 },
      new Uint8Array(0),
    ).bytes();
    expect(Buffer.from(header.subarray(10, 12)).toString("hex")).to.equal("b861");
  });
});

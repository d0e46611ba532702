// IPv4: what the header check refuses, which destinations and sources are fit, options, forwarding, routes, loopback.
// Read first: RFC 1122 section 3.2.1; RFC 1812 section 5.2 for forwarding.

import { expect } from "chai";
import { ENETUNREACH, RX_IP_BAD, RX_IP_GOOD } from "../assembly/layout.ts";
import { BROADCAST_MAC, echo, ether, HOST, ip, ipv4, pattern, PEER, tcp, udp } from "./support/frames.ts";
import type { Ipv4Fields, Layer } from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";

/** A datagram of 4 bytes to the port where the socket of `listening()` waits. */
function datagram(fields: Ipv4Fields = {}, text = "ping"): Layer {
  return ipv4(fields, udp({ to: 7 }, text));
}

function listening(options: Parameters<typeof stackHarness>[0] = {}): { h: StackHarness; fd: number } {
  const h = stackHarness(options);
  return { h, fd: h.udp({ bind: ":7" }) };
}

describe("IPv4: the header (RFC 791 3.1, RFC 1122 3.2.1)", () => {
  it("delivers a good datagram", () => {
    const { h, fd } = listening();
    h.receive(datagram());
    expect(h.text(fd)).to.equal("ping");
    expect(h.counter("IP_IN_DELIVERS")).to.equal(1);
  });

  const refused: [string, Ipv4Fields, Record<string, number>][] = [
    ["version 6", { version: 6 }, { IP_IN_HDR_ERRORS: 1 }],
    ["a header of 16 bytes", { headerWords: 4 }, { IP_IN_HDR_ERRORS: 1 }],
    ["a header longer than the datagram", { headerWords: 15 }, { IP_IN_HDR_ERRORS: 1 }],
    ["a header longer than the frame", { headerWords: 15, total: 60 }, { IP_IN_TRUNCATED: 1 }],
    ["a total length below the header's", { total: 19 }, { IP_IN_HDR_ERRORS: 1 }],
    ["a total length beyond the frame", { total: 33 }, { IP_IN_TRUNCATED: 1 }],
    ["a wrong checksum", { checksum: 0x1234 }, { IP_IN_HDR_ERRORS: 1, IP_IN_CSUM_ERRORS: 1 }],
    ["a multicast as the source", { from: "224.0.0.5" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["the broadcast as the source", { from: "255.255.255.255" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["the subnet's broadcast as the source", { from: "10.0.0.255" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["class E as the source", { from: "240.0.0.1" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["the loopback as the source", { from: "127.0.0.1" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["no source", { from: "0.0.0.0" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["the own address as the source", { from: HOST.address }, { IP_IN_ADDR_ERRORS: 1 }],
    ["somebody else as the destination", { to: "10.0.0.9" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["the loopback as the destination", { to: "127.0.0.1" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["no destination", { to: "0.0.0.0" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["class E as the destination", { to: "240.0.0.1" }, { IP_IN_ADDR_ERRORS: 1 }],
    ["a group that nobody joined as the destination", { to: "224.1.2.3" }, { IP_IN_ADDR_ERRORS: 1 }],
  ];
  for (const [what, fields, expected] of refused) {
    it(`drops and counts one with ${what}`, () => {
      const { h, fd } = listening();
      const changes = h.counting(() => h.receive(datagram(fields)));
      expect(changes).to.deep.include({ IP_IN_RECEIVES: 1, ...expected });
      expect(changes).not.to.have.property("IP_IN_DELIVERS");
      h.expectSilence();
      expect(h.text(fd)).to.equal("EAGAIN");
    });
  }

  it("drops what is shorter than a header, whatever the length", () => {
    const { h } = listening();
    for (let length = 0; length < 20; length++) h.receive(ether(datagram().bytes().subarray(0, length)));
    expect(h.counter("IP_IN_TRUNCATED")).to.equal(20);
  });

  it("cuts what Ethernet padded to 60 bytes", () => {
    const { h, fd } = listening();
    h.receive(ether({ pad: 60 }, datagram()));
    expect(h.text(fd)).to.equal("ping");
  });

  it("cuts padding that spans mbufs", () => {
    const { h, fd } = listening();
    h.receive(ether({ pad: 90 }, datagram()), { split: [44, 20] });
    expect(h.text(fd)).to.equal("ping");
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("takes a NIC's word about the header's checksum", () => {
    const { h, fd } = listening();
    h.receive(datagram({ checksum: 0x1234 }), { flags: RX_IP_GOOD });
    expect(h.text(fd)).to.equal("ping");
    h.receive(datagram(), { flags: RX_IP_BAD });
    expect(h.counter("IP_IN_CSUM_ERRORS")).to.equal(1);
  });

  it("answers an unknown protocol with an error (RFC 1122 3.2.2.1)", () => {
    const h = stackHarness();
    h.receive(ipv4({ protocol: 99 }, "?"));
    h.expectSent({ icmp: { type: 3, code: 2, rest: 0 }, quoted: { ip: { protocol: 99 } } });
    expect(h.counter("IP_IN_UNKNOWN_PROTOS")).to.equal(1);
  });
});

describe("IPv4: broadcasts", () => {
  it("takes the limited and the subnet's broadcast", () => {
    const { h, fd } = listening();
    for (const to of ["255.255.255.255", "10.0.0.255"]) {
      h.receive(ether({ to: BROADCAST_MAC }, datagram({ to }, to)));
      expect(h.text(fd)).to.equal(to);
    }
  });

  it("takes a datagram without a source when it is a broadcast (DHCP)", () => {
    const { h, fd } = listening();
    h.receive(ether({ to: BROADCAST_MAC }, datagram({ from: 0, to: "255.255.255.255" })));
    expect(h.text(fd)).to.equal("ping");
  });

  it("drops a unicast datagram in a broadcast frame (RFC 1122 3.3.6)", () => {
    const { h, fd } = listening();
    h.receive(ether({ to: BROADCAST_MAC }, datagram()));
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.counter("IP_IN_DISCARDS")).to.equal(1);
    h.expectSilence();
  });

  it("does not let TCP answer a broadcast (RFC 9293 MUST-57)", () => {
    const h = stackHarness();
    h.receive(ether({ to: BROADCAST_MAC }, ipv4({ to: "10.0.0.255" }, tcp({ flags: "S" }))));
    h.expectSilence();
    expect(h.counter("IP_IN_DISCARDS")).to.equal(1);
    expect(h.counter("TCP_IN_SEGS")).to.equal(0);
  });
});

describe("IPv4: options (RFC 1122 3.2.1.8)", () => {
  const fine: [string, number[]][] = [
    ["no operation and the end", [1, 1, 1, 0]],
    ["record route", [7, 7, 4, 0, 0, 0, 0, 0]],
    ["a timestamp", [68, 8, 5, 0, 0, 0, 0, 0]],
    ["router alert", [148, 4, 0, 0]],
    ["one that nobody knows", [77, 6, 1, 2, 3, 4, 1, 0]],
    ["40 bytes of them", [...Array<number>(39).fill(1), 0]],
    ["garbage behind the end", [0, 255, 255, 255]],
  ];
  for (const [what, options] of fine) {
    it(`skips ${what}`, () => {
      const { h, fd } = listening();
      h.receive(datagram({ options }));
      expect(h.text(fd)).to.equal("ping");
    });
  }

  const wrong: [string, number[], number][] = [
    ["a length of 0", [7, 0, 4, 0], 20],
    ["a length of 1", [1, 7, 1, 0], 21],
    ["a length beyond the header", [1, 1, 7, 3], 22],
    ["no place for its length", [1, 1, 1, 7], 23],
  ];
  for (const [what, options, pointer] of wrong) {
    it(`refuses an option with ${what}, and says where it is`, () => {
      const { h, fd } = listening();
      h.receive(datagram({ options }));
      expect(h.text(fd)).to.equal("EAGAIN");
      h.expectSent({ icmp: { type: 12, code: 0, rest: pointer * 2 ** 24 } });
      expect(h.counter("IP_IN_HDR_ERRORS")).to.equal(1);
    });
  }

  for (const type of [131, 137]) {
    it(`refuses source routes (${type})`, () => {
      const { h, fd } = listening();
      h.receive(datagram({ options: [type, 7, 4, 10, 0, 0, 9, 0] }));
      expect(h.text(fd)).to.equal("EAGAIN");
      expect(h.counter("IP_IN_HDR_ERRORS")).to.equal(1);
      h.expectSilence();
    });
  }
});

describe("IPv4: datagrams out", () => {
  it("numbers them, so that none repeats an identification soon (RFC 6864)", () => {
    const h = stackHarness();
    const fd = h.udp();
    for (let i = 0; i < 200; i++) h.send(fd, "x", "10.0.0.2:9");
    const ids = h.sent().map((packet) => packet.ip!.id);
    expect(new Set(ids)).to.have.length(200);
  });

  it("starts the numbers of destinations at values that the secret decides", () => {
    const first = (seed: number): number => {
      const h = stackHarness({ seed });
      h.send(h.udp(), "x", "10.0.0.2:9");
      return h.sentOne().ip!.id;
    };
    expect(new Set([1, 2, 3, 4, 5].map(first)).size).to.be.greaterThan(1);
    expect(first(1)).to.equal(first(1));
  });

  it("sends nothing without a route", () => {
    const h = stackHarness();
    expect(h.send(h.udp(), "x", "192.0.2.1:9")).to.equal(-ENETUNREACH);
    h.expectSilence();
  });
});

describe("IPv4: routes", () => {
  it("takes the longest prefix, then the default", () => {
    const h = stackHarness({ gateway: "10.0.0.2", more: [{}] });
    h.ok(h.core.routeAdd(ip("192.168.0.0"), ip("255.255.0.0"), 0, 2));
    h.ok(h.core.routeAdd(ip("192.168.5.0"), ip("255.255.255.0"), ip("10.0.0.2"), 0));
    const fd = h.udp();
    h.send(fd, "1", "192.168.5.5:9");
    h.send(fd, "2", "192.168.6.5:9");
    h.send(fd, "3", "8.8.8.8:9");
    expect(h.sent().map((packet) => packet.ip!.to)).to.deep.equal(["192.168.5.5", "8.8.8.8"]);
    h.expectSent({ arp: { target: "192.168.6.5", sender: "10.0.1.1" } }, 2);
  });

  it("sends from the address of the interface", () => {
    const h = stackHarness({ more: [{}] });
    h.core.arpAdd(ip("10.0.1.9"), 2, 9);
    h.send(h.udp(), "x", "10.0.1.9:9");
    h.expectSent({ ip: { from: "10.0.1.1" } }, 2);
  });

  it("refuses masks with holes, destinations outside their mask, a second route, a gateway that is nowhere", () => {
    const h = stackHarness();
    const add = (to: string, mask: string, by: string, netif = 0): number =>
      h.core.routeAdd(ip(to), ip(mask), ip(by), netif);
    expect(add("10.1.0.0", "255.0.255.0", "10.0.0.2")).to.equal(-22);
    expect(add("10.1.0.1", "255.255.0.0", "10.0.0.2")).to.equal(-22);
    expect(add("10.1.0.0", "255.255.0.0", "172.16.0.1")).to.equal(-ENETUNREACH);
    expect(add("10.1.0.0", "255.255.0.0", "10.0.0.2", 9)).to.equal(-22);
    expect(add("10.1.0.0", "255.255.0.0", "10.0.0.2")).to.equal(0);
    expect(add("10.1.0.0", "255.255.0.0", "10.0.0.3")).to.equal(-17);
    expect(h.core.routeRemove(ip("10.1.0.0"), ip("255.255.0.0"))).to.equal(0);
    expect(h.core.routeRemove(ip("10.1.0.0"), ip("255.255.0.0"))).to.equal(-2);
  });

  it("is full with 64, and says so", () => {
    const h = stackHarness();
    for (let i = 1; i < 64; i++) h.ok(h.core.routeAdd(ip(`20.${i}.0.0`), ip("255.255.0.0"), ip("10.0.0.2"), 0));
    expect(h.core.routeAdd(ip("30.0.0.0"), ip("255.0.0.0"), ip("10.0.0.2"), 0)).to.equal(-105);
  });

  it("goes a new way as soon as a route changes, on a connected socket too", () => {
    const h = stackHarness({ gateway: "10.0.0.2", more: [{}] });
    const fd = h.udp({ connect: "192.168.6.5:9" });
    h.send(fd, "x");
    h.expectSent({ ip: { to: "192.168.6.5" } });
    h.ok(h.core.routeAdd(ip("192.168.0.0"), ip("255.255.0.0"), 0, 2));
    h.send(fd, "x");
    h.expectSilence();
    h.expectSent({ arp: { target: "192.168.6.5" } }, 2);
  });

  it("takes an address away with its routes", () => {
    const h = stackHarness();
    h.ok(h.core.netifSetAddress(1, 0, 0));
    expect(h.send(h.udp(), "x", "10.0.0.2:9")).to.equal(-ENETUNREACH);
    h.receive(datagram());
    expect(h.counter("IP_IN_ADDR_ERRORS")).to.equal(1);
  });
});

describe("IPv4: the loopback", () => {
  for (const address of ["127.0.0.1", "127.1.2.3", HOST.address]) {
    it(`delivers what is sent to ${address}, and nothing of it reaches the NIC`, () => {
      const { h, fd } = listening();
      h.send(h.udp(), "self", `${address}:7`);
      h.poll();
      expect(h.receiveFrom(fd)).to.deep.include({ to: address, netif: 1 });
      h.expectSilence();
      expect(h.pools()).to.deep.equal({ SOCKET: 2 });
    });
  }

  it("delivers datagrams of any size", () => {
    const { h, fd } = listening();
    const data = pattern(65507);
    expect(h.send(h.udp(), data, "127.0.0.1:7")).to.equal(65507);
    h.poll();
    const received = h.receiveFrom(fd);
    expect(typeof received !== "string" && Buffer.from(received.data).equals(data)).to.be.true;
    expect(h.pools()).to.deep.equal({ SOCKET: 2 });
  });

  it("brings back the error when nobody listens", () => {
    const h = stackHarness();
    const fd = h.udp({ connect: "127.0.0.1:9" });
    h.send(fd, "x");
    h.poll();
    expect(h.text(fd)).to.equal("ECONNREFUSED");
  });

  it("has a limit of 512 packets between two polls, and counts what comes on top", () => {
    const h = stackHarness({ sizes: { CFG_MBUFS: 1024 } });
    const fd = h.udp();
    for (let i = 0; i < 600; i++) h.send(fd, "x", "127.0.0.1:9");
    expect(h.counter("ETH_OUT_QUEUE_DROPS")).to.equal(88);
    h.poll();
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });
});

describe("IPv4: forwarding (RFC 1812 5.2)", () => {
  const AWAY = { address: "10.0.1.9", mac: "02:00:00:00:00:09" };

  function router(mtu = 1500): StackHarness {
    const h = stackHarness({ forwarding: true, more: [{ mtu }] });
    h.ok(h.core.arpAdd(ip(AWAY.address), 0x0200, 0x09));
    return h;
  }

  it("sends a datagram on with its TTL lowered and its checksum right", () => {
    const h = router();
    h.receive(datagram({ to: AWAY.address, ttl: 7, tos: 0x2e, id: 99, df: true }));
    h.expectSent(
      {
        ether: { to: AWAY.mac, from: "02:00:00:00:01:01" },
        ip: { from: PEER.address, to: AWAY.address, ttl: 6, tos: 0x2e, id: 99, df: true },
      },
      2,
    );
    h.expectSilence(1);
    expect(h.counter("IP_FORW_DATAGRAMS")).to.equal(1);
    expect(h.pools()).to.deep.equal({});
  });

  it("keeps options and what they carry", () => {
    const h = router();
    h.receive(datagram({ to: AWAY.address, options: [148, 4, 0, 0] }));
    expect(h.sentOne(2).ip!.options).to.deep.equal([148, 4, 0, 0]);
  });

  it("lets it wait for the neighbour's address, and says that the host is unreachable when there is no answer", () => {
    const h = router();
    h.receive(datagram({ to: "10.0.1.77" }));
    h.expectSent({ arp: { target: "10.0.1.77" } }, 2);
    h.advance(3000);
    h.expectSent({ ip: { to: PEER.address }, icmp: { type: 3, code: 1 }, quoted: { ip: { to: "10.0.1.77" } } });
    expect(h.pools()).to.deep.equal({});
  });

  for (const ttl of [0, 1]) {
    it(`drops one with TTL ${ttl} and says so`, () => {
      const h = router();
      h.receive(datagram({ to: AWAY.address, ttl }));
      h.expectSent({ ip: { from: HOST.address }, icmp: { type: 11, code: 0 }, quoted: { ip: { ttl } } });
      h.expectSilence(2);
      expect(h.counter("IP_IN_HDR_ERRORS")).to.equal(1);
    });
  }

  it("says that a network without a route is unreachable", () => {
    const h = router();
    h.receive(datagram({ to: "192.0.2.1" }));
    h.expectSent({ icmp: { type: 3, code: 0 } });
    expect(h.counter("IP_OUT_NO_ROUTES")).to.equal(1);
  });

  it("tells the MTU of the next link when a datagram must not be cut (RFC 1191)", () => {
    const h = router(600);
    h.receive(ipv4({ to: AWAY.address, df: true }, udp({}, pattern(1000))));
    h.expectSent({ icmp: { type: 3, code: 4, rest: 600 } });
    h.expectSilence(2);
    expect(h.counter("IP_FRAG_FAILS")).to.equal(1);
  });

  it("cuts a datagram for a smaller link", () => {
    const h = router(600);
    h.receive(ipv4({ to: AWAY.address, id: 5, ttl: 9 }, udp({}, pattern(1000))));
    const cut = h.sent(2).map(({ ip: header }) => header!);
    expect(cut.map(({ total, offset, mf }) => [total, offset, mf])).to.deep.equal([
      [596, 0, true],
      [20 + 1008 - 576, 576, false],
    ]);
    for (const header of cut) expect(header).to.include({ id: 5, ttl: 8, df: false });
    expect(h.pools()).to.deep.equal({});
  });

  it("cuts a fragment again, in the middle of its datagram", () => {
    const h = router(600);
    h.receive(ipv4({ to: AWAY.address, offset: 800, mf: true, protocol: 17 }, pattern(800)));
    const cut = h.sent(2).map(({ ip: header }) => header!);
    expect(cut.map(({ offset, mf }) => [offset, mf])).to.deep.equal([
      [800, true],
      [800 + 576, true],
    ]);
  });

  it("carries in later fragments only the options that say so (RFC 791 3.1)", () => {
    const h = router(600);
    const options = [68, 8, 5, 0, 0, 0, 0, 0, 148, 4, 0, 0];
    h.receive(ipv4({ to: AWAY.address, options }, udp({}, pattern(1000))));
    const cut = h.sent(2).map((packet) => packet.ip!.options);
    expect(cut).to.deep.equal([options, [1, 1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0]]);
  });

  it("forwards neither multicasts, broadcasts, loopback addresses nor class E", () => {
    const h = router();
    for (const to of ["224.5.5.5", "127.0.0.5", "240.0.0.1", "0.1.2.3"]) h.receive(datagram({ to }));
    h.receive(ether({ to: BROADCAST_MAC }, datagram({ to: AWAY.address })));
    h.expectSilence(1);
    h.expectSilence(2);
    expect(h.counter("IP_FORW_DATAGRAMS")).to.equal(0);
  });

  it("answers at the address of its other interface too (weak host model)", () => {
    const h = router();
    h.receive(ipv4({ to: "10.0.1.1" }, echo()));
    h.expectSent({ ip: { from: "10.0.1.1" }, icmp: { type: 0 } });
  });

  it("forwards nothing unless it is told to", () => {
    const h = stackHarness({ more: [{}] });
    h.receive(datagram({ to: AWAY.address }));
    h.expectSilence(2);
    expect(h.counter("IP_IN_ADDR_ERRORS")).to.equal(1);
  });
});

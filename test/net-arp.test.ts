// ARP: answering, resolving with packets that wait, the neighbour states, limits, conflicts, probing.
// Read first: RFC 826, RFC 5227; RFC 4861 section 7.3.2 for the states.

import { expect } from "chai";
import {
  ADDRESS_ASSIGNED,
  ADDRESS_CONFLICT,
  ADDRESS_PROBING,
  ARP_DELAY,
  ARP_INCOMPLETE,
  ARP_PERMANENT,
  ARP_PROBE,
  ARP_REACHABLE,
  ARP_STALE,
  IPPROTO_IP,
  IP_RECVERR,
} from "../assembly/layout.ts";
import {
  arp,
  arpReply,
  arpRequest,
  BROADCAST_MAC,
  ether,
  HOST,
  ip,
  ipv4,
  mac,
  PEER,
  udp,
  ZERO_MAC,
} from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";

const REQUEST = {
  ether: { to: BROADCAST_MAC, from: HOST.mac, type: 0x0806 },
  arp: { operation: 1, senderMac: HOST.mac, sender: HOST.address, targetMac: ZERO_MAC, target: PEER.address },
};
const OTHER = { address: "10.0.0.3", mac: "02:00:00:00:00:03" };

function state(h: StackHarness, address = PEER.address): number | undefined {
  return h.arpTable().find((row) => row.address === address)?.state;
}

/** A stack that has asked for the peer, got an answer, and sent what waited. */
function reachable(): { h: StackHarness; fd: number } {
  const h = stackHarness({ resolved: false });
  const fd = h.udp({ bind: ":7" });
  h.send(fd, "x", "10.0.0.2:9");
  h.expectSent(REQUEST);
  h.receive(arpReply());
  h.expectSent({ ether: { to: PEER.mac } });
  expect(state(h)).to.equal(ARP_REACHABLE);
  return { h, fd };
}

describe("ARP: answering (RFC 826)", () => {
  it("answers a request for the own address, by unicast to who asked", () => {
    const h = stackHarness({ resolved: false });
    h.receive(arpRequest());
    h.expectSent({
      ether: { to: PEER.mac, from: HOST.mac, type: 0x0806 },
      arp: { operation: 2, senderMac: HOST.mac, sender: HOST.address, targetMac: PEER.mac, target: PEER.address },
    });
    expect(h.counter("ARP_IN_REQUESTS")).to.equal(1);
    expect(h.counter("ARP_OUT_REPLIES")).to.equal(1);
  });

  it("answers a request that came by unicast", () => {
    const h = stackHarness({ resolved: false });
    h.receive(ether(arp()));
    h.expectSent({ arp: { operation: 2 } });
  });

  it("says nothing about the addresses of others", () => {
    const h = stackHarness({ resolved: false });
    h.receive(arpRequest({ target: "10.0.0.9" }));
    h.expectSilence();
    expect(h.arpTable()).to.deep.equal([]);
  });

  it("learns who asked, as a neighbour whose address is to be confirmed", () => {
    const h = stackHarness({ resolved: false });
    h.receive(arpRequest());
    expect(h.arpTable()).to.deep.equal([{ address: PEER.address, mac: PEER.mac, state: ARP_STALE, pending: 0 }]);
  });

  it("answers a host of another subnet, but does not learn it", () => {
    const h = stackHarness({ resolved: false });
    h.receive(arpRequest({ sender: "192.168.7.7" }));
    h.expectSent({ arp: { operation: 2, target: "192.168.7.7" } });
    expect(h.arpTable()).to.deep.equal([]);
  });

  it("says nothing while the interface has no address", () => {
    const h = stackHarness({ address: undefined, resolved: false });
    h.receive(arpRequest());
    h.receive(arpRequest({ target: 0 }));
    h.expectSilence();
  });

  const malformed: [string, Parameters<typeof arp>[0]][] = [
    ["another kind of hardware", { hardware: 6 }],
    ["another protocol", { protocol: 0x86dd }],
    ["other address lengths", { lengths: [6, 16] }],
    ["an operation that is neither request nor reply", { operation: 3 }],
    ["a group as the sender's MAC address", { senderMac: BROADCAST_MAC }],
    ["no sender's MAC address", { senderMac: ZERO_MAC }],
    ["a broadcast as the sender's address", { sender: "255.255.255.255" }],
    ["a multicast as the sender's address", { sender: "224.0.0.1" }],
    ["the loopback as the sender's address", { sender: "127.0.0.1" }],
  ];
  for (const [what, fields] of malformed) {
    it(`drops and counts a packet with ${what}`, () => {
      const h = stackHarness({ resolved: false });
      h.receive(ether({ to: BROADCAST_MAC }, arp(fields)));
      h.expectSilence();
      expect(h.counter("ARP_IN_ERRORS")).to.equal(1);
      expect(h.arpTable()).to.deep.equal([]);
    });
  }

  it("drops and counts a packet that is cut", () => {
    const h = stackHarness({ resolved: false });
    for (const length of [0, 1, 27]) h.receive(ether({ type: 0x0806 }, arp().bytes().subarray(0, length)));
    h.expectSilence();
    expect(h.counter("ARP_IN_ERRORS")).to.equal(3);
  });

  it("takes no notice of its own frames that come back", () => {
    const h = stackHarness({ resolved: false });
    h.receive(arpRequest({ senderMac: HOST.mac, sender: HOST.address, target: PEER.address }));
    h.expectSilence();
    expect(h.counter("ARP_CONFLICTS")).to.equal(0);
  });
});

describe("ARP: resolving", () => {
  it("asks, lets the packet wait, sends it when the answer comes", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp();
    h.send(fd, "first", "10.0.0.2:9");
    h.expectSent(REQUEST);
    expect(state(h)).to.equal(ARP_INCOMPLETE);
    h.receive(arpReply());
    const packet = h.expectSent({ ether: { to: PEER.mac, from: HOST.mac }, ip: { to: PEER.address } });
    expect(Buffer.from(packet.payload).toString()).to.equal("first");
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("sends what waited in order, and asks once for all of it", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp();
    for (const text of ["1", "2", "3"]) h.send(fd, text, "10.0.0.2:9");
    h.expectSent(REQUEST);
    h.receive(arpReply());
    expect(h.sent().map((packet) => Buffer.from(packet.payload).toString())).to.deep.equal(["1", "2", "3"]);
  });

  it("keeps at most 64 packets waiting and counts the oldest that make room", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp();
    for (let i = 0; i < 70; i++) h.send(fd, String(i), "10.0.0.2:9");
    expect(h.counter("ARP_PENDING_DROPS")).to.equal(6);
    h.expectSent(REQUEST);
    h.receive(arpReply());
    const sent = h.sent();
    expect(sent).to.have.length(64);
    expect(Buffer.from(sent[0]!.payload).toString()).to.equal("6");
  });

  it("lets the waiting packets of all neighbours together take a quarter of the mbufs", () => {
    const h = stackHarness({ resolved: false, sizes: { CFG_MBUFS: 128 } });
    const fd = h.udp();
    for (let i = 0; i < 60; i++) h.send(fd, "x", `10.0.0.${10 + (i % 3)}:9`);
    expect(h.pools().MBUF).to.be.at.most(32 + 3);
    expect(h.counter("ARP_PENDING_DROPS")).to.be.at.least(28);
  });

  it("is satisfied with a request of the neighbour's (RFC 826: the merge)", () => {
    const h = stackHarness({ resolved: false });
    h.send(h.udp(), "x", "10.0.0.2:9");
    h.expectSent(REQUEST);
    h.receive(arpRequest());
    expect(h.sent().map((packet) => packet.arp?.operation ?? "data")).to.deep.equal(["data", 2]);
  });

  it("repeats the request each second, three in all, then gives up and drops what waits", () => {
    const h = stackHarness({ resolved: false });
    h.send(h.udp(), "x", "10.0.0.2:9");
    h.expectSent(REQUEST);
    h.advance(999);
    h.expectSilence();
    h.advance(1);
    h.expectSent(REQUEST);
    h.advance(1000);
    h.expectSent(REQUEST);
    h.advance(1000);
    h.expectSilence();
    expect(h.counter("ARP_OUT_REQUESTS")).to.equal(3);
    expect(h.counter("ARP_FAILURES")).to.equal(1);
    expect(h.arpTable()).to.deep.equal([]);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("tells a socket that wants to know that the host is unreachable", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp({ connect: "10.0.0.2:9" });
    h.setOption(fd, IPPROTO_IP, IP_RECVERR, 1);
    h.send(fd, "x");
    h.advance(3000);
    expect(h.receiveFrom(fd)).to.equal("EHOSTUNREACH");
  });

  it("asks anew for the next packet after a failure", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp();
    h.send(fd, "x", "10.0.0.2:9");
    h.advance(4000);
    h.sent();
    h.send(fd, "y", "10.0.0.2:9");
    h.expectSent(REQUEST);
    h.receive(arpReply());
    h.expectSent({ ether: { to: PEER.mac } });
  });

  it("asks for the gateway when the destination is elsewhere", () => {
    const h = stackHarness({ resolved: false, gateway: "10.0.0.254" });
    h.send(h.udp(), "x", "192.0.2.1:9");
    h.expectSent({ arp: { target: "10.0.0.254" } });
  });

  it("ignores an answer to a question that it did not ask", () => {
    const h = stackHarness({ resolved: false });
    h.receive(arpReply());
    h.receive(arpRequest({ target: PEER.address })); // gratuitous
    expect(h.arpTable()).to.deep.equal([]);
  });
});

describe("ARP: the states of a neighbour (RFC 4861 7.3.2)", () => {
  it("REACHABLE: sends without asking for 30 s", () => {
    const { h, fd } = reachable();
    h.advance(29_000);
    h.send(fd, "x", "10.0.0.2:9");
    h.expectSent({ ether: { to: PEER.mac }, udp: { to: 9 } });
    expect(state(h)).to.equal(ARP_REACHABLE);
  });

  it("STALE after 30 s: nobody is asked until somebody sends", () => {
    const { h } = reachable();
    h.advance(3_600_000);
    h.expectSilence();
    expect(state(h)).to.equal(ARP_STALE);
  });

  it("STALE: the next packet leaves at once, and starts the DELAY", () => {
    const { h, fd } = reachable();
    h.advance(31_000);
    h.send(fd, "x", "10.0.0.2:9");
    h.expectSent({ ether: { to: PEER.mac }, udp: { to: 9 } });
    expect(state(h)).to.equal(ARP_DELAY);
  });

  it("DELAY: after 5 s the neighbour is asked by unicast; its answer makes it REACHABLE", () => {
    const { h, fd } = reachable();
    h.advance(31_000);
    h.send(fd, "x", "10.0.0.2:9");
    h.sent();
    h.advance(5000);
    h.expectSent({ ether: { to: PEER.mac }, arp: { operation: 1, target: PEER.address } });
    expect(state(h)).to.equal(ARP_PROBE);
    h.receive(arpReply());
    expect(state(h)).to.equal(ARP_REACHABLE);
  });

  it("PROBE: three questions without an answer, then the entry goes; packets flow meanwhile", () => {
    const { h, fd } = reachable();
    h.advance(31_000);
    h.send(fd, "x", "10.0.0.2:9");
    h.sent();
    h.advance(5000);
    h.send(fd, "y", "10.0.0.2:9");
    h.advance(3000);
    const sent = h.sent();
    expect(sent.filter((packet) => packet.arp !== undefined)).to.have.length(3);
    expect(sent.filter((packet) => packet.udp !== undefined)).to.have.length(1);
    expect(h.arpTable()).to.deep.equal([]);
    expect(h.counter("ARP_FAILURES")).to.equal(1);
  });

  it("PROBE: another MAC address in the answer is believed", () => {
    const { h, fd } = reachable();
    h.advance(31_000);
    h.send(fd, "x", "10.0.0.2:9");
    h.advance(5000);
    h.sent();
    h.receive(arpReply({ senderMac: OTHER.mac }));
    expect(h.arpTable()[0]).to.include({ mac: OTHER.mac, state: ARP_REACHABLE });
  });

  it("a clock that jumps by days finds the neighbour STALE, not gone", () => {
    const { h, fd } = reachable();
    h.advance(5 * 86_400_000);
    h.send(fd, "x", "10.0.0.2:9");
    h.expectSent({ ether: { to: PEER.mac }, udp: { to: 9 } });
  });
});

describe("ARP: spoofing and limits", () => {
  it("takes a changed MAC address from a gratuitous packet, as one to be confirmed", () => {
    const { h } = reachable();
    h.advance(2000);
    h.receive(arpRequest({ senderMac: OTHER.mac, target: PEER.address }));
    expect(h.arpTable()[0]).to.include({ mac: OTHER.mac, state: ARP_STALE });
  });

  it("does not let it change twice within a second", () => {
    const { h } = reachable();
    h.advance(2000);
    h.receive(arpRequest({ senderMac: OTHER.mac, target: PEER.address }));
    h.receive(arpRequest({ senderMac: "02:00:00:00:00:66", target: PEER.address }));
    expect(h.arpTable()[0]).to.include({ mac: OTHER.mac });
    h.advance(1000);
    h.receive(arpRequest({ senderMac: "02:00:00:00:00:66", target: PEER.address }));
    expect(h.arpTable()[0]).to.include({ mac: "02:00:00:00:00:66" });
  });

  it("keeps static entries whatever is claimed", () => {
    const h = stackHarness();
    h.receive(arpReply({ senderMac: OTHER.mac }));
    h.receive(arpRequest({ senderMac: OTHER.mac }));
    expect(h.arpTable()).to.deep.equal([{ address: PEER.address, mac: PEER.mac, state: ARP_PERMANENT, pending: 0 }]);
    h.advance(3_600_000);
    expect(h.arpTable()).to.have.length(1);
  });

  it("lets neighbours that ask take half of the cache at most, and answers them all", () => {
    const h = stackHarness({ resolved: false, address: "10.0.0.1/16" });
    for (let i = 0; i < 100; i++) h.receive(arpRequest({ sender: `10.0.7.${i + 1}`, senderMac: OTHER.mac }));
    expect(h.arpTable()).to.have.length(8);
    expect(h.sent()).to.have.length(100);
    expect(h.counter("ARP_EVICTIONS")).to.equal(92);
  });

  it("does not let them push out neighbours that are in use", () => {
    const { h } = reachable();
    for (let i = 0; i < 100; i++) h.receive(arpRequest({ sender: `10.0.0.${i + 10}`, senderMac: OTHER.mac }));
    expect(state(h)).to.equal(ARP_REACHABLE);
  });

  it("gives the place of the neighbour that was used longest ago to a new one; static ones stay", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp();
    h.core.arpAdd(ip("10.0.0.200"), 0x0200, 0x09);
    for (let i = 0; i < 16; i++) {
      h.send(fd, "x", `10.0.0.${i + 10}:9`);
      h.receive(arpReply({ sender: `10.0.0.${i + 10}` }));
      h.advance(10);
    }
    const addresses = h.arpTable().map((row) => row.address);
    expect(addresses).to.have.length(16);
    expect(addresses).to.include("10.0.0.200");
    expect(addresses).not.to.include("10.0.0.10");
    expect(addresses).to.include("10.0.0.25");
    expect(h.counter("ARP_EVICTIONS")).to.equal(1);
  });

  it("counts the packets that an evicted neighbour's entry held", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp();
    for (let i = 0; i < 17; i++) {
      h.send(fd, "x", `10.0.0.${i + 10}:9`);
      h.advance(1);
    }
    expect(h.counter("ARP_EVICTIONS")).to.equal(1);
    expect(h.counter("ARP_PENDING_DROPS")).to.equal(1);
    h.advance(5000);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("refuses a static entry that is on no subnet, removes one on demand", () => {
    const h = stackHarness();
    expect(h.core.arpAdd(ip("192.168.1.1"), 0, 1)).to.be.lessThan(0);
    expect(h.core.arpRemove(ip(PEER.address))).to.equal(0);
    expect(h.core.arpRemove(ip(PEER.address))).to.be.lessThan(0);
    expect(h.arpTable()).to.deep.equal([]);
  });

  it("forgets its neighbours when the interface's address changes", () => {
    const { h } = reachable();
    h.ok(h.core.netifSetAddress(1, ip("10.9.0.1"), ip("255.255.0.0")));
    expect(h.arpTable()).to.deep.equal([]);
    h.expectSent({ arp: { sender: "10.9.0.1", target: "10.9.0.1" } });
  });
});

describe("ARP: the own address (RFC 5227)", () => {
  const CLAIM = { senderMac: OTHER.mac, sender: HOST.address, target: HOST.address };

  it("announces an address when it is set", () => {
    const h = stackHarness({ address: undefined, resolved: false });
    h.ok(h.core.netifSetAddress(1, ip(HOST.address), ip("255.255.255.0")));
    h.expectSent({
      ether: { to: BROADCAST_MAC },
      arp: { operation: 1, sender: HOST.address, target: HOST.address, senderMac: HOST.mac },
    });
  });

  it("counts a host with the same address and defends it once in 10 s", () => {
    const h = stackHarness();
    h.receive(arpRequest(CLAIM));
    h.expectSent({ arp: { sender: HOST.address, target: HOST.address, senderMac: HOST.mac } });
    h.receive(arpRequest(CLAIM));
    h.advance(9999);
    h.receive(arpReply(CLAIM));
    h.expectSilence();
    h.advance(1);
    h.receive(arpRequest(CLAIM));
    h.expectSent({ arp: { sender: HOST.address } });
    expect(h.counter("ARP_CONFLICTS")).to.equal(4);
  });

  it("answers the probe of a host that would like the address", () => {
    const h = stackHarness();
    h.receive(arpRequest({ senderMac: OTHER.mac, sender: 0, target: HOST.address }));
    h.expectSent({ ether: { to: OTHER.mac }, arp: { operation: 2, sender: HOST.address, target: "0.0.0.0" } });
    expect(h.arpTable()).to.have.length(1); // the static peer
  });

  it("probes three times before it takes an address, then announces it twice", () => {
    const h = stackHarness({ address: undefined, resolved: false });
    h.ok(h.core.arpProbe(1, ip(HOST.address), ip("255.255.255.0")));
    expect(h.core.arpAddressState(1)).to.equal(ADDRESS_PROBING);
    h.advance(10_000);
    const sent = h.sent().map((packet) => packet.arp!);
    expect(sent.map((packet) => packet.sender)).to.deep.equal([
      "0.0.0.0",
      "0.0.0.0",
      "0.0.0.0",
      HOST.address,
      HOST.address,
    ]);
    expect(sent.every((packet) => packet.target === HOST.address && packet.operation === 1)).to.be.true;
    expect(h.core.arpAddressState(1)).to.equal(ADDRESS_ASSIGNED);
    expect(h.counter("ARP_OUT_PROBES")).to.equal(3);
    expect(h.counter("ARP_OUT_ANNOUNCEMENTS")).to.equal(2);
  });

  it("keeps the probes 1 to 2 s apart and waits 2 s after the last", () => {
    const h = stackHarness({ address: undefined, resolved: false });
    h.ok(h.core.arpProbe(1, ip(HOST.address), ip("255.255.255.0")));
    const times: number[] = [];
    for (let i = 0; i < 1200; i++) {
      h.advance(10);
      if (h.sent().length > 0) times.push(h.now);
    }
    const gaps = times.slice(1).map((time, i) => time - times[i]!);
    expect(gaps).to.have.length(4);
    for (const gap of gaps.slice(0, 2)) expect(gap).to.be.within(990, 2010);
    for (const gap of gaps.slice(2)) expect(gap).to.be.within(1990, 2010);
  });

  it("stops probing when an address is set meanwhile", () => {
    const h = stackHarness({ address: undefined, resolved: false });
    h.ok(h.core.arpProbe(1, ip(HOST.address), ip("255.255.255.0")));
    h.ok(h.core.netifSetAddress(1, ip("10.0.0.9"), ip("255.255.255.0")));
    h.expectSent({ arp: { sender: "10.0.0.9" } });
    h.advance(20_000);
    h.expectSilence();
    expect(h.core.arpProbe(1, ip(HOST.address), ip("255.255.255.0"))).to.equal(-16);
  });

  const objections: [string, ReturnType<typeof arpRequest>][] = [
    ["another host has it", arpReply({ senderMac: OTHER.mac, sender: HOST.address })],
    ["another host probes for it too", arpRequest({ senderMac: OTHER.mac, sender: 0, target: HOST.address })],
  ];
  for (const [what, frame] of objections) {
    it(`does not take an address when ${what}`, () => {
      const h = stackHarness({ address: undefined, resolved: false });
      h.ok(h.core.arpProbe(1, ip(HOST.address), ip("255.255.255.0")));
      h.advance(2500);
      h.receive(frame);
      expect(h.core.arpAddressState(1)).to.equal(ADDRESS_CONFLICT);
      h.sent();
      h.advance(20_000);
      h.expectSilence();
      expect(h.counter("ARP_CONFLICTS")).to.equal(1);
    });
  }
});

describe("Ethernet", () => {
  it("takes frames to its address and to groups, counts those for others", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":7" });
    h.receive(ether({ to: "02:00:00:00:00:99" }, ipv4(udp({ to: 7 }, "no"))));
    h.receive(ether({ to: "33:33:00:00:00:01" }, ipv4(udp({ to: 7 }, "no"))));
    h.receive(ether(ipv4(udp({ to: 7 }, "yes"))));
    expect(h.text(fd)).to.equal("yes");
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.counter("ETH_IN_OTHER_HOST")).to.equal(2);
  });

  it("drops frames that are too short, from a group, or of an unknown type", () => {
    const h = stackHarness();
    const changes = h.counting(() => {
      for (const length of [0, 1, 13]) h.receive(new Uint8Array(length));
      h.receive(ether({ from: BROADCAST_MAC }, ipv4("x")));
      h.receive(ether({ type: 0x86dd }, "x"));
      h.receive(ether({ type: 0x8100 }, [0, 5, 8, 0, ...ipv4("x").bytes()])); // a VLAN tag that was not stripped
      h.receive(ether({ type: 60 }, "802.3"));
    });
    expect(changes).to.deep.equal({
      ETH_IN_FRAMES: 7,
      ETH_IN_BYTES: 0 + 1 + 13 + 35 + 15 + 39 + 19,
      ETH_IN_ERRORS: 4,
      ETH_IN_UNKNOWN: 3,
    });
    expect(h.pools()).to.deep.equal({});
  });

  it("writes its own address as the source", () => {
    const h = stackHarness({ mac: "0a:1b:2c:3d:4e:5f" });
    h.send(h.udp(), "x", "10.0.0.2:9");
    const { frame } = h.sentOne();
    expect([...frame.subarray(6, 12)]).to.deep.equal([...mac("0a:1b:2c:3d:4e:5f")]);
  });
});

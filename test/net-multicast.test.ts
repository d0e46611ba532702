// Multicast: joining, what is received, what is sent, and IGMP version 2 towards the routers.
// Read first: RFC 1112; RFC 2236; ip(7) for the socket options.

import { expect } from "chai";
import {
  EADDRNOTAVAIL,
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IPPROTO_IP,
} from "../assembly/layout.ts";
import { ether, groupMac, HOST, igmp, ip, ipv4, type Layer, pattern, udp } from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";

const GROUP = "239.1.2.3";
const QUERY = 0x11;
const V1_REPORT = 0x12;
const V2_REPORT = 0x16;
const LEAVE = 0x17;

function mreq(group: string, address = "0.0.0.0"): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ip(group));
  view.setUint32(4, ip(address));
  return bytes;
}

function join(h: StackHarness, fd: number, group = GROUP, address?: string): number {
  return h.setOption(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, mreq(group, address));
}

function leave(h: StackHarness, fd: number, group = GROUP): number {
  return h.setOption(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, mreq(group));
}

function toGroup(text: string, group = GROUP): Layer {
  return ether({ to: groupMac(group) }, ipv4({ to: group, ttl: 1 }, udp({ to: 7 }, text)));
}

/** A query of a router's: about all groups, or one. */
function query(maxResponse: number, group?: string): Layer {
  const to = group ?? "224.0.0.1";
  const fields = { type: QUERY, maxResponse, ...(group === undefined ? {} : { group }) };
  return ether({ to: groupMac(to) }, ipv4({ to, ttl: 1, options: [148, 4, 0, 0] }, igmp(fields)));
}

/** A stack with a socket on port 7 that has joined the group, its reports done. */
function joined(): { h: StackHarness; fd: number } {
  const h = stackHarness();
  const fd = h.udp({ bind: ":7" });
  h.ok(join(h, fd));
  h.advance(20_000);
  h.sent();
  return { h, fd };
}

describe("multicast: receiving (RFC 1112)", () => {
  it("takes a group's datagrams while a socket has joined it", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":7" });
    h.receive(toGroup("before"));
    h.ok(join(h, fd));
    h.receive(toGroup("during"));
    h.ok(leave(h, fd));
    h.receive(toGroup("after"));
    expect(h.text(fd)).to.equal("during");
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.counter("IP_IN_ADDR_ERRORS")).to.equal(2);
  });

  it("looks at the whole group's address, not only at the 23 bits in the frame's", () => {
    const { h, fd } = joined();
    h.receive(toGroup("alias", "238.129.2.3"));
    expect(groupMac("238.129.2.3")).to.equal(groupMac(GROUP));
    expect(h.text(fd)).to.equal("EAGAIN");
  });

  it("gives one to every socket that fits", () => {
    const h = stackHarness();
    const fds = ["0.0.0.0", GROUP, HOST.address].map((address) => {
      const fd = h.udp();
      h.ok(h.setOption(fd, 1, 2, 1)); // SO_REUSEADDR
      h.ok(h.core.bind(fd, ip(address), 7));
      return fd;
    });
    h.ok(join(h, fds[0]!));
    h.receive(toGroup("all"));
    expect(fds.map((fd) => h.text(fd))).to.deep.equal(["all", "all", "EAGAIN"]);
  });

  it("counts memberships: the group is left with the last", () => {
    const h = stackHarness();
    const [a, b] = [h.udp({ bind: ":7" }), h.udp()];
    h.ok(join(h, a));
    h.ok(join(h, b));
    h.ok(leave(h, b));
    h.receive(toGroup("still"));
    expect(h.text(a)).to.equal("still");
    expect(leave(h, b)).to.equal(-EADDRNOTAVAIL);
  });

  it("leaves on close, and gives everything back", () => {
    const { h, fd } = joined();
    h.core.close(fd);
    h.expectSent({ igmp: { type: LEAVE, group: GROUP } });
    expect(h.pools()).to.deep.equal({});
  });

  it("has all systems joined always", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":7" });
    h.receive(toGroup("all systems", "224.0.0.1"));
    expect(h.text(fd)).to.equal("all systems");
  });

  it("drops one whose source is a group", () => {
    const { h, fd } = joined();
    h.receive(ether({ to: groupMac(GROUP) }, ipv4({ from: GROUP, to: GROUP }, udp({ to: 7 }, "x"))));
    expect(h.text(fd)).to.equal("EAGAIN");
  });
});

describe("multicast: sending", () => {
  it("goes to the group's MAC address, with TTL 1 by default, without asking for a neighbour", () => {
    const h = stackHarness();
    h.send(h.udp(), "x", `${GROUP}:7`);
    h.expectSent({ ether: { to: groupMac(GROUP) }, ip: { from: HOST.address, to: GROUP, ttl: 1 } });
  });

  it("has the TTL of IP_MULTICAST_TTL; 0 stays on this host", () => {
    const { h, fd } = joined();
    h.ok(h.setOption(fd, IPPROTO_IP, IP_MULTICAST_TTL, 5));
    h.send(fd, "out", `${GROUP}:7`);
    h.expectSent({ ip: { ttl: 5 } });
    h.ok(h.setOption(fd, IPPROTO_IP, IP_MULTICAST_TTL, 0));
    h.send(fd, "in", `${GROUP}:7`);
    h.expectSilence();
    expect([h.text(fd), h.text(fd)]).to.deep.equal(["out", "in"]);
  });

  it("comes back to members on this host, unless IP_MULTICAST_LOOP is off", () => {
    const { h, fd } = joined();
    const sender = h.udp();
    h.send(sender, "loop", `${GROUP}:7`);
    h.sent();
    expect(h.receiveFrom(fd)).to.deep.include({ from: HOST.address, to: GROUP, netif: 2 });
    h.ok(h.setOption(sender, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
    h.send(sender, "no loop", `${GROUP}:7`);
    h.sent();
    expect(h.text(fd)).to.equal("EAGAIN");
  });

  it("comes back whole when it is larger than the MTU", () => {
    const { h, fd } = joined();
    h.send(fd, pattern(5000), `${GROUP}:7`);
    expect(h.sent()).to.have.length(4);
    const received = h.receiveFrom(fd);
    expect(typeof received !== "string" && Buffer.from(received.data).equals(pattern(5000))).to.be.true;
  });

  it("takes the interface of IP_MULTICAST_IF, of the bound address, or of the route", () => {
    const h = stackHarness({ more: [{}] });
    const fd = h.udp();
    h.send(fd, "x", `${GROUP}:7`);
    h.expectSent({ ip: { from: HOST.address } }, 1);
    h.ok(h.setOption(fd, IPPROTO_IP, IP_MULTICAST_IF, Uint8Array.of(10, 0, 1, 1)));
    h.send(fd, "x", `${GROUP}:7`);
    h.expectSent({ ip: { from: "10.0.1.1" } }, 2);
    h.expectSilence(1);
    h.send(h.udp({ bind: "10.0.1.1:0" }), "x", `${GROUP}:7`);
    h.expectSent({ ip: { from: "10.0.1.1" } }, 2);
  });
});

describe("IGMP (RFC 2236)", () => {
  it("reports a new membership at once and once more within 10 s, with TTL 1 and the router alert", () => {
    const h = stackHarness();
    h.ok(join(h, h.udp()));
    h.expectSent({
      ether: { to: groupMac(GROUP) },
      ip: { from: HOST.address, to: GROUP, ttl: 1, options: [148, 4, 0, 0] },
      igmp: { type: V2_REPORT, maxResponse: 0, group: GROUP },
    });
    h.advance(10_001);
    h.expectSent({ igmp: { type: V2_REPORT } });
    h.advance(3_600_000);
    h.expectSilence();
    expect(h.counter("IGMP_OUT_REPORTS")).to.equal(2);
  });

  it("never reports all systems, nor what is joined on the loopback", () => {
    const h = stackHarness();
    const fd = h.udp();
    h.ok(join(h, fd, "224.0.0.1"));
    h.ok(join(h, fd, GROUP, "127.0.0.1"));
    h.advance(20_000);
    h.expectSilence();
  });

  it("answers a general query for every group, within the time that it gives", () => {
    const { h, fd } = joined();
    h.ok(join(h, fd, "239.9.9.9"));
    h.advance(20_000);
    h.sent();
    h.receive(query(100));
    h.advance(10_001);
    expect(
      h
        .sent()
        .map((packet) => packet.igmp!.group)
        .sort(),
    ).to.deep.equal([GROUP, "239.9.9.9"]);
  });

  it("answers a query about a group for that group", () => {
    const { h, fd } = joined();
    h.ok(join(h, fd, "239.9.9.9"));
    h.advance(20_000);
    h.sent();
    h.receive(query(10, GROUP));
    h.advance(1001);
    h.expectSent({ igmp: { group: GROUP } });
    h.receive(query(10, "239.7.7.7"));
    h.advance(1001);
    h.expectSilence();
  });

  it("does not let a later query with more time put an answer off", () => {
    const { h } = joined();
    for (let i = 0; i < 20; i++) {
      h.receive(query(10));
      h.receive(query(255));
      h.advance(1001);
      h.expectSent({ igmp: { group: GROUP } });
    }
  });

  it("spreads its answers: not all groups at once", () => {
    const h = stackHarness();
    const fd = h.udp();
    for (let i = 0; i < 10; i++) h.ok(join(h, fd, `239.1.1.${i}`));
    h.advance(20_000);
    h.sent();
    h.receive(query(100));
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      h.advance(100);
      times.push(...h.sent().map(() => h.now));
    }
    expect(times).to.have.length(10);
    expect(new Set(times).size).to.be.greaterThan(5);
  });

  it("is silent when another host reports first, and does not tell when it leaves", () => {
    const { h, fd } = joined();
    h.receive(query(100));
    h.receive(ether({ to: groupMac(GROUP) }, ipv4({ to: GROUP, ttl: 1 }, igmp({ type: V2_REPORT, group: GROUP }))));
    h.advance(10_001);
    h.expectSilence();
    h.ok(leave(h, fd));
    h.expectSilence();
  });

  it("tells the routers that it leaves", () => {
    const { h, fd } = joined();
    h.ok(leave(h, fd));
    h.expectSent({ ip: { to: "224.0.0.2", ttl: 1 }, igmp: { type: LEAVE, group: GROUP } });
    expect(h.counter("IGMP_OUT_LEAVES")).to.equal(1);
  });

  it("speaks version 1 while a router of that version is there, 400 s", () => {
    const { h, fd } = joined();
    h.receive(query(0));
    h.advance(10_001);
    h.expectSent({ igmp: { type: V1_REPORT } });
    h.ok(leave(h, fd));
    h.expectSilence();
    h.advance(400_000);
    h.ok(join(h, fd));
    h.expectSent({ igmp: { type: V2_REPORT } });
  });

  it("answers a query of version 3", () => {
    const { h } = joined();
    const body = [QUERY, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sum = (QUERY << 8) + 100;
    sum = ~sum & 0xffff;
    body[2] = sum >>> 8;
    body[3] = sum & 255;
    h.receive(ether({ to: groupMac("224.0.0.1") }, ipv4({ to: "224.0.0.1", ttl: 1, protocol: 2 }, body)));
    h.advance(10_001);
    h.expectSent({ igmp: { type: V2_REPORT, group: GROUP } });
  });

  it("drops and counts what is malformed", () => {
    const { h } = joined();
    const to = "224.0.0.1";
    const put = (body: Layer | number[]): void =>
      h.receive(ether({ to: groupMac(to) }, ipv4({ to, protocol: 2 }, body)));
    put(igmp({ type: QUERY, maxResponse: 10, checksum: 1 }));
    put([QUERY, 0, 0, 0, 0, 0, 0]);
    put(igmp({ type: QUERY, maxResponse: 10, group: "10.0.0.1" }));
    put(igmp({ type: 0x99 }));
    expect(h.counter("IGMP_IN_MSGS")).to.equal(4);
    expect(h.counter("IGMP_IN_ERRORS")).to.equal(3);
    h.advance(20_000);
    h.expectSilence();
  });

  it("has room for 128 memberships, then says ENOBUFS", () => {
    const h = stackHarness();
    let n = 0;
    for (let s = 0; s < 8; s++) {
      const fd = h.udp();
      for (let i = 0; i < 20; i++) if (join(h, fd, `239.2.${s}.${i}`) === 0) n++;
    }
    expect(n).to.equal(128);
  });
});

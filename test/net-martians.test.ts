// Addresses that have no business on a wire: 127/8 neither leaves nor enters a host, nobody speaks in our name.
// Read first: RFC 1122 section 3.2.1.3; RFC 1812 section 5.3.7 ("martians"); Linux net/ipv4/route.c.

import { expect } from "chai";
import {
  EADDRNOTAVAIL,
  ENETUNREACH,
  EINPROGRESS,
  EINVAL,
  IP_ADD_MEMBERSHIP,
  IP_FREEBIND,
  IPPROTO_IP,
  SO_BROADCAST,
  SOL_SOCKET,
} from "../assembly/layout.ts";
import { BROADCAST_MAC, echo, ether, groupMac, igmp, ip, ipv4, tcp, udp } from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";

const MORE = [{ address: "10.0.1.1/24" }];

function connect(h: StackHarness, fd: number, to: string, port = 9): number {
  return h.core.connect(fd, ip(to), port);
}

/** A bound socket, of an address that need not be this host's. */
function bound(h: StackHarness, kind: "tcp" | "udp", address: string): number {
  const fd = kind === "tcp" ? h.tcp() : h.udp();
  h.ok(h.setOption(fd, IPPROTO_IP, IP_FREEBIND, 1));
  if (kind === "udp") h.ok(h.setOption(fd, SOL_SOCKET, SO_BROADCAST, 1));
  h.ok(h.core.bind(fd, ip(address), 0));
  return fd;
}

describe("127/8 does not leave the host (RFC 1122 3.2.1.3(g))", () => {
  it("connect() from it to somebody else says EINVAL, to this host's addresses it goes", () => {
    for (const kind of ["tcp", "udp"] as const) {
      const h = stackHarness({ gateway: "10.0.0.2" });
      const started = kind === "tcp" ? -EINPROGRESS : 0;
      for (const from of ["127.0.0.1", "127.9.8.7"]) {
        expect(connect(h, bound(h, kind, from), "10.0.0.2"), `${kind} from ${from}`).to.equal(-EINVAL);
        expect(connect(h, bound(h, kind, from), "192.0.2.1"), "by a router").to.equal(-EINVAL);
        expect(connect(h, bound(h, kind, from), "127.0.0.1")).to.equal(started);
        expect(connect(h, bound(h, kind, from), "10.0.0.1")).to.equal(started);
      }
      h.advance(10);
      h.expectSilence();
    }
  });

  it("sendto() from it says EINVAL; groups and broadcasts stay on the loopback", () => {
    const h = stackHarness({ gateway: "10.0.0.2" });
    const fd = bound(h, "udp", "127.0.0.5");
    expect(h.send(fd, "x", "10.0.0.2:9")).to.equal(-EINVAL);
    expect(h.send(fd, "x", "224.0.0.9:9")).to.equal(1);
    expect(h.send(fd, "x", "255.255.255.255:9")).to.equal(1);
    h.advance(10);
    h.expectSilence();
  });

  it("a socket can try another address after the refusal", () => {
    const h = stackHarness();
    const fd = bound(h, "tcp", "127.0.0.5");
    expect(connect(h, fd, "10.0.0.2")).to.equal(-EINVAL);
    expect(connect(h, fd, "127.0.0.1")).to.equal(-EINPROGRESS);
  });
});

describe("sources that a socket may be bound to and not send from", () => {
  it("an address that is not this host's: ENETUNREACH", () => {
    for (const kind of ["tcp", "udp"] as const) {
      const h = stackHarness({ gateway: "10.0.0.2" });
      for (const to of ["10.0.0.2", "192.0.2.9", "127.0.0.1"]) {
        expect(connect(h, bound(h, kind, "203.0.113.9"), to), `${kind} to ${to}`).to.equal(-ENETUNREACH);
      }
      h.expectSilence();
    }
  });

  it("an address that has been taken away meanwhile: ENETUNREACH, not another in its place", () => {
    const h = stackHarness({ more: MORE });
    const fd = h.udp({ bind: "10.0.1.1:5000" });
    h.ok(h.core.netifSetAddress(2, 0, 0));
    h.advance(10);
    h.sent();
    expect(h.send(fd, "x", "10.0.0.2:9")).to.equal(-ENETUNREACH);
    h.expectSilence();
  });

  it("a group's or a broadcast address: the route chooses one", () => {
    const h = stackHarness();
    for (const from of ["224.1.1.1", "10.0.0.255"]) {
      expect(connect(h, bound(h, "tcp", from), "10.0.0.2")).to.equal(-EINPROGRESS);
      h.expectSent({ ip: { from: "10.0.0.1" }, tcp: { flags: "S" } });
      expect(h.send(bound(h, "udp", from), "x", "10.0.0.2:9")).to.equal(1);
      h.expectSent({ ip: { from: "10.0.0.1" } });
    }
  });
});

describe("destinations that no host has", () => {
  it("net 0 and class E have no route, for any protocol", () => {
    const h = stackHarness({ gateway: "10.0.0.2" });
    for (const to of ["0.1.2.3", "240.0.0.1", "255.255.255.254"]) {
      expect(connect(h, h.tcp(), to), `TCP to ${to}`).to.equal(-ENETUNREACH);
      expect(connect(h, h.udp(), to), `UDP to ${to}`).to.equal(-ENETUNREACH);
      expect(h.send(h.udp(), "x", `${to}:9`)).to.equal(-ENETUNREACH);
    }
    h.expectSilence();
  });

  it("bind() knows them as nobody's", () => {
    const h = stackHarness();
    for (const address of ["0.1.2.3", "240.0.0.1"]) {
      expect(h.core.bind(h.udp(), ip(address), 5000)).to.equal(-EADDRNOTAVAIL);
    }
  });
});

describe("martians that come in", () => {
  const sources = ["127.0.0.1", "127.200.1.1", "0.1.2.3", "224.0.0.5", "240.0.0.1", "255.255.255.255"];
  /** With two interfaces: what is ours, whichever way it came, and the broadcast addresses of both subnets. */
  const ours = ["10.0.0.1", "10.0.1.1", "10.0.0.255", "10.0.1.255"];

  for (const from of [...sources, ...ours]) {
    it(`from ${from}: no protocol takes or answers them, each is counted`, () => {
      const h = stackHarness({ more: MORE });
      const fd = h.udp({ bind: ":7" });
      const l = h.tcp({ bind: ":80" });
      h.ok(h.core.listen(l, 4));
      const changes = h.counting(() => {
        h.receive(ipv4({ from }, udp({ to: 7 }, "x")));
        h.receive(ipv4({ from }, tcp({ to: 80, flags: "S" })));
        h.receive(ipv4({ from }, echo("x")));
        h.receive(ipv4({ from, protocol: 99 }, "x"));
        h.receive(ipv4({ from, mf: true }, Buffer.alloc(64)));
      });
      expect(changes).to.include({ IP_IN_RECEIVES: 5, IP_IN_ADDR_ERRORS: 5 });
      h.expectSilence();
      expect(h.text(fd)).to.equal("EAGAIN");
      expect(h.pools()).to.not.have.property("REASSEMBLY");
    });
  }

  for (const to of ["127.0.0.1", "127.3.2.1", "0.0.0.0", "0.1.2.3", "240.0.0.1"]) {
    it(`to ${to}: dropped and counted, also where the interface has no address yet`, () => {
      for (const address of ["10.0.0.1/24", undefined]) {
        const h = stackHarness({ address, resolved: address !== undefined } as never);
        const fd = h.udp({ bind: ":7" });
        const changes = h.counting(() => h.receive(ipv4({ to }, udp({ to: 7 }, "x"))));
        expect(changes).to.include({ IP_IN_RECEIVES: 1, IP_IN_ADDR_ERRORS: 1 });
        expect(h.text(fd)).to.equal("EAGAIN");
        h.expectSilence();
      }
    });
  }

  it("are not forwarded either", () => {
    const h = stackHarness({ more: MORE, forwarding: true });
    for (const from of [...sources, ...ours]) h.receive(ipv4({ from, to: "10.0.1.9" }, udp({ to: 7 }, "x")));
    h.advance(10);
    h.expectSilence();
  });

  it("without a source come only broadcasts (DHCP), and what switches and routers say of groups", () => {
    const h = stackHarness();
    const fd = h.udp({ bind: ":7" });
    h.receive(ether({ to: BROADCAST_MAC }, ipv4({ from: 0, to: "255.255.255.255" }, udp({ to: 7 }, "dhcp"))));
    expect(h.text(fd)).to.equal("dhcp");
    const mreq = new Uint8Array(8);
    mreq.set([239, 1, 2, 3]);
    h.ok(h.setOption(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, mreq));
    h.advance(20_000);
    h.sent();
    // A switch that snoops has no address to ask from (RFC 4541 2.1.1).
    const query = igmp({ type: 0x11, maxResponse: 10 });
    h.receive(ether({ to: groupMac("224.0.0.1") }, ipv4({ from: 0, to: "224.0.0.1", ttl: 1 }, query)));
    h.advance(2000);
    h.expectSent({ ip: { to: "239.1.2.3", protocol: 2 } });
    const counted = h.counting(() =>
      h.receive(ether({ to: groupMac("239.1.2.3") }, ipv4({ from: 0, to: "239.1.2.3" }, udp({ to: 7 }, "x")))),
    );
    expect(counted).to.include({ IP_IN_ADDR_ERRORS: 1 });
  });
});

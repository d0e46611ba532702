// Interfaces: bursts, the queue towards a NIC that does not keep up, addresses, mbufs that come back.
// Read first: assembly/net/netif.ts.

import { expect } from "chai";
import { EAGAIN, EINVAL, ENODEV, EPOLL_CTL_ADD, EPOLLET, EPOLLOUT, EXCHANGE_EVENTS } from "../assembly/layout.ts";
import { ip, ipv4, pattern, udp } from "./support/frames.ts";
import { stackHarness } from "./support/harness.ts";

describe("interfaces: frames in", () => {
  it("takes everything that waits, burst by burst", () => {
    const h = stackHarness({ sizes: { CFG_MBUFS: 64 } });
    const fd = h.udp({ bind: ":7" });
    for (let i = 0; i < 200; i++) h.inject(ipv4(udp({ to: 7 }, String(i))));
    h.poll();
    for (let i = 0; i < 200; i++) expect(h.text(fd)).to.equal(String(i));
    expect(h.counter("ETH_IN_FRAMES")).to.equal(200);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("takes frames of several interfaces", () => {
    const h = stackHarness({ more: [{ address: "10.0.1.1/24" }] });
    const fd = h.udp({ bind: ":7" });
    const frame = ipv4({ from: "10.0.1.2", to: "10.0.1.1" }, udp({ to: 7 }, "two")).bytes();
    h.receive(Uint8Array.from([2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9, 8, 0, ...frame]), { port: 2 });
    expect(h.receiveFrom(fd)).to.deep.include({ from: "10.0.1.2", netif: 3 });
  });
});

describe("interfaces: frames out", () => {
  it("leaves by a poll, in order, in bursts of 64", () => {
    const h = stackHarness();
    const fd = h.udp();
    const before = h.counter("ETH_OUT_FRAMES");
    for (let i = 0; i < 100; i++) h.send(fd, String(i), "10.0.0.2:9");
    expect(h.nic.take(1)).to.have.length(64); // a full burst does not wait
    const rest = h.sent().map((packet) => Buffer.from(packet.payload).toString());
    expect(rest).to.deep.equal(Array.from({ length: 36 }, (_, i) => String(64 + i)));
    expect(h.counter("ETH_OUT_FRAMES") - before).to.equal(100);
  });

  it("keeps what a NIC does not take, asks again with each poll, loses nothing and no order", () => {
    const h = stackHarness();
    const fd = h.udp();
    h.nic.limit(1, 5);
    for (let i = 0; i < 20; i++) h.send(fd, String(i), "10.0.0.2:9");
    h.core.poll(h.now * 1000);
    expect(h.nic.take(1)).to.have.length(5);
    expect(h.core.nextDeadline()).to.equal(h.now * 1000 + 50); // soon, but simulated time goes on
    h.nic.limit(1, Infinity);
    const rest = h.sent().map((packet) => Buffer.from(packet.payload).toString());
    expect(rest).to.deep.equal(Array.from({ length: 15 }, (_, i) => String(5 + i)));
    expect(h.core.nextDeadline()).to.equal(Infinity);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("holds 256 packets for a NIC that takes none, counts what comes on top", () => {
    const h = stackHarness();
    const fd = h.udp();
    h.nic.limit(1, 0);
    for (let i = 0; i < 300; i++) h.send(fd, "x", "10.0.0.2:9");
    expect(h.counter("ETH_OUT_QUEUE_DROPS")).to.equal(44);
    expect(h.counter("UDP_SNDBUF_ERRORS")).to.equal(44);
    expect(h.pools().MBUF).to.equal(256);
    h.nic.limit(1, Infinity);
    expect(h.sent()).to.have.length(256);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("has the socket wait when no mbuf is left, and tells it when there is one", () => {
    const h = stackHarness({ sizes: { CFG_MBUFS: 16 } });
    const fd = h.udp();
    h.nic.limit(1, 0);
    const results = Array.from({ length: 20 }, () => h.send(fd, "x", "10.0.0.2:9"));
    expect(results.filter((result) => result === 1)).to.have.length(16);
    expect(results.filter((result) => result === -EAGAIN)).to.have.length(4);
    expect(h.core.pollEvents(fd) & EPOLLOUT).to.equal(0);
    const ep = h.ok(h.core.epollCreate(0));
    h.ok(h.core.epollCtl(ep, EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLET, fd, 0));
    const at = h.core.exchange() + EXCHANGE_EVENTS;
    expect(h.core.epollWait(ep, at, 4)).to.equal(0);
    h.nic.limit(1, 1);
    h.advance(1);
    expect(h.core.epollWait(ep, at, 4)).to.equal(1);
    expect(h.core.pollEvents(fd) & EPOLLOUT).to.equal(EPOLLOUT);
    expect(h.send(fd, "x", "10.0.0.2:9")).to.equal(1);
  });

  it("flushes before it gives up for want of mbufs", () => {
    const h = stackHarness({ sizes: { CFG_MBUFS: 16 } });
    const fd = h.udp();
    for (let i = 0; i < 50; i++) expect(h.send(fd, "x", "10.0.0.2:9")).to.equal(1);
    expect(h.sent()).to.have.length(50);
  });

  it("counts bytes", () => {
    const h = stackHarness();
    const fd = h.udp();
    const before = h.counter("ETH_OUT_BYTES");
    h.nic.limit(1, 1);
    h.send(fd, pattern(100), "10.0.0.2:9");
    h.send(fd, pattern(200), "10.0.0.2:9");
    h.poll();
    expect(h.counter("ETH_OUT_BYTES") - before).to.equal(142);
    h.nic.limit(1, Infinity);
    h.poll();
    expect(h.counter("ETH_OUT_BYTES") - before).to.equal(142 + 242);
  });
});

describe("interfaces: addresses", () => {
  it("refuses what no host has", () => {
    const h = stackHarness();
    const set = (address: string, mask: string, index = 1): number =>
      h.core.netifSetAddress(index, ip(address), ip(mask));
    for (const address of ["127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.9", "240.0.0.1"]) {
      expect(set(address, "255.255.255.0"), address).to.equal(-EINVAL);
    }
    expect(set("10.0.0.5", "255.0.255.0")).to.equal(-EINVAL);
    expect(set("10.0.0.5", "255.255.255.0", 0)).to.equal(-ENODEV);
    expect(set("10.0.0.5", "255.255.255.0", 9)).to.equal(-ENODEV);
    expect(set("10.0.0.5", "255.255.255.0")).to.equal(0);
  });

  it("has no broadcast address in subnets of one or two addresses", () => {
    const h = stackHarness({ address: "10.0.0.1/31", resolved: false });
    h.ok(h.core.arpAdd(ip("10.0.0.0"), 2, 2));
    h.send(h.udp(), "x", "10.0.0.0:9");
    h.expectSent({ ip: { to: "10.0.0.0" } });
  });

  it("has 15 interfaces beside the loopback at most", () => {
    expect(() => stackHarness({ more: Array.from({ length: 14 }, () => ({})) })).not.to.throw();
    expect(() => stackHarness({ more: Array.from({ length: 15 }, () => ({})) })).to.throw(/netifAdd/);
  });
});

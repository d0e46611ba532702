// UDP: ICMP errors that reach a socket, as its pending error or in the error queue of IP_RECVERR.
// Read first: RFC 1122 section 4.1.3.3; ip(7), IP_RECVERR; Linux net/ipv4/icmp.c, icmp_err_convert.

import { expect } from "chai";
import {
  EAGAIN,
  ECONNREFUSED,
  EMSGSIZE,
  EPOLLERR,
  ERROR_CODE,
  ERROR_ERRNO,
  ERROR_INFO,
  ERROR_OFFENDER,
  ERROR_ORIGIN,
  ERROR_TYPE,
  EXCHANGE_ARGS,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IP_RECVERR,
  IPPROTO_IP,
  MSG_ERRQUEUE,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_LOCAL,
  SO_ERROR,
  SOL_SOCKET,
} from "../assembly/layout.ts";
import { HOST, icmp, ip, ipText, ipv4, type Layer, pattern, PEER, udp } from "./support/frames.ts";
import { type Received, stackHarness, type StackHarness } from "./support/harness.ts";

/** An ICMP error from `from` about a datagram that our port 5000 sent to port 9 of the peer. */
function error(
  type: number,
  code: number,
  { rest = 0, from = PEER.address, to = PEER.address, text = "payload" } = {},
): Layer {
  const ours = ipv4({ from: HOST.address, to }, udp({ from: 5000, to: 9 }, text));
  return ipv4({ from }, icmp({ type, code, rest }, ours.bytes()));
}

describe("UDP: errors reach the socket (RFC 1122 4.1.3.3)", () => {
  function connected(): { h: StackHarness; fd: number } {
    const h = stackHarness({ gateway: "10.0.0.254" });
    return { h, fd: h.udp({ bind: ":5000", connect: "10.0.0.2:9" }) };
  }

  const hard: [number, number, string][] = [
    [3, 2, "ENOPROTOOPT"],
    [3, 3, "ECONNREFUSED"],
    [3, 6, "ENETUNREACH"],
    [3, 7, "EHOSTDOWN"],
    [3, 9, "ENETUNREACH"],
    [3, 10, "EHOSTUNREACH"],
    [3, 13, "EHOSTUNREACH"],
    [12, 0, "EPROTO"],
  ];
  for (const [type, code, name] of hard) {
    it(`gives a connected socket ${name} for ICMP ${type}/${code}, once`, () => {
      const { h, fd } = connected();
      h.receive(error(type, code));
      expect(h.events(fd) & EPOLLERR).to.equal(EPOLLERR);
      expect(h.text(fd)).to.equal(name);
      expect(h.text(fd)).to.equal("EAGAIN");
      expect(h.events(fd) & EPOLLERR).to.equal(0);
    });
  }

  for (const [type, code] of [
    [3, 0],
    [3, 1],
    [3, 5],
    [3, 11],
    [3, 12],
    [11, 0],
    [11, 1],
  ] as const) {
    it(`lets ICMP ${type}/${code} pass, as it may (Linux: not fatal)`, () => {
      const { h, fd } = connected();
      h.receive(error(type, code));
      expect(h.text(fd)).to.equal("EAGAIN");
    });
  }

  it("gives the error to the next send, or to SO_ERROR", () => {
    const { h, fd } = connected();
    h.receive(error(3, 3));
    expect(h.send(fd, "x")).to.equal(-ECONNREFUSED);
    expect(h.send(fd, "x")).to.equal(1);
    h.receive(error(3, 3));
    expect(h.option(fd, SOL_SOCKET, SO_ERROR)).to.equal(ECONNREFUSED);
    expect(h.text(fd)).to.equal("EAGAIN");
  });

  it("does not lose datagrams that wait", () => {
    const { h, fd } = connected();
    h.receive(ipv4(udp({ from: 9, to: 5000 }, "waits")));
    h.receive(error(3, 3));
    expect(h.text(fd)).to.equal("ECONNREFUSED");
    expect(h.text(fd)).to.equal("waits");
  });

  it("tells an unconnected socket nothing, nor one that is connected elsewhere", () => {
    const h = stackHarness({ gateway: "10.0.0.254" });
    const fd = h.udp({ bind: ":5000" });
    h.receive(error(3, 3));
    expect(h.text(fd)).to.equal("EAGAIN");
    h.ok(h.core.connect(fd, ip("192.0.2.1"), 9));
    h.receive(error(3, 3));
    expect(h.text(fd)).to.equal("EAGAIN");
    expect(h.counter("ICMP_IN_ERRORS")).to.equal(1);
  });

  it("tells the MTU to a socket that discovers it", () => {
    const { h, fd } = connected();
    h.receive(error(3, 4, { rest: 576, text: "x".repeat(1000) }));
    expect(h.text(fd)).to.equal("EMSGSIZE");
  });
});

describe("UDP: IP_RECVERR", () => {
  function wanting(): { h: StackHarness; fd: number } {
    const h = stackHarness({ gateway: "10.0.0.254" });
    const fd = h.udp({ bind: ":5000" });
    h.ok(h.setOption(fd, IPPROTO_IP, IP_RECVERR, 1));
    return { h, fd };
  }

  it("queues each error with the datagram, its destination and who told", () => {
    const { h, fd } = wanting();
    h.receive(error(11, 0, { from: "192.0.2.254" }));
    expect(h.events(fd) & EPOLLERR).to.equal(EPOLLERR);
    const record = h.receiveFrom(fd, 100, MSG_ERRQUEUE) as Received;
    expect(record).to.deep.include({ from: PEER.address, port: 9, flags: MSG_ERRQUEUE, length: 7 });
    expect(Buffer.from(record.data).toString()).to.equal("payload");
    const word = (offset: number): number => h.exchangeWord(EXCHANGE_ARGS + offset);
    expect([ERROR_ERRNO, ERROR_ORIGIN, ERROR_TYPE, ERROR_CODE, ERROR_INFO].map(word)).to.deep.equal([
      113,
      SO_EE_ORIGIN_ICMP,
      11,
      0,
      0,
    ]);
    expect(ipText(word(ERROR_OFFENDER))).to.equal("192.0.2.254");
    expect(h.receiveFrom(fd, 100, MSG_ERRQUEUE)).to.equal("EAGAIN");
  });

  it("keeps 32 and loses the rest", () => {
    const { h, fd } = wanting();
    for (let i = 0; i < 40; i++) h.receive(error(3, 3, { text: String(i) }));
    let n = 0;
    while (typeof h.receiveFrom(fd, 100, MSG_ERRQUEUE) !== "string") n++;
    expect(n).to.equal(32);
    h.receiveFrom(fd);
    expect(h.receiveFrom(fd)).to.equal("EAGAIN");
  });

  it("tells the MTU when the socket forbids fragments", () => {
    const { h, fd } = wanting();
    h.ok(h.setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
    expect(h.send(fd, pattern(2000), "10.0.0.2:9")).to.equal(-EMSGSIZE);
    expect(h.receiveFrom(fd, 100, MSG_ERRQUEUE)).to.deep.include({ port: 9 });
    expect(h.exchangeWord(EXCHANGE_ARGS + ERROR_INFO)).to.equal(1500);
    expect(h.exchangeWord(EXCHANGE_ARGS + ERROR_ORIGIN)).to.equal(SO_EE_ORIGIN_LOCAL);
  });

  it("gives its chunks back when it is switched off, and on close", () => {
    const { h, fd } = wanting();
    for (let i = 0; i < 5; i++) h.receive(error(3, 3));
    expect(h.pools().CHUNK).to.equal(6);
    h.ok(h.setOption(fd, IPPROTO_IP, IP_RECVERR, 0));
    expect(h.pools().CHUNK).to.equal(1);
    h.core.close(fd);
    expect(h.pools()).to.deep.equal({});
  });

  it("drops errors that find no chunk", () => {
    const h = stackHarness({ sizes: { CFG_CHUNKS: 0, CFG_LARGE_CHUNKS: 0 } });
    const fd = h.udp({ bind: ":5000" });
    h.ok(h.setOption(fd, IPPROTO_IP, IP_RECVERR, 1));
    h.receive(error(3, 3));
    expect(h.text(fd)).to.equal("ECONNREFUSED");
    expect(h.core.recv(fd, h.core.exchange() + 32768, 10, MSG_ERRQUEUE)).to.equal(-EAGAIN);
  });
});

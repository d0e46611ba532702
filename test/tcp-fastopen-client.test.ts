// TCP Fast Open at the client: the cookie cache, data in the SYN, and every way it can go wrong.
// Read first: RFC 7413; assembly/tcp/fastopen-client.ts.

import { expect } from "chai";
import * as layout from "../assembly/layout.ts";
import { ip, pattern, PEER } from "./support/frames.ts";
import { errnoName, stackHarness, type StackHarness } from "./support/harness.ts";
import { connectTo, TcpPeer } from "./support/tcp-peer.ts";

const { IPPROTO_TCP, MSG_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE } = layout;
const COOKIE = "1122334455667788";
const PORT = 8080;
const TO = `${PEER.address}:${PORT}`;
const SYN_ACK = { mss: 1460, sackPermitted: true };

function host(sysctls: Record<string, number> = {}, mtu = 1500): StackHarness {
  return stackHarness({ mtu, sysctls: { TCP_FASTOPEN: 1, TCP_TIMESTAMPS: 0, TCP_SYN_LINEAR_TIMEOUTS: 0, ...sysctls } });
}

/** A peer at the address and port that clients of these tests talk to. */
function peerOf(h: StackHarness): TcpPeer {
  return new TcpPeer(h, { port: PORT });
}

/** sendto(MSG_FASTOPEN) on a new socket that does not block. */
function fastSend(h: StackHarness, peer: TcpPeer, data: string | Uint8Array): { fd: number; result: number | string } {
  const fd = h.tcp();
  peer.irs = undefined;
  const result = errnoName(h.send(fd, data, TO, MSG_FASTOPEN));
  h.ok(h.core.getsockname(fd));
  peer.local = h.exchangeWord(4);
  return { fd, result };
}

/** Has the peer grant a cookie (and this MSS) to a connection that is closed again. */
function learned(h: StackHarness, mss = 1460): TcpPeer {
  const peer = peerOf(h);
  const { fd, result } = fastSend(h, peer, "");
  expect(result).to.equal("EINPROGRESS");
  peer.hears("S 0:0(0) FO");
  peer.say("S.", { ack: 1, options: { ...SYN_ACK, mss, fastopen: COOKIE } });
  peer.hears(". 1:1(0) ack 1");
  h.core.close(fd);
  peer.hears("F. 1:1(0) ack 1");
  peer.say("R.", { seq: 1, ack: 2 });
  return peer;
}

function failure(h: StackHarness, fd: number): number {
  const at = h.core.exchange() + layout.EXCHANGE_ARGS;
  h.ok(h.core.getsockopt(fd, IPPROTO_TCP, layout.TCP_INFO, at, 8));
  return (h.exchangeWord(layout.EXCHANGE_ARGS + 4) >>> 25) & 3;
}

const text = (bytes: Uint8Array | string): string =>
  typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");

describe("TCP Fast Open: a client's first connection (RFC 7413 4.2.1)", () => {
  it("asks for a cookie and sends nothing with the SYN", () => {
    const h = host();
    const peer = peerOf(h);
    const { fd, result } = fastSend(h, peer, pattern(1000));
    expect(result).to.equal("EINPROGRESS");
    peer.hears("S 0:0(0) FO");
    expect(failure(h, fd)).to.equal(1);
    expect(errnoName(h.send(fd, "x"))).to.equal("EAGAIN");
    peer.say("S.", { ack: 1, options: { ...SYN_ACK, fastopen: COOKIE } });
    peer.hears(". 1:1(0) ack 1");
    expect(h.send(fd, "x")).to.equal(1);
    peer.hears("P. 1:2(1) ack 1");
  });

  it("is refused without the client's bit, and on a connection", () => {
    const off = host({ TCP_FASTOPEN: 2 });
    expect(fastSend(off, peerOf(off), "x").result).to.equal("EOPNOTSUPP");
    const h = host();
    const peer = learned(h);
    const { fd } = fastSend(h, peer, "hello");
    expect(errnoName(h.send(fd, "x", TO, MSG_FASTOPEN))).to.equal("EALREADY");
    peer.heard();
    peer.say("S.", { ack: 6, options: SYN_ACK });
    peer.hears(". 6:6(0) ack 1");
    // As connect(): the call after the handshake is told that it has succeeded, and sends; that is over then.
    expect(h.send(fd, "xyz", "10.0.0.99:9", MSG_FASTOPEN)).to.equal(3);
    peer.hears("P. 6:9(3) ack 1");
    expect(errnoName(h.send(fd, "x", TO, MSG_FASTOPEN))).to.equal("EISCONN");
    expect(errnoName(h.send(fd, "x", undefined, MSG_FASTOPEN))).to.equal("EISCONN");
    expect(errnoName(h.core.connect(fd, ip(PEER.address), PORT))).to.equal("EISCONN");
    const listening = h.tcp();
    h.ok(h.core.bind(listening, 0, 81));
    h.ok(h.core.listen(listening, 1));
    expect(errnoName(h.send(listening, "x", TO, MSG_FASTOPEN))).to.equal("EISCONN");
    expect(errnoName(h.send(h.tcp(), "x", undefined, MSG_FASTOPEN))).to.equal("EINVAL");
  });
});

describe("TCP Fast Open: data in the SYN", () => {
  it("goes with the cookie, and is done when the SYN,ACK acknowledges it", () => {
    const h = host();
    const peer = learned(h);
    const { fd, result } = fastSend(h, peer, pattern(500));
    expect(result).to.equal(500);
    const [syn] = peer.packets();
    expect(peer.line(syn!)).to.equal(`S 0:500(500) FO ${COOKIE}`);
    expect(syn!.payload).to.deep.equal(pattern(500));
    peer.say("S.", { ack: 501, options: SYN_ACK });
    peer.hears(". 501:501(0) ack 1");
    h.send(fd, "more");
    peer.hears("P. 501:505(4) ack 1");
    peer.say(".", { seq: 1, ack: 505 });
    h.advance(3000);
    h.expectSilence();
    expect(failure(h, fd)).to.equal(0);
    expect(h.counter("TCP_FASTOPEN_ACTIVE")).to.equal(1);
  });

  it("leaves room for options that middleboxes add, and knows the server's MSS", () => {
    const h = host();
    const peer = learned(h);
    expect(fastSend(h, peer, pattern(3000)).result).to.equal(1420);
    const small = host();
    const near = learned(small, 1000);
    expect(fastSend(small, near, pattern(3000)).result).to.equal(960);
    const jumbo = host({}, 9000);
    const far = learned(jumbo, 8960);
    expect(fastSend(jumbo, far, pattern(9000)).result).to.equal(1860);
  });

  it("takes data that comes with the SYN,ACK", () => {
    const h = host();
    const peer = learned(h);
    const { fd } = fastSend(h, peer, "hello");
    peer.heard();
    peer.say("S.", { ack: 6, options: SYN_ACK, data: "world" });
    expect(text(h.read(fd))).to.equal("world");
    peer.hears(". 6:6(0) ack 6");
  });

  it("is sent again at once when the SYN,ACK acknowledges the SYN alone", () => {
    const h = host();
    const peer = learned(h);
    const { fd } = fastSend(h, peer, pattern(1000));
    peer.heard();
    peer.say("S.", { ack: 1, options: SYN_ACK });
    peer.hears("P. 1:1001(1000) ack 1");
    expect(failure(h, fd)).to.equal(2);
    peer.say(".", { seq: 1, ack: 1001 });
    h.advance(3000);
    h.expectSilence();
    expect(h.counter("TCP_FASTOPEN_ACTIVE_FAIL")).to.equal(1);
  });

  it("is sent again from where a SYN,ACK in its midst points, in segments of the peer's size", () => {
    const h = host();
    const peer = learned(h);
    fastSend(h, peer, pattern(1000));
    peer.heard();
    peer.say("S.", { ack: 201, options: { mss: 500, sackPermitted: true } });
    peer.hears(". 201:701(500) ack 1", "P. 701:1001(300) ack 1");
  });

  it("stays out of the second SYN, and follows when that is answered", () => {
    const h = host();
    const peer = learned(h);
    const { fd } = fastSend(h, peer, pattern(1000));
    peer.hears(`S 0:1000(1000) FO ${COOKIE}`);
    h.advance(1050);
    peer.hears("S 0:0(0)");
    peer.say("S.", { ack: 1, options: SYN_ACK });
    peer.hears("P. 1:1001(1000) ack 1");
    expect(failure(h, fd)).to.equal(3);
    // The cookie is still good.
    const again = fastSend(h, peer, "x");
    expect(again.result).to.equal(1);
    peer.hears(`S 0:1(1) FO ${COOKIE}`);
  });

  it("goes with a SYN whose path takes less: the SYN is sent again without", () => {
    const h = host();
    const peer = learned(h);
    fastSend(h, peer, pattern(1400));
    peer.heard();
    peer.icmpError(3, 4, 0, 1200);
    peer.hears("S 0:0(0)");
    peer.say("S.", { ack: 1, options: SYN_ACK });
    peer.hears(". 1:1161(1160) ack 1", "P. 1161:1401(240) ack 1");
  });

  it("is reset, refused and timed out like any SYN, and nothing leaks", () => {
    const h = host({ TCP_SYN_RETRIES: 1 });
    const peer = learned(h);
    const refused = fastSend(h, peer, pattern(1000)).fd;
    peer.heard();
    peer.say("R.", { ack: 1001 });
    expect(h.read(refused)).to.equal("ECONNREFUSED");
    h.core.close(refused);
    const silent = fastSend(h, peer, pattern(1000)).fd;
    h.advance(4000);
    expect(h.read(silent)).to.equal("ETIMEDOUT");
    h.core.close(silent);
    const closed = fastSend(h, peer, pattern(1000)).fd;
    h.core.close(closed);
    expect(h.pools()).to.deep.equal({});
  });

  it("rejects a SYN,ACK of more than was sent", () => {
    const h = host();
    const peer = learned(h);
    fastSend(h, peer, pattern(100));
    peer.heard();
    peer.say("S.", { ack: 102, options: SYN_ACK });
    peer.hears("R 102:102(0)");
  });

  it("goes without a cookie by TCP_FASTOPEN_NO_COOKIE, and by tcp_fastopen's bit 4", () => {
    const h = host();
    const peer = peerOf(h);
    const fd = h.tcp();
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1));
    expect(h.send(fd, "hello", TO, MSG_FASTOPEN)).to.equal(5);
    expect(h.sent().map(({ tcp, payload }) => [tcp?.flags, tcp?.options.fastopen, payload.length])).to.deep.equal([
      ["S", undefined, 5],
    ]);
    const open = host({ TCP_FASTOPEN: 5 });
    expect(fastSend(open, peerOf(open), "hello").result).to.equal(5);
    expect(errnoName(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1))).to.equal("EINVAL");
    peer.heard();
  });
});

describe("TCP Fast Open: the client's cache (RFC 7413 4.1.3)", () => {
  it("believes no cookie that it has not asked for", () => {
    const h = host();
    const peer = peerOf(h);
    const fd = h.tcp();
    expect(errnoName(connectTo(h, peer, fd))).to.equal("EINPROGRESS");
    peer.hears("S 0:0(0)");
    peer.say("S.", { ack: 1, options: { ...SYN_ACK, fastopen: COOKIE } });
    peer.hears(". 1:1(0) ack 1");
    expect(fastSend(h, peer, "x").result).to.equal("EINPROGRESS");
    peer.hears("S 0:0(0) FO");
  });

  it("tries the experimental option when the other was not answered, then the other again", () => {
    const h = host();
    const peer = peerOf(h);
    const asks: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { fd } = fastSend(h, peer, "");
      asks.push(...peer.heard());
      peer.say("S.", { ack: 1, options: SYN_ACK });
      h.core.close(fd);
      peer.say("R.", { seq: 1, ack: 1 });
      peer.heard();
    }
    expect(asks).to.deep.equal(["S 0:0(0) FO", "S 0:0(0) FOEXP", "S 0:0(0) FO"]);
  });

  it("keeps an experimental cookie as one", () => {
    const h = host();
    const peer = peerOf(h);
    fastSend(h, peer, "");
    peer.heard();
    peer.say("S.", { ack: 1, options: SYN_ACK });
    peer.heard();
    fastSend(h, peer, "");
    peer.hears("S 0:0(0) FOEXP");
    peer.say("S.", { ack: 1, options: { ...SYN_ACK, fastopenExp: COOKIE } });
    peer.heard();
    fastSend(h, peer, "hello");
    peer.hears(`S 0:5(5) FOEXP ${COOKIE}`);
  });

  it("takes cookies of 4 and of 16 bytes, and a new one in the place of the old", () => {
    const h = host();
    const peer = peerOf(h);
    for (const cookie of ["01020304", "00112233445566778899aabbccddeeff"]) {
      fastSend(h, peer, "");
      peer.heard();
      peer.say("S.", { ack: 1, options: { ...SYN_ACK, fastopen: cookie } });
      peer.heard();
      fastSend(h, peer, "hello");
      peer.hears(`S 0:5(5) FO ${cookie}`);
      h.core.fastopenForget();
    }
    const old = learned(h);
    fastSend(h, old, "hello");
    old.heard();
    old.say("S.", { ack: 1, options: { ...SYN_ACK, fastopen: "8877665544332211" } });
    old.heard();
    fastSend(h, old, "hello");
    old.hears("S 0:5(5) FO 8877665544332211");
  });

  it("holds cookies of many servers without growing, and never gives one server another's", () => {
    const h = host({ TCP_SYN_RETRIES: 1 });
    const before = h.pools();
    let known = 0;
    for (let i = 0; i < 200; i++) {
      const peer = new TcpPeer(h, { port: 1000 + i });
      // One address, so that no ARP gets in the way; entries are by address: the last cookie is everybody's.
      const fd = h.tcp();
      const result = h.send(fd, "x", `${PEER.address}:${peer.port}`, MSG_FASTOPEN);
      if (result === 1) known++;
      h.ok(h.core.getsockname(fd));
      peer.local = h.exchangeWord(4);
      peer.heard();
      peer.say("S.", { ack: 1, options: { ...SYN_ACK, fastopen: i.toString(16).padStart(16, "0") } });
      h.core.close(fd);
      peer.say("R.", { seq: 1, ack: 2 });
      h.core.poll(h.now * 1000);
    }
    expect(known).to.equal(199);
    h.advance(10_000);
    expect(h.pools()).to.deep.equal(before);
  });
});

describe("TCP_FASTOPEN_CONNECT", () => {
  const deferred = (h: StackHarness, peer: TcpPeer): { fd: number; result: number | string } => {
    const fd = h.tcp();
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1));
    peer.irs = undefined;
    return { fd, result: errnoName(connectTo(h, peer, fd)) };
  };

  it("lets connect() return at once, and the first send() open", () => {
    const h = host();
    const peer = learned(h);
    const { fd, result } = deferred(h, peer);
    expect(result).to.equal(0);
    peer.hears();
    expect(h.events(fd) & layout.EPOLLOUT).to.equal(layout.EPOLLOUT);
    expect(errnoName(h.core.connect(fd, ip(PEER.address), PORT))).to.equal("EISCONN");
    expect(h.read(fd)).to.equal("EAGAIN");
    h.advance(5000);
    peer.hears();
    expect(h.send(fd, "hello")).to.equal(5);
    peer.hears(`S 0:5(5) FO ${COOKIE}`);
    expect(h.events(fd) & layout.EPOLLOUT).to.equal(0);
    peer.say("S.", { ack: 6, options: SYN_ACK });
    peer.hears(". 6:6(0) ack 1");
    expect(h.send(fd, "world")).to.equal(5);
    peer.hears("P. 6:11(5) ack 1");
  });

  it("asks for a cookie with connect() when none is known", () => {
    const h = host();
    const peer = peerOf(h);
    expect(deferred(h, peer).result).to.equal("EINPROGRESS");
    peer.hears("S 0:0(0) FO");
  });

  it("is refused without the client's bit and on what is no closed socket", () => {
    const off = host({ TCP_FASTOPEN: 2 });
    expect(errnoName(off.setOption(off.tcp(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1))).to.equal("EOPNOTSUPP");
    const h = host();
    const peer = peerOf(h);
    const fd = h.tcp();
    expect(errnoName(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 2))).to.equal("EINVAL");
    connectTo(h, peer, fd);
    expect(errnoName(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1))).to.equal("EINVAL");
  });

  it("can be closed before anything was sent", () => {
    const h = host();
    const peer = learned(h);
    h.core.close(deferred(h, peer).fd);
    peer.hears();
    expect(h.pools()).to.deep.equal({});
  });
});

describe("TCP Fast Open: black holes (RFC 7413 7.1)", () => {
  const holes = { TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC: 3600 };
  const isOff = (h: StackHarness, peer: TcpPeer): boolean => {
    const { fd, result } = fastSend(h, peer, "x");
    const [line] = peer.heard();
    h.core.close(fd);
    return result === "EINPROGRESS" && line === "S 0:0(0)";
  };

  it("pauses after the third timeout in a row, twice as long the next time", () => {
    const h = host({ ...holes, TCP_SYN_RETRIES: 3 });
    const peer = learned(h);
    for (const hours of [1, 2]) {
      const { fd } = fastSend(h, peer, "x");
      h.advance(7500);
      h.core.close(fd);
      peer.heard();
      expect(isOff(h, peer)).to.equal(true);
      h.advance((hours * 3600 - 30) * 1000);
      expect(isOff(h, peer)).to.equal(true);
      h.advance(60_000);
      expect(isOff(h, peer)).to.equal(false);
    }
    expect(h.counter("TCP_FASTOPEN_BLACKHOLE")).to.equal(2);
  });

  it("pauses when a reset comes out of place before any data", () => {
    const h = host(holes);
    const peer = learned(h);
    fastSend(h, peer, "x");
    peer.heard();
    peer.say("S.", { ack: 2, options: SYN_ACK });
    peer.say("R", { seq: 2000 });
    peer.heard();
    expect(isOff(h, peer)).to.equal(true);
    h.sysctl("TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC", 3600);
    expect(isOff(h, peer)).to.equal(false);
  });

  it("pauses when all that came is a FIN behind a hole", () => {
    const h = host(holes);
    const peer = learned(h);
    const { fd } = fastSend(h, peer, "x");
    peer.heard();
    peer.say("S.", { ack: 2, options: SYN_ACK });
    peer.say("F.", { seq: 100, ack: 2 });
    h.core.close(fd);
    peer.say("R", { seq: 1 });
    peer.heard();
    expect(isOff(h, peer)).to.equal(true);
  });

  it("pauses when a FIN behind a hole comes after close()", () => {
    const h = host(holes);
    const peer = learned(h);
    const { fd } = fastSend(h, peer, "x");
    peer.heard();
    peer.say("S.", { ack: 2, options: SYN_ACK });
    h.core.close(fd);
    peer.heard();
    peer.say("F.", { seq: 100, ack: 3 });
    expect(peer.heard().join()).to.include("R ");
    expect(isOff(h, peer)).to.equal(true);
  });

  it("ends the suspicion when a connection after the pause brings data", () => {
    const h = host(holes);
    const peer = learned(h);
    fastSend(h, peer, "x");
    peer.heard();
    peer.say("S.", { ack: 2, options: SYN_ACK });
    peer.say("R", { seq: 2000 });
    h.advance(3_601_000);
    const { fd } = fastSend(h, peer, "x");
    peer.heard();
    peer.say("S.", { ack: 2, options: SYN_ACK });
    peer.say("P.", { seq: 1, ack: 2, data: "y" });
    h.read(fd);
    h.core.close(fd);
    peer.say("R", { seq: 2 });
    peer.heard();
    // The next pause is of the first length again.
    fastSend(h, peer, "x");
    peer.heard();
    peer.say("S.", { ack: 2, options: SYN_ACK });
    peer.say("R", { seq: 2000 });
    peer.heard();
    h.advance(3_601_000);
    expect(isOff(h, peer)).to.equal(false);
  });

  it("does nothing of this while the timeout is 0, which it is unless it is set", () => {
    const h = host({ TCP_SYN_RETRIES: 3 });
    const peer = learned(h);
    fastSend(h, peer, "x");
    h.advance(7500);
    peer.heard();
    expect(isOff(h, peer)).to.equal(false);
  });
});

// TCP Fast Open at the server: cookies, data before the handshake's end, what ends it, the limits.
// Read first: RFC 7413; assembly/tcp/fastopen-server.ts.

import { expect } from "chai";
import * as layout from "../assembly/layout.ts";
import { pattern } from "./support/frames.ts";
import { errnoName, stackHarness, type StackHarness } from "./support/harness.ts";
import { listenOn, type PeerOptions, TcpPeer } from "./support/tcp-peer.ts";

const { IPPROTO_TCP, SYSCTL_TCP_FASTOPEN_KEY, TCP_FASTOPEN, TCP_FASTOPEN_KEY, TCP_FASTOPEN_NO_COOKIE } = layout;
const HOST = "192.168.0.1";
const CLIENT = "192.0.2.1";
/** Cookies of these two addresses as Linux makes them: with the key of the kernel's own tests, and with zeros. */
const COOKIE = "3021b9d889017eeb";
const COOKIE_ZERO = "b7c12350a90dc8f5";
const SYN = { mss: 1460, sackPermitted: true };

function server(sysctls: Record<string, number> = {}, sizes: Record<string, number> = {}): StackHarness {
  const h = stackHarness({
    address: `${HOST}/24`,
    gateway: "192.168.0.2",
    sizes,
    sysctls: { TCP_FASTOPEN: 3, TCP_TIMESTAMPS: 0, ...sysctls },
  });
  [0xa1a1a1a1, 0xb2b2b2b2, 0xc3c3c3c3, 0xd4d4d4d4].forEach((word, i) =>
    h.ok(h.core.sysctlSet(SYSCTL_TCP_FASTOPEN_KEY + i, word)),
  );
  return h;
}

function fastListener(h: StackHarness, limit = 1, port = 80): number {
  const fd = listenOn(h, port);
  h.ok(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN, limit));
  return fd;
}

function client(h: StackHarness, options: PeerOptions = {}): TcpPeer {
  return new TcpPeer(h, { address: CLIENT, host: HOST, ...options });
}

/** A connection that its SYN with ten bytes has opened; the SYN,ACK has been heard. */
function opened(h: StackHarness, options: PeerOptions = {}): TcpPeer {
  const peer = client(h, options);
  peer.say("S", { options: { ...SYN, fastopen: COOKIE }, data: "0123456789" });
  peer.hears("S. 0:0(0) ack 11");
  return peer;
}

function info(h: StackHarness, fd: number): { state: number; options: number } {
  const at = h.core.exchange() + layout.EXCHANGE_ARGS;
  h.ok(h.core.getsockopt(fd, IPPROTO_TCP, layout.TCP_INFO, at, 256));
  const word = h.exchangeWord(layout.EXCHANGE_ARGS);
  return { state: word & 255, options: h.exchangeWord(layout.EXCHANGE_ARGS + 4) >>> 8 };
}

const SYN_DATA = 32;
const text = (bytes: Uint8Array | string): string =>
  typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");

describe("TCP Fast Open: cookies (RFC 7413 4.1.2)", () => {
  it("grants the cookie that Linux would, and takes none of the data", () => {
    const h = server();
    fastListener(h);
    const peer = client(h);
    peer.say("S", { options: { ...SYN, fastopen: "" }, data: "0123456789" });
    peer.hears(`S. 0:0(0) ack 1 FO ${COOKIE}`);
    expect(h.counter("TCP_FASTOPEN_COOKIE_REQUESTS")).to.equal(1);
  });

  it("makes cookies with the listener's own key", () => {
    const h = server();
    const fd = fastListener(h);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, new Uint8Array(16)));
    const peer = client(h);
    peer.say("S", { options: { ...SYN, fastopen: COOKIE }, data: "0123456789" });
    peer.hears(`S. 0:0(0) ack 1 FO ${COOKIE_ZERO}`);
    expect(h.counter("TCP_FASTOPEN_PASSIVE_FAIL")).to.equal(1);
  });

  it("takes cookies of the backup key, and grants one of the first", () => {
    const h = server();
    const fd = fastListener(h);
    const keys = new Uint8Array(32);
    keys.set([0xa1, 0xa1, 0xa1, 0xa1, 0xb2, 0xb2, 0xb2, 0xb2, 0xc3, 0xc3, 0xc3, 0xc3, 0xd4, 0xd4, 0xd4, 0xd4], 16);
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys));
    const peer = client(h);
    peer.say("S", { options: { ...SYN, fastopen: COOKIE }, data: "0123456789" });
    peer.hears(`S. 0:0(0) ack 11 FO ${COOKIE_ZERO}`);
    expect(h.counter("TCP_FASTOPEN_PASSIVE_ALT_KEY")).to.equal(1);
  });

  it("refuses keys of another length", () => {
    const h = server();
    const fd = fastListener(h);
    for (const length of [0, 3, 15, 17, 33]) {
      const result = h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, new Uint8Array(length));
      expect(errnoName(result)).to.equal("EINVAL");
    }
  });

  it("answers the experimental option with the experimental option", () => {
    const h = server();
    fastListener(h);
    const peer = client(h);
    peer.say("S", { options: { ...SYN, fastopenExp: "" }, data: "0123456789" });
    peer.hears(`S. 0:0(0) ack 1 FOEXP ${COOKIE}`);
    const again = client(h, { port: 5001 });
    again.say("S", { options: { ...SYN, fastopenExp: COOKIE }, data: "0123456789" });
    again.hears("S. 0:0(0) ack 11");
  });

  it("ignores cookies of a length that no cookie has", () => {
    for (const cookie of ["aa", "aabb", "a1b2c3", "0011223344556677889900112233445566aa"]) {
      const h = server();
      fastListener(h);
      const peer = client(h);
      peer.say("S", { options: { mss: 1460, fastopen: cookie }, data: "0123456789" });
      peer.hears("S. 0:0(0) ack 1");
    }
  });

  it("falls back to the handshake, with a new cookie, when the cookie is wrong", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = client(h);
    peer.say("S", { options: { ...SYN, fastopen: "aaaaaaaaaaaaaaaa" }, data: "0123456789" });
    peer.hears(`S. 0:0(0) ack 1 FO ${COOKIE}`);
    expect(errnoName(TcpPeer.accept(h, fd))).to.equal("EAGAIN");
    peer.say(".", { seq: 1, ack: 1, data: "0123456789" });
    const child = h.ok(TcpPeer.accept(h, fd));
    expect(info(h, child).options & SYN_DATA).to.equal(0);
    expect(text(h.read(child))).to.equal("0123456789");
  });
});

describe("TCP Fast Open: who may open (RFC 7413 4.2.2)", () => {
  it("hands the data out before the handshake ends, and answers at once", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    expect(h.events(fd) & layout.EPOLLIN).to.equal(layout.EPOLLIN);
    const child = h.ok(TcpPeer.accept(h, fd));
    expect(info(h, child)).to.deep.include({ state: layout.TCP_SYN_RECEIVED });
    expect(info(h, child).options & SYN_DATA).to.equal(SYN_DATA);
    expect(h.events(child) & (layout.EPOLLIN | layout.EPOLLOUT)).to.equal(layout.EPOLLIN | layout.EPOLLOUT);
    expect(text(h.read(child))).to.equal("0123456789");
    expect(h.send(child, pattern(100))).to.equal(100);
    peer.hears("P. 1:101(100) ack 11");
    peer.say(".", { seq: 11, ack: 101 });
    expect(info(h, child).state).to.equal(layout.TCP_ESTABLISHED);
    h.advance(5000);
    h.expectSilence();
    expect(h.counter("TCP_FASTOPEN_PASSIVE")).to.equal(1);
  });

  it("opens without data: the server may speak first", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = client(h);
    peer.say("S", { options: { ...SYN, fastopen: COOKIE } });
    peer.hears("S. 0:0(0) ack 1");
    const child = h.ok(TcpPeer.accept(h, fd));
    expect(info(h, child).options & SYN_DATA).to.equal(0);
    h.send(child, pattern(100));
    peer.hears("P. 1:101(100) ack 1");
    peer.say("P.", { seq: 1, ack: 1, data: "0123456789" });
    expect(text(h.read(child))).to.equal("0123456789");
  });

  const opens = (h: StackHarness, cookie?: string): boolean => {
    const peer = client(h);
    peer.say("S", { options: { ...SYN, ...(cookie === undefined ? {} : { fastopen: cookie }) }, data: "0123456789" });
    const [answer] = peer.heard();
    return answer === "S. 0:0(0) ack 11";
  };

  it("is off without TCP_FASTOPEN, without tcp_fastopen's server bit, and without a cookie", () => {
    const off = server();
    listenOn(off);
    expect(opens(off, COOKIE)).to.equal(false);
    const clientOnly = server({ TCP_FASTOPEN: 1 });
    fastListener(clientOnly);
    expect(opens(clientOnly, COOKIE)).to.equal(false);
    const bare = server();
    fastListener(bare);
    expect(opens(bare)).to.equal(false);
  });

  it("takes TCP_FASTOPEN before listen(), and gives the limit back", () => {
    const h = server();
    const fd = h.tcp({ bind: ":80" });
    h.ok(h.setOption(fd, IPPROTO_TCP, TCP_FASTOPEN, 5));
    h.ok(h.core.listen(fd, 4));
    expect(h.option(fd, IPPROTO_TCP, TCP_FASTOPEN)).to.equal(5);
    expect(opens(h, COOKIE)).to.equal(true);
  });

  it("opens every listener with 0x400, and takes data without a cookie with 0x200 or TCP_FASTOPEN_NO_COOKIE", () => {
    const all = server({ TCP_FASTOPEN: 0x402 });
    const fd = listenOn(all, 80, 7);
    expect(all.option(fd, IPPROTO_TCP, TCP_FASTOPEN)).to.equal(7);
    expect(opens(all, COOKIE)).to.equal(true);
    const free = server({ TCP_FASTOPEN: 0x202 });
    fastListener(free);
    expect(opens(free)).to.equal(true);
    const own = server();
    own.ok(own.setOption(fastListener(own), IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1));
    expect(opens(own)).to.equal(true);
  });

  it("keeps no memory of a listener that closed and listens anew", () => {
    const h = server();
    const fd = fastListener(h);
    h.ok(h.core.close(fd));
    listenOn(h);
    expect(opens(h, COOKIE)).to.equal(false);
    h.core.close(fd);
  });
});

describe("TCP Fast Open: SYN-RECEIVED", () => {
  it("sends the SYN,ACK again, one time more than for others, then fails with ETIMEDOUT", () => {
    const h = server({ TCP_SYNACK_RETRIES: 2 });
    const fd = fastListener(h);
    const peer = opened(h);
    const child = h.ok(TcpPeer.accept(h, fd));
    h.read(child);
    h.send(child, pattern(100));
    peer.hears("P. 1:101(100) ack 11");
    h.advance(7100);
    peer.hears("S. 0:0(0) ack 11", "S. 0:0(0) ack 11", "S. 0:0(0) ack 11");
    h.advance(9000);
    expect(h.read(child)).to.equal("ETIMEDOUT");
    h.core.close(child);
    h.core.close(fd);
    expect(h.pools()).to.deep.equal({});
  });

  it("answers the SYN again, without its data a second time", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    peer.say("S", { options: { ...SYN, fastopen: COOKIE }, data: "0123456789" });
    peer.hears("S. 0:0(0) ack 11");
    expect(text(h.read(h.ok(TcpPeer.accept(h, fd))))).to.equal("0123456789");
  });

  it("resets an ACK of what was never sent, and stays open", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    peer.say(".", { seq: 11, ack: 5000 });
    peer.hears("R 5000:5000(0)");
    peer.say(".", { seq: 11, ack: 1 });
    expect(info(h, h.ok(TcpPeer.accept(h, fd))).state).to.equal(layout.TCP_ESTABLISHED);
  });

  it("takes data that comes before the ACK's own, out of order", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    peer.say("P.", { seq: 16, ack: 1, data: "fghij" });
    peer.say("P.", { seq: 11, ack: 1, data: "abcde" });
    expect(text(h.read(h.ok(TcpPeer.accept(h, fd))))).to.equal("0123456789abcdefghij");
  });

  it("closes by a FIN at once, and goes on asking for the handshake's end", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    const child = h.ok(TcpPeer.accept(h, fd));
    h.read(child);
    h.core.close(child);
    peer.hears("F. 1:1(0) ack 11");
    h.advance(1100);
    peer.hears("S. 0:0(0) ack 11");
    peer.say("F.", { seq: 11, ack: 2 });
    peer.hears(". 2:2(0) ack 12");
    h.core.close(fd);
    h.advance(61_000);
    expect(h.pools()).to.deep.equal({});
  });

  it("holds the FIN of shutdown() back until the handshake ends", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    const child = h.ok(TcpPeer.accept(h, fd));
    h.ok(h.core.shutdown(child, layout.SHUT_WR));
    peer.hears();
    peer.say(".", { seq: 11, ack: 1 });
    peer.hears("F. 1:1(0) ack 11");
  });

  it("passes to CLOSE-WAIT by a FIN that brings the ACK", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    peer.say("F.", { seq: 11, ack: 1 });
    h.advance(40);
    peer.hears(". 1:1(0) ack 12");
    const child = h.ok(TcpPeer.accept(h, fd));
    expect(info(h, child).state).to.equal(layout.TCP_CLOSE_WAIT);
    expect(text(h.read(child))).to.equal("0123456789");
    h.core.close(child);
    peer.hears("F. 1:1(0) ack 12");
  });

  it("resets what the application did not read", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    h.core.close(h.ok(TcpPeer.accept(h, fd)));
    peer.hears("R. 1:1(0) ack 11");
  });

  it("resets what nobody has accepted when the listener closes", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    h.core.close(fd);
    peer.hears("R. 1:1(0) ack 11");
    expect(h.pools()).to.deep.equal({});
  });

  it("does not tell those whose handshake had not ended that the listener closes", () => {
    const h = server();
    const fd = listenOn(h);
    const peer = client(h);
    peer.say("S", { options: SYN });
    peer.hears("S. 0:0(0) ack 1");
    h.core.close(fd);
    peer.hears();
    expect(h.pools()).to.deep.equal({});
    peer.say(".", { seq: 1, ack: 1 });
    peer.hears("R 1:1(0)");
  });

  for (const when of ["before", "after"]) {
    it(`ends by a reset ${when} accept(), its data still readable`, () => {
      const h = server();
      const fd = fastListener(h);
      const peer = opened(h);
      let child = when === "after" ? h.ok(TcpPeer.accept(h, fd)) : -1;
      peer.say("R.", { seq: 11, ack: 0 });
      if (child < 0) child = h.ok(TcpPeer.accept(h, fd));
      expect(info(h, child).state).to.equal(layout.TCP_CLOSED);
      expect(text(h.read(child))).to.equal("0123456789");
      expect(h.read(child)).to.equal("ECONNRESET");
    });
  }

  it("challenges a reset that lies elsewhere in the window (RFC 5961 3.2)", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    peer.say("R", { seq: 100 });
    peer.hears(". 1:1(0) ack 11");
    expect(info(h, h.ok(TcpPeer.accept(h, fd))).state).to.equal(layout.TCP_SYN_RECEIVED);
  });

  it("ends by an ICMP error before accept(), and is not moved by a forged one", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    peer.icmpError(3, 0, 5000);
    peer.icmpError(3, 1, 0);
    const child = h.ok(TcpPeer.accept(h, fd));
    expect(info(h, child).state).to.equal(layout.TCP_CLOSED);
    expect(text(h.read(child))).to.equal("0123456789");
    expect(h.read(child)).to.equal("EHOSTUNREACH");
    expect(errnoName(h.send(child, "x"))).to.equal("EPIPE");
    peer.say(".", { seq: 11, ack: 1 });
    peer.hears("R 1:1(0)");
  });

  it("survives an ICMP error once it is accepted", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    const child = h.ok(TcpPeer.accept(h, fd));
    peer.icmpError(3, 1, 0);
    expect(info(h, child).state).to.equal(layout.TCP_SYN_RECEIVED);
  });

  it("recovers data that was lost before the handshake's ACK (SACK in the first ACK)", () => {
    const h = server({ TCP_TIMESTAMPS: 1 });
    const fd = fastListener(h);
    const peer = client(h);
    const timestamps: [number, number] = [1000, 0];
    const options = { mss: 1012, sackPermitted: true, timestamps, wscale: 7, fastopen: COOKIE };
    peer.say("S", { options, data: pattern(1000), win: 65535 });
    const [synAck] = peer.packets();
    const echo = synAck?.tcp?.options.timestamps?.[0] ?? 0;
    const child = h.ok(TcpPeer.accept(h, fd));
    h.advance(10);
    expect(h.send(child, pattern(10_000))).to.equal(10_000);
    expect(peer.heard()).to.have.length(10);
    const sack: [number, number][] = [[((peer.irs ?? 0) + 2001) >>> 0, ((peer.irs ?? 0) + 5001) >>> 0]];
    peer.say(".", { seq: 1001, ack: 1, win: 257, options: { timestamps: [1010, echo], sack } });
    peer.hears(". 1:1001(1000) ack 1001", "P. 1001:2001(1000) ack 1001");
  });
});

describe("TCP Fast Open: the limit on pending connections (RFC 7413 5.1)", () => {
  const tries = (h: StackHarness, port: number): boolean => {
    const peer = client(h, { port });
    peer.say("S", { options: { ...SYN, fastopen: COOKIE }, data: "0123456789" });
    return peer.heard()[0] === "S. 0:0(0) ack 11";
  };

  it("opens no more than TCP_FASTOPEN says, until a handshake ends", () => {
    const h = server();
    fastListener(h, 2);
    const first = opened(h, { port: 6000 });
    expect(tries(h, 6001)).to.equal(true);
    expect(tries(h, 6002)).to.equal(false);
    expect(h.counter("TCP_FASTOPEN_LISTEN_OVERFLOW")).to.equal(1);
    first.say(".", { seq: 11, ack: 1 });
    expect(tries(h, 6003)).to.equal(true);
  });

  it("frees the place of one that was accepted when its handshake ends", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    h.ok(TcpPeer.accept(h, fd));
    expect(tries(h, 6001)).to.equal(false);
    peer.say(".", { seq: 11, ack: 1 });
    expect(tries(h, 6002)).to.equal(true);
  });

  it("counts one that was reset after accept() for a minute", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    const child = h.ok(TcpPeer.accept(h, fd));
    peer.say("R.", { seq: 11 });
    h.core.close(child);
    h.advance(59_000);
    expect(tries(h, 6001)).to.equal(false);
    h.advance(2000);
    expect(tries(h, 6002)).to.equal(true);
    h.core.close(fd);
    h.advance(61_000);
    expect(h.pools()).to.deep.equal({});
  });

  it("does not count one that was reset before accept()", () => {
    const h = server();
    fastListener(h);
    opened(h).say("R.", { seq: 11 });
    expect(tries(h, 6001)).to.equal(true);
  });

  it("lets accepted connections outlive their listener, whoever has its place then", () => {
    const h = server();
    const fd = fastListener(h);
    const peer = opened(h);
    const child = h.ok(TcpPeer.accept(h, fd));
    h.core.close(fd);
    fastListener(h);
    expect(tries(h, 6001)).to.equal(true);
    peer.say(".", { seq: 11, ack: 1 });
    expect(info(h, child).state).to.equal(layout.TCP_ESTABLISHED);
    // The place of 6001 is still taken: the old connection gave none back.
    expect(tries(h, 6002)).to.equal(false);
  });

  it("falls back when there is no memory for the data", () => {
    const h = server({}, { CFG_CHUNKS: 1, CFG_LARGE_CHUNKS: 1 });
    fastListener(h, 8);
    const peers = Array.from({ length: 4 }, (_, i) => client(h, { port: 7000 + i }));
    const answers = peers.map((peer) => {
      peer.say("S", { options: { ...SYN, fastopen: COOKIE }, data: pattern(1200) });
      return peer.heard()[0];
    });
    expect(answers[0]).to.equal("S. 0:0(0) ack 1201");
    expect(answers[3]).to.equal(`S. 0:0(0) ack 1 FO ${COOKIE}`);
  });
});

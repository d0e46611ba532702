// TCP_INFO: what a connection tells of itself.
// Read first: tcp(7); assembly/tcp/info.ts.

import { expect } from "chai";
import * as layout from "../assembly/layout.ts";
import { pattern } from "./support/frames.ts";
import { errnoName, stackHarness } from "./support/harness.ts";
import { connectTo, infoOf, listenOn, opened, TcpPeer } from "./support/tcp-peer.ts";

/** Offsets in struct tcp_info. */
const UNACKED = 24;
const SACKED = 28;
const LAST_DATA_SENT = 44;
const LAST_ACK_RECV = 56;
const SND_MSS = 16;
const RCV_MSS = 20;
const RCV_SSTHRESH = 64;
const PMTU = 60;
const ADVMSS = 84;
const BYTES_ACKED = 120;
const BYTES_RECEIVED = 128;
const NOTSENT = 144;
const BUSY = 168;
const RWND_LIMITED = 176;
const SNDBUF_LIMITED = 184;
const BYTES_SENT = 200;
const BYTES_RETRANS = 208;
const DSACK_DUPS = 216;
const REORD_SEEN = 220;
const OUT_OF_ORDER = 224;
const TOTAL_RTO = 240;
const RTO_TIME = 244;

describe("TCP_INFO", () => {
  it("counts bytes as Linux does: those sent without SYN and FIN, retransmissions apart; the others with FIN", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    h.send(fd, pattern(5000));
    peer.say("P.", { seq: 1, ack: 3001, data: pattern(700) });
    h.ok(h.setOption(fd, layout.IPPROTO_TCP, layout.TCP_CORK, 1));
    h.send(fd, pattern(100));
    const info = infoOf(h, fd);
    expect([BYTES_ACKED, BYTES_RECEIVED, BYTES_SENT, NOTSENT].map(info)).to.deep.equal([3000, 700, 5000, 100]);
    h.advance(400);
    const later = infoOf(h, fd);
    expect(later(BYTES_RETRANS)).to.be.greaterThan(0);
    expect(later(BYTES_SENT) + later(NOTSENT)).to.equal(5100 + later(BYTES_RETRANS));
    peer.say("F.", { seq: 701, ack: 5001 });
    h.core.shutdown(fd, layout.SHUT_WR);
    peer.say(".", { seq: 702, ack: 5102 });
    const last = infoOf(h, fd);
    expect([BYTES_ACKED, BYTES_RECEIVED].map(last)).to.deep.equal([5101, 701]);
    expect(last(BYTES_SENT)).to.equal(5100 + last(BYTES_RETRANS));
  });

  it("counts the SYN of who has connected among the acknowledged bytes, as Linux does", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const peer = new TcpPeer(h, { port: 9000 });
    const fd = h.tcp();
    connectTo(h, peer, fd);
    peer.heard();
    expect(infoOf(h, fd)(BYTES_ACKED)).to.equal(0);
    peer.say("S.", { ack: 1, options: { mss: 1000 } });
    expect([BYTES_ACKED, BYTES_SENT].map(infoOf(h, fd))).to.deep.equal([1, 0]);
    h.send(fd, pattern(500));
    peer.say(".", { seq: 1, ack: 501 });
    expect([BYTES_ACKED, BYTES_SENT].map(infoOf(h, fd))).to.deep.equal([501, 500]);
  });

  it("tells sizes as Linux does: timestamps taken off, the path's MTU whole", () => {
    const h = stackHarness();
    const { fd } = opened(h, { mss: 1000, timestamps: [1, 0] });
    const info = infoOf(h, fd);
    expect([SND_MSS, PMTU, ADVMSS].map(info)).to.deep.equal([988, 1500, 1448]);
  });

  it("takes nothing for the size of merged segments that the NIC does not say of a packet", () => {
    const told = [0x00, 0xff].map((filler) => {
      const h = stackHarness({ filler });
      const { peer, fd } = opened(h, { mss: 1000 });
      peer.say("P.", { seq: 1, ack: 1, data: pattern(4000) });
      h.advance(100);
      return [[RCV_MSS, RCV_SSTHRESH].map(infoOf(h, fd)), peer.heard(), h.nic.take(1).length];
    });
    expect(told[0]).to.deep.equal(told[1]);
    expect(told[0]![0]).to.deep.include(1460);
  });

  it("has no unsent bytes where nothing can be sent: opening, reset, closed", () => {
    const h = stackHarness();
    const peer = new TcpPeer(h, { port: 9000 });
    const fd = h.tcp();
    expect(infoOf(h, fd)(NOTSENT)).to.equal(0);
    connectTo(h, peer, fd);
    expect([NOTSENT, UNACKED].map(infoOf(h, fd))).to.deep.equal([0, 1]);
    peer.heard();
    peer.say("S.", { ack: 1, win: 0, options: { mss: 1000 } });
    h.send(fd, pattern(3000));
    expect(infoOf(h, fd)(NOTSENT)).to.equal(3000);
    peer.say("R", { seq: 1 });
    expect(h.read(fd)).to.equal("ECONNRESET");
    expect([NOTSENT, UNACKED].map(infoOf(h, fd))).to.deep.equal([0, 0]);
  });

  it("tells of a listener how many connections wait, and how many may", () => {
    const h = stackHarness();
    const fd = listenOn(h, 80, 7);
    const peer = new TcpPeer(h);
    peer.say("S", { options: { mss: 1000 } });
    peer.heard();
    peer.say(".", { seq: 1, ack: 1 });
    expect([UNACKED, SACKED].map(infoOf(h, fd))).to.deep.equal([1, 7]);
  });

  it("counts out-of-order segments, duplicates that the peer reports, and reordering", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h, { mss: 1000, sackPermitted: true });
    const other = opened(h, { mss: 1000, sackPermitted: true }, { port: 5001, local: 81 });
    other.peer.say(".", { seq: 1001, ack: 1, data: pattern(1000) });
    other.peer.say(".", { seq: 3001, ack: 1, data: pattern(1000) });
    expect(infoOf(h, other.fd)(OUT_OF_ORDER)).to.equal(2);
    h.send(fd, pattern(100));
    h.advance(30);
    peer.say(".", { seq: 1, ack: 101 });
    h.send(fd, pattern(3900));
    h.advance(30);
    const at = (n: number): number => ((peer.irs ?? 0) + n) >>> 0;
    peer.say(".", { seq: 1, ack: 101, options: { sack: [[at(3101), at(4001)]] } });
    peer.say(".", { seq: 1, ack: 101, options: { sack: [[at(2101), at(4001)]] } });
    expect(infoOf(h, fd)(REORD_SEEN)).to.equal(1);
    peer.say(".", { seq: 1, ack: 4001, options: { sack: [[at(1), at(1001)]] } });
    expect(infoOf(h, fd)(DSACK_DUPS)).to.equal(1);
  });

  it("counts timeouts and the time that they took", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    h.advance(50);
    h.send(fd, pattern(500));
    h.advance(1000);
    const during = infoOf(h, fd);
    const timeouts = during(TOTAL_RTO) & 0xffff;
    expect(timeouts).to.be.greaterThan(1);
    expect(during(TOTAL_RTO) >>> 16).to.equal(1);
    expect(during(RTO_TIME)).to.equal(0);
    peer.say(".", { seq: 1, ack: 501 });
    expect(infoOf(h, fd)(RTO_TIME)).to.be.within(500, 1000);
  });

  it("divides busy time: the peer's window, the send buffer, the rest", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    peer.say(".", { seq: 1, ack: 1, win: 0 });
    h.advance(500);
    h.send(fd, pattern(1000));
    h.advance(100);
    expect(infoOf(h, fd)(RWND_LIMITED)).to.equal(100_000);
    peer.say(".", { seq: 1, ack: 1, win: 60_000 });
    h.advance(30);
    peer.say(".", { seq: 1, ack: 1001, win: 60_000 });
    h.advance(1000);
    const idle = infoOf(h, fd);
    expect([RWND_LIMITED, SNDBUF_LIMITED, BUSY].map(idle)).to.deep.equal([100_000, 0, 130_000]);
    h.ok(h.setOption(fd, layout.SOL_SOCKET, layout.SO_SNDBUF, 2500));
    while (h.send(fd, pattern(1000)) > 0);
    expect(errnoName(h.send(fd, "x"))).to.equal("EAGAIN");
    // What is written while the buffer is full counts from the next time that something is sent or acknowledged.
    peer.say(".", { seq: 1, ack: 2001, win: 60_000 });
    h.advance(20);
    expect(infoOf(h, fd)(BUSY)).to.equal(150_000);
    expect(infoOf(h, fd)(SNDBUF_LIMITED)).to.be.within(0, 20_000);
  });

  it("tells when data was last sent and an ACK last came", () => {
    const h = stackHarness({ sysctls: { TCP_TIMESTAMPS: 0 } });
    const { peer, fd } = opened(h);
    h.send(fd, pattern(100));
    h.advance(30);
    peer.say(".", { seq: 1, ack: 101 });
    h.advance(70);
    expect([LAST_DATA_SENT, LAST_ACK_RECV].map(infoOf(h, fd))).to.deep.equal([100, 70]);
  });
});

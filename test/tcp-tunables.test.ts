// What the tunables of TCP change: one thing each.
// Read first: Linux Documentation/networking/ip-sysctl.rst.

import { expect } from "chai";
import * as layout from "../assembly/layout.ts";
import { ipv4, pattern, tcp } from "./support/frames.ts";
import { errnoName, stackHarness, type StackHarness } from "./support/harness.ts";
import { connectTo, infoOf, opened, TcpPeer } from "./support/tcp-peer.ts";

const PLAIN = { TCP_TIMESTAMPS: 0 };

/** When the stack sends, as milliseconds from now, while the peer says nothing for `limit` ms. */
function times(h: StackHarness, peer: TcpPeer, limit: number, step = 10): number[] {
  const found: number[] = [];
  for (let millis = 0; millis < limit; millis += step) {
    h.advance(step);
    for (let i = peer.heard().length; i > 0; i--) found.push(millis + step);
  }
  return found;
}

describe("tunables of opening", () => {
  const synTimes = (sysctls: Record<string, number>, limit: number): number[] => {
    const h = stackHarness({ sysctls: { ...PLAIN, ...sysctls } });
    const peer = new TcpPeer(h, { port: 9000 });
    connectTo(h, peer, h.tcp());
    peer.heard();
    return times(h, peer, limit, 100).map((millis) => Math.round(millis / 1000));
  };

  it("tcp_syn_linear_timeouts: the first SYNs go again at even distances", () => {
    expect(synTimes({}, 40_000)).to.deep.equal([1, 2, 3, 4, 5, 7, 11, 19, 35]);
    expect(synTimes({ TCP_SYN_LINEAR_TIMEOUTS: 0 }, 40_000)).to.deep.equal([1, 3, 7, 15, 31]);
    expect(synTimes({ TCP_SYN_LINEAR_TIMEOUTS: 1, TCP_SYN_RETRIES: 2 }, 40_000)).to.deep.equal([1, 2, 4]);
  });

  it("tcp_ecn_fallback: the second SYN asks for ECN no more", () => {
    for (const [fallback, flags] of [
      [1, ["SEC", "S"]],
      [0, ["SEC", "SEC"]],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_ECN: 1, TCP_ECN_FALLBACK: fallback } });
      const peer = new TcpPeer(h, { port: 9000 });
      connectTo(h, peer, h.tcp());
      h.advance(1100);
      expect(peer.packets().map((packet) => packet.tcp!.flags)).to.deep.equal(flags);
    }
  });

  it("tcp_workaround_signed_windows: no window of 32,768 and more without scaling", () => {
    const h = stackHarness({ sysctls: { ...PLAIN, TCP_WORKAROUND_SIGNED_WINDOWS: 1, TCP_WINDOW_SCALING: 0 } });
    const { peer } = opened(h);
    peer.say("P.", { seq: 1, ack: 1, data: pattern(1000) });
    h.advance(50);
    for (const { tcp: header } of peer.packets()) expect(header!.window).to.be.at.most(32_767);
    const other = new TcpPeer(h, { port: 5001 });
    other.say("S", { options: { mss: 1000 } });
    expect(other.packets()[0]!.tcp!.window).to.be.within(30_000, 32_767);
  });

  it("ip_no_pmtu_disc: datagrams may be fragmented", () => {
    for (const [off, df] of [
      [0, true],
      [1, false],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, IP_NO_PMTU_DISC: off } });
      const peer = new TcpPeer(h, { port: 9000 });
      connectTo(h, peer, h.tcp());
      expect(peer.packets()[0]!.ip!.df).to.equal(df);
    }
  });
});

describe("tunables of timeouts", () => {
  const retransmissions = (sysctls: Record<string, number>, limit: number): number[] => {
    const h = stackHarness({ sysctls: { ...PLAIN, TCP_EARLY_RETRANS: 0, ...sysctls } });
    const { peer, fd } = opened(h);
    h.send(fd, pattern(500));
    peer.heard();
    const all = times(h, peer, limit);
    return all.map((millis, i) => Math.round((millis - (all[i - 1] ?? 0)) / 100) * 100);
  };

  it("tcp_thin_linear_timeouts: the first six stay short", () => {
    expect(retransmissions({}, 3000)).to.deep.equal([200, 400, 800]);
    expect(retransmissions({ TCP_THIN_LINEAR_TIMEOUTS: 1 }, 3000).slice(0, 8)).to.deep.equal([
      200, 200, 200, 200, 200, 200, 200, 400,
    ]);
  });

  it("tcp_rto_min_us and tcp_rto_max_ms: the least and the largest", () => {
    expect(retransmissions({ TCP_RTO_MIN: 400 }, 1300)).to.deep.equal([400, 800]);
    expect(retransmissions({ TCP_RTO_MAX: 500 }, 2000)).to.deep.equal([200, 400, 500, 500]);
  });

  it("tcp_early_retrans: tail loss probes with 3 and 4 only", () => {
    for (const [early, probes] of [
      [0, 0],
      [2, 0],
      [3, 1],
      [4, 1],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_EARLY_RETRANS: early } });
      const { peer, fd } = opened(h, { mss: 1000, sackPermitted: true });
      h.send(fd, pattern(100));
      h.advance(20);
      peer.say(".", { seq: 1, ack: 101 });
      h.send(fd, pattern(2000));
      h.advance(100);
      expect(h.counter("TCP_TLP_PROBES"), `with ${early}`).to.equal(probes);
    }
  });
});

describe("tunables of loss recovery", () => {
  const sackOf = (peer: TcpPeer, ...ranges: [number, number][]): { sack: [number, number][] } => ({
    sack: ranges.map(([from, to]) => [(peer.irs! + from) >>> 0, (peer.irs! + to) >>> 0]),
  });

  it("tcp_dsack: no report of what came twice", () => {
    for (const [dsack, reports] of [
      [1, 1],
      [0, 0],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_DSACK: dsack } });
      const { peer } = opened(h, { mss: 1000, sackPermitted: true });
      peer.say(".", { seq: 1, ack: 1, data: pattern(1000) });
      peer.say(".", { seq: 1, ack: 1, data: pattern(1000) });
      h.advance(50);
      const sent = peer.packets().filter(({ tcp: header }) => header!.options.sack !== undefined);
      expect(sent).to.have.length(reports);
      expect(h.counter("TCP_DSACK_SENT")).to.equal(reports);
    }
  });

  it("tcp_reordering and tcp_max_reordering: where dupThresh begins and ends", () => {
    const h = stackHarness({ sysctls: { ...PLAIN, TCP_REORDERING: 5, TCP_MAX_REORDERING: 7 } });
    // Without a round trip to go by, RACK would not wait for what is late.
    const { peer, fd } = opened(h, { mss: 1000, sackPermitted: true }, { roundTripMillis: 30 });
    expect(infoOf(h, fd)(88)).to.equal(5);
    h.send(fd, pattern(100));
    h.advance(30);
    peer.say(".", { seq: 1, ack: 101 });
    h.send(fd, pattern(10_000));
    h.advance(30);
    peer.say(".", { seq: 1, ack: 101, options: sackOf(peer, [9101, 10_101]) });
    peer.say(".", { seq: 1, ack: 101, options: sackOf(peer, [101, 1101], [9101, 10_101]) });
    peer.say(".", { seq: 1, ack: 1101, options: sackOf(peer, [9101, 10_101]) });
    peer.say(".", { seq: 1, ack: 1101, options: sackOf(peer, [1101 + 1000, 3101], [9101, 10_101]) });
    expect(infoOf(h, fd)(88)).to.equal(7);
  });

  it("tcp_frto: without it a timeout is believed at once", () => {
    for (const [frto, state] of [
      [2, 0],
      [0, 4],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_FRTO: frto, TCP_EARLY_RETRANS: 0 } });
      // Without a round trip to go by, RACK would take the ACK of the original for that of the retransmission.
      const { peer, fd } = opened(h, { mss: 1000, sackPermitted: true }, { roundTripMillis: 30 });
      h.send(fd, pattern(100));
      h.advance(30);
      peer.say(".", { seq: 1, ack: 101 });
      h.send(fd, pattern(30_000));
      h.advance(300);
      peer.heard();
      // The ACKs of the originals come late: first one, then one for a segment that was sent once only.
      peer.say(".", { seq: 1, ack: 1101 });
      peer.say(".", { seq: 1, ack: 2101 });
      expect((infoOf(h, fd)(0) >>> 8) & 255, `with ${frto}`).to.equal(state);
    }
  });
});

describe("tcp_invalid_ratelimit, tcp_challenge_ack_limit", () => {
  it("answers pure ACKs out of the window once in 500 ms, data always", () => {
    const h = stackHarness({ sysctls: PLAIN });
    const { peer } = opened(h);
    peer.say(".", { seq: 1, ack: 1, data: pattern(3000) });
    h.advance(100);
    peer.heard();
    for (let i = 0; i < 20; i++) {
      peer.say(".", { seq: 1 + i, ack: 1 });
      h.advance(10);
    }
    peer.hears(". 1:1(0) ack 3001");
    expect(h.counter("TCP_CHALLENGE_LIMITED")).to.equal(19);
    h.advance(400);
    peer.say(".", { seq: 1, ack: 1 });
    peer.hears(". 1:1(0) ack 3001");
    for (let i = 0; i < 3; i++) peer.say(".", { seq: 1, ack: 1, data: pattern(100) });
    expect(peer.heard()).to.have.length(3);
  });

  it("limits each connection by itself", () => {
    const h = stackHarness({ sysctls: PLAIN });
    const first = opened(h);
    const second = opened(h, { mss: 1000 }, { port: 5001, local: 81 });
    for (let i = 0; i < 10; i++) {
      first.peer.say("R", { seq: 500 });
      second.peer.say("R", { seq: 500 });
    }
    const sent = h.sent().map((packet) => packet.tcp?.to);
    expect(sent.sort()).to.deep.equal([5000, 5001]);
  });

  it("ends an ACK war: two peers that find one another wrong", () => {
    const h = stackHarness({ sysctls: PLAIN });
    const { peer } = opened(h);
    let answers = 0;
    for (let i = 0; i < 1000; i++) {
      peer.say(".", { seq: 0, ack: 500_000 });
      answers += peer.heard().length;
    }
    expect(answers).to.equal(1);
  });

  it("limits the whole stack as well when it is told to", () => {
    const h = stackHarness({ sysctls: { ...PLAIN, TCP_CHALLENGE_ACK_LIMIT: 3, TCP_INVALID_RATELIMIT: 0 } });
    const { peer } = opened(h);
    for (let i = 0; i < 10; i++) peer.say("R", { seq: 500 });
    expect(peer.heard()).to.have.length(3);
    expect(h.counter("TCP_CHALLENGE_LIMITED")).to.equal(7);
  });

  it("answers a SYN again in SYN-RECEIVED, but not each of a flood", () => {
    const h = stackHarness({ sysctls: PLAIN });
    const fd = h.tcp({ bind: ":80" });
    h.ok(h.core.listen(fd, 5));
    const peer = new TcpPeer(h);
    for (let i = 0; i < 50; i++) peer.say("S", { options: { mss: 1000 } });
    expect(peer.heard()).to.have.length(2);
  });
});

describe("other tunables of TCP", () => {
  it("tcp_rfc1337: a reset does not end TIME-WAIT", () => {
    for (const [guard, left] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_RFC1337: guard } });
      const { peer, fd } = opened(h);
      h.core.close(fd);
      peer.heard();
      peer.say("F.", { seq: 1, ack: 2 });
      peer.say("R", { seq: 2 });
      expect(h.core.timeWaitCount(), `with ${guard}`).to.equal(left);
    }
  });

  it("answers late segments in TIME-WAIT, but joins no ACK war there", () => {
    const h = stackHarness({ sysctls: PLAIN });
    const { peer, fd } = opened(h);
    h.core.close(fd);
    peer.say("F.", { seq: 1, ack: 2 });
    peer.heard();
    for (let i = 0; i < 100; i++) peer.say(".", { seq: 1, ack: 1 });
    peer.hears(". 2:2(0) ack 2");
  });

  it("tcp_stdurg: the pointer as RFC 1122 has it", () => {
    for (const [standard, byte] of [
      [0, "b"],
      [1, "c"],
    ] as const) {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_STDURG: standard } });
      const { peer, fd } = opened(h);
      const header = {
        from: peer.port,
        to: peer.local,
        seq: peer.iss + 1,
        ack: peer.irs! + 1,
        flags: "PAU",
        urgent: 2,
      };
      h.receive(ipv4(tcp(header, "abcd")));
      expect(Buffer.from(h.read(fd, 1, layout.MSG_OOB) as Uint8Array).toString()).to.equal(byte);
    }
  });

  it("tcp_shrink_window: what memory forbids is announced no more", () => {
    const right = (shrink: number): number[] => {
      const h = stackHarness({ sysctls: { ...PLAIN, TCP_SHRINK_WINDOW: shrink, TCP_RMEM_DEFAULT: 131_072 } });
      const { peer, fd } = opened(h, { mss: 1000, wscale: 7 });
      const edges: number[] = [];
      for (let i = 0; i < 30; i++) {
        peer.say(".", { seq: 1 + i * 1000, ack: 1, data: pattern(1000) });
        if (i === 10) h.ok(h.setOption(fd, layout.SOL_SOCKET, layout.SO_RCVBUF, 20_000));
        for (const { tcp: header } of peer.packets()) edges.push(header!.ack - peer.iss + (header!.window << 7));
      }
      return edges;
    };
    const never = right(0);
    expect(never.every((edge, i) => i === 0 || edge >= never[i - 1]!)).to.equal(true);
    const may = right(1);
    expect(may.some((edge, i) => i > 0 && edge < may[i - 1]!)).to.equal(true);
  });

  it("icmp: an embryonic connection is given up when the peer cannot be reached, and for no other reason", () => {
    const h = stackHarness({ sysctls: PLAIN });
    const fd = h.tcp({ bind: ":80" });
    h.ok(h.core.listen(fd, 5));
    const peer = new TcpPeer(h);
    peer.say("S", { options: { mss: 1000 } });
    peer.heard();
    peer.icmpError(3, 3, 0);
    peer.icmpError(3, 1, 77);
    expect(h.pools()["TCB"]).to.equal(2);
    peer.icmpError(3, 1, 0);
    expect(h.pools()["TCB"]).to.equal(1);
    expect(errnoName(TcpPeer.accept(h, fd))).to.equal("EAGAIN");
  });
});

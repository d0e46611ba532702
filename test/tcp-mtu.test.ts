// Path MTU of a connection: what routers tell (RFC 1191), what a connection finds out by itself (RFC 4821), and lies.
// Read first: assembly/tcp/mtu-probe.ts, assembly/tcp/icmp-error.ts.

import { expect } from "chai";
import { IP_MTU_DISCOVER, IP_PMTUDISC_DO, IPPROTO_IP } from "../assembly/layout.ts";
import { AF_INET, createNetwork, SOCK_NONBLOCK, SOCK_STREAM } from "../host/index.ts";
import { pattern } from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";
import { listener, ok } from "./support/sockets.ts";
import { infoOf, opened, type Passive, type TcpPeer } from "./support/tcp-peer.ts";

const SND_MSS = 16;
const SND_CWND = 80;
const NO_TIMESTAMPS = { TCP_TIMESTAMPS: 0 };

/** The receiver behind a path that swallows what is larger than `mtu`, and tells nobody. */
class Receiver {
  readonly #peer: TcpPeer;
  readonly #mtu: number;
  /** Ranges that came out of order, by sequence. */
  #held: [number, number][] = [];
  /** Next byte that is missing. */
  next = 1;

  constructor({ peer }: Passive, mtu: number) {
    this.#peer = peer;
    this.#mtu = mtu;
  }

  /** Takes what the stack has sent, and acknowledges it. */
  take(): void {
    const { irs = 0 } = this.#peer;
    const came = this.#peer.packets().filter(({ ip, payload }) => payload.length > 0 && ip!.total <= this.#mtu);
    for (const { tcp, payload } of came) {
      const seq = tcp!.seq - irs;
      this.#held.push([seq, seq + payload.length]);
    }
    const joined: [number, number][] = [];
    for (const [seq, end] of this.#held.sort((a, b) => a[0] - b[0])) {
      const last = joined.at(-1);
      if (seq <= this.next) this.next = Math.max(this.next, end);
      else if (last !== undefined && seq <= last[1]) last[1] = Math.max(last[1], end);
      else joined.push([seq, end]);
    }
    this.#held = joined.filter(([, end]) => end > this.next);
    const sack = this.#held.slice(0, 4).map(([seq, end]) => [(irs + seq) >>> 0, (irs + end) >>> 0] as [number, number]);
    if (came.length === 0) return;
    this.#peer.say(".", { seq: 1, ack: this.next, win: 60_000, options: sack.length > 0 ? { sack } : {} });
  }
}

/** Plays the receiver until `total` bytes have come, or `limit` milliseconds are over; the bytes that came in order. */
function receive(h: StackHarness, passive: Passive, total: number, mtu: number, limit = 120_000): number {
  const receiver = new Receiver(passive, mtu);
  for (let millis = 0; millis < limit && receiver.next <= total; millis += 10) {
    receiver.take();
    h.advance(10);
  }
  return receiver.next - 1;
}

describe("path MTU: what routers tell (RFC 1191)", () => {
  it("sends smaller segments, and at once again what was too large", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const { peer, fd } = opened(h, { mss: 1460 });
    h.send(fd, pattern(2920));
    peer.heard();
    peer.icmpError(3, 4, 1, 1200);
    expect(peer.heard()[0]).to.match(/^P?\. 1:1161\(1160\) ack 1$/);
    expect(infoOf(h, fd)(SND_MSS)).to.equal(1160);
  });

  it("does not believe in a path that takes less than 552 bytes", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const { peer, fd } = opened(h, { mss: 1460 });
    h.send(fd, pattern(1460));
    for (const mtu of [300, 100, 68]) peer.icmpError(3, 4, 1, mtu);
    expect(infoOf(h, fd)(SND_MSS)).to.equal(512);
    peer.icmpError(3, 4, 1, 20);
    peer.icmpError(3, 4, 1, 0xffff);
    expect(infoOf(h, fd)(SND_MSS)).to.equal(512);
  });

  it("lets routers cut what goes where less than 552 bytes pass, as Linux does (min_pmtu)", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const { peer, fd } = opened(h, { mss: 1460 });
    h.send(fd, pattern(1460));
    expect(h.sent().map(({ ip }) => ip!.df)).to.deep.equal([true]);
    peer.icmpError(3, 4, 1, 300);
    // All that follows: what is sent again, new data, the end.
    peer.say(".", { seq: 1, ack: 513 });
    h.send(fd, pattern(100));
    h.advance(3000);
    const after = h.sent();
    expect(after.length).to.be.above(2);
    expect(after.filter(({ ip }) => ip!.df || ip!.total > 552)).to.deep.equal([]);
    // Ten minutes later it is tried again, in case the path has changed.
    peer.say(".", { seq: 1, ack: 1561 });
    h.advance(600_000);
    h.send(fd, pattern(100));
    expect(h.sent()[0]!.ip!.df).to.equal(true);
  });

  it("lets them cut also where segments were as small already, or where a router tells no size", () => {
    for (const mtu of [300, 0]) {
      const h = stackHarness({ sysctls: NO_TIMESTAMPS });
      const { peer, fd } = opened(h, { mss: 512 });
      h.send(fd, pattern(512));
      h.sent();
      peer.icmpError(3, 4, 1, mtu, 8, 552);
      h.advance(3000);
      const again = h.sent();
      expect(again.map(({ ip }) => [ip!.total, ip!.df])[0], `an MTU of ${mtu}`).to.deep.equal([552, false]);
    }
  });

  it("goes on saying that nothing may be cut where the socket insists (IP_PMTUDISC_DO)", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const { peer, fd } = opened(h, { mss: 1460 });
    h.ok(h.setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
    h.send(fd, pattern(1460));
    h.sent();
    peer.icmpError(3, 4, 1, 300);
    expect(h.sent().map(({ ip }) => ip!.df)).to.include(true);
  });

  it("cuts by itself what its own interface does not take in one piece: no MSS is below tcp_min_snd_mss", async () => {
    for (const txChecksum of [false, true]) {
      const network = createNetwork({ seed: 1, time: "virtual" });
      const bridge = network.bridge("lan");
      const common = { bridge, mtu: 68, offloads: { txChecksum, tso: false, lro: false } } as const;
      const a = network.host("a", { ...common, address: "10.0.0.1/24" });
      const b = network.host("b", { ...common, address: "10.0.0.2/24" });
      network.settle();
      const l = listener(b.posix, 80);
      const c = ok(a.posix.socket(AF_INET, SOCK_STREAM, 0));
      ok(a.posix.connect(c, { address: "10.0.0.2", port: 80 }));
      const s = ok(b.posix.accept4(l, null, SOCK_NONBLOCK));
      expect(a.posix.send(c, pattern(2000))).to.equal(2000);
      network.advance("5s");
      const buffer = Buffer.alloc(3000);
      expect(b.posix.recv(s, buffer)).to.equal(2000);
      expect(Buffer.compare(buffer.subarray(0, 2000), pattern(2000))).to.equal(0);
      await network.close();
    }
  });

  it("believes nobody who quotes what is not in flight", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const { peer, fd } = opened(h, { mss: 1460 });
    h.send(fd, pattern(1460));
    peer.say(".", { seq: 1, ack: 1461 });
    h.send(fd, pattern(1460));
    for (const seq of [-5000, 0, 1, 1460, 2922, 1_000_000]) peer.icmpError(3, 4, seq, 600);
    expect(infoOf(h, fd)(SND_MSS)).to.equal(1460);
    peer.icmpError(3, 4, 1461, 600);
    expect(infoOf(h, fd)(SND_MSS)).to.equal(560);
  });

  it("never sends more for it than what was in flight", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const { peer, fd } = opened(h, { mss: 1460 });
    h.send(fd, pattern(14_600));
    peer.heard();
    let sent = 0;
    for (let mtu = 1499; mtu > 552; mtu -= 20) {
      peer.icmpError(3, 4, 1, mtu);
      sent += peer.packets().reduce((sum, { payload }) => sum + payload.length, 0);
    }
    expect(sent).to.be.at.most(48 * 14_600);
    expect(infoOf(h, fd)(SND_CWND)).to.be.at.most(10);
  });
});

describe("path MTU: black holes (RFC 4821 7.7, tcp_mtu_probing 1)", () => {
  it("gets through where large segments vanish without a word", () => {
    const h = stackHarness({ sysctls: { ...NO_TIMESTAMPS, TCP_MTU_PROBING: 1 } });
    const passive = opened(h, { mss: 1460, sackPermitted: true });
    h.send(passive.fd, pattern(14_600));
    expect(receive(h, passive, 14_600, 1100)).to.equal(14_600);
    expect(infoOf(h, passive.fd)(SND_MSS)).to.equal(1024);
  });

  it("goes down by halves to the floor", () => {
    const h = stackHarness({ sysctls: { ...NO_TIMESTAMPS, TCP_MTU_PROBING: 1, TCP_MTU_PROBE_FLOOR: 200 } });
    const { fd } = opened(h, { mss: 1460 });
    h.send(fd, pattern(14_600));
    const sizes = new Set<number>();
    for (let i = 0; i < 600; i++) {
      h.advance(1000);
      if (h.read(fd) === "ETIMEDOUT") break;
      sizes.add(infoOf(h, fd)(SND_MSS));
    }
    expect([...sizes].filter((size) => size >= 200)).to.deep.equal([1460, 1024, 512, 256, 200]);
  });

  it("has no patience for it when it is off", () => {
    const h = stackHarness({ sysctls: NO_TIMESTAMPS });
    const passive = opened(h, { mss: 1460 });
    h.send(passive.fd, pattern(14_600));
    expect(receive(h, passive, 14_600, 1100, 60_000)).to.equal(0);
  });
});

describe("path MTU: active probing (RFC 4821, tcp_mtu_probing 2)", () => {
  it("begins small and finds what the path takes, losing nothing but probes", () => {
    const h = stackHarness({ mtu: 9000, sysctls: { ...NO_TIMESTAMPS, TCP_MTU_PROBING: 2 } });
    const passive = opened(h, { mss: 8960, sackPermitted: true, wscale: 7 });
    expect(infoOf(h, passive.fd)(SND_MSS)).to.equal(8960);
    const receiver = new Receiver(passive, 4000);
    const total = 3_000_000;
    let sent = 0;
    for (let i = 0; i < 5000 && receiver.next <= total; i++) {
      while (sent < total) {
        const n = h.send(passive.fd, pattern(Math.min(60_000, total - sent)));
        if (n <= 0) break;
        sent += n;
      }
      receiver.take();
      h.advance(10);
    }
    expect(receiver.next - 1).to.equal(total);
    expect(h.counter("TCP_MTU_PROBES_GOOD")).to.be.greaterThan(2);
    expect(h.counter("TCP_MTU_PROBES_FAILED")).to.be.greaterThan(2);
    expect(infoOf(h, passive.fd)(SND_MSS)).to.be.within(3960 - 8, 3960);
    expect(h.counter("TCP_TIMEOUTS")).to.equal(0);
  });

  it("does not probe beyond what a router told", () => {
    const h = stackHarness({ sysctls: { ...NO_TIMESTAMPS, TCP_MTU_PROBING: 2 } });
    const passive = opened(h, { mss: 1460, sackPermitted: true });
    h.send(passive.fd, pattern(14_600));
    passive.peer.icmpError(3, 4, 1, 1030);
    expect(infoOf(h, passive.fd)(SND_MSS)).to.equal(990);
    expect(receive(h, passive, 14_600, 1030)).to.equal(14_600);
    expect(h.counter("TCP_MTU_PROBES_FAILED")).to.equal(0);
  });

  it("leaves nothing behind", () => {
    const h = stackHarness({ sysctls: { ...NO_TIMESTAMPS, TCP_MTU_PROBING: 2 } });
    const { peer, fd, listener } = opened(h, { mss: 1460 });
    h.send(fd, pattern(50_000));
    peer.say("R", { seq: 1 });
    h.core.close(fd);
    h.core.close(listener);
    expect(h.pools()).to.deep.equal({});
  });
});

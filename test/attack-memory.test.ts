// Peers that make the other end keep and do much: thousands of holes, islands, a window that stays shut, reneging.
// Read first: RFC 2018 section 8 (reneging), CVE-2019-11477 to 11479 (SACK panics, tiny MSS), RFC 9293 3.8.6.1
// (zero-window probing); test/support/attacker.ts.

import { expect } from "chai";
import { POOL_ISLAND, POOL_TXSEG, SO_RCVBUF, SOL_SOCKET } from "../assembly/layout.ts";
import { Peer, Victim } from "./support/attacker.ts";
import { pattern } from "./support/frames.ts";
import type { Packet } from "./support/packets.ts";

/** The data segments that have left. */
function dataSent(victim: Victim): Packet[] {
  return victim.sent().filter(({ payload }) => payload.length > 0);
}

/** Takes what comes in order and acknowledges it, until there is no more; `stream` gets the bytes by their place. */
function drain(peer: Peer, stream: Uint8Array, from: number): void {
  const { victim } = peer;
  // What was sent again last is waited for as long as the timer has backed off to: two minutes.
  for (let quiet = 0; quiet < 130;) {
    const packets = dataSent(victim);
    for (const { tcp, payload } of packets) {
      const place = (tcp!.seq - from) >>> 0;
      stream.set(payload, place);
      const end = (tcp!.seq + payload.length) >>> 0;
      const isNext = (peer.ack - tcp!.seq) >>> 0 <= payload.length && ((end - peer.ack) | 0) > 0;
      if (isNext) peer.ack = end;
    }
    quiet = packets.length === 0 ? quiet + 1 : 0;
    if (packets.length > 0) peer.send({ seq: peer.seq });
    victim.advance(quiet === 0 ? 10 : 1000);
  }
}

describe("a scoreboard full of holes", () => {
  const BYTES = 60_000;

  it("segments do not become smaller than tcp_min_snd_mss allows, whatever MSS the peer claims", () => {
    for (const mss of [1, 8, 47]) {
      const victim = new Victim();
      const peer = new Peer(victim, { options: { mss } }).open();
      victim.ok(victim.send(peer.fd, pattern(1000)));
      const sizes = dataSent(victim).map(({ payload }) => payload.length);
      expect(Math.min(...sizes), `MSS ${mss}`).to.be.at.least(36);
    }
  });

  it("a thousand SACKed holes cost a record each, are repaired once, and all of it is given back", function () {
    this.timeout(20_000);
    const victim = new Victim({ sizes: { CFG_TXSEGS: 4096, CFG_CHUNKS: 512 }, sysctls: { TCP_INIT_CWND: 2000 } });
    const peer = new Peer(victim, { options: { mss: 48, sackPermitted: true, wscale: 7 }, window: 2000 }).open();
    const start = peer.ack;
    const data = pattern(BYTES);
    expect(victim.send(peer.fd, data)).to.equal(BYTES);
    const segments = dataSent(victim);
    expect(segments.length).to.be.above(1000);
    expect(victim.core.poolUsed(POOL_TXSEG)).to.be.within(1, segments.length);
    // Every second one has arrived, three blocks an ACK.
    const blocks = segments
      .filter((_, i) => i % 2 === 1)
      .map(({ tcp, payload }): [number, number] => {
        return [tcp!.seq, (tcp!.seq + payload.length) >>> 0];
      });
    const startMillis = performance.now();
    let repaired = 0;
    for (let i = 0; i < blocks.length; i += 3) {
      peer.send({ seq: peer.seq, options: { sack: blocks.slice(i, i + 3) } });
      repaired += dataSent(victim).length;
    }
    const perAckMicros = ((performance.now() - startMillis) * 1000) / (blocks.length / 3);
    expect(victim.core.poolUsed(POOL_TXSEG)).to.be.at.most(2 * segments.length);
    expect(repaired).to.be.at.most(segments.length);
    // No square of the holes: far below what a scan of all records for every hole would take.
    expect(perAckMicros).to.be.below(5000);
    // The last of the SACKed have not arrived after all when the rest is drained: everything comes again or came.
    const stream = new Uint8Array(BYTES);
    for (const { tcp, payload } of segments) stream.set(payload, (tcp!.seq - start) >>> 0);
    peer.ack = (start + BYTES) >>> 0;
    peer.send({ seq: peer.seq });
    victim.advance(5000);
    expect(Buffer.compare(stream, data)).to.equal(0);
    expect(victim.core.poolUsed(POOL_TXSEG)).to.equal(0);
    peer.expectAlive();
  });

  it("without records left it takes no more SACKs or sends no more; nothing is lost, and it goes on", () => {
    const victim = new Victim({ sizes: { CFG_TXSEGS: 16 }, sysctls: { TCP_INIT_CWND: 200 } });
    const peer = new Peer(victim, { options: { mss: 100, sackPermitted: true } }).open();
    const start = peer.ack;
    const data = pattern(20_000);
    expect(victim.send(peer.fd, data)).to.equal(20_000);
    const segments = dataSent(victim);
    // Each hole needs a record that is not there.
    for (let i = 1; i < segments.length; i += 2) {
      const { tcp, payload } = segments[i]!;
      peer.send({ seq: peer.seq, options: { sack: [[tcp!.seq, (tcp!.seq + payload.length) >>> 0]] } });
    }
    expect(victim.core.poolUsed(POOL_TXSEG)).to.be.at.most(16);
    const stream = new Uint8Array(20_000);
    for (const { tcp, payload } of segments) stream.set(payload, (tcp!.seq - start) >>> 0);
    victim.advance(300);
    drain(peer, stream, start);
    expect(Buffer.compare(stream, data)).to.equal(0);
    peer.expectAlive();
  });
});

describe("reneging (RFC 2018 section 8)", () => {
  it("what was SACKed and thrown away is sent again: nothing is freed before it is acknowledged", () => {
    const victim = new Victim();
    const peer = new Peer(victim).open();
    const start = peer.ack;
    const data = pattern(14_600);
    victim.ok(victim.send(peer.fd, data));
    const segments = dataSent(victim);
    expect(segments).to.have.length(10);
    const sack = [[segments[1]!.tcp!.seq, start + 14_600]] as [number, number][];
    peer.send({ seq: peer.seq, options: { sack } });
    victim.sent();
    // The first arrives at last, the others are gone: the ACK stops where the SACK began, and says no more of it.
    peer.ack = (start + 1460) >>> 0;
    peer.send({ seq: peer.seq });
    const again = new Set<number>();
    const stream = new Uint8Array(14_600);
    for (let millis = 0; millis < 60_000; millis += 50) {
      for (const { tcp, payload } of dataSent(victim)) {
        again.add(tcp!.seq);
        if (tcp!.seq !== peer.ack) continue;
        stream.set(payload, (tcp!.seq - start) >>> 0);
        peer.ack = (peer.ack + payload.length) >>> 0;
        peer.send({ seq: peer.seq });
      }
      victim.advance(50);
    }
    expect(again.size).to.be.at.least(9);
    expect(peer.ack).to.equal((start + 14_600) >>> 0);
    expect(Buffer.compare(stream.subarray(1460), Buffer.from(data.subarray(1460)))).to.equal(0);
    expect(victim.counter("TCP_SACK_RENEGING")).to.be.at.least(1);
    peer.expectAlive();
  });
});

describe("a flood out of order", () => {
  it("makes islands up to the limit of its receive buffer, drops and counts the rest, and heals", () => {
    const victim = new Victim({ sizes: { CFG_ISLANDS: 4096, CFG_CHUNKS: 4096 } });
    const peer = new Peer(victim).open();
    const most = Math.min(1024, Math.max(16, Math.floor(victim.option(peer.fd, SOL_SOCKET, SO_RCVBUF) / 2048)));
    for (let i = 0; i < 5000; i++) peer.send({ flags: "A", seq: (peer.seq + 1 + 2 * i) >>> 0 }, "x");
    expect(victim.core.poolUsed(POOL_ISLAND)).to.equal(most);
    expect(victim.counter("TCP_OFO_DROPPED")).to.equal(5000 - most);
    // What fills the holes is taken, and joins with what is there.
    const data = Buffer.alloc(2 * most, ".x");
    peer.send({ flags: "PA", seq: peer.seq }, data);
    expect(Buffer.from(victim.read(peer.fd) as Uint8Array).equals(data)).to.equal(true);
    peer.seq = (peer.seq + data.length) >>> 0;
    expect(victim.core.poolUsed(POOL_ISLAND)).to.equal(0);
    peer.expectAlive();
    victim.advance(60_000);
    expect(victim.pools()).to.deep.equal({ TCB: 2 });
  });

  it("of many connections takes the islands of the pool; those that send in order go on", () => {
    const victim = new Victim({ sizes: { CFG_ISLANDS: 64, CFG_CHUNKS: 512 } });
    const honest = new Peer(victim, { from: 700 }).open();
    const bad = Array.from({ length: 8 }, (_, i) => new Peer(victim, { from: 6000 + i }).open());
    for (const peer of bad) {
      for (let i = 0; i < 50; i++) peer.send({ flags: "A", seq: (peer.seq + 1 + 2 * i) >>> 0 }, "x");
    }
    expect(victim.core.poolUsed(POOL_ISLAND)).to.equal(64);
    expect(victim.counter("TCP_OFO_DROPPED")).to.equal(8 * 50 - 64);
    honest.expectAlive();
    for (const peer of bad) peer.send({ flags: "R", seq: peer.seq });
    expect(victim.core.poolUsed(POOL_ISLAND)).to.equal(0);
  });
});

describe("a window that stays shut", () => {
  const HOURS = 12;

  /** A connection with data to send whose peer has shrunk its window to nothing. */
  function shut(): { victim: Victim; peer: Peer; start: number } {
    const victim = new Victim();
    const peer = new Peer(victim).open();
    const start = peer.ack;
    victim.ok(victim.send(peer.fd, pattern(30_000)));
    dataSent(victim);
    peer.window = 0;
    peer.ack = (peer.ack + 1460) >>> 0;
    peer.send({ seq: peer.seq });
    return { victim, peer, start };
  }

  /** Lets hours pass, in which the peer answers every probe with its shut window; returns the probes. */
  function answerProbes({ victim, peer }: { victim: Victim; peer: Peer }, hours: number): number {
    let probes = 0;
    for (let second = 0; second < hours * 3600; second++) {
      victim.advance(1000);
      const sent = victim.sent();
      probes += sent.length;
      if (sent.length > 0) peer.send({ seq: peer.seq });
    }
    return probes;
  }

  it(`for ${HOURS} hours costs a probe every two minutes, and the connection lives`, () => {
    const world = shut();
    const { victim, peer, start } = world;
    const chunks = victim.pools()["CHUNK"];
    const probes = answerProbes(world, HOURS);
    expect(probes).to.be.within(HOURS * 30 - 20, HOURS * 30 + 40);
    expect(victim.pools()["CHUNK"]).to.equal(chunks);
    peer.window = 65_535;
    const stream = new Uint8Array(30_000);
    peer.send({ seq: peer.seq });
    victim.advance(200);
    drain(peer, stream, start);
    expect(Buffer.from(stream.subarray(1460)).equals(Buffer.from(pattern(30_000).subarray(1460)))).to.equal(true);
    peer.expectAlive();
  });

  it("does not keep what the application has closed: such an orphan is given up", () => {
    const world = shut();
    const { victim } = world;
    victim.core.close(world.peer.fd);
    expect(victim.core.orphanCount()).to.equal(1);
    answerProbes(world, 2);
    expect(victim.core.orphanCount()).to.equal(0);
    expect(victim.pools()).to.deep.equal({ TCB: 1 });
  });
});

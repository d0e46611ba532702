// Floods of connections: SYNs, whole handshakes, FINs, TIME-WAIT, half-open peers. What is bounded, who gets through.
// Read first: RFC 4987 (SYN flooding), RFC 9293 3.10.7; test/support/attacker.ts.

import { expect } from "chai";
import { SO_KEEPALIVE, SOL_SOCKET } from "../assembly/layout.ts";
import { Peer, PORT, Victim } from "./support/attacker.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ipv4, tcp, type TcpFields } from "./support/frames.ts";

const seed = seedOf(20_260_402);
const FLOOD = 5000;

/** A SYN from somewhere: the source has a port and an address on the victim's own network. */
function forgedSyn(dice: (bound: number) => number, fields: TcpFields = {}): ReturnType<typeof ipv4> {
  // The peer's address: its MAC is known, so that answers leave at once and can be counted.
  const syn = { from: 1024 + dice(64_000), seq: dice(2 ** 32), flags: "S", ack: 0, options: { mss: 1460 } };
  return ipv4(tcp({ to: PORT, ...syn, ...fields }));
}

/** Sends forged SYNs, a thousand a second, and says how many were answered. */
function synFlood(victim: Victim, count: number, dice = chance(seed)): number {
  return victim.answers(() => {
    for (let i = 0; i < count; i++) {
      victim.receive(forgedSyn(dice));
      if (i % 10 === 0) victim.advance(10);
    }
  }).length;
}

describe(`a SYN flood (RFC 4987, seed ${seed})`, () => {
  const BACKLOG = 16;

  it("holds no more than the backlog; with cookies everybody is answered, and a legitimate client connects", () => {
    const victim = new Victim({ backlog: BACKLOG });
    const dice = chance(seed);
    expect(synFlood(victim, FLOOD, dice)).to.be.at.least(FLOOD);
    expect(victim.core.poolUsed(1), "TCBs of listener and embryos").to.be.at.most(1 + BACKLOG);
    const peer = new Peer(victim, { from: 700 }).open();
    expect(victim.counter("TCP_SYN_COOKIES_SENT")).to.be.above(FLOOD - 100);
    expect(victim.counter("TCP_SYN_COOKIES_RECV")).to.equal(1);
    synFlood(victim, 500, dice);
    peer.expectAlive();
  });

  it("without cookies the backlog is all there is; the legitimate client gets in when embryos have timed out", () => {
    const victim = new Victim({ backlog: BACKLOG, sysctls: { TCP_SYNCOOKIES: 0 } });
    synFlood(victim, FLOOD);
    expect(victim.core.poolUsed(1)).to.be.at.most(1 + BACKLOG);
    expect(victim.counter("TCP_LISTEN_DROPS")).to.be.above(FLOOD / 2);
    const peer = new Peer(victim, { from: 700 });
    expect(victim.answers(() => peer.send({ flags: "S", ack: 0, seq: peer.seq }))).to.have.length(0);
    // tcp_synack_retries 5: 1 + 2 + 4 + 8 + 16 + 32 seconds.
    victim.advance(64_000);
    expect(victim.pools()).to.deep.equal({ TCB: 1 });
    peer.open().expectAlive();
  });

  it("cookies that were not sent are not believed", () => {
    const victim = new Victim({ backlog: BACKLOG });
    synFlood(victim, 200);
    const dice = chance(seed + 1);
    const answers = victim.answers(() => {
      for (let i = 0; i < 2000; i++) victim.receive(forgedSyn(dice, { flags: "A", ack: dice(2 ** 32), options: {} }));
    });
    expect(victim.counter("TCP_SYN_COOKIES_RECV")).to.equal(0);
    expect(victim.counter("TCP_SYN_COOKIES_FAILED")).to.be.within(1900, 2000);
    expect(answers.filter(({ tcp }) => tcp!.flags !== "R")).to.have.length(0);
    expect(victim.accept()).to.equal(-11);
  });
});

describe("a flood of whole connections", () => {
  it("fills the accept queue and no more; nobody else is kept, and it recovers", () => {
    const victim = new Victim({ backlog: 4, sysctls: { TCP_SYNCOOKIES: 0 } });
    const peers = Array.from({ length: 40 }, (_, i) => new Peer(victim, { from: 6000 + i }));
    for (const peer of peers) {
      const [synAck] = victim.answers(() => peer.send({ flags: "S", ack: 0 }));
      if (synAck === undefined) continue;
      peer.ack = synAck.tcp!.seq + 1;
      peer.send();
    }
    // Linux's rule: the queue is full when it holds more than the backlog.
    expect(victim.counter("TCP_PASSIVE_OPENS")).to.equal(5);
    expect(victim.counter("TCP_LISTEN_OVERFLOWS")).to.be.above(20);
    expect(victim.core.poolUsed(1)).to.be.at.most(1 + 5 + 4);
    for (let i = 0; i < 5; i++) victim.ok(victim.accept());
    expect(victim.accept()).to.equal(-11);
    victim.advance(64_000);
    new Peer(victim, { from: 700 }).open().expectAlive();
  });

  it("takes the last connection of the pool: counted, no trap; cookies answer on; it recovers", () => {
    const victim = new Victim({ backlog: 4096, sizes: { CFG_CONNECTIONS: 32, CFG_FLIGHTS: 32 } });
    const open: Peer[] = [];
    for (let i = 0; i < 31; i++) open.push(new Peer(victim, { from: 6000 + i }).open());
    expect(victim.core.poolUsed(1)).to.equal(32);
    const late = new Peer(victim, { from: 700 });
    const [synAck] = victim.answers(() => late.send({ flags: "S", ack: 0, options: late.options }));
    expect(synAck!.tcp!.flags).to.equal("SA");
    expect(victim.counter("TCP_SYN_COOKIES_SENT")).to.equal(1);
    expect(victim.core.poolFailures(1)).to.be.above(0);
    // There is no room for what the cookie brings back either: a reset, as if nobody listened.
    late.ack = synAck!.tcp!.seq + 1;
    expect(victim.answers(() => late.send())[0]!.tcp!.flags).to.equal("R");
    expect(victim.core.socket(2, 1, 0)).to.be.below(0);
    open.forEach((peer) => peer.expectAlive());
    for (const peer of open) peer.send({ flags: "R", seq: peer.seq });
    for (const { fd } of open) victim.core.close(fd);
    expect(victim.pools()).to.deep.equal({ TCB: 1 });
    new Peer(victim, { from: 701 }).open().expectAlive();
  });
});

describe("a flood of FINs", () => {
  it("to nobody is answered by resets; to a connection, outside its window, by ACKs; nothing is kept", () => {
    const victim = new Victim();
    const peer = new Peer(victim).open();
    const dice = chance(seed);
    const before = victim.pools();
    const toNobody = victim.answers(() => {
      for (let i = 0; i < 2000; i++) victim.receive(forgedSyn(dice, { flags: "FA", ack: dice(2 ** 32), options: {} }));
    });
    expect(new Set(toNobody.map(({ tcp }) => tcp!.flags))).to.deep.equal(new Set(["R"]));
    const toPeer = victim.answers(() => {
      for (let i = 0; i < 2000; i++) {
        const seq = (peer.seq + 0x100000 + dice(0xffe00000)) >>> 0;
        victim.receive(peer.segment({ flags: "FA", seq }));
      }
    });
    expect(toPeer.length).to.be.at.most(2000);
    expect(victim.isEstablished(peer.fd)).to.equal(true);
    peer.expectAlive();
    // A duplicate is reported by a D-SACK: the connection has a Flight until it has been idle for a while.
    victim.advance(60_000);
    expect(victim.pools()).to.deep.equal(before);
  });
});

describe("TIME-WAIT exhaustion", () => {
  it("keeps as many records as the pool has; further connections end without one, counted; all is given back", () => {
    const victim = new Victim({ sizes: { CFG_TIME_WAITS: 8 } });
    const rounds = 50;
    for (let i = 0; i < rounds; i++) {
      const peer = new Peer(victim, { from: 6000 + i }).open();
      victim.core.close(peer.fd); // the active close ends in TIME-WAIT
      victim.sent();
      peer.ack = (peer.ack + 1) >>> 0;
      peer.send({ flags: "FA" });
    }
    expect(victim.core.timeWaitCount()).to.equal(8);
    expect(victim.counter("TCP_TIME_WAITS")).to.equal(8);
    expect(victim.counter("TCP_TIME_WAIT_OVERFLOW")).to.equal(rounds - 8);
    new Peer(victim, { from: 700 }).open().expectAlive();
    victim.advance(61_000);
    expect(victim.core.timeWaitCount()).to.equal(0);
    expect(victim.core.poolUsed(1)).to.equal(2);
  });

  it("answers stray ACKs to a record once in half a second, and is not prolonged for ever by data of the past", () => {
    const victim = new Victim();
    const peer = new Peer(victim).open();
    victim.core.close(peer.fd);
    victim.sent();
    peer.ack = (peer.ack + 1) >>> 0;
    peer.send({ flags: "FA" });
    expect(victim.core.timeWaitCount()).to.equal(1);
    const answers = victim.answers(() => {
      for (let i = 0; i < 1000; i++) peer.send({ seq: (peer.seq - 5000) >>> 0 });
    });
    expect(answers).to.have.length(1);
  });
});

describe("peers that fall silent", () => {
  it("in the middle of the handshake are forgotten after tcp_synack_retries", () => {
    const victim = new Victim();
    const peer = new Peer(victim);
    const answers = victim.answers(() => {
      peer.send({ flags: "S", ack: 0 });
      victim.advance(70_000);
    });
    expect(answers.map(({ tcp }) => tcp!.flags)).to.deep.equal(Array(6).fill("SA"));
    expect(victim.pools()).to.deep.equal({ TCB: 1 });
  });

  it("when established hold a TCB and nothing else, for ever; with keepalive until it has asked in vain", () => {
    const victim = new Victim();
    const idle = new Peer(victim, { from: 5000 }).open();
    const asked = new Peer(victim, { from: 5001 }).open();
    victim.ok(victim.setOption(asked.fd, SOL_SOCKET, SO_KEEPALIVE, 1));
    victim.advance(30 * 86_400_000);
    expect(victim.isEstablished(idle.fd)).to.equal(true);
    expect(victim.read(asked.fd)).to.equal("ETIMEDOUT");
    expect(victim.pools()).to.deep.equal({ TCB: 3 });
    expect(victim.counter("TCP_KEEPALIVE_PROBES")).to.equal(9);
  });

  it("after the victim has closed are forgotten too: FIN-WAIT-2 ends, an orphan's FIN is not repeated for ever", () => {
    const victim = new Victim();
    const silent = new Peer(victim, { from: 5000 }).open();
    const half = new Peer(victim, { from: 5001 }).open();
    victim.core.close(silent.fd);
    victim.core.close(half.fd);
    victim.sent();
    half.ack = (half.ack + 1) >>> 0;
    half.send();
    expect(victim.core.orphanCount()).to.be.above(0);
    victim.advance(20 * 60_000);
    expect(victim.pools()).to.deep.equal({ TCB: 1 });
    expect(victim.core.orphanCount() + victim.core.timeWaitCount()).to.equal(0);
  });
});

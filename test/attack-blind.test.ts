// Attacks by those who cannot see the connection: forged resets, SYNs, data and ACKs; and by a peer that lies.
// Read first: RFC 5961 (blind attacks), RFC 9293 3.10.7.4; Savage et al., "TCP Congestion Control with a Misbehaving
// Receiver" (1999); test/support/attacker.ts.

import { expect } from "chai";
import { Peer, Victim } from "./support/attacker.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ipv4, tcp, type TcpFields } from "./support/frames.ts";

const GUESSES = 5000;
const seed = seedOf(20_260_401);

/** A victim with one connection, and the size of its receive window. */
function connection(options: ConstructorParameters<typeof Victim>[0] = {}): { victim: Victim; peer: Peer } {
  const victim = new Victim(options);
  return { victim, peer: new Peer(victim).open() };
}

/** Sends guesses of a sequence number, far from the window unless `within` says how far behind rcvNxt. */
function guess(peer: Peer, fields: TcpFields, dice: (bound: number) => number, within?: number): void {
  for (let i = 0; i < GUESSES; i++) {
    const seq = within === undefined ? peer.seq + 0x100000 + dice(0xffe00000) : peer.seq + 1 + dice(within);
    peer.victim.receive(peer.segment({ seq: seq >>> 0, ...fields }));
    if (i % 100 === 0) peer.victim.advance(1);
  }
}

describe(`off-path guesses at a connection (RFC 5961, seed ${seed})`, () => {
  it("resets outside the window are dropped without a word", () => {
    const { victim, peer } = connection();
    const answers = victim.answers(() => guess(peer, { flags: "R" }, chance(seed)));
    expect(answers).to.have.length(0);
    peer.expectAlive();
  });

  it("resets inside the window are challenged, one in half a second; only the exact number ends it", () => {
    const { victim, peer } = connection();
    const millis = GUESSES / 100;
    const answers = victim.answers(() => guess(peer, { flags: "R" }, chance(seed), 60_000));
    expect(answers.length).to.be.within(1, 1 + Math.ceil(millis / 500));
    expect(answers[0]!.tcp).to.include({ flags: "A", seq: peer.ack, ack: peer.seq });
    expect(victim.counter("TCP_CHALLENGE_LIMITED")).to.equal(GUESSES - answers.length);
    peer.expectAlive();
    peer.send({ flags: "R", seq: peer.seq });
    expect(victim.read(peer.fd)).to.equal("ECONNRESET");
  });

  it("SYNs, wherever they lie, change nothing", () => {
    const { victim, peer } = connection();
    for (const within of [undefined, 60_000]) {
      const answers = victim.answers(() => guess(peer, { flags: "S", ack: 0 }, chance(seed), within));
      expect(answers.length).to.be.at.most(2);
      for (const { tcp } of answers) expect(tcp).to.include({ flags: "A", ack: peer.seq });
    }
    peer.send({ flags: "S", seq: peer.seq, ack: 0 });
    expect(victim.isEstablished(peer.fd)).to.equal(true);
    peer.expectAlive();
  });

  it("data whose ACK is a guess is not taken (RFC 5961 5.2)", () => {
    const { victim, peer } = connection();
    const dice = chance(seed);
    for (let i = 0; i < GUESSES; i++) {
      // The sequence number is right: only the ACK, which must lie in the window of what was sent, is not known.
      const ack = (peer.ack + 0x10000 + dice(0xfffe0000)) >>> 0;
      victim.receive(peer.segment({ flags: "PA", seq: peer.seq, ack }, "forged"));
    }
    expect(victim.read(peer.fd)).to.equal("EAGAIN");
    expect(victim.pools()).to.not.have.property("CHUNK");
    peer.expectAlive();
  });

  it("the challenges of all connections together are limited (RFC 5961 section 7)", () => {
    const victim = new Victim({ sysctls: { TCP_CHALLENGE_ACK_LIMIT: 5 } });
    const peers = Array.from({ length: 12 }, (_, i) => new Peer(victim, { from: 6000 + i }).open());
    victim.advance(1000 - (victim.now % 1000));
    const round = (): number =>
      victim.answers(() => peers.forEach((peer) => peer.send({ flags: "S", seq: peer.seq, ack: 0 }))).length;
    expect(round()).to.equal(5);
    expect(round()).to.equal(0);
    victim.advance(1000);
    expect(round()).to.equal(5);
    peers.forEach((peer) => peer.expectAlive());
  });

  it("guesses at the four numbers of no connection get resets, and leave nothing", () => {
    const victim = new Victim();
    const dice = chance(seed);
    const before = victim.pools();
    const answers = victim.answers(() => {
      for (let i = 0; i < 2000; i++) {
        const flags = ["R", "A", "FA", "SA", "PA", "RA", "F", ""][dice(8)]!;
        const fields = { from: 1 + dice(65_535), to: 1 + dice(65_535), seq: dice(2 ** 32), ack: dice(2 ** 32), flags };
        victim.receive(ipv4({ from: 0x0a000000 + 2 + dice(200) }, tcp(fields)));
      }
    });
    for (const { tcp } of answers) expect(tcp!.flags).to.match(/^R?A?$/);
    // Resets for hosts that are not there have waited for their MAC addresses meanwhile.
    victim.advance(10_000);
    expect(victim.pools()).to.deep.equal(before);
  });
});

describe("two ends whose numbers have come apart (an ACK storm)", () => {
  it("do not answer each other for ever", () => {
    const [one, two] = [new Victim({ seed: 1 }), new Victim({ seed: 2 })];
    const first = new Peer(one).open();
    const second = new Peer(two).open();
    // To each, forged data of the other has arrived: it acknowledges what the other never sent.
    for (const peer of [first, second]) {
      peer.victim.receive(peer.segment({ flags: "PA" }, "forged data that only this end has seen"));
      peer.victim.advance(50);
      peer.victim.sent();
    }
    const shift = [first.ack - second.seq, second.ack - first.seq].map((n) => n >>> 0) as [number, number];
    const relay = (from: Peer, to: Peer, offsets: [number, number]): number => {
      const packets = from.victim.sent().filter(({ tcp }) => tcp !== undefined);
      for (const { tcp, payload } of packets) {
        const numbers = { seq: (tcp!.seq - offsets[0]) >>> 0, ack: (tcp!.ack + offsets[1]) >>> 0 };
        to.victim.receive(to.segment({ flags: tcp!.flags, ...numbers }, payload));
      }
      return packets.length;
    };
    // The quarrel begins with one word from each.
    for (const peer of [first, second]) one.ok(peer.victim.send(peer.fd, "hello"));
    let segments = 0;
    for (let millis = 0; millis < 60_000; millis += 5) {
      segments += relay(first, second, shift) + relay(second, first, [shift[1], shift[0]]);
      one.advance(5);
      two.advance(5);
    }
    // Retransmissions with backoff, and an answer to each: a handful, where an unlimited storm makes 12,000.
    expect(segments).to.be.within(4, 400);
    expect([one.isEstablished(first.fd), two.isEstablished(second.fd)]).to.deep.equal([true, true]);
  });
});

describe("a receiver that lies", () => {
  const BYTES = 100_000;

  /** A connection whose victim has `bytes` to send; what it has sent so far is taken. */
  function sending(bytes = BYTES): { victim: Victim; peer: Peer } {
    const both = connection();
    both.victim.ok(both.victim.send(both.peer.fd, new Uint8Array(bytes)));
    return both;
  }

  it("acknowledges what was never sent: the window does not grow, nothing is freed", () => {
    const { victim, peer } = sending();
    const first = victim.sent().length;
    const before = victim.info(peer.fd);
    for (let i = 1; i <= 1000; i++) peer.send({ ack: (peer.ack + BYTES * 10 + i) >>> 0, seq: peer.seq });
    const after = victim.info(peer.fd);
    expect(first).to.equal(10);
    expect(after.tcpi_snd_cwnd).to.equal(before.tcpi_snd_cwnd);
    expect(after.tcpi_unacked).to.equal(before.tcpi_unacked);
    expect(victim.sent().filter(({ payload }) => payload.length > 0)).to.have.length(0);
  });

  it("divides its ACKs: many for one segment open the window no further than one does", () => {
    const cwndAfter = (pieces: number): number => {
      const { victim, peer } = sending();
      victim.sent();
      victim.advance(20);
      for (let i = 1; i <= pieces; i++) {
        peer.send({ ack: (peer.ack + Math.floor((1460 * i) / pieces)) >>> 0, seq: peer.seq });
      }
      return victim.info(peer.fd).tcpi_snd_cwnd!;
    };
    expect(cwndAfter(1460)).to.equal(cwndAfter(1));
  });

  it("repeats an ACK a thousand times: each lets one new segment out at most (RFC 5681 3.2)", () => {
    const { victim, peer } = sending(60_000);
    victim.sent();
    victim.advance(20);
    const sent = victim.answers(() => {
      for (let i = 0; i < 1000; i++) peer.send({ ack: peer.ack, seq: peer.seq });
    });
    expect(sent.length).to.be.below(80);
    const out = victim.info(peer.fd).tcpi_unacked! * 1460;
    expect(out).to.be.at.most(65_535 + 1460);
  });
});

// Floods below TCP: fragments that never become whole, ARP that nobody asked for, ICMP in both directions.
// Read first: RFC 1858 and 3128 (tiny and overlapping fragments), RFC 5227 and 826 (ARP), RFC 5927 (ICMP attacks on
// TCP), RFC 1812 4.3.2.8 (rate limits); test/support/harness.ts.

import { expect } from "chai";
import { POOL_CHUNK_LARGE, POOL_REASSEMBLY } from "../assembly/layout.ts";
import { Peer, Victim } from "./support/attacker.ts";
import { chance, seedOf } from "./support/chance.ts";
import {
  arp,
  arpReply,
  arpRequest,
  bytesOf,
  echo,
  ether,
  fragments,
  HOST,
  icmp,
  ip,
  ipv4,
  pattern,
  PEER,
  tcp,
  udp,
} from "./support/frames.ts";
import { type StackHarness, stackHarness } from "./support/harness.ts";

const seed = seedOf(20_260_403);
const CONTEXTS = 8;
const OTHER_MAC = "02:00:00:00:66:66";

describe(`a flood of fragments (seed ${seed})`, () => {
  const flood = (h: StackHarness, count: number, one: (i: number) => ReturnType<typeof ipv4>): void => {
    for (let i = 0; i < count; i++) h.receive(one(i));
  };

  it("that never become whole fills the contexts, no more; an honest datagram gets through; time frees them", () => {
    const h = stackHarness({ sizes: { CFG_REASSEMBLIES: CONTEXTS, CFG_LARGE_CHUNKS: 64 } });
    const fd = h.udp({ bind: ":7" });
    const first = (id: number): ReturnType<typeof ipv4> => ipv4({ id, mf: true, protocol: 17 }, pattern(1400));
    flood(h, 5000, first);
    expect(h.core.poolUsed(POOL_REASSEMBLY)).to.equal(CONTEXTS);
    expect(h.core.poolUsed(POOL_CHUNK_LARGE)).to.equal(CONTEXTS);
    expect(h.counter("IP_REASM_FAILS")).to.equal(5000 - CONTEXTS);
    const whole = bytesOf(ipv4({ id: 9999 }, udp({ to: 7 }, pattern(4000))));
    for (const [i, part] of fragments(whole, 1000).entries()) {
      h.receive(ether(part));
      flood(h, 1, () => first(20_000 + i));
    }
    expect((h.receiveFrom(fd) as { data: Uint8Array }).data).to.deep.equal(pattern(4000));
    h.advance(31_000);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
    expect(h.counter("IP_REASM_TIMEOUT")).to.equal(CONTEXTS);
  });

  it("takes a quarter of the large chunks at most, so that streams have the others", () => {
    const h = stackHarness({ sizes: { CFG_REASSEMBLIES: 64, CFG_LARGE_CHUNKS: 16 } });
    flood(h, 200, (id) => ipv4({ id, mf: true, protocol: 17 }, pattern(800)));
    expect(h.core.poolUsed(POOL_CHUNK_LARGE)).to.equal(4);
  });

  it("of eight bytes each, with holes, is given up after 64 runs; overlaps end their datagram at once", () => {
    const h = stackHarness();
    const tiny = (i: number): ReturnType<typeof ipv4> =>
      ipv4({ id: 5, mf: true, offset: 16 * i, protocol: 17 }, pattern(8));
    flood(h, 64, tiny);
    expect(h.core.poolUsed(POOL_REASSEMBLY)).to.equal(1);
    h.receive(tiny(64));
    expect(h.core.poolUsed(POOL_REASSEMBLY)).to.equal(0);
    h.receive(ipv4({ id: 6, mf: true, protocol: 17 }, pattern(80)));
    h.receive(ipv4({ id: 6, mf: true, offset: 40, protocol: 17 }, pattern(80)));
    expect(h.core.poolUsed(POOL_REASSEMBLY)).to.equal(0);
    // A TCP fragment that would hide the flags of the first one (RFC 1858 4.2).
    h.receive(ipv4({ id: 7, mf: true, offset: 8, protocol: 6 }, pattern(8)));
    expect(h.core.poolUsed(POOL_REASSEMBLY)).to.equal(0);
    expect(h.counter("IP_REASM_FAILS")).to.equal(3);
  });

  it("at random leaves nothing once it is over", () => {
    const h = stackHarness({ sizes: { CFG_REASSEMBLIES: CONTEXTS } });
    const dice = chance(seed);
    flood(h, 5000, () => {
      const fields = { id: dice(6), mf: dice(3) > 0, offset: 8 * dice(8191), protocol: [6, 17, 1, 99][dice(4)]! };
      return ipv4({ from: ip(PEER.address) + dice(3), ...fields }, pattern(8 * (1 + dice(100))));
    });
    expect(h.core.poolUsed(POOL_REASSEMBLY)).to.be.at.most(CONTEXTS);
    h.advance(40_000);
    expect(h.pools()).to.deep.equal({});
  });
});

describe("a flood of ARP", () => {
  const ENTRIES = 16;
  const sender = (i: number): { sender: string; senderMac: string } => ({
    sender: `10.0.0.${10 + (i % 240)}`,
    senderMac: `02:00:00:00:00:${(10 + (i % 240)).toString(16).padStart(2, "0")}`,
  });

  it("takes half of the cache at most and pushes out only its like: who is talked to stays", () => {
    const h = stackHarness({ resolved: false, sizes: { CFG_ARP_ENTRIES: ENTRIES } });
    const fd = h.udp({ bind: ":7" });
    h.send(fd, "hello", "10.0.0.2:7");
    h.sent();
    h.receive(arpReply());
    h.expectSent({ ip: { to: PEER.address }, udp: { to: 7 } });
    for (let i = 0; i < 5000; i++) {
      h.receive(arpRequest(sender(i)));
      if (i % 100 === 0) h.advance(10);
    }
    const rows = h.arpTable();
    expect(rows).to.have.length.at.most(1 + ENTRIES / 2);
    expect(rows.find(({ address }) => address === PEER.address)?.mac).to.equal(PEER.mac);
    h.sent();
    h.send(fd, "still", "10.0.0.2:7");
    h.expectSent({ ether: { to: PEER.mac }, udp: { to: 7 } });
  });

  it("replies that nobody asked for make no entry", () => {
    const h = stackHarness({ resolved: false });
    for (let i = 0; i < 1000; i++) h.receive(arpReply(sender(i)));
    expect(h.arpTable()).to.deep.equal([]);
  });

  it("a neighbour's address is not changed twice in a second, a permanent one never (poisoning)", () => {
    const h = stackHarness({ resolved: false });
    const macOf = (address: string): string | undefined => h.arpTable().find((row) => row.address === address)?.mac;
    const fd = h.udp();
    h.send(fd, "who?", "10.0.0.2:7");
    h.sent();
    h.receive(arpReply());
    for (let i = 0; i < 100; i++) h.receive(arpReply({ senderMac: OTHER_MAC }));
    expect(macOf(PEER.address)).to.equal(PEER.mac);
    const fixed = stackHarness();
    for (let i = 0; i < 100; i++) {
      fixed.receive(arpReply({ senderMac: OTHER_MAC }));
      fixed.receive(arpRequest({ senderMac: OTHER_MAC }));
      fixed.advance(100);
    }
    expect(fixed.arpTable()[0]).to.include({ address: PEER.address, mac: PEER.mac });
  });

  it("packets for neighbours that are not there wait in bounds, and are dropped and counted", () => {
    const h = stackHarness({ sizes: { CFG_MBUFS: 128 } });
    const fd = h.udp();
    for (let i = 0; i < 2000; i++) h.send(fd, "lost", `10.0.0.${100 + (i % 100)}:7`);
    h.sent();
    // A quarter of the mbufs, all neighbours together.
    expect(h.pools()["MBUF"]).to.be.at.most(32 + 1);
    expect(h.counter("ARP_PENDING_DROPS")).to.be.above(1000);
    h.sent();
    h.send(fd, "here", "10.0.0.2:7");
    expect(h.sent().some(({ ip }) => ip?.to === PEER.address)).to.equal(true);
    h.advance(10_000);
    expect(h.pools()).to.deep.equal({ SOCKET: 1 });
  });

  it("somebody who claims our address is told, ten seconds later again at the earliest (RFC 5227 2.4)", () => {
    const h = stackHarness();
    h.sent();
    for (let i = 0; i < 1000; i++) {
      h.receive(ether({ from: OTHER_MAC }, arp({ operation: 2, sender: HOST.address, senderMac: OTHER_MAC })));
      h.advance(1);
    }
    expect(h.counter("ARP_CONFLICTS")).to.equal(1000);
    expect(h.sent().filter((packet) => packet.arp !== undefined).length).to.be.at.most(2);
  });
});

describe("a flood of ICMP", () => {
  it("errors that the stack causes are limited: a burst, then so many a second", () => {
    const h = stackHarness({ sysctls: { ICMP_RATELIMIT: 100 } });
    const errors = (count: number): number => {
      for (let i = 0; i < count; i++) h.receive(ipv4(udp({ to: 9 }, "x")));
      return h.sent().length;
    };
    expect(errors(1000)).to.equal(50);
    expect(errors(1000)).to.equal(0);
    h.advance(200);
    expect(errors(1000)).to.equal(20);
    expect(h.counter("ICMP_OUT_RATE_LIMITED")).to.equal(3000 - 70);
  });

  it("echoes are answered one for one, and cost nothing that stays", () => {
    const h = stackHarness();
    for (let i = 0; i < 2000; i++) h.receive(ipv4(echo(pattern(56), 1, i)));
    expect(h.sent()).to.have.length(2000);
    h.receive(ether({ to: "ff:ff:ff:ff:ff:ff" }, ipv4({ to: "10.0.0.255" }, echo())));
    h.expectSilence(); // Smurf: RFC 1122 3.2.2.6 leaves it to us
    expect(h.pools()).to.deep.equal({});
  });

  it("forged errors do not end a connection, nor make its segments tiny (RFC 5927)", () => {
    const victim = new Victim();
    const peer = new Peer(victim).open();
    victim.ok(victim.send(peer.fd, pattern(5000)));
    const [segment] = victim.sent();
    const quote = (seq: number): Uint8Array =>
      bytesOf(ipv4({ from: HOST.address, to: PEER.address }, tcp({ from: 80, to: 5000, seq, ack: peer.seq })));
    const dice = chance(seed);
    for (let i = 0; i < 2000; i++) {
      // Hard errors with guessed sequence numbers, then with a right one: soft while the connection stands.
      const seq = i % 2 === 0 ? (peer.ack + 0x100000 + dice(0xffe00000)) >>> 0 : segment!.tcp!.seq;
      victim.receive(ipv4(icmp({ type: 3, code: [0, 1, 2, 3][dice(4)]! }, quote(seq))));
      victim.receive(ipv4(icmp({ type: 3, code: 4, rest: 68 }, quote((peer.ack + 0x100000) >>> 0))));
    }
    expect(victim.isEstablished(peer.fd)).to.equal(true);
    expect(victim.info(peer.fd).tcpi_snd_mss).to.equal(1460);
    victim.receive(ipv4(icmp({ type: 3, code: 4, rest: 68 }, quote(segment!.tcp!.seq))));
    expect(victim.info(peer.fd).tcpi_snd_mss).to.be.at.least(512);
    peer.ack = (peer.ack + 5000) >>> 0;
    peer.expectAlive();
  });
});

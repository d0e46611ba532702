// Hostile frames: random ones, and good ones that were damaged, with checksums that fit and that do not. Nothing traps,
// every frame is counted once, everything comes back. Two stacks get the same frames with different bytes behind them:
// what they do and count is the same, so nothing outside the frame was looked at.

import { expect } from "chai";
import { IP_ADD_MEMBERSHIP, IP_RECVERR, IPPROTO_IP } from "../assembly/layout.ts";
import { chance, seedOf } from "./support/chance.ts";
import {
  arp,
  arpReply,
  arpRequest,
  BROADCAST_MAC,
  checksum,
  echo,
  ether,
  fragments,
  groupMac,
  HOST,
  icmp,
  igmp,
  ip,
  ipv4,
  pattern,
  pseudoHeader,
  tcp,
  udp,
} from "./support/frames.ts";
import { stackHarness, type StackHarness } from "./support/harness.ts";

const FRAMES = 20_000;
const GROUP = "239.1.2.3";
type Random = (bound: number) => number;

/** One good frame of every kind that the stack knows. */
function corpus(): Uint8Array[] {
  const ours = ipv4({ from: HOST.address, to: "10.0.0.2" }, udp({ from: 7, to: 5000 }, "ours")).bytes();
  const layers = [
    arpRequest(),
    arpReply(),
    arpRequest({ sender: 0, target: HOST.address }),
    arpRequest({ sender: HOST.address, senderMac: "02:00:00:00:00:77" }),
    ether({ to: BROADCAST_MAC }, arp({ target: "10.0.0.77" })),
    ether(ipv4(udp({ to: 7 }, "ping"))),
    ether(ipv4(udp({ to: 7 }, pattern(1400)))),
    ether(ipv4(udp({ to: 9 }, "nobody"))),
    ether(ipv4(udp({ to: 7, checksum: 0 }, "no checksum"))),
    ether({ pad: 60 }, ipv4(udp({ to: 7 }))),
    ether(ipv4({ options: [7, 7, 4, 0, 0, 0, 0, 0] }, udp({ to: 7 }, "options"))),
    ether(ipv4({ options: [131, 7, 4, 10, 0, 0, 9, 0] }, udp({ to: 7 }, "routed"))),
    ether({ to: BROADCAST_MAC }, ipv4({ to: "10.0.0.255" }, udp({ to: 7 }, "all"))),
    ether({ to: groupMac(GROUP) }, ipv4({ to: GROUP }, udp({ to: 7 }, "group"))),
    ether(ipv4(echo("echo"))),
    ether(ipv4(icmp({ type: 3, code: 3 }, ours))),
    ether(ipv4(icmp({ type: 3, code: 4, rest: 1000 }, ours))),
    ether(ipv4(icmp({ type: 11 }, ours))),
    ether(ipv4(icmp({ type: 12 }, ours))),
    ether(ipv4({ protocol: 99 }, "unknown")),
    ether(
      ipv4(tcp({ to: 80, flags: "S", options: { mss: 1460, wscale: 7, sackPermitted: true, timestamps: [1, 0] } })),
    ),
    ether(ipv4(tcp({ to: 80, flags: "PA", seq: 1, ack: 1 }, "data"))),
    ether({ to: groupMac("224.0.0.1") }, ipv4({ to: "224.0.0.1", ttl: 1 }, igmp({ type: 0x11, maxResponse: 10 }))),
    ether({ to: groupMac(GROUP) }, ipv4({ to: GROUP, ttl: 1 }, igmp({ type: 0x16, group: GROUP }))),
  ];
  const large = ipv4({ id: 7 }, udp({ to: 7 }, pattern(3000))).bytes();
  return [...layers.map((layer) => layer.bytes()), ...fragments(large, 1480).map((part) => ether(part).bytes())];
}

/** Makes the checksums of a frame right again, as far as it has any. */
function seal(frame: Uint8Array, transport: boolean): void {
  if (frame.length < 34 || frame[12] !== 8 || frame[13] !== 0) return;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const headerBytes = (frame[14]! & 15) * 4;
  const end = Math.min(14 + view.getUint16(16), frame.length);
  const start = 14 + headerBytes;
  if (headerBytes < 20 || start > frame.length) return;
  const body = frame.subarray(start, end);
  const at = { 1: 2, 2: 2, 6: 16, 17: 6 }[frame[23]!];
  if (transport && at !== undefined && body.length >= at + 2) {
    view.setUint16(start + at, 0);
    const under = { from: view.getUint32(26), to: view.getUint32(30) };
    const pseudo = frame[23]! < 6 ? new Uint8Array(0) : pseudoHeader(under, frame[23]!, body.length);
    view.setUint16(start + at, checksum(pseudo, body));
  }
  view.setUint16(24, 0);
  view.setUint16(24, checksum(frame.subarray(14, start)));
}

const EXTREMES = [0, 1, 7, 8, 19, 20, 27, 28, 127, 128, 255];

function mutate(good: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let frame = Uint8Array.from(good);
  for (let n = random(4); n >= 0; n--) {
    const at = random(Math.min(frame.length, 70));
    switch (random(7)) {
      case 0:
        frame[at]! ^= 1 << random(8);
        break;
      case 1:
        frame[at] = random(256);
        break;
      case 2:
        frame[at] = EXTREMES[random(EXTREMES.length)]!;
        break;
      case 3: // the fields that say how long, where, what
        frame[[14, 16, 17, 20, 21, 23, 38, 39, 46][random(9)]!] = EXTREMES[random(EXTREMES.length)]!;
        break;
      case 4:
        frame = frame.slice(0, random(frame.length + 1));
        break;
      case 5:
        frame = Uint8Array.from(Buffer.concat([frame, pattern(random(64), random(256))]));
        break;
      default:
        frame = Uint8Array.from(Buffer.concat([frame.subarray(0, at), other.subarray(at)]));
    }
    if (frame.length === 0) break;
  }
  if (random(4) > 0) seal(frame, random(3) > 0);
  return frame;
}

function randomFrame(random: Random): Uint8Array {
  const frame = Uint8Array.from({ length: random(120) }, () => random(256));
  frame.set(Uint8Array.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, random(2) * 6]).subarray(0, frame.length));
  if (random(2) > 0 && frame.length > 14) frame[14] = 0x45;
  if (random(2) > 0) seal(frame, true);
  return frame;
}

function victim(filler: number): { h: StackHarness; fds: number[] } {
  const h = stackHarness({ filler, sizes: { CFG_CHUNKS: 64 } });
  const plain = h.udp({ bind: ":7" });
  h.ok(h.setOption(plain, IPPROTO_IP, IP_RECVERR, 1));
  const membership = Uint8Array.of(239, 1, 2, 3, 0, 0, 0, 0);
  h.ok(h.setOption(plain, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership));
  const connected = h.udp({ bind: ":5353", connect: "10.0.0.2:53" });
  return { h, fds: [plain, connected] };
}

/** The sums that hold whatever arrives. */
function expectCountersAddUp(h: StackHarness): void {
  const sum = (...names: string[]): number => names.reduce((total, name) => total + h.counter(name), 0);
  expect(h.counter("ETH_IN_FRAMES"), "frames").to.equal(
    sum("ETH_IN_ERRORS", "ETH_IN_UNKNOWN", "ETH_IN_OTHER_HOST", "IP_IN_RECEIVES") +
      sum("ARP_IN_REQUESTS", "ARP_IN_REPLIES", "ARP_IN_ERRORS"),
  );
  expect(h.counter("IP_IN_RECEIVES") + h.counter("IP_REASM_OKS"), "datagrams").to.equal(
    sum("IP_IN_HDR_ERRORS", "IP_IN_TRUNCATED", "IP_IN_ADDR_ERRORS", "IP_IN_DISCARDS", "IP_IN_UNKNOWN_PROTOS") +
      sum("IP_IN_DELIVERS", "IP_REASM_REQDS"),
  );
  expect(h.counter("IP_IN_DELIVERS"), "deliveries").to.equal(
    sum("UDP_IN_DATAGRAMS", "UDP_NO_PORTS", "UDP_IN_ERRORS", "ICMP_IN_MSGS", "IGMP_IN_MSGS", "TCP_IN_SEGS"),
  );
  expect(sum("IP_IN_CSUM_ERRORS")).to.be.at.most(h.counter("IP_IN_HDR_ERRORS"));
  expect(sum("UDP_IN_CSUM_ERRORS", "UDP_RCVBUF_ERRORS", "UDP_MEM_ERRORS")).to.be.at.most(h.counter("UDP_IN_ERRORS"));
}

/** Reads what waits, so that the queues do not only fill up. */
function drain(h: StackHarness, fds: number[]): string[] {
  const seen: string[] = [];
  for (const fd of fds) {
    for (let received = h.receiveFrom(fd); received !== "EAGAIN"; received = h.receiveFrom(fd)) {
      seen.push(typeof received === "string" ? received : Buffer.from(received.data).toString("latin1"));
    }
  }
  return seen;
}

describe("hostile frames", function () {
  this.timeout(60_000);
  const seed = seedOf(20_260_101);

  it(`${FRAMES} of them: no trap, no read outside, counters add up, pools return (seed ${seed})`, () => {
    const random = chance(seed);
    const good = corpus();
    const one = victim(0x00);
    const two = victim(0xff);
    for (let i = 0; i < FRAMES; i++) {
      const kind = random(20);
      const base = good[random(good.length)]!;
      const frame =
        kind === 0 ? randomFrame(random) : kind === 1 ? base : mutate(base, good[random(good.length)]!, random);
      const split = frame.length > 2 && random(5) === 0 ? [1 + random(frame.length - 1)] : [];
      const millis = random(50) === 0 ? random(20_000) : 0;
      const read = random(40) === 0;
      const results = [one, two].map(({ h, fds }) => {
        h.receive(frame, { split });
        if (millis > 0) h.advance(millis);
        return [h.sent().map(({ frame: out }) => Buffer.from(out).toString("hex")), read ? drain(h, fds) : []];
      });
      expect(results[0], `frame ${i}: ${Buffer.from(frame).toString("hex")}`).to.deep.equal(results[1]);
    }
    expect(one.h.counters()).to.deep.equal(two.h.counters());
    for (const { h, fds } of [one, two]) {
      expectCountersAddUp(h);
      // The fuzz has got everywhere, or it says nothing.
      const reached = [
        "UDP_IN_DATAGRAMS",
        "ICMP_IN_ECHOS",
        "IGMP_IN_MSGS",
        "ARP_IN_REPLIES",
        "IP_REASM_FAILS",
        "TCP_IN_SEGS",
      ];
      for (const name of reached) expect(h.counter(name), name).to.be.greaterThan(50);
      for (const fd of fds) h.core.close(fd);
      h.advance(600_000);
      expect(h.pools()).to.deep.equal({});
    }
  });

  it(`a router gets them too: what it forwards is well-formed (seed ${seed})`, () => {
    const random = chance(seed + 1);
    const good = corpus().map((frame) => {
      const copy = Uint8Array.from(frame);
      if (frame[12] === 8 && frame[13] === 0 && frame[0] === 2) copy.set([10, 0, 1, 9], 30);
      seal(copy, true);
      return copy;
    });
    const h = stackHarness({ forwarding: true, more: [{ mtu: 576 }] });
    h.ok(h.core.arpAdd(ip("10.0.1.9"), 0x0200, 0x09));
    for (let i = 0; i < 5000; i++) {
      h.receive(mutate(good[random(good.length)]!, good[random(good.length)]!, random));
      for (const [port, mtu] of [
        [1, 1500],
        [2, 576],
      ] as const) {
        for (const out of h.nic.take(port)) {
          // The transport may be wrong, it is the sender's; the IP header must be right.
          expect(out.length).to.be.at.most(14 + mtu);
          if (out[13] === 0) expect(checksum(out.subarray(14, 14 + (out[14]! & 15) * 4)), `frame ${i}`).to.equal(0);
        }
      }
    }
    expect(h.counter("IP_FORW_DATAGRAMS")).to.be.greaterThan(200);
    h.advance(600_000);
    expect(h.pools()).to.deep.equal({});
  });
});

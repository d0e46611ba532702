// The other end of one TCP connection, by hand: segments with relative numbers to the stack under test, and what it
// answers as one line each, in packetdrill's spelling: "P. 1:101(100) ack 11".

import { expect } from "chai";
import * as layout from "../../assembly/layout.ts";
import { type Body, bytesOf, HOST, icmp, ip, ipv4, PEER, tcp, type TcpOptions } from "./frames.ts";
import type { StackHarness } from "./harness.ts";
import type { Packet } from "./packets.ts";

export interface PeerOptions {
  /** Port of the peer and of the stack. */
  port?: number;
  local?: number;
  address?: string;
  host?: string;
  /** Initial sequence number of the peer. */
  iss?: number;
  /** Time that the handshake takes. Default: none. */
  roundTripMillis?: number;
}

interface SegmentFields {
  seq?: number;
  ack?: number;
  win?: number;
  options?: TcpOptions;
  data?: Body;
  tos?: number;
}

export class TcpPeer {
  readonly h: StackHarness;
  port: number;
  local: number;
  readonly address: string;
  readonly host: string;
  iss: number;
  /** The stack's initial sequence number, as its first SYN has told. */
  irs: number | undefined;
  /** Window scale that the peer's own windows have. */
  scale = 0;

  constructor(h: StackHarness, options: PeerOptions = {}) {
    this.h = h;
    this.port = options.port ?? 5000;
    this.local = options.local ?? 80;
    this.address = options.address ?? PEER.address;
    this.host = options.host ?? HOST.address;
    this.iss = options.iss ?? 1_000_000;
  }

  /** Sends a segment; `seq` and `ack` count from the initial sequence numbers. */
  say(flags: string, { seq = 0, ack, win = 32792, options = {}, data = "", tos = 0 }: SegmentFields = {}): void {
    const letters = flags.replace(".", "A");
    const segment = tcp(
      {
        from: this.port,
        to: this.local,
        seq: (this.iss + seq) >>> 0,
        ack: ack === undefined ? 0 : ((this.irs ?? 0) + ack) >>> 0,
        flags: letters,
        window: win,
        options,
      },
      data,
    );
    this.h.receive(ipv4({ from: this.address, to: this.host, tos }, segment));
  }

  /** An ICMP error about a segment of the stack with this relative number. */
  icmpError(type: number, code: number, seq: number, mtu = 0, payload = 8, total = 1500): void {
    const quoted = tcp({ from: this.local, to: this.port, seq: ((this.irs ?? 0) + seq) >>> 0, flags: "A" });
    const bytes = bytesOf(ipv4({ from: this.host, to: this.address, total }, quoted)).subarray(0, 20 + payload);
    this.h.receive(ipv4({ from: this.address, to: this.host }, icmp({ type, code, rest: mtu }, bytes)));
  }

  /** What the stack has sent to this peer since the last call, one line each. */
  heard(): string[] {
    return this.packets().map((packet) => this.line(packet));
  }

  packets(): Packet[] {
    const packets = this.h.sent().filter((packet) => packet.tcp?.to === this.port && packet.ip?.to === this.address);
    for (const { tcp: header } of packets) {
      if (header?.flags.includes("S")) this.irs = header.seq;
    }
    return packets;
  }

  /** Expects exactly these segments. */
  hears(...lines: string[]): void {
    expect(this.heard()).to.deep.equal(lines);
  }

  line({ tcp: header, payload }: Packet): string {
    if (header === undefined) return "no TCP";
    const seq = (header.seq - (this.irs ?? header.seq)) >>> 0;
    const letters = header.flags.replace("A", ".");
    const ordered = [..."FSRPUEC."].filter((letter) => letters.includes(letter)).join("");
    const ack = header.flags.includes("A") ? ` ack ${(header.ack - this.iss) >>> 0}` : "";
    const { fastopen, fastopenExp } = header.options;
    const cookie = fastopen === undefined ? "" : ` FO ${fastopen}`.trimEnd();
    const exp = fastopenExp === undefined ? "" : ` FOEXP ${fastopenExp}`.trimEnd();
    return `${ordered} ${seq}:${seq + payload.length}(${payload.length})${ack}${cookie}${exp}`;
  }

  /** accept() on the stack's listener, or the name of the error. */
  static accept(h: StackHarness, listener: number): number {
    return h.core.accept(listener, layout.SOCK_NONBLOCK);
  }
}

/** A listening socket of the stack on `port`, with SO_REUSEADDR as servers have it. */
export function listenOn(h: StackHarness, port = 80, backlog = 16): number {
  const fd = h.tcp();
  h.ok(h.setOption(fd, layout.SOL_SOCKET, layout.SO_REUSEADDR, 1));
  h.ok(h.core.bind(fd, 0, port));
  h.ok(h.core.listen(fd, backlog));
  return fd;
}

/** Starts a connection of the stack to the peer, not blocking; the result of connect(). */
export function connectTo(h: StackHarness, peer: TcpPeer, fd: number): number {
  const result = h.core.connect(fd, ip(peer.address), peer.port);
  h.ok(h.core.getsockname(fd));
  peer.local = h.exchangeWord(4);
  return result;
}

/** A connection that the peer has opened to a listener of the stack on port 80. */
export interface Passive {
  peer: TcpPeer;
  /** The accepted socket. */
  fd: number;
  listener: number;
}

/** Lets the peer open a connection; `syn` are the options of its SYN. */
export function opened(h: StackHarness, syn: TcpOptions = { mss: 1000 }, options: PeerOptions = {}): Passive {
  const listener = listenOn(h, options.local);
  const peer = new TcpPeer(h, options);
  peer.say("S", { options: syn });
  peer.heard();
  if (options.roundTripMillis !== undefined) h.advance(options.roundTripMillis);
  peer.say(".", { seq: 1, ack: 1 });
  return { peer, fd: h.ok(TcpPeer.accept(h, listener)), listener };
}

/** TCP_INFO of a socket: its words by byte offset. */
export function infoOf(h: StackHarness, fd: number): (offset: number) => number {
  const at = h.core.exchange() + layout.EXCHANGE_ARGS;
  expect(h.core.getsockopt(fd, layout.IPPROTO_TCP, layout.TCP_INFO, at, 512)).to.equal(248);
  const words = Array.from({ length: 62 }, (_, i) => h.exchangeWord(layout.EXCHANGE_ARGS + 4 * i));
  return (offset) => words[offset >> 2]!;
}

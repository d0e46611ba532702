// One connection of the stack with a peer that the test plays, number by number.
//
//   const peer = TcpPeer.open({ isn: 0xffffff00 });      // the peer has connected
//   peer.say("data", { at: 0 });                         // at: bytes behind its first one
//   expect(peer.latest().ack).to.equal(peer.first + 4);

import { IPPROTO_TCP, SHUT_WR, SIOCOUTQ, SOCK_NONBLOCK, TCP_INFO, TCP_NODELAY } from "../../assembly/layout.ts";
import { type Body, bytesOf, ether, HOST, ip, ipv4, PEER, tcp, type TcpFields, type TcpOptions } from "./frames.ts";
import { type HarnessOptions, type StackHarness, stackHarness } from "./harness.ts";
import type { TcpHeader } from "./packets.ts";

const STACK_PORT = 4000;
const PEER_PORT = 80;
/** The clock of initial sequence numbers ticks so often in a microsecond (assembly/tcp/isn.ts). */
const ISN_TICKS = 16;
const WRAP = 2 ** 32;

/** A segment that the stack has sent. */
export interface Segment extends TcpHeader {
  bytes: number;
}

export interface PeerOptions {
  /** The peer's initial sequence number. */
  isn?: number;
  /** The peer's TSval; undefined: it does without timestamps. */
  stamp?: number | undefined;
  harness?: HarnessOptions;
}

export class TcpPeer {
  readonly h: StackHarness;
  readonly fd: number;
  /** Sequence number of the peer's first byte. */
  readonly first: number;
  /** TSval of what the peer sends. */
  stamp: number | undefined;
  /** Behind what the peer has sent in order. */
  #next: number;
  /** What the peer acknowledges, and its window. */
  #ack = 0;
  #window = 65535;
  #echo = 0;
  #latest: Segment | undefined;
  readonly #seen: Segment[] = [];

  /** The peer connects. */
  static open(options: PeerOptions = {}): TcpPeer {
    return new TcpPeer(options, (peer) => {
      const { h } = peer;
      const listener = h.tcp({ bind: `:${STACK_PORT}` });
      h.core.listen(listener, 1);
      peer.#send({ seq: peer.first - 1, ack: 0, flags: "S", options: peer.#synOptions() }, "");
      peer.#send({}, "");
      const fd = h.ok(h.core.accept(listener, SOCK_NONBLOCK));
      h.core.close(listener);
      return fd;
    });
  }

  /** The stack connects, and sends a few bytes, so that the next one is `ahead` bytes in front of 2^32. */
  static nearWrap(ahead: number, options: PeerOptions = {}): TcpPeer {
    let filler = 0;
    const peer = new TcpPeer({ isn: 1000, stamp: 1, ...options }, ({ h }) => {
      const fd = h.tcp({ bind: `:${STACK_PORT}` });
      h.setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
      const ports = STACK_PORT * 65536 + PEER_PORT;
      const isn = h.core.initialSequence(ip(HOST.address), ip(PEER.address), ports) >>> 0;
      const ticks = (2 * WRAP - ahead - 1 - isn) % WRAP;
      filler = ticks % ISN_TICKS;
      h.advance((ticks - filler) / ISN_TICKS / 1000);
      h.core.connect(fd, ip(PEER.address), PEER_PORT);
      return fd;
    });
    peer.#collect();
    peer.#send({ seq: peer.first - 1, flags: "SA", options: peer.#synOptions() }, "");
    if (filler > 0) peer.write(new Uint8Array(filler));
    peer.ack(WRAP - ahead);
    peer.segments();
    return peer;
  }

  private constructor({ isn = 1000, stamp, harness = {} }: PeerOptions, open: (peer: TcpPeer) => number) {
    this.h = stackHarness(harness);
    this.first = (isn + 1) >>> 0;
    this.#next = this.first;
    this.stamp = stamp;
    this.fd = open(this);
  }

  /** The peer sends a segment, `at` bytes behind its first. */
  say(body: Body, { at = 0, ...fields }: TcpFields & { at?: number } = {}): void {
    const seq = (this.first + at) >>> 0;
    this.#send({ seq, ...fields }, body);
    if (seq === this.#next) this.#next = (seq + bytesOf(body).length + Number(fields.flags?.includes("F") ?? 0)) >>> 0;
  }

  /** The peer acknowledges, and may say more. */
  ack(ack: number, { window, sack }: { window?: number; sack?: [number, number][] } = {}): void {
    this.#ack = ack >>> 0;
    if (window !== undefined) this.#window = window;
    this.#send({ options: { ...this.#stamps(), ...(sack ? { sack } : {}) } }, "");
  }

  /** The stack's application sends. */
  write(data: Uint8Array | string, flags = 0): number {
    const taken = this.h.send(this.fd, data, undefined, flags);
    this.#collect();
    return taken;
  }

  /** The stack's application reads. @throws {Error} with the name of an error */
  read(flags = 0): Uint8Array {
    const bytes = this.h.read(this.fd, 65536, flags);
    if (typeof bytes === "string") throw new Error(bytes);
    this.#collect();
    return bytes;
  }

  shutdown(): void {
    this.h.core.shutdown(this.fd, SHUT_WR);
    this.#collect();
  }

  /** Lets milliseconds pass. */
  advance(millis: number): void {
    this.h.advance(millis);
    this.#collect();
  }

  /** The segments that the stack has sent since the last call. */
  segments(): Segment[] {
    this.#collect();
    return this.#seen.splice(0);
  }

  /** The latest segment of the stack. */
  latest(): Segment {
    this.#collect();
    if (this.#latest === undefined) throw new Error("The stack has said nothing.");
    return this.#latest;
  }

  /** TCP_* */
  state(): number {
    return this.h.option(this.fd, IPPROTO_TCP, TCP_INFO) & 255;
  }

  counter(name: string): number {
    return this.h.counter(name);
  }

  /** Bytes that the stack holds for the peer. */
  unacknowledged(): number {
    return this.h.core.ioctl(this.fd, SIOCOUTQ, 0);
  }

  #send(fields: TcpFields, body: Body): void {
    const own = { from: PEER_PORT, to: STACK_PORT, seq: this.#next, ack: this.#ack, window: this.#window };
    const all = { ...own, options: this.#stamps(), ...fields };
    this.h.receive(ether(ipv4(tcp(all, bytesOf(body)))));
    this.#collect();
  }

  #stamps(): TcpOptions {
    return this.stamp === undefined ? {} : { timestamps: [this.stamp, this.#echo] };
  }

  #synOptions(): TcpOptions {
    return { mss: 1460, sackPermitted: true, ...this.#stamps() };
  }

  #collect(): void {
    for (const { tcp: header, payload } of this.h.sent()) {
      if (header === undefined) continue;
      const segment = { ...header, bytes: payload.length };
      this.#latest = segment;
      this.#seen.push(segment);
      this.#echo = header.options.timestamps?.[0] ?? this.#echo;
      if (header.flags.includes("S")) this.#ack = (header.seq + 1) >>> 0;
    }
  }
}

// A NIC in JavaScript: frames in, frames out, nothing happens by itself. It does the offloads that the stack asks for,
// so that what leaves is what would be on a wire.
// Read first: assembly/net/nic.ts; the mbuf in assembly/layout.ts and assembly/memory/mbuf.ts, whose offsets are here.

import {
  MBUF_BYTES,
  MBUF_DATA_ROOM,
  MBUF_HEADER,
  MBUF_HEADROOM,
  TX_IP_CSUM,
  TX_L4_CSUM,
  TX_TSO,
} from "../../assembly/layout.ts";
import { checksum, pseudoHeader } from "./frames.ts";

/** Offsets in an mbuf. */
const NEXT = 0;
const DATA = 8;
const DATA_LEN = 12;
const PKT_LEN = 16;
const NB_SEGS = 20;
const OL_FLAGS = 28;
const TSO_MSS = 38;
const POOL = 40;
/** Offsets in a pool (assembly/memory/pool.ts), and the mark of a free element. */
const POOL_HEAD = 0;
const POOL_BASE = 8;
const POOL_ELEMENT = 12;
const POOL_CAPACITY = 16;
const POOL_CARVED = 20;
const POOL_IN_USE = 24;
const POOL_STRUCT_BYTES = 64;
const FREE_MARK = 0xf4eef4ee;

export interface RxOptions {
  /** RX_* flags of the descriptor. */
  flags?: number;
  /** Lengths of the mbufs that the frame is spread over; the rest goes to as few as hold it. */
  split?: number[];
}

/** A frame that crossed a port. */
export interface Logged {
  port: number;
  direction: "inbound" | "outbound";
  micros: number;
  frame: Uint8Array;
}

interface Port {
  rx: { frame: Uint8Array; options: RxOptions }[];
  tx: Uint8Array[];
  /** Packets that txBurst still takes. */
  room: number;
}

/** What a NIC without a flow director exports all the same; nobody calls it. */
export const NO_RULES = Object.freeze({
  ruleAdd: (): number => -1,
  ruleRemove: (): number => -1,
  ruleListen: (): number => -1,
  ruleUnlisten: (): number => -1,
});

/** Several ports (handles 1, 2, ...) over one pool of receive mbufs. */
export class FakeNic {
  readonly #memory: DataView;
  readonly #bytes: Uint8Array;
  readonly #pool: number;
  readonly #ports: Port[];
  readonly #filler: number;
  /** Everything that has crossed the ports. */
  readonly log: Logged[] = [];

  /** Bytes of memory that a NIC with `mbufs` receive mbufs needs. */
  static bytes(mbufs: number): number {
    return POOL_STRUCT_BYTES + mbufs * MBUF_BYTES;
  }

  /** `filler` is the byte that stands behind the frames: nothing may depend on it. */
  constructor(buffer: SharedArrayBuffer, at: number, mbufs: number, ports: number, filler = 0xa5) {
    this.#filler = filler;
    this.#memory = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#pool = at;
    this.#ports = Array.from({ length: ports }, () => ({ rx: [], tx: [], room: Infinity }));
    this.#set(at + POOL_BASE, at + POOL_STRUCT_BYTES);
    this.#set(at + POOL_ELEMENT, MBUF_BYTES);
    this.#set(at + POOL_CAPACITY, mbufs);
  }

  /** What stack.wasm imports. */
  readonly imports = {
    rxBurst: (port: number, queue: number, out: number, max: number, now: number): number =>
      this.#rxBurst(port, out >>> 0, max, now),
    txBurst: (port: number, queue: number, packets: number, count: number, now: number): number =>
      this.#txBurst(port, packets >>> 0, count, now),
    queueOf: (): number => 0,
    ...NO_RULES,
  };

  /** Receive mbufs that the stack holds. */
  get inUse(): number {
    return this.#get(this.#pool + POOL_IN_USE);
  }

  /** Lets a frame wait at a port. */
  deliver(port: number, frame: Uint8Array, options: RxOptions = {}): void {
    this.port(port).rx.push({ frame: Uint8Array.from(frame), options });
  }

  /** Takes the frames that left by a port since the last call. */
  take(port: number): Uint8Array[] {
    return this.port(port).tx.splice(0);
  }

  /** How many packets the port takes from now on before txBurst takes none. */
  limit(port: number, packets: number): void {
    this.port(port).room = packets;
  }

  port(handle: number): Port {
    const port = this.#ports[handle - 1];
    if (port === undefined) throw new Error(`The stack used port ${handle}.`);
    return port;
  }

  #get(at: number): number {
    return this.#memory.getUint32(at, true);
  }

  #set(at: number, value: number): void {
    this.#memory.setUint32(at, value, true);
  }

  #rxBurst(handle: number, out: number, max: number, now: number): number {
    const { rx } = this.port(handle);
    const burst = rx.splice(0, max);
    burst.forEach(({ frame, options }, i) => this.#set(out + i * 4, this.#packet(frame, options)));
    for (const { frame } of burst) this.log.push({ port: handle, direction: "inbound", micros: now, frame });
    return burst.length;
  }

  /** A frame in one mbuf or several. */
  #packet(frame: Uint8Array, { flags = 0, split = [] }: RxOptions): number {
    const lengths = [...split];
    let left = frame.length - lengths.reduce((sum, n) => sum + n, 0);
    while (left > 0 || lengths.length === 0) {
      lengths.push(Math.min(left, MBUF_DATA_ROOM));
      left -= MBUF_DATA_ROOM;
    }
    let first = 0;
    let last = 0;
    let at = 0;
    for (const length of lengths) {
      const m = this.#alloc();
      const data = m + MBUF_HEADER + MBUF_HEADROOM;
      this.#bytes.fill(this.#filler, m + 8, m + MBUF_BYTES);
      this.#bytes.set(frame.subarray(at, at + length), data);
      at += length;
      this.#set(m + NEXT, 0);
      this.#set(m + DATA, data);
      this.#set(m + DATA_LEN, length);
      this.#set(m + PKT_LEN, length);
      this.#set(m + OL_FLAGS, 0);
      this.#set(m + POOL, this.#pool);
      this.#memory.setUint16(m + NB_SEGS, 1, true);
      if (first === 0) first = m;
      else this.#set(last + NEXT, m);
      last = m;
    }
    this.#set(first + PKT_LEN, frame.length);
    this.#set(first + OL_FLAGS, flags);
    this.#memory.setUint16(first + NB_SEGS, lengths.length, true);
    return first;
  }

  #alloc(): number {
    const pool = this.#pool;
    let element = this.#get(pool + POOL_HEAD);
    if (element !== 0) {
      this.#set(pool + POOL_HEAD, this.#get(element));
    } else {
      const carved = this.#get(pool + POOL_CARVED);
      if (carved === this.#get(pool + POOL_CAPACITY)) throw new Error("The stack keeps all receive mbufs.");
      this.#set(pool + POOL_CARVED, carved + 1);
      element = this.#get(pool + POOL_BASE) + carved * MBUF_BYTES;
    }
    this.#set(pool + POOL_IN_USE, this.#get(pool + POOL_IN_USE) + 1);
    this.#set(element + 4, 0);
    return element;
  }

  #free(m: number): void {
    for (let at = m; at !== 0;) {
      const next = this.#get(at + NEXT);
      const pool = this.#get(at + POOL);
      if (this.#get(at + 4) === FREE_MARK) throw new Error("An mbuf was sent that is free.");
      this.#set(at + 4, FREE_MARK);
      this.#set(at, this.#get(pool + POOL_HEAD));
      this.#set(pool + POOL_HEAD, at);
      this.#set(pool + POOL_IN_USE, this.#get(pool + POOL_IN_USE) - 1);
      at = next;
    }
  }

  #txBurst(handle: number, packets: number, count: number, now: number): number {
    const port = this.port(handle);
    const taken = Math.min(count, port.room);
    for (let i = 0; i < taken; i++) {
      const m = this.#get(packets + i * 4);
      const frames = this.#wire(m);
      port.tx.push(...frames);
      for (const frame of frames) this.log.push({ port: handle, direction: "outbound", micros: now, frame });
      this.#free(m);
    }
    port.room -= taken;
    return taken;
  }

  /** What a packet is on the wire: checksums complete, cut to segments. */
  #wire(m: number): Uint8Array[] {
    const parts: Uint8Array[] = [];
    let segments = 0;
    for (let at = m; at !== 0; at = this.#get(at + NEXT)) {
      const data = this.#get(at + DATA);
      parts.push(this.#bytes.slice(data, data + this.#get(at + DATA_LEN)));
      segments++;
    }
    const frame = Uint8Array.from(Buffer.concat(parts));
    const claimed = [this.#get(m + PKT_LEN), this.#memory.getUint16(m + NB_SEGS, true)].join();
    if (claimed !== [frame.length, segments].join())
      throw new Error(`A packet claims ${claimed}, it has ${frame.length},${segments}.`);
    const flags = this.#get(m + OL_FLAGS);
    if (flags & TX_TSO) return segmentize(frame, this.#memory.getUint16(m + TSO_MSS, true));
    if (flags & TX_L4_CSUM) sealTransport(frame, true);
    if (flags & TX_IP_CSUM) sealIp(frame);
    return [frame];
  }
}

function headerBytes(frame: Uint8Array): number {
  return (frame[14]! & 15) * 4;
}

function sealIp(frame: Uint8Array): void {
  const header = frame.subarray(14, 14 + headerBytes(frame));
  header.fill(0, 10, 12);
  new DataView(header.buffer, header.byteOffset).setUint16(10, checksum(header));
}

/** Completes a transport checksum; with `partial` the field must hold the pseudo-header's sum, as the driver wants. */
function sealTransport(frame: Uint8Array, partial: boolean): void {
  const view = new DataView(frame.buffer, frame.byteOffset);
  const start = 14 + headerBytes(frame);
  const protocol = frame[23]!;
  const at = start + (protocol === 6 ? 16 : 6);
  const pseudo = pseudoHeader({ from: view.getUint32(26), to: view.getUint32(30) }, protocol, frame.length - start);
  if (partial && view.getUint16(at) !== (~checksum(pseudo) & 0xffff)) {
    throw new Error("The checksum field does not hold the sum of the pseudo-header.");
  }
  view.setUint16(at, 0);
  view.setUint16(at, checksum(pseudo, frame.subarray(start)) || (protocol === 17 ? 0xffff : 0));
}

/** TCP segmentation as a NIC does it: sequence numbers and identifications count on, FIN and PSH go with the last. */
function segmentize(frame: Uint8Array, mss: number): Uint8Array[] {
  const tcpAt = 14 + headerBytes(frame);
  const headers = tcpAt + (frame[tcpAt + 12]! >>> 4) * 4;
  const payload = frame.subarray(headers);
  const source = new DataView(frame.buffer, frame.byteOffset);
  const segments: Uint8Array[] = [];
  for (let offset = 0; offset < payload.length; offset += mss) {
    const part = payload.subarray(offset, offset + mss);
    const last = offset + mss >= payload.length;
    const segment = new Uint8Array(headers + part.length);
    segment.set(frame.subarray(0, headers));
    segment.set(part, headers);
    const view = new DataView(segment.buffer);
    view.setUint16(16, segment.length - 14);
    view.setUint16(18, source.getUint16(18) + segments.length);
    view.setUint32(tcpAt + 4, source.getUint32(tcpAt + 4) + offset);
    if (!last) segment[tcpAt + 13]! &= ~0x09;
    if (offset > 0) segment[tcpAt + 13]! &= ~0x80;
    sealIp(segment);
    sealTransport(segment, false);
    segments.push(segment);
  }
  return segments;
}

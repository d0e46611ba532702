// A network of NICs for tests: no stack, frames go in and come out as bytes. Packets may also be built as chains of
// mbufs, as a stack does. Read first: veth/index.ts; assembly/memory/mbuf.ts for the fields written here.

import { MBUF_BYTES, MBUF_DATA_ROOM, MBUF_HEADER, MBUF_HEADROOM } from "../../assembly/layout.ts";
import { createMemory, instantiateVeth, Regions, type SharedMemory } from "../../host/core.ts";
import {
  type BridgeOptions,
  connectCable,
  type NicOptions,
  type ReceivedPacket,
  UserVbridge,
  UserVeth,
  type VethModule,
} from "../../veth/index.ts";

export interface PacketWork {
  flags?: number;
  mss?: number;
  vlanTci?: number;
}

/** Mbufs that a test can hand to txBurst at once. */
const PACKET_MBUFS = 256;
const POOL_IN_USE = 24;

/** A memory that other threads use too, and a part of it for this thread's own regions. */
export interface Share {
  memory: SharedMemory;
  arena: number;
}

/** One memory, one instance of veth.wasm, and a pool of mbufs that plays the stack's. */
export class Lab implements VethModule {
  readonly memory: SharedMemory;
  readonly regions: Regions;
  readonly exports: VethModule["exports"];
  #arena = 0;
  #pool = 0;
  #carved = 0;
  #external = 0;
  #externalUsed = 0;

  /** @param share what share() gave to this thread; without it, a memory of its own */
  constructor(share?: Share) {
    this.memory = share?.memory ?? createMemory();
    this.regions = new Regions(this.memory);
    this.#arena = share?.arena ?? 0;
    this.exports = instantiateVeth(this.memory) as unknown as VethModule["exports"];
  }

  /** What another thread needs to work on this memory; it can be sent. */
  share(bytes = 4 * 1048576): Share {
    return { memory: this.memory, arena: this.regions.allocate(bytes) };
  }

  allocate(bytes: number): number {
    if (this.#arena === 0) return this.regions.allocate(bytes);
    const at = this.#arena;
    this.#arena += Math.ceil(bytes / 65536) * 65536;
    return at;
  }

  free(address: number): void {
    this.regions.free(address);
  }

  nic(options: NicOptions = {}): UserVeth {
    return UserVeth.create(this, options);
  }

  bridge(options: BridgeOptions = {}): UserVbridge {
    return UserVbridge.create(this, options);
  }

  /** Two NICs on a cable. */
  pair(a: NicOptions = {}, b: NicOptions = {}): [UserVeth, UserVeth] {
    const ends: [UserVeth, UserVeth] = [this.nic(a), this.nic(b)];
    connectCable(this, ...ends);
    return ends;
  }

  /** A packet of the stack: its first part lies in an mbuf, the others outside, as payload in socket buffers does. */
  packet(parts: readonly Uint8Array[], { flags = 0, mss = 0, vlanTci = 0 }: PacketWork = {}): number {
    const mbufs = parts.map((part, index) => this.#mbuf(part, index > 0));
    const view = new DataView(this.memory.buffer);
    mbufs.forEach((at, index) => view.setUint32(at, mbufs[index + 1] ?? 0, true));
    const first = mbufs[0] as number;
    view.setUint32(
      first + 16,
      parts.reduce((sum, part) => sum + part.length, 0),
      true,
    );
    view.setUint16(first + 20, parts.length, true);
    view.setUint32(first + 28, flags, true);
    view.setUint16(first + 32, vlanTci, true);
    view.setUint16(first + 38, mss, true);
    return first;
  }

  /** Says that a packet is longer or shorter than it is. */
  lie(packet: number, length: number): void {
    new DataView(this.memory.buffer).setUint32(packet + 16, length, true);
  }

  /** Hands packets to a TX queue. @returns how many it took */
  txBurst(nic: UserVeth, packets: readonly number[], now = 0, queue = 0): number {
    this.#prepare();
    const list = this.#pool + 1024;
    const view = new DataView(this.memory.buffer);
    packets.forEach((packet, index) => view.setUint32(list + index * 4, packet, true));
    return this.exports.txBurst(nic.handle, queue, list, packets.length, now);
  }

  /** Mbufs of packets that txBurst has not freed. */
  get packetsInUse(): number {
    return this.#pool === 0 ? 0 : new DataView(this.memory.buffer).getUint32(this.#pool + POOL_IN_USE, true);
  }

  /** A private pool (struct Pool) whose elements are all in the test's hands; freed ones are not used again. */
  #prepare(): void {
    if (this.#pool !== 0) return;
    this.#pool = this.allocate(4096 + PACKET_MBUFS * MBUF_BYTES);
    this.#external = this.allocate(1048576);
    const view = new DataView(this.memory.buffer);
    const fields = [0, 0, this.#pool + 4096, MBUF_BYTES, PACKET_MBUFS, PACKET_MBUFS];
    fields.forEach((value, index) => view.setUint32(this.#pool + index * 4, value, true));
  }

  #mbuf(part: Uint8Array, isExternal: boolean): number {
    this.#prepare();
    if (this.packetsInUse === 0) this.#carved = this.#externalUsed = 0;
    if (this.#carved === PACKET_MBUFS) throw new Error("The test uses too many mbufs at once.");
    const at = this.#pool + 4096 + this.#carved++ * MBUF_BYTES;
    const view = new DataView(this.memory.buffer);
    let data = at + MBUF_HEADER + MBUF_HEADROOM;
    if (!isExternal && part.length > MBUF_DATA_ROOM) throw new Error("The first part does not fit into an mbuf.");
    if (isExternal) {
      data = this.#external + this.#externalUsed;
      this.#externalUsed += part.length;
    }
    new Uint8Array(this.memory.buffer).set(part, data);
    new Uint8Array(this.memory.buffer, at, MBUF_HEADER).fill(0);
    view.setUint32(at + 8, data, true);
    view.setUint32(at + 12, part.length, true);
    view.setUint32(at + 16, part.length, true);
    view.setUint16(at + 20, 1, true);
    view.setUint32(at + 40, this.#pool, true);
    view.setUint32(this.#pool + POOL_IN_USE, this.packetsInUse + 1, true);
    return at;
  }
}

/** Everything that waits in one queue of a NIC. */
export function receiveAll(nic: UserVeth, now = 0, queue = 0): ReceivedPacket[] {
  const packets: ReceivedPacket[] = [];
  for (;;) {
    const packet = nic.receive(now, queue);
    if (packet === undefined) return packets;
    packets.push(packet);
  }
}

/** A frame between two MAC addresses whose payload is a number, of `length` bytes with an EtherType for experiments. */
export function numbered(from: string, to: string, number: number, length = 64): Uint8Array {
  const frame = new Uint8Array(length);
  const bytes = (text: string): number[] => text.split(":").map((part) => parseInt(part, 16));
  frame.set([...bytes(to), ...bytes(from), 0x88, 0xb5]);
  new DataView(frame.buffer).setUint32(14, number);
  return frame;
}

/** The number in a frame that numbered() made. */
export function numberOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(14);
}

// The world of a script: one host on a stack, its NIC cabled to an endpoint that the runner plays, a clock that moves
// only when it is told to. A world is made once and put back to its first moment for each script.
// Read first: DESIGN.md sections 2 and 5; host/network.ts, of which this is the smallest form.

import { EXTENT_BYTES, EXTENTS_PORT_MAX, EXTENTS_STACK_MAX, TX_TSO } from "../../assembly/layout.ts";
import { UserVeth, type VethModule } from "../../veth/index.ts";
import { createMemory, instantiateVeth, Regions, type SharedMemory, toCoreTrap } from "../core.ts";
import { OribiError } from "../errors.ts";
import { createPosix, type Posix } from "../posix/posix.ts";
import type { Waiter } from "../posix/waiter.ts";
import { seedWords } from "../seed.ts";
import { Stack } from "../stack.ts";
import { decodeDatagram, type LivePacket } from "./live-packet.ts";
import { checksum, pseudoHeader } from "./wire.ts";

/** What a world is made of; addresses are host-order numbers. */
export interface WorldConfig {
  address: number;
  netmask: number;
  /** The neighbour that everything beyond the netmask goes through; the endpoint answers for it. */
  gateway: number;
  mtu: number;
}

/** Microseconds at which every script starts: a whole second, so that no clock of the stack shows 0. */
export const START_MICROS = 1_000_000;
/** Most steps with work at one time; a stack that does not rest talks to itself. */
const STEPS_MAX = 100_000;
const RING = 256;
const ETHERNET = 14;
/** TCP datagrams longer than this have been put together from several. */
const LARGE = 1500;
const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;
const TCP = 6;

/** Small pools: what a script needs, so that putting them back costs little. */
const POOLS = Object.freeze({
  connections: 256,
  sockets: 128,
  mbufs: 512,
  chunks: 768,
  largeChunks: 40,
  flights: 256,
  segments: 4096,
  islands: 1024,
  epollItems: 256,
  timeWaits: 128,
  reassemblies: 16,
  arpEntries: 16,
});

/** One host and the other end of its wire. */
export class World {
  readonly config: WorldConfig;
  readonly stack: Stack;
  readonly posix: Posix;
  /** Who steps the world while a call blocks; the runner puts itself here. */
  onWait: (until: number) => boolean = () => false;
  readonly #memory: SharedMemory;
  readonly #module: VethModule;
  readonly #nic: UserVeth;
  readonly #endpoint: UserVeth;
  readonly #hostMac: Uint8Array;
  readonly #endpointMac: Uint8Array;
  /** Where what holds state is listed, and the block with its bytes at the first moment (veth/datapath/snapshot.ts). */
  readonly #list: number;
  readonly #first: number;
  #now = START_MICROS;
  #isMute = false;
  #sent: LivePacket[] = [];

  /** @param debug load the debug build of the core */
  constructor(config: WorldConfig, debug?: boolean) {
    this.config = config;
    this.#memory = createMemory(1);
    const core = debug === undefined ? {} : { debug };
    const regions = new Regions(this.#memory);
    const allocate = (bytes: number): number => regions.allocate(bytes);
    this.#module = { exports: instantiateVeth(this.#memory, core), memory: this.#memory, allocate };
    const offloads = { txChecksum: true, rxChecksum: true };
    // What a script injects may be larger than the MTU, as what a kernel has put together (GRO): it is taken whole.
    const nic = { ringSize: RING, mbufs: RING + 64, rules: 1, mtu: 65535 };
    this.#nic = UserVeth.create(this.#module, { ...nic, name: "host", offloads: { ...offloads, lro: true } });
    this.#endpoint = UserVeth.create(this.#module, { ...nic, name: "endpoint", offloads: { tso: true } });
    this.#module.exports.cableConnect(this.#nic.handle, this.#endpoint.handle);
    this.#hostMac = macBytes(this.#nic.mac);
    this.#endpointMac = macBytes(this.#endpoint.mac);
    const secret = seedWords(1, "packetdrill");
    const exports = this.#module.exports;
    const alone = { group: 0, index: 0, id: 1 };
    this.stack = Stack.create(this.#memory, exports, allocate, POOLS, secret, START_MICROS, alone, core);
    this.#connect(config);
    const waiter: Waiter = {
      poll: () => this.#poll(),
      now: () => this.#now,
      turns: new Turns(() => this.#now),
      wait: (until) => this.onWait(until),
    };
    this.posix = createPosix(this.stack.core, this.#memory, waiter);
    this.settle();
    this.#sent = [];
    this.#list = allocate((EXTENTS_STACK_MAX + 2 * EXTENTS_PORT_MAX) * EXTENT_BYTES);
    const count = this.#extents();
    this.#first = allocate(exports.snapshotBytes(this.#list, count) >>> 0);
    exports.snapshotTake(this.#first, this.#list, count);
  }

  #connect({ address, netmask, gateway, mtu }: WorldConfig): void {
    const { handle, queues, capabilities } = this.#nic;
    const nic = { port: handle, queue: 0, queues, txQueue: 0, mac: this.#hostMac, capabilities };
    this.stack.addInterface({ ...nic, address, netmask, mtu });
    const { core } = this.stack;
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = this.#endpointMac;
    const results = [
      core.routeAdd(0, 0, gateway, 1),
      core.arpAdd(gateway, (a << 8) | b, ((c << 24) | (d << 16) | (e << 8) | f) >>> 0),
    ];
    if (results.some((result) => result < 0)) {
      throw new OribiError("ERR_ORIBI_OPTION", "The gateway cannot be reached from the local address.");
    }
  }

  /** Microseconds. */
  get now(): number {
    return this.#now;
  }

  /** Puts everything back to the first moment: as new, but the code. */
  reset(): void {
    this.#module.exports.snapshotRestore(this.#first, this.#list, this.#extents());
    this.#now = START_MICROS;
    this.#sent = [];
    this.#isMute = false;
    this.onWait = () => false;
    this.stack.core.attach(this.stack.place.base);
    this.stack.core.poll(this.#now);
  }

  /** Lists what holds state now: of pools the elements that were ever used. Returns how many extents. */
  #extents(): number {
    const { exports } = this.#module;
    let at = this.#list;
    at += this.stack.core.extents(at) * EXTENT_BYTES;
    for (const { handle } of [this.#nic, this.#endpoint]) at += exports.portExtents(handle, at) * EXTENT_BYTES;
    return (at - this.#list) / EXTENT_BYTES;
  }

  /** Takes what the stack has sent since the last call, in order. ARP is answered here and not part of it. */
  take(): LivePacket[] {
    const sent = this.#sent;
    if (sent.length > 0) this.#sent = [];
    return sent;
  }

  /**
   * Lets a datagram arrive now; settle() lets the stack take it.
   * @param mss bytes of payload in each segment that a large one was put together from
   */
  inject(datagram: Uint8Array, mss = 1460): void {
    const frame = new Uint8Array(ETHERNET + datagram.length);
    frame.set(this.#hostMac, 0);
    frame.set(this.#endpointMac, 6);
    frame[12] = TYPE_IPV4 >> 8;
    frame.set(datagram, ETHERNET);
    const isLarge = datagram.length > LARGE && datagram[9] === TCP;
    if (isLarge) leaveChecksum(frame.subarray(ETHERNET));
    this.#endpoint.send(frame, this.#now, isLarge ? { flags: TX_TSO, mss } : {});
  }

  /** What the host sends is lost in its own queue, and the stack is told so: it has no way out (a full qdisc). */
  setMute(isMute: boolean): void {
    if (isMute === this.#isMute) return;
    this.#isMute = isMute;
    if (isMute) this.stack.core.routeRemove(0, 0);
    else this.stack.core.routeAdd(0, 0, this.config.gateway, 1);
  }

  /** Changes the MTU of the link while it is in use, as `ip link set mtu` does. */
  setMtu(mtu: number): void {
    const result = this.stack.core.netifSetMtu(1, mtu);
    if (result < 0) throw new OribiError("ERR_ORIBI_OPTION", `The MTU cannot be ${mtu}: it is 68 to 65535.`);
  }

  /** Sets the MSS that the host announces, as `ip route ... advmss` does; 0: what the MTU allows. */
  setAdvMss(mss: number): void {
    this.stack.core.netifSetAdvMss(1, mss);
  }

  /** Lets the stack do what can be done at this time. */
  settle(): void {
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      if (this.#poll() === 0) return;
    }
    throw new OribiError("ERR_ORIBI_BUSY", "The stack does not come to rest.");
  }

  /** Moves time to the next thing that the stack wants to do, at most to `limit`, and lets it be done. */
  advance(limit: number): void {
    const next = Math.min(this.nextDeadline(), limit);
    this.#now = next > this.#now ? next : Math.min(this.#now + 1, Math.max(limit, this.#now));
    this.settle();
  }

  /** When the stack wants to run though nothing arrives, microseconds; Infinity: never. */
  nextDeadline(): number {
    return this.stack.core.nextDeadline();
  }

  #poll(): number {
    try {
      const work = this.stack.core.poll(this.#now);
      return work + this.#drain();
    } catch (error) {
      throw toCoreTrap(error);
    }
  }

  /** Takes frames off the wire; returns how many. */
  #drain(): number {
    let frames = 0;
    while (this.#endpoint.pending(0) > 0) {
      const received = this.#endpoint.receive(this.#now);
      if (received === undefined) break;
      frames++;
      const frame = received.data;
      const type = ((frame[12] as number) << 8) | (frame[13] as number);
      if (type === TYPE_ARP) this.#answer(frame);
      else if (type === TYPE_IPV4 && !this.#isMute)
        this.#sent.push(decodeDatagram(frame.subarray(ETHERNET), this.#now, "out"));
    }
    return frames;
  }

  /** The endpoint is whoever is asked for, except the host itself (which probes and announces its own address). */
  #answer(request: Uint8Array): void {
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const target = view.getUint32(ETHERNET + 24);
    if (view.getUint16(ETHERNET + 6) !== 1 || target === this.config.address) return;
    const reply = request.slice(0, ETHERNET + 28);
    reply.set(this.#hostMac, 0);
    reply.set(this.#endpointMac, 6);
    const out = new DataView(reply.buffer);
    out.setUint16(ETHERNET + 6, 2);
    reply.set(this.#endpointMac, ETHERNET + 8);
    out.setUint32(ETHERNET + 14, target);
    reply.set(request.subarray(ETHERNET + 8, ETHERNET + 18), ETHERNET + 18);
    this.#endpoint.send(reply, this.#now);
  }
}

/** TSO computes the checksum of TCP itself: its field holds the sum of the pseudo-header. */
function leaveChecksum(datagram: Uint8Array): void {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  const pseudo = pseudoHeader(view.getUint32(12), view.getUint32(16), TCP, datagram.length - 20);
  view.setUint16(20 + 16, ~checksum(pseudo) & 0xffff);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
}

/** A turn lasts as long as simulated time stands still. */
class Turns {
  readonly time: () => number;

  constructor(now: () => number) {
    this.time = now;
  }

  get turn(): number {
    return this.time();
  }
}

// user-veth: a multi-queue NIC in shared memory, made and observed from the host.
// Read first: veth/port.ts for the interface; veth/datapath/port.ts and receive.ts for what it does.

import {
  CACHE_SPREAD,
  ESWITCH_HEADER,
  ESWITCH_UPLINK,
  FUNCTION_BYTES,
  FUNCTION_DISABLED,
  FUNCTION_FLAGS,
  MBUF_HEADER,
  MBUF_NB_SEGS,
  MBUF_OL_FLAGS,
  MBUF_PORT,
  MBUF_QUEUE,
  MBUF_RSS_HASH,
  MBUF_TSO_MSS,
  MBUF_VLAN_TCI,
  PACKET_BYTES_MAX,
  PORT_BRIDGE,
  PORT_CACHES,
  PORT_CAPS,
  PORT_CAPTURE,
  PORT_ESWITCH,
  PORT_FLAGS,
  PORT_FLOW_CONTROL,
  PORT_FUNCTION,
  PORT_INDEX,
  PORT_MAC,
  PORT_MBUFS,
  PORT_MTU,
  PORT_PROMISCUOUS,
  PORT_QUEUES,
  PORT_RING,
  PORT_RSS_KEY,
  PORT_RSS_TYPES,
  PORT_RULES,
  PORT_RX_QUEUES,
  PORT_TX_COUNT,
  PORT_UP,
  RXQ_BYTES,
  RXQ_POOL,
} from "../assembly/layout.ts";
import type { Capture } from "./capture.ts";
import { Director } from "./director.ts";
import { Link, type LinkDescription, type LinkDirection, type LinkOptions } from "./link.ts";
import { bytesAt, readWord, VethError, type VethModule, viewOf, writeWord } from "./module.ts";
import { type NicOptions, resolveNicOptions } from "./nic-options.ts";
import { formatMac } from "./options.ts";
import type { Port, PortDescription, Xstats } from "./port.ts";
import { Rss } from "./rss.ts";
import { readXstats } from "./xstats.ts";

/** A packet to send as a device: without a stack. */
export interface SendOptions {
  queue?: number;
  /** TX_* work for the NIC. */
  flags?: number;
  /** Payload of each segment, with TX_TSO. */
  mss?: number;
  /** The tag, with TX_VLAN_INSERT. */
  vlanTci?: number;
}

/** A packet as the NIC gives it to its host. */
export interface ReceivedPacket {
  data: Uint8Array;
  /** RX_* flags. */
  flags: number;
  rssHash: number;
  vlanTci: number;
  port: number;
  queue: number;
  segments: number;
  /** Payload of each segment that a large packet stands for, else 0. */
  mss: number;
}

/** Enough to open a user-veth again in another thread: plain data. */
export interface VethDescription extends PortDescription {
  kind: "user-veth";
  links: { toWire?: LinkDescription; toHost?: LinkDescription };
}

/** Bytes of a device's buffer: a descriptor, then the largest packet. */
const STAGE_BYTES = MBUF_HEADER + PACKET_BYTES_MAX;
const nextIndex = new WeakMap<object, number>();

/** A NIC whose queues and buffers lie in one region of shared memory. */
export class UserVeth implements Port {
  readonly kind = "user-veth";
  readonly name: string;
  readonly handle: number;
  readonly rss: Rss;
  readonly director: Director;
  readonly #module: VethModule;
  readonly #links: { toWire?: Link; toHost?: Link } = {};
  #stage = 0;
  #renew: (() => void) | undefined;
  #isOpen = true;

  private constructor(module: VethModule, name: string, handle: number) {
    this.#module = module;
    this.name = name;
    this.handle = handle;
    this.rss = new Rss(module, handle);
    this.director = new Director(module, handle);
  }

  /** Makes a NIC, plugged into nothing. @throws {OptionError} */
  static create(module: VethModule, options: NicOptions = {}): UserVeth {
    const index = options.index ?? UserVeth.nextIndex(module);
    const nic = resolveNicOptions(options, index);
    const { exports } = module;
    const bytes = exports.portBytes(nic.queues, nic.ringSize, nic.mbufs, nic.rules, nic.txQueues) >>> 0;
    const handle = module.allocate(bytes);
    const words: [number, number][] = [
      [PORT_FLAGS, nic.flags],
      [PORT_CAPS, nic.capabilities],
      [PORT_MTU, nic.mtu],
      [PORT_INDEX, index],
      [PORT_QUEUES, nic.queues],
      [PORT_RING, nic.ringSize],
      [PORT_MBUFS, nic.mbufs],
      [PORT_RULES, nic.rules],
      [PORT_RSS_TYPES, nic.rssTypes],
      [PORT_TX_COUNT, nic.txQueues],
    ];
    const layOut = (): void => {
      for (const [offset, value] of words) writeWord(module, handle + offset, value);
      bytesAt(module, handle + PORT_MAC, 8).set(nic.mac);
      bytesAt(module, handle + PORT_RSS_KEY, nic.rssKey.length).set(nic.rssKey);
      exports.portInit(handle);
    };
    layOut();
    nextIndex.set(module.memory, Math.max(index + 1, UserVeth.nextIndex(module)));
    const made = new UserVeth(module, nic.name, handle);
    made.#renew = () => {
      bytesAt(module, handle, bytes).fill(0);
      layOut();
    };
    return made;
  }

  /** The number that the next NIC in a memory gets. */
  static nextIndex(module: VethModule): number {
    return nextIndex.get(module.memory) ?? 0;
  }

  /** Takes that number, for a NIC of the same network that lies in another memory. */
  static takeIndex(module: VethModule): number {
    const index = UserVeth.nextIndex(module);
    nextIndex.set(module.memory, index + 1);
    return index;
  }

  /** Opens a NIC that another thread made. */
  static attach(module: VethModule, description: VethDescription): UserVeth {
    const nic = new UserVeth(module, description.name, description.handle);
    for (const direction of ["toWire", "toHost"] as const) {
      const link = description.links[direction];
      if (link !== undefined) nic.#links[direction] = Link.attach(module, link);
    }
    return nic;
  }

  describe(): VethDescription {
    const links: VethDescription["links"] = {};
    for (const direction of ["toWire", "toHost"] as const) {
      const link = this.#links[direction];
      if (link !== undefined) links[direction] = link.describe();
    }
    return { kind: this.kind, name: this.name, handle: this.handle, links };
  }

  get mac(): string {
    return formatMac(bytesAt(this.#module, this.handle + PORT_MAC, 6));
  }

  get mtu(): number {
    return this.#word(PORT_MTU);
  }

  get queues(): number {
    return this.#word(PORT_QUEUES);
  }

  get capabilities(): number {
    return this.#word(PORT_CAPS);
  }

  get index(): number {
    return this.#word(PORT_INDEX);
  }

  /** RX descriptors of each queue. */
  get ringSize(): number {
    return this.#word(PORT_RING);
  }

  /** Mbufs of each RX queue. */
  get mbufs(): number {
    return this.#word(PORT_MBUFS);
  }

  /** TX queues: threads that may send. */
  get txQueues(): number {
    return this.#word(PORT_TX_COUNT);
  }

  /** Takes every frame, not only its own. */
  get promiscuous(): boolean {
    return this.#flag(PORT_PROMISCUOUS);
  }

  set promiscuous(on: boolean) {
    this.#setFlag(PORT_PROMISCUOUS, on);
  }

  /** txBurst stops at a frame whose receiver has no room, in place of losing it. */
  get flowControl(): boolean {
    return this.#flag(PORT_FLOW_CONTROL);
  }

  set flowControl(on: boolean) {
    this.#setFlag(PORT_FLOW_CONTROL, on);
  }

  /** Takes frames at all. */
  get up(): boolean {
    return this.#flag(PORT_UP);
  }

  set up(on: boolean) {
    this.#setFlag(PORT_UP, on);
  }

  get links(): { readonly toWire?: Link; readonly toHost?: Link } {
    return this.#links;
  }

  setLink(direction: LinkDirection, options: LinkOptions): Link {
    const { seed, buffers, ...rules } = options;
    const link = this.#links[direction];
    if (link === undefined || buffers !== undefined) {
      const fresh = Link.create(this.#module, this.handle, direction, options);
      link?.close();
      this.#links[direction] = fresh;
      // Closing the old link must not take the new one out.
      this.#module.exports.linkAttach(fresh.handle);
      return fresh;
    }
    link.set(rules);
    if (seed !== undefined) link.seed(seed);
    return link;
  }

  /** Takes a link out. @returns frames that were under way and are lost */
  removeLink(direction: LinkDirection): number {
    const link = this.#links[direction];
    delete this.#links[direction];
    return link?.close() ?? 0;
  }

  setCapture(capture: Capture | null): void {
    writeWord(this.#module, this.handle + PORT_CAPTURE, capture?.handle ?? 0);
  }

  /** Has a doorbell (two words: see DOORBELL_* in layout.ts) rung when frames come to a queue; 0 ends it. */
  setDoorbell(queue: number, doorbell: number): void {
    this.#module.exports.rxInterrupt(this.handle, queue, doorbell);
  }

  /** Address of the pool of mbufs behind an RX queue, a shared one. */
  poolAddress(queue: number): number {
    return readWord(this.#module, this.handle + PORT_RX_QUEUES) + queue * RXQ_BYTES + RXQ_POOL;
  }

  /** Address of the caches in which the thread of a TX queue gathers freed mbufs: one for each RX queue. */
  cachesAddress(txQueue: number): number {
    return readWord(this.#module, this.handle + PORT_CACHES) + txQueue * this.queues * CACHE_SPREAD;
  }

  /** Packets that wait in a queue. */
  pending(queue: number): number {
    return this.#module.exports.rxPending(this.handle, queue);
  }

  /** Mbufs of each RX queue that are in rings or with the host: an audit. */
  mbufsInUse(): number[] {
    return Array.from({ length: this.queues }, (_, q) => this.#module.exports.rxMbufsInUse(this.handle, q));
  }

  /** When the port's links have something to do, microseconds; Infinity = never. */
  get nextDue(): number {
    return this.#module.exports.portNextDue(this.handle);
  }

  xstats(): Xstats {
    return readXstats(this.#module, this.handle);
  }

  /**
   * Sends one frame, as a device without a stack does.
   * @param now microseconds
   * @returns false when flow control stopped it: send it again later
   */
  send(frame: Uint8Array, now: number, options: SendOptions = {}): boolean {
    const { queue = 0, flags = 0, mss = 0, vlanTci = 0 } = options;
    if (frame.length > PACKET_BYTES_MAX) throw new VethError("ERR_ORIBI_FRAME", `${frame.length} bytes are no frame.`);
    const data = this.#staging() + MBUF_HEADER;
    bytesAt(this.#module, data, frame.length).set(frame);
    return this.#module.exports.frameSend(this.handle, queue, data, frame.length, flags, mss, vlanTci, now) === 1;
  }

  /** Takes one packet from a queue, as a device without a stack does; undefined when none waits. */
  receive(now: number, queue = 0): ReceivedPacket | undefined {
    const stage = this.#staging();
    const data = stage + MBUF_HEADER;
    const length = this.#module.exports.frameReceive(this.handle, queue, data, PACKET_BYTES_MAX, now);
    if (length === 0) return undefined;
    const view = viewOf(this.#module);
    return {
      data: bytesAt(this.#module, data, length).slice(),
      segments: view.getUint16(stage + MBUF_NB_SEGS, true),
      port: view.getUint16(stage + MBUF_PORT, true),
      rssHash: view.getUint32(stage + MBUF_RSS_HASH, true),
      flags: view.getUint32(stage + MBUF_OL_FLAGS, true),
      vlanTci: view.getUint16(stage + MBUF_VLAN_TCI, true),
      queue: view.getUint8(stage + MBUF_QUEUE),
      mss: view.getUint16(stage + MBUF_TSO_MSS, true),
    };
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.up = false;
    const { exports } = this.#module;
    const bridge = this.bridgeHandle;
    if (bridge !== 0) exports.bridgeDetach(bridge, this.handle);
    exports.cableDisconnect(this.handle);
    this.#leaveSwitch();
    this.removeLink("toWire");
    this.removeLink("toHost");
    this.setCapture(null);
    if (this.#module.free === undefined) return;
    if (this.#stage !== 0) this.#module.free(this.#stage);
    bytesAt(this.#module, this.handle, 4).fill(0);
    this.#module.free(this.handle);
  }

  /** Makes the NIC anew, as it was made and whatever has become of its memory. Nobody may use it meanwhile. */
  renew(): void {
    if (this.#renew === undefined) throw new VethError("ERR_ORIBI_NIC", `This thread has not made ${this.name}.`);
    this.#renew();
  }

  /** Address of the bridge that the port is plugged into, or 0. */
  get bridgeHandle(): number {
    return this.#word(PORT_BRIDGE);
  }

  /** The switch of a NIC with VFs brings nothing more to a function that is gone. */
  #leaveSwitch(): void {
    const [eswitch, index] = [this.#word(PORT_ESWITCH), this.#word(PORT_FUNCTION)];
    if (eswitch === 0 || index === ESWITCH_UPLINK) return;
    writeWord(this.#module, eswitch + ESWITCH_HEADER + index * FUNCTION_BYTES + FUNCTION_FLAGS, FUNCTION_DISABLED);
  }

  /** A buffer for send() and receive(), made on first use. */
  #staging(): number {
    if (this.#stage === 0) this.#stage = this.#module.allocate(STAGE_BYTES);
    return this.#stage;
  }

  #word(offset: number): number {
    return readWord(this.#module, this.handle + offset);
  }

  #flag(bit: number): boolean {
    return (this.#word(PORT_FLAGS) & bit) !== 0;
  }

  #setFlag(bit: number, on: boolean): void {
    const flags = this.#word(PORT_FLAGS);
    writeWord(this.#module, this.handle + PORT_FLAGS, on ? flags | bit : flags & ~bit);
  }
}

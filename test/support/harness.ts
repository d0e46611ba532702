// The stack's core by itself, at frame level: fake NICs, a clock that the test moves, sockets by raw calls.
//
//   const h = stackHarness({ address: "10.0.0.1/24" });
//   h.receive(ipv4(udp({ to: 7 }, "hello")));
//   expect(h.sentOne().icmp).to.deep.include({ type: 3, code: 3 });

import { expect } from "chai";
import * as layout from "../../assembly/layout.ts";
import { createMemory, instantiateStack, Regions, type StackExports } from "../../host/core.ts";
import { PcapngWriter } from "../../veth/pcapng.ts";
import { NO_RULES, FakeNic, type RxOptions } from "./fake-nic.ts";
import { Guard, GUARD_BYTES } from "./guard.ts";
import { type Address, bytesOf, cidr, ether, HOST, ip, ipText, type Layer, macWords, PEER } from "./frames.ts";
import { type Packet, parse, partOf, type Pattern, summary } from "./packets.ts";

export interface InterfaceOptions {
  /** Address and prefix length; without, the interface has none yet. */
  address?: string | undefined;
  mac?: string;
  mtu?: number;
  /** CAP_* */
  caps?: number;
}

export interface HarnessOptions extends InterfaceOptions {
  /** More interfaces, numbers 2, 3, ... */
  more?: InterfaceOptions[];
  /** Default route by this neighbour. */
  gateway?: Address;
  /** Gives the peer (and the gateway) a static ARP entry, so that the test need not answer requests. Default true. */
  resolved?: boolean;
  forwarding?: boolean;
  /** Sizes: "CFG_MBUFS" and the like. */
  sizes?: Record<string, number>;
  /** SYSCTL_* values, by name without the prefix. */
  sysctls?: Record<string, number>;
  /** Start of the clock, ms. Default 1,000,000. */
  startMillis?: number;
  seed?: number;
  /** The byte that stands behind received frames. */
  filler?: number;
}

const SIZES: Record<string, number> = {
  CFG_CONNECTIONS: 64,
  CFG_SOCKETS: 32,
  CFG_MBUFS: 512,
  CFG_CHUNKS: 256,
  CFG_LARGE_CHUNKS: 16,
  CFG_FLIGHTS: 64,
  CFG_TXSEGS: 1024,
  CFG_ISLANDS: 64,
  CFG_EPITEMS: 32,
  CFG_TIME_WAITS: 64,
  CFG_REASSEMBLIES: 8,
  CFG_ARP_ENTRIES: 16,
};
const RX_MBUFS = 256;
/** Polls in a row that may find work at one time. */
const POLLS_MAX = 10_000;

/** Names and numbers of the constants with a prefix, without it. */
function names(prefix: string): [string, number][] {
  return Object.entries(layout)
    .filter(([name, value]) => name.startsWith(prefix) && typeof value === "number")
    .map(([name, value]) => [name.slice(prefix.length), value as number]);
}

const MIB = names("MIB_").filter(([name]) => name !== "COUNT");
const POOLS = names("POOL_").filter(([name]) => name !== "COUNT");

function constant(name: string): number {
  const value = (layout as unknown as Record<string, number | undefined>)[name];
  if (value === undefined) throw new Error(`layout.ts has no ${name}.`);
  return value;
}

/** "EAGAIN" for -11, the number itself for what is no error. */
export function errnoName(result: number): string | number {
  if (result >= 0) return result;
  const found = Object.entries(layout).find(([name, value]) => /^E[A-Z0-9]+$/.test(name) && value === -result);
  return found?.[0] ?? result;
}

/** A datagram that recvfrom gave. */
export interface Received {
  data: Uint8Array;
  from: string;
  port: number;
  flags: number;
  /** Length before it was cut. */
  length: number;
  to: string;
  /** Number of the interface, from 1. */
  netif: number;
  ttl: number;
  tos: number;
}

export class StackHarness {
  readonly core: StackExports;
  readonly nic: FakeNic;
  readonly #memory: DataView;
  readonly #bytes: Uint8Array;
  readonly #exchange: number;
  readonly #ports: number;
  /** In front of the arena and behind it. */
  readonly #guards: readonly [Guard, Guard];
  /** Microseconds. */
  #now: number;

  constructor(options: HarnessOptions = {}) {
    const interfaces = [options, ...(options.more ?? [])];
    this.#ports = interfaces.length;
    this.#now = (options.startMillis ?? 1_000_000) * 1000;
    const memory = createMemory(8);
    const regions = new Regions(memory);
    const config = regions.allocate(layout.CFG_WORDS * 4);
    const nicAt = regions.allocate(FakeNic.bytes(RX_MBUFS));
    let nic: FakeNic | undefined;
    const use = (): FakeNic => nic!;
    const core = instantiateStack(memory, {
      rxBurst: (port: number, queue: number, out: number, max: number, now: number) =>
        use().imports.rxBurst(port, queue, out, max, now),
      txBurst: (port: number, queue: number, packets: number, count: number, now: number) =>
        use().imports.txBurst(port, queue, packets, count, now),
      queueOf: () => use().imports.queueOf(),
      ...NO_RULES,
    });
    const words = new Uint32Array(memory.buffer, config, layout.CFG_WORDS);
    for (const [name, value] of Object.entries({ ...SIZES, ...options.sizes })) words[constant(name)] = value;
    const seed = options.seed ?? 1;
    for (let i = 0; i < 4; i++) words[layout.CFG_SECRET + i] = Math.imul(seed + i, 0x9e3779b1) >>> 0;
    if (options.forwarding) words[layout.CFG_FLAGS] = layout.STACK_FORWARDING;
    const bytes = core.arenaBytes(config) >>> 0;
    const arena = regions.allocate(GUARD_BYTES + bytes + GUARD_BYTES) + GUARD_BYTES;
    this.nic = nic = new FakeNic(memory.buffer, nicAt, RX_MBUFS, this.#ports, options.filler);
    this.#guards = [
      new Guard(memory.buffer, nicAt + FakeNic.bytes(RX_MBUFS), arena),
      new Guard(memory.buffer, arena + bytes, arena + bytes + GUARD_BYTES),
    ];
    this.core = core;
    this.#memory = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    expect(core.init(arena, config, this.#now), "init").to.equal(0);
    this.#exchange = core.exchange() >>> 0;
    for (const [name, value] of Object.entries(options.sysctls ?? {})) this.sysctl(name, value);
    interfaces.forEach((one, i) => this.#addInterface(one, i));
    if (options.gateway !== undefined) this.ok(core.routeAdd(0, 0, ip(options.gateway), 0));
    if (options.resolved ?? true) this.#resolve(options);
    this.nic.take(1); // the announcement
    for (let i = 2; i <= this.#ports; i++) this.nic.take(i);
  }

  #addInterface(options: InterfaceOptions, index: number): void {
    const at = this.#exchange + layout.EXCHANGE_ARGS;
    const words = new Uint32Array(this.#memory.buffer, at, layout.IF_WORDS).fill(0);
    const macAddress = options.mac ?? (index === 0 ? HOST.mac : `02:00:00:00:0${index}:01`);
    const { high, low } = macWords(macAddress);
    const text = "address" in options ? options.address : index === 0 ? `${HOST.address}/24` : `10.0.${index}.1/24`;
    const { address, mask } = text === undefined ? { address: 0, mask: 0 } : cidr(text);
    words[layout.IF_PORT] = index + 1;
    words[layout.IF_MAC_HIGH] = high;
    words[layout.IF_MAC_LOW] = low;
    words[layout.IF_ADDRESS] = address;
    words[layout.IF_NETMASK] = mask;
    words[layout.IF_MTU] = options.mtu ?? 1500;
    words[layout.IF_CAPS] = options.caps ?? 0;
    expect(this.core.netifAdd(at), "netifAdd").to.equal(index + 1);
    this.poll();
  }

  #resolve(options: HarnessOptions): void {
    const { high, low } = macWords(PEER.mac);
    this.core.arpAdd(ip(PEER.address), high, low);
    if (options.gateway !== undefined) this.core.arpAdd(ip(options.gateway), high, low);
  }

  // ---- Time -----------------------------------------------------------------------------------------------------

  /** The clock, ms. */
  get now(): number {
    return this.#now / 1000;
  }

  /** Beats until there is nothing left to do at this time. */
  poll(): void {
    for (let i = 0; this.core.poll(this.#now) !== 0; i++) {
      if (i === POLLS_MAX) throw new Error("The stack does not come to rest.");
    }
    this.core.poll(this.#now);
  }

  /** Moves the clock by `millis`, stopping wherever the stack asks to. */
  advance(millis: number): void {
    const end = this.#now + millis * 1000;
    for (let i = 0; ; i++) {
      this.poll();
      const next = this.core.nextDeadline();
      if (next > end) break;
      if (next <= this.#now && i > POLLS_MAX) throw new Error("The stack's deadline does not move.");
      this.#now = Math.max(this.#now, next);
    }
    this.#now = end;
    this.poll();
  }

  /** Sets the clock, forward or back, with nothing in between. */
  jump(toMillis: number): void {
    this.#now = toMillis * 1000;
  }

  /** One beat; returns its work. */
  beat(): number {
    return this.core.poll(this.#now);
  }

  // ---- Frames ---------------------------------------------------------------------------------------------------

  /** Lets frames wait at interface 1's NIC. IPv4 without Ethernet gets the header of a frame from the peer. */
  inject(frame: Layer | Uint8Array, options: RxOptions & { port?: number } = {}): void {
    const whole = frame instanceof Uint8Array || frame.type === undefined ? frame : ether(frame);
    this.nic.deliver(options.port ?? 1, bytesOf(whole), options);
  }

  /** Lets the stack receive a frame and do what follows from it now. */
  receive(frame: Layer | Uint8Array, options: RxOptions & { port?: number } = {}): void {
    this.inject(frame, options);
    this.poll();
  }

  /** The frames that have left by a port since the last call, taken apart (which checks their form). */
  sent(port = 1): Packet[] {
    this.poll();
    return this.nic.take(port).map(parse);
  }

  /** The only frame that has left by a port since the last call. */
  sentOne(port = 1): Packet {
    const packets = this.sent(port);
    expect(packets.map(summary), "frames sent").to.have.length(1);
    return packets[0]!;
  }

  /** Expects one frame, with what the pattern names; returns it. */
  expectSent(pattern: Pattern<Packet>, port = 1): Packet {
    const packet = this.sentOne(port);
    expect(partOf(packet, pattern)).to.deep.equal(pattern);
    return packet;
  }

  /** Expects that no frame has left since the last call. */
  expectSilence(port = 1): void {
    expect(this.sent(port).map(summary), "frames sent").to.deep.equal([]);
  }

  /** Everything that has crossed the NICs, as a pcapng file: `writeFileSync("x.pcapng", h.pcapng())`. */
  pcapng(): Uint8Array {
    const writer = PcapngWriter.toMemory();
    for (let i = 1; i <= this.#ports; i++) writer.addInterface({ name: `nic${i}` });
    for (const { port, direction, micros, frame } of this.nic.log) {
      writer.packet(port - 1, micros, frame, { direction });
    }
    return writer.bytes();
  }

  /** What was written outside of the arena: a sentence for each side of it. */
  trespasses(): string[] {
    const [front, back] = this.#guards.map((guard) => guard.firstTouched());
    const sentence = (at: number, side: string): string[] =>
      at < 0 ? [] : [`Byte ${at} of the strip ${side} the arena was written.`];
    return [...sentence(front!, "in front of"), ...sentence(back!, "behind")];
  }

  // ---- State ----------------------------------------------------------------------------------------------------

  /** A counter, by its name in layout.ts without "MIB_". */
  counter(name: string): number {
    return Number(this.#memory.getBigUint64((this.core.countersAt() >>> 0) + constant(`MIB_${name}`) * 8, true));
  }

  /** All counters that are not zero. */
  counters(): Record<string, number> {
    const all = MIB.map(([name]) => [name, this.counter(name)] as const);
    return Object.fromEntries(all.filter(([, value]) => value !== 0));
  }

  /** By how much each counter that changed has changed while `work` ran. */
  counting(work: () => void): Record<string, number> {
    const before = this.counters();
    work();
    const changes = Object.entries(this.counters()).map(
      ([name, value]) => [name, value - (before[name] ?? 0)] as const,
    );
    return Object.fromEntries(changes.filter(([, change]) => change !== 0));
  }

  /** Elements in use of every pool; the receive mbufs are "RX". */
  pools(): Record<string, number> {
    const all = POOLS.map(([name, index]) => [name, this.core.poolUsed(index)] as const);
    return Object.fromEntries([...all, ["RX", this.nic.inUse] as const].filter(([, used]) => used !== 0));
  }

  /** Requests that found their pool empty. */
  shortages(): number {
    return POOLS.reduce((sum, [, index]) => sum + this.core.poolFailures(index), 0);
  }

  /** Sets a tunable, by its name without "SYSCTL_". */
  sysctl(name: string, value: number): void {
    this.ok(this.core.sysctlSet(constant(`SYSCTL_${name}`), value));
  }

  /** Rows of the ARP cache. */
  arpTable(): { address: string; mac: string; state: number; pending: number }[] {
    const at = this.#exchange + layout.EXCHANGE_DATA;
    const rows = this.core.arpDump(at, 256);
    const word = (row: number, i: number): number =>
      this.#memory.getUint32(at + row * layout.ARP_ROW_BYTES + i * 4, true);
    return Array.from({ length: rows }, (_, row) => {
      const hex = word(row, 1).toString(16).padStart(4, "0") + word(row, 2).toString(16).padStart(8, "0");
      const mac = hex.replace(/..(?!$)/g, "$&:");
      return { address: ipText(word(row, 0)), mac, state: word(row, 3) & 255, pending: word(row, 3) >>> 16 };
    });
  }

  // ---- Sockets --------------------------------------------------------------------------------------------------

  /** The result of a call that must not fail. */
  ok(result: number): number {
    if (result < 0) throw new Error(`A call failed with ${errnoName(result)}.`);
    return result;
  }

  /** A new UDP socket, bound and connected as asked: "10.0.0.1:7", ":7". */
  udp({ bind, connect }: { bind?: string; connect?: string } = {}): number {
    const fd = this.ok(this.core.socket(layout.AF_INET, layout.SOCK_DGRAM, 0));
    if (bind !== undefined) this.ok(this.core.bind(fd, ...endpoint(bind)));
    if (connect !== undefined) this.ok(this.core.connect(fd, ...endpoint(connect)));
    return fd;
  }

  /** A new TCP socket, bound as asked. */
  tcp({ bind }: { bind?: string } = {}): number {
    const fd = this.ok(this.core.socket(layout.AF_INET, layout.SOCK_STREAM | layout.SOCK_NONBLOCK, 0));
    if (bind !== undefined) this.ok(this.core.bind(fd, ...endpoint(bind)));
    return fd;
  }

  /** Sends; `to` as "10.0.0.2:7". The result of the call; what it sent leaves with the next poll. */
  send(fd: number, data: string | Uint8Array, to?: string, flags = 0): number {
    const bytes = bytesOf(data);
    const at = this.#exchange + layout.EXCHANGE_DATA;
    this.#bytes.set(bytes, at);
    if (to === undefined) return this.core.send(fd, at, bytes.length, flags);
    return this.core.sendto(fd, at, bytes.length, flags, ...endpoint(to));
  }

  /** Receives a datagram, or gives the name of the error. */
  receiveFrom(fd: number, length = 65536, flags = 0): Received | string {
    const at = this.#exchange + layout.EXCHANGE_DATA;
    const result = this.core.recvfrom(fd, at, length, flags);
    if (result < 0) return String(errnoName(result));
    const word = (offset: number): number => this.#memory.getUint32(this.#exchange + offset, true);
    const cut = word(layout.EXCHANGE_ADDRESS + 12);
    return {
      data: this.#bytes.slice(at, at + Math.min(result, length)),
      from: ipText(word(layout.EXCHANGE_ADDRESS)),
      port: word(layout.EXCHANGE_ADDRESS + 4),
      flags: word(layout.EXCHANGE_ADDRESS + 8),
      length: cut,
      to: ipText(word(layout.EXCHANGE_DESTINATION)),
      netif: word(layout.EXCHANGE_NETIF),
      ttl: word(layout.EXCHANGE_TTL),
      tos: word(layout.EXCHANGE_TOS),
    };
  }

  /** Receives what must be there, as text. */
  text(fd: number): string {
    const received = this.receiveFrom(fd);
    return typeof received === "string" ? received : Buffer.from(received.data).toString("latin1");
  }

  /** Receives bytes of a stream: the bytes, or the name of the error. */
  read(fd: number, length = 65536, flags = 0): Uint8Array | string {
    const at = this.#exchange + layout.EXCHANGE_DATA;
    const result = this.core.recv(fd, at, length, flags);
    return result < 0 ? String(errnoName(result)) : this.#bytes.slice(at, at + result);
  }

  /** Sets an option to an int, or to bytes (addresses in network order). */
  setOption(fd: number, level: number, name: number, value: number | Uint8Array): number {
    const at = this.#exchange + layout.EXCHANGE_ARGS;
    const bytes = typeof value === "number" ? Uint8Array.from(Buffer.from(Int32Array.of(value).buffer)) : value;
    this.#bytes.set(bytes, at);
    return this.core.setsockopt(fd, level, name, at, bytes.length);
  }

  /** Reads an option that is an int. */
  option(fd: number, level: number, name: number): number {
    const at = this.#exchange + layout.EXCHANGE_ARGS;
    this.ok(this.core.getsockopt(fd, level, name, at, 4));
    return this.#memory.getInt32(at, true);
  }

  /** Reads an option that is a structure of up to `length` bytes. */
  optionBytes(fd: number, level: number, name: number, length: number): Uint8Array {
    const at = this.#exchange + layout.EXCHANGE_ARGS;
    return this.#bytes.slice(at, at + this.ok(this.core.getsockopt(fd, level, name, at, length)));
  }

  /** Readiness as EPOLL bits. */
  events(fd: number): number {
    return this.core.pollEvents(fd) >>> 0;
  }

  /** A word of the exchange area. */
  exchangeWord(offset: number): number {
    return this.#memory.getUint32(this.#exchange + offset, true);
  }

  /** Address and port that getsockname or getpeername gave. */
  name(fd: number, peer = false): string {
    this.ok(peer ? this.core.getpeername(fd) : this.core.getsockname(fd));
    return `${ipText(this.exchangeWord(0))}:${this.exchangeWord(4)}`;
  }
}

function endpoint(text: string): [address: number, port: number] {
  const [address = "", port = "0"] = text.split(":");
  return [address === "" ? 0 : ip(address), Number(port)];
}

/** The core with one interface, 10.0.0.1/24, and a peer whose MAC address it knows; the options change that. */
export function stackHarness(options: HarnessOptions = {}): StackHarness {
  return new StackHarness(options);
}

// ltran seen from the host: the forwarder between a NIC and stacks in memories of their own, one beat at a time.
// Read first: veth/datapath/ltran.ts for the forwarding, carrier.ts for the copying; openEuler Gazelle, "ltran".

import {
  DOORBELL_SEQUENCE,
  DOORBELL_SLEEPING,
  LTRAN_BELL,
  LTRAN_COUNTERS,
  LTRAN_FLOW_EVICTIONS,
  LTRAN_FLOWS,
  LTRAN_FRAGMENT_MISSES,
  LTRAN_HEADER,
  LTRAN_NEWS,
  LTRAN_NOW,
  LTRAN_PORT,
  LTRAN_RX_DEAD,
  LTRAN_RX_UNKNOWN,
  LTRAN_SLOTS,
  STATION_ADDRESS,
  STATION_BELL,
  STATION_BLOCKED,
  STATION_BYTES,
  STATION_COUNTERS,
  STATION_IN,
  STATION_MAC,
  STATION_OUT,
  STATION_PORTS,
  STATION_REFUSED,
  STATION_RX_BYTES,
  STATION_RX_MISSED,
  STATION_RX_PACKETS,
  STATION_SERVED,
  STATION_SIZE,
  STATION_TX_BYTES,
  STATION_TX_LOCAL,
  STATION_TX_PACKETS,
  STATION_TX_SPOOFED,
  STATION_VIOLATIONS,
  STATION_WANTED,
  STATIONS_MAX,
  TRUNK_PORTS_BYTES,
} from "../assembly/layout.ts";
import { Carrier } from "./carrier.ts";
import {
  bytesAt,
  readCounter,
  readWord,
  VethError,
  type VethMemory,
  type VethModule,
  viewOf,
  writeWord,
} from "./module.ts";
import {
  checkNames,
  OptionError,
  parseInteger,
  parsePowerOfTwo,
  parseSize,
  type Size,
  withDefaults,
} from "./options.ts";
import type { Port } from "./port.ts";

export interface ForwarderOptions {
  /** Stacks that fit, 1 to 64. */
  stacks?: number;
  /** Bytes of the ring to each stack and of the one from it, a power of two from 128 KiB to 16 MiB. */
  ring?: Size;
  /** Flows that are remembered where stacks share an address: a power of two, 8 to 1048576. */
  flows?: number;
  /** Frames that are taken from the NIC, and from each stack, in one beat at most; 1 to 4096. */
  burst?: number;
}

export const FORWARDER_DEFAULTS: Readonly<Required<ForwarderOptions>> = Object.freeze({
  stacks: 16,
  ring: "512KiB",
  flows: 16384,
  burst: 256,
});

/** What an ltran has done, beside the counters of its NIC. */
export interface ForwarderCounters {
  /** Frames for an address that no stack has. */
  rxUnknown: number;
  /** Frames for a stack that did not run. */
  rxDead: number;
  /** Fragments of a shared address whose first part was not seen before; the first stack gets them. */
  fragmentMisses: number;
  /** Flows that were forgotten for newer ones. */
  flowEvictions: number;
}

/** What an ltran has done for one stack. */
export interface StationCounters {
  rxPackets: number;
  rxBytes: number;
  /** Frames that found the ring to the stack full: it takes too little. */
  rxMissed: number;
  txPackets: number;
  txBytes: number;
  /** Frames with another's address, dropped. */
  txSpoofed: number;
  /** Frames for other stacks of the same ltran. */
  txLocal: number;
  /** Times that its memory held what cannot be. */
  violations: number;
}

/** "served"; "down": it does not run; "refused": it was cut off, because its memory held what cannot be. */
export type StationState = "served" | "down" | "refused";

/** Where an ltran lies, as plain data: for workers. */
export interface ForwarderDescription {
  kind: "ltran";
  handle: number;
  burst: number;
}

/** Where the memory of a stack's NIC is. */
export interface TrunkPlace {
  slot: number;
  memory: VethMemory;
  trunk: number;
}

const OF_ALL: Record<keyof ForwarderCounters, number> = {
  rxUnknown: LTRAN_RX_UNKNOWN,
  rxDead: LTRAN_RX_DEAD,
  fragmentMisses: LTRAN_FRAGMENT_MISSES,
  flowEvictions: LTRAN_FLOW_EVICTIONS,
};
const OF_ONE: Record<keyof StationCounters, number> = {
  rxPackets: STATION_RX_PACKETS,
  rxBytes: STATION_RX_BYTES,
  rxMissed: STATION_RX_MISSED,
  txPackets: STATION_TX_PACKETS,
  txBytes: STATION_TX_BYTES,
  txSpoofed: STATION_TX_SPOOFED,
  txLocal: STATION_TX_LOCAL,
  violations: STATION_VIOLATIONS,
};
/** A frame that found no room at its receiver is tried again after so long, microseconds. */
const RETRY_MICROS = 50;

/** The forwarder. One thread calls beat(); the others ask and tell through the shared memory of its NIC. */
export class Forwarder {
  readonly handle: number;
  readonly burst: number;
  readonly #module: VethModule;
  #words: Int32Array;
  /** How often each stack was started. */
  readonly #starts: number[] = [];
  readonly #carriers: (Carrier | undefined)[] = [];
  #retryAt = Infinity;

  private constructor(module: VethModule, handle: number, burst: number) {
    this.#module = module;
    this.handle = handle;
    this.burst = burst;
    this.#words = new Int32Array(module.memory.buffer);
  }

  /**
   * Makes it.
   * @param port its NIC: promiscuous, with a TX queue for each stack
   * @throws {OptionError}
   */
  static create(module: VethModule, port: Port, options: ForwarderOptions = {}): Forwarder {
    const { stacks, flows, ring, burst } = forwarderOptions(options);
    const handle = module.allocate(module.exports.ltranBytes(stacks, flows) >>> 0);
    writeWord(module, handle + LTRAN_PORT, port.handle);
    writeWord(module, handle + LTRAN_SLOTS, stacks);
    writeWord(module, handle + LTRAN_FLOWS, flows);
    module.exports.ltranInit(handle);
    const mirrors = module.allocate(stacks * (2 * ring + TRUNK_PORTS_BYTES));
    for (let slot = 0; slot < stacks; slot++) {
      const at = stationAt(handle, slot);
      writeWord(module, at + STATION_SIZE, ring);
      writeWord(module, at + STATION_OUT, mirrors + slot * 2 * ring);
      writeWord(module, at + STATION_IN, mirrors + slot * 2 * ring + ring);
      writeWord(module, at + STATION_PORTS, mirrors + stacks * 2 * ring + slot * TRUNK_PORTS_BYTES);
    }
    return new Forwarder(module, handle, burst);
  }

  /** Opens one that another thread made. */
  static attach(module: VethModule, description: ForwarderDescription): Forwarder {
    return new Forwarder(module, description.handle, description.burst);
  }

  describe(): ForwarderDescription {
    return { kind: "ltran", handle: this.handle, burst: this.burst };
  }

  /** Stacks that fit. */
  get slots(): number {
    return readWord(this.#module, this.handle + LTRAN_SLOTS);
  }

  /** Bytes of each ring. */
  get ring(): number {
    return readWord(this.#module, stationAt(this.handle, 0) + STATION_SIZE);
  }

  /**
   * A place for a stack with these addresses; it is served when start() says so.
   * @param address as a host-order number
   * @throws {VethError} ERR_ORIBI_LTRAN_FULL
   */
  station(mac: Uint8Array, address: number): number {
    for (let slot = 0; slot < this.slots; slot++) {
      const at = stationAt(this.handle, slot);
      if (bytesAt(this.#module, at + STATION_MAC, 6).some((byte) => byte !== 0)) continue;
      bytesAt(this.#module, at + STATION_ADDRESS, 4).set([address >>> 24, address >>> 16, address >>> 8, address]);
      bytesAt(this.#module, at + STATION_MAC, 6).set(mac);
      return slot;
    }
    throw new VethError(
      "ERR_ORIBI_LTRAN_FULL",
      `An ltran with room for ${this.slots} stacks has no more (option "stacks").`,
    );
  }

  /** The thread that calls beat() is told where a stack's trunk is. Before start(). */
  connect({ slot, memory, trunk }: TrunkPlace): void {
    this.#carriers[slot] = new Carrier(this.#module.memory, stationAt(this.handle, slot), memory, trunk);
  }

  /** How many trunks the thread that calls beat() has been told of. */
  get news(): number {
    return Atomics.load(this.#words, (this.handle + LTRAN_NEWS) / 4);
  }

  /** A thread begins, which has not been told of any. */
  resetNews(): void {
    Atomics.store(this.#words, (this.handle + LTRAN_NEWS) / 4, 0);
  }

  /** There is one more. */
  addNews(): void {
    Atomics.add(this.#words, (this.handle + LTRAN_NEWS) / 4, 1);
    this.#wake();
  }

  /** Time of the latest beat, microseconds. */
  get lastBeat(): number {
    return viewOf(this.#module).getFloat64(this.handle + LTRAN_NOW, true);
  }

  /** The stack runs (again), with empty rings: from the next beat on it is served. */
  start(slot: number): void {
    const start = (this.#starts[slot] ?? 0) + 1;
    this.#starts[slot] = start;
    Atomics.store(this.#words, (stationAt(this.handle, slot) + STATION_WANTED) / 4, start);
    this.#wake();
  }

  /** The stack does not run any more: from the next beat on its memory is left alone, and what comes for it dropped. */
  stop(slot: number): void {
    Atomics.store(this.#words, (stationAt(this.handle, slot) + STATION_WANTED) / 4, 0);
    this.#wake();
  }

  /** Is a stack served, or has the last word about it not been heard yet? */
  isServed(slot: number): boolean {
    return Atomics.load(this.#words, (stationAt(this.handle, slot) + STATION_SERVED) / 4) !== 0;
  }

  state(slot: number): StationState {
    const at = stationAt(this.handle, slot) / 4;
    const wanted = Atomics.load(this.#words, at + STATION_WANTED / 4);
    if (wanted === 0) return "down";
    return Atomics.load(this.#words, at + STATION_REFUSED / 4) === wanted ? "refused" : "served";
  }

  /** Where the thread that runs a stack sleeps; 0: nowhere. */
  setStationBell(slot: number, bell: number): void {
    Atomics.store(this.#words, (stationAt(this.handle, slot) + STATION_BELL) / 4, bell);
  }

  /** Where the thread that calls beat() sleeps; 0: nowhere. */
  set bell(bell: number) {
    Atomics.store(this.#words, (this.handle + LTRAN_BELL) / 4, bell);
  }

  /**
   * Transmit duty for each stack, then receive duty: one burst each.
   * @param now microseconds
   * @returns the work done: frames
   */
  beat(now: number): number {
    const { exports } = this.#module;
    const { handle, burst } = this;
    const slots = this.#carriers.length;
    let work = 0;
    this.#retryAt = Infinity;
    for (let slot = 0; slot < slots; slot++) {
      const carrier = this.#carrierOf(slot);
      if (carrier === undefined) continue;
      const pulled = carrier.pull();
      if (pulled === "none" && carrier.look()) continue;
      const sent = pulled === "some" && carrier.look() ? exports.ltranTransmit(handle, slot, burst, now) : -1;
      if (sent < 0) {
        this.#refuse(slot);
        continue;
      }
      carrier.release();
      work += sent;
      if (this.#words[(stationAt(handle, slot) + STATION_BLOCKED) / 4] !== 0) this.#retryAt = now + RETRY_MICROS;
    }
    work += exports.ltranReceive(handle, burst, now);
    for (let slot = 0; slot < slots; slot++) {
      const station = stationAt(handle, slot) / 4;
      if (this.#words[station + STATION_SERVED / 4] === 0) continue;
      if (this.#carriers[slot]?.push() === true)
        this.#ring(Atomics.load(this.#words, station + STATION_BELL / 4) >>> 0);
    }
    return work;
  }

  /** Hears of stacks that have started or stopped, as beat() does first. */
  heed(): void {
    for (let slot = 0; slot < this.#carriers.length; slot++) this.#carrierOf(slot);
  }

  /** When beat() is to be called though nothing arrives, microseconds; Infinity = no need. */
  get nextDeadline(): number {
    return this.#retryAt;
  }

  /** Has a stack sent what has not been forwarded, or is there a word about one that was not heard? */
  hasOutput(): boolean {
    for (let slot = 0; slot < this.#carriers.length; slot++) {
      const station = stationAt(this.handle, slot) / 4;
      const wanted = Atomics.load(this.#words, station + STATION_WANTED / 4);
      const served = this.#words[station + STATION_SERVED / 4] as number;
      if (wanted !== served && wanted !== this.#words[station + STATION_REFUSED / 4]) return true;
      const isBlocked = this.#words[station + STATION_BLOCKED / 4] !== 0;
      if (served !== 0 && !isBlocked && this.#carriers[slot]?.hasOutput === true) return true;
    }
    return false;
  }

  counters(): ForwarderCounters {
    const counters = {} as ForwarderCounters;
    for (const [name, index] of Object.entries(OF_ALL)) {
      counters[name as keyof ForwarderCounters] = readCounter(this.#module, this.handle + LTRAN_COUNTERS + index * 8);
    }
    return counters;
  }

  stationCounters(slot: number): StationCounters {
    const counters = {} as StationCounters;
    const at = stationAt(this.handle, slot) + STATION_COUNTERS;
    for (const [name, index] of Object.entries(OF_ONE)) {
      counters[name as keyof StationCounters] = readCounter(this.#module, at + index * 8);
    }
    return counters;
  }

  /** The carrier of a stack that is served now; heeds start() and stop(). */
  #carrierOf(slot: number): Carrier | undefined {
    const station = stationAt(this.handle, slot) / 4;
    const wanted = Atomics.load(this.#words, station + STATION_WANTED / 4);
    const carrier = this.#carriers[slot];
    if (carrier === undefined) return undefined;
    if (wanted === this.#words[station + STATION_REFUSED / 4] && wanted !== 0) return undefined;
    if (wanted !== this.#words[station + STATION_SERVED / 4]) {
      carrier.reset();
      this.#module.exports.ltranServe(this.handle, slot, wanted);
    }
    return wanted === 0 ? undefined : carrier;
  }

  /** The stack's memory held what cannot be: it is left alone from now on, until the stack is started anew. */
  #refuse(slot: number): void {
    const station = stationAt(this.handle, slot);
    const counter = station + STATION_COUNTERS + STATION_VIOLATIONS * 8;
    writeWord(this.#module, counter, readWord(this.#module, counter) + 1);
    Atomics.store(this.#words, (station + STATION_REFUSED) / 4, this.#words[(station + STATION_SERVED) / 4] as number);
    this.#module.exports.ltranServe(this.handle, slot, 0);
  }

  /** The thread that calls beat() may sleep. */
  #wake(): void {
    this.#ring(Atomics.load(this.#words, (this.handle + LTRAN_BELL) / 4) >>> 0);
  }

  /** As doorbellRing() of assembly/memory/doorbell.ts. */
  #ring(bell: number): void {
    // It may lie in what the memory has grown by since.
    if (bell >= this.#words.byteLength) this.#words = new Int32Array(this.#module.memory.buffer);
    ringBell(this.#words, bell);
  }
}

/**
 * What a NIC behind a trunk imports to wake its ltran: the doorbell that the ltran names at the time.
 * @param home the ltran's memory
 */
export function wakerOf(home: VethMemory, handle: number): () => void {
  let words = new Int32Array(home.buffer);
  return () => {
    const bell = Atomics.load(words, (handle + LTRAN_BELL) / 4) >>> 0;
    if (bell >= words.byteLength) words = new Int32Array(home.buffer);
    ringBell(words, bell);
  };
}

function ringBell(words: Int32Array, bell: number): void {
  if (bell === 0 || Atomics.load(words, (bell + DOORBELL_SLEEPING) / 4) === 0) return;
  Atomics.add(words, (bell + DOORBELL_SEQUENCE) / 4, 1);
  Atomics.notify(words, (bell + DOORBELL_SEQUENCE) / 4, 1);
}

/** Options checked and in numbers. @throws {OptionError} */
export function forwarderOptions(
  options: ForwarderOptions,
): Required<Omit<ForwarderOptions, "ring">> & { ring: number } {
  checkNames("ltran", options, Object.keys(FORWARDER_DEFAULTS));
  const { stacks, flows, burst, ring } = withDefaults(FORWARDER_DEFAULTS, options);
  const bytes = parseSize("ltran.ring", ring);
  if (bytes < 131072 || bytes > 16777216 || (bytes & (bytes - 1)) !== 0) {
    throw new OptionError("ltran.ring", ring, "a power of two from 128KiB to 16MiB");
  }
  return {
    stacks: parseInteger("ltran.stacks", stacks, 1, STATIONS_MAX),
    flows: parsePowerOfTwo("ltran.flows", flows, 8, 1048576),
    burst: parseInteger("ltran.burst", burst, 1, 4096),
    ring: bytes,
  };
}

function stationAt(handle: number, slot: number): number {
  return handle + LTRAN_HEADER + slot * STATION_BYTES;
}

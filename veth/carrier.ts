// Copies frames between an ltran's memory and one stack's, a burst at a time: the only place where both are at hand.
// Read first: veth/datapath/ltran.ts; the trunk and the stations in assembly/layout.ts.
//
// A Wasm instance reaches one memory, so this is JavaScript: about a microsecond for a burst, nothing for a frame. What
// stands in the stack's memory may be anything: two numbers are read there, both checked; all else is checked in the
// copy, which nobody else can change. Both rings have the same places here as there, so whole pages are copied, with
// views that were made once; bytes beyond the last frame are copied for nothing, and not looked at.

import {
  STATION_IN,
  STATION_IN_HEAD,
  STATION_IN_SENT,
  STATION_IN_TAIL,
  STATION_OUT,
  STATION_OUT_HEAD,
  STATION_OUT_TAIL,
  STATION_PORTS,
  STATION_SIZE,
  TRUNK_IN_HEAD,
  TRUNK_IN_TAIL,
  TRUNK_OUT_HEAD,
  TRUNK_OUT_TAIL,
  TRUNK_PORTS,
  TRUNK_PORTS_BYTES,
  TRUNK_RINGS,
  TRUNK_VERSION,
} from "../assembly/layout.ts";
import type { VethMemory } from "./module.ts";

/** Bytes that are copied in one go. */
const PAGE = 4096;
const PAGE_SHIFT = 12;
/** The words of a station that a carrier uses. */
const STATION_WORDS = 16;

/** What the stack's memory held: frames, nothing, or what cannot be. */
export type Pulled = "some" | "none" | "nonsense";

/** Carries between a station (in the ltran's memory) and a trunk (in the stack's). One thread uses it. */
export class Carrier {
  readonly #station: Int32Array;
  readonly #trunk: Int32Array;
  readonly #home: Uint8Array;
  readonly #cell: Uint8Array;
  /** The pages of the ring out in the stack's memory, and of the ring in here. */
  readonly #outPages: readonly Uint8Array[];
  readonly #inPages: readonly Uint8Array[];
  readonly #ports: Uint8Array;
  readonly #size: number;
  readonly #out: number;
  readonly #cellIn: number;
  readonly #portsAt: number;
  #version = 0;

  /**
   * @param station address of the station in `home`, laid out
   * @param trunk address of the trunk in `cell`
   */
  constructor(home: VethMemory, station: number, cell: VethMemory, trunk: number) {
    const words = new Int32Array(home.buffer, station, STATION_WORDS);
    this.#station = words;
    this.#size = words[STATION_SIZE / 4] as number;
    this.#trunk = new Int32Array(cell.buffer, trunk, TRUNK_RINGS / 4);
    this.#home = new Uint8Array(home.buffer);
    this.#cell = new Uint8Array(cell.buffer, 0, trunk + TRUNK_RINGS + 2 * this.#size);
    this.#out = (words[STATION_OUT / 4] as number) >>> 0;
    this.#cellIn = trunk + TRUNK_RINGS + this.#size;
    this.#portsAt = (words[STATION_PORTS / 4] as number) >>> 0;
    this.#ports = this.#cell.subarray(trunk + TRUNK_PORTS, trunk + TRUNK_PORTS + TRUNK_PORTS_BYTES);
    this.#outPages = pagesOf(this.#cell, trunk + TRUNK_RINGS, this.#size);
    this.#inPages = pagesOf(this.#home, (words[STATION_IN / 4] as number) >>> 0, this.#size);
  }

  /** The stack starts anew: its ports are to be read again. */
  reset(): void {
    this.#version = 0;
    this.#home.fill(0, this.#portsAt, this.#portsAt + TRUNK_PORTS_BYTES);
  }

  /** Is there anything in the stack's ring out that has not been forwarded? */
  get hasOutput(): boolean {
    return Atomics.load(this.#trunk, TRUNK_OUT_HEAD / 4) !== this.#station[STATION_OUT_TAIL / 4];
  }

  /** Copies what the stack has sent since, and its ports when they have changed. */
  pull(): Pulled {
    const version = Atomics.load(this.#trunk, TRUNK_VERSION / 4);
    if (version !== this.#version) {
      this.#version = version;
      this.#home.set(this.#ports, this.#portsAt);
    }
    const from = this.#station[STATION_OUT_HEAD / 4] as number;
    const head = Atomics.load(this.#trunk, TRUNK_OUT_HEAD / 4);
    if (head === from) return head === this.#station[STATION_OUT_TAIL / 4] ? "none" : "some";
    const used = (from - (this.#station[STATION_OUT_TAIL / 4] as number)) >>> 0;
    const fresh = (head - from) >>> 0;
    if ((head & 7) !== 0 || fresh > this.#size - used) return "nonsense";
    this.#copy(this.#outPages, this.#home, this.#out, from, fresh);
    this.#station[STATION_OUT_HEAD / 4] = head;
    return "some";
  }

  /** Tells the stack how far its frames have been forwarded. */
  release(): void {
    Atomics.store(this.#trunk, TRUNK_OUT_TAIL / 4, this.#station[STATION_OUT_TAIL / 4] as number);
  }

  /** Reads how far the stack has taken what it was given. @returns false when that cannot be */
  look(): boolean {
    const tail = Atomics.load(this.#trunk, TRUNK_IN_TAIL / 4);
    const before = this.#station[STATION_IN_TAIL / 4] as number;
    const sent = this.#station[STATION_IN_SENT / 4] as number;
    if ((tail & 7) !== 0 || (tail - before) >>> 0 > (sent - before) >>> 0) return false;
    this.#station[STATION_IN_TAIL / 4] = tail;
    return true;
  }

  /** Copies what is for the stack into its ring. @returns true when there was something */
  push(): boolean {
    const from = this.#station[STATION_IN_SENT / 4] as number;
    const head = this.#station[STATION_IN_HEAD / 4] as number;
    if (head === from) return false;
    this.#copy(this.#inPages, this.#cell, this.#cellIn, from, (head - from) >>> 0);
    this.#station[STATION_IN_SENT / 4] = head;
    Atomics.store(this.#trunk, TRUNK_IN_HEAD / 4, head);
    return true;
  }

  /** Copies the pages that `bytes` bytes (not 0) from position `from` on touch to the same places at `to`. */
  #copy(pages: readonly Uint8Array[], target: Uint8Array, to: number, from: number, bytes: number): void {
    const count = pages.length;
    const first = (from & (this.#size - 1)) >>> PAGE_SHIFT;
    // A whole ring that begins within a page ends in it as well.
    const more = Math.min(((from & (PAGE - 1)) + bytes - 1) >>> PAGE_SHIFT, count - 1);
    for (let page = first; page <= first + more; page++) {
      const at = page < count ? page : page - count;
      target.set(pages[at] as Uint8Array, to + at * PAGE);
    }
  }
}

function pagesOf(bytes: Uint8Array, at: number, size: number): Uint8Array[] {
  return Array.from({ length: size / PAGE }, (_, i) => bytes.subarray(at + i * PAGE, at + (i + 1) * PAGE));
}

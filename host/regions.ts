// The shared memory of a network and its division into regions: arenas, ports, bridges.
// Read first: DESIGN.md section 2; the memory map in assembly/layout.ts.

import { REGION_ALIGN, REGIONS_BASE } from "../assembly/layout.ts";

/** A shared `WebAssembly.Memory`. `buffer` must be read again after the memory has grown. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

const PAGE_BYTES = 65536;
/** Pages of the largest memory of 32-bit Wasm. */
const PAGES_MAX = 65536;
/** The last page stays unused, so that the end of a region is still a 32-bit number. */
const REGIONS_END = (PAGES_MAX - 1) * PAGE_BYTES;

/**
 * Creates a memory for one network.
 * @param initialPages pages of 64 KiB to start with, 1 to 65,536; it grows as regions need it
 * @throws {Error} ERR_ORIBI_MEMORY when the engine has no address space left (each memory reserves some GiB of it)
 */
export function createMemory(initialPages = 1): SharedMemory {
  try {
    return new WebAssembly.Memory({ initial: Math.max(1, initialPages), maximum: PAGES_MAX, shared: true });
  } catch (cause) {
    throw memoryError(`No memory of ${initialPages} pages: are many networks open?`, cause);
  }
}

/** A piece of a memory, both in bytes. */
export interface Region {
  address: number;
  bytes: number;
}

/** What a Regions object knows, as plain data: part of a snapshot. */
export interface RegionsState {
  used: Region[];
  free: Region[];
  end: number;
}

/**
 * Hands out regions of a memory: zeroed, aligned to 64 KiB, the lowest free address first, so that the same calls
 * give the same addresses. One thread (the memory's owner) allocates; the regions themselves may go anywhere.
 */
export class Regions {
  readonly memory: SharedMemory;
  readonly #limit: number;
  /** Address to bytes. */
  readonly #used = new Map<number, number>();
  /** Sorted by address; no two touch. */
  #free: Region[] = [];
  /** End of the last region; behind it nothing is handed out. */
  #end: number = REGIONS_BASE;
  /** Bytes before this address may have been written to. */
  #touched: number = REGIONS_BASE;

  /**
   * Starts with no region: a memory has one Regions.
   * @param limitBytes the address that no region passes; default and maximum: 4 GiB less one page
   */
  constructor(memory: SharedMemory, { limitBytes = REGIONS_END }: { limitBytes?: number } = {}) {
    this.memory = memory;
    this.#limit = Math.min(limitBytes, REGIONS_END);
  }

  /** Bytes in regions now. */
  get usedBytes(): number {
    let bytes = 0;
    for (const size of this.#used.values()) bytes += size;
    return bytes;
  }

  /**
   * Takes a region of at least `bytes` bytes, all zero. The memory may grow: read `memory.buffer` afterwards.
   * @returns its address, a multiple of 64 KiB
   * @throws {RangeError} ERR_OUT_OF_RANGE when `bytes` is not a positive integer
   * @throws {Error} ERR_ORIBI_MEMORY at the limit, or when the engine refuses to grow
   */
  allocate(bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes <= 0) {
      const error = new RangeError(`A region needs a positive number of bytes, not ${bytes}.`);
      throw Object.assign(error, { code: "ERR_OUT_OF_RANGE" });
    }
    const size = Math.ceil(bytes / REGION_ALIGN) * REGION_ALIGN;
    const address = this.#reuse(size) ?? this.#extend(size);
    this.#used.set(address, size);
    const dirty = Math.min(size, this.#touched - address);
    if (dirty > 0) new Uint8Array(this.memory.buffer, address, dirty).fill(0);
    this.#touched = Math.max(this.#touched, address + size);
    return address;
  }

  /** Gives a region back. @throws {Error} ERR_ORIBI_MEMORY when no region in use starts at `address` */
  free(address: number): void {
    const bytes = this.#used.get(address);
    if (bytes === undefined) throw memoryError(`No region starts at address ${address}.`);
    this.#used.delete(address);
    const next = this.#free.findIndex((region) => region.address > address);
    const at = next < 0 ? this.#free.length : next;
    this.#free.splice(at, 0, { address, bytes });
    this.#join(at);
    if (at > 0) this.#join(at - 1);
  }

  /** The regions in use, by address. */
  list(): Region[] {
    const regions = [...this.#used].map(([address, bytes]) => ({ address, bytes }));
    return regions.sort((a, b) => a.address - b.address);
  }

  /** What `restore` needs to come back to this moment. The memory's bytes are not part of it. */
  snapshot(): RegionsState {
    return { used: this.list(), free: this.#free.map((region) => ({ ...region })), end: this.#end };
  }

  /** Comes back to a snapshot, of this or another memory; the memory grows to hold its regions. */
  restore(state: RegionsState): void {
    this.#reserve(state.end);
    this.#touched = Math.max(this.#touched, state.end);
    this.#used.clear();
    for (const region of state.used) this.#used.set(region.address, region.bytes);
    this.#free = state.free.map((region) => ({ ...region }));
    this.#end = state.end;
  }

  /** First fit among the freed regions. */
  #reuse(size: number): number | undefined {
    const at = this.#free.findIndex((region) => region.bytes >= size);
    const region = this.#free[at];
    if (region === undefined) return undefined;
    const address = region.address;
    if (region.bytes === size) this.#free.splice(at, 1);
    else this.#free[at] = { address: address + size, bytes: region.bytes - size };
    return address;
  }

  /** Takes bytes behind the last region; a freed region at the end is their beginning. */
  #extend(size: number): number {
    const last = this.#free.at(-1);
    const address = last !== undefined && last.address + last.bytes === this.#end ? last.address : this.#end;
    this.#reserve(address + size);
    if (address < this.#end) this.#free.pop();
    this.#end = address + size;
    return address;
  }

  /** Grows the memory until it holds the bytes before `end`. */
  #reserve(end: number): void {
    const have = this.memory.buffer.byteLength;
    if (end > this.#limit) {
      throw memoryError(
        `${mebibytes(end)} MiB are more than the ${mebibytes(this.#limit)} MiB that one network's memory may have; ` +
          `${mebibytes(this.usedBytes)} MiB are in use. Make its hosts smaller, or use several networks.`,
      );
    }
    if (end <= have) return;
    try {
      this.memory.grow((end - have) / PAGE_BYTES);
    } catch (cause) {
      throw memoryError(`The memory cannot grow from ${mebibytes(have)} to ${mebibytes(end)} MiB.`, cause);
    }
  }

  /** Joins the free region at index `at` with the next one when they touch. */
  #join(at: number): void {
    const region = this.#free[at];
    const next = this.#free[at + 1];
    if (region === undefined || next === undefined || region.address + region.bytes !== next.address) return;
    region.bytes += next.bytes;
    this.#free.splice(at + 1, 1);
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 1048576).toFixed(bytes % 1048576 === 0 ? 0 : 2);
}

function memoryError(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: "ERR_ORIBI_MEMORY" });
}

// Receive-side scaling seen from the host: key, hash types and redirection table of a port, and the plain hash.
// Read first: Microsoft "RSS Hashing Functions"; DPDK rte_thash.h (rte_softrss).

import {
  PORT_QUEUES,
  PORT_RETA,
  PORT_RSS_KEY,
  PORT_RSS_TYPES,
  RETA_SIZE,
  RSS_IPV4,
  RSS_KEY_BYTES,
  RSS_TCP_IPV4,
  RSS_UDP_IPV4,
} from "../assembly/layout.ts";
import { bytesAt, readWord, type VethModule, writeWord } from "./module.ts";
import { OptionError, parseInteger } from "./options.ts";

/** Microsoft's key, which its verification suite and most drivers use. */
export const DEFAULT_RSS_KEY: readonly number[] = Object.freeze([
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
  0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
  0x01, 0xfa,
]);

/**
 * A key whose hash is the same in both directions of a flow, so that two hosts with as many queues have each flow on
 * the same queue (Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", 2012).
 */
export const SYMMETRIC_RSS_KEY: readonly number[] = Object.freeze(
  Array.from({ length: RSS_KEY_BYTES }, (_, i) => (i % 2 === 0 ? 0x6d : 0x5a)),
);

/** What a hash may cover. */
export type RssType = "ipv4" | "tcp" | "udp";
export const DEFAULT_RSS_TYPES: readonly RssType[] = Object.freeze(["ipv4", "tcp", "udp"] as const);

const TYPE_BITS: Record<RssType, number> = { ipv4: RSS_IPV4, tcp: RSS_TCP_IPV4, udp: RSS_UDP_IPV4 };

/** The bits of PORT_RSS_TYPES. */
export function rssTypeBits(option: string, types: readonly RssType[]): number {
  let bits = 0;
  for (const type of types) {
    if (!Object.hasOwn(TYPE_BITS, type)) throw new OptionError(option, type, 'a list of "ipv4", "tcp", "udp"');
    bits |= TYPE_BITS[type];
  }
  return bits;
}

/** A key: its 40 bytes, 80 hexadecimal digits (with any marks between the bytes), or "symmetric". */
export type RssKey = readonly number[] | Uint8Array | string;

/** The 40 bytes of a key. */
export function rssKeyBytes(option: string, key: RssKey): Uint8Array {
  const bytes = key === "symmetric" ? SYMMETRIC_RSS_KEY : typeof key === "string" ? hexBytes(key) : key;
  if (bytes.length !== RSS_KEY_BYTES) {
    throw new OptionError(option, key, `"symmetric" or a key of ${RSS_KEY_BYTES} bytes`);
  }
  return Uint8Array.from(bytes);
}

function hexBytes(digits: string): number[] {
  return (digits.match(/[0-9a-f]{2}/gi) ?? []).map((byte) => parseInt(byte, 16));
}

/** The Toeplitz hash of bytes, by the book: slow, and the measure for the datapath's tables. */
export function toeplitz(key: readonly number[] | Uint8Array, input: readonly number[] | Uint8Array): number {
  let hash = 0;
  for (let bit = 0; bit < input.length * 8; bit++) {
    if (((input[bit >> 3] as number) & (0x80 >> (bit & 7))) === 0) continue;
    let window = 0;
    for (let k = bit; k < bit + 32; k++) {
      window = (window << 1) | (((key[(k >> 3) % key.length] as number) >> (7 - (k & 7))) & 1);
    }
    hash ^= window;
  }
  return hash >>> 0;
}

/** A port's RSS settings. Changes take effect at once; frames under way may still go by the old ones. */
export class Rss {
  readonly #module: VethModule;
  readonly #handle: number;

  constructor(module: VethModule, handle: number) {
    this.#module = module;
    this.#handle = handle;
  }

  /** The redirection table: 128 queues. */
  get reta(): number[] {
    return [...bytesAt(this.#module, this.#handle + PORT_RETA, RETA_SIZE)];
  }

  /**
   * Sets entries of the redirection table.
   * @param entries all 128 queues, or single ones by index
   * @throws {OptionError} when an index or a queue does not exist
   */
  setReta(entries: readonly number[] | Readonly<Record<number, number>>): void {
    if (Array.isArray(entries) && entries.length !== RETA_SIZE) {
      throw new OptionError("reta", entries.length, `${RETA_SIZE} entries, or an object of index: queue`);
    }
    const queues = readWord(this.#module, this.#handle + PORT_QUEUES);
    const checked = Object.entries(entries).map(([index, queue]) => [
      parseInteger("reta index", Number(index), 0, RETA_SIZE - 1),
      parseInteger(`reta[${index}]`, queue as number, 0, queues - 1),
    ]);
    const table = bytesAt(this.#module, this.#handle + PORT_RETA, RETA_SIZE);
    for (const [index, queue] of checked) table[index as number] = queue as number;
  }

  get key(): Uint8Array {
    return bytesAt(this.#module, this.#handle + PORT_RSS_KEY, RSS_KEY_BYTES).slice();
  }

  setKey(key: RssKey): void {
    bytesAt(this.#module, this.#handle + PORT_RSS_KEY, RSS_KEY_BYTES).set(rssKeyBytes("rss key", key));
    this.#module.exports.portSetRssKey(this.#handle);
  }

  get types(): RssType[] {
    const bits = readWord(this.#module, this.#handle + PORT_RSS_TYPES);
    return (Object.keys(TYPE_BITS) as RssType[]).filter((type) => (bits & TYPE_BITS[type]) !== 0);
  }

  setTypes(types: readonly RssType[]): void {
    writeWord(this.#module, this.#handle + PORT_RSS_TYPES, rssTypeBits("rss types", types));
  }
}

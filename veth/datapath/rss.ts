// Receive-side scaling: the Toeplitz hash over addresses and ports, bit for bit as DPDK's rte_softrss.
// Read first: Microsoft "RSS Hashing Functions" and "Verifying the RSS Hash Calculation"; DPDK rte_thash.h.

import { RETA_SIZE } from "../../assembly/layout";

/** Bytes that are hashed: both addresses, both ports, in wire order. */
const INPUT_BYTES: u32 = 12;
/** One table of 256 words for each byte: what that byte adds to the hash. */
export const RSS_TABLE_BYTES: u32 = INPUT_BYTES * 1024;

/** Computes the tables for the 40-byte key at `key`. The hash is linear, so each byte's part can be looked up. */
export function rssTableInit(table: usize, key: usize): void {
  for (let i: u32 = 0; i < INPUT_BYTES; i++) {
    const row = table + i * 1024;
    store<u32>(row, 0);
    for (let value: u32 = 1; value < 256; value++) {
      const rest = value & (value - 1);
      const bit = i * 8 + 7 - ctz(value);
      store<u32>(row + value * 4, load<u32>(row + rest * 4) ^ keyWindow(key, bit));
    }
  }
}

/** The 32 bits of the key from bit `bit`, counted from the left. */
function keyWindow(key: usize, bit: u32): u32 {
  const at = key + (bit >>> 3);
  const shift = bit & 7;
  const high = bswap<u32>(load<u32>(at));
  return shift == 0 ? high : (high << shift) | (u32(load<u8>(at, 4)) >>> (8 - shift));
}

/** Hash of the two addresses, eight bytes at `p` in wire order. */
export function rssHashAddresses(table: usize, p: usize): u32 {
  return (
    load<u32>(table + (usize(load<u8>(p, 0)) << 2), 0) ^
    load<u32>(table + (usize(load<u8>(p, 1)) << 2), 1024) ^
    load<u32>(table + (usize(load<u8>(p, 2)) << 2), 2048) ^
    load<u32>(table + (usize(load<u8>(p, 3)) << 2), 3072) ^
    load<u32>(table + (usize(load<u8>(p, 4)) << 2), 4096) ^
    load<u32>(table + (usize(load<u8>(p, 5)) << 2), 5120) ^
    load<u32>(table + (usize(load<u8>(p, 6)) << 2), 6144) ^
    load<u32>(table + (usize(load<u8>(p, 7)) << 2), 7168)
  );
}

/** What the two ports, four bytes at `p` in wire order, add to the hash. */
export function rssHashPorts(table: usize, p: usize): u32 {
  return (
    load<u32>(table + (usize(load<u8>(p, 0)) << 2), 8192) ^
    load<u32>(table + (usize(load<u8>(p, 1)) << 2), 9216) ^
    load<u32>(table + (usize(load<u8>(p, 2)) << 2), 10240) ^
    load<u32>(table + (usize(load<u8>(p, 3)) << 2), 11264)
  );
}

/** Hash of addresses and ports in host order; `withPorts` false: of the addresses only. */
export function rssHashTuple(
  table: usize,
  sourceIp: u32,
  destinationIp: u32,
  sourcePort: u32,
  destinationPort: u32,
  withPorts: bool,
): u32 {
  let hash = wordHash(table, sourceIp) ^ wordHash(table + 4096, destinationIp);
  if (withPorts) hash ^= wordHash(table + 8192, (sourcePort << 16) | destinationPort);
  return hash;
}

/** The entry of the redirection table for a hash. */
export function retaIndex(hash: u32): u32 {
  return hash & (RETA_SIZE - 1);
}

/** What four bytes, as a big-endian word, add. */
function wordHash(table: usize, word: u32): u32 {
  return (
    load<u32>(table + ((word >>> 24) << 2), 0) ^
    load<u32>(table + (((word >>> 16) & 255) << 2), 1024) ^
    load<u32>(table + (((word >>> 8) & 255) << 2), 2048) ^
    load<u32>(table + ((word & 255) << 2), 3072)
  );
}

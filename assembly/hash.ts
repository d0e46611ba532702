// Keyed hashes over the stack's secret: flow tables, ports, ISNs, cookies.
// Read first: RFC 6528 (ISNs from a keyed hash); J.-P. Aumasson and D. J. Bernstein, "SipHash" (2012), HalfSipHash.

import { stack } from "./stack";

/**
 * HalfSipHash-2-4 over three words with the stack's secret: hard to predict from outside. For sequence numbers,
 * cookies and ports.
 */
export function keyedHash(a: u32, b: u32, c: u32): u32 {
  const k0 = stack.secret0;
  const k1 = stack.secret1;
  let v0 = k0;
  let v1 = k1;
  let v2: u32 = 0x6c796765 ^ k0;
  let v3: u32 = 0x74656462 ^ k1;
  for (let i = 0; i < 4; i++) {
    const m = i == 0 ? a : i == 1 ? b : i == 2 ? c : (<u32>12) << 24;
    v3 ^= m;
    for (let round = 0; round < 2; round++) {
      v0 += v1;
      v1 = rotl<u32>(v1, 5) ^ v0;
      v0 = rotl<u32>(v0, 16);
      v2 += v3;
      v3 = rotl<u32>(v3, 8) ^ v2;
      v0 += v3;
      v3 = rotl<u32>(v3, 7) ^ v0;
      v2 += v1;
      v1 = rotl<u32>(v1, 13) ^ v2;
      v2 = rotl<u32>(v2, 16);
    }
    v0 ^= m;
  }
  v2 ^= 0xff;
  for (let round = 0; round < 4; round++) {
    v0 += v1;
    v1 = rotl<u32>(v1, 5) ^ v0;
    v0 = rotl<u32>(v0, 16);
    v2 += v3;
    v3 = rotl<u32>(v3, 8) ^ v2;
    v0 += v3;
    v3 = rotl<u32>(v3, 7) ^ v0;
    v2 += v1;
    v1 = rotl<u32>(v1, 13) ^ v2;
    v2 = rotl<u32>(v2, 16);
  }
  return v1 ^ v3;
}

/** SipHash-2-4 of eight bytes, read as a little-endian word, under a 128-bit key. */
export function sipHash(k0: u64, k1: u64, message: u64): u64 {
  let v0: u64 = 0x736f6d6570736575 ^ k0;
  let v1: u64 = 0x646f72616e646f6d ^ k1;
  let v2: u64 = 0x6c7967656e657261 ^ k0;
  let v3: u64 = 0x7465646279746573 ^ k1;
  // The message, the length in the top byte of a second word, four rounds to finish
  for (let i = 0; i < 3; i++) {
    const m: u64 = i == 0 ? message : i == 1 ? (<u64>8) << 56 : 0;
    if (i == 2) v2 ^= 0xff;
    else v3 ^= m;
    for (let round = 0; round < (i == 2 ? 4 : 2); round++) {
      v0 += v1;
      v1 = rotl<u64>(v1, 13) ^ v0;
      v0 = rotl<u64>(v0, 32);
      v2 += v3;
      v3 = rotl<u64>(v3, 16) ^ v2;
      v0 += v3;
      v3 = rotl<u64>(v3, 21) ^ v0;
      v2 += v1;
      v1 = rotl<u64>(v1, 17) ^ v2;
      v2 = rotl<u64>(v2, 32);
    }
    v0 ^= m;
  }
  return v0 ^ v1 ^ v2 ^ v3;
}

/** A quick seeded mix of a 4-tuple for table lookups; collisions cannot be made without the secret. */
export function flowHash(localAddress: u32, remoteAddress: u32, ports: u32): u32 {
  const k0 = u64(stack.secret2) | (u64(stack.secret3) << 32);
  let h = (u64(remoteAddress) | (u64(localAddress) << 32)) ^ k0;
  h *= 0x9e3779b97f4a7c15;
  h ^= h >> 32;
  h = (h + ports) * 0xd6e8feb86659fd93;
  return u32(h >> 32) ^ u32(h);
}

/**
 * The same in 64 bits, one to one for the remote address and the ports of one local address: two flows of it never have
 * the same. The steps are those of MurmurHash3's finalizer (A. Appleby), each of which can be undone.
 */
export function flowHash64(localAddress: u32, remoteAddress: u32, ports: u32): u64 {
  const k0 = u64(stack.secret2) | (u64(stack.secret3) << 32);
  return mix64(mix64((u64(remoteAddress) | (u64(ports) << 32)) ^ k0) ^ u64(localAddress));
}

function mix64(value: u64): u64 {
  let h = value;
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccd;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53;
  return h ^ (h >> 33);
}

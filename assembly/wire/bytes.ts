// Fields on the wire are in network byte order; the processor's is the other one.

/** Swaps the bytes of a 16-bit value that is held in 32 bits. */
export function swap16(v: u32): u32 {
  return ((v & 0xff) << 8) | ((v >>> 8) & 0xff);
}

/** 16 bits at `p` in host order. */
export function get16(p: usize): u32 {
  return swap16(load<u16>(p));
}

/** 32 bits at `p` in host order. */
export function get32(p: usize): u32 {
  return bswap<u32>(load<u32>(p));
}

/** Stores 16 bits in network order. */
export function put16(p: usize, v: u32): void {
  store<u16>(p, u16(swap16(v)));
}

/** Stores 32 bits in network order. */
export function put32(p: usize, v: u32): void {
  store<u32>(p, bswap<u32>(v));
}

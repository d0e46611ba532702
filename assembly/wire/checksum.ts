// The Internet checksum (RFC 1071), alone and while copying. Sums are of 16-bit words in memory order
// (RFC 1071 section 2(B): the byte order does not matter as long as it is one), so no byte is swapped.

/** Folds a wide sum to 16 bits. */
export function fold(sum: u64): u32 {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  let s = u32(sum);
  s = (s & 0xffff) + (s >>> 16);
  return (s & 0xffff) + (s >>> 16);
}

/** Sum of `length` bytes at `p`, not folded, at most 2^20 bytes. An odd last byte is padded with zero. */
export function sumBytes(p: usize, length: u32): u64 {
  let sum: u64 = 0;
  if (length >= 64) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    const end = p + (length & ~31);
    while (p < end) {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 16)));
      p += 32;
    }
    sum = lanes(a) + lanes(b);
    length &= 31;
  }
  while (length >= 4) {
    sum += load<u32>(p);
    p += 4;
    length -= 4;
  }
  return sum + tail(p, length);
}

/** Copies `length` bytes from `source` to `target` and returns their sum, not folded. */
export function copySum(target: usize, source: usize, length: u32): u64 {
  let sum: u64 = 0;
  if (length >= 64) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    const end = source + (length & ~31);
    while (source < end) {
      const x = v128.load(source);
      const y = v128.load(source, 16);
      v128.store(target, x);
      v128.store(target, y, 16);
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(x));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(y));
      source += 32;
      target += 32;
    }
    sum = lanes(a) + lanes(b);
    length &= 31;
  }
  while (length >= 4) {
    const word = load<u32>(source);
    store<u32>(target, word);
    sum += word;
    source += 4;
    target += 4;
    length -= 4;
  }
  if (length & 2) {
    const half = load<u16>(source);
    store<u16>(target, half);
    sum += half;
    source += 2;
    target += 2;
  }
  if (length & 1) {
    const byte = load<u8>(source);
    store<u8>(target, byte);
    sum += byte;
  }
  return sum;
}

function lanes(v: v128): u64 {
  return (
    u64(u32(i32x4.extract_lane(v, 0))) +
    u64(u32(i32x4.extract_lane(v, 1))) +
    u64(u32(i32x4.extract_lane(v, 2))) +
    u64(u32(i32x4.extract_lane(v, 3)))
  );
}

function tail(p: usize, length: u32): u64 {
  let sum: u64 = 0;
  if (length & 2) {
    sum = load<u16>(p);
    p += 2;
  }
  if (length & 1) sum += load<u8>(p);
  return sum;
}

/** The sum of a part that starts at an odd offset of the whole, made fit to be added to the other parts. */
export function swapSum(sum: u64): u64 {
  const s = fold(sum);
  return ((s & 0xff) << 8) | (s >>> 8);
}

/** The pseudo-header's sum (RFC 9293 3.1): addresses in host order, length of header and payload in bytes. */
export function pseudoSum(source: u32, target: u32, protocol: u32, length: u32): u64 {
  return u64(bswap<u32>(source)) + u64(bswap<u32>(target)) + u64((protocol << 8) + bswap16(length));
}

function bswap16(v: u32): u32 {
  return ((v & 0xff) << 8) | ((v >>> 8) & 0xff);
}

/** The checksum field's value for a sum, in memory order. */
export function checksum(sum: u64): u32 {
  return ~fold(sum) & 0xffff;
}

/** One field's change in a checksum (RFC 1624, equation 3): all three in memory order. */
export function checksumAdjust(field: u32, before: u32, after: u32): u32 {
  return ~fold(u64(~field & 0xffff) + u64(~before & 0xffff) + u64(after)) & 0xffff;
}

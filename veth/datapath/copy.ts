// The one copy that a NIC's DMA would do: gathers a frame's pieces, scatters them, sums the L4 part on the way.
// Read first: RFC 1071; assembly/wire/checksum.ts.

import { IPPROTO_TCP, IPPROTO_UDP, TX_IP_CSUM, TX_L4_CSUM } from "../../assembly/layout";
import { Mbuf } from "../../assembly/memory/mbuf";
import { copyBytes } from "../../assembly/memory/copy";
import { checksum, copySum, fold, sumBytes, swapSum } from "../../assembly/wire/checksum";
import { Frame } from "./frame";

/**
 * Copies frame `f` to `to`, or into a chain of segments that take `room` bytes each, when `chain` is the first and
 * `to` its data. Returns the sum of the L4 part, header and payload, when `sums`.
 */
export function copyFrame(f: Frame, to: usize, chain: usize, room: u32, sums: bool): u64 {
  const length = f.len;
  const from = usize(f.head);
  if (f.rest == 0 && length <= room) {
    if (!sums) {
      copyBytes(to, from, length);
      return 0;
    }
    const l4 = f.l4;
    const end = f.end;
    copyBytes(to, from, l4);
    const sum = copySum(to + l4, from + l4, end - l4);
    if (end < length) copyBytes(to + end, from + end, length - end);
    return sum;
  }
  return copyPieces(f, to, chain, room, sums);
}

function copyPieces(f: Frame, to: usize, chain: usize, room: u32, sums: bool): u64 {
  const length = f.len;
  let from = usize(f.head);
  let left = f.headLen;
  let rest = f.rest;
  let skip = f.restOffset;
  let space = room;
  let sum: u64 = 0;
  let position: u32 = 0;
  while (position < length) {
    while (left == 0) {
      const s = changetype<Mbuf>(rest);
      from = s.data + skip;
      left = s.dataLen - skip;
      skip = 0;
      rest = s.next;
    }
    if (space == 0) {
      chain = changetype<Mbuf>(chain).next;
      to = changetype<Mbuf>(chain).data;
      space = room;
    }
    let n = min(min(left, space), length - position);
    if (sums && position >= f.l4 && position < f.end) {
      n = min(n, f.end - position);
      const part = copySum(to, from, n);
      sum += ((position - f.l4) & 1) != 0 ? swapSum(part) : part;
    } else {
      if (sums && position < f.l4) n = min(n, f.l4 - position);
      copyBytes(to, from, n);
    }
    to += n;
    from += n;
    position += n;
    left -= n;
    space -= n;
  }
  return sum;
}

/** True when copying must sum the L4 part: the sender wants a checksum computed, or the receiver has them verified. */
export function frameNeedsSum(f: Frame, verifies: bool): bool {
  if (f.l4 == 0) return false;
  return (f.flags & TX_L4_CSUM) != 0 || verifies;
}

/**
 * Does the offload work that is left in the copied headers at `to`. `sum` is copyFrame's result.
 * Returns the sum of the L4 part as it is now.
 */
export function finishChecksums(f: Frame, to: usize, sum: u64): u64 {
  if ((f.flags & TX_IP_CSUM) != 0 && f.l3 != 0) {
    const ip = to + f.l3;
    store<u16>(ip, 0, 10);
    store<u16>(ip, u16(checksum(ipHeaderSum(ip, f.l4Start - f.l3))), 10);
  }
  if ((f.flags & TX_L4_CSUM) == 0 || f.l4 == 0) return sum;
  const field = to + f.l4 + (f.protocol == IPPROTO_TCP ? 16 : 6);
  const before = u32(load<u16>(field));
  let after = checksum(sum);
  // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
  if (after == 0 && f.protocol == IPPROTO_UDP) after = 0xffff;
  store<u16>(field, u16(after));
  return sum + u64(after) + u64(~before & 0xffff);
}

/** Sum of the IPv4 header at `ip`. */
export function ipHeaderSum(ip: usize, length: u32): u64 {
  if (length != 20) return sumBytes(ip, length);
  return (
    u64(load<u32>(ip)) + u64(load<u32>(ip, 4)) + u64(load<u32>(ip, 8)) + u64(load<u32>(ip, 12)) + u64(load<u32>(ip, 16))
  );
}

/** True when an L4 part of this sum, behind the IPv4 header at `ip`, has the right checksum. */
export function l4IsGood(ip: usize, protocol: u32, length: u32, sum: u64): bool {
  const pseudo =
    u64(load<u32>(ip, 12)) +
    u64(load<u32>(ip, 16)) +
    u64((protocol << 8) + ((length >>> 8) & 255) + ((length & 255) << 8));
  return fold(sum + pseudo) == 0xffff;
}

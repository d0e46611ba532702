// The IPv4 header: offsets, flags, address classes, and the header written in one go.
// Read first: RFC 791 section 3.1; RFC 1122 section 3.2.1.3 for the special addresses.

import { fold } from "./checksum";
import { swap16 } from "./bytes";

/** Offsets. */
export const IPV4_TOS: usize = 1;
export const IPV4_TOTAL: usize = 2;
export const IPV4_ID: usize = 4;
export const IPV4_FRAGMENT: usize = 6;
export const IPV4_TTL: usize = 8;
export const IPV4_PROTOCOL: usize = 9;
export const IPV4_CHECKSUM: usize = 10;
export const IPV4_SOURCE: usize = 12;
export const IPV4_DESTINATION: usize = 16;
export const IPV4_OPTIONS: usize = 20;
/** Bytes of a header without options, and the most with them. */
export const IPV4_BYTES: u32 = 20;
export const IPV4_BYTES_MAX: u32 = 60;
/** "Internet header plus data ... up to 65,535 octets" */
export const IPV4_TOTAL_MAX: u32 = 65535;

/** The field of flags and fragment offset, in host order. */
export const FRAGMENT_DF: u32 = 0x4000;
export const FRAGMENT_MF: u32 = 0x2000;
export const FRAGMENT_OFFSET: u32 = 0x1fff;
/** MF and offset as a 16-bit load finds them: not zero in any fragment. */
export const FRAGMENT_WIRE: u32 = 0xff3f;
/** DF as a 16-bit load finds it. */
export const FRAGMENT_DF_WIRE: u32 = 0x0040;

/** Options (RFC 791 section 3.1): type octets. */
export const IPOPT_END: u32 = 0;
export const IPOPT_NOP: u32 = 1;
export const IPOPT_LSRR: u32 = 131;
export const IPOPT_SSRR: u32 = 137;
/** Set in the type of an option that every fragment carries. */
export const IPOPT_COPIED: u32 = 0x80;

/** Class D. */
export function isMulticast(address: u32): bool {
  return address >>> 28 == 0xe;
}

/** 127/8. */
export function isLoopback(address: u32): bool {
  return address >>> 24 == 127;
}

/** Classes A to C without net 0 and without loopback: an address that one host may have. */
export function isUnicast(address: u32): bool {
  return address - 0x01000000 < <u32>0xdf000000 && address >>> 24 != 127;
}

/** Sum of a header of 20 bytes, not folded. */
export function headerSum(p: usize): u64 {
  return (
    u64(load<u32>(p)) + u64(load<u32>(p, 4)) + u64(load<u32>(p, 8)) + u64(load<u32>(p, 12)) + u64(load<u32>(p, 16))
  );
}

/** The header's first word, without options: as a 32-bit store writes it. */
export function lengthWord(tos: u32, total: u32): u32 {
  return 0x45 | (tos << 8) | (swap16(total) << 16);
}

/** The header's second word; `fragment` as on the wire (FRAGMENT_DF_WIRE or 0). */
export function fragmentWord(id: u32, fragment: u32): u32 {
  return swap16(id) | (fragment << 16);
}

/**
 * Writes a header of 20 bytes with its checksum: the words of lengthWord() and fragmentWord(), TTL and protocol
 * (the protocol in the second byte), addresses in host order.
 */
export function putIpv4(p: usize, word0: u32, word1: u32, word2: u32, source: u32, destination: u32): void {
  const word3 = bswap<u32>(source);
  const word4 = bswap<u32>(destination);
  const sum = fold(u64(word0) + u64(word1) + u64(word2) + u64(word3) + u64(word4));
  store<u64>(p, u64(word0) | (u64(word1) << 32));
  store<u64>(p, u64(word2 | (~sum << 16)) | (u64(word3) << 32), 8);
  store<u32>(p, word4, 16);
}

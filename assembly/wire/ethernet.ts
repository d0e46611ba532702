// The Ethernet II header: offsets, types, and MAC addresses as numbers.
// Read first: IEEE 802.3 clause 3; RFC 894 (IPv4 over Ethernet); RFC 1112 section 6.4 (multicast addresses).

/** Offsets. */
export const ETHER_DESTINATION: usize = 0;
export const ETHER_SOURCE: usize = 6;
export const ETHER_TYPE: usize = 12;
export const ETHER_BYTES: u32 = 14;

/** Types as a 16-bit load finds them in memory. */
export const ETHERTYPE_IPV4: u32 = 0x0008; // 0x0800
export const ETHERTYPE_ARP: u32 = 0x0608; // 0x0806

/** A MAC address is the low 48 bits of the word at its first byte: octet 0 is the lowest. */
export const MAC_MASK: u64 = 0xffffffffffff;
export const MAC_BROADCAST: u64 = 0xffffffffffff;
/** The group bit: set in multicast addresses and in the broadcast address. */
export const MAC_GROUP: u64 = 1;

/** The MAC address from its first two and its last four octets, each in reading order (0xaabb, 0xccddeeff). */
export function macOf(high: u32, low: u32): u64 {
  return u64(bswap<u32>(high) >>> 16) | (u64(bswap<u32>(low)) << 16);
}

/** The first two octets in reading order. */
export function macHigh(mac: u64): u32 {
  return bswap<u32>(u32(mac)) >>> 16;
}

/** The last four octets in reading order. */
export function macLow(mac: u64): u32 {
  return bswap<u32>(u32(mac >> 16));
}

/** The MAC address of an IPv4 multicast group: 01:00:5e and the group's low 23 bits. */
export function macOfGroup(group: u32): u64 {
  return macOf(0x0100, 0x5e000000 | (group & 0x7fffff));
}

/** The MAC address at `p`. Two bytes behind it are read too: it never stands at the end of a header. */
export function getMac(p: usize): u64 {
  return load<u64>(p) & MAC_MASK;
}

/** Stores a MAC address. */
export function putMac(p: usize, mac: u64): void {
  store<u32>(p, u32(mac));
  store<u16>(p, u16(mac >> 32), 4);
}

/** Writes a header. */
export function putEther(p: usize, destination: u64, source: u64, type: u32): void {
  store<u64>(p, destination | (source << 48));
  store<u32>(p, u32(source >> 16), 8);
  store<u16>(p, u16(type), ETHER_TYPE);
}

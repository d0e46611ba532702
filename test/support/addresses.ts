// Addresses as people write them ("10.0.0.1", "02:00:00:00:00:01") and as numbers and bytes.

/** An IPv4 address as text, or as a number in host order. */
export type Address = string | number;

/** The number of an IPv4 address. */
export function ip(address: Address): number {
  if (typeof address === "number") return address >>> 0;
  const parts = address.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255)))
    throw new Error(`No address: ${address}`);
  return parts.reduce((value, part) => value * 256 + part, 0);
}

/** The text of an IPv4 address. */
export function ipText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** Address and mask of "10.0.0.1/24"; without a prefix length, that of one host. */
export function cidr(text: string): { address: number; mask: number } {
  const [address = "", length = "32"] = text.split("/");
  const bits = Number(length);
  return { address: ip(address), mask: bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0 };
}

/** The six bytes of a MAC address. */
export function mac(text: string): Uint8Array {
  const bytes = text.split(":").map((part) => parseInt(part, 16));
  if (bytes.length !== 6 || bytes.some((byte) => !(byte >= 0 && byte <= 255)))
    throw new Error(`No MAC address: ${text}`);
  return Uint8Array.from(bytes);
}

/** The text of the MAC address at the start of `bytes`. */
export function macText(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** First two bytes and last four, as IF_MAC_HIGH and IF_MAC_LOW want them. */
export function macWords(text: string): { high: number; low: number } {
  const view = new DataView(mac(text).buffer);
  return { high: view.getUint16(0), low: view.getUint32(2) };
}

export const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";
export const ZERO_MAC = "00:00:00:00:00:00";

/** The MAC address of a multicast group (RFC 1112 section 6.4). */
export function groupMac(group: Address): string {
  const value = ip(group);
  return macText(Uint8Array.of(1, 0, 0x5e, (value >>> 16) & 0x7f, (value >>> 8) & 255, value & 255));
}

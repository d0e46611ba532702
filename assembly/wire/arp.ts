// The ARP packet for IPv4 over Ethernet: offsets and values.
// Read first: RFC 826 ("Packet format").

/** Offsets. The sender's protocol address is not aligned. */
export const ARP_OPERATION: usize = 6;
export const ARP_SENDER_MAC: usize = 8;
export const ARP_SENDER_IP: usize = 14;
export const ARP_TARGET_MAC: usize = 18;
export const ARP_TARGET_IP: usize = 24;
export const ARP_BYTES: u32 = 28;

/** Hardware type 1, protocol type 0x0800, lengths 6 and 4: the first six bytes, as a 64-bit load finds them. */
export const ARP_ETHERNET_IPV4: u64 = 0x040600080100;
export const ARP_ETHERNET_IPV4_MASK: u64 = 0xffffffffffff;

export const ARP_REQUEST: u32 = 1;
export const ARP_REPLY: u32 = 2;

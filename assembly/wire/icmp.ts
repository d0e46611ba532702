// The ICMP header: offsets, types and codes.
// Read first: RFC 792; RFC 1191 section 4 for the MTU field; RFC 1122 section 3.2.2.

/** Offsets. */
export const ICMP_TYPE: usize = 0;
export const ICMP_CODE: usize = 1;
export const ICMP_CHECKSUM: usize = 2;
export const ICMP_REST: usize = 4;
/** Of "fragmentation needed": the next hop's MTU (RFC 1191). */
export const ICMP_MTU: usize = 6;
export const ICMP_BYTES: u32 = 8;

export const ICMP_ECHO_REPLY: u32 = 0;
export const ICMP_UNREACHABLE: u32 = 3;
export const ICMP_SOURCE_QUENCH: u32 = 4;
export const ICMP_REDIRECT: u32 = 5;
export const ICMP_ECHO: u32 = 8;
export const ICMP_TIME_EXCEEDED: u32 = 11;
export const ICMP_PARAMETER_PROBLEM: u32 = 12;

/** Codes of ICMP_UNREACHABLE. */
export const UNREACHABLE_NET: u32 = 0;
export const UNREACHABLE_HOST: u32 = 1;
export const UNREACHABLE_PROTOCOL: u32 = 2;
export const UNREACHABLE_PORT: u32 = 3;
export const UNREACHABLE_FRAGMENT: u32 = 4;
/** Codes of ICMP_TIME_EXCEEDED. */
export const EXCEEDED_TTL: u32 = 0;
export const EXCEEDED_REASSEMBLY: u32 = 1;

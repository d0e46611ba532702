// The IGMP message: offsets and types.
// Read first: RFC 2236 section 2.

/** Offsets. */
export const IGMP_TYPE: usize = 0;
/** Longest time before a report, in tenths of a second; 0 in queries of version 1. */
export const IGMP_MAX_RESPONSE: usize = 1;
export const IGMP_CHECKSUM: usize = 2;
export const IGMP_GROUP: usize = 4;
export const IGMP_BYTES: u32 = 8;

export const IGMP_QUERY: u32 = 0x11;
export const IGMP_V1_REPORT: u32 = 0x12;
export const IGMP_V2_REPORT: u32 = 0x16;
export const IGMP_LEAVE: u32 = 0x17;
export const IGMP_V3_REPORT: u32 = 0x22;

export const ALL_SYSTEMS: u32 = 0xe0000001; // 224.0.0.1
export const ALL_ROUTERS: u32 = 0xe0000002; // 224.0.0.2
/** The Router Alert option (RFC 2113), as a 32-bit load finds it. */
export const ROUTER_ALERT: u32 = 0x00000494;

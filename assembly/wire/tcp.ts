// The TCP header (RFC 9293 3.1) and its options as offsets and values on the wire.

/** Offsets. */
export const TCP_SOURCE_PORT: usize = 0;
export const TCP_DESTINATION_PORT: usize = 2;
export const TCP_SEQ: usize = 4;
export const TCP_ACK_SEQ: usize = 8;
export const TCP_DATA_OFFSET: usize = 12;
export const TCP_FLAGS: usize = 13;
export const TCP_WINDOW: usize = 14;
export const TCP_CHECKSUM: usize = 16;
export const TCP_URGENT: usize = 18;
export const TCP_OPTIONS: usize = 20;
export const TCP_HEADER_BYTES: u32 = 20;

/** Option kinds (RFC 9293 3.2, 7323, 2018, 7413, 6994). */
export const OPT_END: u32 = 0;
export const OPT_NOP: u32 = 1;
export const OPT_MSS: u32 = 2;
export const OPT_WSCALE: u32 = 3;
export const OPT_SACK_PERMITTED: u32 = 4;
export const OPT_SACK: u32 = 5;
export const OPT_TIMESTAMPS: u32 = 8;
export const OPT_FASTOPEN: u32 = 34;
/** Experiments share a kind; the two bytes behind the length tell which one it is (RFC 6994). */
export const OPT_EXPERIMENT: u32 = 254;
export const FASTOPEN_MAGIC: u32 = 0xf989;

/** NOP NOP TIMESTAMPS 10, as the first word of the options of nearly every segment (memory order). */
export const TIMESTAMPS_WORD: u32 = 0x0a080101;
/** Bytes of the timestamps with their padding. */
export const TIMESTAMPS_BYTES: u32 = 12;

// The UDP header: offsets and bounds.
// Read first: RFC 768.

/** Offsets. */
export const UDP_SOURCE_PORT: usize = 0;
export const UDP_DESTINATION_PORT: usize = 2;
export const UDP_LENGTH: usize = 4;
export const UDP_CHECKSUM: usize = 6;
export const UDP_BYTES: u32 = 8;
/** Largest payload: an IPv4 datagram of 65,535 bytes less both headers. */
export const UDP_PAYLOAD_MAX: u32 = 65507;

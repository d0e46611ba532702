// The numbers of the pcapng capture format, shared by the writer and the reader.
// Read first: draft-ietf-opsawg-pcapng, section 3 (block and option layout) and section 4 (block definitions).

export const BLOCK_SECTION_HEADER = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_PACKET_OBSOLETE = 2;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_INTERFACE_STATISTICS = 5;
export const BLOCK_ENHANCED_PACKET = 6;

/** The word that tells a section's byte order (4.1). */
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** LINKTYPE_ETHERNET of the registry of link-layer types. */
export const LINKTYPE_ETHERNET = 1;
/** Captured bytes per packet unless an interface says otherwise; what Wireshark accepts at most. */
export const SNAPLEN_DEFAULT = 262144;
/** Decimal digits of a second in if_tsresol when the option is absent (4.2): microseconds. */
export const TSRESOL_DEFAULT = 6;
/** if_tsresol of every interface that is written here: nanoseconds. */
export const TSRESOL_NANOS = 9;
export const TWO_32 = 2 ** 32;

/** Option codes that mean the same in every block (3.5). */
export const OPT_END = 0;
export const OPT_COMMENT = 1;
/** Options of the section header block (4.1). */
export const SHB_HARDWARE = 2;
export const SHB_OS = 3;
export const SHB_USERAPPL = 4;
/** Options of the interface description block (4.2). */
export const IF_NAME = 2;
export const IF_DESCRIPTION = 3;
export const IF_IPV4ADDR = 4;
export const IF_MACADDR = 6;
export const IF_SPEED = 8;
export const IF_TSRESOL = 9;
export const IF_TSOFFSET = 14;
/** Options of the enhanced packet block (4.3). */
export const EPB_FLAGS = 2;
export const EPB_DROPCOUNT = 4;
export const EPB_QUEUE = 6;
/** Options of the interface statistics block (4.6). */
export const ISB_STARTTIME = 2;
export const ISB_ENDTIME = 3;
export const ISB_IFRECV = 4;
export const ISB_IFDROP = 5;

/** Which way a packet crossed its interface, seen from the host: bits 0-1 of epb_flags (4.3.1). */
export type Direction = "unknown" | "inbound" | "outbound";
/** Index: the two direction bits of epb_flags. */
export const DIRECTIONS: readonly Direction[] = ["unknown", "inbound", "outbound"];

/** Bytes up to the next 32-bit boundary: every block body and option value is padded to it (3.1, 3.5). */
export function padded(length: number): number {
  return (length + 3) & ~3;
}

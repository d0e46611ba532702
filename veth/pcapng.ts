// The pcapng capture format, the one door: write a capture with PcapngWriter, read one with readPcapng.
// Read first: draft-ietf-opsawg-pcapng, section 3 (general structure), then section 4 (blocks).

export type { Direction } from "./pcapng-format.ts";
export { PcapngError, readPcapng } from "./pcapng-reader.ts";
export type { CapturedPacket, CaptureInterface, CaptureSection } from "./pcapng-reader.ts";
export { PcapngWriter } from "./pcapng-writer.ts";
export type { InterfaceOptions, InterfaceStatistics, PacketInfo, PcapngMark, PcapngOptions } from "./pcapng-writer.ts";

// Reads captured Ethernet frames as TCP segments, for the plots; frames that are none are passed over.
// Read first: RFC 9293 section 3.1 (header), RFC 7323 section 2 (window scale), RFC 2018 section 3 (SACK option).

import { ACK, SYN } from "../assembly/layout.ts";

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_QINQ = 0x88a8;
const PROTOCOL_TCP = 6;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK = 5;
const OPTION_TIMESTAMPS = 8;
/** RFC 7323 2.3: a shift above 14 is used as 14. */
const WINDOW_SHIFT_MAX = 14;

/** What a plot needs of a captured frame; readPcapng yields such. */
export interface Frame {
  /** Time in microseconds, from any start. */
  timeMicros: number;
  /** The frame from its Ethernet header on. */
  data: Uint8Array;
  /** Length on the wire, bytes; default: that of the data. */
  originalLength?: number;
  /** The port that saw it; frames without one are taken to be from one port. */
  interface?: { name: string };
  /** Seen from the host that owns the port. */
  direction?: "unknown" | "inbound" | "outbound";
  comments?: readonly string[];
}

/** One TCP segment as it was seen at one port. Addresses, ports and sequence numbers are u32/u16 in host order. */
export interface Segment {
  /** Of the frame in its capture, from 1: as Wireshark counts. */
  number: number;
  timeMicros: number;
  port: string;
  direction: "unknown" | "inbound" | "outbound";
  comments: readonly string[];
  sourceAddress: number;
  sourcePort: number;
  destinationAddress: number;
  destinationPort: number;
  /** IPv4 identification: tells two copies of a segment apart. */
  identification: number;
  seq: number;
  ack: number;
  flags: number;
  /** As in the header, not scaled. */
  window: number;
  /** Payload bytes. */
  length: number;
  /** Shift of the window scale option; -1 without one. */
  windowShift: number;
  /** TSval of the timestamps option; -1 without one. */
  tsval: number;
  /** Pairs of left and right edge, in the order of the option. */
  sack: readonly number[];
  /** It arrived damaged: its IPv4 or TCP checksum is wrong, so the host that got it threw it away. */
  damaged: boolean;
}

const NO_SACK: readonly number[] = Object.freeze([]);
const NO_COMMENTS: readonly string[] = Object.freeze([]);

/** The TCP segment in a frame; undefined for anything else and for frames cut off before the end of the TCP header. */
export function parseSegment(frame: Frame, number = 0): Segment | undefined {
  const { data } = frame;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const ip = ipv4At(view);
  if (ip < 0 || view.getUint8(ip + 9) !== PROTOCOL_TCP) return undefined;
  // A later fragment has no TCP header.
  if ((view.getUint16(ip + 6) & 0x1fff) !== 0) return undefined;
  const tcp = ip + (view.getUint8(ip) & 15) * 4;
  if (tcp < ip + 20 || tcp + 20 > view.byteLength) return undefined;
  const payload = tcp + (view.getUint8(tcp + 12) >> 4) * 4;
  if (payload < tcp + 20 || payload > view.byteLength) return undefined;
  // The total length of a large segment that a NIC was to cut up may be 0; and the captured bytes may be cut short.
  const totalLength = view.getUint16(ip + 2) || (frame.originalLength ?? view.byteLength) - ip;
  const segment: Segment = {
    number,
    timeMicros: frame.timeMicros,
    port: frame.interface?.name ?? "",
    direction: frame.direction ?? "unknown",
    comments: frame.comments ?? NO_COMMENTS,
    sourceAddress: view.getUint32(ip + 12),
    sourcePort: view.getUint16(tcp),
    destinationAddress: view.getUint32(ip + 16),
    destinationPort: view.getUint16(tcp + 2),
    identification: view.getUint16(ip + 4),
    seq: view.getUint32(tcp + 4),
    ack: view.getUint32(tcp + 8),
    flags: view.getUint8(tcp + 13),
    window: view.getUint16(tcp + 14),
    length: Math.max(0, ip + totalLength - payload),
    windowShift: -1,
    tsval: -1,
    sack: NO_SACK,
    // What a host sends may leave its checksums to the NIC; only an arriving frame can be damaged.
    damaged: frame.direction !== "outbound" && isDamaged(view, ip, tcp, totalLength),
  };
  parseOptions(view, tcp + 20, payload, segment);
  return segment;
}

/** Is this the first segment of a connection: SYN without ACK? */
export function isSyn(segment: Segment): boolean {
  return (segment.flags & (SYN | ACK)) === SYN;
}

/** Where the IPv4 header begins, or -1. */
function ipv4At(view: DataView): number {
  let at = 12;
  while (at + 2 <= view.byteLength) {
    const type = view.getUint16(at);
    if (type === ETHERTYPE_IPV4) {
      const ip = at + 2;
      return ip + 20 <= view.byteLength && view.getUint8(ip) >> 4 === 4 ? ip : -1;
    }
    if (type !== ETHERTYPE_VLAN && type !== ETHERTYPE_QINQ) return -1;
    at += 4;
  }
  return -1;
}

function parseOptions(view: DataView, start: number, end: number, segment: Segment): void {
  let at = start;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return;
    if (kind === OPTION_NOP) {
      at += 1;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) return;
    if (kind === OPTION_WINDOW_SCALE && length === 3) {
      segment.windowShift = Math.min(view.getUint8(at + 2), WINDOW_SHIFT_MAX);
    } else if (kind === OPTION_TIMESTAMPS && length === 10) {
      segment.tsval = view.getUint32(at + 2);
    } else if (kind === OPTION_SACK && (length - 2) % 8 === 0) {
      const edges: number[] = [];
      for (let edge = at + 2; edge < at + length; edge += 4) edges.push(view.getUint32(edge));
      segment.sack = edges;
    }
    at += length;
  }
}

function isDamaged(view: DataView, ip: number, tcp: number, totalLength: number): boolean {
  const end = ip + totalLength;
  if (end > view.byteLength || end < tcp + 20) return false;
  if (fold(wordSum(view, ip, tcp)) !== 0xffff) return true;
  const pseudo = wordSum(view, ip + 12, ip + 20) + PROTOCOL_TCP + (end - tcp);
  // A capture taken before the checksum was computed holds the pseudo-header's sum in its place.
  if (view.getUint16(tcp + 16) === fold(pseudo)) return false;
  return fold(pseudo + wordSum(view, tcp, end)) !== 0xffff;
}

/** RFC 1071: the sum of the 16-bit words from `start` to `end`, an odd last byte padded with zero. */
function wordSum(view: DataView, start: number, end: number): number {
  let sum = 0;
  for (let at = start; at + 1 < end; at += 2) sum += view.getUint16(at);
  return (end - start) % 2 === 0 ? sum : sum + view.getUint8(end - 1) * 256;
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Dotted decimal of a host-order IPv4 address. */
export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

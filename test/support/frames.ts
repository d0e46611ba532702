// Builds packets layer by layer: ether(ipv4(udp({ from: 5000, to: 7 }, "hello"))). Every field can be given, right or
// wrong; what is not given is right. Checksums are computed here, independently of the core.
// Read first: RFC 826, 791, 792, 768, 9293 section 3.1, 2236; RFC 1071 for the checksum.

import { BROADCAST_MAC, ip, mac, ZERO_MAC, type Address } from "./addresses.ts";

export * from "./addresses.ts";

/** Who talks to the stack under test unless a test says otherwise, and the stack itself. */
export const PEER = { address: "10.0.0.2", mac: "02:00:00:00:00:02" };
export const HOST = { address: "10.0.0.1", mac: "02:00:00:00:00:01" };

/** The addresses that a transport's checksum covers. */
interface Under {
  from: number;
  to: number;
}

/** One layer of a packet with all that it carries. */
export interface Layer {
  /** EtherType, of what Ethernet carries. */
  readonly type?: number;
  /** Protocol number, of what IPv4 carries. */
  readonly protocol?: number;
  bytes(under?: Under): Uint8Array;
}

export type Body = Layer | Uint8Array | readonly number[] | string;

/** The bytes of a layer's body; text is Latin-1. */
export function bytesOf(body: Body, under?: Under): Uint8Array {
  if (typeof body === "string") return Uint8Array.from(Buffer.from(body, "latin1"));
  if (body instanceof Uint8Array) return body;
  return "bytes" in body ? body.bytes(under) : Uint8Array.from(body);
}

function isLayer(body: Body): body is Layer {
  return typeof body === "object" && "bytes" in body;
}

/** `length` bytes that repeat only after a long while. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >>> 8) * 17 + seed * 101) & 255);
}

/** The Internet checksum of some bytes (RFC 1071), word by word. */
export function checksum(...parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** The pseudo-header that UDP's and TCP's checksums cover. */
export function pseudoHeader(under: Under, protocol: number, length: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, under.from);
  view.setUint32(4, under.to);
  view.setUint8(9, protocol);
  view.setUint16(10, length);
  return bytes;
}

function assemble(header: Uint8Array, body: Uint8Array): Uint8Array {
  const whole = new Uint8Array(header.length + body.length);
  whole.set(header);
  whole.set(body, header.length);
  return whole;
}

export interface EtherFields {
  to?: string;
  from?: string;
  type?: number;
  /** Pad to this many bytes; Ethernet's minimum is 60. */
  pad?: number;
}

/** An Ethernet frame from the peer to the host. */
export function ether(body: Body): Layer;
export function ether(fields: EtherFields, body: Body): Layer;
export function ether(first: EtherFields | Body, second?: Body): Layer {
  const fields = second === undefined ? {} : (first as EtherFields);
  const body = second ?? (first as Body);
  return {
    bytes() {
      const inner = bytesOf(body);
      const frame = new Uint8Array(Math.max(14 + inner.length, fields.pad ?? 0));
      frame.set(mac(fields.to ?? HOST.mac), 0);
      frame.set(mac(fields.from ?? PEER.mac), 6);
      new DataView(frame.buffer).setUint16(12, fields.type ?? (isLayer(body) ? body.type : undefined) ?? 0x0800);
      frame.set(inner, 14);
      return frame;
    },
  };
}

export interface ArpFields {
  operation?: number;
  senderMac?: string;
  sender?: Address;
  targetMac?: string;
  target?: Address;
  hardware?: number;
  protocol?: number;
  lengths?: [number, number];
}

/** An ARP packet: by default the peer asks for the host. */
export function arp(fields: ArpFields = {}): Layer {
  return {
    type: 0x0806,
    bytes() {
      const bytes = new Uint8Array(28);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, fields.hardware ?? 1);
      view.setUint16(2, fields.protocol ?? 0x0800);
      bytes.set(fields.lengths ?? [6, 4], 4);
      view.setUint16(6, fields.operation ?? 1);
      bytes.set(mac(fields.senderMac ?? PEER.mac), 8);
      view.setUint32(14, ip(fields.sender ?? PEER.address));
      bytes.set(mac(fields.targetMac ?? ZERO_MAC), 18);
      view.setUint32(24, ip(fields.target ?? HOST.address));
      return bytes;
    },
  };
}

/** The frame of an ARP request, to everybody. */
export function arpRequest(fields: ArpFields = {}): Layer {
  return ether({ to: BROADCAST_MAC, from: fields.senderMac ?? PEER.mac }, arp({ operation: 1, ...fields }));
}

/** The frame of an ARP reply to the host. */
export function arpReply(fields: ArpFields = {}): Layer {
  const answer = { operation: 2, targetMac: HOST.mac, ...fields };
  return ether({ from: fields.senderMac ?? PEER.mac }, arp(answer));
}

export interface Ipv4Fields {
  from?: Address;
  to?: Address;
  ttl?: number;
  tos?: number;
  id?: number;
  df?: boolean;
  mf?: boolean;
  /** Of the fragment, bytes. */
  offset?: number;
  protocol?: number;
  options?: readonly number[];
  version?: number;
  headerWords?: number;
  total?: number;
  checksum?: number;
  /** Addresses of the transport's checksum, when they are not those of the header. */
  under?: Under;
}

/** An IPv4 datagram from the peer to the host. */
export function ipv4(body: Body): Layer;
export function ipv4(fields: Ipv4Fields, body: Body): Layer;
export function ipv4(first: Ipv4Fields | Body, second?: Body): Layer {
  const fields = second === undefined ? {} : (first as Ipv4Fields);
  const body = second ?? (first as Body);
  return {
    type: 0x0800,
    bytes() {
      const from = ip(fields.from ?? PEER.address);
      const to = ip(fields.to ?? HOST.address);
      const inner = bytesOf(body, fields.under ?? { from, to });
      const options = fields.options ?? [];
      const header = new Uint8Array(20 + Math.ceil(options.length / 4) * 4);
      const view = new DataView(header.buffer);
      header[0] = ((fields.version ?? 4) << 4) | (fields.headerWords ?? header.length / 4);
      header[1] = fields.tos ?? 0;
      view.setUint16(2, fields.total ?? header.length + inner.length);
      view.setUint16(4, fields.id ?? 1);
      view.setUint16(6, (fields.df ? 0x4000 : 0) | (fields.mf ? 0x2000 : 0) | ((fields.offset ?? 0) >>> 3));
      header[8] = fields.ttl ?? 64;
      header[9] = fields.protocol ?? (isLayer(body) ? body.protocol : undefined) ?? 253;
      view.setUint32(12, from);
      view.setUint32(16, to);
      header.set(options, 20);
      view.setUint16(10, fields.checksum ?? checksum(header));
      return assemble(header, inner);
    },
  };
}

export interface UdpFields {
  from?: number;
  to?: number;
  length?: number;
  /** 0: none. */
  checksum?: number;
}

/** A UDP datagram. */
export function udp(fields: UdpFields, body: Body = ""): Layer {
  return {
    protocol: 17,
    bytes(under) {
      const payload = bytesOf(body);
      const header = new Uint8Array(8);
      const view = new DataView(header.buffer);
      view.setUint16(0, fields.from ?? 5000);
      view.setUint16(2, fields.to ?? 7);
      view.setUint16(4, fields.length ?? 8 + payload.length);
      const pseudo = pseudoHeader(under ?? { from: 0, to: 0 }, 17, 8 + payload.length);
      view.setUint16(6, fields.checksum ?? (checksum(pseudo, header, payload) || 0xffff));
      return assemble(header, payload);
    },
  };
}

/** TCP's flags in the order of their bits: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR. */
export const TCP_FLAGS = "FSRPAUEC";

export interface TcpOptions {
  mss?: number;
  wscale?: number;
  sackPermitted?: boolean;
  /** TSval, TSecr. */
  timestamps?: [number, number];
  sack?: [number, number][];
  /** Fast Open's cookie in hex, "" for a request; the second is the experimental form. */
  fastopen?: string;
  fastopenExp?: string;
}

export interface TcpFields {
  from?: number;
  to?: number;
  seq?: number;
  ack?: number;
  /** Letters of TCP_FLAGS: "S", "SA", "PA", "FA", "R". */
  flags?: string;
  window?: number;
  urgent?: number;
  /** In the order that Linux sends them, padded with NOPs; or the bytes themselves. */
  options?: TcpOptions | readonly number[];
  /** Length of the header, 32-bit words. */
  dataOffset?: number;
  checksum?: number;
}

/** A TCP segment. */
export function tcp(fields: TcpFields, body: Body = ""): Layer {
  return {
    protocol: 6,
    bytes(under) {
      const payload = bytesOf(body);
      const options = optionBytes(fields.options ?? {});
      const header = new Uint8Array(20 + options.length);
      const view = new DataView(header.buffer);
      view.setUint16(0, fields.from ?? 5000);
      view.setUint16(2, fields.to ?? 80);
      view.setUint32(4, fields.seq ?? 0);
      view.setUint32(8, fields.ack ?? 0);
      header[12] = (fields.dataOffset ?? header.length / 4) << 4;
      header[13] = [...(fields.flags ?? "A")].reduce((bits, letter) => bits | (1 << TCP_FLAGS.indexOf(letter)), 0);
      view.setUint16(14, fields.window ?? 65535);
      view.setUint16(18, fields.urgent ?? 0);
      header.set(options, 20);
      const pseudo = pseudoHeader(under ?? { from: 0, to: 0 }, 6, header.length + payload.length);
      view.setUint16(16, fields.checksum ?? checksum(pseudo, header, payload));
      return assemble(header, payload);
    },
  };
}

function optionBytes(options: TcpOptions | readonly number[]): number[] {
  const bytes: number[] = [];
  const word = (value: number): number[] => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
  if (!("length" in options)) {
    const { mss, wscale, sackPermitted, timestamps, sack, fastopen, fastopenExp } = options;
    if (mss !== undefined) bytes.push(2, 4, mss >>> 8, mss & 255);
    if (sackPermitted) bytes.push(...(timestamps ? [] : [1, 1]), 4, 2);
    if (timestamps) bytes.push(...(sackPermitted ? [] : [1, 1]), 8, 10, ...timestamps.flatMap(word));
    if (wscale !== undefined) bytes.push(1, 3, 3, wscale);
    if (sack) bytes.push(1, 1, 5, 2 + sack.length * 8, ...sack.flat().flatMap(word));
    if (fastopen !== undefined) bytes.push(34, 2 + fastopen.length / 2, ...Buffer.from(fastopen, "hex"));
    if (fastopenExp !== undefined) {
      bytes.push(254, 4 + fastopenExp.length / 2, 0xf9, 0x89, ...Buffer.from(fastopenExp, "hex"));
    }
  } else {
    bytes.push(...options);
  }
  while (bytes.length % 4 !== 0) bytes.push(0);
  return bytes;
}

export interface IcmpFields {
  type: number;
  code?: number;
  /** The second word: identifier and sequence number, MTU, pointer. */
  rest?: number;
  checksum?: number;
}

/** An ICMP message. */
export function icmp(fields: IcmpFields, body: Body = ""): Layer {
  return {
    protocol: 1,
    bytes() {
      const payload = bytesOf(body);
      const header = new Uint8Array(8);
      const view = new DataView(header.buffer);
      header[0] = fields.type;
      header[1] = fields.code ?? 0;
      view.setUint32(4, fields.rest ?? 0);
      view.setUint16(2, fields.checksum ?? checksum(header, payload));
      return assemble(header, payload);
    },
  };
}

/** An echo request. */
export function echo(body: Body = "", identifier = 1, sequence = 1): Layer {
  return icmp({ type: 8, rest: ((identifier << 16) | sequence) >>> 0 }, body);
}

/** An IGMP message; `maxResponse` in tenths of a second. */
export function igmp(fields: { type: number; maxResponse?: number; group?: Address; checksum?: number }): Layer {
  return {
    protocol: 2,
    bytes() {
      const bytes = new Uint8Array(8);
      const view = new DataView(bytes.buffer);
      bytes[0] = fields.type;
      bytes[1] = fields.maxResponse ?? 0;
      view.setUint32(4, ip(fields.group ?? 0));
      view.setUint16(2, fields.checksum ?? checksum(bytes));
      return bytes;
    },
  };
}

/** Cuts an IPv4 datagram (bytes without Ethernet) into fragments with at most `step` bytes of payload each. */
export function fragments(datagram: Uint8Array, step: number): Uint8Array[] {
  const header = datagram.subarray(0, 20);
  const payload = datagram.subarray(20);
  const cut: Uint8Array[] = [];
  for (let offset = 0; offset < payload.length; offset += step) {
    const part = payload.subarray(offset, offset + step);
    const copy = Uint8Array.from(header);
    const view = new DataView(copy.buffer);
    view.setUint16(2, 20 + part.length);
    view.setUint16(6, (offset + part.length < payload.length ? 0x2000 : 0) | (offset >>> 3));
    view.setUint16(10, 0);
    view.setUint16(10, checksum(copy));
    cut.push(assemble(copy, part));
  }
  return cut;
}

// Takes frames apart and checks them on the way: lengths, versions, every checksum. What is wrong is an error, so a
// test that looks at packets has looked at their form as well.

import { checksum, ipText, macText, pseudoHeader, TCP_FLAGS, type TcpOptions } from "./frames.ts";

export interface Packet {
  /** The whole frame. */
  frame: Uint8Array;
  ether: { to: string; from: string; type: number };
  arp?: { operation: number; senderMac: string; sender: string; targetMac: string; target: string };
  ip?: IpHeader;
  udp?: { from: number; to: number; length: number; checksum: number };
  tcp?: TcpHeader;
  icmp?: { type: number; code: number; rest: number };
  igmp?: { type: number; maxResponse: number; group: string };
  /** What an ICMP error quotes. */
  quoted?: Omit<Packet, "ether" | "frame">;
  /** What the innermost header carries. */
  payload: Uint8Array;
}

export interface IpHeader {
  from: string;
  to: string;
  ttl: number;
  tos: number;
  id: number;
  df: boolean;
  mf: boolean;
  /** Of the fragment, bytes. */
  offset: number;
  protocol: number;
  total: number;
  options: number[];
}

export interface TcpHeader {
  from: number;
  to: number;
  seq: number;
  ack: number;
  flags: string;
  window: number;
  urgent: number;
  options: TcpOptions;
}

/** A pattern for packets: any part of one. */
export type Pattern<T> = T extends Uint8Array | string | number | boolean | undefined
  ? T
  : T extends (infer E)[]
    ? E[]
    : { [K in keyof T]?: Pattern<T[K]> };

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function demand(condition: boolean, what: string, bytes: Uint8Array): asserts condition {
  if (!condition) throw new Error(`${what}: ${Buffer.from(bytes).toString("hex")}`);
}

/** Takes a frame apart. @throws {Error} when anything in it is wrong */
export function parse(frame: Uint8Array): Packet {
  demand(frame.length >= 14, "shorter than an Ethernet header", frame);
  const type = view(frame).getUint16(12);
  const packet: Packet = {
    frame,
    ether: { to: macText(frame), from: macText(frame.subarray(6)), type },
    payload: frame.subarray(14),
  };
  if (type === 0x0806) parseArp(packet);
  else if (type === 0x0800) parseIp(packet, packet.payload, true);
  return packet;
}

function parseArp(packet: Packet): void {
  const bytes = packet.payload;
  demand(bytes.length >= 28, "shorter than an ARP packet", bytes);
  const v = view(bytes);
  const kind = [v.getUint16(0), v.getUint16(2), v.getUint8(4), v.getUint8(5)].join();
  demand(kind === "1,2048,6,4", "not ARP for IPv4 over Ethernet", bytes);
  packet.arp = {
    operation: v.getUint16(6),
    senderMac: macText(bytes.subarray(8)),
    sender: ipText(v.getUint32(14)),
    targetMac: macText(bytes.subarray(18)),
    target: ipText(v.getUint32(24)),
  };
  packet.payload = bytes.subarray(28);
}

type Inner = Omit<Packet, "ether" | "frame">;

/** `whole`: the datagram is all there, so that lengths and the transport's checksum can be checked. */
function parseIp(packet: Inner, bytes: Uint8Array, whole: boolean): void {
  demand(bytes.length >= 20, "shorter than an IPv4 header", bytes);
  const v = view(bytes);
  const headerBytes = (bytes[0]! & 15) * 4;
  demand(bytes[0]! >>> 4 === 4 && headerBytes >= 20 && headerBytes <= bytes.length, "no IPv4 header", bytes);
  const total = v.getUint16(2);
  demand(total >= headerBytes && (!whole || total <= bytes.length), "a total length that cannot be", bytes);
  if (whole) demand(checksum(bytes.subarray(0, headerBytes)) === 0, "a wrong IPv4 header checksum", bytes);
  const field = v.getUint16(6);
  const header: IpHeader = {
    from: ipText(v.getUint32(12)),
    to: ipText(v.getUint32(16)),
    ttl: bytes[8]!,
    tos: bytes[1]!,
    id: v.getUint16(4),
    df: (field & 0x4000) !== 0,
    mf: (field & 0x2000) !== 0,
    offset: (field & 0x1fff) * 8,
    protocol: bytes[9]!,
    total,
    options: [...bytes.subarray(20, headerBytes)],
  };
  packet.ip = header;
  packet.payload = bytes.subarray(headerBytes, total);
  // A fragment's transport is no whole; a quoted first fragment begins like one.
  if ((header.mf && whole) || header.offset > 0) return;
  const pseudo = pseudoHeader({ from: v.getUint32(12), to: v.getUint32(16) }, header.protocol, total - headerBytes);
  if (header.protocol === 17) parseUdp(packet, pseudo, whole);
  else if (header.protocol === 6) parseTcp(packet, pseudo, whole);
  else if (header.protocol === 1) parseIcmp(packet, whole);
  else if (header.protocol === 2) parseIgmp(packet);
}

function parseUdp(packet: Inner, pseudo: Uint8Array, whole: boolean): void {
  const bytes = packet.payload;
  demand(bytes.length >= 8, "shorter than a UDP header", bytes);
  const v = view(bytes);
  packet.udp = { from: v.getUint16(0), to: v.getUint16(2), length: v.getUint16(4), checksum: v.getUint16(6) };
  if (whole) {
    demand(packet.udp.length === bytes.length, "a wrong UDP length", bytes);
    const right = packet.udp.checksum === 0 || checksum(pseudo, bytes) === 0;
    demand(right, "a wrong UDP checksum", bytes);
  }
  packet.payload = bytes.subarray(8);
}

function parseTcp(packet: Inner, pseudo: Uint8Array, whole: boolean): void {
  const bytes = packet.payload;
  const v = view(bytes);
  if (bytes.length < 20 && !whole) {
    // What RFC 792 asks an error to quote: the ports and the sequence number.
    packet.tcp = { from: v.getUint16(0), to: v.getUint16(2), seq: v.getUint32(4) } as TcpHeader;
    return;
  }
  demand(bytes.length >= 20, "shorter than a TCP header", bytes);
  const headerBytes = (bytes[12]! >>> 4) * 4;
  demand(headerBytes >= 20 && (headerBytes <= bytes.length || !whole), "a wrong TCP data offset", bytes);
  if (whole) demand(checksum(pseudo, bytes) === 0, "a wrong TCP checksum", bytes);
  packet.tcp = {
    from: v.getUint16(0),
    to: v.getUint16(2),
    seq: v.getUint32(4),
    ack: v.getUint32(8),
    flags: [...TCP_FLAGS].filter((_, bit) => bytes[13]! & (1 << bit)).join(""),
    window: v.getUint16(14),
    urgent: v.getUint16(18),
    options: tcpOptions(bytes.subarray(20, headerBytes)),
  };
  packet.payload = bytes.subarray(headerBytes);
}

function tcpOptions(bytes: Uint8Array): TcpOptions {
  const options: TcpOptions = {};
  const v = view(bytes);
  let i = 0;
  while (i < bytes.length && bytes[i] !== 0) {
    const kind = bytes[i]!;
    if (kind === 1) {
      i++;
      continue;
    }
    const length = bytes[i + 1] ?? 0;
    demand(length >= 2 && i + length <= bytes.length, "a TCP option that overruns", bytes);
    if (kind === 2) options.mss = v.getUint16(i + 2);
    if (kind === 3) options.wscale = bytes[i + 2]!;
    if (kind === 4) options.sackPermitted = true;
    if (kind === 5) {
      options.sack = [];
      for (let at = i + 2; at < i + length; at += 8) options.sack.push([v.getUint32(at), v.getUint32(at + 4)]);
    }
    const hex = (from: number): string => Buffer.from(bytes.subarray(from, i + length)).toString("hex");
    if (kind === 34) options.fastopen = hex(i + 2);
    if (kind === 254 && v.getUint16(i + 2) === 0xf989) options.fastopenExp = hex(i + 4);
    if (kind === 8) options.timestamps = [v.getUint32(i + 2), v.getUint32(i + 6)];
    i += length;
  }
  // RFC 9293 3.1: "The content of the header beyond the End of Option List Option MUST be header padding of zeros"
  demand(
    bytes.subarray(i).every((byte) => byte === 0),
    "TCP padding that is not zero",
    bytes,
  );
  return options;
}

function parseIcmp(packet: Inner, whole: boolean): void {
  const bytes = packet.payload;
  demand(bytes.length >= 8, "shorter than an ICMP header", bytes);
  if (whole) demand(checksum(bytes) === 0, "a wrong ICMP checksum", bytes);
  packet.icmp = { type: bytes[0]!, code: bytes[1]!, rest: view(bytes).getUint32(4) };
  packet.payload = bytes.subarray(8);
  if (![3, 4, 5, 11, 12].includes(packet.icmp.type)) return;
  packet.quoted = { payload: packet.payload };
  try {
    parseIp(packet.quoted, packet.payload, false);
  } catch {
    // What is quoted is another's, and may be cut or nonsense: as much as made sense is there.
  }
}

function parseIgmp(packet: Inner): void {
  const bytes = packet.payload;
  demand(bytes.length >= 8 && checksum(bytes) === 0, "no IGMP message", bytes);
  packet.igmp = { type: bytes[0]!, maxResponse: bytes[1]!, group: ipText(view(bytes).getUint32(4)) };
  packet.payload = bytes.subarray(8);
}

/** The parts of a value that a pattern names: compare them with the pattern for a readable difference. */
export function partOf(value: unknown, pattern: unknown): unknown {
  if (typeof pattern !== "object" || pattern === null || Array.isArray(pattern) || pattern instanceof Uint8Array) {
    return value;
  }
  if (typeof value !== "object" || value === null) return value;
  const whole = value as Record<string, unknown>;
  const keys = Object.entries(pattern);
  return Object.fromEntries(keys.map(([key, part]) => [key, partOf(whole[key], part)]));
}

/** One line about a packet, as tcpdump would write it. */
export function summary(packet: Packet): string {
  const { arp, ip, udp, tcp, icmp, igmp, payload } = packet;
  if (arp) {
    return arp.operation === 1
      ? `arp who-has ${arp.target} tell ${arp.sender}`
      : `arp ${arp.sender} is-at ${arp.senderMac}`;
  }
  if (!ip) return `type ${packet.ether.type.toString(16)}`;
  const ends = (from: number | string, to: number | string): string => `${ip.from}:${from} > ${ip.to}:${to}`;
  const fragment = ip.mf || ip.offset > 0 ? ` frag ${ip.offset}${ip.mf ? "+" : ""}` : "";
  if (udp) return `${ends(udp.from, udp.to)} udp ${payload.length}${fragment}`;
  if (tcp) {
    const options = Object.entries(tcp.options).map(([name, value]) => `${name} ${String(value)}`);
    const numbers = `[${tcp.flags}] seq ${tcp.seq} ack ${tcp.ack} win ${tcp.window}`;
    return `${ends(tcp.from, tcp.to)} ${numbers} <${options.join(", ")}> length ${payload.length}`;
  }
  const inner = icmp
    ? `icmp ${icmp.type}/${icmp.code}`
    : igmp
      ? `igmp ${igmp.type} ${igmp.group}`
      : `ip ${ip.protocol}`;
  return `${ip.from} > ${ip.to} ${inner} ${payload.length}${fragment}`;
}

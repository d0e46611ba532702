// IPv4 datagrams as the runner sees them on the wire: bytes taken apart, every checksum checked.
// Read first: RFC 791 section 3.1, RFC 9293 section 3.1, RFC 768, RFC 792.

import type { TcpOption } from "./script.ts";
import { checksum, pseudoHeader } from "./wire.ts";

/** A datagram that crossed the wire. Addresses and ports are host-order numbers. */
export interface LivePacket {
  /** When it left or arrived, microseconds of the world's clock. */
  micros: number;
  direction: "in" | "out";
  /** The whole datagram. */
  bytes: Uint8Array;
  source: number;
  destination: number;
  tos: number;
  ttl: number;
  protocol: number;
  /** Of a fragment, the first and the last included. */
  fragment?: { id: number; offset: number; more: boolean };
  tcp?: LiveTcp;
  udp?: { source: number; destination: number };
  icmp?: LiveIcmp;
  /** Bytes behind the transport header. */
  payload: number;
}

export interface LiveTcp {
  source: number;
  destination: number;
  sequence: number;
  ack: number;
  /** FIN 1 ... CWR 128, AE 256. */
  flags: number;
  window: number;
  urgent: number;
  /** In their order, numbers as on the wire; undefined when they overrun. */
  options: TcpOption[] | undefined;
}

export interface LiveIcmp {
  type: number;
  code: number;
  /** The second half of the last header word: the MTU of "fragmentation needed". */
  mtu: number;
  /** Of an error: the datagram that it is about, as far as it goes. */
  quoted?: { source: number; destination: number; protocol: number; ports: [number, number]; sequence: number };
}

const FAST_OPEN_MAGIC = 0xf989;

/** Takes a datagram apart. @throws {Error} with what is wrong when no host may send it */
export function decodeDatagram(bytes: Uint8Array, micros: number, direction: "in" | "out"): LivePacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 20 || view.getUint8(0) >>> 4 !== 4) throw new Error("no IPv4 header");
  const header = (view.getUint8(0) & 15) * 4;
  const total = view.getUint16(2);
  if (header < 20 || total < header || total > bytes.length) throw new Error("IPv4 lengths that cannot be");
  if (checksum(bytes.subarray(0, header)) !== 0) throw new Error("a wrong IPv4 header checksum");
  const field = view.getUint16(6);
  const packet: LivePacket = {
    micros,
    direction,
    bytes: bytes.subarray(0, total),
    source: view.getUint32(12),
    destination: view.getUint32(16),
    tos: view.getUint8(1),
    ttl: view.getUint8(8),
    protocol: view.getUint8(9),
    payload: total - header,
  };
  if ((field & 0x3fff) !== 0) {
    packet.fragment = { id: view.getUint16(4), offset: (field & 0x1fff) * 8, more: (field & 0x2000) !== 0 };
    return packet;
  }
  const body = bytes.subarray(header, total);
  if (packet.protocol === 6) decodeTcp(packet, body);
  else if (packet.protocol === 17) decodeUdp(packet, body);
  else if (packet.protocol === 1) decodeIcmp(packet, body);
  return packet;
}

function checkTransport({ source, destination, protocol }: LivePacket, body: Uint8Array, name: string): void {
  if (checksum(pseudoHeader(source, destination, protocol, body.length), body) !== 0) {
    throw new Error(`a wrong ${name} checksum`);
  }
}

function decodeTcp(packet: LivePacket, body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const header = body.length < 20 ? 0 : (view.getUint8(12) >>> 4) * 4;
  if (header < 20 || header > body.length) throw new Error("a TCP header that is cut short");
  checkTransport(packet, body, "TCP");
  packet.tcp = {
    source: view.getUint16(0),
    destination: view.getUint16(2),
    sequence: view.getUint32(4),
    ack: view.getUint32(8),
    flags: view.getUint8(13) | ((view.getUint8(12) & 1) << 8),
    window: view.getUint16(14),
    urgent: view.getUint16(18),
    options: decodeOptions(body.subarray(20, header)),
  };
  packet.payload = body.length - header;
}

/** TCP options in their order; undefined when one overruns the header. */
export function decodeOptions(bytes: Uint8Array): TcpOption[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const options: TcpOption[] = [];
  for (let at = 0; at < bytes.length;) {
    const kind = view.getUint8(at);
    if (kind === 0 || kind === 1) {
      options.push({ kind: kind === 0 ? "eol" : "nop" });
      at++;
      continue;
    }
    const length = at + 1 < bytes.length ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > bytes.length) return undefined;
    options.push(decodeOption(kind, view, at, length));
    at += length;
  }
  return options;
}

function decodeOption(kind: number, view: DataView, at: number, length: number): TcpOption {
  const data = new Uint8Array(view.buffer, view.byteOffset + at + 2, length - 2).slice();
  if (kind === 2 && length === 4) return { kind: "mss", mss: view.getUint16(at + 2) };
  if (kind === 3 && length === 3) return { kind: "wscale", shift: view.getUint8(at + 2) };
  if (kind === 4 && length === 2) return { kind: "sackOK" };
  if (kind === 8 && length === 10) {
    return { kind: "timestamp", value: view.getUint32(at + 2), echo: view.getUint32(at + 6) };
  }
  if (kind === 5 && length >= 10 && (length - 2) % 8 === 0) {
    const blocks: [number, number][] = [];
    for (let i = at + 2; i < at + length; i += 8) blocks.push([view.getUint32(i), view.getUint32(i + 4)]);
    return { kind: "sack", blocks };
  }
  if (kind === 34) return { kind: "fastopen", cookie: data, experimental: false };
  if (kind === 254 && length >= 4 && view.getUint16(at + 2) === FAST_OPEN_MAGIC) {
    return { kind: "fastopen", cookie: data.subarray(2), experimental: true };
  }
  return { kind: "unknown", number: kind, data };
}

function decodeUdp(packet: LivePacket, body: Uint8Array): void {
  if (body.length < 8) throw new Error("a UDP header that is cut short");
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  if (view.getUint16(4) !== body.length) throw new Error("a wrong UDP length");
  if (view.getUint16(6) !== 0) checkTransport(packet, body, "UDP");
  packet.udp = { source: view.getUint16(0), destination: view.getUint16(2) };
  packet.payload = body.length - 8;
}

/** ICMP types that quote a datagram: unreachable, source quench, redirect, time exceeded, parameter problem. */
const QUOTING = new Set([3, 4, 5, 11, 12]);

function decodeIcmp(packet: LivePacket, body: Uint8Array): void {
  if (body.length < 8) throw new Error("an ICMP header that is cut short");
  if (checksum(body) !== 0) throw new Error("a wrong ICMP checksum");
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  packet.icmp = { type: view.getUint8(0), code: view.getUint8(1), mtu: view.getUint16(6) };
  packet.payload = body.length - 8;
  if (!QUOTING.has(packet.icmp.type) || body.length < 8 + 28) return;
  const inner = 8 + (view.getUint8(8) & 15) * 4;
  if (body.length < inner + 8) return;
  packet.icmp.quoted = {
    source: view.getUint32(8 + 12),
    destination: view.getUint32(8 + 16),
    protocol: view.getUint8(8 + 9),
    ports: [view.getUint16(inner), view.getUint16(inner + 2)],
    sequence: view.getUint32(inner + 4),
  };
}

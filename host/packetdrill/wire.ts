// Builds the datagrams that a script injects: headers, options, checksums.
// Read first: RFC 791, RFC 768, RFC 792, RFC 9293 section 3.1, RFC 1071 (the checksum).

import type { TcpOption } from "./script.ts";

export interface Ipv4Fields {
  source: number;
  destination: number;
  protocol: number;
  tos: number;
  ttl: number;
  id?: number;
  /** What the header says of the length; undefined: what it is. */
  totalLength?: number;
  /** Flags and offset as the header's word has them. */
  fragment?: number;
}

export interface TcpFields {
  source: number;
  destination: number;
  sequence: number;
  ack: number;
  /** FIN 1 ... CWR 128, AE 256. */
  flags: number;
  window: number;
  urgent: number;
  options: readonly TcpOption[];
}

/** What a datagram may hold beside its header of 20 bytes. */
export const BODY_BYTES_MAX = 65535 - 20;

/** The Internet checksum over parts of which all but the last have even lengths. */
export function checksum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    const even = part.length & ~1;
    for (let i = 0; i < even; i += 2) sum += ((part[i] as number) << 8) | (part[i + 1] as number);
    if (even < part.length) sum += (part[even] as number) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return ~sum & 0xffff;
}

/** What the checksums of TCP and UDP cover beside the segment. */
export function pseudoHeader(source: number, destination: number, protocol: number, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(12));
  view.setUint32(0, source);
  view.setUint32(4, destination);
  view.setUint16(8, protocol);
  view.setUint16(10, length);
  return new Uint8Array(view.buffer);
}

/** A datagram; its identification is 0 where none is given. */
export function ipv4Datagram(fields: Ipv4Fields, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(20 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x45);
  view.setUint8(1, fields.tos);
  view.setUint16(2, fields.totalLength ?? bytes.length);
  view.setUint16(4, fields.id ?? 0);
  view.setUint16(6, fields.fragment ?? 0);
  view.setUint8(8, fields.ttl);
  view.setUint8(9, fields.protocol);
  view.setUint32(12, fields.source);
  view.setUint32(16, fields.destination);
  view.setUint16(10, checksum(bytes.subarray(0, 20)));
  bytes.set(body, 20);
  return bytes;
}

/** A TCP segment with `payload` zero bytes; `ip` gives the pseudo-header. */
export function tcpSegment(ip: Ipv4Fields, fields: TcpFields, payload: number): Uint8Array {
  const options = encodeOptions(fields.options);
  const header = 20 + options.length;
  const bytes = new Uint8Array(header + payload);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, fields.source);
  view.setUint16(2, fields.destination);
  view.setUint32(4, fields.sequence >>> 0);
  view.setUint32(8, fields.ack >>> 0);
  view.setUint8(12, ((header / 4) << 4) | ((fields.flags >>> 8) & 1));
  view.setUint8(13, fields.flags & 255);
  view.setUint16(14, fields.window);
  view.setUint16(18, fields.urgent);
  bytes.set(options, 20);
  view.setUint16(16, checksum(pseudoHeader(ip.source, ip.destination, ip.protocol, bytes.length), bytes));
  return bytes;
}

/** A UDP datagram with `payload` zero bytes. */
export function udpDatagram(ip: Ipv4Fields, source: number, destination: number, payload: number): Uint8Array {
  const bytes = new Uint8Array(8 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, source);
  view.setUint16(2, destination);
  view.setUint16(4, bytes.length);
  const sum = checksum(pseudoHeader(ip.source, ip.destination, ip.protocol, bytes.length), bytes);
  view.setUint16(6, sum === 0 ? 0xffff : sum);
  return bytes;
}

/** An ICMP message; `rest` is the second word of its header. */
export function icmpMessage(type: number, code: number, rest: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint8(1, code);
  view.setUint32(4, rest >>> 0);
  bytes.set(body, 8);
  view.setUint16(2, checksum(bytes));
  return bytes;
}

/** Options as bytes, with EOLs up to a multiple of four. */
export function encodeOptions(options: readonly TcpOption[]): Uint8Array {
  const bytes: number[] = [];
  for (const option of options) bytes.push(...optionBytes(option));
  while (bytes.length % 4 !== 0) bytes.push(0);
  return Uint8Array.from(bytes);
}

function optionBytes(option: TcpOption): number[] {
  switch (option.kind) {
    case "nop":
      return [1];
    case "eol":
      return [0];
    case "mss":
      return [2, 4, ...big(option.mss, 2)];
    case "wscale":
      return [3, 3, option.shift & 255];
    case "sackOK":
      return [4, 2];
    case "sack":
      return [5, 2 + 8 * option.blocks.length, ...option.blocks.flat().flatMap((edge) => big(edge, 4))];
    case "timestamp":
      return [8, 10, ...big(option.value, 4), ...big(option.echo, 4)];
    case "fastopen":
      return option.experimental
        ? [254, 4 + option.cookie.length, 0xf9, 0x89, ...option.cookie]
        : [34, 2 + option.cookie.length, ...option.cookie];
    case "unknown":
      return [option.number, 2 + option.data.length, ...option.data];
    case "refused":
      return [];
  }
}

function big(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => (value >>> (8 * (bytes - 1 - i))) & 255);
}

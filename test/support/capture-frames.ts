// Builds whole Ethernet frames for tests of captures: ARP, ICMP, UDP and TCP with right lengths and checksums.
// Read first: RFC 826, RFC 791, RFC 792, RFC 768, RFC 9293 section 3.1; RFC 1071 for the checksum.

/** Ends used by default; addresses and ports in host order. */
export const CLIENT = { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), address: 0x0a000002, port: 49152 };
export const SERVER = { mac: Uint8Array.of(2, 0, 0, 0, 0, 2), address: 0x0a000001, port: 50080 };
export type End = typeof CLIENT;

export interface TcpFields {
  seq: number;
  ack?: number;
  /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16. */
  flags: number;
  window?: number;
  /** Whole options; padded with zeros to 32 bits. */
  options?: readonly number[];
  payload?: Uint8Array;
  identification?: number;
}

/** A TCP segment from one end to the other. */
export function tcpFrame(from: End, to: End, fields: TcpFields): Uint8Array {
  const { seq, ack = 0, flags, window = 65535, options = [], payload = new Uint8Array(0) } = fields;
  const header = 20 + Math.ceil(options.length / 4) * 4;
  const segment = new Uint8Array(header + payload.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, from.port);
  view.setUint16(2, to.port);
  view.setUint32(4, seq);
  view.setUint32(8, ack);
  view.setUint8(12, (header / 4) << 4);
  view.setUint8(13, flags);
  view.setUint16(14, window);
  segment.set(options, 20);
  segment.set(payload, header);
  view.setUint16(16, transportChecksum(from, to, 6, segment));
  return ipv4Frame(from, to, 6, segment, fields.identification);
}

/** A UDP datagram from one end to the other. */
export function udpFrame(from: End, to: End, payload: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length);
  const view = new DataView(datagram.buffer);
  view.setUint16(0, from.port);
  view.setUint16(2, to.port);
  view.setUint16(4, datagram.length);
  datagram.set(payload, 8);
  view.setUint16(6, transportChecksum(from, to, 17, datagram));
  return ipv4Frame(from, to, 17, datagram);
}

/** An ICMP echo request. */
export function echoFrame(from: End, to: End, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(8 + payload.length);
  message.set([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
  message.set(payload, 8);
  new DataView(message.buffer).setUint16(2, checksum(message));
  return ipv4Frame(from, to, 1, message);
}

/** An ARP request for an end's address. */
export function arpFrame(from: End, to: End): Uint8Array {
  const packet = new Uint8Array(28);
  const view = new DataView(packet.buffer);
  packet.set([0, 1, 8, 0, 6, 4, 0, 1]);
  packet.set(from.mac, 8);
  view.setUint32(14, from.address);
  view.setUint32(24, to.address);
  return ethernetFrame(from.mac, new Uint8Array(6).fill(255), 0x0806, packet);
}

function ipv4Frame(from: End, to: End, protocol: number, payload: Uint8Array, identification = 0): Uint8Array {
  const packet = new Uint8Array(20 + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, packet.length);
  view.setUint16(4, identification);
  view.setUint16(6, 0x4000); // DF
  view.setUint8(8, 64);
  view.setUint8(9, protocol);
  view.setUint32(12, from.address);
  view.setUint32(16, to.address);
  view.setUint16(10, checksum(packet.subarray(0, 20)));
  packet.set(payload, 20);
  return ethernetFrame(from.mac, to.mac, 0x0800, packet);
}

function ethernetFrame(source: Uint8Array, destination: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(Math.max(60, 14 + payload.length));
  frame.set(destination, 0);
  frame.set(source, 6);
  new DataView(frame.buffer).setUint16(12, type);
  frame.set(payload, 14);
  return frame;
}

function transportChecksum(from: End, to: End, protocol: number, segment: Uint8Array): number {
  const whole = new Uint8Array(12 + segment.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, from.address);
  view.setUint32(4, to.address);
  view.setUint16(8, protocol);
  view.setUint16(10, segment.length);
  whole.set(segment, 12);
  return checksum(whole) || (protocol === 17 ? 0xffff : 0);
}

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? bytes[at]! * 256 : bytes[at]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

// A `<` line as a datagram for the stack.
// Read first: connections.ts (numbers), wire.ts (bytes); RFC 792 for what an ICMP error quotes.

import type { Connection } from "./connections.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import type { FragmentPacket, IcmpPacket, IpFields, PacketEvent, TcpPacket } from "./script.ts";
import { BODY_BYTES_MAX, icmpMessage, type Ipv4Fields, ipv4Datagram, tcpSegment, udpDatagram } from "./wire.ts";

const PROTOCOL = { icmp: 1, tcp: 6, udp: 17 } as const;
const ECN = { noecn: 0, ect1: 1, ect0: 2, ect01: 2, ce: 3 } as const;
/** TTL of injected packets where the script writes none; large enough for any minimum (the original: 255). */
const TTL = 255;
/** Window of injected segments where the script writes none. */
const WINDOW = 65535;
const SYN = 2;
const ACK = 16;
const ICMP_ECHO_REPLY = 0;
const ICMP_ECHO = 8;

/** The datagram of a `<` line. */
export function inboundDatagram(event: PacketEvent, connection: Connection): Uint8Array {
  const { transport } = event;
  const ip = headerOf(event.ip, connection);
  switch (transport.protocol) {
    case "tcp":
      return ipv4Datagram({ ...ip, protocol: PROTOCOL.tcp }, segment(event, transport, ip, connection));
    case "udp": {
      checkSize(event, transport.payload + 8);
      const { remotePort, localPort } = connection;
      const fields = { ...ip, protocol: PROTOCOL.udp };
      return ipv4Datagram(fields, udpDatagram(fields, remotePort, localPort, transport.payload));
    }
    case "icmp":
      return ipv4Datagram({ ...ip, protocol: PROTOCOL.icmp }, message(transport, connection));
    case "fragment":
      return fragment(event, transport, ip, connection);
  }
}

function headerOf(fields: IpFields, connection: Connection): Ipv4Fields {
  const ecn = fields.ecn === undefined ? 0 : ECN[fields.ecn];
  return {
    source: connection.remoteAddress,
    destination: connection.localAddress,
    protocol: 0,
    tos: (fields.tos ?? 0) | ecn,
    ttl: fields.ttl ?? TTL,
  };
}

function segment(event: PacketEvent, tcp: TcpPacket, ip: Ipv4Fields, connection: Connection): Uint8Array {
  const refused = tcp.options?.find((option) => option.kind === "refused");
  if (refused?.kind === "refused") {
    throw new ScriptRefusal(event.line, `the TCP option "${refused.name}" is not supported`);
  }
  checkSize(event, tcp.payload + 60);
  const isSyn = (tcp.flags & SYN) !== 0;
  const sequence = tcp.absolute === true ? tcp.sequence : connection.remote.toWire(tcp.sequence, isSyn);
  const fields = {
    source: connection.remotePort,
    destination: connection.localPort,
    sequence,
    ack: tcp.ack === undefined && (tcp.flags & ACK) === 0 ? 0 : connection.local.toWire(tcp.ack ?? 0, isSyn),
    flags: tcp.flags,
    window: tcp.window ?? WINDOW,
    urgent: tcp.urgent ?? 0,
    options: connection.optionsToWire(tcp.options ?? [], isSyn),
  };
  return tcpSegment({ ...ip, protocol: PROTOCOL.tcp }, fields, tcp.payload);
}

function checkSize(event: PacketEvent, bytes: number): void {
  if (bytes <= BODY_BYTES_MAX) return;
  throw new ScriptFailure(event.line, `an IPv4 datagram holds ${BODY_BYTES_MAX} bytes, not ${bytes}`);
}

function message(icmp: IcmpPacket, connection: Connection): Uint8Array {
  const { icmpType, icmpCode } = icmp;
  if (icmpType === ICMP_ECHO || icmpType === ICMP_ECHO_REPLY) {
    const rest = ((icmp.id ?? 0) << 16) | (icmp.sequence ?? 0);
    return icmpMessage(icmpType, icmpCode, rest, new Uint8Array(icmp.payload ?? 0));
  }
  return icmpMessage(icmpType, icmpCode, icmp.mtu ?? 0, quote(icmp, connection));
}

/**
 * "The internet header plus the first 64 bits of the original datagram's data" (RFC 792), a datagram of the stack. One
 * that did not fit an MTU was larger than that, however little of it is written.
 */
function quote({ quoted, mtu = 0 }: IcmpPacket, connection: Connection): Uint8Array {
  const protocol = PROTOCOL[quoted?.protocol ?? connection.protocol];
  const headers = 20 + (protocol === PROTOCOL.tcp ? 20 : 8);
  const ip = {
    source: connection.localAddress,
    destination: connection.remoteAddress,
    protocol,
    tos: 0,
    ttl: 64,
    fragment: 0x4000,
    totalLength: Math.min(Math.max(headers + (quoted?.payload ?? 0), mtu + 1), 65535),
  };
  const { localPort, remotePort } = connection;
  if (ip.protocol === PROTOCOL.udp) {
    return ipv4Datagram(ip, udpDatagram(ip, localPort, remotePort, quoted?.payload ?? 0)).subarray(0, 28);
  }
  const sequence = connection.local.toWire(quoted?.protocol === "tcp" ? quoted.sequence : 1, false);
  const fields = { source: localPort, destination: remotePort, sequence, ack: 0, flags: 16, window: 0, urgent: 0 };
  return ipv4Datagram(ip, tcpSegment(ip, { ...fields, options: [] }, quoted?.payload ?? 0)).subarray(0, 28);
}

/** A fragment of a datagram of the connection's protocol, all zeros. */
function fragment(event: PacketEvent, part: FragmentPacket, ip: Ipv4Fields, connection: Connection): Uint8Array {
  checkSize(event, part.payload);
  if (part.offset % 8 !== 0 || part.offset > BODY_BYTES_MAX) {
    throw new ScriptFailure(event.line, `the offset of a fragment is a multiple of 8, not ${part.offset}`);
  }
  const fields = { ...ip, protocol: PROTOCOL[connection.protocol], id: part.id };
  const word = (part.offset / 8) | (part.more ? 0x2000 : 0);
  return ipv4Datagram({ ...fields, fragment: word }, new Uint8Array(part.payload));
}

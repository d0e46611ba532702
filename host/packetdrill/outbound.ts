// Whether what the stack sent is what a `>` line says. A line may be met by several segments of equal size that cover
// it: one stack hands large packets to its NIC (TSO), another sends them apart.
// Read first: Cardwell et al. (USENIX ATC 2013), section 3.3; connections.ts.

import type { Connection } from "./connections.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import { formatEcn, formatFlags, formatOptions, formatPacket } from "./format.ts";
import type { LivePacket, LiveTcp } from "./live-packet.ts";
import type { IcmpPacket, IpFields, PacketEvent, TcpOption, TcpPacket } from "./script.ts";

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;
const URG = 32;
const CWR = 128;
/** What a segment that is not the last of its line must not have. */
const ENDS = FIN | SYN | RST;
const ECN_BITS: Record<NonNullable<IpFields["ecn"]>, readonly number[]> = {
  noecn: [0],
  ect1: [1],
  ect0: [2],
  ect01: [1, 2],
  ce: [3],
};

export interface MatchOptions {
  /** Microseconds of one tick of TCP timestamps; 0: their values are not looked at. */
  tickMicros: number;
  /** By how much a timestamp may differ, microseconds. */
  toleranceMicros: number;
}

/**
 * Compares the packets that came for a line so far with it.
 * @param packets at least one, in order; all but the last were too little before
 * @returns "met", or "more" when the rest of the line's bytes must follow
 * @throws {ScriptFailure} at the first difference
 */
export function compare(
  event: PacketEvent,
  connection: Connection,
  packets: readonly LivePacket[],
  options: MatchOptions,
): "met" | "more" {
  const last = packets.at(-1) as LivePacket;
  const fail = (what: string, expected: string, actual: string): never => {
    const came = packets.map((packet) => formatPacket(packet, connection)).join("\n");
    throw new ScriptFailure(event.line, `${what}: expected ${expected}, got ${actual}`, event.text, came);
  };
  const name = protocolOf(last);
  if (name !== event.transport.protocol) fail("kind of packet", event.transport.protocol, name);
  compareIp(event.ip, last, fail);
  switch (event.transport.protocol) {
    case "tcp":
      return compareTcp(event, event.transport, connection, packets, options, fail);
    case "icmp":
      compareIcmp(event.transport, last, connection, fail);
      break;
    case "udp":
      if (last.payload !== event.transport.payload)
        fail("payload", `${event.transport.payload} bytes`, `${last.payload}`);
      break;
    case "fragment": {
      const { offset, more, payload } = event.transport;
      const part = last.fragment as NonNullable<LivePacket["fragment"]>;
      const text = (o: number, n: number, m: boolean): string => `offset ${o}, ${n} bytes${m ? ", more" : ""}`;
      const [wanted, came] = [text(offset, payload, more), text(part.offset, last.payload, part.more)];
      if (wanted !== came) fail("fragment", wanted, came);
    }
  }
  return "met";
}

type Fail = (what: string, expected: string, actual: string) => never;

function protocolOf({ fragment, tcp, udp, icmp, protocol }: LivePacket): string {
  if (fragment !== undefined) return "fragment";
  return tcp !== undefined ? "tcp" : udp !== undefined ? "udp" : icmp !== undefined ? "icmp" : `protocol ${protocol}`;
}

function compareIp(ip: IpFields, packet: LivePacket, fail: Fail): void {
  if (ip.ecn !== undefined && !ECN_BITS[ip.ecn].includes(packet.tos & 3)) {
    fail("ECN bits", ip.ecn, formatEcn(packet.tos));
  }
  // With an ECN name beside it, the TOS is about the other six bits.
  const mask = ip.ecn === undefined ? 255 : 252;
  if (ip.tos !== undefined && (packet.tos & mask) !== (ip.tos & mask)) {
    fail("TOS", `0x${ip.tos.toString(16)}`, `0x${packet.tos.toString(16)}`);
  }
  if (ip.ttl !== undefined && packet.ttl !== ip.ttl) fail("TTL", String(ip.ttl), String(packet.ttl));
}

function compareTcp(
  event: PacketEvent,
  wanted: TcpPacket,
  connection: Connection,
  packets: readonly LivePacket[],
  options: MatchOptions,
  fail: Fail,
): "met" | "more" {
  const first = packets[0] as LivePacket;
  const last = packets.at(-1) as LivePacket;
  const tcp = last.tcp as LiveTcp;
  connection.answered(tcp);
  learn(connection, wanted, tcp);
  const done = packets.reduce((sum, packet) => sum + packet.payload, 0);
  compareSequence(wanted, connection, packets, done, fail);
  if (done < wanted.payload) {
    if (last.payload === 0 || last.payload < first.payload || tcp.flags & ENDS) {
      fail("payload", `${wanted.payload} bytes`, packets.map((packet) => packet.payload).join(" + "));
    }
    return "more";
  }
  // CWR goes with the first segment of a packet that is sent apart (RFC 3168 section 6.1.2).
  const flags = tcp.flags | ((first.tcp as LiveTcp).flags & CWR);
  if (flags !== wanted.flags) fail("flags", formatFlags(wanted.flags), formatFlags(flags));
  if (wanted.ack !== undefined && flags & ACK) {
    const ack = connection.remote.toScript(tcp.ack, (flags & SYN) !== 0);
    if (ack !== wanted.ack >>> 0) fail("ack", String(wanted.ack), String(ack));
  }
  if (wanted.window !== undefined && tcp.window !== wanted.window) {
    fail("window", String(wanted.window), String(tcp.window));
  }
  if (flags & URG && wanted.urgent !== undefined && tcp.urgent !== wanted.urgent) {
    fail("urgent pointer", String(wanted.urgent), String(tcp.urgent));
  }
  if (wanted.options !== undefined) compareOptions(event, wanted.options, tcp.options, connection, options, fail);
  return "met";
}

/** A SYN tells the initial sequence number. */
function learn(connection: Connection, wanted: TcpPacket, tcp: LiveTcp): void {
  if (connection.local.isKnown || wanted.absolute === true) return;
  if (wanted.flags & tcp.flags & SYN) connection.local.learn(wanted.sequence, tcp.sequence);
}

function compareSequence(
  wanted: TcpPacket,
  connection: Connection,
  packets: readonly LivePacket[],
  done: number,
  fail: Fail,
): void {
  const last = packets.at(-1) as LivePacket;
  const size = (packets[0] as LivePacket).payload;
  const { sequence, flags } = last.tcp as LiveTcp;
  const came = wanted.absolute === true ? sequence : connection.local.toScript(sequence, (flags & SYN) !== 0);
  const expected = (wanted.sequence + done - last.payload) >>> 0;
  if (came !== expected) fail("sequence number", String(expected), String(came));
  if (done > wanted.payload || last.payload > size) {
    fail("payload", `${wanted.payload} bytes`, packets.map((packet) => packet.payload).join(" + "));
  }
}

function compareOptions(
  event: PacketEvent,
  wanted: readonly TcpOption[],
  came: readonly TcpOption[] | undefined,
  connection: Connection,
  { tickMicros, toleranceMicros }: MatchOptions,
  fail: Fail,
): void {
  for (const option of wanted) {
    if (option.kind !== "refused") continue;
    throw new ScriptRefusal(event.line, `the TCP option "${option.name}" is not supported`);
  }
  const edge = (n: number): number => connection.remote.toScript(n, false);
  const differ = (): never =>
    fail(
      "TCP options",
      `<${formatOptions(wanted)}>`,
      came === undefined ? "malformed ones" : `<${formatOptions(came, edge)}>`,
    );
  if (came?.length !== wanted.length) return differ();
  for (const [i, option] of wanted.entries()) {
    const other = came[i] as TcpOption;
    if (option.kind === "timestamp" && other.kind === "timestamp") {
      if (tickMicros !== 0 && option.echo >= 0 && option.echo >>> 0 !== other.echo) differ();
      if (option.value < 0) continue;
      compareTimestamp(option.value, other.value, connection, tickMicros, toleranceMicros, fail);
    } else if (formatOptions([option]) !== formatOptions([other], edge)) {
      differ();
    }
  }
}

/** The first value stands for whatever the stack's clock shows; later ones must have gone on as the script's do. */
function compareTimestamp(
  script: number,
  live: number,
  connection: Connection,
  tickMicros: number,
  toleranceMicros: number,
  fail: Fail,
): void {
  connection.timestamps.set(script, live);
  if (tickMicros === 0) return;
  const first = (connection.firstTimestamp ??= { script, live });
  const shown = (first.script + live - first.live) >>> 0;
  const off = Math.abs((shown - script) | 0) * tickMicros;
  if (off > toleranceMicros) fail("timestamp", String(script), String(shown));
}

function compareIcmp(wanted: IcmpPacket, packet: LivePacket, connection: Connection, fail: Fail): void {
  const came = packet.icmp as NonNullable<LivePacket["icmp"]>;
  if (came.type !== wanted.icmpType) fail("ICMP type", String(wanted.icmpType), String(came.type));
  if (came.code !== wanted.icmpCode) fail("ICMP code", String(wanted.icmpCode), String(came.code));
  if (wanted.mtu !== undefined && came.mtu !== wanted.mtu) fail("MTU", String(wanted.mtu), String(came.mtu));
  if (wanted.payload !== undefined && packet.payload !== wanted.payload) {
    fail("payload", `${wanted.payload} bytes`, String(packet.payload));
  }
  const { quoted } = wanted;
  if (quoted?.protocol !== "tcp" || came.quoted === undefined) return;
  const sequence = connection.remote.toScript(came.quoted.sequence, false);
  if (sequence !== quoted.sequence) fail("quoted sequence number", String(quoted.sequence), String(sequence));
}

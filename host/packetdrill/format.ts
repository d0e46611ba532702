// Packets as a script writes them: for messages and listings.
// Read first: script.ts.

import { formatAddress } from "../posix/address.ts";
import type { Connection } from "./connections.ts";
import type { LivePacket, LiveTcp } from "./live-packet.ts";
import type { TcpOption } from "./script.ts";

const FLAGS = "FSRP.UEWA";
const SYN = 2;
const ECN_NAMES = ["noecn", "ect1", "ect0", "ce"] as const;

/** A packet in the script's numbers; one of no connection in the wire's, with its ends. */
export function formatPacket(packet: LivePacket, connection: Connection | undefined): string {
  const { tcp, udp, icmp, fragment } = packet;
  if (fragment !== undefined) return `fragment ${fragment.offset}(${packet.payload})${fragment.more ? "+" : ""}`;
  if (icmp !== undefined) return `icmp type ${icmp.type} code ${icmp.code}${icmp.mtu > 0 ? ` mtu ${icmp.mtu}` : ""}`;
  if (udp !== undefined) return `${connection === undefined ? ends(packet) : ""}udp (${packet.payload})`;
  if (tcp === undefined) return `protocol ${packet.protocol}, ${packet.payload} bytes`;
  return `${connection === undefined ? ends(packet) : ""}${formatTcp(packet, tcp, connection)}`;
}

/** Names the ECN bits. */
export function formatEcn(tos: number): string {
  return ECN_NAMES[tos & 3] as string;
}

/** "P." and the like; "-" for none. */
export function formatFlags(flags: number): string {
  const text = [..."SFRPUEWA."].filter((letter) => flags & (1 << FLAGS.indexOf(letter))).join("");
  return text === "" ? "-" : text;
}

function ends({ source, destination, tcp, udp }: LivePacket): string {
  const ports = tcp ?? udp;
  const of = (address: number, port: number | undefined): string =>
    `${formatAddress(address)}${port === undefined ? "" : `:${port}`}`;
  return `${of(source, ports?.source)} > ${of(destination, ports?.destination)} `;
}

function formatTcp(packet: LivePacket, tcp: LiveTcp, connection: Connection | undefined): string {
  const isSyn = (tcp.flags & SYN) !== 0;
  const [from, to] =
    packet.direction === "in" ? [connection?.remote, connection?.local] : [connection?.local, connection?.remote];
  const own = (n: number): number => from?.toScript(n, isSyn) ?? n;
  const other = (n: number): number => to?.toScript(n, isSyn) ?? n;
  const start = own(tcp.sequence);
  const parts = [`${formatFlags(tcp.flags)} ${start}:${start + packet.payload}(${packet.payload})`];
  if (tcp.flags & 16) parts.push(`ack ${other(tcp.ack)}`);
  parts.push(`win ${tcp.window}`);
  if (tcp.flags & 32) parts.push(`urg ${tcp.urgent}`);
  const options = tcp.options === undefined ? "malformed" : formatOptions(tcp.options, other);
  if (options !== "") parts.push(`<${options}>`);
  const ecn = packet.tos & 3 ? `[${formatEcn(packet.tos)}] ` : "";
  return ecn + parts.join(" ");
}

/** Options with commas between. @param edge translates the edges of SACK blocks */
export function formatOptions(options: readonly TcpOption[], edge: (n: number) => number = (n) => n): string {
  return options.map((option) => formatOption(option, edge)).join(",");
}

function formatOption(option: TcpOption, edge: (n: number) => number): string {
  switch (option.kind) {
    case "mss":
      return `mss ${option.mss}`;
    case "wscale":
      return `wscale ${option.shift}`;
    case "sack":
      return `sack ${option.blocks.map(([left, right]) => `${edge(left)}:${edge(right)}`).join(" ")}`;
    case "timestamp":
      return `TS val ${option.value < 0 ? "*" : option.value} ecr ${option.echo < 0 ? "*" : option.echo}`;
    case "fastopen":
      return `${option.experimental ? "FOEXP" : "FO"}${option.cookie.length > 0 ? ` ${hex(option.cookie)}` : ""}`;
    case "unknown":
      return `${option.number} 0x${hex(option.data)}`;
    case "refused":
      return option.text;
    default:
      return option.kind;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

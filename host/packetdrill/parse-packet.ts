// Packets: which way, the fields of IP, and then TCP, UDP, ICMP or a fragment.
// Read first: PacketEvent in script.ts; parse-tcp.ts, parse-icmp.ts.

import type { Scanner } from "./lexer.ts";
import { parseIcmp, parseLength, parseQuote, peekQuote } from "./parse-icmp.ts";
import { parsePorts, parseTcp } from "./parse-tcp.ts";
import type { FragmentPacket, IcmpPacket, IpFields, PacketEvent, Ports, UdpPacket } from "./script.ts";

export type PacketParts = Pick<PacketEvent, "direction" | "ip" | "transport">;

const ECN = ["noecn", "ect0", "ect1", "ect01", "ce"] as const;
const U16_MAX = 0xffff;

/** What other versions of the language have behind the direction, and why it is not carried out. */
const REFUSED_HEADERS: Record<string, string> = {
  ipv4: "encapsulation (ipv4 A > B: ...)",
  ipv6: "IPv6: Oribi speaks IPv4",
  gre: "encapsulation in GRE",
  GREv0: "encapsulation in GRE",
  mpls: "encapsulation in MPLS",
  psp: "encapsulation in PSP",
  sctp: "SCTP",
  udplite: "UDP-Lite",
  icmpv6: "ICMPv6: Oribi speaks IPv4",
  raw: "raw packets",
};

/** Takes a packet from its `<` or `>` on. */
export function parsePacket(scanner: Scanner): PacketParts {
  const direction = scanner.accept("<") ? "in" : "out";
  if (direction === "out") scanner.expect(">");
  const ip: IpFields = {};
  let quoted: IcmpPacket["quoted"];
  for (;;) {
    if (peekQuote(scanner)) quoted = parseQuote(scanner);
    else if (scanner.accept("[")) parseIpFields(scanner, ip, "]");
    else if (scanner.accept("(")) parseIpFields(scanner, ip, ")");
    else break;
  }
  const transport = parseTransport(scanner, quoted);
  refuseTail(scanner);
  return { direction, ip, transport };
}

function parseTransport(scanner: Scanner, quoted: IcmpPacket["quoted"]): PacketEvent["transport"] {
  const ports = parsePorts(scanner);
  const at = scanner.next();
  const word = scanner.peekWord();
  const refused = Object.hasOwn(REFUSED_HEADERS, word) ? REFUSED_HEADERS[word] : undefined;
  if (refused !== undefined) scanner.refuse(refused, at);
  if (quoted !== undefined && word !== "icmp") scanner.fail('"icmp" behind a quoted packet');
  if (scanner.acceptWord("icmp")) {
    if (ports !== undefined) scanner.fail("TCP or UDP behind ports: ICMP has none", at);
    return parseIcmp(scanner, quoted);
  }
  if (scanner.acceptWord("udp")) return parseUdp(scanner, ports);
  if (word === "fragment" && ports === undefined) return parseFragment(scanner);
  return parseTcp(scanner, ports);
}

/** `udp (100)`, with the ports before or behind the word; one dialect writes `udp length 100`. */
function parseUdp(scanner: Scanner, portsBefore: Ports | undefined): UdpPacket {
  const ports = portsBefore ?? parsePorts(scanner);
  const payload = scanner.acceptWord("length")
    ? scanner.unsigned("the bytes of payload", U16_MAX)
    : parseLength(scanner);
  return ports === undefined ? { protocol: "udp", payload } : { protocol: "udp", ports, payload };
}

/** `fragment id 7 offset 1480 more (1480)`: an addition of this runner. The offset counts bytes. */
function parseFragment(scanner: Scanner): FragmentPacket {
  scanner.acceptWord("fragment");
  if (!scanner.acceptWord("id")) scanner.fail('"id" and the identification of the datagram');
  const id = scanner.unsigned("the identification of the datagram", U16_MAX);
  if (!scanner.acceptWord("offset")) scanner.fail('"offset" and the offset in bytes');
  const at = scanner.next();
  const offset = scanner.unsigned("the offset in bytes", U16_MAX);
  if (offset % 8 !== 0) scanner.fail("an offset that is a multiple of 8: fragments count so (RFC 791)", at);
  const more = scanner.acceptWord("more");
  return { protocol: "fragment", id, offset, more, payload: parseLength(scanner) };
}

/** Takes the fields between brackets or parentheses, and the closing one. */
function parseIpFields(scanner: Scanner, ip: IpFields, close: string): void {
  do {
    const at = scanner.next();
    const name = scanner.word(`a field of IP (${ECN.join(", ")}, tos N, ttl N)`);
    const ecn = ECN.find((codepoint) => codepoint === name);
    if (ecn !== undefined) ip.ecn = ecn;
    else if (name === "tos") ip.tos = scanner.unsigned("a TOS byte", 255);
    else if (name === "ttl") ip.ttl = scanner.unsigned("a time to live", 255);
    else if (name === "flowlabel") scanner.refuse("flow labels, which are IPv6's: Oribi speaks IPv4", at);
    else scanner.fail(`a field of IP (${ECN.join(", ")}, tos N, ttl N)`, at);
  } while (scanner.accept(","));
  scanner.expect(close, 'or a "," after a field of IP');
}

/** Names what other versions of the language have behind a packet. */
function refuseTail(scanner: Scanner): void {
  if (scanner.peek("{")) scanner.refuse("changing bytes of a packet on its way ({...} behind it)");
  if (scanner.peekWord() === "sock") scanner.refuse("naming the socket behind a packet (sock(N)): write the ports");
}

// TCP packets as tcpdump once printed them: `S. 0:0(0) ack 1 win 65535 <mss 1460>`.
// Read first: TcpPacket in script.ts; parse-tcp-options.ts.

import type { Scanner } from "./lexer.ts";
import { parseOptions } from "./parse-tcp-options.ts";
import type { Ports, TcpPacket } from "./script.ts";

const FLAGS = /[A-Za-z0-9.-]+/y;
const PORTS = /[0-9]+\s*>/y;
const U16_MAX = 0xffff;
/** Bits of the header; AE as RFC 9768 places it, beside CWR. */
const FLAG_BITS: Record<string, number> = {
  F: 1,
  S: 2,
  R: 4,
  P: 8,
  ".": 16,
  U: 32,
  E: 64,
  W: 128,
  C: 128,
  A: 256,
};
const ACE_SHIFT = 6;

/** Takes a TCP packet from its flags on. @param ports what was written before */
export function parseTcp(scanner: Scanner, ports?: Ports): TcpPacket {
  const flags = parseFlags(scanner);
  const packet: TcpPacket = { protocol: "tcp", flags, ...parseSequence(scanner), options: [] };
  if (ports !== undefined) packet.ports = ports;
  if (scanner.acceptWord("ack")) packet.ack = scanner.unsigned("the number that is acknowledged");
  if (scanner.acceptWord("win")) packet.window = scanner.unsigned("a window, as it stands in the header", U16_MAX);
  if (scanner.acceptWord("urg")) packet.urgent = scanner.unsigned("an urgent pointer", U16_MAX);
  if (scanner.peek("<")) packet.options = parseOptions(scanner);
  return packet;
}

/** Takes `40000 > 8080` if it comes next; a colon may follow. */
export function parsePorts(scanner: Scanner): Ports | undefined {
  if (scanner.lookAhead(PORTS) === undefined) return undefined;
  const source = scanner.unsigned("a port", U16_MAX);
  scanner.expect(">");
  const destination = scanner.unsigned("a port", U16_MAX);
  scanner.accept(":");
  return { source, destination };
}

/** Takes `first:end(bytes)`. */
export function parseSequence(scanner: Scanner): Pick<TcpPacket, "sequence" | "sequenceEnd" | "payload"> {
  const at = scanner.next();
  const sequence = scanner.unsigned("sequence numbers and bytes, such as 1:1001(1000)");
  scanner.expect(":", "between the sequence numbers");
  const sequenceEnd = scanner.unsigned("the sequence number behind the last byte");
  scanner.expect("(", "before the bytes of payload");
  const payload = scanner.unsigned("the bytes of payload");
  scanner.expect(")", "after the bytes of payload");
  if ((sequenceEnd - sequence) >>> 0 !== payload) {
    scanner.fail(`${(sequenceEnd - sequence) >>> 0} bytes of payload, as the sequence numbers have it`, at);
  }
  return { sequence, sequenceEnd, payload };
}

function parseFlags(scanner: Scanner): number {
  const at = scanner.next();
  const what = "TCP flags (letters of FSRPEWCUA, . for ACK, - for none)";
  const text = scanner.match(FLAGS) ?? scanner.fail(what);
  if (text === "-") return 0;
  let flags = 0;
  for (const character of text) {
    // A digit is the three-bit counter of Accurate ECN, in the places of ECE, CWR and AE.
    const bits = character >= "0" && character <= "7" ? Number(character) << ACE_SHIFT : FLAG_BITS[character];
    if (bits === undefined || (flags & bits) !== 0) scanner.fail(`${what}, each once`, at);
    flags |= bits;
  }
  return flags;
}

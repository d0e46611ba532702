// Datagrams whose lengths disagree in every way: of the frame, of IPv4's header and of the whole, of a fragment's place
// and of what the transport says. With the counter that each must raise.
// Read first: RFC 791 3.1 and 3.2; RFC 1122 3.2.1 and 3.3.2; RFC 1858 and 3128 for fragments that attack.

import { HOST, PEER, ip, mac } from "../support/frames.ts";
import { seal } from "./seal.ts";

export interface LengthCase {
  protocol: number;
  /** Words of the IPv4 header, as it says. */
  words: number;
  /** Bytes of the datagram, as it says. */
  total: number;
  /** Bytes behind the Ethernet header. */
  held: number;
  /** The flags and the place of a fragment: MF is 0x2000, DF 0x4000, the rest counts 8 bytes. */
  fragment: number;
  /** What the transport says of its length: UDP's length field, words of TCP's header; ICMP and IGMP: their type. */
  says: number;
}

const PROTOCOLS = [1, 2, 6, 17, 99];
const FRAGMENTS = [0, 0x4000, 0x2000, 0x2001, 1, 2, 0x3fff, 0x1fff, 0x1ffe, 0x8000];
const SAYS: Record<number, readonly number[]> = {
  1: [0, 3, 8, 11, 12, 13],
  2: [0x11, 0x12, 0x16, 0x17, 0x22],
  6: [0, 4, 5, 6, 15],
  17: [0, 7, 8, 9, 20, 65535],
  99: [0],
};
/** Around 0, the least headers of IPv4, UDP and TCP, the longest header, a quoted datagram. */
const LENGTHS = [0, 1, 3, 4, 19, 20, 21, 23, 24, 27, 28, 29, 33, 39, 40, 41, 47, 48, 59, 60, 61, 63, 64, 79, 80, 84];

/** Every combination. @param stride every how many-th is given */
export function* lengthCases(stride = 1): Generator<LengthCase> {
  let count = 0;
  for (const held of LENGTHS) {
    for (const total of [...LENGTHS, held + 1, 1500, 65535]) {
      for (let words = 0; words < 16; words++) {
        for (const protocol of PROTOCOLS) {
          for (const says of SAYS[protocol]!) {
            for (const fragment of FRAGMENTS) {
              if (count++ % stride === 0) yield { protocol, words, total, held, fragment, says };
            }
          }
        }
      }
    }
  }
}

/** The frame of a case; its checksums are right as far as it has any. */
export function lengthFrame({ protocol, words, total, held, fragment, says }: LengthCase): Uint8Array {
  const whole = new Uint8Array(14 + Math.max(held, 84));
  const view = new DataView(whole.buffer);
  whole.set(mac(HOST.mac), 0);
  whole.set(mac(PEER.mac), 6);
  view.setUint16(12, 0x0800);
  whole[14] = 0x40 | words;
  view.setUint16(16, total);
  view.setUint16(18, 7);
  view.setUint16(20, fragment);
  whole[22] = 64;
  whole[23] = protocol;
  view.setUint32(26, ip(PEER.address));
  view.setUint32(30, ip(HOST.address));
  // Options, if there are any, are NOPs.
  const start = 14 + Math.max(words, 5) * 4;
  whole.fill(1, 34, start);
  if (protocol === 6 || protocol === 17) view.setUint32(start, (5000 << 16) | 7);
  if (protocol === 17) view.setUint16(start + 4, says);
  else if (protocol === 6) view.setUint16(start + 12, (says << 12) | 0x10);
  else whole[start] = says;
  const frame = whole.slice(0, 14 + held);
  seal(frame, true);
  return frame;
}

/** The counter that a case must raise by one. */
export function counterOf({ words, total, held, fragment, protocol }: LengthCase): string {
  if (held < 20) return "IP_IN_TRUNCATED";
  if (words < 5 || total < words * 4) return "IP_IN_HDR_ERRORS";
  if (total > held || words * 4 > held) return "IP_IN_TRUNCATED";
  if ((fragment & 0x3fff) !== 0) return "IP_REASM_REQDS";
  return protocol === 99 ? "IP_IN_UNKNOWN_PROTOS" : "IP_IN_DELIVERS";
}

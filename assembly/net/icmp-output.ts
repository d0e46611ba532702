// ICMP messages out: errors about datagrams that came in, within the rules and the rate, and replies to echoes.
// Read first: RFC 1122 section 3.2.2; RFC 1812 section 4.3.2 (what to quote, how often).

import {
  IPPROTO_ICMP,
  MIB_ICMP_OUT_DEST_UNREACHS,
  MIB_ICMP_OUT_ERRORS,
  MIB_ICMP_OUT_MSGS,
  MIB_ICMP_OUT_RATE_LIMITED,
  MIB_ICMP_OUT_TIME_EXCDS,
  SYSCTL_ICMP_RATELIMIT,
  SYSCTL_IP_DEFAULT_TTL,
} from "../layout";
import { Mbuf } from "../memory/mbuf";
import { count, nowMillis, stack, sysctl } from "../stack";
import { get16, get32, put32 } from "../wire/bytes";
import { checksum, sumBytes } from "../wire/checksum";
import {
  ICMP_BYTES,
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_REDIRECT,
  ICMP_REST,
  ICMP_SOURCE_QUENCH,
  ICMP_TIME_EXCEEDED,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
  ICMP_PARAMETER_PROBLEM,
} from "../wire/icmp";
import {
  FRAGMENT_OFFSET,
  IPV4_BYTES,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL,
  isLoopback,
  isMulticast,
  isUnicast,
} from "../wire/ipv4";
import { ipv4Output } from "./ipv4-output";
import { packetAlloc } from "./packet";
import { isBroadcast, isLocal, routeLookup, routeNetif, routeNextHop, routeSource } from "./route";

/** RFC 1812 4.3.2.3: "as much of the original datagram as possible without ... exceeding 576 bytes" */
const ERROR_BYTES_MAX: u32 = 576;
/** Errors that may go out at once (Linux: icmp_msgs_burst); SYSCTL_ICMP_RATELIMIT tells how many a second. */
const BURST: u32 = 50;
/** Linux gives ICMP errors the precedence of network control (RFC 1812 4.3.2.5). */
const ERROR_TOS: u32 = 0xc0;

/** Fills the bucket of errors. */
export function icmpInit(): void {
  stack.icmpTokens = BURST;
  stack.icmpMillis = nowMillis;
}

/** Takes a token for one error; false when the rate is reached. */
function mayReport(): bool {
  const rate = sysctl(SYSCTL_ICMP_RATELIMIT);
  const elapsed = nowMillis - stack.icmpMillis;
  const earned = (u64(elapsed) * u64(rate)) / 1000;
  if (earned > 0) {
    stack.icmpTokens = u32(min(u64(stack.icmpTokens) + earned, u64(BURST)));
    stack.icmpMillis = nowMillis;
  }
  if (rate == 0 || stack.icmpTokens == 0) return false;
  stack.icmpTokens--;
  return true;
}

/**
 * Reports an error to the sender of a datagram, unless RFC 1122 3.2.2 or the rate forbids it. The datagram's IP header
 * stands at `header`; of what follows it, `available` bytes lie at `payload`. `rest` is the second word of the message
 * (the MTU, or the pointer in its high byte). The caller has made sure that it came in no link-layer broadcast.
 */
export function icmpError(header: usize, payload: usize, available: u32, type: u32, code: u32, rest: u32): void {
  if (!mayBeReported(header, payload, available)) return;
  if (!mayReport()) {
    count(MIB_ICMP_OUT_RATE_LIMITED);
    return;
  }
  const source = get32(header + IPV4_SOURCE);
  const destination = get32(header + IPV4_DESTINATION);
  const routed = routeLookup(source);
  const m = routed ? packetAlloc() : null;
  if (m === null) {
    count(MIB_ICMP_OUT_ERRORS);
    return;
  }
  const headerBytes = (u32(load<u8>(header)) & 15) << 2;
  const held = min(available, max(get16(header + IPV4_TOTAL), headerBytes) - headerBytes);
  const quoted = min(held, ERROR_BYTES_MAX - IPV4_BYTES - ICMP_BYTES - headerBytes);
  const p = usize(m.data);
  memory.copy(p + ICMP_BYTES, header, headerBytes);
  memory.copy(p + ICMP_BYTES + headerBytes, payload, quoted);
  store<u8>(p, u8(type), ICMP_TYPE);
  store<u8>(p, u8(code), ICMP_CODE);
  put32(p + ICMP_REST, rest);
  m.dataLen = ICMP_BYTES + headerBytes + quoted;
  m.pktLen = m.dataLen;
  switch (type) {
    case ICMP_UNREACHABLE:
      count(MIB_ICMP_OUT_DEST_UNREACHS);
      break;
    case ICMP_TIME_EXCEEDED:
      count(MIB_ICMP_OUT_TIME_EXCDS);
      break;
  }
  // RFC 1122 3.2.2: the source is the address that the datagram was sent to, if that is one host's.
  icmpSend(m, isLocal(destination) ? destination : routeSource, source, ERROR_TOS);
}

/** Seals an ICMP message in one mbuf and sends it along the route that was just looked up. */
export function icmpSend(m: Mbuf, source: u32, destination: u32, tos: u32): void {
  const p = usize(m.data);
  store<u16>(p, 0, ICMP_CHECKSUM);
  store<u16>(p, u16(checksum(sumBytes(p, m.dataLen))), ICMP_CHECKSUM);
  count(MIB_ICMP_OUT_MSGS);
  const ttl = sysctl(SYSCTL_IP_DEFAULT_TTL);
  ipv4Output(m, routeNetif, routeNextHop, source, destination, IPPROTO_ICMP, tos, ttl, 0);
}

/** RFC 1122 3.2.2: no error about an error, a broadcast or multicast, a later fragment, or from no single host. */
function mayBeReported(header: usize, payload: usize, available: u32): bool {
  const source = get32(header + IPV4_SOURCE);
  const destination = get32(header + IPV4_DESTINATION);
  if ((!isUnicast(source) && !isLoopback(source)) || isBroadcast(source)) return false;
  if (isMulticast(destination) || isBroadcast(destination)) return false;
  if (get16(header + IPV4_FRAGMENT) & FRAGMENT_OFFSET) return false;
  if (load<u8>(header, IPV4_PROTOCOL) != IPPROTO_ICMP) return true;
  return available >= ICMP_BYTES && !isError(load<u8>(payload));
}

/** Types that are errors, or that nobody knows. */
function isError(type: u32): bool {
  switch (type) {
    case ICMP_UNREACHABLE:
    case ICMP_SOURCE_QUENCH:
    case ICMP_REDIRECT:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETER_PROBLEM:
      return true;
    default:
      return type > 18;
  }
}

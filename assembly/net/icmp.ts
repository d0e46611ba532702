// ICMP in: echoes are answered, errors are brought to the socket whose datagram they quote.
// Read first: RFC 792; RFC 1122 section 3.2.2; RFC 5927 (ICMP attacks against TCP).

import {
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  MIB_ICMP_IN_CSUM_ERRORS,
  MIB_ICMP_IN_DEST_UNREACHS,
  MIB_ICMP_IN_ECHOS,
  MIB_ICMP_IN_ECHO_REPS,
  MIB_ICMP_IN_ERRORS,
  MIB_ICMP_IN_MSGS,
  MIB_ICMP_IN_OTHERS,
  MIB_ICMP_IN_TIME_EXCDS,
  MIB_ICMP_OUT_ECHO_REPS,
  MIB_ICMP_OUT_ERRORS,
  MIB_ICMP_OUT_MSGS,
  SYSCTL_ICMP_ECHO_IGNORE_ALL,
  SYSCTL_IP_DEFAULT_TTL,
} from "../layout";
import { Mbuf } from "../memory/mbuf";
import { count, sysctl } from "../stack";
import { tcpIcmpError } from "../tcp/icmp-error";
import { get16, get32 } from "../wire/bytes";
import { checksumAdjust, fold } from "../wire/checksum";
import {
  ICMP_BYTES,
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMP_MTU,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
  UNREACHABLE_FRAGMENT,
  UNREACHABLE_HOST,
} from "../wire/icmp";
import {
  FRAGMENT_OFFSET,
  IPV4_BYTES,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL,
} from "../wire/ipv4";
import { icmpError } from "./icmp-output";
import { TO_UNICAST } from "./ipv4-input";
import { ipv4Output } from "./ipv4-output";
import { Netif } from "./netif";
import { contiguous, packetCopy, packetSum } from "./packet";
import { pmtuPlateau } from "./pmtu";
import { isLocal, routeLookup, routeNetif, routeNextHop } from "./route";
import { udpIcmpError } from "./udp-error";

/** Bytes of the transport's header that every error quotes (RFC 792: "64 bits of data"). */
const QUOTED_MIN: u32 = 8;
/** A smaller MTU than RFC 791 asks of every link is nonsense. */
const MTU_MIN: u32 = 68;

/** Takes an ICMP message of `length` bytes at `segment` in mbuf `m`. */
export function icmpInput(
  _nif: Netif,
  m: Mbuf,
  source: u32,
  destination: u32,
  segment: usize,
  length: u32,
  tos: u32,
  kind: u32,
): void {
  count(MIB_ICMP_IN_MSGS);
  if (length < ICMP_BYTES || contiguous(m, segment) < ICMP_BYTES) {
    count(MIB_ICMP_IN_ERRORS);
    return;
  }
  if (fold(packetSum(m, segment, length)) != 0xffff) {
    count(MIB_ICMP_IN_CSUM_ERRORS);
    count(MIB_ICMP_IN_ERRORS);
    return;
  }
  const type = u32(load<u8>(segment, ICMP_TYPE));
  switch (type) {
    case ICMP_ECHO:
      count(MIB_ICMP_IN_ECHOS);
      // RFC 1122 3.2.2.6: an echo to a broadcast or multicast address may be silently discarded
      if (kind == TO_UNICAST && !sysctl(SYSCTL_ICMP_ECHO_IGNORE_ALL))
        echo(m, source, destination, segment, length, tos);
      return;
    case ICMP_ECHO_REPLY:
      count(MIB_ICMP_IN_ECHO_REPS);
      return;
    case ICMP_UNREACHABLE:
      count(MIB_ICMP_IN_DEST_UNREACHS);
      break;
    case ICMP_TIME_EXCEEDED:
      count(MIB_ICMP_IN_TIME_EXCDS);
      break;
    case ICMP_PARAMETER_PROBLEM:
      count(MIB_ICMP_IN_OTHERS);
      break;
    default:
      // Source quench (RFC 6633), redirects (they serve spoofing) and what nobody knows are ignored.
      count(MIB_ICMP_IN_OTHERS);
      return;
  }
  if (kind != TO_UNICAST || !errorIn(m, source, segment, length, type)) count(MIB_ICMP_IN_ERRORS);
}

/** Answers an echo with the same data; they may be of any length. */
function echo(m: Mbuf, source: u32, destination: u32, segment: usize, length: u32, tos: u32): void {
  const reply = routeLookup(source) ? packetCopy(m, segment, 0, length, 0) : null;
  if (reply === null) {
    count(MIB_ICMP_OUT_ERRORS);
    return;
  }
  const p = usize(reply.data);
  const before = u32(load<u16>(p));
  store<u8>(p, u8(ICMP_ECHO_REPLY), ICMP_TYPE);
  const sum = checksumAdjust(load<u16>(p, ICMP_CHECKSUM), before, load<u16>(p));
  // Where nothing but zeros is left, 0 would be wrong; all ones is right wherever 0 is.
  store<u16>(p, sum == 0 ? 0xffff : u16(sum), ICMP_CHECKSUM);
  count(MIB_ICMP_OUT_MSGS);
  count(MIB_ICMP_OUT_ECHO_REPS);
  const ttl = sysctl(SYSCTL_IP_DEFAULT_TTL);
  ipv4Output(reply, routeNetif, routeNextHop, destination, source, IPPROTO_ICMP, tos, ttl, 0);
}

/** Brings an error message to whom it concerns; false when it cannot be one about a datagram of ours. */
function errorIn(m: Mbuf, from: u32, segment: usize, length: u32, type: u32): bool {
  const code = u32(load<u8>(segment, ICMP_CODE));
  const quoted = segment + ICMP_BYTES;
  const available = min(length, contiguous(m, segment)) - ICMP_BYTES;
  if (available < IPV4_BYTES + QUOTED_MIN) return false;
  let mtu: u32 = 0;
  if (type == ICMP_UNREACHABLE && code == UNREACHABLE_FRAGMENT) {
    const total = get16(quoted + IPV4_TOTAL);
    mtu = get16(segment + ICMP_MTU);
    if (mtu == 0) mtu = pmtuPlateau(total);
    if (mtu < MTU_MIN || mtu >= total) return false;
  }
  return icmpNotify(type, code, quoted, available, mtu, from);
}

/**
 * Tells the socket that sent a datagram about an error: `available` bytes of the datagram stand at `header`.
 * Returns false when it is none of ours. The transport checks the rest (ports, TCP's sequence number) and, for
 * "fragmentation needed", calls pmtuUpdate() when it believes the message.
 */
function icmpNotify(type: u32, code: u32, header: usize, available: u32, mtu: u32, from: u32): bool {
  const first = u32(load<u8>(header));
  const headerBytes = (first & 15) << 2;
  if (first >>> 4 != 4 || headerBytes < IPV4_BYTES || available < headerBytes + QUOTED_MIN) return false;
  if (get16(header + IPV4_FRAGMENT) & FRAGMENT_OFFSET) return false;
  const source = get32(header + IPV4_SOURCE);
  const destination = get32(header + IPV4_DESTINATION);
  if (!isLocal(source)) return false;
  const segment = header + headerBytes;
  const length = available - headerBytes;
  switch (u32(load<u8>(header, IPV4_PROTOCOL))) {
    case IPPROTO_TCP:
      tcpIcmpError(type, code, source, destination, segment, length, mtu, from);
      return true;
    case IPPROTO_UDP:
      return udpIcmpError(type, code, source, destination, segment, length, mtu, from);
    default:
      return true;
  }
}

/** No neighbour answered for a packet (data at its IP header): its sender is told, whether here or elsewhere. */
export function hostUnreachable(m: Mbuf): void {
  const header = usize(m.data);
  const headerBytes = (u32(load<u8>(header)) & 15) << 2;
  const source = get32(header + IPV4_SOURCE);
  if (isLocal(source)) {
    icmpNotify(ICMP_UNREACHABLE, UNREACHABLE_HOST, header, m.dataLen, 0, source);
    return;
  }
  icmpError(header, header + headerBytes, m.dataLen - headerBytes, ICMP_UNREACHABLE, UNREACHABLE_HOST, 0);
}

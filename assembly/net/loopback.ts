// The loopback: packets to own addresses, and the own copies of group datagrams, wait here for the next poll.
// Read first: RFC 1122 section 3.2.1.3 (g).

import {
  ENOBUFS,
  MIB_ETH_OUT_QUEUE_DROPS,
  RX_IP_GOOD,
  RX_L4_GOOD,
  RX_LOOPED,
  RX_LRO,
  TX_L4_CSUM,
  TX_TSO,
} from "../layout";
import { Mbuf, mbufFree } from "../memory/mbuf";
import { group } from "../steer/group";
import { handOver, handOverEnd, steerBegin, steerEnd } from "../steer/hand-over";
import { count, stack } from "../stack";
import { ipv4Input } from "./ipv4-input";
import { Netif, netifAt } from "./netif";
import { packetOwn } from "./packet";

/** Packets that wait at most. */
const LOOPBACK_MAX: u32 = 512;

/**
 * Queues a packet (data at its IP header) that will arrive by `nif` at the next poll. Takes the mbuf in any case.
 * Returns 0 or -ENOBUFS (counted).
 */
export function loopbackTransmit(nif: Netif, m: Mbuf): i32 {
  const lo = netifAt(0);
  if (lo.txCount >= LOOPBACK_MAX || !packetOwn(m)) {
    count(MIB_ETH_OUT_QUEUE_DROPS);
    mbufFree(m);
    return -ENOBUFS;
  }
  // A checksum that was left to a NIC was never at risk.
  const ol = m.olFlags;
  m.olFlags = RX_LOOPED | RX_IP_GOOD | (ol & TX_L4_CSUM ? RX_L4_GOOD : 0) | (ol & TX_TSO ? RX_LRO : 0);
  m.port = u16(nif.index);
  m.user0 = 0;
  const self = u32(changetype<usize>(m));
  if (stack.loopTail != 0) changetype<Mbuf>(stack.loopTail).user0 = self;
  else stack.loopHead = self;
  stack.loopTail = self;
  lo.txCount++;
  return 0;
}

/** Receives the packets that were queued before this call; what they cause waits for the next. Returns how many. */
export function loopbackRx(): u32 {
  let at = stack.loopHead;
  if (at == 0) return 0;
  const lo = netifAt(0);
  const packets = lo.txCount;
  stack.loopHead = 0;
  stack.loopTail = 0;
  lo.txCount = 0;
  while (at != 0) {
    const m = changetype<Mbuf>(at);
    at = m.user0;
    const nif = netifAt(m.port);
    if (group != 0) steerBegin(m);
    const kept = ipv4Input(nif, m);
    if (group != 0 && steerEnd()) handOver(nif.index, m);
    else if (!kept) mbufFree(m);
  }
  if (group != 0) handOverEnd();
  return packets;
}

/** True when packets wait for loopbackRx(): poll again at once. */
export function loopbackPending(): bool {
  return stack.loopHead != 0;
}

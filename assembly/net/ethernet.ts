// Ethernet frames in: length, addresses, type. Each frame that goes no further is counted once.
// Read first: RFC 894; RFC 1122 section 2.4 (link layer requirements).

import {
  MIB_ETH_IN_BYTES,
  MIB_ETH_IN_ERRORS,
  MIB_ETH_IN_FRAMES,
  MIB_ETH_IN_OTHER_HOST,
  MIB_ETH_IN_UNKNOWN,
  RX_LINK_MULTICAST,
} from "../layout";
import { Mbuf } from "../memory/mbuf";
import { count, countBy } from "../stack";
import { group } from "../steer/group";
import { copyToOthers } from "../steer/hand-over";
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHER_BYTES,
  ETHER_SOURCE,
  ETHER_TYPE,
  MAC_BROADCAST,
  MAC_GROUP,
  MAC_MASK,
} from "../wire/ethernet";
import { arpInput } from "./arp";
import { ipv4Input } from "./ipv4-input";
import { Netif } from "./netif";

/** The first three octets of the MAC addresses of IPv4 multicast groups, and the bit behind them, which is 0. */
const GROUP_PREFIX: u64 = 0x5e0001;
const GROUP_PREFIX_MASK: u64 = 0x80ffffff;

/** Takes a received frame. Returns true when it kept the mbuf (it was forwarded), else the caller frees it. */
export function etherInput(nif: Netif, m: Mbuf): bool {
  count(MIB_ETH_IN_FRAMES);
  countBy(MIB_ETH_IN_BYTES, m.pktLen);
  if (m.dataLen < ETHER_BYTES) {
    count(MIB_ETH_IN_ERRORS);
    return false;
  }
  const p = usize(m.data);
  const destination = load<u64>(p) & MAC_MASK;
  if (destination != nif.mac) {
    if (!isForAll(destination)) {
      count(MIB_ETH_IN_OTHER_HOST);
      return false;
    }
    if (group != 0) copyToOthers(nif.index, m, p, m.pktLen);
    m.olFlags |= RX_LINK_MULTICAST;
  }
  // A source is never a group (IEEE 802.3 3.2.5)
  if (load<u8>(p, ETHER_SOURCE) & u8(MAC_GROUP)) {
    count(MIB_ETH_IN_ERRORS);
    return false;
  }
  const type = u32(load<u16>(p, ETHER_TYPE));
  m.data = u32(p) + ETHER_BYTES;
  m.dataLen -= ETHER_BYTES;
  m.pktLen -= ETHER_BYTES;
  if (type == ETHERTYPE_IPV4) return ipv4Input(nif, m);
  if (type == ETHERTYPE_ARP) arpInput(nif, m);
  else count(MIB_ETH_IN_UNKNOWN);
  return false;
}

/** The broadcast address, or one of an IPv4 group; whether the group was joined is decided by its IPv4 address. */
function isForAll(destination: u64): bool {
  return destination == MAC_BROADCAST || (destination & GROUP_PREFIX_MASK) == GROUP_PREFIX;
}

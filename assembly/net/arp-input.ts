// ARP packets in: answers to who asks for us, news about neighbours, hosts that use our address.
// Read first: RFC 826 ("Packet Reception"), with what Linux's arp_process() makes of it against spoofing.

import {
  ARP_INCOMPLETE,
  ARP_PROBE,
  MIB_ARP_IN_ERRORS,
  MIB_ARP_IN_REPLIES,
  MIB_ARP_IN_REQUESTS,
  RX_COPY,
  RX_LINK_MULTICAST,
} from "../layout";
import { Mbuf } from "../memory/mbuf";
import { count, nowMillis } from "../stack";
import { group } from "../steer/group";
import { copyToOthers } from "../steer/hand-over";
import {
  ARP_BYTES,
  ARP_ETHERNET_IPV4,
  ARP_ETHERNET_IPV4_MASK,
  ARP_OPERATION,
  ARP_REPLY,
  ARP_REQUEST,
  ARP_SENDER_IP,
  ARP_SENDER_MAC,
  ARP_TARGET_IP,
} from "../wire/arp";
import { get16, get32 } from "../wire/bytes";
import { ETHER_BYTES, MAC_GROUP, MAC_MASK, getMac } from "../wire/ethernet";
import { isUnicast } from "../wire/ipv4";
import { LOCK_MILLIS, entryCreate, entryFind, entryUpdate } from "./arp";
import { addressConflict } from "./arp-address";
import { arpSendReply } from "./arp-packet";
import { Netif } from "./netif";

/** Takes an ARP packet (data behind the Ethernet header). */
export function arpInput(nif: Netif, m: Mbuf): void {
  const p = usize(m.data);
  if (m.dataLen < ARP_BYTES || (load<u64>(p) & ARP_ETHERNET_IPV4_MASK) != ARP_ETHERNET_IPV4) {
    count(MIB_ARP_IN_ERRORS);
    return;
  }
  const operation = get16(p + ARP_OPERATION);
  const mac = getMac(p + ARP_SENDER_MAC);
  const sender = get32(p + ARP_SENDER_IP);
  const target = get32(p + ARP_TARGET_IP);
  // A sender of 0 is a probe (RFC 5227 2.1.1); a group is nobody's address.
  const badSender = mac == 0 || (mac & MAC_GROUP) != 0 || (sender != 0 && !isUnicast(sender));
  if (badSender || (operation != ARP_REQUEST && operation != ARP_REPLY)) {
    count(MIB_ARP_IN_ERRORS);
    return;
  }
  count(operation == ARP_REQUEST ? MIB_ARP_IN_REQUESTS : MIB_ARP_IN_REPLIES);
  if (mac == nif.mac) return; // our own, come back
  // A group's frame has been copied already.
  if (group != 0 && !(m.olFlags & RX_LINK_MULTICAST))
    copyToOthers(nif.index, m, p - ETHER_BYTES, m.pktLen + ETHER_BYTES);
  if (addressConflict(nif, mac, sender, target, (m.olFlags & RX_COPY) == 0)) return;
  if (nif.address == 0) return;
  const forUs = target == nif.address;
  if (sender != 0) learn(nif, mac, sender, operation, forUs);
  if (operation == ARP_REQUEST && forUs && !(m.olFlags & RX_COPY)) arpSendReply(nif, nif.address, mac, sender);
}

/**
 * RFC 826: the sender's address is noted when it is known already ("Merge_flag"), or when it asks for us.
 * A known MAC address is not changed again within LOCK_MILLIS, unless we asked.
 */
function learn(nif: Netif, mac: u64, sender: u32, operation: u32, forUs: bool): void {
  const e = entryFind(nif, sender);
  if (e === null) {
    if (operation != ARP_REQUEST || !forUs || !isNeighbour(nif, sender)) return;
    const fresh = entryCreate(nif, sender, true);
    if (fresh === null) return;
    fresh.state = u8(ARP_INCOMPLETE);
    entryUpdate(fresh, mac, false);
    return;
  }
  const asked = e.state == ARP_INCOMPLETE || e.state == ARP_PROBE;
  const same = e.state != ARP_INCOMPLETE && (e.head & MAC_MASK) == mac;
  if (!asked && !same && nowMillis - e.changedMillis < LOCK_MILLIS) return;
  entryUpdate(e, mac, operation == ARP_REPLY && forUs && (asked || same));
}

function isNeighbour(nif: Netif, address: u32): bool {
  return ((address ^ nif.address) & nif.netmask) == 0 && address != nif.broadcast;
}

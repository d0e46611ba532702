// ARP packets out: requests, probes, announcements, replies.
// Read first: RFC 826; RFC 5227 section 1.1 for what tells a probe from an announcement.

import { MIB_ARP_OUT_ANNOUNCEMENTS, MIB_ARP_OUT_PROBES, MIB_ARP_OUT_REPLIES, MIB_ARP_OUT_REQUESTS } from "../layout";
import { count } from "../stack";
import {
  ARP_BYTES,
  ARP_ETHERNET_IPV4,
  ARP_REPLY,
  ARP_REQUEST,
  ARP_SENDER_IP,
  ARP_SENDER_MAC,
  ARP_TARGET_IP,
  ARP_TARGET_MAC,
} from "../wire/arp";
import { put32 } from "../wire/bytes";
import { ETHERTYPE_ARP, ETHER_BYTES, MAC_BROADCAST, putEther, putMac } from "../wire/ethernet";
import { Netif, netifTransmit } from "./netif";
import { packetAlloc } from "./packet";

/** Asks who has `address`; `to` is everybody, or the neighbour that is to confirm it. */
export function arpRequest(nif: Netif, address: u32, to: u64): void {
  count(MIB_ARP_OUT_REQUESTS);
  send(nif, ARP_REQUEST, to, nif.address, 0, address);
}

/** Asks whether anybody has `address`, as a sender that has none yet. */
export function arpSendProbe(nif: Netif, address: u32): void {
  count(MIB_ARP_OUT_PROBES);
  send(nif, ARP_REQUEST, MAC_BROADCAST, 0, 0, address);
}

/** Tells everybody that `address` is ours. */
export function arpSendAnnouncement(nif: Netif, address: u32): void {
  count(MIB_ARP_OUT_ANNOUNCEMENTS);
  send(nif, ARP_REQUEST, MAC_BROADCAST, address, 0, address);
}

/** Answers a request of the host `mac` with the address `target`: `address` is ours. */
export function arpSendReply(nif: Netif, address: u32, mac: u64, target: u32): void {
  count(MIB_ARP_OUT_REPLIES);
  send(nif, ARP_REPLY, mac, address, mac, target);
}

function send(nif: Netif, operation: u32, to: u64, sender: u32, targetMac: u64, target: u32): void {
  const m = packetAlloc();
  if (m === null) return;
  const p = usize(m.data);
  putEther(p, to, nif.mac, ETHERTYPE_ARP);
  const a = p + ETHER_BYTES;
  store<u64>(a, ARP_ETHERNET_IPV4 | (u64(operation) << 56));
  putMac(a + ARP_SENDER_MAC, nif.mac);
  put32(a + ARP_SENDER_IP, sender);
  putMac(a + ARP_TARGET_MAC, targetMac);
  put32(a + ARP_TARGET_IP, target);
  m.dataLen = ETHER_BYTES + ARP_BYTES;
  m.pktLen = ETHER_BYTES + ARP_BYTES;
  netifTransmit(nif, m);
}

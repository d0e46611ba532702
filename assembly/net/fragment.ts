// Fragmentation: a datagram cut to the MTU, its own or one that is forwarded (which may be a fragment already).
// Read first: RFC 791 section 3.2 ("An Example Fragmentation Procedure").

import { MIB_IP_FRAG_CREATES, MIB_IP_FRAG_FAILS, MIB_IP_FRAG_OKS, ENOBUFS } from "../layout";
import { Mbuf, mbufPrepend } from "../memory/mbuf";
import { count } from "../stack";
import { checksum, sumBytes } from "../wire/checksum";
import { get16, put16 } from "../wire/bytes";
import { ETHER_BYTES } from "../wire/ethernet";
import {
  FRAGMENT_MF,
  FRAGMENT_OFFSET,
  IPOPT_COPIED,
  IPOPT_END,
  IPOPT_NOP,
  IPV4_BYTES,
  IPV4_CHECKSUM,
  IPV4_FRAGMENT,
  IPV4_OPTIONS,
  IPV4_TOTAL,
} from "../wire/ipv4";
import { arpOutput } from "./arp";
import { loopbackTransmit } from "./loopback";
import { Netif } from "./netif";
import { packetCopy } from "./packet";

/**
 * Sends the datagram in `m` (data at its IP header, which is valid) in fragments of at most `mtu` bytes, 68 or more.
 * The caller keeps `m`. Its transport checksum must be complete. Returns 0 or -ENOBUFS (some fragments may have left).
 */
export function ipv4Fragment(m: Mbuf, nif: Netif, nextHop: u32, mtu: u32): i32 {
  const header = usize(m.data);
  const headerBytes = (u32(load<u8>(header)) & 15) << 2;
  const payload = m.pktLen - headerBytes;
  const field = get16(header + IPV4_FRAGMENT);
  const step = (mtu - headerBytes) & ~7;
  let done: u32 = 0;
  while (done < payload) {
    const n = min(payload - done, step);
    const f = packetCopy(m, header + headerBytes, done, n, headerBytes - IPV4_BYTES);
    if (f === null) {
      count(MIB_IP_FRAG_FAILS);
      return -ENOBUFS;
    }
    const h = mbufPrepend(f, headerBytes);
    memory.copy(h, header, headerBytes);
    if (done > 0 && headerBytes > IPV4_BYTES) blankOptions(h + IPV4_OPTIONS, h + headerBytes);
    const more = done + n < payload || (field & FRAGMENT_MF) != 0;
    put16(h + IPV4_FRAGMENT, ((field & FRAGMENT_OFFSET) + (done >>> 3)) | (more ? FRAGMENT_MF : 0));
    put16(h + IPV4_TOTAL, headerBytes + n);
    store<u16>(h, 0, IPV4_CHECKSUM);
    store<u16>(h, u16(checksum(sumBytes(h, headerBytes))), IPV4_CHECKSUM);
    f.l2Len = u8(ETHER_BYTES);
    f.l3Len = u8(headerBytes);
    count(MIB_IP_FRAG_CREATES);
    const sent = nif.loopback ? loopbackTransmit(nif, f) : arpOutput(nif, nextHop, f);
    if (sent < 0) {
      count(MIB_IP_FRAG_FAILS);
      return sent;
    }
    done += n;
  }
  count(MIB_IP_FRAG_OKS);
  return 0;
}

/** "Some options ... must be carried in the first fragment only": they become no-operations in the others. */
function blankOptions(p: usize, end: usize): void {
  while (p < end) {
    const type = u32(load<u8>(p));
    if (type == IPOPT_END) return;
    if (type == IPOPT_NOP) {
      p++;
      continue;
    }
    if (p + 1 >= end) return;
    const length = u32(load<u8>(p, 1));
    if (length < 2 || p + length > end) return;
    if (!(type & IPOPT_COPIED)) memory.fill(p, u8(IPOPT_NOP), length);
    p += length;
  }
}

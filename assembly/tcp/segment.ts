// The segment under the microscope: parsed once, checked once; then every part of TCP reads these words.
// They hold from one tcpInput() to the next and carry no state between segments.

import { Mbuf } from "../memory/mbuf";
import { get16, get32 } from "../wire/bytes";
import {
  FASTOPEN_MAGIC,
  OPT_END,
  OPT_EXPERIMENT,
  OPT_FASTOPEN,
  OPT_MSS,
  OPT_NOP,
  OPT_SACK,
  OPT_SACK_PERMITTED,
  OPT_TIMESTAMPS,
  OPT_WSCALE,
  TCP_ACK_SEQ,
  TCP_FLAGS,
  TCP_OPTIONS,
  TCP_SEQ,
  TCP_URGENT,
  TCP_WINDOW,
  TIMESTAMPS_WORD,
} from "../wire/tcp";
import { FIN, RX_LRO, SYN } from "../layout";

export let segSeq: u32 = 0;
export let segAck: u32 = 0;
export let segFlags: u32 = 0;
/** Window field, not scaled. */
export let segWindow: u32 = 0;
export let segUrgent: u32 = 0;
/** Payload: address of its first byte in the first mbuf, bytes in all, and the mbuf it starts in. */
export let segData: usize = 0;
export let segDataLen: u32 = 0;
export let segMbuf: Mbuf = changetype<Mbuf>(0);
/** Payload bytes of each of the segments that the NIC has put together to this one; 0: of none. */
export let segUnit: u32 = 0;
/** IP type of service, for ECN. */
export let segTos: u32 = 0;
/** Options: presence, then values. */
export let segHasTs: bool = false;
export let segTsVal: u32 = 0;
export let segTsEcr: u32 = 0;
export let segMss: u32 = 0;
export let segScale: i32 = -1;
export let segSackPermitted: bool = false;
export let segSackAt: usize = 0;
export let segSackCount: u32 = 0;
/** Fast Open's cookie on a SYN (RFC 7413 4.1.1): -1 without the option, 0 for a request, else bytes of the cookie. */
export let segCookieBytes: i32 = -1;
export let segCookieAt: usize = 0;
/** The cookie came as an experimental option. */
export let segCookieExp: bool = false;

/** Parses header and options; the caller has checked that `headerBytes` (20 to 60) lie at `header`. */
export function segmentParse(m: Mbuf, header: usize, headerBytes: u32, length: u32, tos: u32): void {
  segMbuf = m;
  segUnit = m.olFlags & RX_LRO ? u32(m.tsoMss) : 0;
  segSeq = get32(header + TCP_SEQ);
  segAck = get32(header + TCP_ACK_SEQ);
  segFlags = load<u8>(header, TCP_FLAGS);
  segWindow = get16(header + TCP_WINDOW);
  segUrgent = get16(header + TCP_URGENT);
  segData = header + headerBytes;
  segDataLen = length - headerBytes;
  segTos = tos;
  segHasTs = false;
  segSackCount = 0;
  if (segFlags & SYN) segmentDefaults();
  if (headerBytes == 20) return;
  if (headerBytes == 32 && load<u32>(header, TCP_OPTIONS) == TIMESTAMPS_WORD) {
    segHasTs = true;
    segTsVal = get32(header + TCP_OPTIONS + 4);
    segTsEcr = get32(header + TCP_OPTIONS + 8);
    return;
  }
  parseOptions(header + TCP_OPTIONS, header + headerBytes);
}

/** RFC 9293 3.2 MUST-5, MUST-6, MUST-68: any order, unknown kinds skipped, a bad length ends the list. */
function parseOptions(p: usize, end: usize): void {
  const syn = (segFlags & SYN) != 0;
  while (p < end) {
    const kind = u32(load<u8>(p));
    if (kind == OPT_END) return;
    if (kind == OPT_NOP) {
      p++;
      continue;
    }
    if (p + 2 > end) return;
    const length = u32(load<u8>(p, 1));
    if (length < 2 || p + length > end) return;
    switch (kind) {
      case OPT_MSS:
        if (length == 4 && syn) segMss = get16(p + 2);
        break;
      case OPT_WSCALE:
        // "the receiver MUST ... use 14" when a larger shift count is received (RFC 7323 2.3)
        if (length == 3 && syn) segScale = min<i32>(load<u8>(p, 2), 14);
        break;
      case OPT_SACK_PERMITTED:
        if (length == 2 && syn) segSackPermitted = true;
        break;
      case OPT_TIMESTAMPS:
        if (length == 10) {
          segHasTs = true;
          segTsVal = get32(p + 2);
          segTsEcr = get32(p + 6);
        }
        break;
      case OPT_SACK:
        if (length >= 10 && ((length - 2) & 7) == 0 && !syn) {
          segSackAt = p + 2;
          segSackCount = (length - 2) >>> 3;
        }
        break;
      case OPT_FASTOPEN:
        if (syn) takeCookie(p + 2, i32(length) - 2, false);
        break;
      case OPT_EXPERIMENT:
        if (length >= 4 && syn && get16(p + 2) == FASTOPEN_MAGIC) takeCookie(p + 4, i32(length) - 4, true);
        break;
      default:
        break;
    }
    p += length;
  }
}

/** "A cookie ... 4 to 16 bytes, ... an even number" (RFC 7413 4.1.1); what is no cookie is as if it were not there. */
function takeCookie(at: usize, bytes: i32, exp: bool): void {
  if (bytes & 1) return;
  segCookieBytes = bytes == 0 || (bytes >= 4 && bytes <= 16) ? bytes : -1;
  segCookieAt = at;
  segCookieExp = exp;
}

/** What a SYN without options says. */
function segmentDefaults(): void {
  segMss = 0;
  segScale = -1;
  segSackPermitted = false;
  segCookieBytes = -1;
}

/** Sequence space the segment takes: payload, SYN and FIN. */
export function segLength(): u32 {
  return segDataLen + ((segFlags & SYN) >>> 1) + (segFlags & FIN);
}

/** Cuts `bytes` of sequence space from the front (SYN first); the caller knows that there are as many. */
export function segTrimFront(bytes: u32): void {
  if (segFlags & SYN) {
    segFlags &= ~SYN;
    segSeq++;
    bytes--;
  }
  segSeq += bytes;
  if (bytes > segDataLen) bytes = segDataLen;
  segDataLen -= bytes;
  let here = segMbuf.data + segMbuf.dataLen - u32(segData);
  while (bytes >= here && segDataLen > 0) {
    bytes -= here;
    segMbuf = changetype<Mbuf>(segMbuf.next);
    segData = segMbuf.data;
    here = segMbuf.dataLen;
  }
  segData += bytes;
}

// UDP sockets whose writers wait: no mbuf was to be had, or no chunk for what MSG_MORE holds back. While one waits, the
// stack looks at each beat whether that has changed. Linux waits for SO_SNDBUF, which packets in its queues count
// against; here what they hold is the mbufs of the stack.
// Read first: udp(7); memory/tx-pool.ts; memory/chunk.ts.

import { EAGAIN, EPOLLOUT, KIND_UDP, MIB_UDP_SNDBUF_ERRORS, POOL_SOCKET } from "../layout";
import { chunkMay } from "../memory/chunk";
import { txIsEmpty } from "../memory/tx-pool";
import { socketNotify } from "../socket/notify";
import { SF_WANT_SPACE } from "../socket/socket";
import { count, poolAt, stack } from "../stack";
import { UdpSocket } from "./udp-socket";

/** A datagram found no memory: -EAGAIN, and the socket is told when there is some. */
export function udpWait(s: UdpSocket): i32 {
  count(MIB_UDP_SNDBUF_ERRORS);
  waits(s);
  return -EAGAIN;
}

function waits(s: UdpSocket): void {
  s.flags |= u16(SF_WANT_SPACE);
  stack.udpWaits = 1;
}

function hasMemory(s: UdpSocket): bool {
  return !txIsEmpty() && (s.corkPort == 0 || chunkMay(s.corkBytes));
}

/** May the application send a datagram now? If not, it will be told. */
export function udpWritable(s: UdpSocket): bool {
  if (hasMemory(s)) return true;
  waits(s);
  return false;
}

/** Tells those that have waited and need wait no more; called while stack.udpWaits. Returns how many. */
export function udpWaitRun(): u32 {
  const pool = poolAt(POOL_SOCKET);
  let told: u32 = 0;
  let left: u32 = 0;
  let at = usize(pool.base);
  for (let i: u32 = 0; i < pool.carved; i++, at += pool.elementBytes) {
    const s = changetype<UdpSocket>(at);
    if (s.kind != KIND_UDP || !(s.flags & SF_WANT_SPACE)) continue;
    if (!hasMemory(s)) {
      left++;
      continue;
    }
    s.flags &= ~u16(SF_WANT_SPACE);
    socketNotify(s, EPOLLOUT);
    told++;
  }
  if (left == 0) stack.udpWaits = 0;
  return told;
}

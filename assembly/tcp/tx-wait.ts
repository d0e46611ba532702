// Connections that stopped because the NIC's queue is full (Linux: TCP small queues), or for want of mbufs. They go on
// when the queue has drained, which gives mbufs back: without this a bulk sender would lose segments inside its own
// host. Read first: memory/tx-pool.ts.

import { CHUNK_BYTES, CHUNK_HEADER, MBUF_DATA_ROOM, MIB_MBUF_TX_WAITS } from "../layout";
import { Chunk } from "../memory/chunk";
import { MBUFS_AMPLE, txAvailable, txIsCalm } from "../memory/tx-pool";
import { Netif, netifFlush, netifTxRoom } from "../net/netif";
import { count, stack } from "../stack";
import { wakeWriter } from "./established";
import { inFlight } from "./scoreboard";
import { Flight, TF_TX_WAIT, Tcb } from "./tcb";
import { retransmitLost, tcpOutput } from "./transmit";

const WAITERS_MAX: u32 = 254;
/** Bytes of the list. */
export const TX_WAIT_BYTES: u32 = 8 + WAITERS_MAX * 4;
/** Places in the queue that bulk data leaves to ACKs and new connections. */
const RESERVE: u32 = 32;

/** TCP's header with all options. */
const HEADERS_MAX: u32 = 60;
/** Packets of bulk data that leave between two polls: more would push one another out of the processor's cache. */
const BEAT_MAX: u32 = 64;

/** Segments that connection `t` may hand to its NIC now. */
export function txRoom(t: Tcb): u32 {
  const nif = changetype<Netif>(t.netif);
  const mbufs = txAvailable();
  if (nif.loopback) return mbufs;
  const room = netifTxRoom(nif);
  if (room <= RESERVE || nif.txBeat >= BEAT_MAX) return 0;
  return min(mbufs, min(room - RESERVE, BEAT_MAX - nif.txBeat));
}

/** May connection `t` hand a segment of one mbuf to its NIC now, and is nothing short? */
export function txIsOpen(t: Tcb): bool {
  const nif = changetype<Netif>(t.netif);
  return txIsCalm() && (nif.loopback != 0 || (netifTxRoom(nif) > RESERVE && nif.txBeat < BEAT_MAX));
}

/** Do mbufs abound? Then nothing that may be sent in one go is too much for them. */
export function txAbounds(): bool {
  return txAvailable() >= u32(MBUFS_AMPLE);
}

/** Most mbufs that a segment of `mss` bytes takes; `gathers`: it is not copied, its payload stays where it is. */
function mbufsOf(mss: u32, gathers: bool): u32 {
  // Its header, the pieces, and two chunks that are not full; as many again, should it have to be copied after all.
  return gathers ? 4 + 2 * (mss / (CHUNK_BYTES - CHUNK_HEADER)) : 1;
}

/**
 * How many of `length` bytes, of which the first are in chunk `at`, may leave now that mbufs are few: whole segments of
 * `mss` bytes, or less than one when a segment takes more mbufs than there are. 0: none at all.
 */
export function txFit(at: u32, length: u32, mss: u32, tso: bool): u32 {
  const mbufs = txAvailable();
  if (mbufs == 0) return 0;
  const copied = <u32>MBUF_DATA_ROOM - HEADERS_MAX;
  if (tso || mss > copied) {
    const bytes = min(length, gathered(at, mbufs >>> 1));
    if (bytes >= mss) return bytes == length ? length : bytes - (bytes % mss);
    return min(length, min(mss, max(bytes, copied)));
  }
  return min(length, mbufs * mss);
}

/** Bytes of the chunks from `at` on that packets with `mbufs` mbufs can point at, and copy if they must. */
function gathered(at: u32, mbufs: u32): u32 {
  let bytes: u32 = 0;
  let left = mbufs > 2 ? mbufs - 2 : 0;
  while (at != 0 && left != 0) {
    const c = changetype<Chunk>(at);
    const own = (u32(c.length) + MBUF_DATA_ROOM - 1) / MBUF_DATA_ROOM;
    if (own > left) return bytes + left * MBUF_DATA_ROOM;
    bytes += c.length;
    left -= own;
    at = c.next;
  }
  return bytes;
}

/** How many lost segments of `mss` bytes may be sent again in one go; at least one, which may use the last mbufs. */
export function txRepairs(mss: u32, tso: bool): u32 {
  if (txAbounds()) return u32.MAX_VALUE;
  return max<u32>(txAvailable() / mbufsOf(mss, tso || mss > <u32>MBUF_DATA_ROOM - HEADERS_MAX), 1);
}

/** Notes that `t` has more to send as soon as there is room; false when the list is full. */
export function txWait(t: Tcb): bool {
  if (t.tflags & TF_TX_WAIT) return true;
  if (txAvailable() == 0) count(MIB_MBUF_TX_WAITS);
  const list = usize(stack.txWait);
  const n = load<u32>(list);
  if (n == WAITERS_MAX) return false;
  t.tflags |= TF_TX_WAIT;
  store<u32>(list + (usize(n) << 2), u32(changetype<usize>(t)), 4);
  store<u32>(list, n + 1);
  return true;
}

/**
 * Lets those that wait go on; called when a burst has left. Each has its turn before one has a second. Returns how many
 * packets left.
 */
export function txWaitRun(): u32 {
  const list = usize(stack.txWait);
  const n = load<u32>(list);
  let sent: u32 = 0;
  if (n == 0) return sent;
  // Those that stop again join behind the others, at places that this pass has read already.
  store<u32>(list, 0);
  for (let i: u32 = 0; i < n; i++) {
    const at = load<u32>(list + (usize(i) << 2), 4);
    if (at == 0) continue;
    const t = changetype<Tcb>(at);
    t.tflags &= ~TF_TX_WAIT;
    repair(t);
    sent += tcpOutput(t);
    wakeWriter(t);
  }
  if (sent > 0) netifFlush();
  return sent;
}

/** Lost segments come first, where it was for want of mbufs that they were not sent again. */
function repair(t: Tcb): void {
  if (t.flight == 0) return;
  const f = changetype<Flight>(t.flight);
  if (f.lostOut != 0 && f.retransOut < f.lostOut && inFlight(f) < t.cwnd) retransmitLost(t, f);
}

/** True when a connection waits. */
export function txWaits(): bool {
  return load<u32>(stack.txWait) != 0;
}

/** A connection goes: it waits no more. */
export function txWaitDrop(t: Tcb): void {
  t.tflags &= ~TF_TX_WAIT;
  const list = usize(stack.txWait);
  const n = load<u32>(list);
  for (let i: u32 = 0; i < n; i++) {
    const slot = list + (usize(i) << 2);
    if (load<u32>(slot, 4) == u32(changetype<usize>(t))) store<u32>(slot, 0, 4);
  }
}

// Connections that stopped because the NIC's queue is full (Linux: TCP small queues). They go on when it has drained:
// without this a bulk sender would overrun the queue and lose segments inside its own host.

import { Netif, netifFlush, netifTxRoom } from "../net/netif";
import { stack } from "../stack";
import { wakeWriter } from "./established";
import { TF_TX_WAIT, Tcb } from "./tcb";
import { tcpOutput } from "./transmit";

const WAITERS_MAX: u32 = 254;
/** Bytes of the list. */
export const TX_WAIT_BYTES: u32 = 8 + WAITERS_MAX * 4;
/** Places in the queue that bulk data leaves to ACKs and new connections. */
const RESERVE: u32 = 32;

/** Packets of bulk data that leave between two polls: more would push one another out of the processor's cache. */
const BEAT_MAX: u32 = 64;

/** Segments that connection `t` may hand to its NIC now. */
export function txRoom(t: Tcb): u32 {
  const nif = changetype<Netif>(t.netif);
  if (nif.loopback) return u32.MAX_VALUE;
  const room = netifTxRoom(nif);
  if (room <= RESERVE || nif.txBeat >= BEAT_MAX) return 0;
  return min(room - RESERVE, BEAT_MAX - nif.txBeat);
}

/** Notes that `t` has more to send as soon as there is room; false when the list is full. */
export function txWait(t: Tcb): bool {
  if (t.tflags & TF_TX_WAIT) return true;
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
    sent += tcpOutput(t);
    wakeWriter(t);
  }
  if (sent > 0) netifFlush();
  return sent;
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

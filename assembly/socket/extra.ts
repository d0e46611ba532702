// SocketExtra: the options that few sockets set, in a small chunk that is taken when the first of them is set.

import { POOL_CHUNK } from "../layout";
import { ByteQueue, Chunk, chunkFree, queueClear } from "../memory/chunk";
import { poolAlloc, poolFree } from "../memory/pool";
import { poolAt } from "../stack";
import { Socket, SocketExtra, recordQueue, stampQueue, zerocopyQueue } from "./socket";

/** The extra options of a socket, made with Linux's defaults when it has none yet; null when no chunk is left. */
export function extraOf(s: Socket): SocketExtra | null {
  if (s.extra != 0) return changetype<SocketExtra>(s.extra);
  const at = poolAlloc(poolAt(POOL_CHUNK));
  if (at == 0) return null;
  memory.fill(at, 0, offsetof<SocketExtra>());
  const extra = changetype<SocketExtra>(at);
  extra.rcvLowat = 1;
  extra.multicastTtl = 1;
  extra.multicastLoop = 1;
  s.extra = u32(at);
  return extra;
}

/** Gives the extra options and the queued errors of a socket back. Its memberships must have ended. */
export function extraFree(s: Socket): void {
  if (s.extra == 0) return;
  errorsDrop(s);
  queueClear(recordQueue(changetype<SocketExtra>(s.extra)));
  queueClear(zerocopyQueue(changetype<SocketExtra>(s.extra)));
  queueClear(stampQueue(changetype<SocketExtra>(s.extra)));
  assert(changetype<SocketExtra>(s.extra).groupCount == 0);
  poolFree(poolAt(POOL_CHUNK), s.extra);
  s.extra = 0;
}

/** Gives `to` the options of `from`, which has some, without its errors and memberships; false: no chunk left. */
export function extraCopy(from: Socket, to: Socket): bool {
  const extra = extraOf(to);
  if (extra === null) return false;
  memory.copy(changetype<usize>(extra), from.extra, offsetof<SocketExtra>());
  extra.mark = 0;
  extra.errorHead = 0;
  extra.errorTail = 0;
  extra.errorCount = 0;
  extra.groupCount = 0;
  extra.zerocopySent = 0;
  extra.recordsPassed = 0;
  clearQueue(recordQueue(extra));
  clearQueue(zerocopyQueue(extra));
  extra.stampsPassed = 0;
  clearQueue(stampQueue(extra));
  return true;
}

/** A copy of a queue's head does not own its chunks. */
function clearQueue(q: ByteQueue): void {
  q.head = 0;
  q.tail = 0;
  q.bytes = 0;
}

/** Drops what waits in the error queue (IP_RECVERR). */
export function errorsDrop(s: Socket): void {
  if (s.extra == 0) return;
  const extra = changetype<SocketExtra>(s.extra);
  while (extra.errorHead != 0) {
    const c = changetype<Chunk>(extra.errorHead);
    extra.errorHead = c.next;
    chunkFree(c);
  }
  extra.errorTail = 0;
  extra.errorCount = 0;
}

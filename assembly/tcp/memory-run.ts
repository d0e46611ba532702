// Memory has come back: those that waited for it go on, in the order of their coming, and no more of them in one beat
// than there is memory for. Who is refused again waits behind the others.
// Read first: memory-wait.ts; Linux net/core/stream.c, sk_stream_wait_memory().

import { largeChunksFree, smallChunksFree } from "../memory/chunk";
import { SF_WANT_SPACE } from "../socket/socket";
import { wakeWriter } from "./established";
import { memoryNext, memoryRound, memoryWait } from "./memory-wait";
import { sendAck } from "./output";
import { TF_NO_MEMORY, Tcb } from "./tcb";
import { newWindow } from "./window";

/** Connections that one beat looks at. */
const LOOKS_MAX: u32 = 256;
/** Small chunks that one who is woken is thought to take. */
const CHUNKS_EACH: u32 = 4;

/** One beat's part of a round. Returns how many were woken. */
export function memoryRun(): u32 {
  if (!memoryRound()) return 0;
  const most = smallChunksFree() / CHUNKS_EACH + largeChunksFree() + 1;
  let woken: u32 = 0;
  for (let looks: u32 = 0; looks < LOOKS_MAX && woken < most; looks++) {
    const at = memoryNext();
    if (at == 0) break;
    if (wake(changetype<Tcb>(usize(at)))) woken++;
  }
  return woken;
}

/** True when the connection has been served, or its writer told. */
function wake(t: Tcb): bool {
  let isServed = false;
  if (t.tflags & TF_NO_MEMORY) {
    if (newWindow(t) != 0) {
      sendAck(t);
      isServed = true;
    } else {
      memoryWait(t);
    }
  }
  if (!(t.flags & SF_WANT_SPACE)) return isServed;
  wakeWriter(t);
  return isServed || (t.flags & SF_WANT_SPACE) == 0;
}

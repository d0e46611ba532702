// Whether another thread of this process is still there. A thread that worker.terminate() ends says nothing; on Linux
// the kernel tells, elsewhere only time does.

import { existsSync, readlinkSync } from "node:fs";

/** The kernel's number of this thread; 0 where it cannot be told. */
export function ownThread(): number {
  try {
    return Number(/\/task\/(\d+)$/.exec(readlinkSync("/proc/thread-self"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** False when the thread with this number has certainly ended. */
export function isThreadAlive(thread: number): boolean {
  return thread === 0 || existsSync(`/proc/self/task/${thread}`);
}

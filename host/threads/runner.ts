// What a network can lend to a thread of its own: a stack with its application, or an ltran.
// Read first: threads.ts.

import type { CoreTrap } from "../core.ts";

/** Something that runs on the main thread or in a thread of its own. */
export interface Runner {
  readonly name: string;
  /** Which thread it runs in; "lost": in none any more, its own one has crashed. */
  thread: "main" | "worker" | "lost";
  /** What stopped it. */
  trap: CoreTrap | undefined;
  /** A time that changes with each of its beats, microseconds. */
  readonly lastBeat: number;
  /** Has a doorbell rung when something comes for it. */
  setDoorbell(bell: number): void;
  /** It is the main thread's again: what this thread knows of it may be old. */
  takeBack(): void;
}

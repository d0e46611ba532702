// How a blocking call waits: it asks the driver of the network to go on until something has happened.

import type { TurnClock } from "../clock.ts";

/** What drives a network (real time, virtual time, threads) as the POSIX layer sees it. */
export interface Waiter {
  /** One step of the stack (of all stacks that share the thread). Returns the work done, 0 for none. Never sleeps. */
  poll(): number;
  /** The time, microseconds. */
  now(): number;
  /** The time of this turn, in which nothing has been polled since it was read, and the turn's number. */
  readonly turns: Pick<TurnClock, "turn" | "time">;
  /**
   * Steps until something has happened or the time `untilMicros` (Infinity: none) is reached. Virtual time moves on as
   * needed. False: waiting can never end, since nothing is scheduled and nobody else can act.
   */
  wait(untilMicros: number): boolean;
}

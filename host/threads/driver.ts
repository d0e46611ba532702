// What makes hosts go on, as those who wait see it: the main thread's network, or the one host of a worker thread.

/** One thread's hosts. */
export interface Driver {
  /** The network's time, microseconds. */
  now(): number;
  /** One step; returns the work done. */
  step(): number;
  /** When step() will have something to do though nothing arrives, microseconds; Infinity: never. */
  nextDeadline(): number;
  /** Has anything arrived that step() has not taken yet? */
  hasArrivals(): boolean;
  /** Sleeps longer than this would delay something that rings no bell, milliseconds. */
  readonly sleepMillisMax: number;
}

/** Time without work after which a thread goes to sleep, microseconds: a few times what a wake-up costs others. */
export const SPIN_MICROS = 30;

/** Milliseconds that a thread may sleep now; 0 when it may not. */
export function millisLeft(driver: Driver, untilMicros: number): number {
  if (driver.hasArrivals()) return 0;
  const next = Math.min(driver.nextDeadline(), untilMicros);
  return Math.min((next - driver.now()) / 1000, driver.sleepMillisMax);
}

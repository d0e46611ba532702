// Where a host's share lies: plain data and compiled modules, fit to be posted to any thread of the process.

import type { CoreModules, SharedMemory } from "../core.ts";
import type { PollMode } from "../threads/thread-driver.ts";

/** What attachHost() needs. Made by Host.client(); can be posted to workers and given as workerData. */
export interface ClientPlace {
  readonly kind: "oribi-host";
  /** The host's name and first IPv4 address. */
  readonly name: string;
  readonly address: string;
  readonly memory: SharedMemory;
  readonly modules: CoreModules;
  readonly debug?: boolean | undefined;
  /** process.hrtime.bigint() when the network's time was 0. */
  readonly epochNanos: bigint;
  /** Address of the share, of each stack's part, and of the words that tell whether its thread runs. */
  readonly share: number;
  readonly parts: readonly number[];
  readonly blocks: readonly number[];
  readonly poll: PollMode;
  /** How long a call waits for a stack that does not answer, milliseconds. */
  readonly callTimeout: number;
}

// What a thread of the torture is given: who it is, where the other side is, how much it sends.

import type { BoardPlace } from "./board.ts";

/** Ports of the torture. */
export const PORT = 7;
export const COMMON_PORT = 9;
/** Connections that may wait at a listener. */
export const BACKLOG = 16384;

export interface Role {
  board: BoardPlace;
  /** SERVER or CLIENT. */
  side: number;
  thread: number;
  /** Threads that had this place before, so that each makes other choices. */
  life: number;
  seed: number;
  /** Stacks of its host. */
  stacks: number;
  /** Descriptors are common to all threads of the side. */
  isSeparate: boolean;
  /** The server's address and port. */
  address: string;
  port: number;
  /** The other side's address and the port of datagrams. */
  peer: string;
  commonPort: number;
  /** Most bytes of one direction of a connection. */
  bytesMax: number;
}

// The two ends of tcp_rr_2threads: functions that run on hosts in threads of their own.
// Read first: Network.spawn(); recv(2) blocks, and a thread that is "busy" polls its stack meanwhile.

import type { WorkerHost } from "../host/index.ts";
import { fail } from "./pair.ts";

/** What both ends are told. */
export interface Exchange {
  /** A connection, blocking. */
  fd: number;
  requests: number;
  bytes: number;
}

/** Answers `requests` requests, after a first one. */
export function serve({ posix }: WorkerHost, { fd, requests, bytes }: Exchange): void {
  const { recv, send } = posix;
  const buffer = new Uint8Array(bytes);
  for (let i = 0; i <= requests; i++) {
    let n = recv(fd, buffer);
    if (n !== bytes) fail("A request did not come whole", n);
    n = send(fd, buffer);
    if (n !== bytes) fail("A response was not sent", n);
  }
}

/** Sends requests, one after the other. Returns how long it took, milliseconds, without the first, which finds both. */
export function ask({ posix }: WorkerHost, { fd, requests, bytes }: Exchange): number {
  const { recv, send } = posix;
  const request = new Uint8Array(bytes).fill(1);
  const response = new Uint8Array(bytes);
  let start = 0;
  for (let i = 0; i <= requests; i++) {
    let n = send(fd, request);
    if (n !== bytes) fail("A request was not sent", n);
    n = recv(fd, response);
    if (n !== bytes) fail("A response did not come whole", n);
    if (i === 0) start = performance.now();
  }
  const millis = performance.now() - start;
  if (response.some((byte) => byte !== 1)) throw new Error("A response is not what was sent.");
  return millis;
}

// What every thread of the demo uses: calls that must succeed, and what crosses the network. Nothing here loads more of
// the library, so that threads start quickly.

import { EAGAIN, errnoName } from "../posix/constants.ts";

/** FTP's data port, which says what crosses it: a file. Wireshark then does not guess at protocols in its bytes. */
export const SERVER_PORT = 20;
/** Size of a request and of its response. */
export const REQUEST_BYTES = 64;

/** A call that failed: `code` names the errno. */
export class CallError extends Error {
  readonly code: string;

  constructor(call: string, errno: number) {
    super(`${call} failed: ${errnoName(errno)}`);
    this.name = "CallError";
    this.code = errnoName(errno);
  }
}

/** The result of a call, if it is none of failure. @throws {CallError} */
export function checked(call: string, result: number): number {
  if (result < 0) throw new CallError(call, result);
  return result;
}

/** The result of a call that does not wait: -EAGAIN passes. @throws {CallError} */
export function checkedNow(call: string, result: number): number {
  if (result < 0 && result !== -EAGAIN) throw new CallError(call, result);
  return result;
}

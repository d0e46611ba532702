// IPv4, the one door: set-up of its memory, and the names that others use.
// Read first: RFC 791; RFC 1122 section 3; then ipv4-input.ts and ipv4-output.ts.

import { stack } from "../stack";
import { icmpInit } from "./icmp-output";
import { IDENTS_BYTES, identsAttach, identsInit } from "./ipv4-output";
import { PMTU_BYTES, pmtuAttach } from "./pmtu";

export { ipv4Input } from "./ipv4-input";
export { IP_DF, ipv4Output } from "./ipv4-output";
export { ipv4Mtu, pmtuUpdate } from "./pmtu";

/** Bytes of IPv4's memory. */
export function ipv4Bytes(_cfg: usize): u32 {
  return IDENTS_BYTES + PMTU_BYTES;
}

/** Prepares IPv4's memory at `at` (8-byte aligned); the secret is set. */
export function ipv4Init(at: usize, cfg: usize): void {
  memory.fill(at, 0, ipv4Bytes(cfg));
  stack.ipv4 = u32(at);
  ipv4Attach(at);
  identsInit();
  icmpInit();
}

/** Points this instance at IPv4's memory. */
export function ipv4Attach(at: usize): void {
  identsAttach(at);
  pmtuAttach(at + IDENTS_BYTES);
}

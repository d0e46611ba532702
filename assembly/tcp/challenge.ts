// ACKs that nobody needs unless something is wrong: for segments that are not acceptable, and as challenges to what may
// be forged. Two peers could answer one another's for ever, and each costs: so they are limited.
// Read first: RFC 5961 sections 3.2, 4.2, 7 and 10; Linux tcp_oow_rate_limited(), tcp_send_challenge_ack().

import {
  MIB_TCP_CHALLENGE_ACKS,
  MIB_TCP_CHALLENGE_LIMITED,
  SYN,
  SYSCTL_TCP_CHALLENGE_ACK_LIMIT,
  SYSCTL_TCP_INVALID_RATELIMIT,
} from "../layout";
import { count, nowMillis, stack, sysctl } from "../stack";
import { sendAck } from "./output";
import { segFlags, segLength } from "./segment";
import { Tcb } from "./tcb";

/** Connections that have lately sent such an ACK; two with the same hash push one another out, which only loosens. */
const ENTRIES: u32 = 256;
const ENTRY_BYTES: u32 = 8;
/** Bytes of the table: {which connection u32, when u32 in ms} each. */
export const CHALLENGE_BYTES: u32 = ENTRIES * ENTRY_BYTES;

/**
 * True when the connection that `key` names has had such an ACK less than tcp_invalid_ratelimit ago: it gets none now.
 * False notes that it gets one now.
 */
function isLimited(key: u32): bool {
  const interval = sysctl(SYSCTL_TCP_INVALID_RATELIMIT);
  if (interval == 0) return false;
  const at = usize(stack.challenges) + ((key * 0x9e3779b1) >>> 24) * ENTRY_BYTES;
  if (load<u32>(at) == key && nowMillis - load<u32>(at, 4) < interval) {
    count(MIB_TCP_CHALLENGE_LIMITED);
    return true;
  }
  store<u32>(at, key);
  store<u32>(at, nowMillis, 4);
  return false;
}

/** What names a connection, also among those that had its memory before. */
function keyOf(t: Tcb): u32 {
  return u32(changetype<usize>(t)) ^ t.iss;
}

/** True when the current segment, which is not acceptable, gets no answer; data without a SYN always gets one. */
export function answerIsLimited(t: Tcb): bool {
  if (segLength() != 0 && !(segFlags & SYN)) return false;
  return isLimited(keyOf(t));
}

/** The answer to a segment that is not acceptable (RFC 9293 3.10.7.4: "send an ACK in reply"). */
export function dupAck(t: Tcb): void {
  if (!answerIsLimited(t)) sendAck(t);
}

/** A challenge ACK, limited for the connection and for the whole stack (RFC 5961 section 7 and 10). */
export function challengeAck(t: Tcb): void {
  if (isLimited(keyOf(t))) return;
  const second = nowMillis / 1000;
  if (second != stack.challengeSecond) {
    stack.challengeSecond = second;
    stack.challengeCount = 0;
  }
  if (stack.challengeCount >= sysctl(SYSCTL_TCP_CHALLENGE_ACK_LIMIT)) {
    count(MIB_TCP_CHALLENGE_LIMITED);
    return;
  }
  stack.challengeCount++;
  count(MIB_TCP_CHALLENGE_ACKS);
  sendAck(t);
}

// What a Fast Open client remembers: cookies and MSS of servers, and when middleboxes made it stop for a while.
// Read first: RFC 7413 sections 4.1.3 (the client's cache) and 7.1 (middleboxes); Linux net/ipv4/tcp_metrics.c.

import { MIB_TCP_FASTOPEN_BLACKHOLE, SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC } from "../layout";
import { keyedHash } from "../hash";
import { count, nowMillis, stack, sysctl } from "../stack";

/** Servers; two with the same hash push one another out. */
const ENTRIES: u32 = 256;
const ENTRY_BYTES: u32 = 40;
const HEADER_BYTES: u32 = 16;
/** Bytes of the cache. */
export const FASTOPEN_BYTES: u32 = HEADER_BYTES + ENTRIES * ENTRY_BYTES;
/** The pause doubles at most so often. */
const PAUSE_DOUBLINGS_MAX: u32 = 6;

/** The head: when Fast Open was last paused, ms, and how often that happened in a row. */
const PAUSED_AT: usize = 0;
const PAUSES: usize = 4;

@unmanaged
export class Server {
  local: u32;
  remote: u32;
  /** What its SYN,ACK announced, 0 for unknown. */
  mss: u16;
  /** Bytes of the cookie, 0 for none. */
  bytes: u8;
  /** The cookie came as an experimental option. */
  exp: u8;
  /** 1: the next request uses the experimental option, 2: that was in vain too. */
  tryExp: u8;
  /** SYNs with data that were lost in a row. */
  losses: u8;
  reserved: u16;
  low: u64;
  high: u64;
  lastLossMillis: u32;
}
if (offsetof<Server>() > ENTRY_BYTES) ERROR("Server layout");

function serverAt(local: u32, remote: u32): Server {
  const index = keyedHash(local, remote, 0x54464f) & (ENTRIES - 1);
  return changetype<Server>(usize(stack.fastopen) + HEADER_BYTES + index * ENTRY_BYTES);
}

/** What is known of a server, or null. */
export function fastopenServer(local: u32, remote: u32): Server | null {
  const s = serverAt(local, remote);
  return s.local == local && s.remote == remote && remote != 0 ? s : null;
}

/** The entry of a server, made in the place of whoever had it. */
export function fastopenServerMake(local: u32, remote: u32): Server {
  const s = serverAt(local, remote);
  if (s.local != local || s.remote != remote) {
    memory.fill(changetype<usize>(s), 0, ENTRY_BYTES);
    s.local = local;
    s.remote = remote;
  }
  return s;
}

/** Forgets every server, and that there were pauses (Linux: ip tcp_metrics flush). */
export function fastopenForget(): void {
  memory.fill(stack.fastopen, 0, FASTOPEN_BYTES);
}

/** A middlebox seems to swallow Fast Open: no more of it for a while, which doubles each time. */
export function fastopenPause(): void {
  if (sysctl(SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC) == 0) return;
  const at = usize(stack.fastopen);
  store<u32>(at, nowMillis, PAUSED_AT);
  store<u32>(at, load<u32>(at, PAUSES) + 1, PAUSES);
  count(MIB_TCP_FASTOPEN_BLACKHOLE);
}

/** How often in a row Fast Open was paused; 0 when there is nothing to suspect. */
export function fastopenPauses(): u32 {
  return sysctl(SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC) == 0 ? 0 : load<u32>(stack.fastopen, PAUSES);
}

/** True during a pause. */
export function fastopenIsPaused(): bool {
  const pauses = fastopenPauses();
  if (pauses == 0) return false;
  const seconds = u64(sysctl(SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC)) << min(pauses - 1, PAUSE_DOUBLINGS_MAX);
  return u64(nowMillis - load<u32>(stack.fastopen, PAUSED_AT)) < seconds * 1000;
}

/** Fast Open has worked again, or the tunable was set anew: the next pause is a short one. */
export function fastopenClearPauses(): void {
  store<u32>(stack.fastopen, 0, PAUSES);
}

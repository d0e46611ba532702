// When a host last answered with a SYN cookie: any of its stacks may get the ACK that brings one back, since all of
// them share the secret that it is made of. Read first: tcp/cookie.ts; group.ts.

import { Group, group } from "./group";

const MILLIS: usize = offsetof<Group>("cookieMillis");
const SENT: usize = offsetof<Group>("cookiesSent");

/** This stack sends a cookie. */
export function cookieNote(millis: u32): void {
  if (group == 0) return;
  atomic.store<u32>(group, millis, MILLIS);
  atomic.store<u32>(group, 1, SENT);
}

/** True when a stack of the host has sent a cookie in the last `age` milliseconds. */
export function cookiesNoted(millis: u32, age: u32): bool {
  if (group == 0 || atomic.load<u32>(group, SENT) == 0) return false;
  // Signed: another thread's clock may be a moment ahead.
  return i32(millis - atomic.load<u32>(group, MILLIS)) < i32(age);
}

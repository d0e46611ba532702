// The links of one network, so that a driver can ask one question for all of them.

import { ENOENT, ENOSPC } from "../../assembly/layout";
import { linkNextDue, linkPoll } from "./link";
import { Port, portAt } from "./port";

@unmanaged
class Directory {
  magic: u32;
  count: u32;
}
const DIRECTORY_MAGIC: u32 = 0x59524944; // "DIRY"
const LIST: u32 = 64;

/** Bytes of a directory for `links` links. */
export function directoryBytes(links: u32): u32 {
  return LIST + links * 4;
}

/** Prepares an empty directory in a zeroed region. */
export function directoryInit(base: u32): void {
  changetype<Directory>(base).magic = DIRECTORY_MAGIC;
}

/** Adds a link; `limit`: links that fit. 0 or -ENOSPC. One thread changes a directory. */
export function directoryAdd(base: u32, link: u32, limit: u32): i32 {
  const d = directoryAt(base);
  if (d.count == limit) return -ENOSPC;
  store<u32>(base + LIST + d.count * 4, link);
  d.count++;
  return 0;
}

/** Removes a link; the others keep their order. 0 or -ENOENT. */
export function directoryRemove(base: u32, link: u32): i32 {
  const d = directoryAt(base);
  for (let i: u32 = 0; i < d.count; i++) {
    const at = base + LIST + i * 4;
    if (load<u32>(at) != link) continue;
    memory.copy(at, at + 4, (d.count - i - 1) * 4);
    d.count--;
    return 0;
  }
  return -ENOENT;
}

/** Moves what is due at `now`, microseconds, in every link, in the order in which they were added. */
export function vethPoll(base: u32, now: f64): u32 {
  const d = directoryAt(base);
  let moved: u32 = 0;
  for (let i: u32 = 0; i < d.count; i++) moved += linkPoll(load<u32>(base + LIST + i * 4), now);
  return moved;
}

/** When vethPoll() will have something to do, microseconds; Infinity = never. */
export function vethNextDeadline(base: u32): f64 {
  const d = directoryAt(base);
  let next = Infinity;
  for (let i: u32 = 0; i < d.count; i++) next = min<f64>(next, linkNextDue(load<u32>(base + LIST + i * 4)));
  return next;
}

/** The same for the two links of one port, for the thread that owns it. */
export function portNextDue(handle: u32): f64 {
  assert(portAt(handle).magic != 0);
  let next = Infinity;
  // Asked by a thread that has said that it is about to sleep: a plain load may be carried out before that.
  const linkOut = atomic.load<u32>(handle, offsetof<Port>("linkOut"));
  const linkIn = atomic.load<u32>(handle, offsetof<Port>("linkIn"));
  if (linkOut != 0) next = linkNextDue(linkOut);
  if (linkIn != 0) next = min<f64>(next, linkNextDue(linkIn));
  return next;
}

function directoryAt(base: u32): Directory {
  const d = changetype<Directory>(base);
  assert(d.magic == DIRECTORY_MAGIC);
  return d;
}

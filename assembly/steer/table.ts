// The flow table of a host: which of its stacks has a connection. All stacks read and write it at once, without locks.
// Read first: group.ts; DPDK "Hash Library"; D. E. Knuth, "The Art of Computer Programming" vol. 3, 6.4 (buckets).
//
// A bucket is a cache line of eight slots. A flow lies in its first bucket (near.ts) or, where that was full, in one
// of those that follow the bucket which a secret hash names; each bucket counts the flows that have passed it by, so a
// search ends where nothing has. A slot is one word, written by one atomic operation, so that no thread ever sees, or
// leaves when it dies, a half of it:
//
//   bit   63 ................ 13   12 .. 9   8 .. 3    2      1     0
//         51 bits of the hash      passed    owner    rule   UDP   used      (0: free)
//
// "Passed" is how many buckets were full. The hash of a flow's addresses and ports is one to one (hash.ts, for one
// local address); of its 64 bits two flows that a slot takes for one share 51, and the bucket.
// At most one stack gets a flow: whoever has published an entry looks for another one, and takes its own back if there
// is one. All of it is sequentially consistent, so of two that publish at once at least one sees the other.
// A thread that dies leaves its flows with its index on them: tableSweep() frees them. What was counted as passing
// stays counted: searches go on further than they need.

import { IPPROTO_UDP } from "../layout";
import { flowHash64 } from "../hash";
import { Group, group, groupOf, self } from "./group";
import { nearBucket } from "./near";

const SLOT_BYTES: u32 = 8;
const BUCKET_SLOTS: u32 = 8;
const BUCKET_BYTES: u32 = SLOT_BYTES * BUCKET_SLOTS;
/** Flows that have passed a bucket by: 16 bits for each bucket, behind the buckets. */
const PASSED_BYTES: u32 = 2;
/** Buckets, one after the other, of which one may hold a flow. */
const PROBES_MAX: u32 = 16;

const USED: u64 = 1;
const UDP: u64 = 2;
const RULE: u64 = 4; // the NIC's flow director has a rule for it
const OWNER_SHIFT: u64 = 3;
const OWNER: u64 = 63 << OWNER_SHIFT;
const PASSED_SHIFT: u64 = 9;
const HASH_SHIFT: u64 = 13;
/** What names a flow; and that with its bucket. */
const FLOW: u64 = ~(RULE | OWNER | (15 << PASSED_SHIFT));
const NAME: u64 = ~(RULE | OWNER);
/** Bits of the hash that a slot does not hold. */
const REST_SHIFT: u64 = 64 - HASH_SHIFT;
/** A bucket that has counted so many counts no more: what dead threads left is in it. */
const PASSED_MAX: u32 = 0xffff;

/** tableClaim() */
export const CLAIM_DONE: i32 = 0;
export const CLAIM_TAKEN: i32 = 1; // a stack of the host has the flow, or tries to get it at this moment
export const CLAIM_FULL: i32 = 2;

/** Bytes of a table of so many buckets. */
export function tableBytes(buckets: u32): u32 {
  return buckets * (BUCKET_BYTES + PASSED_BYTES);
}

/** Buckets, a power of two, for `flows` flows: at most three quarters full. */
export function bucketsFor(flows: u32): u32 {
  let buckets: u32 = 64;
  while (buckets * 6 < flows) buckets <<= 1;
  return buckets;
}

/** Where a flow is looked for: its first bucket; the bucket that its hash names; its name. */
let near: u32 = 0;
let home: u32 = 0;
let name: u64 = 0;
/** Which flow that is; ports 0: none. What happens to one often comes in a row. */
let nameLocal: u32 = 0;
let nameRemote: u32 = 0;
let namePorts: u32 = 0;
let nameProtocol: u32 = 0;

/** The group's table is another one now. */
export function tableAttach(): void {
  namePorts = 0;
}

/** Turns to a flow (host order; `ports` is local << 16 | remote). */
function look(g: Group, protocol: u32, local: u32, remote: u32, ports: u32): void {
  if (ports == namePorts && remote == nameRemote && local == nameLocal && protocol == nameProtocol) return;
  nameLocal = local;
  nameRemote = remote;
  namePorts = ports;
  nameProtocol = protocol;
  const hash = flowHash64(local, remote, ports);
  near = nearBucket(local, remote, ports, u32(hash), g.stacks, g.mask);
  home = u32(hash >> REST_SHIFT) | (u32(hash) << u32(HASH_SHIFT));
  name = nameOf(protocol, hash);
}

/** The bucket that comes after `passed` others. */
function indexAt(passed: u32): u32 {
  return passed == 0 ? near : home + passed - 1;
}

/** What the slot of a flow says in the bucket that its hash names. */
function nameOf(protocol: u32, hash: u64): u64 {
  return (hash << HASH_SHIFT) | (protocol == IPPROTO_UDP ? UDP | USED : USED);
}

function bucketAt(g: Group, index: u32): usize {
  return g.table + (index & g.mask) * BUCKET_BYTES;
}

/** Where a bucket counts what has passed it by. */
function passedAt(g: Group, index: u32): usize {
  return g.table + (g.mask + 1) * BUCKET_BYTES + (index & g.mask) * PASSED_BYTES;
}

/** The slot of the flow that is not `but`, or 0. */
function find(g: Group, but: usize): usize {
  for (let i: u32 = 0; i < PROBES_MAX; i++) {
    const bucket = bucketAt(g, indexAt(i));
    const wanted = name | (u64(i) << PASSED_SHIFT);
    for (let slot = bucket; slot < bucket + BUCKET_BYTES; slot += SLOT_BYTES) {
      if ((atomic.load<u64>(slot) & NAME) == wanted && slot != but) return slot;
    }
    if (atomic.load<u16>(passedAt(g, indexAt(i))) == 0) break;
  }
  return 0;
}

function ownerOf(word: u64): u32 {
  return u32((word & OWNER) >> OWNER_SHIFT);
}

/** Index of the stack that has a flow (host order; `ports` is local << 16 | remote), or -1. */
export function tableOwner(protocol: u32, local: u32, remote: u32, ports: u32): i32 {
  const g = groupOf();
  look(g, protocol, local, remote, ports);
  const slot = find(g, 0);
  if (slot == 0) return -1;
  const word = atomic.load<u64>(slot);
  // It may have become another's meanwhile.
  return ((word ^ name) & FLOW) == 0 ? i32(ownerOf(word)) : -1;
}

/** Takes a slot for the flow, in the first of its buckets that has one, or 0. */
function place(g: Group): usize {
  const mine = name | (u64(self) << OWNER_SHIFT);
  for (let i: u32 = 0; i < PROBES_MAX; i++) {
    const bucket = bucketAt(g, indexAt(i));
    const word = mine | (u64(i) << PASSED_SHIFT);
    for (let slot = bucket; slot < bucket + BUCKET_BYTES; slot += SLOT_BYTES) {
      if (atomic.load<u64>(slot) == 0 && atomic.cmpxchg<u64>(slot, 0, word) == 0) return slot;
    }
    pass(passedAt(g, indexAt(i)), 1);
  }
  unpass(g, PROBES_MAX);
  return 0;
}

/** The flow does not lie behind the first `buckets` of its buckets any more. */
function unpass(g: Group, buckets: u32): void {
  for (let i: u32 = 0; i < buckets; i++) pass(passedAt(g, indexAt(i)), -1);
}

/** Adds to the count of a bucket, unless that is full for ever. */
function pass(at: usize, by: i32): void {
  let count = u32(atomic.load<u16>(at));
  while (count != PASSED_MAX) {
    const before = u32(atomic.cmpxchg<u16>(at, u16(count), u16(count + by)));
    if (before == count) return;
    count = before;
  }
}

/**
 * Frees the slot of the flow. Nobody else writes there while it is in use, and nothing waits for it to be free: a plain
 * store will do, and does not have the thread wait for all its stores before.
 */
function give(g: Group, slot: usize): void {
  const passed = u32(load<u64>(slot) >> PASSED_SHIFT) & (PROBES_MAX - 1);
  store<u64>(slot, 0);
  if (passed != 0) unpass(g, passed);
}

/** Enters a flow for this stack: CLAIM_*. */
export function tableClaim(protocol: u32, local: u32, remote: u32, ports: u32): i32 {
  const g = groupOf();
  look(g, protocol, local, remote, ports);
  if (find(g, 0) != 0) return CLAIM_TAKEN;
  const slot = place(g);
  if (slot == 0) return CLAIM_FULL;
  if (find(g, slot) == 0) return CLAIM_DONE;
  give(g, slot);
  return CLAIM_TAKEN;
}

/** Takes a flow of this stack out. Returns 1 when the NIC has a rule for it, 0 when not, -1 when it was not there. */
export function tableRelease(protocol: u32, local: u32, remote: u32, ports: u32): i32 {
  const slot = own(protocol, local, remote, ports);
  if (slot == 0) return -1;
  const rule = atomic.load<u64>(slot) & RULE;
  give(groupOf(), slot);
  return i32(rule != 0);
}

/** Notes that the NIC has a rule for a flow of this stack. */
export function tableMarkRule(protocol: u32, local: u32, remote: u32, ports: u32): void {
  const slot = own(protocol, local, remote, ports);
  if (slot != 0) atomic.or<u64>(slot, RULE);
}

/** The slot of a flow of this stack, which nobody else changes, or 0. */
function own(protocol: u32, local: u32, remote: u32, ports: u32): usize {
  const g = groupOf();
  look(g, protocol, local, remote, ports);
  const slot = find(g, 0);
  return slot != 0 && ownerOf(atomic.load<u64>(slot)) == self ? slot : 0;
}

/** Frees every slot of a stack whose thread is gone; returns how many there were. */
export function tableSweep(owner: u32): u32 {
  return walk(owner, true);
}

/** Slots that belong to a stack: an audit. */
export function tableCount(owner: u32): u32 {
  return group == 0 ? 0 : walk(owner, false);
}

function walk(owner: u32, frees: bool): u32 {
  const g = groupOf();
  const end = g.table + (g.mask + 1) * BUCKET_BYTES;
  let found: u32 = 0;
  for (let slot = g.table; slot < end; slot += SLOT_BYTES) {
    const word = atomic.load<u64>(slot);
    if (word == 0 || ownerOf(word) != owner) continue;
    found++;
    if (frees) atomic.store<u64>(slot, 0);
  }
  return found;
}

// The flow table of a host: which of its stacks has a connection. All stacks read and write it at once, without locks.
// Read first: group.ts; DPDK "Hash Library" (its buckets, and its two places for each key, are the same idea).
//
// Two buckets of eight slots may hold a flow; no slot ever moves, so a reader needs no lock. A slot has two words:
//   word  local address, and above it: state, protocol, rule, owner, generation
//   key   remote address, and above it the ports
// A slot is claimed by an exchange of its word that names the owner; then the key is written; then the word says USED.
// A reader takes the key only between two equal readings of the word, and each use of a slot has a new generation.
// At most one stack gets a flow: whoever has published an entry looks for another one, and takes its own back if there
// is one. All of it is sequentially consistent, so of two that publish at once at least one sees the other.
// A thread that dies leaves its claims with its index on them: tableSweep() frees them.

import { IPPROTO_UDP } from "../layout";
import { flowHash } from "../hash";
import { Group, group, groupOf, self } from "./group";

const SLOT_BYTES: u32 = 16;
const BUCKET_SLOTS: u32 = 8;
export const BUCKET_BYTES: u32 = SLOT_BYTES * BUCKET_SLOTS;

/** The upper half of a slot's word: state in two bits, then flags, the owner's index, the generation. */
const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const USED: u32 = 2;
const STATE: u32 = 3;
const UDP: u32 = 4;
const RULE: u32 = 8; // the NIC's flow director has a rule for it
const OWNER_SHIFT: u32 = 4;
const OWNER: u32 = 63 << OWNER_SHIFT;
const GENERATION: u32 = 1 << 10;
const GENERATIONS: u32 = ~(GENERATION - 1);

/** tableClaim() */
export const CLAIM_DONE: i32 = 0;
export const CLAIM_TAKEN: i32 = 1; // a stack of the host has the flow, or tries to get it at this moment
export const CLAIM_FULL: i32 = 2;

/** Buckets, a power of two, for `flows` flows: at most half full. */
export function bucketsFor(flows: u32): u32 {
  let buckets: u32 = 64;
  while (buckets * BUCKET_SLOTS < flows * 2) buckets <<= 1;
  return buckets;
}

function keyOf(remote: u32, ports: u32): u64 {
  return u64(remote) | (u64(ports) << 32);
}

function kindOf(protocol: u32): u32 {
  return protocol == IPPROTO_UDP ? UDP : 0;
}

function firstBucket(g: Group, hash: u32): usize {
  return g.table + (hash & g.mask) * BUCKET_BYTES;
}

function secondBucket(g: Group, hash: u32): usize {
  const other = rotl<u32>(hash * 0x9e3779b1, 15) ^ hash;
  return g.table + (other & g.mask) * BUCKET_BYTES;
}

/** The slot of a flow in a bucket that stands USED and is not `but`, or 0; its head is left in slotHead. */
function scan(bucket: usize, local: u32, kind: u32, key: u64, but: usize): usize {
  const end = bucket + BUCKET_BYTES;
  for (let slot = bucket; slot < end; slot += SLOT_BYTES) {
    const word = atomic.load<u64>(slot);
    const head = u32(word >> 32);
    if (u32(word) != local || (head & (STATE | UDP)) != (USED | kind) || slot == but) continue;
    if (atomic.load<u64>(slot, 8) != key) continue;
    if (atomic.load<u64>(slot) == word) {
      slotHead = head;
      return slot;
    }
    slot -= SLOT_BYTES; // it has changed meanwhile: look again
  }
  return 0;
}
let slotHead: u32 = 0;

function find(g: Group, hash: u32, local: u32, kind: u32, key: u64, but: usize): usize {
  const slot = scan(firstBucket(g, hash), local, kind, key, but);
  return slot != 0 ? slot : scan(secondBucket(g, hash), local, kind, key, but);
}

/** Index of the stack that has a flow (host order; `ports` is local << 16 | remote), or -1. */
export function tableOwner(protocol: u32, local: u32, remote: u32, ports: u32): i32 {
  const g = groupOf();
  const hash = flowHash(local, remote, ports);
  if (find(g, hash, local, kindOf(protocol), keyOf(remote, ports), 0) == 0) return -1;
  return i32((slotHead & OWNER) >>> OWNER_SHIFT);
}

/** Takes a free slot of a bucket for this stack, or 0. */
function take(bucket: usize, kind: u32): usize {
  const end = bucket + BUCKET_BYTES;
  for (let slot = bucket; slot < end; slot += SLOT_BYTES) {
    const word = atomic.load<u64>(slot);
    const head = u32(word >> 32);
    if ((head & STATE) != FREE) continue;
    const mine = CLAIMED | kind | (self << OWNER_SHIFT) | ((head & GENERATIONS) + GENERATION);
    if (atomic.cmpxchg<u64>(slot, word, u64(mine) << 32) == word) return slot;
  }
  return 0;
}

/** Frees a slot of this stack. */
function give(slot: usize): void {
  const head = u32(atomic.load<u64>(slot) >> 32);
  atomic.store<u64>(slot, u64(head & GENERATIONS) << 32);
}

/** Enters a flow for this stack: CLAIM_*. */
export function tableClaim(protocol: u32, local: u32, remote: u32, ports: u32): i32 {
  const g = groupOf();
  const hash = flowHash(local, remote, ports);
  const kind = kindOf(protocol);
  const key = keyOf(remote, ports);
  if (find(g, hash, local, kind, key, 0) != 0) return CLAIM_TAKEN;
  let slot = take(firstBucket(g, hash), kind);
  if (slot == 0) slot = take(secondBucket(g, hash), kind);
  if (slot == 0) return CLAIM_FULL;
  atomic.store<u64>(slot, key, 8);
  const head = (u32(atomic.load<u64>(slot) >> 32) & ~STATE) | USED;
  atomic.store<u64>(slot, u64(local) | (u64(head) << 32));
  if (find(g, hash, local, kind, key, slot) == 0) return CLAIM_DONE;
  give(slot);
  return CLAIM_TAKEN;
}

/** Takes a flow of this stack out. Returns 1 when the NIC has a rule for it, 0 when not, -1 when it was not there. */
export function tableRelease(protocol: u32, local: u32, remote: u32, ports: u32): i32 {
  const slot = own(protocol, local, remote, ports);
  if (slot == 0) return -1;
  const rule = slotHead & RULE;
  give(slot);
  return i32(rule != 0);
}

/** Notes that the NIC has a rule for a flow of this stack. */
export function tableMarkRule(protocol: u32, local: u32, remote: u32, ports: u32): void {
  const slot = own(protocol, local, remote, ports);
  if (slot != 0) atomic.store<u64>(slot, atomic.load<u64>(slot) | (u64(RULE) << 32));
}

function own(protocol: u32, local: u32, remote: u32, ports: u32): usize {
  const hash = flowHash(local, remote, ports);
  const slot = find(groupOf(), hash, local, kindOf(protocol), keyOf(remote, ports), 0);
  return slot != 0 && (slotHead & OWNER) >>> OWNER_SHIFT == self ? slot : 0;
}

/** Frees every slot of a stack whose thread is gone; returns how many there were. */
export function tableSweep(owner: u32): u32 {
  return walk(owner, true);
}

/** Slots that belong to a stack, half-made ones included: an audit. */
export function tableCount(owner: u32): u32 {
  return group == 0 ? 0 : walk(owner, false);
}

function walk(owner: u32, frees: bool): u32 {
  const g = groupOf();
  let slot = usize(g.table);
  const end = slot + (usize(g.mask) + 1) * BUCKET_BYTES;
  let found: u32 = 0;
  for (; slot < end; slot += SLOT_BYTES) {
    const head = u32(atomic.load<u64>(slot) >> 32);
    if ((head & STATE) == FREE || (head & OWNER) >>> OWNER_SHIFT != owner) continue;
    found++;
    if (frees) give(slot);
  }
  return found;
}

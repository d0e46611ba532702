// The descriptor table: one word for each descriptor, and three levels of bitmaps that find the lowest free one.
// Read first: POSIX.1-2024 2.6 "File Descriptor Allocation" (the lowest one that is free).

import { CFG_CONNECTIONS, CFG_SOCKETS, EMFILE } from "../layout";
import { Socket } from "./socket";

/** The first descriptor handed out: 0, 1 and 2 belong to the standard streams of the process around the stack. */
export const FIRST_DESCRIPTOR: u32 = 3;
/** Most descriptors of one stack: what three levels of 64-bit words can index 64-fold at the top. */
const DESCRIPTORS_MAX: u32 = 1 << 24;

/** Offsets in the table's head. */
const CAPACITY: usize = 0;
const USED: usize = 4;
const HEAD_BYTES: usize = 16;

let table: usize = 0;
let capacity: u32 = 0;
let head: usize = 0;
/** One bit for each free descriptor; for each word of `level0` with a free one; for each such word of `level1`. */
let level0: usize = 0;
let level1: usize = 0;
let level2: usize = 0;
/** One bit for each descriptor: FD_CLOEXEC. */
let cloexec: usize = 0;

function capacityOf(cfg: usize): u32 {
  const wanted = u64(load<u32>(cfg + CFG_CONNECTIONS * 4)) + load<u32>(cfg + CFG_SOCKETS * 4) + FIRST_DESCRIPTOR;
  return u32(min(wanted, u64(DESCRIPTORS_MAX)));
}

function words(bits: u32): u32 {
  return (bits + 63) >>> 6;
}

/** Bytes of the table for a stack with the options at `cfg`. */
export function descriptorBytes(cfg: usize): u32 {
  const n = capacityOf(cfg);
  const first = words(n);
  const second = words(first);
  return u32(HEAD_BYTES) + ((n * 4 + 7) & ~7) + (first + second + words(second) + first) * 8;
}

/** Prepares a table without any descriptor in use at `at` (8-byte aligned, zeroed) and uses it. */
export function descriptorInit(at: usize, cfg: usize): void {
  store<u32>(at, capacityOf(cfg), CAPACITY);
  descriptorAttach(at);
  for (let fd = FIRST_DESCRIPTOR; fd < capacity; fd++) markFree(fd);
}

/** Points this instance at its table. */
export function descriptorAttach(at: usize): void {
  head = at;
  capacity = load<u32>(at, CAPACITY);
  table = at + HEAD_BYTES;
  level0 = table + ((capacity * 4 + 7) & ~7);
  level1 = level0 + words(capacity) * 8;
  level2 = level1 + words(words(capacity)) * 8;
  cloexec = level2 + words(words(words(capacity))) * 8;
}

/** The socket behind a descriptor, or null when it is not open. */
export function fdGet(fd: i32): Socket | null {
  if (u32(fd) >= capacity) return null;
  return changetype<Socket | null>(usize(load<u32>(table + (usize(u32(fd)) << 2))));
}

/** Gives a socket the lowest free descriptor and returns it; -EMFILE when there is none. */
export function fdAlloc(s: Socket): i32 {
  const fd = lowestFree();
  if (fd < 0) return -EMFILE;
  markUsed(u32(fd));
  store<u32>(table + (usize(fd) << 2), u32(changetype<usize>(s)));
  store<u32>(head, load<u32>(head, USED) + 1, USED);
  s.fd = fd;
  return fd;
}

/** FD_CLOEXEC of a descriptor that is open: kept for fcntl(2), for nothing is executed. */
export function fdCloexec(fd: i32): bool {
  return (load<u64>(cloexec + ((u32(fd) >>> 6) << 3)) & (u64(1) << (fd & 63))) != 0;
}

/** Sets or clears it. */
export function fdSetCloexec(fd: i32, on: bool): void {
  if (on) setBit(cloexec, u32(fd));
  else clearBit(cloexec, u32(fd));
}

/** Frees a descriptor that is in use; its socket has none from now on. */
export function fdFree(fd: i32): void {
  fdSetCloexec(fd, false);
  const slot = table + (usize(u32(fd)) << 2);
  const s = changetype<Socket | null>(usize(load<u32>(slot)));
  assert(s !== null);
  if (s !== null) s.fd = -1;
  store<u32>(slot, 0);
  store<u32>(head, load<u32>(head, USED) - 1, USED);
  markFree(u32(fd));
}

/** False when fdAlloc() would fail now. */
export function fdAvailable(): bool {
  return load<u32>(head, USED) + FIRST_DESCRIPTOR < capacity;
}

/** Descriptors in use. */
export function fdCount(): u32 {
  return load<u32>(head, USED);
}

/** One more than the highest descriptor that can exist. */
export function fdLimit(): u32 {
  return capacity;
}

function lowestFree(): i32 {
  const top = words(words(words(capacity)));
  for (let i: u32 = 0; i < top; i++) {
    const third = load<u64>(level2 + (i << 3));
    if (third == 0) continue;
    const j = (i << 6) + u32(ctz<u64>(third));
    const k = (j << 6) + u32(ctz<u64>(load<u64>(level1 + (j << 3))));
    return i32((k << 6) + u32(ctz<u64>(load<u64>(level0 + (k << 3)))));
  }
  return -1;
}

function markFree(fd: u32): void {
  setBit(level0, fd);
  setBit(level1, fd >>> 6);
  setBit(level2, fd >>> 12);
}

function markUsed(fd: u32): void {
  if (clearBit(level0, fd) && clearBit(level1, fd >>> 6)) clearBit(level2, fd >>> 12);
}

function setBit(level: usize, index: u32): void {
  const word = level + ((index >>> 6) << 3);
  store<u64>(word, load<u64>(word) | (u64(1) << (index & 63)));
}

/** Clears a bit; true when its word holds no other. */
function clearBit(level: usize, index: u32): bool {
  const word = level + ((index >>> 6) << 3);
  const rest = load<u64>(word) & ~(u64(1) << (index & 63));
  store<u64>(word, rest);
  return rest == 0;
}

// The end of a stack whose thread is gone: what it had in the host's tables and in the NIC's rules goes, its pools are
// free again. Called on another thread's instance that is attached to the dead arena.
// Read first: DESIGN.md section 4 "Manager" (rule_delete, memp_free); group.ts. Nothing in the arena is trusted but
// what lies in the elements of its pools: the dead thread may have been in the middle of anything.

import {
  GROUP_ALIVE,
  IPPROTO_TCP,
  KIND_TCP,
  KIND_TIME_WAIT,
  KIND_UDP,
  POOL_COUNT,
  POOL_SOCKET,
  POOL_TCB,
  POOL_TIME_WAIT,
} from "../layout";
import { portsOf } from "../flow";
import { poolInit } from "../memory/pool";
import { SF_CLAIMED, Socket } from "../socket/socket";
import { poolAt } from "../stack";
import { Tcb, TF_IN_FLOW } from "../tcp/tcb";
import { flowRelease, udpUnclaim } from "./flows";
import { group, self, selfBit } from "./group";
import { portsSweep } from "./ports";
import { tableSweep } from "./table";

/** Takes the stack out of its host's tables. Others find its flows unknown from now on. Returns what was taken out. */
export function retireRules(): u32 {
  if (group == 0) return 0;
  atomic.and<u64>(group, ~selfBit, GROUP_ALIVE);
  let removed = portsSweep(self);
  for (let i: u32 = 0, n = carved(POOL_TCB); i < n; i++) {
    const t = changetype<Tcb>(elementAt(POOL_TCB, i));
    if (t.kind == KIND_TCP && t.tflags & TF_IN_FLOW) removed += forget(t, IPPROTO_TCP);
  }
  for (let i: u32 = 0, n = carved(POOL_TIME_WAIT); i < n; i++) {
    const w = changetype<Socket>(elementAt(POOL_TIME_WAIT, i));
    if (w.kind == KIND_TIME_WAIT) removed += forget(w, IPPROTO_TCP);
  }
  for (let i: u32 = 0, n = carved(POOL_SOCKET); i < n; i++) {
    const s = changetype<Socket>(elementAt(POOL_SOCKET, i));
    if (s.kind != KIND_UDP || !(s.flags & SF_CLAIMED)) continue;
    udpUnclaim(s);
    removed++;
  }
  // Claims that never became connections, and connections that were half gone
  return removed + tableSweep(self);
}

function forget(s: Socket, protocol: u32): u32 {
  flowRelease(protocol, s.localAddress, s.remoteAddress, portsOf(s));
  return 1;
}

/** Makes every element of every pool free, along the arena's list of pools (memp_list). Returns how many were used. */
export function retirePools(): u32 {
  let used: u32 = 0;
  for (let i = 0; i < POOL_COUNT; i++) {
    const pool = poolAt(i);
    used += pool.inUse;
    poolInit(pool, pool.base, pool.elementBytes, pool.capacity, false);
  }
  return used;
}

function carved(index: i32): u32 {
  const pool = poolAt(index);
  return min(pool.carved, pool.capacity);
}

function elementAt(index: i32, i: u32): usize {
  const pool = poolAt(index);
  return pool.base + i * pool.elementBytes;
}

// What the stacks of one host share: a block that names them, the flow table, the port table, the software queues.
// Read first: DESIGN.md section 4 "Balancing"; table.ts, ports.ts, hand-over.ts for the three parts.
//
// A host with n stacks has n arenas, each with its own pools, sockets and descriptors, and one block like this:
//   head      counts, masks of stacks (one bit each), addresses of the parts
//   members   one for each stack: its arena, the doorbell of its thread, a pool for copies to others
//   table     {protocol, addresses, ports} -> stack (table.ts)
//   ports     {protocol, local port} -> mask of stacks that listen there (ports.ts)
//   softs     one MPSC ring of mbufs for each stack: its software queue
// Every word here is written by several threads, or read by others than its writer: atomically. What a stack has
// claimed carries its index, so that it can be found and freed when the stack's thread dies at any point.

import {
  GROUP_ALIVE,
  GROUP_FLOWS,
  GROUP_MEMBERS,
  GROUP_PORT,
  GROUP_QUEUELESS,
  GROUP_SOFT_SLOTS,
  GROUP_STACKS,
  GROUP_STACKS_MAX,
  MEMBER_ARENA,
  MEMBER_BYTES,
  MEMBER_DOORBELL,
  MEMBER_POOL,
  MEMBER_QUEUE,
} from "../layout";
import { mpscBytes, mpscInit } from "../memory/ring";
import { stack } from "../stack";
import { bucketsFor, tableAttach, tableBytes } from "./table";

@unmanaged
export class Group {
  magic: u32;
  stacks: u32;
  softSlots: u32;
  flows: u32;
  port: u32;
  /** Buckets of the flow table, less one. */
  mask: u32;
  queueless: u64;
  alive: u64;
  table: u32;
  ports: u32;
  softs: u32;
  /** Distance of two software queues. */
  softBytes: u32;
  /** Connected UDP sockets in the flow table. */
  udpFlows: u32;
  /** When a SYN cookie was last sent, ms; good when cookiesSent is not 0. */
  cookieMillis: u32;
  cookiesSent: u32;
}
if (offsetof<Group>("stacks") != GROUP_STACKS || offsetof<Group>("softSlots") != GROUP_SOFT_SLOTS) ERROR("Group");
if (offsetof<Group>("flows") != GROUP_FLOWS || offsetof<Group>("port") != GROUP_PORT) ERROR("Group layout");
if (offsetof<Group>("queueless") != GROUP_QUEUELESS || offsetof<Group>("alive") != GROUP_ALIVE) ERROR("Group layout");
if (offsetof<Group>() > usize(GROUP_MEMBERS)) ERROR("Group layout");

@unmanaged
export class Member {
  arena: u32;
  doorbell: u32;
  pool: u32;
  queue: u32;
}
if (offsetof<Member>("arena") != MEMBER_ARENA || offsetof<Member>("doorbell") != MEMBER_DOORBELL) ERROR("Member");
if (offsetof<Member>("pool") != MEMBER_POOL || offsetof<Member>("queue") != MEMBER_QUEUE) ERROR("Member layout");
if (offsetof<Member>() > usize(MEMBER_BYTES)) ERROR("Member layout");

const GROUP_MAGIC: u32 = 0x50554f52; // "ROUP"
const TABLE_AT: u32 = GROUP_MEMBERS + GROUP_STACKS_MAX * MEMBER_BYTES;
/** A mask for each port of TCP, then of UDP. */
export const PORTS_BYTES: u32 = 2 * 65536 * 8;

/** The host's block, 0 when this stack is the only one; this stack's index in it, and its bit. */
export let group: usize = 0;
export let self: u32 = 0;
export let selfBit: u64 = 0;
/** Software queue of this stack, when there is a group. */
export let softOwn: usize = 0;

/** Bytes of the block of a host. */
export function groupBytes(stacks: u32, softSlots: u32, flows: u32): u32 {
  return TABLE_AT + tableBytes(bucketsFor(flows)) + PORTS_BYTES + stacks * softBytes(softSlots);
}

function softBytes(slots: u32): u32 {
  return (mpscBytes(slots) + 127) & ~127;
}

/** Lays out a zeroed block (64-byte aligned) whose words the host has filled in. */
export function groupInit(base: u32): void {
  const g = changetype<Group>(base);
  assert(g.stacks >= 2 && g.stacks <= u32(GROUP_STACKS_MAX) && g.flows != 0);
  const buckets = bucketsFor(g.flows);
  g.mask = buckets - 1;
  g.table = base + TABLE_AT;
  g.ports = g.table + tableBytes(buckets);
  g.softs = g.ports + PORTS_BYTES;
  g.softBytes = softBytes(g.softSlots);
  for (let i: u32 = 0; i < g.stacks; i++) mpscInit(g.softs + i * g.softBytes, g.softSlots);
  g.magic = GROUP_MAGIC;
}

/** Points this instance at the block of its stack's host. */
export function groupAttach(): void {
  group = stack.group;
  self = stack.groupIndex;
  selfBit = u64(1) << self;
  assert(group == 0 || groupOf().magic == GROUP_MAGIC);
  softOwn = group == 0 ? 0 : softAt(self);
  tableAttach();
}

/** The block; there is one. */
export function groupOf(): Group {
  return changetype<Group>(group);
}

/** Member number `index`. */
export function memberAt(index: u32): Member {
  return changetype<Member>(group + GROUP_MEMBERS + index * MEMBER_BYTES);
}

/** Software queue of stack `index`. */
export function softAt(index: u32): usize {
  const g = groupOf();
  return g.softs + index * g.softBytes;
}

/** Stacks that run, one bit each. */
export function aliveMask(): u64 {
  return atomic.load<u64>(group, GROUP_ALIVE);
}

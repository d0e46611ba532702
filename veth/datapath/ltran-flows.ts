// What an ltran remembers where several stacks share one address: whose a flow is, and to whom the fragments of a
// datagram go. Read first: ltran-choose.ts. Both tables are one thread's, and of a fixed size.

import { LTRAN_FLOW_EVICTIONS } from "../../assembly/layout";
import { Ltran, ltranCount } from "./ltran";

/** A flow as the stack sees it; addresses and ports as they lie in packets. */
@unmanaged
class Flow {
  /** Local address, remote address in the bits above; 0 = empty. */
  addresses: u64;
  /** Local port, remote port in the bits above. */
  ports: u32;
  protocol: u16;
  slot: u16;
  /** Milliseconds, modulo 2^32, of the last packet that the stack sent. */
  seen: u32;
}
const FLOW_BYTES: u32 = 24;
if (offsetof<Flow>() > FLOW_BYTES) ERROR("Flow layout");
/** A flow lives in the group of entries that its hash names; the one unused for longest makes room. */
const WAYS: u32 = 8;

@unmanaged
class Fragment {
  /** Source and destination. */
  addresses: u64;
  /** Identification, protocol in the bits above, 1 in the highest. */
  key: u32;
  slot: u32;
}
const FRAGMENT_BYTES: u32 = 16;
if (offsetof<Fragment>() != FRAGMENT_BYTES) ERROR("Fragment layout");
const FRAGMENTS: u32 = 256;
export const FRAGMENTS_BYTES: u32 = FRAGMENTS * FRAGMENT_BYTES;

/** Bytes of the table of `flows` flows, a power of two from 8. */
export function flowBytes(flows: u32): u32 {
  return (flows * FLOW_BYTES + 127) & ~127;
}

/** A number for a flow, the same whenever it is asked for. */
export function flowHash(addresses: u64, ports: u32, protocol: u32): u32 {
  const mixed = (addresses ^ ((u64(ports) << 32) | (ports ^ protocol))) * 0x9e3779b97f4a7c15;
  return u32(((mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9) >> 32);
}

/** The stack whose flow it is, or -1. */
export function flowFind(l: Ltran, addresses: u64, ports: u32, protocol: u32): i32 {
  const e = locate(l, addresses, ports, protocol);
  return e === null ? -1 : i32(e.slot);
}

/** Notes that a stack has sent a packet of a flow. `takes`: the flow is this stack's now, whose it may have been. */
export function flowLearn(
  l: Ltran,
  addresses: u64,
  ports: u32,
  protocol: u32,
  slot: u32,
  millis: u32,
  takes: bool,
): void {
  const e = locate(l, addresses, ports, protocol);
  if (e !== null) {
    if (u32(e.slot) == slot) e.seen = millis;
    else if (takes || ((l.served >> e.slot) & 1) == 0) {
      e.slot = u16(slot);
      e.seen = millis;
    }
    return;
  }
  const fresh = oldest(l, flowHash(addresses, ports, protocol), millis);
  if (fresh.addresses != 0) ltranCount(l, LTRAN_FLOW_EVICTIONS);
  fresh.addresses = addresses;
  fresh.ports = ports;
  fresh.protocol = u16(protocol);
  fresh.slot = u16(slot);
  fresh.seen = millis;
}

/** The stack to which the first fragment of a datagram went, or -1. */
export function fragmentFind(l: Ltran, addresses: u64, key: u32): i32 {
  const e = fragmentAt(l, addresses, key);
  return e.addresses == addresses && e.key == key ? i32(e.slot) : -1;
}

/** Notes where the first fragment of a datagram goes. */
export function fragmentLearn(l: Ltran, addresses: u64, key: u32, slot: u32): void {
  const e = fragmentAt(l, addresses, key);
  e.addresses = addresses;
  e.key = key;
  e.slot = slot;
}

function groupOf(l: Ltran, hash: u32): usize {
  return usize(l.flowTable + (hash & (l.flows - 1) & ~(WAYS - 1)) * FLOW_BYTES);
}

function locate(l: Ltran, addresses: u64, ports: u32, protocol: u32): Flow | null {
  const group = groupOf(l, flowHash(addresses, ports, protocol));
  for (let at = group; at < group + WAYS * FLOW_BYTES; at += FLOW_BYTES) {
    const e = changetype<Flow>(at);
    if (e.addresses == addresses && e.ports == ports && u32(e.protocol) == protocol) return e;
  }
  return null;
}

/** An empty entry of a group, or else the one of a dead stack, or else the one unused for longest. */
function oldest(l: Ltran, hash: u32, millis: u32): Flow {
  const group = groupOf(l, hash);
  let best = changetype<Flow>(group);
  let bestAge: u32 = 0;
  for (let at = group; at < group + WAYS * FLOW_BYTES; at += FLOW_BYTES) {
    const e = changetype<Flow>(at);
    if (e.addresses == 0 || ((l.served >> e.slot) & 1) == 0) return e;
    if (millis - e.seen > bestAge) {
      best = e;
      bestAge = millis - e.seen;
    }
  }
  return best;
}

function fragmentAt(l: Ltran, addresses: u64, key: u32): Fragment {
  return changetype<Fragment>(l.fragmentTable + (flowHash(addresses, key, 0) & (FRAGMENTS - 1)) * FRAGMENT_BYTES);
}

// The flow director: rules that send a flow, or all of a listening port, to one queue, before RSS is asked.
// Read first: DPDK "Generic flow API" (rte_flow), Intel 82599 data sheet 7.1.2.7 "Flow Director Filters".

import { EEXIST, EINVAL, ENOENT, ENOSPC, IPPROTO_TCP, IPPROTO_UDP } from "../../assembly/layout";
import { spinLock, spinRecover, spinUnlock } from "./spin";

// Open addressing. Readers take no lock: a rule's state word carries a generation, so a reader that sees the same
// word before and after has read one rule. Writers hold the lock.

@unmanaged
class Director {
  lock: u32;
  mask: u32;
  /** Rules that fit. */
  limit: u32;
  exact: u32;
  listening: u32;
  reserved0: u32;
  reserved1: u32;
  reserved2: u32;
}

@unmanaged
class Rule {
  /** EMPTY, GONE, or USED and a generation in the bits above. */
  state: u32;
  /** Protocol, and LISTENING. */
  kind: u32;
  source: u32;
  destination: u32;
  /** Source port in the upper half, destination port in the lower. */
  ports: u32;
  queue: u32;
  /** How often the slot was written. */
  generation: u32;
  reserved: u32;
}

const EMPTY: u32 = 0;
const GONE: u32 = 1;
const USED: u32 = 2;
const GENERATION: u32 = 4;
const LISTENING: u32 = 256;
const HEADER: u32 = 64;
const NONE: u32 = 0xffffffff;

/** Bytes of a director that holds `rules` rules; the table stays at most half full. */
export function directorBytes(rules: u32): u32 {
  return HEADER + slots(rules) * offsetof<Rule>();
}

/** Prepares an empty director in zeroed bytes. */
export function directorInit(base: usize, rules: u32): void {
  const d = changetype<Director>(base);
  d.mask = slots(rules) - 1;
  d.limit = rules;
}

/** Rules for exact flows and for listening ports. */
export function directorCount(base: usize): u32 {
  const d = changetype<Director>(base);
  return d.exact + d.listening;
}

/** The queue for a flow (host order, as received: the source is the peer), or a negative number. */
export function directorFind(base: usize, protocol: u32, source: u32, destination: u32, ports: u32): i32 {
  const d = changetype<Director>(base);
  if (d.exact != 0) {
    const queue = find(d, protocol, source, destination, ports);
    if (queue >= 0) return queue;
  }
  return d.listening != 0 ? find(d, protocol | LISTENING, 0, 0, ports & 0xffff) : -1;
}

/** Adds a rule for one flow. 0, -EEXIST, -ENOSPC or -EINVAL. */
export function directorAdd(
  base: usize,
  protocol: u32,
  source: u32,
  destination: u32,
  ports: u32,
  queue: u32,
  queues: u32,
): i32 {
  if (queue >= queues || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)) return -EINVAL;
  return add(changetype<Director>(base), protocol, source, destination, ports, queue);
}

/** Removes the rule for one flow. 0 or -ENOENT. */
export function directorRemove(base: usize, protocol: u32, source: u32, destination: u32, ports: u32): i32 {
  return remove(changetype<Director>(base), protocol, source, destination, ports);
}

/** Sends what comes to a local port to one queue. 0, -EEXIST, -ENOSPC or -EINVAL. */
export function directorListen(base: usize, protocol: u32, port: u32, queue: u32, queues: u32): i32 {
  if (queue >= queues || port > 0xffff || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)) return -EINVAL;
  return add(changetype<Director>(base), protocol | LISTENING, 0, 0, port, queue);
}

/** Removes the rule of a local port. 0 or -ENOENT. */
export function directorUnlisten(base: usize, protocol: u32, port: u32): i32 {
  return remove(changetype<Director>(base), protocol | LISTENING, 0, 0, port);
}

function slots(rules: u32): u32 {
  return rules < 8 ? 16 : 2 << (32 - clz(rules - 1));
}

function ruleAt(d: Director, index: u32): Rule {
  return changetype<Rule>(changetype<usize>(d) + HEADER + (index & d.mask) * offsetof<Rule>());
}

function stateOf(r: Rule): u32 {
  return atomic.load<u32>(changetype<usize>(r));
}

function home(d: Director, kind: u32, source: u32, destination: u32, ports: u32): u32 {
  let h = (source ^ (kind << 24)) * 0x9e3779b1;
  h = (rotl(h, 13) ^ destination) * 0x85ebca77;
  h = (rotl(h, 13) ^ ports) * 0xc2b2ae3d;
  return (h ^ (h >>> 15)) & d.mask;
}

function find(d: Director, kind: u32, source: u32, destination: u32, ports: u32): i32 {
  let index = home(d, kind, source, destination, ports);
  for (let probes: u32 = 0; probes <= d.mask; probes++) {
    const r = ruleAt(d, index);
    const at = changetype<usize>(r);
    const state = stateOf(r);
    if (state == EMPTY) return -1;
    if (
      (state & USED) != 0 &&
      atomic.load<u32>(at, offsetof<Rule>("ports")) == ports &&
      atomic.load<u32>(at, offsetof<Rule>("source")) == source &&
      atomic.load<u32>(at, offsetof<Rule>("destination")) == destination &&
      atomic.load<u32>(at, offsetof<Rule>("kind")) == kind
    ) {
      const queue = atomic.load<u32>(at, offsetof<Rule>("queue"));
      if (stateOf(r) == state) return i32(queue);
      continue; // rewritten meanwhile: look again
    }
    index++;
  }
  return -1;
}

/** Index of a rule, or NONE; on the writer's side, where nothing changes meanwhile. */
function locate(d: Director, kind: u32, source: u32, destination: u32, ports: u32): u32 {
  let index = home(d, kind, source, destination, ports);
  for (let probes: u32 = 0; probes <= d.mask; probes++) {
    const r = ruleAt(d, index);
    if (r.state == EMPTY) return NONE;
    if ((r.state & USED) != 0 && r.ports == ports && r.source == source) {
      if (r.destination == destination && r.kind == kind) return index & d.mask;
    }
    index++;
  }
  return NONE;
}

function add(d: Director, kind: u32, source: u32, destination: u32, ports: u32, queue: u32): i32 {
  spinLock(changetype<usize>(d));
  let result = 0;
  if (locate(d, kind, source, destination, ports) != NONE) result = -EEXIST;
  else if (d.exact + d.listening >= d.limit) result = -ENOSPC;
  else {
    let index = home(d, kind, source, destination, ports);
    while ((ruleAt(d, index).state & USED) != 0) index++;
    const r = ruleAt(d, index);
    // No reader trusts the fields before the state says USED, with a generation that is new.
    r.generation++;
    r.kind = kind;
    r.source = source;
    r.destination = destination;
    r.ports = ports;
    r.queue = queue;
    atomic.store<u32>(changetype<usize>(r), USED | (r.generation * GENERATION));
    if ((kind & LISTENING) != 0) d.listening++;
    else d.exact++;
  }
  spinUnlock(changetype<usize>(d));
  return result;
}

function remove(d: Director, kind: u32, source: u32, destination: u32, ports: u32): i32 {
  spinLock(changetype<usize>(d));
  let index = locate(d, kind, source, destination, ports);
  let result = 0;
  if (index == NONE) result = -ENOENT;
  else {
    atomic.store<u32>(changetype<usize>(ruleAt(d, index)), GONE);
    // Rules that are gone only keep probes going; before an empty slot they have nothing to keep.
    if (stateOf(ruleAt(d, index + 1)) == EMPTY) {
      while (stateOf(ruleAt(d, index)) == GONE) {
        atomic.store<u32>(changetype<usize>(ruleAt(d, index)), EMPTY);
        index--;
      }
    }
    if ((kind & LISTENING) != 0) d.listening--;
    else d.exact--;
  }
  spinUnlock(changetype<usize>(d));
  return result;
}

/** Takes the lock over from a thread that died with it, and counts the rules anew. False when it did not hold it. */
export function directorRecover(base: usize, dead: u32): bool {
  if (!spinRecover(base, dead)) return false;
  const d = changetype<Director>(base);
  d.exact = 0;
  d.listening = 0;
  for (let i: u32 = 0; i <= d.mask; i++) {
    const r = ruleAt(d, i);
    if ((r.state & USED) == 0) continue;
    if ((r.kind & LISTENING) != 0) d.listening++;
    else d.exact++;
  }
  spinUnlock(base);
  return true;
}

/** Counts the rules that lead to a queue, and removes them if asked to. */
export function directorOfQueue(base: usize, queue: u32, removes: bool): u32 {
  const d = changetype<Director>(base);
  let found: u32 = 0;
  for (let i: u32 = 0; i <= d.mask; i++) {
    const r = ruleAt(d, i);
    if ((stateOf(r) & USED) == 0 || r.queue != queue) continue;
    found++;
    if (removes) remove(d, r.kind, r.source, r.destination, r.ports);
  }
  return found;
}

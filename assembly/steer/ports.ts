// The port table of a host: for each port of TCP and UDP a mask of the stacks that listen there, or have bound it.
// Read first: group.ts. A mask is one word, changed by one atomic operation: it needs no lock, and a dead stack's bit
// is simply taken out.

import { IPPROTO_TCP, IPPROTO_UDP, KIND_LISTENER, KIND_UDP } from "../layout";
import { bindHead } from "../socket/bind";
import { Socket } from "../socket/socket";
import { isLoopback } from "../wire/ipv4";
import { ruleListen, ruleUnlisten } from "../net/nic";
import { rulesPort, rulesTold } from "./rules";
import { PORTS_BYTES, group, groupOf, memberAt, self, selfBit } from "./group";

function maskAt(protocol: u32, port: u32): usize {
  return groupOf().ports + ((protocol == IPPROTO_UDP ? 65536 : 0) + port) * 8;
}

/** Stacks of the host that listen on a port, one bit each; 0 when this stack is the only one of its host. */
export function portMask(protocol: u32, port: u32): u64 {
  return group == 0 ? 0 : atomic.load<u64>(maskAt(protocol, port));
}

/** True when another stack of the host has a port. */
export function portTakenElsewhere(protocol: u32, port: u32): bool {
  return (portMask(protocol, port) & ~selfBit) != 0;
}

/**
 * This stack serves a port from now on. What is bound to the loopback is for this stack alone. While no other stack
 * has the port, the NIC brings what comes to it here at once; when one comes along, RSS gives both their share.
 */
export function portOpen(protocol: u32, address: u32, port: u32): void {
  if (isLoopback(address)) return;
  if (group == 0) {
    if (rulesTold() != 0) ruleListen(rulesTold(), protocol, port, 0);
    return;
  }
  const before = atomic.or<u64>(maskAt(protocol, port), selfBit);
  if ((before & selfBit) == 0) attract(protocol, port, before);
}

/** The same for a port that this stack has chosen and nobody else is to have; false when another stack has it. */
export function portReserve(protocol: u32, address: u32, port: u32): bool {
  if (isLoopback(address)) return true;
  if (group == 0) {
    portOpen(protocol, address, port);
    return true;
  }
  const before = atomic.or<u64>(maskAt(protocol, port), selfBit);
  if ((before & selfBit) != 0) return true;
  if (before != 0) {
    atomic.and<u64>(maskAt(protocol, port), ~selfBit);
    return false;
  }
  attract(protocol, port, 0);
  return true;
}

/** Has the NIC bring what comes to a port here, if no other stack has it. */
function attract(protocol: u32, port: u32, before: u64): void {
  const nic = rulesPort();
  if (nic == 0) return;
  if (before != 0) {
    ruleUnlisten(nic, protocol, port);
    return;
  }
  ruleListen(nic, protocol, port, memberAt(self).queue);
  // Another stack may have come between: each of the two looks after it has shown itself, so one of them sees it.
  if (portTakenElsewhere(protocol, port)) ruleUnlisten(nic, protocol, port);
}

/** A socket on a port has gone; this stack serves it no longer, unless another socket does. */
export function portClose(protocol: u32, port: u32): void {
  if (group == 0 && rulesTold() == 0) return;
  const kind = protocol == IPPROTO_UDP ? KIND_UDP : KIND_LISTENER;
  for (let at = bindHead(protocol, port); at != 0; at = changetype<Socket>(at).bindNext) {
    const s = changetype<Socket>(at);
    if (s.kind == kind && u32(s.localPort) == port && !isLoopback(s.localAddress)) return;
  }
  if (group == 0) {
    ruleUnlisten(rulesTold(), protocol, port);
    return;
  }
  const before = atomic.and<u64>(maskAt(protocol, port), ~selfBit);
  if (before == selfBit && rulesPort() != 0) ruleUnlisten(rulesPort(), protocol, port);
}

/** The stack among those of a mask (not 0) that a hash names: the same one whoever asks. */
export function pick(mask: u64, hash: u32): i32 {
  let skip = hash % u32(popcnt<u64>(mask));
  while (skip != 0) {
    mask &= mask - 1;
    skip--;
  }
  return i32(ctz<u64>(mask));
}

/** Takes a dead stack out of every port's mask, and its rules with it; returns how many ports it had. */
export function portsSweep(owner: u32): u32 {
  const g = groupOf();
  const bit = u64(1) << owner;
  let found: u32 = 0;
  for (let at: u32 = 0; at < PORTS_BYTES; at += 8) {
    const slot = usize(g.ports) + at;
    if ((atomic.load<u64>(slot) & bit) == 0) continue;
    found++;
    const before = atomic.and<u64>(slot, ~bit);
    const port = at >>> 3;
    if (before == bit && g.port != 0) ruleUnlisten(g.port, port >= 65536 ? IPPROTO_UDP : IPPROTO_TCP, port & 0xffff);
  }
  return found;
}

/** Ports that a stack serves: an audit. */
export function portsCount(owner: u32): u32 {
  if (group == 0) return 0;
  const g = groupOf();
  let found: u32 = 0;
  for (let at: u32 = 0; at < PORTS_BYTES; at += 8) {
    found += u32((atomic.load<u64>(usize(g.ports) + at) >> owner) & 1);
  }
  return found;
}

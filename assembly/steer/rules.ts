// Rules in the NIC's flow director for what RSS would not bring to this stack; they go when the flow goes.
// Read first: DPDK "Generic flow API"; table.ts, which notes for each flow whether it has a rule.

import { CAP_FLOW_RULES, CAP_PORT_RULES, MIB_STEER_RULES } from "../layout";
import { Netif, netifAt, netifQueueOf, netifServes } from "../net/netif";
import { ruleAdd, ruleRemove } from "../net/nic";
import { count, stack } from "../stack";
import { group, groupOf, memberAt, self, selfBit } from "./group";
import { tableMarkRule } from "./table";

/** Set while this stack's interface on the host's NIC takes rules and serves a queue of it. */
const STEER_RULES: u32 = 1;
/** Set while this stack is alone on a NIC that wants to know its ports; the number of the interface stands above. */
const STEER_PORTS: u32 = 2;
const STEER_PORTS_SHIFT: u32 = 8;

/** An interface on the host's NIC was added: may its stack make rules? */
export function rulesLearn(nif: Netif): void {
  if (group == 0 && (nif.caps & CAP_PORT_RULES) != 0) {
    stack.steerFlags = STEER_PORTS | (nif.index << STEER_PORTS_SHIFT);
  }
  if (group == 0 || nif.port != groupOf().port || !(nif.caps & CAP_FLOW_RULES)) return;
  if ((groupOf().queueless & selfBit) == 0) stack.steerFlags |= STEER_RULES;
}

/** Handle of the NIC when this stack can make rules on it, else 0. */
export function rulesPort(): u32 {
  return stack.steerFlags & STEER_RULES ? groupOf().port : 0;
}

/** Handle of a NIC that wants to know the ports of this stack, which is alone on it; else 0. */
export function rulesTold(): u32 {
  return stack.steerFlags & STEER_PORTS ? netifAt(stack.steerFlags >>> STEER_PORTS_SHIFT).port : 0;
}

/** Asks the NIC to bring a flow of this stack here if RSS would not; a NIC without room changes nothing. */
export function ruleFor(nif: Netif, protocol: u32, local: u32, remote: u32, ports: u32): void {
  if (nif.loopback || rulesPort() != nif.port || nif.port == 0) return;
  const remotePort = ports & 0xffff;
  const localPort = ports >>> 16;
  if (netifServes(nif, netifQueueOf(nif, protocol, remote, local, remotePort, localPort))) return;
  if (ruleAdd(nif.port, protocol, remote, local, remotePort, localPort, memberAt(self).queue) != 0) return;
  tableMarkRule(protocol, local, remote, ports);
  count(MIB_STEER_RULES);
}

/** Takes a flow's rule out. */
export function ruleDrop(protocol: u32, local: u32, remote: u32, ports: u32): void {
  ruleRemove(groupOf().port, protocol, remote, local, ports & 0xffff, ports >>> 16);
}

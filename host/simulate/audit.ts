// The stock-taking at the end of a scenario: pools, NICs and wires hold what they held at the start, no timer waits.

import type { Host } from "../host.ts";
import { SimulationFailure } from "./failure.ts";

/** Elements in use by what they are. */
export type Stock = Record<string, number>;

/** What a host holds now. */
export function stockOf(host: Host): Stock {
  const { nic, stack } = host;
  const stock: Stock = {};
  for (const [name, { used }] of Object.entries(host.pools())) stock[`pool ${name}`] = used;
  nic.mbufsInUse().forEach((used, queue) => (stock[`receive mbufs of queue ${queue}`] = used));
  for (let queue = 0; queue < nic.queues; queue++) stock[`frames in queue ${queue}`] = nic.pending(queue);
  stock["frames on the wire"] = (nic.links.toWire?.inFlight ?? 0) + (nic.links.toHost?.inFlight ?? 0);
  stock["established connections"] = stack.core.currEstab();
  stock["orphans"] = stack.core.orphanCount();
  stock["TIME-WAIT records"] = stack.core.timeWaitCount();
  stock["timers"] = Number(host.nextDeadline() !== Infinity);
  return stock;
}

/** @throws {SimulationFailure} when a host does not hold what it held at the start */
export function audit(host: Host, start: Stock): void {
  const left = Object.entries(stockOf(host)).filter(([name, used]) => used !== start[name]);
  if (left.length === 0) return;
  const list = left.map(([name, used]) => `${name} ${used}, not ${start[name]}`);
  throw new SimulationFailure("leak", `host ${host.name} at the end: ${list.join("; ")}`);
}

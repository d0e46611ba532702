// The network of a scenario: two hosts on a bridge, their wires, and a clock that is about to wrap.
// Read first: host/network.ts; RFC 9293 3.4.1 (the choice of initial sequence numbers), RFC 7323 section 5.4.

import type { Host } from "../host.ts";
import { createNetwork, type Network } from "../network.ts";
import { scanAddress } from "../posix/address.ts";
import type { ConnectionPlan, Scenario } from "./scenario.ts";

export interface World {
  network: Network;
  hosts: readonly [Host, Host];
}

const NAMES = ["a", "b"] as const;
const ADDRESSES = ["10.0.0.1", "10.0.0.2"] as const;
const WRAP = 2 ** 32;
/** The clock of initial sequence numbers ticks so often in a microsecond (assembly/tcp/isn.ts). */
const ISN_TICKS = 16;

/** Makes the network, at rest, its clock where the scenario wants it, its wires not yet impaired. */
export function createWorld(scenario: Scenario, debug = false): World {
  const { seed, clock } = scenario;
  const startMicros = clock.kind === "time" ? clock.startMicros : 0;
  const network = createNetwork({ seed, time: "virtual", startMicros, debug });
  const bridge = network.bridge("lan");
  const make = (i: 0 | 1): Host =>
    network.host(NAMES[i], { ...scenario.hosts[i], bridge, address: `${ADDRESSES[i]}/24` });
  const hosts = [make(0), make(1)] as const;
  meet(hosts[0], hosts[1]);
  meet(hosts[1], hosts[0]);
  network.settle();
  turnClock(network, hosts, scenario);
  return { network, hosts };
}

/** Puts the wires in. */
export function impair({ hosts }: World, scenario: Scenario): void {
  hosts.forEach((host, i) => host.setLink(scenario.links[i as 0 | 1]));
}

/** A permanent ARP entry: three lost requests would end a connection, as they do on Linux. */
export function meet(host: Host, neighbour: Host): void {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = neighbour.nic.mac.split(":").map((byte) => parseInt(byte, 16));
  const result = host.stack.core.arpAdd(
    scanAddress(neighbour.address),
    (a << 8) | b,
    ((c << 24) | (d << 16) | (e << 8) | f) >>> 0,
  );
  if (result < 0) throw new Error(`arpAdd() gave ${result}.`);
}

/** Lets time pass until the numbers that the scenario names are as far from their wrap as it wants. */
function turnClock(network: Network, hosts: readonly [Host, Host], { clock, connections }: Scenario): void {
  if (clock.kind === "time") return;
  const { client, clientPort, serverPort } = connections[0] as ConnectionPlan;
  const which = clock.end === 0 ? client : 1 - client;
  const { core } = (hosts[which] as Host).stack;
  const [own, other] = [scanAddress(ADDRESSES[which] as string), scanAddress(ADDRESSES[1 - which] as string)];
  const modulo = (value: number): number => ((value % WRAP) + WRAP) % WRAP;
  core.poll(network.now());
  if (clock.kind === "sequence") {
    const ports = clock.end === 0 ? clientPort * 65536 + serverPort : serverPort * 65536 + clientPort;
    const first = core.initialSequence(own, other, ports) >>> 0;
    network.advance(modulo(WRAP - clock.distance - first) / ISN_TICKS);
  } else {
    const millis = Math.floor(network.now() / 1000) + (core.timestampOffset(own, other) >>> 0);
    network.advance(modulo(WRAP - clock.distance - millis) * 1000);
  }
  network.step();
}

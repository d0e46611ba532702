// Two hosts on a bridge in virtual time: what most tests of sockets stand on.

import { createNetwork, type Network, type StackOptions } from "../../host/index.ts";
import type { Posix } from "../../host/posix/posix.ts";

/** The two ends, and the time they live in. */
export interface TwoHosts {
  readonly network: Network;
  readonly client: Posix;
  readonly server: Posix;
  readonly clientAddress: string;
  readonly serverAddress: string;
  /** The time, microseconds. */
  now(): number;
  /** One step of the network; returns the work done. */
  step(): number;
  /** Lets milliseconds of virtual time pass. */
  advance(millis: number): void;
  /** Elements in use by pool, of the client and of the server. */
  pools(): Record<string, number>[];
}

/** ORIBI_THREADS=separate: the same calls, by way of what business threads share with the stacks. */
const THREADS: "shared" | "separate" = process.env.ORIBI_THREADS === "separate" ? "separate" : "shared";

/** Makes them; the stacks of both have these sizes. */
export function twoHosts(stack: StackOptions = {}, seed: number | string = 1, threads = THREADS): TwoHosts {
  const network = createNetwork({ seed, time: "virtual" });
  const bridge = network.bridge("lan");
  const client = network.host("client", { bridge, address: "10.0.0.1/24", stack, threads });
  const server = network.host("server", { bridge, address: "10.0.0.2/24", stack, threads });
  network.settle(); // the announcements of both addresses
  return {
    network,
    client: client.posix,
    server: server.posix,
    clientAddress: client.address,
    serverAddress: server.address,
    now: () => network.now(),
    step: () => network.step(),
    advance: (millis) => network.advance(millis * 1000),
    pools: () =>
      [client, server].map((host) =>
        Object.fromEntries(Object.entries(host.pools()).map(([name, pool]) => [name, pool.used])),
      ),
  };
}

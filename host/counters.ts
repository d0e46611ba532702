// The core's counters as plain objects: { ip: { inReceives }, tcp: { retransSegs } }, named after the MIBs.
// Read first: RFC 4293 (IP), RFC 4022 (TCP), RFC 4113 (UDP); the MIB_ list in assembly/layout.ts.

import * as layout from "../assembly/layout.ts";

/** Counters by group (ip, icmp, igmp, arp, eth, udp, tcp, steer, mbuf) and name. */
export type Counters = Record<CounterGroup, Record<string, number>>;
export type CounterGroup = "ip" | "icmp" | "igmp" | "arp" | "eth" | "udp" | "tcp" | "steer" | "mbuf";

interface CounterPlace {
  group: CounterGroup;
  name: string;
  index: number;
}

const PLACES: readonly CounterPlace[] = Object.entries(layout)
  .filter(([name]) => name.startsWith("MIB_") && name !== "MIB_COUNT")
  .map(([name, index]) => {
    const [group = "", ...words] = name.slice(4).toLowerCase().split("_");
    const camel = words.map((word, i) => (i === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1))).join("");
    return { group: group as CounterGroup, name: camel, index: Number(index) };
  });

/** Reads the counters that start at `address`; above 2^53 they lose their last bits. */
export function readCounters(buffer: ArrayBufferLike, address: number): Counters {
  const words = new BigUint64Array(buffer, address, layout.MIB_COUNT);
  const counters: Counters = {
    ip: {},
    icmp: {},
    igmp: {},
    arp: {},
    eth: {},
    udp: {},
    tcp: {},
    steer: {},
    mbuf: {},
  };
  for (const { group, name, index } of PLACES) counters[group][name] = Number(words[index]);
  return counters;
}

/** Counters of several stacks, added up. */
export function sumCounters(all: readonly Counters[]): Counters {
  const [sum, ...rest] = all.map((counters) => structuredClone(counters)) as [Counters, ...Counters[]];
  for (const counters of rest) {
    for (const [group, named] of Object.entries(counters)) {
      const into = sum[group as CounterGroup];
      for (const [name, value] of Object.entries(named)) into[name] = (into[name] ?? 0) + value;
    }
  }
  return sum;
}

const POOL_NAMES = Object.entries(layout)
  .filter(([name]) => name.startsWith("POOL_") && name !== "POOL_COUNT")
  .map(([name, index]) => {
    const words = name.slice(5).toLowerCase().split("_");
    return {
      name: words.map((word, i) => (i === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1))).join(""),
      index: Number(index),
    };
  });

/** One pool of a stack: elements. */
export interface PoolUse {
  used: number;
  capacity: number;
  /** Most that were ever in use. */
  peak: number;
  /** Requests that found it empty. */
  failures: number;
}

interface PoolExports {
  poolUsed(index: number): number;
  poolCapacity(index: number): number;
  poolPeak(index: number): number;
  poolFailures(index: number): number;
}

/** The pools of several stacks, added up; the peaks too, though they may not have been at one time. */
export function sumPools(all: readonly Record<string, PoolUse>[]): Record<string, PoolUse> {
  const sum: Record<string, PoolUse> = {};
  for (const pools of all) {
    for (const [name, { used, capacity, peak, failures }] of Object.entries(pools)) {
      const into = (sum[name] ??= { used: 0, capacity: 0, peak: 0, failures: 0 });
      into.used += used;
      into.capacity += capacity;
      into.peak += peak;
      into.failures += failures;
    }
  }
  return sum;
}

/** The pools of a stack by name: mbuf, mbufL2, tcb, flight, txseg, island, chunk, chunkLarge, socket, epitem, ... */
export function readPools(core: PoolExports): Record<string, PoolUse> {
  const pools: Record<string, PoolUse> = {};
  for (const { name, index } of POOL_NAMES) {
    pools[name] = {
      used: core.poolUsed(index),
      capacity: core.poolCapacity(index),
      peak: core.poolPeak(index),
      failures: core.poolFailures(index),
    };
  }
  return pools;
}

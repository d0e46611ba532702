// The rows of the bench, in the order in which they run. Each row's modules are loaded when it is wanted.
// Read first: row.ts; DESIGN.md section 6.

import type { Row } from "./row.ts";

/** Names of the rows, and where they are. */
const MODULES: Readonly<Record<string, () => Promise<Row>>> = {
  tcp_rr_1: async () => (await import("./tcp-rr.ts")).tcpRr1,
  tcp_rr_64: async () => (await import("./tcp-rr.ts")).tcpRr64,
  tcp_rr_2threads: async () => (await import("./tcp-rr.ts")).tcpRr2Threads,
  tcp_stream_1500: async () => (await import("./tcp-stream.ts")).tcpStream1500,
  tcp_stream_tso: async () => (await import("./tcp-stream.ts")).tcpStreamTso,
  tcp_crr: async () => (await import("./tcp-crr.ts")).tcpCrr,
  udp_rr: async () => (await import("./udp.ts")).udpRr,
  udp_pps: async () => (await import("./udp.ts")).udpPps,
  sep_rr: async () => (await import("./separate.ts")).sepRr,
  sep_rr_adaptive: async () => (await import("./separate.ts")).sepRrAdaptive,
  sep_stream: async () => (await import("./separate.ts")).sepStream,
  idle_cpu_percent: async () => (await import("./separate.ts")).idleCpuPercent,
  queues_2: async () => (await import("./queues.ts")).queues2,
  queues_2_crr: async () => (await import("./queues.ts")).queues2Crr,
  queues_2_crossing: async () => (await import("./queues.ts")).queues2Crossing,
  queues_curve: async () => (await import("./queue-curve.ts")).queuesCurve,
  forward_ns: async () => (await import("./forward.ts")).forwardNs,
  ltran_ns: async () => (await import("./ltran.ts")).ltranNs,
  bridge_pps: async () => (await import("./bridge.ts")).bridgePps,
  flows_1k: async () => (await import("./many.ts")).flows1k,
  flows_100k: async () => (await import("./many.ts")).flows100k,
  flows_100k_idle: async () => (await import("./many.ts")).flows100kIdle,
  idle_bytes_100k: async () => (await import("./many.ts")).idleBytes100k,
  idle_bytes_1m: async () => (await import("./many.ts")).idleBytes1m,
  checksum: async () => (await import("./micro.ts")).checksumRow,
  ring: async () => (await import("./micro.ts")).ringRow,
};

export const ROW_NAMES: readonly string[] = Object.keys(MODULES);

/** The row of that name, one of ROW_NAMES. */
export async function loadRow(name: string): Promise<Row> {
  const load = MODULES[name];
  if (load === undefined) throw new RangeError(`There is no row "${name}".`);
  return load();
}

/** Rows that a filter means: one named so, or all whose names hold its text; several with commas between. */
export function rowsFor(filter: string): string[] {
  const wanted = new Set<string>();
  for (const part of filter.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    if (ROW_NAMES.includes(part)) wanted.add(part);
    else for (const name of ROW_NAMES) if (name.includes(part)) wanted.add(name);
  }
  return ROW_NAMES.filter((name) => wanted.has(name));
}

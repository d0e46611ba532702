// The one interface that every NIC implements: the stack sees its handle, people see the rest.
// Read first: DESIGN.md section 3; DPDK "Poll Mode Driver", rte_eth_dev_info, rte_eth_stats.

import type { Capture } from "./capture.ts";
import type { Director } from "./director.ts";
import type { Link, LinkDirection, LinkOptions } from "./link.ts";
import type { Rss } from "./rss.ts";

/** Counters by name, as DPDK's xstats. */
export type Xstats = Record<string, number>;

/** Enough to open a port again in another thread: plain data. */
export interface PortDescription {
  kind: string;
  name: string;
  handle: number;
}

export interface Port {
  /** "user-veth", or what else implements this. */
  readonly kind: string;
  readonly name: string;
  /** Six bytes as "02:00:00:00:00:01". */
  readonly mac: string;
  /** Largest IPv4 datagram, bytes. */
  readonly mtu: number;
  /** RX queues, and as many TX queues. */
  readonly queues: number;
  /** CAP_* of assembly/layout.ts. */
  readonly capabilities: number;
  /** What rxBurst, txBurst and queueOf take as `port`. */
  readonly handle: number;
  /** Number of the port in its network: mbuf.port, and the interface in captures. */
  readonly index: number;
  readonly rss: Rss;
  readonly director: Director;
  /** The links of both directions, where there are any. */
  readonly links: { readonly toWire?: Link; readonly toHost?: Link };

  /** Puts a link between the host and its wire, or changes the rules of the one that is there. */
  setLink(direction: LinkDirection, options: LinkOptions): Link;
  /** Captures both directions into a ring; null ends it. */
  setCapture(capture: Capture | null): void;
  /** Counters of the port and of each queue. */
  xstats(): Xstats;
  describe(): PortDescription;
  /** Unplugs the port and gives its memory back. No thread may use it any more. */
  close(): void;
}

// The small worlds that are explored: what the two ends of one connection do, step by step.
// Read first: end.ts, which does it; RFC 9293 3.5 (establishing a connection) and 3.6 (closing it).

import { ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT } from "../../assembly/layout.ts";
import { PATIENCE } from "../simulate/draw.ts";

/** What an end does next, and with how many bytes, or when (microseconds after the start). */
export type Step =
  | readonly ["connect" | "accept" | "end" | "shutdown" | "close" | "reset"]
  | readonly ["send" | "receive" | "until", number];

export interface World {
  name: string;
  /** One line about it. */
  about: string;
  /** Of host a and of host b. Who does not accept connects. */
  ends: readonly [readonly Step[], readonly Step[]];
  /** Tunables of both hosts beside those that make them patient. */
  sysctl?: Record<string, number>;
  /** Socket options of both ends, by the names of host/simulate/options.ts. */
  options?: Record<string, number>;
  /** Errors that an end may meet (positive errno); with any the connection may end before all has arrived. */
  mayFail?: readonly number[];
  /** No end waits for a connection: connect() must be refused. */
  isRefused?: boolean;
}

/** MTU of both hosts: segments are small, so that a world is small. */
export const MTU = 300;
/** Payload of a full segment: 40 bytes of headers, 12 of timestamps. */
const SEGMENT = MTU - 52;
const FOUR = 4 * SEGMENT;
/** A time at which a connection is long established, whatever the wire does to its first frames seldom. */
const TOGETHER = 100_000;

/** Who asks hears of a connection that the other end has forgotten. */
const KEEPALIVE = { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 20, TCP_KEEPINTVL: 10, TCP_KEEPCNT: 40 };
const BROKEN = [ECONNRESET, EPIPE, ETIMEDOUT];

export const WORLDS: readonly World[] = [
  {
    name: "open",
    about: "set-up, and an end at once: the client's FIN follows its ACK",
    ends: [
      [["connect"], ["close"]],
      [["accept"], ["end"], ["close"]],
    ],
  },
  {
    name: "open-both",
    about: "simultaneous open (RFC 9293 3.5, figure 7), one segment each way",
    ends: [
      [["connect"], ["send", SEGMENT], ["shutdown"], ["end"], ["close"]],
      [["connect"], ["send", SEGMENT], ["shutdown"], ["end"], ["close"]],
    ],
  },
  {
    name: "open-cookies",
    about: "set-up by SYN cookies (RFC 4987), four segments from the client",
    ends: [
      [["connect"], ["send", FOUR], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["end"], ["close"]],
    ],
    sysctl: { tcp_syncookies: 2 },
    // A cookie is good for minutes; when the wire takes longer, the server knows nothing of the connection.
    mayFail: BROKEN,
    options: KEEPALIVE,
  },
  {
    name: "open-refused",
    about: "a SYN to a port where nobody listens",
    ends: [[["connect"]], []],
    isRefused: true,
    mayFail: [ECONNREFUSED],
  },
  {
    name: "upload",
    about: "four segments from the client",
    ends: [
      [["connect"], ["send", FOUR], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["end"], ["close"]],
    ],
  },
  {
    name: "download",
    about: "four segments from the server, which closes first",
    ends: [
      [["connect"], ["end"], ["close"]],
      [["accept"], ["send", FOUR], ["shutdown"], ["end"], ["close"]],
    ],
  },
  {
    name: "exchange",
    about: "four segments each way at once",
    ends: [
      [["connect"], ["send", FOUR], ["receive", FOUR], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["send", FOUR], ["receive", FOUR], ["shutdown"], ["end"], ["close"]],
    ],
  },
  {
    name: "slow-start",
    about: "four segments with a congestion window of one",
    ends: [
      [["connect"], ["send", FOUR], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["end"], ["close"]],
    ],
    sysctl: { tcp_init_cwnd: 1 },
  },
  {
    name: "plain",
    about: "four segments without timestamps, SACK and window scaling",
    ends: [
      [["connect"], ["send", FOUR], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["end"], ["close"]],
    ],
    sysctl: { tcp_timestamps: 0, tcp_sack: 0, tcp_window_scaling: 0, tcp_recovery: 0, tcp_early_retrans: 0 },
  },
  {
    name: "close-client",
    about: "request and answer, the client closes first",
    ends: [
      [["connect"], ["send", 100], ["receive", 100], ["close"]],
      [["accept"], ["receive", 100], ["send", 100], ["end"], ["close"]],
    ],
  },
  {
    name: "close-server",
    about: "request and answer, the server closes first",
    ends: [
      [["connect"], ["send", 100], ["receive", 100], ["end"], ["close"]],
      [["accept"], ["receive", 100], ["send", 100], ["close"]],
    ],
  },
  {
    name: "close-both",
    about: "simultaneous close (RFC 9293 3.6, figure 13)",
    ends: [
      [["connect"], ["until", TOGETHER], ["close"]],
      [["accept"], ["until", TOGETHER], ["close"]],
    ],
  },
  {
    name: "close-half",
    about: "the client ends its direction, then the server sends four segments",
    ends: [
      [["connect"], ["send", 100], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["end"], ["send", FOUR], ["close"]],
    ],
  },
  {
    name: "reset-client",
    about: "the client resets the connection (SO_LINGER 0) while the server sends",
    ends: [
      [["connect"], ["receive", 100], ["reset"]],
      [["accept"], ["send", FOUR], ["end"], ["close"]],
    ],
    mayFail: BROKEN,
    options: KEEPALIVE,
  },
  {
    name: "reset-server",
    about: "the server resets the connection (SO_LINGER 0) when it has read a request",
    ends: [
      [["connect"], ["send", 100], ["end"], ["close"]],
      [["accept"], ["receive", 100], ["reset"]],
    ],
    mayFail: BROKEN,
    options: KEEPALIVE,
  },
  {
    name: "reset-unread",
    about: "the server closes with bytes unread, so it resets (RFC 1122 4.2.2.13)",
    ends: [
      [["connect"], ["send", FOUR], ["end"], ["close"]],
      [["accept"], ["receive", 100], ["until", TOGETHER], ["close"]],
    ],
    mayFail: BROKEN,
    options: KEEPALIVE,
  },
  {
    name: "give-up",
    about: "an exchange of hosts without patience: two retries, then ETIMEDOUT",
    ends: [
      [["connect"], ["send", FOUR], ["shutdown"], ["end"], ["close"]],
      [["accept"], ["send", 100], ["shutdown"], ["end"], ["close"]],
    ],
    sysctl: {
      tcp_syn_retries: 2,
      tcp_synack_retries: 2,
      tcp_retries2: 3,
      tcp_orphan_retries: 2,
      tcp_fin_timeout: 5,
    },
    mayFail: BROKEN,
    options: { ...KEEPALIVE, TCP_KEEPCNT: 3 },
  },
];

/** The tunables of a world's hosts. */
export function sysctlOf(world: World): Record<string, number> {
  return { ...PATIENCE, ...world.sysctl };
}

// The options of networks and hosts, their defaults, and what is made of them.
// Read first: network.ts.

import type { AffinityOptions } from "./threads/affinity.ts";
import type { NicOptions, UserVbridge, UserVeth } from "../veth/index.ts";
import { CAP_RX_LRO, GROUP_STACKS_MAX } from "../assembly/layout.ts";
import { parseDuration } from "../veth/options.ts";
import { optionError } from "./errors.ts";
import type { HostLink } from "./host.ts";
import type { Ltran } from "./ltran.ts";
import type { ShareOptions } from "./share.ts";
import type { PollMode } from "./threads/thread-driver.ts";
import type { StackOptions } from "./stack-options.ts";

export interface NetworkOptions {
  /** Gives every random choice. Default: a different one each time (`network.seed` tells which). */
  seed?: number | string;
  /**
   * "real": the machine's clock. "virtual": time moves only by advance() and by waiting, and the same seed gives the
   * same bytes.
   */
  time?: "real" | "virtual";
  /** What a virtual clock shows at first, microseconds; to see 32-bit clocks wrap, for example. Default: 0. */
  startMicros?: number;
  /** Load the debug build of the core, whose traps name file and line. */
  debug?: boolean;
  /**
   * A thread that shows no life for so long (its stack does not beat, its event loop does not turn, it does not sleep)
   * has hung, and is ended. Default: "30s"; Infinity: never.
   */
  hangAfter?: number | string;
  /** Closes the network when it is aborted. */
  signal?: AbortSignal;
}

/** What createNetwork() does when nothing is said. */
export const NETWORK_DEFAULTS: Readonly<Required<Pick<NetworkOptions, "time" | "hangAfter">>> = Object.freeze({
  time: "real",
  hangAfter: "30s",
});

/** The options of a host that are its NIC's. */
export const NIC_KEYS = Object.freeze([
  "mac",
  "mtu",
  "queues",
  "ringSize",
  "rules",
  "offloads",
  "flowControl",
  "rssKey",
  "rssTypes",
] as const);

export interface HostOptions extends Pick<NicOptions, (typeof NIC_KEYS)[number]>, AffinityOptions {
  /** The bridge that the host's NIC is plugged into; without one it is plugged into nothing. */
  bridge?: UserVbridge;
  /** A NIC that is there already, a function of one with VFs: `nic.vf(0)`. What NICs are made with is left out then. */
  port?: UserVeth;
  /**
   * Isolates the host: its stack and NIC lie in a memory of their own, and this ltran forwards its frames. In place of
   * a bridge; with one stack, whose thread is shared with its application. Hosts may have the same address: then their
   * ltran brings each what is for its connections and ports.
   */
  ltran?: Ltran;
  /** IPv4 address with prefix length: "10.0.0.1/24". */
  address: string;
  /** Default gateway. */
  gateway?: string;
  /** Impairments of the host's wire. */
  link?: HostLink;
  /**
   * Mbufs of the pool behind each RX queue, at least `ringSize`. Default: twice as many, so that a full ring leaves as
   * many to what is under way, and to packets of several mbufs.
   */
  rxMbufs?: number;
  /** Sizes of the pools of each stack. */
  stack?: StackOptions;
  /**
   * Stacks, 1 to 64: one for each thread that is to serve the host. All have the host's addresses, each its own queue
   * of the NIC (`queues`: as many by default) and its own sockets; packets for another one are handed over.
   */
  stacks?: number;
  /** Tunables by Linux's names. */
  sysctl?: Record<string, number | string>;
  /**
   * "shared": a stack runs in the thread of its application, and within the calls of that. "separate": each stack has
   * a thread of its own, and any thread may use the host: this one by `host.posix`, others by attachHost(). In
   * simulated time the stacks are stepped in this thread, and calls go the same way as between threads.
   */
  threads?: "shared" | "separate";
  /** How separate threads, the stacks' and those that call, wait for work. Default: "adaptive". */
  poll?: PollMode;
  /** Sizes of what separate threads share. */
  share?: ShareOptions;
}

/** The options of a host's NIC. */
export function nicOptionsOf(name: string, options: HostOptions, stacks: number): NicOptions {
  const nic: NicOptions = { name, txQueues: Math.max(stacks, options.queues ?? 1) };
  for (const key of NIC_KEYS) if (options[key] !== undefined) Object.assign(nic, { [key]: options[key] });
  if (options.rxMbufs !== undefined) nic.mbufs = options.rxMbufs;
  return nic;
}

/** Refuses options that cannot go together. @throws {OribiError} ERR_ORIBI_OPTION */
export function checkPlace(options: HostOptions, stacks: number): void {
  const { port, ltran, bridge, threads, link } = options;
  const merges = port === undefined ? options.offloads?.lro === true : (port.capabilities & CAP_RX_LRO) !== 0;
  if (merges && options.stack?.forwarding === true) {
    throw optionError(
      "stack.forwarding",
      true,
      "false where the NIC merges segments (offloads.lro): they leave as one",
    );
  }
  if (port !== undefined) {
    const given = ["bridge", "ltran", "rxMbufs", ...NIC_KEYS].find(
      (name) => options[name as keyof HostOptions] !== undefined,
    );
    if (given !== undefined) throw optionError(given, options[given as keyof HostOptions], "left out: the port has it");
    if (port.queues < stacks)
      throw optionError("stacks", stacks, `at most ${port.queues}: the queues of "${port.name}"`);
  }
  if (ltran === undefined) return;
  if (bridge !== undefined) throw optionError("bridge", bridge.name, "left out: the ltran is plugged into it");
  if (link !== undefined) throw optionError("link", link, "left out: put it before another host");
  if (stacks !== 1) throw optionError("stacks", stacks, "1 behind an ltran: make several hosts with one address");
  if ((options.queues ?? 1) !== 1) throw optionError("queues", options.queues, "1 behind an ltran");
  if (threads === "separate") throw optionError("threads", threads, '"shared" behind an ltran');
}

/** Latest start of a virtual clock: a century; doubles still tell half a microsecond there. */
const START_MICROS_MAX = 3.2e15;

/** The start of a virtual clock. */
export function startOf({ startMicros = 0 }: NetworkOptions): number {
  if (startMicros >= 0 && startMicros <= START_MICROS_MAX) return startMicros;
  throw optionError("startMicros", startMicros, `a number from 0 to ${START_MICROS_MAX}`);
}

/** Milliseconds without a sign of life. */
export function hangMillisOf({ hangAfter = NETWORK_DEFAULTS.hangAfter }: NetworkOptions): number {
  return hangAfter === Infinity ? Infinity : parseDuration("hangAfter", hangAfter) / 1000;
}

/** How many stacks a host is to have. */
export function stacksOf({ stacks = 1, stack }: HostOptions): number {
  if (!Number.isInteger(stacks) || stacks < 1 || stacks > GROUP_STACKS_MAX) {
    throw optionError("stacks", stacks, `a whole number from 1 to ${GROUP_STACKS_MAX}`);
  }
  // A router's packets belong to no connection, and its fragments to no port.
  if (stacks > 1 && stack?.forwarding === true) throw optionError("stacks", stacks, "1 for a host that forwards");
  return stacks;
}

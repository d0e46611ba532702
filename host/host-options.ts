// The options of a host: Network.host() takes them.

import type { NicOptions, UserVbridge } from "../veth/index.ts";
import type { HostLink } from "./host.ts";
import type { StackOptions } from "./stack-options.ts";

export interface HostOptions extends Pick<
  NicOptions,
  "mac" | "mtu" | "queues" | "ringSize" | "rules" | "offloads" | "flowControl"
> {
  /** The bridge that the host's NIC is plugged into; without one it is plugged into nothing. */
  bridge?: UserVbridge;
  /** IPv4 address with prefix length: "10.0.0.1/24". */
  address: string;
  /** Default gateway. */
  gateway?: string;
  /** Impairments of the host's wire. */
  link?: HostLink;
  /** Sizes of the stack's pools. */
  stack?: StackOptions;
  /** Tunables by Linux's names. */
  sysctl?: Record<string, number | string>;
}

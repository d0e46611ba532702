// The options of a user-veth, their defaults and their bounds.
// Read first: assembly/layout.ts for CAP_*; veth/nic.ts.

import {
  CAP_FLOW_RULES,
  CAP_PORT_RULES,
  CAP_RSS_HASH,
  CAP_RX_CSUM,
  CAP_RX_LRO,
  CAP_TX_IP_CSUM,
  CAP_TX_L4_CSUM,
  CAP_TX_TSO,
  CAP_VLAN,
  MBUF_BYTES,
  PORT_FLOW_CONTROL,
  PORT_PROMISCUOUS,
  PORT_QUEUES_MAX,
  PORT_UP,
} from "../assembly/layout.ts";
import {
  checkNames,
  checkRegion,
  OptionError,
  parseBoolean,
  parseInteger,
  parseMac,
  parsePowerOfTwo,
  withDefaults,
} from "./options.ts";
import { DEFAULT_RSS_KEY, DEFAULT_RSS_TYPES, rssKeyBytes, type RssKey, type RssType, rssTypeBits } from "./rss.ts";

/** Work that the NIC takes off the stack. */
export interface OffloadOptions {
  /** Computes IPv4, TCP and UDP checksums of what is sent. */
  txChecksum?: boolean;
  /** Verifies those of what is received. */
  rxChecksum?: boolean;
  /** Takes large TCP packets and cuts them where the receiver does not take them whole. */
  tso?: boolean;
  /** Takes large TCP packets whole. */
  lro?: boolean;
  /** Strips and inserts 802.1Q tags. */
  vlan?: boolean;
  /** Hashes every packet, even with one queue. */
  rssHash?: boolean;
}

export interface NicOptions {
  name?: string;
  /** "02:00:00:00:00:01"; by default made from the index. */
  mac?: string;
  /** Number of the port in its network, 0 to 65535; by default the next one. */
  index?: number;
  /** Largest IPv4 datagram, 68 to 65535 bytes. */
  mtu?: number;
  /** RX queues: 1 to 64. */
  queues?: number;
  /** TX queues, one for each thread that sends: 1 to 64, at least as many as RX queues, which is the default. */
  txQueues?: number;
  /** RX descriptors of each queue: a power of two, 16 to 32768. */
  ringSize?: number;
  /** Mbufs of each RX queue, at least `ringSize`; by default twice as many. */
  mbufs?: number;
  /** Rules that the flow director holds, 1 to 1048576. */
  rules?: number;
  offloads?: OffloadOptions;
  /** txBurst stops at a frame whose receiver has no room, in place of losing it. */
  flowControl?: boolean;
  promiscuous?: boolean;
  /** It is told which local ports its stack serves, though that is its only one: an ltran brings what is for them. */
  portRules?: boolean;
  /** By default Microsoft's; "symmetric" brings both directions of a flow to the same queue number. */
  rssKey?: RssKey;
  rssTypes?: readonly RssType[];
}

export const OFFLOAD_DEFAULTS: Readonly<Required<OffloadOptions>> = Object.freeze({
  txChecksum: true,
  rxChecksum: true,
  tso: false,
  lro: false,
  vlan: false,
  rssHash: false,
});

export const NIC_DEFAULTS = Object.freeze({
  mtu: 1500,
  queues: 1,
  ringSize: 1024,
  rules: 1024,
  offloads: OFFLOAD_DEFAULTS,
  flowControl: true,
  promiscuous: false,
  portRules: false,
  rssKey: DEFAULT_RSS_KEY,
  rssTypes: DEFAULT_RSS_TYPES,
});

/** Options checked and in the datapath's terms. */
export interface ResolvedNic {
  name: string;
  mac: Uint8Array;
  mtu: number;
  queues: number;
  txQueues: number;
  ringSize: number;
  mbufs: number;
  rules: number;
  capabilities: number;
  flags: number;
  rssKey: Uint8Array;
  rssTypes: number;
}

const OFFLOAD_BITS: Record<keyof OffloadOptions, number> = {
  txChecksum: CAP_TX_L4_CSUM | CAP_TX_IP_CSUM,
  rxChecksum: CAP_RX_CSUM,
  tso: CAP_TX_TSO,
  lro: CAP_RX_LRO,
  vlan: CAP_VLAN,
  rssHash: CAP_RSS_HASH,
};

/** @throws {OptionError} */
export function resolveNicOptions(options: NicOptions, index: number): ResolvedNic {
  checkNames("nic", options, ["name", "mac", "index", "mbufs", "txQueues", ...Object.keys(NIC_DEFAULTS)]);
  parseInteger("nic.index", index, 0, 65535);
  const nic = withDefaults<Required<Omit<NicOptions, "name" | "mac" | "index" | "mbufs" | "txQueues">>>(
    NIC_DEFAULTS,
    options,
  );
  const ringSize = parsePowerOfTwo("nic.ringSize", nic.ringSize, 16, 32768);
  const queues = parseInteger("nic.queues", nic.queues, 1, PORT_QUEUES_MAX);
  const mbufs = parseInteger("nic.mbufs", options.mbufs ?? 2 * ringSize, ringSize, 65536);
  checkRegion("nic.mbufs", mbufs, queues * (mbufs * (MBUF_BYTES + 8) + 65536));
  return {
    name: options.name ?? `veth${index}`,
    mac: macOf(options.mac, index),
    mtu: parseInteger("nic.mtu", nic.mtu, 68, 65535),
    queues,
    txQueues: parseInteger("nic.txQueues", options.txQueues ?? queues, queues, PORT_QUEUES_MAX),
    ringSize,
    mbufs,
    rules: parseInteger("nic.rules", nic.rules, 1, 1048576),
    capabilities: capabilitiesOf(nic.offloads) | (parseBoolean("nic.portRules", nic.portRules) ? CAP_PORT_RULES : 0),
    flags:
      PORT_UP |
      (parseBoolean("nic.flowControl", nic.flowControl) ? PORT_FLOW_CONTROL : 0) |
      (parseBoolean("nic.promiscuous", nic.promiscuous) ? PORT_PROMISCUOUS : 0),
    rssKey: rssKeyBytes("nic.rssKey", nic.rssKey),
    rssTypes: rssTypeBits("nic.rssTypes", nic.rssTypes),
  };
}

function capabilitiesOf(options: OffloadOptions): number {
  checkNames("nic.offloads", options, Object.keys(OFFLOAD_BITS));
  const offloads = withDefaults(OFFLOAD_DEFAULTS, options);
  let bits = CAP_FLOW_RULES;
  for (const [name, bit] of Object.entries(OFFLOAD_BITS)) {
    if (parseBoolean(`nic.offloads.${name}`, offloads[name as keyof OffloadOptions])) bits |= bit;
  }
  // A segment needs its checksums: TSO without them is none.
  if (offloads.tso) bits |= OFFLOAD_BITS.txChecksum;
  return bits;
}

/** A given address, or a locally administered one with the index in its last bytes. */
function macOf(mac: string | undefined, index: number): Uint8Array {
  const bytes = mac === undefined ? Uint8Array.of(2, 0, 0, 0, index >> 8, index & 255) : parseMac("nic.mac", mac);
  if (((bytes[0] as number) & 1) !== 0) throw new OptionError("nic.mac", mac, "an address of one station, not a group");
  return bytes;
}

// The NICs, the one door: ports, bridges, links, captures in shared memory, made and observed from TypeScript.
// Read first: DESIGN.md section 3; veth/port.ts.

export { BRIDGE_DEFAULTS, connectCable, disconnectCable, UserVbridge } from "./bridge.ts";
export type { BridgeCounters, BridgeDescription, BridgeOptions, MacEntry, VlanOptions } from "./bridge.ts";
export { Capture, CAPTURE_DEFAULTS } from "./capture.ts";
export type { CaptureDescription, CaptureOptions, CaptureRecord } from "./capture.ts";
export { Director } from "./director.ts";
export type { Flow, FlowProtocol } from "./director.ts";
export { LinkDirectory } from "./directory.ts";
export type { DirectoryDescription } from "./directory.ts";
export { checkLink, Link, LINK_BUFFERS } from "./link.ts";
export type { LinkCounters, LinkDescription, LinkDirection, LinkOptions } from "./link.ts";
export { LINK_DEFAULTS } from "./link-options.ts";
export type { GilbertOptions, LinkRuleOptions, QueueOptions } from "./link-options.ts";
export { Forwarder, FORWARDER_DEFAULTS, forwarderOptions, wakerOf } from "./ltran.ts";
export type {
  ForwarderCounters,
  ForwarderDescription,
  ForwarderOptions,
  StationCounters,
  StationState,
  TrunkPlace,
} from "./ltran.ts";
export { Trunk } from "./trunk.ts";
export { VethError } from "./module.ts";
export type { VethExports, VethMemory, VethModule } from "./module.ts";
export { UserVeth } from "./nic.ts";
export type { ReceivedPacket, SendOptions, VethDescription } from "./nic.ts";
export { NIC_DEFAULTS, OFFLOAD_DEFAULTS } from "./nic-options.ts";
export type { NicOptions, OffloadOptions } from "./nic-options.ts";
export { OptionError } from "./options.ts";
export type { Duration, Probability, Rate, Size } from "./options.ts";
export { ethStats, SriovNic, VF_DEFAULTS } from "./sriov.ts";
export type { EthStats, PfOptions, VfInfo, VfOptions } from "./sriov.ts";
export type { Port, PortDescription, Xstats } from "./port.ts";
export { DEFAULT_RSS_KEY, Rss, SYMMETRIC_RSS_KEY, toeplitz } from "./rss.ts";
export type { RssKey, RssType } from "./rss.ts";

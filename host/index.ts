// The package's main door: networks, hosts, the POSIX constants, captures and plots.
/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />

export { createNetwork, Network, NETWORK_DEFAULTS } from "./network.ts";
export type { HostOptions, NetworkOptions } from "./network.ts";
export { Host, type HostLink } from "./host.ts";
export { attachHost, HostClient, type ReadyOptions } from "./client/client.ts";
export type { ClientListener, ClientListenOptions } from "./client/listener.ts";
export type { ClientPlace } from "./client/place.ts";
export { SHARE_DEFAULTS, type ShareCounters, type ShareOptions } from "./share.ts";
export { Ltran, LTRAN_DEFAULTS, type LtranOptions, type StationReport } from "./ltran.ts";
export { HostStack, type QueueShare } from "./host-stack.ts";
export type { ShadowAccepted, ShadowListener, ShadowOptions } from "./shadow.ts";
export type { Audit } from "./manager.ts";
export type { StackEntry, StackState } from "./registry.ts";
export { NetworkCapture, type NetworkCaptureOptions } from "./capture.ts";
export { Snapshot } from "./snapshot.ts";
export { Stack } from "./stack.ts";
export { STACK_DEFAULTS, type StackOptions } from "./stack-options.ts";
export { SPAWN_DEFAULTS, type SpawnOptions, type ThreadFunction } from "./threads/threads.ts";
export type { PollMode } from "./threads/thread-driver.ts";
export type { ThreadActivity } from "./threads/activity.ts";
export type { UntilOptions } from "./threads/pump.ts";
export type { WorkerHost } from "./threads/worker-host.ts";
export type { Counters, PoolUse } from "./counters.ts";
export { CoreTrap } from "./core.ts";
export { OribiError } from "./errors.ts";
export { runScript, type ScriptOptions, type ScriptResult, type ScriptStatus } from "./packetdrill/run.ts";
export { findScripts, runScripts, type ScriptBatchOptions } from "./packetdrill/batch.ts";
export { sysctlNames } from "./sysctl.ts";
export * from "./posix/constants.ts";
export type {
  EpollEventInput,
  MessageHeader,
  PollFd,
  Posix,
  SocketAddress,
  SocketAddressResult,
} from "./posix/posix.ts";
export { EpollEvent } from "./posix/posix.ts";
export { readPcapng } from "../veth/pcapng.ts";
export { connections, plotCapture, timeSequence } from "../veth/plot.ts";
export type { TcpInfoSample } from "../veth/plot.ts";
export { TcpInfoLog, type TcpInfoLogOptions } from "./tcp-info-log.ts";
export { ethStats, SriovNic, VF_DEFAULTS } from "../veth/index.ts";
export type { EthStats, PfOptions, VfInfo, VfOptions } from "../veth/index.ts";
export type { LinkOptions, UserVbridge, UserVeth } from "../veth/index.ts";

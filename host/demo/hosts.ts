// The demo's network: a server and a client, each with its own stack behind a NIC of several queues, on one bridge.
// Read first: DESIGN.md section 9; host/network.ts.

import { createNetwork, type Network, type NetworkOptions } from "../network.ts";
import type { Host, HostLink } from "../host.ts";
import type { HostOptions } from "../network-options.ts";
import {
  AF_INET,
  EINPROGRESS,
  IPPROTO_TCP,
  SO_REUSEADDR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../posix/constants.ts";
import { checked, SERVER_PORT } from "./calls.ts";

const BACKLOG = 128;

export interface HostsOptions extends NetworkOptions {
  /** RX and TX queues of each NIC. */
  queues: number;
  /** Large segments cross whole, the NIC cuts them where it must. Default false. */
  tso?: boolean;
  /** What the client's wire does to frames, each way. */
  link?: HostLink;
  /** What the server has beside: stacks, threads. */
  server?: Partial<HostOptions>;
}

export interface Hosts extends AsyncDisposable {
  readonly network: Network;
  readonly server: Host;
  readonly client: Host;
}

/** Makes the two hosts. */
export function createHosts({ queues, tso = false, link, server: only = {}, ...options }: HostsOptions): Hosts {
  const network = createNetwork(options);
  const bridge = network.bridge("lan");
  const nic = { bridge, queues, offloads: { tso, lro: tso } };
  const server = network.host("server", { ...nic, ...only, address: "10.0.0.1/24" });
  const client = network.host("client", { ...nic, address: "10.0.0.2/24", ...(link === undefined ? {} : { link }) });
  return { network, server, client, [Symbol.asyncDispose]: () => network.close() };
}

/** A socket that listens on SERVER_PORT. @param flags 0, or SOCK_NONBLOCK */
export function openListener({ server }: Hosts, flags = 0): number {
  const { socket, setsockopt, bind, listen } = server.posix;
  const fd = checked("socket", socket(AF_INET, SOCK_STREAM | flags));
  // The server may have closed a connection just now: it lingers in TIME-WAIT.
  checked("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
  checked("bind", bind(fd, { port: SERVER_PORT }));
  checked("listen", listen(fd, BACKLOG));
  return fd;
}

/**
 * A socket of the client that connects to the server, without waiting for it.
 * @param from the client's port; 0: any
 */
export function startConnect({ server, client }: Hosts, port = SERVER_PORT, from = 0): number {
  const { socket, bind, connect } = client.posix;
  const fd = checked("socket", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
  if (from !== 0) checked("bind", bind(fd, { port: from }));
  const result = connect(fd, { address: server.address, port });
  if (result !== -EINPROGRESS) checked("connect", result);
  return fd;
}

/** An open connection: a blocking descriptor at each end. */
export interface Connection {
  readonly client: number;
  readonly server: number;
  /** Closes both ends, and lets the network carry the last segments. */
  close(): void;
}

/** Connects the client to the server's `listener`. */
export function openConnection(hosts: Hosts, listener: number): Connection {
  const { server, client, network } = hosts;
  const fd = checked("socket", client.posix.socket(AF_INET, SOCK_STREAM));
  checked("connect", client.posix.connect(fd, { address: server.address, port: SERVER_PORT }));
  const accepted = checked("accept", server.posix.accept(listener));
  for (const [posix, end] of [
    [client.posix, fd],
    [server.posix, accepted],
  ] as const) {
    checked("setsockopt", posix.setsockopt(end, IPPROTO_TCP, TCP_NODELAY, 1));
  }
  const close = (): void => {
    client.posix.close(fd);
    server.posix.close(accepted);
    network.settle();
  };
  return { client: fd, server: accepted, close };
}

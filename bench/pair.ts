// Two hosts on a bridge in one thread and real time, and connections between them: what most rows stand on.
// Read first: host/network.ts. Calls that fail throw, so that no row measures errors.

import {
  AF_INET,
  createNetwork,
  EAGAIN,
  EINPROGRESS,
  errnoName,
  type Host,
  type HostOptions,
  type Network,
  type Posix,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  type SocketAddressResult,
} from "../host/index.ts";

export interface Pair extends AsyncDisposable {
  network: Network;
  client: Host;
  server: Host;
}

export const SERVER_ADDRESS = "10.0.0.2";

/** The core computes and verifies every checksum itself, and cuts its own segments. */
export const NO_OFFLOADS = { txChecksum: false, rxChecksum: false, tso: false, lro: false };

type PairOptions = Omit<HostOptions, "address" | "bridge">;

/**
 * Two hosts that can talk at once: they know one another's MAC addresses.
 * @param only what the server has beside the options of both
 */
export function pair(options: PairOptions = {}, only: PairOptions = {}): Pair {
  const network = createNetwork({ seed: 1 });
  const bridge = network.bridge("lan");
  const client = network.host("client", { offloads: NO_OFFLOADS, ...options, bridge, address: "10.0.0.1/24" });
  const own = { offloads: NO_OFFLOADS, ...options, ...only, bridge };
  const server = network.host("server", { ...own, address: `${SERVER_ADDRESS}/24` });
  const hosts = { network, client, server, [Symbol.asyncDispose]: () => network.close() };
  // A first datagram, so that both know the other's MAC address.
  const { client: from, server: to } = datagramEnds(hosts);
  ok(client.posix.send(from, new Uint8Array(1)));
  network.settle();
  client.posix.close(from);
  server.posix.close(to);
  return hosts;
}

/** The result of a call that must succeed. */
export function ok(result: number): number {
  if (result < 0) throw new Error(`A call failed with ${errnoName(result)}.`);
  return result;
}

/** For a receive that brought less than it should. */
export function fail(what: string, result: number): never {
  throw new Error(`${what}: ${result < 0 ? errnoName(result) : `${result} bytes`}`);
}

/** A listening socket, not blocking. */
export function listen(posix: Posix, port: number, backlog = 4096): number {
  const fd = ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
  ok(posix.bind(fd, { port }));
  ok(posix.listen(fd, backlog));
  return fd;
}

/** Begins a connection that is not waited for. */
export function begin(posix: Posix, port: number, address = SERVER_ADDRESS): number {
  const fd = ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
  const result = posix.connect(fd, address, port);
  if (result !== -EINPROGRESS) ok(result);
  return fd;
}

/** The next connection of a listener, waiting for it. */
export function accept({ network, server }: Pair, listener: number): number {
  for (let steps = 0; ; steps++) {
    const fd = server.posix.accept4(listener, null, SOCK_NONBLOCK);
    if (fd !== -EAGAIN) return ok(fd);
    if (steps === 10_000_000) throw new Error("No connection has come.");
    network.step();
  }
}

/** Descriptors of connections: the client's and the server's end of each. */
export interface Connections {
  client: Int32Array;
  server: Int32Array;
}

/** Connections that are begun before the first of them is accepted. */
const BATCH = 256;

/** `count` connections to a port of the server and, when there are more than `perPort`, to the ports behind it. */
export function connect(hosts: Pair, count: number, port = 7, perPort = 50_000): Connections {
  const { client, server } = hosts;
  const ends = { client: new Int32Array(count), server: new Int32Array(count) };
  let listener = 0;
  for (let done = 0; done < count;) {
    const at = done % perPort;
    if (at === 0) listener = listen(server.posix, port + done / perPort);
    const batch = Math.min(BATCH, count - done, perPort - at);
    const to = port + Math.floor(done / perPort);
    for (let i = 0; i < batch; i++) ends.client[done + i] = begin(client.posix, to);
    for (let i = 0; i < batch; i++) ends.server[done + i] = accept(hosts, listener);
    for (let i = 0; i < batch; i++) checkEnds(hosts, ends.client[done + i] as number, ends.server[done + i] as number);
    done += batch;
  }
  hosts.network.settle();
  return ends;
}

const local: SocketAddressResult = {};
const remote: SocketAddressResult = {};

/** That both are ends of one connection: where nothing is lost or reordered, accept() keeps connect()'s order. */
function checkEnds({ client, server }: Pair, from: number, to: number): void {
  ok(client.posix.getsockname(from, local));
  ok(server.posix.getpeername(to, remote));
  if (local.port !== remote.port) throw new Error(`Connections were mixed up: port ${local.port} and ${remote.port}.`);
}

/** A UDP socket of the server on a port, and one of the client that is connected to it; not blocking. */
export function datagramEnds({ client, server }: Pair, port = 7): { client: number; server: number } {
  const to = ok(server.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
  ok(server.posix.bind(to, { port }));
  const from = ok(client.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
  ok(client.posix.connect(from, SERVER_ADDRESS, port));
  return { client: from, server: to };
}

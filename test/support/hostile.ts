// Calls with arguments that cannot be: for every POSIX call arguments that are right, and for every place in them, the
// members of structures included, the same call with something else there.

import {
  AF_INET,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  EpollEvent,
  EPOLLIN,
  F_GETFL,
  FIONBIO,
  FIONREAD,
  IP_ADD_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_TCP,
  type Posix,
  POLLIN,
  SHUT_RDWR,
  SO_LINGER,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_CONGESTION,
} from "../../host/index.ts";
import { connected, datagramSocket, freshPort, listener, ok, settle } from "./sockets.ts";
import type { TwoHosts } from "./two-hosts.ts";

/** Descriptors of one host that calls are tried on; none of them blocks. */
interface Place {
  /** A connection with three bytes to read, and its other end, of the other host. */
  stream: number;
  datagrams: number;
  listener: number;
  epoll: number;
  /** A socket that is not bound. */
  fresh: number;
}

/** A call with arguments that are right, each time made anew. */
export interface Call {
  readonly name: keyof Posix;
  readonly args: (place: Place) => unknown[];
}

/** One case: what is wrong where, and the call. */
export interface Mutant {
  readonly what: string;
  readonly run: () => unknown;
}

const bytes = (length = 3): Uint8Array => new Uint8Array(length);
const name = (): unknown => ({ family: AF_INET, address: "10.0.0.1", port: freshPort() });
const message = (): unknown => ({
  msg_name: { family: AF_INET, address: "10.0.0.1", port: 9 },
  msg_iov: [bytes(), bytes()],
  msg_control: [{ cmsg_level: IPPROTO_IP, cmsg_type: IP_TTL, data: 7 }],
});

export const CALLS: readonly Call[] = [
  { name: "socket", args: () => [AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0] },
  { name: "bind", args: ({ fresh }) => [fresh, name()] },
  { name: "bind", args: ({ fresh }) => [fresh, "10.0.0.2", freshPort()] },
  { name: "listen", args: ({ fresh }) => [fresh, 5] },
  { name: "accept", args: (at) => [at.listener, {}] },
  { name: "accept4", args: (at) => [at.listener, {}, SOCK_NONBLOCK] },
  { name: "connect", args: ({ fresh }) => [fresh, name()] },
  { name: "connect", args: ({ fresh }) => [fresh, 0x0a000001, 9] },
  { name: "shutdown", args: ({ stream }) => [stream, SHUT_RDWR] },
  { name: "close", args: ({ fresh }) => [fresh] },
  { name: "getsockname", args: ({ stream }) => [stream, {}] },
  { name: "getpeername", args: ({ stream }) => [stream, {}] },
  { name: "fcntl", args: ({ stream }) => [stream, F_GETFL, 0] },
  { name: "ioctl", args: ({ stream }) => [stream, FIONREAD, {}] },
  { name: "ioctl", args: ({ stream }) => [stream, FIONBIO, { value: 1 }] },
  { name: "setsockopt", args: ({ stream }) => [stream, SOL_SOCKET, SO_RCVBUF, 10_000] },
  { name: "setsockopt", args: ({ stream }) => [stream, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 }] },
  { name: "setsockopt", args: (at) => [at.datagrams, SOL_SOCKET, SO_RCVTIMEO, { tv_sec: 1, tv_usec: 5 }] },
  { name: "setsockopt", args: (at) => [at.datagrams, SOL_SOCKET, SO_RCVTIMEO, 20] },
  { name: "setsockopt", args: ({ stream }) => [stream, IPPROTO_TCP, TCP_CONGESTION, "cubic"] },
  {
    name: "setsockopt",
    args: (at) => [at.datagrams, IPPROTO_IP, IP_ADD_MEMBERSHIP, { imr_multiaddr: "224.1.1.1", imr_ifindex: 2 }],
  },
  { name: "setsockopt", args: (at) => [at.datagrams, IPPROTO_IP, IP_MULTICAST_IF, { imr_interface: "10.0.0.1" }] },
  { name: "getsockopt", args: ({ stream }) => [stream, SOL_SOCKET, SO_RCVBUF] },
  { name: "getsockopt", args: ({ stream }) => [stream, SOL_SOCKET, SO_LINGER, {}] },
  { name: "getsockopt", args: ({ stream }) => [stream, SOL_SOCKET, SO_RCVTIMEO, bytes(16)] },
  { name: "send", args: ({ stream }) => [stream, bytes(), 0] },
  { name: "send", args: ({ stream }) => [stream, bytes(), 2, 0] },
  { name: "recv", args: ({ stream }) => [stream, bytes(), 0] },
  { name: "recv", args: ({ stream }) => [stream, bytes(), 2, 0] },
  { name: "sendto", args: (at) => [at.datagrams, bytes(), 0, name()] },
  { name: "sendto", args: (at) => [at.datagrams, bytes(), 2, 0, name()] },
  { name: "recvfrom", args: (at) => [at.datagrams, bytes(), 0, {}] },
  { name: "recvfrom", args: ({ stream }) => [stream, bytes(), 2, 0, {}] },
  { name: "read", args: ({ stream }) => [stream, bytes(), 2] },
  { name: "write", args: ({ stream }) => [stream, bytes(), 2] },
  { name: "recv_view", args: ({ stream }) => [stream] },
  { name: "recv_done", args: ({ stream }) => [stream, 2] },
  { name: "recv_done", args: (at) => [at.listener, 1] },
  { name: "sendmsg", args: (at) => [at.datagrams, message(), 0] },
  { name: "sendmsg", args: ({ stream }) => [stream, { msg_iov: [bytes()] }, 0] },
  { name: "recvmsg", args: (at) => [at.datagrams, { msg_name: {}, msg_iov: [bytes()], msg_control: [] }, 0] },
  { name: "recvmsg", args: ({ stream }) => [stream, { msg_iov: [bytes(2), bytes()] }, 0] },
  { name: "readv", args: ({ stream }) => [stream, [bytes(), bytes()]] },
  { name: "writev", args: ({ stream }) => [stream, [bytes(), bytes()]] },
  { name: "epoll_create", args: () => [1] },
  { name: "epoll_create1", args: () => [0] },
  { name: "epoll_ctl", args: (at) => [at.epoll, EPOLL_CTL_ADD, at.fresh, { events: EPOLLIN, data: { fd: 1 } }] },
  { name: "epoll_ctl", args: (at) => [at.epoll, EPOLL_CTL_MOD, at.stream, { events: EPOLLIN, data: 7 }] },
  { name: "epoll_wait", args: (at) => [at.epoll, [new EpollEvent()], 4, 0] },
  { name: "poll", args: ({ stream }) => [[{ fd: stream, events: POLLIN }], 0] },
  { name: "ppoll", args: ({ stream }) => [[{ fd: stream, events: POLLIN }], { tv_sec: 0, tv_nsec: 0 }] },
  {
    name: "select",
    args: ({ stream }) => [stream + 1, new Set([stream]), new Set([stream]), new Set(), { tv_sec: 0, tv_usec: 0 }],
  },
  { name: "inet_pton", args: () => [AF_INET, "10.0.0.1"] },
  { name: "inet_ntop", args: () => [AF_INET, 5] },
];

/** Memory that is no more. */
export function detached(): Uint8Array {
  const view = bytes();
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

function detachedView(): DataView {
  const view = new DataView(new ArrayBuffer(8));
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

const BAD: readonly (readonly [string, () => unknown])[] = [
  ...[undefined, null, true, "3", "", "x", NaN, 3.5, -1.5, -0, 0, -1, 777, 2 ** 30, 2 ** 31 - 1, -(2 ** 31)],
  ...[2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 3, 2 ** 53, 1e300, Infinity, -Infinity, 5n, Symbol("s"), () => 0],
].map((value) => [Object.is(value, -0) ? "-0" : typeof value === "string" ? `"${value}"` : String(value), () => value]);
const BAD_OBJECTS: typeof BAD = [
  ["{}", () => ({})],
  ["[]", () => []],
  ["[null]", () => [null]],
  ["{ valueOf }", () => ({ valueOf: () => 3 })],
  ["a Set", () => new Set([NaN, "3"])],
  ["no bytes", () => bytes(0)],
  ["a byte", () => bytes(1)],
  ["bytes of a longer kind", () => new Float64Array(1)],
  ["detached bytes", detached],
  ["a detached view", detachedView],
  ["a detached buffer", () => detachedView().buffer],
];

/** Places within a value: the way to each argument, element and member. */
function* places(value: unknown, way: readonly (string | number)[] = []): Generator<readonly (string | number)[]> {
  if (way.length > 0) yield way;
  if (!Array.isArray(value) && (value as object | undefined)?.constructor !== Object) return;
  for (const key of Object.keys(value as object))
    yield* places((value as unknown as Record<string, unknown>)[key], [...way, key]);
}

function placed(args: unknown[], way: readonly (string | number)[], value: unknown): unknown[] {
  let at = args as unknown as Record<string | number, unknown>;
  for (const key of way.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  at[way.at(-1) as string] = value;
  return args;
}

/** Descriptors for one call's cases, of the host "client". */
function openPlace(hosts: TwoHosts): Place {
  const posix = hosts.client;
  const pair = connected(hosts, SOCK_NONBLOCK);
  ok(hosts.server.send(pair.server, bytes()));
  settle(hosts);
  const place = {
    stream: pair.client,
    datagrams: datagramSocket(posix, freshPort()),
    listener: listener(posix, freshPort()),
    epoll: ok(posix.epoll_create1(0)),
    fresh: ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)),
  };
  ok(posix.epoll_ctl(place.epoll, EPOLL_CTL_ADD, place.stream, { events: EPOLLIN }));
  const waiting = ok(hosts.server.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const own = { address: undefined as string | undefined, port: 0 };
  ok(posix.getsockname(place.listener, own));
  hosts.server.connect(waiting, { address: hosts.clientAddress, port: own.port });
  const sender = ok(hosts.server.socket(AF_INET, SOCK_DGRAM, 0));
  ok(posix.getsockname(place.datagrams, own));
  ok(hosts.server.sendto(sender, bytes(), 0, { address: hosts.clientAddress, port: own.port }));
  settle(hosts);
  return place;
}

/** The cases of a call. */
export function* mutants(call: Call, hosts: TwoHosts): Generator<Mutant> {
  const place = openPlace(hosts);
  const run = hosts.client[call.name] as (...args: unknown[]) => unknown;
  const ways = [...places(call.args(place))];
  for (const way of ways) {
    for (const [text, make] of [...BAD, ...BAD_OBJECTS]) {
      const what = `${call.name}(), argument ${way.join(".")}: ${text}`;
      yield { what, run: () => run(...placed(call.args(place), way, make())) };
    }
  }
  yield { what: `${call.name}() without arguments`, run: () => run() };
}

const CODES = ["ERR_INVALID_ARG_TYPE", "ERR_INVALID_ARG_VALUE", "ERR_OUT_OF_RANGE", "ERR_SOCKET_BAD_PORT"];

/** What a call has answered: a result, or the code of what it has thrown; the error itself when that has none. */
export function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    const { code } = error as { code?: string };
    return code !== undefined && CODES.includes(code) ? code : error;
  }
}

/** A result, an errno, or an error that says what is wrong with an argument. */
export function isSound(outcome: unknown): boolean {
  if (typeof outcome === "string" || outcome instanceof Uint8Array) return true;
  return Number.isSafeInteger(outcome) && !Object.is(outcome, -0) && (outcome as number) > -4096;
}

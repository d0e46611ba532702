// What the tests of the POSIX layer share: results that must be good, connected pairs, bytes to send.

import { expect } from "chai";
import {
  AF_INET,
  errnoName,
  MSG_DONTWAIT,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../host/posix/constants.ts";
import type { Posix } from "../../host/posix/posix.ts";
import type { TwoHosts } from "./two-hosts.ts";

/** The result of a call that must succeed. */
export function ok(result: number): number {
  if (result < 0) throw new Error(`A call failed with ${errnoName(result)} (${result}).`);
  return result;
}

/** Fails unless a call gave this errno (positive). */
export function refused(result: number, errno: number): void {
  expect(result < 0 ? errnoName(result) : `the result ${result}`).to.equal(errnoName(errno));
}

/** Steps both hosts until nothing is left to do at this time. */
export function settle(hosts: TwoHosts): void {
  // What one host lets out in a step that found no other work arrives in the next one.
  for (let i = 0, quiet = 0; i < 100_000; i++) {
    quiet = hosts.step() === 0 ? quiet + 1 : 0;
    if (quiet === 2) return;
  }
  throw new Error("The network does not come to rest.");
}

/** What poll(2) says of a descriptor now. */
export function polled(posix: Posix, fd: number): number {
  const entry = { fd, events: POLLIN | POLLOUT | POLLRDHUP, revents: 0 };
  ok(posix.poll([entry], 0));
  return entry.revents;
}

/** Takes a socket's pending error: a positive errno, or 0. */
export function soError(posix: Posix, fd: number): number {
  return ok(posix.getsockopt(fd, SOL_SOCKET, SO_ERROR));
}

/** A listening socket of the server on `port`, not blocking unless `flags` says 0. */
export function listener(posix: Posix, port: number, backlog = 16, flags = SOCK_NONBLOCK): number {
  const fd = ok(posix.socket(AF_INET, SOCK_STREAM | flags, 0));
  ok(posix.bind(fd, { port }));
  ok(posix.listen(fd, backlog));
  return fd;
}

export interface Pair {
  /** Descriptors: of the client, of the server, of the server's listening socket. */
  client: number;
  server: number;
  listener: number;
}

let nextPort = 5000;

/** A port that nobody has used for long: below the ephemeral range. */
export function freshPort(): number {
  nextPort = nextPort === 30_000 ? 5000 : nextPort + 1;
  return nextPort;
}

/** A TCP connection from the client to the server; the descriptors block unless `flags` is SOCK_NONBLOCK. */
export function connected(hosts: TwoHosts, flags = 0, port = freshPort()): Pair {
  const { client, server } = hosts;
  const l = listener(server, port);
  const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  client.connect(c, { address: hosts.serverAddress, port });
  settle(hosts);
  const s = ok(server.accept4(l, null, flags));
  ok(client.fcntl(c, 4, flags));
  return { client: c, server: s, listener: l };
}

/** A UDP socket bound to `port` of the wildcard address, not blocking unless `flags` says 0. */
export function datagramSocket(posix: Posix, port: number, flags = SOCK_NONBLOCK): number {
  const fd = ok(posix.socket(AF_INET, SOCK_DGRAM | flags, 0));
  ok(posix.bind(fd, { port }));
  return fd;
}

/** All that can be read now, as text. */
export function readAll(posix: Posix, fd: number): string {
  const buffer = Buffer.alloc(65536);
  let text = "";
  while (true) {
    const n = posix.recv(fd, buffer, MSG_DONTWAIT);
    if (n <= 0) return text;
    text += buffer.toString("latin1", 0, n);
  }
}

/** `length` bytes that tell their place. */
export function pattern(length: number, start = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = ((start + i) * 167 + ((start + i) >> 8)) & 255;
  return bytes;
}

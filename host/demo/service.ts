// What the demo's server does in each of its threads: it sends ranges of the file, echoes, and closes connections after
// their first byte. The same code serves one stack in its own thread, or all stacks from a business thread.
// Read first: stack-app.ts and business-thread.ts, which run it; epoll(7).

import {
  AF_INET,
  EAGAIN,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  EPOLLEXCLUSIVE,
  EPOLLIN,
  EPOLLOUT,
  SO_INCOMING_CPU,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../posix/constants.ts";
import type { EpollEvent, Posix } from "../posix/posix.ts";
import { checked, checkedNow, REQUEST_BYTES, SERVER_PORT } from "./calls.ts";
import type { Source, SourcePlace } from "./source.ts";
import type { Tally } from "./tally.ts";

/** Ports by what is done there: 7 is that of RFC 862, 9 that of RFC 863. */
export const PORTS = Object.freeze({ file: SERVER_PORT, echo: 7, close: 9 });
export type ServiceName = keyof typeof PORTS;

/** A request for a range of the file: its first byte and its length, two doubles, little-endian. */
export const RANGE_BYTES = 16;

/** A socket that listens, and the queue of the NIC whose stack it belongs to. */
export interface Listener {
  fd: number;
  queue: number;
  service: ServiceName;
}

/** What a thread is given: plain data and shared memory. */
export interface ServiceSetup {
  file: SourcePlace;
  /** The words of a Tally. */
  tally: SharedArrayBuffer;
}

const BACKLOG = 1024;
const EVENTS_MAX = 64;
/** So often a thread looks whether it is to end, milliseconds. */
const LOOK_MILLIS = 50;

/**
 * Opens a listener of each service in so many stacks of the host. A host's client deals its sockets to the stacks in
 * turn; which one a socket belongs to is told by SO_INCOMING_CPU, here the stack's queue.
 * @throws {CallError}
 */
export function openListeners(posix: Posix, stacks: number): Listener[] {
  const listeners: Listener[] = [];
  for (const service of Object.keys(PORTS) as ServiceName[]) {
    for (let i = 0; i < stacks; i++) {
      const fd = checked("socket", posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
      checked("setsockopt", posix.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      checked("setsockopt", posix.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1));
      checked("bind", posix.bind(fd, { port: PORTS[service] }));
      checked("listen", posix.listen(fd, BACKLOG));
      const queue = checked("getsockopt", posix.getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU));
      listeners.push({ fd, queue, service });
    }
  }
  return listeners;
}

/** A connection that was accepted. */
interface Connection {
  readonly queue: number;
  readonly service: ServiceName;
  /** What has come of a request that is not whole. */
  readonly request: Buffer;
  filled: number;
  /** The range that is being sent. */
  at: number;
  end: number;
  /** It waits for room to send. */
  isFull: boolean;
}

/** One thread's service. */
export class Service {
  readonly #posix: Posix;
  readonly #source: Source;
  readonly #tally: Tally;
  readonly #epoll: number;
  readonly #listeners = new Map<number, Listener>();
  readonly #connections = new Map<number, Connection>();

  /** @throws {CallError} */
  constructor(posix: Posix, listeners: readonly Listener[], source: Source, tally: Tally) {
    this.#posix = posix;
    this.#source = source;
    this.#tally = tally;
    this.#epoll = checked("epoll_create1", posix.epoll_create1(0));
    for (const listener of listeners) {
      this.#listeners.set(listener.fd, listener);
      // Where several threads wait for one listener, one of them is woken.
      this.#watch(EPOLL_CTL_ADD, listener.fd, EPOLLIN | EPOLLEXCLUSIVE);
    }
  }

  /** Serves until the threads are to end. @throws {CallError} */
  run(): void {
    const events: EpollEvent[] = [];
    this.#tally.begin();
    while (!this.#tally.isStopped) {
      const count = checked("epoll_wait", this.#posix.epoll_wait(this.#epoll, events, EVENTS_MAX, LOOK_MILLIS));
      for (let i = 0; i < count; i++) this.#serve((events[i] as EpollEvent).data.fd);
    }
  }

  #serve(fd: number): void {
    const listener = this.#listeners.get(fd);
    if (listener !== undefined) return this.#accept(listener);
    const connection = this.#connections.get(fd);
    if (connection === undefined) return;
    if (connection.service === "file") this.#sendFile(fd, connection);
    else this.#answer(fd, connection);
  }

  #accept({ fd: listener, queue, service }: Listener): void {
    const requestBytes = service === "file" ? RANGE_BYTES : REQUEST_BYTES;
    while (true) {
      const fd = checkedNow("accept", this.#posix.accept4(listener, null, SOCK_NONBLOCK));
      if (fd === -EAGAIN) return;
      const request = Buffer.alloc(requestBytes);
      this.#connections.set(fd, { queue, service, request, filled: 0, at: 0, end: 0, isFull: false });
      this.#watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  /** Echoes a request when all of it has come; or ends the connection, whatever has come. */
  #answer(fd: number, connection: Connection): void {
    if (!this.#receive(fd, connection)) {
      if (connection.service === "close" && connection.filled > 0) this.#close(fd);
      return;
    }
    checked("send", this.#posix.send(fd, connection.request));
    connection.filled = 0;
    this.#tally.count(connection.queue);
  }

  /** Sends ranges as far as it can without waiting. */
  #sendFile(fd: number, connection: Connection): void {
    do {
      while (connection.at < connection.end) {
        const piece = this.#source.piece(connection.at).subarray(0, connection.end - connection.at);
        const sent = checkedNow("send", this.#posix.send(fd, piece));
        if (sent === -EAGAIN) return this.#setFull(fd, connection, true);
        connection.at += sent;
      }
      this.#setFull(fd, connection, false);
    } while (this.#readRange(fd, connection));
  }

  /** Reads the next request for a range; false: it has not come, or never will. */
  #readRange(fd: number, connection: Connection): boolean {
    if (!this.#receive(fd, connection)) return false;
    const { request } = connection;
    const [at, length] = [request.readDoubleLE(0), request.readDoubleLE(8)];
    if (!(at >= 0 && length >= 0 && at + length <= this.#source.bytes)) {
      throw new RangeError(`bytes ${at} to ${at + length} were asked for, of a file of ${this.#source.bytes}`);
    }
    Object.assign(connection, { filled: 0, at, end: at + length });
    this.#tally.count(connection.queue);
    return true;
  }

  /** Receives what there is of a request: true when it is whole. Closes the connection where the peer has. */
  #receive(fd: number, connection: Connection): boolean {
    const { request } = connection;
    const received = checkedNow("recv", this.#posix.recv(fd, request.subarray(connection.filled)));
    if (received === 0) this.#close(fd);
    if (received > 0) connection.filled += received;
    return connection.filled === request.length;
  }

  #setFull(fd: number, connection: Connection, isFull: boolean): void {
    if (isFull === connection.isFull) return;
    connection.isFull = isFull;
    this.#watch(EPOLL_CTL_MOD, fd, isFull ? EPOLLOUT : EPOLLIN);
  }

  #close(fd: number): void {
    this.#connections.delete(fd);
    checked("close", this.#posix.close(fd));
  }

  #watch(operation: number, fd: number, events: number): void {
    checked("epoll_ctl", this.#posix.epoll_ctl(this.#epoll, operation, fd, { events, data: { fd } }));
  }
}

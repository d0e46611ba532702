// What the demo's client asks of a server with threads: requests on many connections, and connections that come and go.
// Read first: service.ts, which answers; workloads.ts, the same on one connection in one thread.

import { EAGAIN, EPOLLOUT, IPPROTO_TCP, SO_ERROR, SOL_SOCKET, TCP_NODELAY } from "../posix/constants.ts";
import type { ClientLoop } from "./event-loop.ts";
import { CallError, checked, checkedNow, REQUEST_BYTES } from "./calls.ts";
import { type Hosts, startConnect } from "./hosts.ts";
import { PORTS } from "./service.ts";

/** Connections for each queue that requests are sent on at once; enough that RSS leaves none without. */
const ECHO_CONNECTIONS = 16;
/** Connections for each queue that are opened and closed at once. */
const SHORT_CONNECTIONS = 4;

/** A figure: how often, and in which time. */
export interface Rate {
  count: number;
  micros: number;
}

/** Both workloads. They run for about `millis` and end with nothing under way. */
export class Load {
  readonly #hosts: Hosts;
  readonly #loop: ClientLoop;
  readonly #echoes: { fd: number; ask: () => void }[] = [];
  readonly #request = Buffer.alloc(REQUEST_BYTES);
  readonly #response = Buffer.alloc(REQUEST_BYTES);
  #asked = 0;
  #answered = 0;
  #end = 0;

  constructor(hosts: Hosts, loop: ClientLoop) {
    this.#hosts = hosts;
    this.#loop = loop;
  }

  /** Connections that requests are sent on. */
  get echoConnections(): number {
    return ECHO_CONNECTIONS * this.#hosts.server.nic.queues;
  }

  /** Opens those that requests are sent on. @throws {CallError} @throws {ThreadFailure} */
  async open(): Promise<void> {
    let open = 0;
    for (let i = 0; i < this.echoConnections; i++) this.#openEcho(() => open++);
    await this.#loop.run(() => open === this.echoConnections);
  }

  /** Closes them. */
  close(): void {
    for (const { fd } of this.#echoes.splice(0)) this.#loop.close(fd);
  }

  /** Requests of 64 bytes, on each connection the next when the last is answered. */
  async roundTrips(millis: number): Promise<Rate> {
    const start = performance.now();
    const before = this.#answered;
    this.#end = start + millis;
    for (const { ask } of this.#echoes) ask();
    await this.#loop.run(() => this.#answered === this.#asked);
    return { count: this.#answered - before, micros: (performance.now() - start) * 1000 };
  }

  #openEcho(opened: () => void): void {
    const { client } = this.#hosts;
    const { send, recv, setsockopt } = client.posix;
    const fd = startConnect(this.#hosts, PORTS.echo);
    checked("setsockopt", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1));
    let isOpen = false;
    let stamp = 0;
    const ask = (): void => {
      stamp = this.#asked++ % 2 ** 32;
      this.#request.writeUInt32LE(stamp);
      checked("send", send(fd, this.#request));
    };
    this.#echoes.push({ fd, ask });
    this.#loop.add(fd, (events) => {
      if (!isOpen) {
        this.#assertConnected(fd);
        if ((events & EPOLLOUT) === 0) return;
        isOpen = true;
        opened();
      }
      const received = checkedNow("recv", recv(fd, this.#response));
      if (received === -EAGAIN) return;
      if (received === 0) throw new Error("the server has closed a connection that requests were sent on");
      if (received !== REQUEST_BYTES || this.#response.readUInt32LE() !== stamp) {
        throw new Error(`the response to request ${stamp} is another's, or not whole`);
      }
      this.#answered++;
      if (performance.now() < this.#end) ask();
    });
  }

  /** Connections: connect, a byte to the server, which closes; the client closes. */
  async connections(millis: number): Promise<Rate> {
    const start = performance.now();
    const end = start + millis;
    let underWay = SHORT_CONNECTIONS * this.#hosts.server.nic.queues;
    let count = 0;
    const closed = (): void => {
      count++;
      if (performance.now() < end) this.#connectOnce(closed);
      else underWay--;
    };
    for (let i = underWay; i > 0; i--) this.#connectOnce(closed);
    await this.#loop.run(() => underWay === 0);
    return { count, micros: (performance.now() - start) * 1000 };
  }

  #connectOnce(closed: () => void): void {
    const { send, recv } = this.#hosts.client.posix;
    const fd = startConnect(this.#hosts, PORTS.close);
    let isOpen = false;
    this.#loop.add(fd, (events) => {
      if (!isOpen) {
        this.#assertConnected(fd);
        if ((events & EPOLLOUT) === 0) return;
        isOpen = true;
        checked("send", send(fd, ONE_BYTE));
      }
      const received = checkedNow("recv", recv(fd, this.#response));
      if (received === -EAGAIN) return;
      if (received > 0) throw new Error("bytes came that nobody sent");
      this.#loop.close(fd);
      closed();
    });
  }

  /** @throws {CallError} when connect() has failed in the meantime */
  #assertConnected(fd: number): void {
    const error = checked("getsockopt", this.#hosts.client.posix.getsockopt(fd, SOL_SOCKET, SO_ERROR));
    if (error !== 0) throw new CallError("connect", -error);
  }
}

const ONE_BYTE = Buffer.alloc(1);

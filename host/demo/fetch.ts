// Fetches the file over many connections at once, a range after the other on each, and hashes it in order.
// Read first: service.ts, which sends the ranges; RFC 9110 section 14 for the idea.

import { createHash } from "node:crypto";
import { EAGAIN, EPOLLOUT } from "../posix/constants.ts";
import type { ClientLoop } from "./event-loop.ts";
import { checked, checkedNow } from "./calls.ts";
import { type Hosts, startConnect } from "./hosts.ts";
import { PORTS, RANGE_BYTES } from "./service.ts";
import { SourcePorts } from "./source-ports.ts";

/** What came of it. */
export interface Fetched {
  /** SHA-256 of the whole. */
  sha256: string;
  connections: number;
  /** Time from the first connection's start to the last byte, microseconds. */
  micros: number;
}

/** A range must be worth a request, and all that are under way must fit into memory. */
const RANGE_BYTES_MIN = 16 << 10;
const RANGE_BYTES_MAX = 256 << 10;
const CONNECTIONS_MAX = 128;
const CONNECTIONS_OF_A_QUEUE_MAX = 8;

interface Connection {
  readonly fd: number;
  isOpen: boolean;
  /** The range under way; undefined: none. */
  range: number | undefined;
  buffer: Buffer;
  filled: number;
}

/** One fetch. */
export class Fetch {
  /** Bytes that have come. */
  receivedBytes = 0;
  readonly #hosts: Hosts;
  readonly #loop: ClientLoop;
  readonly #bytes: number;
  readonly #rangeBytes: number;
  readonly #ranges: number;
  readonly #connections: Connection[] = [];
  readonly #hash = createHash("sha256");
  /** Ranges that have come before one that is to be hashed first. */
  readonly #early = new Map<number, Buffer>();
  readonly #free: Buffer[] = [];
  readonly #request = Buffer.alloc(RANGE_BYTES);
  #asked = 0;
  #hashed = 0;

  /** @param bytes size of the file */
  constructor(hosts: Hosts, loop: ClientLoop, bytes: number) {
    this.#hosts = hosts;
    this.#loop = loop;
    this.#bytes = bytes;
    const connections = connectionsFor(hosts.server.nic.queues);
    const share = Math.ceil(bytes / connections / 4);
    this.#rangeBytes = Math.min(RANGE_BYTES_MAX, Math.max(RANGE_BYTES_MIN, share));
    this.#ranges = Math.ceil(bytes / this.#rangeBytes);
  }

  /** Fetches all of it. @throws {CallError} @throws {ThreadFailure} */
  async run(onProgress: (bytes: number) => void): Promise<Fetched> {
    const start = performance.now();
    this.#connect();
    await this.#loop.run(() => this.#connections.every(({ isOpen }) => isOpen));
    // Not before, so that each has a range even where they are few.
    for (const connection of this.#connections) this.#ask(connection);
    await this.#loop.run(() => {
      onProgress(this.receivedBytes);
      return this.#hashed === this.#ranges;
    });
    const micros = (performance.now() - start) * 1000;
    for (const { fd } of this.#connections) this.#loop.close(fd);
    return { sha256: this.#hash.digest("hex"), connections: this.#connections.length, micros };
  }

  #connect(): void {
    const { client, server } = this.#hosts;
    const { queues } = server.nic;
    const ports = new SourcePorts(client, server, PORTS.file);
    for (let i = 0; i < connectionsFor(queues); i++) {
      const fd = startConnect(this.#hosts, PORTS.file, ports.take(i % queues));
      const connection = { fd, isOpen: false, range: undefined, buffer: NOTHING, filled: 0 };
      this.#connections.push(connection);
      this.#loop.add(fd, (events) => {
        if ((events & EPOLLOUT) !== 0) connection.isOpen = true;
        this.#receive(connection);
      });
    }
  }

  /** Asks for the next range, unless too many wait already for one before them. */
  #ask(connection: Connection): void {
    const rangeBytes = this.#rangeBytes;
    const index = this.#asked;
    if (index === this.#ranges || index >= this.#hashed + 2 * this.#connections.length) return;
    this.#asked++;
    const at = index * rangeBytes;
    const length = Math.min(rangeBytes, this.#bytes - at);
    connection.range = index;
    connection.buffer = (this.#free.pop() ?? Buffer.allocUnsafe(rangeBytes)).subarray(0, length);
    connection.filled = 0;
    this.#request.writeDoubleLE(at, 0);
    this.#request.writeDoubleLE(length, 8);
    checked("send", this.#hosts.client.posix.send(connection.fd, this.#request));
  }

  #receive(connection: Connection): void {
    const { recv } = this.#hosts.client.posix;
    while (true) {
      const room = connection.buffer.subarray(connection.filled);
      const received = checkedNow("recv", recv(connection.fd, room.length > 0 ? room : NO_MORE));
      if (received === -EAGAIN) return;
      if (received === 0) throw new Error("the server has closed a connection before the file was whole");
      if (connection.range === undefined) throw new Error("the server has sent what nobody asked for");
      connection.filled += received;
      this.receivedBytes += received;
      if (connection.filled === connection.buffer.length) this.#complete(connection, connection.range);
    }
  }

  /** A range is whole: hashes what can be, and has those go on that had to wait for it. */
  #complete(connection: Connection, range: number): void {
    this.#early.set(range, connection.buffer);
    connection.range = undefined;
    connection.buffer = NOTHING;
    connection.filled = 0;
    for (let next; (next = this.#early.get(this.#hashed)) !== undefined; this.#hashed++) {
      this.#early.delete(this.#hashed);
      this.#hash.update(next);
      if (next.length === this.#rangeBytes) this.#free.push(next);
    }
    this.#ask(connection);
    for (const other of this.#connections) if (other.range === undefined) this.#ask(other);
  }
}

const NOTHING = Buffer.alloc(0);
/** Where what must not come is received: a byte is enough to see it. */
const NO_MORE = Buffer.alloc(1);

function connectionsFor(queues: number): number {
  const each = Math.floor(CONNECTIONS_MAX / queues);
  return queues * Math.max(2, Math.min(CONNECTIONS_OF_A_QUEUE_MAX, each));
}

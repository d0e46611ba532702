// Ports for a client that wants its connections spread evenly over the queues of the server's NIC: those whose RSS hash
// leads to the wanted queue.
// Read first: veth/rss.ts; Microsoft "RSS Hashing Functions".

import { RETA_SIZE } from "../../assembly/layout.ts";
import { toeplitz } from "../../veth/index.ts";
import type { Host } from "../host.ts";
import { scanAddress } from "../posix/address.ts";

/** Below the range that connect() chooses from (Linux's default: 32768 to 60999). */
const FIRST_PORT = 1024;
const LAST_PORT = 32767;

/** Source ports of connections to one port of a server; each is given out once. */
export class SourcePorts {
  readonly #key: Uint8Array;
  readonly #reta: readonly number[];
  /** Addresses and ports as the hash takes them: the source first. */
  readonly #tuple = Buffer.alloc(12);
  /** For each queue the port to go on with. */
  readonly #next: number[];

  /** @param server its NIC hashes TCP ports, as it does unless told otherwise */
  constructor(client: Host, server: Host, port: number) {
    this.#key = server.nic.rss.key;
    this.#reta = server.nic.rss.reta;
    this.#next = Array.from({ length: server.nic.queues }, () => FIRST_PORT);
    this.#tuple.writeUInt32BE(scanAddress(client.address), 0);
    this.#tuple.writeUInt32BE(scanAddress(server.address), 4);
    this.#tuple.writeUInt16BE(port, 10);
  }

  /** A port whose connection comes to a queue. @throws {RangeError} when there is none left */
  take(queue: number): number {
    for (let port = this.#next[queue] as number; port <= LAST_PORT; port++) {
      this.#tuple.writeUInt16BE(port, 8);
      if (this.#reta[toeplitz(this.#key, this.#tuple) % RETA_SIZE] !== queue) continue;
      this.#next[queue] = port + 1;
      return port;
    }
    throw new RangeError(`no source port leads to queue ${queue}`);
  }
}

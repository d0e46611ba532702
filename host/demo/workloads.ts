// What the demo measures on a clean link: bytes, requests and connections a second, both ends in this thread.
// Read first: hosts.ts; node-net.ts does the same over node:net.

import { AF_INET, EAGAIN, F_SETFL, O_NONBLOCK, SHUT_WR, SOCK_STREAM } from "../posix/constants.ts";
import { checked, checkedNow, REQUEST_BYTES, SERVER_PORT } from "./calls.ts";
import { type Hosts, openConnection, openListener } from "./hosts.ts";

const RECEIVE_BYTES = 65536;
/** Rounds between two looks at the clock. */
const ROUNDS = 64;

/** The workloads over one pair of hosts; each runs for about `millis` and returns how much it did in a second. */
export class Workloads {
  readonly #hosts: Hosts;
  readonly #pieces: readonly Uint8Array[];
  readonly #listener: number;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE_BYTES);

  /** @param pieces what throughput() sends, again and again */
  constructor(hosts: Hosts, pieces: readonly Uint8Array[]) {
    this.#hosts = hosts;
    this.#pieces = pieces;
    this.#listener = openListener(hosts);
  }

  /** Bytes a second over one connection, from the server to the client. */
  throughput(millis: number): number {
    const { network, server, client } = this.#hosts;
    const ends = openConnection(this.#hosts, this.#listener);
    checked("fcntl", server.posix.fcntl(ends.server, F_SETFL, O_NONBLOCK));
    checked("fcntl", client.posix.fcntl(ends.client, F_SETFL, O_NONBLOCK));
    const start = performance.now();
    let sent = 0;
    let isShut = false;
    let received = 0;
    const send = (): void => {
      if (isShut) return;
      while (performance.now() - start < millis) {
        const n = checkedNow("send", server.posix.send(ends.server, this.#pieceAt(sent)));
        if (n === -EAGAIN) return;
        sent += n;
      }
      isShut = true;
      checked("shutdown", server.posix.shutdown(ends.server, SHUT_WR));
    };
    network.runUntil(() => {
      send();
      let n: number;
      while ((n = checkedNow("recv", client.posix.recv(ends.client, this.#buffer))) > 0) received += n;
      return n === 0;
    });
    const seconds = (performance.now() - start) / 1000;
    ends.close();
    if (received !== sent) throw new Error(`${sent} bytes were sent and ${received} received`);
    return received / seconds;
  }

  /** What comes at a place of the endless stream. */
  #pieceAt(at: number): Uint8Array {
    const pieceBytes = this.#pieces[0]!.length;
    const index = Math.floor(at / pieceBytes) % this.#pieces.length;
    return this.#pieces[index]!.subarray(at % pieceBytes);
  }

  /** Requests of 64 bytes a second, each answered with 64 bytes before the next. */
  roundTrips(millis: number): number {
    const server = this.#hosts.server.posix;
    const client = this.#hosts.client.posix;
    const ends = openConnection(this.#hosts, this.#listener);
    const request = Buffer.alloc(REQUEST_BYTES);
    const atServer = Buffer.alloc(REQUEST_BYTES);
    const response = Buffer.alloc(REQUEST_BYTES);
    const start = performance.now();
    let rounds = 0;
    do {
      request.writeUInt32LE(rounds);
      // recv() lets the network run until something has come.
      checked("send", client.send(ends.client, request));
      checked("recv", server.recv(ends.server, atServer));
      checked("send", server.send(ends.server, atServer));
      checked("recv", client.recv(ends.client, response));
      if (response.readUInt32LE() !== rounds) throw new Error(`the response to request ${rounds} is another's`);
      rounds++;
    } while (rounds % ROUNDS !== 0 || performance.now() - start < millis);
    const seconds = (performance.now() - start) / 1000;
    ends.close();
    return rounds / seconds;
  }

  /** Connections a second, one after another: connect, a byte to the server, which closes; the client closes. */
  connections(millis: number): number {
    const server = this.#hosts.server.posix;
    const client = this.#hosts.client.posix;
    const to = { address: this.#hosts.server.address, port: SERVER_PORT };
    const byte = Buffer.alloc(1);
    const start = performance.now();
    let count = 0;
    do {
      const fd = checked("socket", client.socket(AF_INET, SOCK_STREAM));
      checked("connect", client.connect(fd, to));
      checked("send", client.send(fd, byte));
      const accepted = checked("accept", server.accept(this.#listener));
      checked("recv", server.recv(accepted, byte));
      checked("close", server.close(accepted));
      if (checked("recv", client.recv(fd, byte)) !== 0) throw new Error("bytes came that nobody sent");
      checked("close", client.close(fd));
      count++;
    } while (count % ROUNDS !== 0 || performance.now() - start < millis);
    const seconds = (performance.now() - start) / 1000;
    this.#hosts.network.settle();
    return count / seconds;
  }
}

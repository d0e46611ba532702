// Sends a file from the server to the client over one connection, without blocking either, and hashes what arrives.
// Read first: send(2), recv(2), shutdown(2); hosts.ts.

import { createHash } from "node:crypto";
import { EAGAIN, SHUT_WR, SOCK_NONBLOCK } from "../posix/constants.ts";
import type { Posix } from "../posix/posix.ts";
import { checked, checkedNow } from "./calls.ts";
import { type Hosts, openListener, startConnect } from "./hosts.ts";
import type { Source } from "./source.ts";

const RECEIVE_BYTES = 65536;

/** One transfer, driven by calls of step(); each side does what it can without waiting. */
export class Transfer {
  /** Bytes that the client has received. */
  receivedBytes = 0;
  /** SHA-256 of what the client received, once all has come. */
  sha256: string | undefined;
  readonly #server: Posix;
  readonly #client: Posix;
  readonly #source: Source;
  readonly #listener: number;
  readonly #receiver: number;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE_BYTES);
  readonly #hash = createHash("sha256");
  #sender: number | undefined;
  #sentBytes = 0;
  #isShut = false;

  /** Starts to connect. @throws {CallError} */
  constructor(hosts: Hosts, source: Source) {
    this.#server = hosts.server.posix;
    this.#client = hosts.client.posix;
    this.#source = source;
    this.#listener = openListener(hosts, SOCK_NONBLOCK);
    this.#receiver = startConnect(hosts);
  }

  /** The server's descriptor, once it has accepted the connection. */
  get sender(): number | undefined {
    return this.#sender;
  }

  /** Has everything arrived, the end of the stream too? */
  get isDone(): boolean {
    return this.sha256 !== undefined;
  }

  /** Goes on as far as it can; call it after each step of the network. @throws {CallError} */
  step(): boolean {
    this.#send();
    this.#receive();
    return this.isDone;
  }

  #send(): void {
    if (this.#sender === undefined) {
      const accepted = checkedNow("accept", this.#server.accept4(this.#listener, null, SOCK_NONBLOCK));
      if (accepted === -EAGAIN) return;
      this.#sender = accepted;
    }
    while (this.#sentBytes < this.#source.bytes) {
      const sent = checkedNow("send", this.#server.send(this.#sender, this.#source.piece(this.#sentBytes)));
      if (sent === -EAGAIN) return;
      this.#sentBytes += sent;
    }
    if (!this.#isShut) checked("shutdown", this.#server.shutdown(this.#sender, SHUT_WR));
    this.#isShut = true;
    // The client sends nothing, but this tells when the connection has broken.
    checkedNow("recv", this.#server.recv(this.#sender, this.#buffer));
  }

  #receive(): void {
    while (!this.isDone) {
      const received = checkedNow("recv", this.#client.recv(this.#receiver, this.#buffer));
      if (received === -EAGAIN) return;
      if (received === 0) {
        this.sha256 = this.#hash.digest("hex");
        return;
      }
      this.#hash.update(this.#buffer.subarray(0, received));
      this.receivedBytes += received;
    }
  }

  /** Closes every socket. */
  close(): void {
    this.#client.close(this.#receiver);
    if (this.#sender !== undefined) this.#server.close(this.#sender);
    this.#server.close(this.#listener);
  }
}

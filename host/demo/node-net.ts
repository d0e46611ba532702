// The peer that the demo measures beside Oribi: node:net over the kernel's loopback, both ends in this thread.
// Read first: workloads.ts, whose workloads these are.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { REQUEST_BYTES } from "./calls.ts";

const HOST = "127.0.0.1";

/** The same workloads as Workloads, with the same units. */
export class NodeWorkloads {
  readonly #pieces: readonly Uint8Array[];

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
  }

  async throughput(millis: number): Promise<number> {
    let sent = 0;
    const start = performance.now();
    const serve = (socket: Socket): void => {
      let index = 0;
      const more = (): void => {
        while (performance.now() - start < millis) {
          const piece = this.#pieces[index++ % this.#pieces.length]!;
          sent += piece.length;
          if (!socket.write(piece)) return void socket.once("drain", more);
        }
        socket.end();
      };
      more();
    };
    return withServer(serve, async (port) => {
      let received = 0;
      const socket = connect(port, HOST);
      socket.on("data", ({ length }) => (received += length));
      await once(socket, "close");
      if (received !== sent) throw new Error(`node:net: ${sent} bytes were sent and ${received} received`);
      return (received / (performance.now() - start)) * 1000;
    });
  }

  async roundTrips(millis: number): Promise<number> {
    const serve = (socket: Socket): void => void socket.on("data", (data) => socket.write(data));
    return withServer(serve, async (port) => {
      const socket = connect({ host: HOST, port, noDelay: true });
      await once(socket, "connect");
      const request = Buffer.alloc(REQUEST_BYTES);
      const start = performance.now();
      let rounds = 0;
      let received = 0;
      socket.write(request);
      socket.on("data", (data: Buffer) => {
        received += data.length;
        if (received < REQUEST_BYTES) return;
        received = 0;
        rounds++;
        if (performance.now() - start < millis) socket.write(request);
        else socket.end();
      });
      await once(socket, "close");
      return (rounds / (performance.now() - start)) * 1000;
    });
  }

  async connections(millis: number): Promise<number> {
    const serve = (socket: Socket): void => void socket.once("data", () => socket.end());
    return withServer(serve, async (port) => {
      const start = performance.now();
      let count = 0;
      while (performance.now() - start < millis) {
        const socket = connect(port, HOST, () => socket.write("x"));
        socket.resume();
        await once(socket, "close");
        count++;
      }
      return (count / (performance.now() - start)) * 1000;
    });
  }
}

/** Runs `work` with the port of a server that serves each connection with `serve`. */
async function withServer(serve: (socket: Socket) => void, work: (port: number) => Promise<number>): Promise<number> {
  const server: Server = createServer({ noDelay: true }, serve);
  server.listen(0, HOST);
  await once(server, "listening");
  try {
    return await work((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** Segments that the kernel has retransmitted so far, for all programs; undefined where it does not tell (RFC 4022). */
export function kernelRetransmissions(): number | undefined {
  try {
    const lines = readFileSync("/proc/net/snmp", "utf8")
      .split("\n")
      .filter((line) => line.startsWith("Tcp:"));
    const [names = [], values = []] = lines.map((line) => line.split(" "));
    const value = Number(values[names.indexOf("RetransSegs")]);
    return Number.isInteger(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

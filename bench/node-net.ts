// The same work on node:net: both ends in this thread, over the kernel's loopback.
// Read first: node:net's documentation. Programs are written as most are: "data" events and write().

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type OnReadOpts, type Server, type Socket } from "node:net";

/** A server and what is connected to it; batches are made with run(). */
export interface NodePeer extends AsyncDisposable {
  run(): Promise<void>;
}

/**
 * `requests` requests of `bytes` bytes in each batch over `connections` connections: the server echoes, the client
 * sends the next one when an answer is whole.
 */
export async function netEcho(connections: number, bytes: number, requests: number): Promise<NodePeer> {
  const server = createServer({ noDelay: true }, (socket) => socket.on("data", (data) => socket.write(data)));
  const port = await listening(server);
  const request = Buffer.alloc(bytes, 1);
  let toSend = 0;
  let toCome = 0;
  let done: () => void = () => undefined;
  const sockets: Socket[] = [];
  for (let i = 0; i < connections; i++) {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    let got = 0;
    socket.on("data", (data) => {
      got += data.length;
      if (got < bytes) return;
      got -= bytes;
      if (toSend > 0) {
        toSend--;
        socket.write(request);
      }
      if (--toCome === 0) done();
    });
    sockets.push(socket);
  }
  const run = (): Promise<void> =>
    new Promise((resolve) => {
      done = resolve;
      toCome = requests;
      toSend = requests - sockets.length;
      for (const socket of sockets) socket.write(request);
    });
  return { run, [Symbol.asyncDispose]: () => closed(server, sockets) };
}

/**
 * `bytes` bytes in each batch over one connection, written `chunk` bytes at a time.
 * @param reuse receive into one buffer ("onread") instead of by "data" events, each of which has a buffer of its own
 */
export async function netStream(bytes: number, chunk: number, reuse = false): Promise<NodePeer> {
  const server = createServer();
  const port = await listening(server);
  const data = Buffer.alloc(chunk, 1);
  let toCome = 0;
  let done: () => void = () => undefined;
  const take = (count: number): boolean => {
    toCome -= count;
    if (toCome === 0) done();
    return true;
  };
  const onread: OnReadOpts = { buffer: Buffer.alloc(chunk), callback: take };
  const receiver = connect({ port, host: "127.0.0.1", ...(reuse ? { onread } : {}) });
  if (!reuse) receiver.on("data", ({ length }) => take(length));
  const [sender] = (await once(server, "connection")) as [Socket];
  const run = (): Promise<void> =>
    new Promise((resolve) => {
      done = resolve;
      toCome = bytes;
      let left = bytes;
      const send = (): void => {
        while (left > 0) {
          left -= chunk;
          if (!sender.write(data) && left > 0) {
            sender.once("drain", send);
            return;
          }
        }
      };
      send();
    });
  return { run, [Symbol.asyncDispose]: () => closed(server, [receiver]) };
}

/** `count` connections in each batch, one after the other: connect, one byte from the server, which closes first. */
export async function netConnections(count: number): Promise<NodePeer> {
  const byte = Buffer.alloc(1, 1);
  const server = createServer((socket) => socket.end(byte));
  const port = await listening(server);
  const run = (): Promise<void> =>
    new Promise((resolve, reject) => {
      let left = count;
      const next = (): void => {
        if (left-- === 0) return resolve();
        let got = 0;
        const socket = connect(port, "127.0.0.1");
        socket.on("data", (data) => (got += data.length));
        socket.on("error", reject);
        socket.on("close", () => (got === 1 ? next() : reject(new Error(`${got} bytes came`))));
      };
      next();
    });
  return { run, [Symbol.asyncDispose]: () => closed(server, []) };
}

async function listening(server: Server): Promise<number> {
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function closed(server: Server, sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, "close");
}

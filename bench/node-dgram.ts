// The same work on node:dgram: both ends in this thread, over the kernel's loopback.
// Read first: node:dgram's documentation; connected sockets, which spare the look-up of the address.

import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { NodePeer } from "./node-net.ts";

/** `requests` requests of `bytes` bytes in each batch, one after the other; the server echoes. */
export async function dgramEcho(bytes: number, requests: number): Promise<NodePeer> {
  const [client, server] = await sockets();
  const request = Buffer.alloc(bytes, 1);
  let left = 0;
  let done: () => void = () => undefined;
  server.on("message", (message, from) => server.send(message, from.port, from.address));
  client.on("message", () => {
    if (--left === 0) done();
    else client.send(request);
  });
  const run = (): Promise<void> =>
    new Promise((resolve) => {
      done = resolve;
      left = requests;
      client.send(request);
    });
  return { run, [Symbol.asyncDispose]: () => close(client, server) };
}

/** `count` datagrams of `bytes` bytes in each batch, all one way, `burst` at a time; none is lost. */
export async function dgramOneWay(bytes: number, count: number, burst: number): Promise<NodePeer> {
  const [client, server] = await sockets();
  const datagram = Buffer.alloc(bytes, 1);
  let left = 0;
  let done: () => void = () => undefined;
  const sendBurst = (): void => {
    for (let i = 0; i < burst; i++) client.send(datagram);
  };
  server.on("message", () => {
    if (--left === 0) done();
    else if (left % burst === 0) sendBurst();
  });
  const run = (): Promise<void> =>
    new Promise((resolve) => {
      done = resolve;
      left = count;
      sendBurst();
    });
  return { run, [Symbol.asyncDispose]: () => close(client, server) };
}

async function sockets(): Promise<[client: Socket, server: Socket]> {
  const server = createSocket("udp4");
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  const client = createSocket("udp4");
  client.connect(server.address().port, "127.0.0.1");
  await once(client, "connect");
  return [client, server];
}

async function close(...open: Socket[]): Promise<void> {
  for (const socket of open) socket.close();
}

// A thread of queues_2: a stack of the client and one of the server, polled in turn, never asleep.
// Read first: queues.ts, which starts it.

import { parentPort, workerData } from "node:worker_threads";
import { adoptModules, type CoreModules, instantiateVeth, type SharedMemory } from "../host/core.ts";
import { EPOLL_CTL_ADD, EPOLLIN, type EpollEvent, SOCK_NONBLOCK } from "../host/index.ts";
import { TurnClock } from "../host/clock.ts";
import { createPosix, type Posix } from "../host/posix/posix.ts";
import { Stack, type StackPlace } from "../host/stack.ts";
import { begin, fail, listen, ok } from "./pair.ts";

/** What a thread is given. */
export interface Share {
  memory: SharedMemory;
  modules: CoreModules;
  /** The client's and the server's stack. */
  places: [StackPlace, StackPlace];
  id: number;
  address: string;
  connections: number;
  words: Int32Array;
  threads: number;
  /** The network's time when the threads were started, microseconds. */
  micros: number;
}

/** A batch of requests; the answer is how long it took, milliseconds. */
export interface Order {
  requests: number;
}

/** Words that the threads share: how many listen, are connected, are done. */
export const WORDS = 4;
const LISTENING = 0;
const CONNECTED = 1;
const DONE = 2;
const BYTES = 64;
const PORT = 7;

if (parentPort !== null) run(workerData as Share);

function run(share: Share): void {
  adoptModules(share.modules);
  const veth = instantiateVeth(share.memory);
  veth.identify(share.id);
  const start = performance.now() * 1000 - share.micros;
  const stacks = share.places.map((place) => Stack.attach(share.memory, veth, place));
  const [atClient, atServer] = stacks as [Stack, Stack];
  const now = (): number => performance.now() * 1000 - start;
  const poll = (): number => {
    const time = now();
    return atClient.core.poll(time) + atServer.core.poll(time);
  };
  const waiter = { poll, now, turns: new TurnClock({ now }), wait: () => (poll(), true) };
  const [client, server] = stacks.map(({ core, memory }) => createPosix(core, memory, waiter)) as [Posix, Posix];
  const { words, threads } = share;
  const together = (word: number): void => {
    Atomics.add(words, word, 1);
    while (Atomics.load(words, word) < threads) poll();
  };
  const listener = listen(server, PORT);
  const atListener = server.epoll_create1(0);
  ok(server.epoll_ctl(atListener, EPOLL_CTL_ADD, listener, { events: EPOLLIN, data: { fd: listener } }));
  together(LISTENING);
  const fds = Array.from({ length: share.connections }, () => begin(client, PORT, share.address));
  const serve = echo(server, atListener, listener);
  const watched = client.epoll_create1(0);
  for (const fd of fds) {
    ok(client.epoll_ctl(watched, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: { fd } }));
    while (!(client.getpeername(fd, {}) === 0)) serve();
  }
  Atomics.add(words, CONNECTED, 1);
  while (Atomics.load(words, CONNECTED) < threads) serve();
  const ask = asker(client, watched, fds);
  parentPort?.on("message", ({ requests }: Order) => {
    together(LISTENING);
    const begun = performance.now();
    ask(requests, serve);
    const millis = performance.now() - begun;
    Atomics.add(words, DONE, 1);
    while (Atomics.load(words, DONE) < threads) serve();
    parentPort?.postMessage(millis);
  });
  parentPort?.postMessage(0);
}

/** Serves what is ready at the server's stack: new connections, requests. */
function echo(posix: Posix, epoll: number, listener: number): () => void {
  const events: EpollEvent[] = [];
  const buffer = new Uint8Array(BYTES);
  return () => {
    const ready = posix.epoll_wait(epoll, events, 64, 0);
    for (let i = 0; i < ready; i++) {
      const { fd } = (events[i] as EpollEvent).data;
      if (fd !== listener) {
        const n = posix.recv(fd, buffer);
        if (n !== BYTES || posix.send(fd, buffer) !== BYTES) fail("The server failed", n);
        continue;
      }
      for (let one; (one = posix.accept4(listener, null, SOCK_NONBLOCK)) >= 0;) {
        ok(posix.epoll_ctl(epoll, EPOLL_CTL_ADD, one, { events: EPOLLIN, data: { fd: one } }));
      }
    }
  };
}

/** Asks on all connections at once, so many requests in all. */
function asker(posix: Posix, epoll: number, fds: readonly number[]): (requests: number, serve: () => void) => void {
  const events: EpollEvent[] = [];
  const request = new Uint8Array(BYTES).fill(1);
  const response = new Uint8Array(BYTES);
  const send = (fd: number): void => {
    const n = posix.send(fd, request);
    if (n !== BYTES) fail("A request was not sent", n);
  };
  return (requests, serve) => {
    for (const fd of fds) send(fd);
    let toSend = requests - fds.length;
    for (let toCome = requests; toCome > 0; serve()) {
      const ready = posix.epoll_wait(epoll, events, fds.length, 0);
      for (let i = 0; i < ready; i++) {
        const { fd } = (events[i] as EpollEvent).data;
        const n = posix.recv(fd, response);
        if (n !== BYTES) fail("A response did not come whole", n);
        toCome--;
        if (toSend-- > 0) send(fd);
      }
    }
  };
}

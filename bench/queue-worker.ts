// A thread of the queues_2 rows: a stack of the client and one of the server, polled in turn, never asleep.
// Read first: queues.ts, which starts it.

import { parentPort, workerData } from "node:worker_threads";
import { TurnClock } from "../host/clock.ts";
import { adoptModules, type CoreModules, instantiateVeth, type SharedMemory } from "../host/core.ts";
import {
  AF_INET,
  EAGAIN,
  EINPROGRESS,
  EPOLL_CTL_ADD,
  EPOLLIN,
  type EpollEvent,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/index.ts";
import { createPosix, type Posix } from "../host/posix/posix.ts";
import { Stack, type StackPlace } from "../host/stack.ts";
import { pinThread } from "../host/threads/affinity.ts";
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
  /** Cores that the thread is kept on; none: any. */
  cpus: readonly number[];
  /** The network's time when the threads were started, microseconds. */
  micros: number;
}

/** A batch of so many requests, or connections, for each thread: it ends for all when it ends for the first. */
export interface Order {
  kind: "requests" | "connections";
  amount: number;
}

/** What a thread has done of a batch while all of them worked. */
export interface Report {
  done: number;
  millis: number;
}

/** Words that the threads share: how many listen, are connected, have come to the end; and whether one is through. */
export const WORDS = 4;
const LISTENING = 0;
const CONNECTED = 1;
const DONE = 2;
const THROUGH = 3;
/** A batch is done in so many pieces, between which a thread looks whether another one is through. */
const PIECES = 32;
const BYTES = 64;
/** Where requests are answered; where a byte is sent and the connection closed. */
const ECHO = 7;
const BYTE = 19;

if (parentPort !== null) run(workerData as Share);

function run(share: Share): void {
  pinThread(share.cpus);
  adoptModules(share.modules);
  const veth = instantiateVeth(share.memory);
  veth.identify(share.id);
  const start = performance.now() * 1000 - share.micros;
  const stacks = share.places.map((place) => Stack.attach(share.memory, veth, place));
  const [atClient, atServer] = stacks as [Stack, Stack];
  const now = (): number => performance.now() * 1000 - start;
  const turns = new TurnClock({ now });
  const poll = (): number => {
    const time = turns.take();
    return atClient.core.poll(time) + atServer.core.poll(time);
  };
  const waiter = { poll, now, turns, wait: () => (poll(), true) };
  const [client, server] = stacks.map(({ core, memory }) => createPosix(core, memory, waiter)) as [Posix, Posix];
  const { words, threads } = share;
  const together = (word: number): void => {
    Atomics.add(words, word, 1);
    while (Atomics.load(words, word) < threads) poll();
  };
  const serve = serving(server);
  together(LISTENING);
  const fds = Array.from({ length: share.connections }, () => begin(client, ECHO, share.address));
  const watched = client.epoll_create1(0);
  for (const fd of fds) {
    ok(client.epoll_ctl(watched, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: { fd } }));
    while (!(client.getpeername(fd, {}) === 0)) serve();
  }
  Atomics.add(words, CONNECTED, 1);
  while (Atomics.load(words, CONNECTED) < threads) serve();
  const work = { requests: asker(client, watched, fds), connections: caller(client, share.address) };
  parentPort?.on("message", ({ kind, amount }: Order) => {
    together(LISTENING);
    const begun = performance.now();
    let done = 0;
    while (done < amount && Atomics.load(words, THROUGH) === 0) {
      work[kind](amount / PIECES, serve);
      done += amount / PIECES;
    }
    const millis = performance.now() - begun;
    Atomics.store(words, THROUGH, 1);
    Atomics.add(words, DONE, 1);
    while (Atomics.load(words, DONE) < threads) serve();
    parentPort?.postMessage({ done, millis } satisfies Report);
  });
  parentPort?.postMessage("ready");
}

/** Listens at the server's stack; the function serves what is ready there: new connections, requests. */
function serving(posix: Posix): () => void {
  const epoll = posix.epoll_create1(0);
  const [echo, byte] = [ECHO, BYTE].map((port) => {
    const fd = listen(posix, port);
    ok(posix.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: { fd } }));
    return fd;
  });
  const events: EpollEvent[] = [];
  const buffer = new Uint8Array(BYTES);
  const one = new Uint8Array(1);
  const take = (listener: number): void => {
    for (let fd; (fd = posix.accept4(listener, null, SOCK_NONBLOCK)) >= 0;) {
      if (listener === echo) {
        ok(posix.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: { fd } }));
      } else if (posix.send(fd, one) !== 1 || posix.close(fd) !== 0) {
        fail("The server failed", -1);
      }
    }
  };
  return () => {
    const ready = posix.epoll_wait(epoll, events, 64, 0);
    for (let i = 0; i < ready; i++) {
      const { fd } = (events[i] as EpollEvent).data;
      if (fd === echo || fd === byte) {
        take(fd);
        continue;
      }
      const n = posix.recv(fd, buffer);
      if (n !== BYTES || posix.send(fd, buffer) !== BYTES) fail("The server failed", n);
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

/** Connects, gets a byte and the end, closes; one connection after the other. */
function caller(posix: Posix, address: string): (connections: number, serve: () => void) => void {
  const buffer = new Uint8Array(BYTES);
  return (connections, serve) => {
    for (let i = 0; i < connections; i++) {
      const fd = ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      let n = posix.connect(fd, { address, port: BYTE });
      if (n !== -EINPROGRESS) fail("A connection was not begun", n);
      while ((n = posix.recv(fd, buffer)) === -EAGAIN) serve();
      if (n !== 1) fail("The byte did not come", n);
      while ((n = posix.recv(fd, buffer)) === -EAGAIN) serve();
      if (n !== 0) fail("The end did not come", n);
      ok(posix.close(fd));
    }
  };
}

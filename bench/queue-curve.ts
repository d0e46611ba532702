// What more queues than this machine has cores for would cost: a simulation in one thread that takes the turns of 1 to
// 16 threads, each with a stack of the client and one of the server, and counts what they would say to one another.
// A cache line that one thread writes after another wrote it has been handed over between two cores; so has the data
// of a frame whose sender and receiver are different threads. As long as a packet that crosses needs as many of these
// with 16 queues as with 2, and one that does not needs none, nothing is shared that would keep threads from scaling.
// Read first: queues.ts, for two queues in real threads.

import { EAGAIN, type HostOptions, type HostStack, SOCK_NONBLOCK } from "../host/index.ts";
import { begin, fail, listen, ok, pair, SERVER_ADDRESS, type Pair } from "./pair.ts";
import type { Measured, Row } from "./row.ts";

const QUEUES = [1, 2, 4, 8, 16] as const;
const CONNECTIONS = 16;
const PORT = 7;
const BYTES = 64;
const LINE = 64;
const PAGE = 4096;
/** Turns of each thread until everything that happens once has happened, and turns that count. */
const WARM_CYCLES = 4;
const CYCLES = 8;

export const queuesCurve: Row = {
  name: "queues_curve",
  title: "cache lines that change hands for a packet between two threads, 16 queues and threads beside 2, simulated",
  unit: "line",
  bound: { atMost: 1.25, aim: 1.1 },
  measure,
};

/** What a packet costs with so many queues. */
interface Point {
  queues: number;
  /** Share of packets whose sender and receiver are different threads. */
  crossing: number;
  /** Share of packets handed over in software. */
  forwarded: number;
  /** Lines that change hands for a packet. */
  lines: number;
}

async function measure(): Promise<Measured> {
  const plain: Point[] = [];
  const symmetric: Point[] = [];
  for (const queues of QUEUES) {
    plain.push(await simulate(queues, {}));
    symmetric.push(await simulate(queues, { rssKey: "symmetric" }));
  }
  const at = (queues: number): number => {
    const { lines, crossing } = plain.find((point) => point.queues === queues) as Point;
    return lines / crossing;
  };
  const what =
    "queues: packets that cross between threads, that are forwarded in software, lines for each of all packets";
  const note = `${what}: ${curve(plain)}; with the symmetric key: ${curve(symmetric)}`;
  return { value: at(16), peer: "two queues", peerValue: at(2), ratio: at(16) / at(2), runs: 1, spread: 0, note };
}

function curve(points: readonly Point[]): string {
  const percent = (share: number): string => `${(share * 100).toFixed(share === 0 ? 0 : 1)} %`;
  return points
    .map(({ queues, crossing, forwarded, lines }) => {
      return `${queues}: ${percent(crossing)}, ${percent(forwarded)}, ${lines.toFixed(2)}`;
    })
    .join(" · ");
}

/** One thread of the simulation. */
interface Turn {
  client: HostStack;
  server: HostStack;
  fds: number[];
  accepted: number[];
}

async function simulate(queues: number, nic: Pick<HostOptions, "rssKey">): Promise<Point> {
  const stack = {
    connections: 256,
    timeWaits: 16,
    chunks: 512,
    largeChunks: 4,
    flights: 64,
    segments: 256,
    mbufs: 256,
  };
  const hosts = pair({ stacks: queues, stack, ringSize: 128, ...nic });
  try {
    return run(hosts, queues);
  } finally {
    await hosts[Symbol.asyncDispose]();
  }
}

function run(hosts: Pair, queues: number): Point {
  const { network, client, server } = hosts;
  const listeners = server.stacks.map(({ posix }) => listen(posix, PORT));
  const turns = client.stacks.map((stack, index): Turn => {
    const at = server.stacks[index] as HostStack;
    const fds = Array.from({ length: CONNECTIONS }, () => {
      const fd = begin(stack.posix, PORT, SERVER_ADDRESS);
      network.settle();
      return fd;
    });
    return { client: stack, server: at, fds, accepted: [] };
  });
  const home = new Map<number | undefined, number>();
  for (const { server: at, accepted } of turns) {
    for (let fd; (fd = at.posix.accept4(listeners[at.index] as number, null, SOCK_NONBLOCK)) >= 0; accepted.push(fd)) {
      const name: { port?: number } = {};
      ok(at.posix.getpeername(fd, name));
      home.set(name.port, at.index);
    }
  }
  network.settle();
  const crossing = crossingShare(turns, home);
  const ledger = new Ledger(hosts.network.memory.buffer);
  const before = { packets: 0, forwarded: 0 };
  for (const turn of turns) ask(turn);
  for (let cycle = -WARM_CYCLES; cycle < CYCLES; cycle++) {
    if (cycle === 0) {
      Object.assign(before, counted(hosts));
      ledger.handovers = 0;
    }
    // A thread's turn: a beat of each of its stacks, what its applications do, a beat again, with which that goes out.
    for (const [index, turn] of turns.entries()) {
      beat(hosts, turn);
      take(turn);
      serve(turn);
      beat(hosts, turn);
      ledger.turn(index);
    }
  }
  const { packets, forwarded } = counted(hosts);
  const sent = packets - before.packets;
  // A frame's own lines are written by its sender and read by its receiver: the ledger sees writers alone.
  const frameLines = Math.ceil((14 + 32 + 20 + BYTES) / LINE);
  return {
    queues,
    crossing,
    forwarded: (forwarded - before.forwarded) / sent,
    lines: ledger.handovers / sent + crossing * frameLines,
  };
}

/** Share of the connections whose ends are in different threads. */
function crossingShare(turns: readonly Turn[], home: ReadonlyMap<number | undefined, number>): number {
  let crossing = 0;
  for (const { client, fds } of turns) {
    for (const fd of fds) {
      const name: { port?: number } = {};
      ok(client.posix.getsockname(fd, name));
      crossing += home.get(name.port) === client.index ? 0 : 1;
    }
  }
  return crossing / (turns.length * CONNECTIONS);
}

function counted({ client, server }: Pair): { packets: number; forwarded: number } {
  const packets = [client, server].reduce((sum, { nic }) => sum + (nic.xstats().rx_good_packets ?? 0), 0);
  const forwarded = [client, server].reduce((sum, host) => sum + (host.counters().steer.out ?? 0), 0);
  return { packets, forwarded };
}

const request = new Uint8Array(BYTES).fill(1);
const buffer = new Uint8Array(BYTES);

function ask({ client, fds }: Turn): void {
  for (const fd of fds) if (client.posix.send(fd, request) !== BYTES) fail("A request was not sent", -1);
}

function serve({ server, accepted }: Turn): void {
  for (const fd of accepted) {
    const n = server.posix.recv(fd, buffer);
    if (n === -EAGAIN) continue;
    if (n !== BYTES || server.posix.send(fd, buffer) !== BYTES) fail("The server failed", n);
  }
}

/** The next request on every connection that has been answered. */
function take({ client, fds }: Turn): void {
  for (const fd of fds) {
    const n = client.posix.recv(fd, buffer);
    if (n === -EAGAIN) continue;
    if (n !== BYTES || client.posix.send(fd, request) !== BYTES) fail("A response did not come whole", n);
  }
}

function beat({ network }: Pair, { client, server }: Turn): void {
  const now = network.now();
  client.beat(now);
  server.beat(now);
}

/** Who wrote which cache line last: what the memory was after the last turn tells who has changed it since. */
class Ledger {
  /** Lines that a thread wrote and another one had written before. */
  handovers = 0;
  readonly #now: Buffer;
  readonly #before: Buffer;
  readonly #owners: Uint8Array;

  constructor(memory: ArrayBufferLike) {
    this.#now = Buffer.from(memory);
    this.#before = Buffer.from(this.#now);
    this.#owners = new Uint8Array(memory.byteLength / LINE);
  }

  /** Thread `index` has had its turn. */
  turn(index: number): void {
    for (let page = 0; page < this.#now.length; page += PAGE) {
      if (this.#now.compare(this.#before, page, page + PAGE, page, page + PAGE) === 0) continue;
      for (let line = page; line < page + PAGE; line += LINE) {
        if (this.#now.compare(this.#before, line, line + LINE, line, line + LINE) === 0) continue;
        this.#now.copy(this.#before, line, line, line + LINE);
        const owner = this.#owners[line / LINE] as number;
        if (owner !== 0 && owner !== index + 1) this.handovers++;
        this.#owners[line / LINE] = index + 1;
      }
    }
  }
}

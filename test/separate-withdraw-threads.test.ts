// Threads that wait for a socket, or read it at the same time, while it loses its queue or its role under them.
// Read first: assembly/share/withdraw.ts; the workers' functions are in fixtures/business.ts.

import { Worker } from "node:worker_threads";
import { expect } from "chai";
import {
  AF_INET,
  AF_UNSPEC,
  createNetwork,
  EINVAL,
  EPIPE,
  EPOLLIN,
  type Host,
  type Network,
  SHUT_RDWR,
  SOCK_STREAM,
} from "../host/index.ts";
import { listener, ok } from "./support/sockets.ts";

describe("threads that wait, or read at the same time", function () {
  this.timeout(30_000);
  const FIXTURE = new URL("./fixtures/business.js", import.meta.url);
  let net: Network;
  let server: Host;
  let client: Host;
  let workers: Worker[] = [];

  beforeEach(() => {
    net = createNetwork({ seed: 1 });
    const common = { bridge: net.bridge("lan"), threads: "separate", stack: { connections: 64, sockets: 16 } } as const;
    server = net.host("server", { ...common, address: "10.0.0.1/24" });
    client = net.host("client", { ...common, address: "10.0.0.2/24" });
  });

  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.terminate()));
    workers = [];
    await net.close();
  });

  function start(host: Host, task: string, args: object): Worker {
    const worker = new Worker(FIXTURE, { workerData: { place: host.client(), task, args } });
    workers.push(worker);
    return worker;
  }

  const resultOf = <T>(worker: Worker): Promise<T> =>
    new Promise((resolve, reject) => {
      worker.on("error", reject);
      worker.on("message", (message: { result: T } | "begun") => message !== "begun" && resolve(message.result));
    });

  /** A call that blocks in a thread of its own: what it returns when `wake` has been called. */
  async function blocked(host: Host, call: string, fd: number, wake: () => void): Promise<number> {
    const worker = start(host, "block", { call, fd });
    const result = resultOf<number>(worker);
    await new Promise((resolve) => worker.once("message", resolve));
    await new Promise((resolve) => setTimeout(resolve, 30));
    wake();
    return result;
  }

  function connection(): { l: number; c: number; s: number } {
    const l = listener(server.posix, 80, 16, 0);
    const c = ok(client.posix.socket(AF_INET, SOCK_STREAM));
    ok(client.posix.connect(c, { address: server.address, port: 80 }));
    return { l, c, s: ok(server.posix.accept(l)) };
  }

  const disconnect = (fd: number): number => ok(client.posix.connect(fd, { family: AF_UNSPEC }));

  it("end as on Linux when the socket is disconnected, or its listener ends", async () => {
    const { l, c, s } = connection();
    const reconnect = (): void => {
      disconnect(c);
      ok(client.posix.connect(c, { address: server.address, port: 80 }));
    };
    expect(await blocked(client, "recv", c, reconnect), "a blocked recv").to.equal(-EPIPE);
    ok(server.posix.close(s));
    const next = ok(server.posix.accept(l));
    const half = (): void => {
      ok(server.posix.send(next, Buffer.from("half")));
      client.posix.poll([{ fd: c, events: EPOLLIN }], 50);
      reconnect();
    };
    expect(await blocked(client, "recv whole", c, half), "one that has got some").to.be.oneOf([4, -EPIPE]);
    const last = ok(server.posix.accept(l));
    const sent = await blocked(client, "send", c, () => disconnect(c));
    expect(sent, "a blocked send that has sent some").to.be.within(1, (1 << 25) - 1);
    ok(server.posix.close(last));
    expect(await blocked(client, "poll", c, () => undefined), "poll").to.equal(1);
    expect(await blocked(server, "accept", l, () => ok(server.posix.shutdown(l, SHUT_RDWR)))).to.equal(-EINVAL);
  });

  it("get bytes of one stream at a time, none twice and none of others, while streams come and go", async () => {
    const { l, c, s: first } = connection();
    const other = { c: ok(client.posix.socket(AF_INET, SOCK_STREAM)), s: -1 };
    ok(client.posix.connect(other.c, { address: server.address, port: 80 }));
    other.s = ok(server.posix.accept(l));
    const words = new Int32Array(new SharedArrayBuffer(12));
    const readers = [1, 2].map(() =>
      resultOf<{ bytes: number; wrong: string[] }>(start(client, "sip", { fd: c, words })),
    );
    while (Atomics.load(words, 2) < readers.length) await new Promise((resolve) => setTimeout(resolve, 1));
    let s = first;
    let sent = 0;
    for (let stream = 1; stream <= 60; stream++) {
      const bytes = Buffer.alloc(1 + ((stream * 977) % 20_000), stream);
      sent += ok(server.posix.send(s, bytes));
      // Others' bytes take the place of what is taken back.
      ok(server.posix.send(other.s, Buffer.alloc(5000, 255)));
      const end = performance.now() + 40;
      if (stream < 4 || stream % 8 === 0) {
        while (Atomics.load(words, 1) !== stream && performance.now() < end) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
      disconnect(c);
      ok(client.posix.recv(other.c, Buffer.alloc(10_000)));
      ok(server.posix.close(s));
      ok(client.posix.connect(c, { address: server.address, port: 80 }));
      s = ok(server.posix.accept(l));
    }
    Atomics.store(words, 0, 1);
    const sipped = await Promise.all(readers);
    expect(sipped.flatMap(({ wrong }) => wrong)).to.deep.equal([]);
    expect(sipped.reduce((sum, { bytes }) => sum + bytes, 0)).to.be.within(1, sent);
  });
});

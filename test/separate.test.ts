// The separate model with real threads: stacks in threads of their own, workers and this thread using their sockets.
// The workers' functions are in fixtures/business.ts. Read first: DESIGN.md section 4; assembly/share/client.ts.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { CALL_SETSOCKOPT, CHANNEL_CONSUMED, CHANNEL_TX, THREAD_BEATS, THREAD_BYTES } from "../assembly/layout.ts";
import {
  AF_INET,
  attachHost,
  createNetwork,
  EAGAIN,
  EBADF,
  ECONNRESET,
  EFAULT,
  EINVAL,
  ENETDOWN,
  EPOLL_CTL_ADD,
  EPOLLIN,
  EPOLLOUT,
  ETIMEDOUT,
  type Host,
  type HostStack,
  type HostOptions,
  type Network,
  SHUT_WR,
  SO_LINGER,
  SO_RCVTIMEO,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/index.ts";
import { Link } from "../host/client/link.ts";
import type { Business } from "./fixtures/business.ts";
import { listener, ok, pattern, refused } from "./support/sockets.ts";

const FIXTURE = new URL("./fixtures/business.js", import.meta.url);
const STACK = { connections: 512, sockets: 64, timeWaits: 512 };

const made: Network[] = [];
const workers: Worker[] = [];

interface Lab {
  net: Network;
  server: Host;
  client: Host;
}

function lab(options: Partial<HostOptions> = {}): Lab {
  const net = createNetwork({ seed: 1 });
  made.push(net);
  const bridge = net.bridge("lan");
  const separate = { bridge, threads: "separate", stack: STACK, ...options } as const;
  const server = net.host("server", { ...separate, address: "10.0.0.1/24" });
  return { net, server, client: net.host("client", { ...separate, address: "10.0.0.2/24" }) };
}

function start(host: Host, task: Business["task"], args: Record<string, unknown>): Worker {
  const worker = new Worker(FIXTURE, { workerData: { place: host.client(), task, args } satisfies Business });
  workers.push(worker);
  return worker;
}

/** Runs a task in a worker of its own. */
function run<T>(host: Host, task: Business["task"], args: Record<string, unknown>): Promise<T> {
  return resultOf<T>(start(host, task, args));
}

function resultOf<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (message: { result: T } | "begun") => message !== "begun" && resolve(message.result));
  });
}

/** A connection between both hosts: the client's descriptor, the server's, the listener. */
function connect({ server, client }: Lab, port = 80): { c: number; s: number; l: number } {
  const l = listener(server.posix, port, 64, 0);
  const c = ok(client.posix.socket(AF_INET, SOCK_STREAM));
  ok(client.posix.connect(c, { address: server.address, port }));
  return { c, s: ok(server.posix.accept(l)), l };
}

function sumOf(bytes: Buffer): number {
  return bytes.reduce((sum, byte) => sum + byte, 0);
}

describe("hosts with separate threads", function () {
  this.timeout(90_000);

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
    await Promise.all(made.splice(0).map((net) => net.close()));
  });

  it("serve many connections of several business threads on both sides", async () => {
    const all = lab({ stacks: 2 });
    const l = listener(all.server.posix, 7, 64, 0);
    const servers = [1, 2, 3].map(() =>
      run<{ connections: number; bytes: number }>(all.server, "echo", { listener: l }),
    );
    const args = { address: all.server.address, port: 7, connections: 8, rounds: 15 };
    const talked = await Promise.all(
      [1, 2].map((seed) => run<{ bytes: number; wrong: number }>(all.client, "talk", { ...args, seed })),
    );
    ok(all.server.posix.close(l));
    const served = await Promise.all(servers);
    for (const { wrong } of talked) expect(wrong).to.equal(0);
    expect(served.reduce((sum, each) => sum + each.connections, 0)).to.equal(16);
    expect(served.reduce((sum, each) => sum + each.bytes, 0)).to.equal(
      talked.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    expect(all.server.pools().tcb!.used, "nothing is left of them").to.be.at.most(16);
  });

  it("tell how long their threads have slept, the sleep that goes on too", async () => {
    const { net, server } = lab();
    ok(server.posix.socket(AF_INET, SOCK_STREAM));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const [before, then] = [net.activity(server.first), net.now()];
    await new Promise((resolve) => setTimeout(resolve, 200));
    const [after, now] = [net.activity(server.first), net.now()];
    expect(after.asleepMicros - before.asleepMicros).to.be.within((now - then) / 2, now - then + 1000);
    expect(after.polls - before.polls).to.be.below(1000);
  });

  it("carry big transfers both ways, half-closed in between", async () => {
    const all = lab();
    const l = listener(all.server.posix, 80, 4, 0);
    const answered = run<{ bytes: number; hash: string }>(all.server, "hashAndAnswer", {
      listener: l,
      back: 3_000_000,
    });
    const { posix } = all.client;
    const fd = ok(posix.socket(AF_INET, SOCK_STREAM));
    ok(posix.connect(fd, { address: all.server.address, port: 80 }));
    const data = pattern(20_000_000);
    for (let at = 0; at < data.length;) at += ok(posix.send(fd, data.subarray(at, at + 1_000_000)));
    ok(posix.shutdown(fd, SHUT_WR));
    const back = Buffer.alloc(3_000_000);
    let got = 0;
    for (let n; (n = ok(posix.recv(fd, back.subarray(got)))) > 0;) got += n;
    expect(got).to.equal(back.length);
    expect(back.equals(pattern(back.length))).to.equal(true);
    const { bytes, hash } = await answered;
    expect(bytes).to.equal(data.length);
    expect(hash).to.equal(createHash("sha256").update(data).digest("hex"));
  });

  it("give each byte to one of several readers, and take whole blocks of several writers", async () => {
    const all = lab();
    const { c, s } = connect(all);
    const readers = [4096, 1000, 100_000].map((chunk) =>
      run<Record<"bytes" | "sum" | "last", number>>(all.server, "drink", { fd: s, chunk }),
    );
    const writers = [0, 1, 2].map((i) =>
      run<number>(all.client, "pour", { fd: c, bytes: 2_000_000, chunk: [500, 4096, 50_000][i], start: i * 1000 }),
    );
    await Promise.all(writers);
    ok(all.client.posix.shutdown(c, SHUT_WR));
    const drunk = await Promise.all(readers);
    expect(drunk.map(({ last }) => last)).to.deep.equal([0, 0, 0]);
    expect(drunk.reduce((sum, { bytes }) => sum + bytes, 0)).to.equal(6_000_000);
    const sent = [0, 1, 2].reduce((sum, i) => sum + sumOf(pattern(2_000_000, i * 1000)), 0);
    expect(drunk.reduce((total, { sum }) => total + sum, 0)).to.equal(sent);
  });

  it("give each datagram to one of several readers", async () => {
    const all = lab();
    const { posix } = all.server;
    const fd = ok(posix.socket(AF_INET, SOCK_DGRAM));
    ok(posix.bind(fd, { port: 53 }));
    const sender = ok(all.client.posix.socket(AF_INET, SOCK_DGRAM));
    ok(all.client.posix.connect(sender, { address: all.server.address, port: 53 }));
    const message = Buffer.alloc(4);
    const say = (n: number): void => {
      message.writeInt32LE(n);
      ok(all.client.posix.send(sender, message));
    };
    // Before the server's link address is known few datagrams are kept.
    say(0);
    expect(posix.recv(fd, message)).to.equal(4);
    const readers = [1, 2, 3].map(() => run<number[]>(all.server, "count", { fd }));
    for (let i = 0; i < 2000; i++) {
      say(i);
      // Datagrams get lost where the receiver is slow: not so many at once.
      if (i % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const done = Promise.all(readers);
    let isDone = false;
    void done.then(() => (isDone = true));
    while (!isDone) {
      say(-1);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const seen = (await done).flat().sort((a, b) => a - b);
    expect(new Set(seen).size, "none twice").to.equal(seen.length);
    expect(seen.length).to.be.above(1900);
  });

  it("let several threads serve one epoll, each event once", async () => {
    const all = lab();
    const { posix } = all.server;
    const l = listener(posix, 80, 64);
    const epfd = ok(posix.epoll_create1(0));
    ok(posix.epoll_ctl(epfd, EPOLL_CTL_ADD, l, { events: EPOLLIN, data: l }));
    const words = new Int32Array(new SharedArrayBuffer(4));
    const args = { epfd, listener: l, total: 12, words };
    const servers = [1, 2, 3].map(() => run<number>(all.server, "serveEpoll", args));
    const talk = { address: all.server.address, port: 80, connections: 6, rounds: 10 };
    const talked = await Promise.all(
      [1, 2].map((seed) => run<{ wrong: number }>(all.client, "talk", { ...talk, seed })),
    );
    expect(talked.map(({ wrong }) => wrong)).to.deep.equal([0, 0]);
    await Promise.all(servers);
    expect(words[0]).to.equal(12);
  });

  for (const call of ["recv", "accept", "poll", "epoll_wait"]) {
    it(`end ${call}() of another thread when its descriptor is closed, and when the network is`, async () => {
      const all = lab();
      const { posix } = all.server;
      const open = (port: number): number => {
        if (call !== "epoll_wait") return call === "accept" ? listener(posix, port, 4, 0) : connect(all, port).s;
        return ok(posix.epoll_create1(0));
      };
      const fds = [open(80), open(81)];
      const blocked = fds.map((fd) => start(all.server, "block", { call, fd }));
      const results = blocked.map((worker) => resultOf<number>(worker));
      await Promise.all(blocked.map((worker) => once(worker, "message")));
      await new Promise((resolve) => setTimeout(resolve, 20));
      ok(posix.close(fds[0] as number));
      // poll() reports POLLNVAL in its entry.
      expect(await results[0]).to.equal(call === "poll" ? 1 : -EBADF);
      await all.net.close();
      if (call === "recv" || call === "accept") expect(await results[1]).to.equal(-ENETDOWN);
    });
  }

  it("report errors, timeouts and the end as POSIX has them", () => {
    const all = lab();
    const { c, s, l } = connect(all);
    ok(all.server.posix.setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, 30));
    const before = performance.now();
    refused(all.server.posix.recv(s, Buffer.alloc(1)), EAGAIN);
    expect(performance.now() - before).to.be.within(29, 5000);
    ok(all.client.posix.send(c, Buffer.from("unread")));
    ok(all.server.posix.poll([{ fd: s, events: EPOLLIN }], -1));
    ok(all.server.posix.close(s));
    refused(all.client.posix.recv(c, Buffer.alloc(1)), ECONNRESET);
    expect(all.client.posix.recv(c, Buffer.alloc(1))).to.equal(0);
    refused(all.server.posix.recv(s, Buffer.alloc(1)), EBADF);
    expect(all.server.posix.getsockname(l, {})).to.equal(0);
  });

  it("wake an event loop without blocking it, and keep the process alive meanwhile", async () => {
    const all = lab();
    const { c, s } = connect(all);
    const server = all.server.ownClient;
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    setTimeout(() => all.client.posix.send(c, Buffer.from("x")), 20);
    expect(await server.ready(s)).to.satisfy((events: number) => (events & EPOLLIN) !== 0);
    expect(turns).to.be.above(0);
    clearInterval(timer);
    expect(await server.ready(s, EPOLLOUT)).to.satisfy((events: number) => (events & EPOLLOUT) !== 0);
    expect(server.posix.recv(s, Buffer.alloc(9))).to.equal(1);
    expect(await server.ready(s, EPOLLIN, { timeout: "20ms" })).to.equal(0);
    const epfd = ok(server.posix.epoll_create1(0));
    ok(server.posix.epoll_ctl(epfd, EPOLL_CTL_ADD, s, { events: EPOLLIN }));
    setTimeout(() => all.client.posix.send(c, Buffer.from("y")), 20);
    expect(await server.ready(epfd)).to.satisfy((events: number) => (events & EPOLLIN) !== 0);
    const aborted = await server.ready(c, 0, { signal: AbortSignal.timeout(20) }).catch((error: Error) => error);
    expect(aborted).to.include({ code: "ABORT_ERR" });
    expect(await server.ready(999)).to.equal(-EBADF);
  });

  it("take the turn of a thread that was terminated in the middle of send()", async () => {
    const all = lab();
    const { c, s } = connect(all);
    const words = new Int32Array(new SharedArrayBuffer(4));
    const worker = start(all.client, "holdTurn", { fd: c, words });
    while (words[0] === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await worker.terminate();
    expect(all.client.posix.send(c, Buffer.from("after"))).to.equal(5);
    const buffer = Buffer.alloc(10);
    expect(all.server.posix.recv(s, buffer)).to.equal(5);
    expect(buffer.toString("latin1", 0, 5)).to.equal("after");
  });

  it("give the seats of terminated threads to others", async () => {
    const all = lab({ share: { threads: 3 } });
    const words = new Int32Array(new SharedArrayBuffer(8));
    for (let i = 0; i < 8; i++) {
      const worker = start(all.server, "linger", { words });
      while (words[0] !== i + 1) await new Promise((resolve) => setTimeout(resolve, 2));
      await worker.terminate();
    }
    expect(all.server.posix.poll([], 0)).to.equal(0);
    const more = [attachHost(all.server.client()), attachHost(all.server.client())];
    expect(() => attachHost(all.server.client()))
      .to.throw("has room for")
      .with.property("code", "ERR_ORIBI_SEATS");
    for (const each of more) each.close();
    attachHost(all.server.client()).close();
  });

  it("lose a stack that is killed with -ENETDOWN, and have it back with net.restart()", async () => {
    const all = lab();
    const { c, s, l } = connect(all);
    const epfd = ok(all.server.posix.epoll_create1(0));
    ok(all.server.posix.epoll_ctl(epfd, EPOLL_CTL_ADD, s, { events: EPOLLIN }));
    const blocked = start(all.server, "block", { call: "recv", fd: s });
    const result = resultOf<number>(blocked);
    await once(blocked, "message");
    expect(all.net.kill(all.server.first)).to.equal(true);
    expect(await result).to.equal(-ENETDOWN);
    refused(all.server.posix.socket(AF_INET, SOCK_STREAM), ENETDOWN);
    await all.net.restart(all.server.first);
    refused(all.server.posix.recv(s, Buffer.alloc(1)), EBADF);
    expect(all.server.posix.epoll_wait(epfd, [], 4, 0)).to.equal(0);
    refused(all.server.posix.close(l), EBADF);
    const again = connect(all);
    ok(all.client.posix.send(again.c, Buffer.from("again")));
    expect(all.server.posix.recv(again.s, Buffer.alloc(9))).to.equal(5);
    ok(all.client.posix.close(c));
  });

  it("make new sockets on the stacks that run, when another one has been killed", async () => {
    const { net, server } = lab({ stacks: 2 });
    const [first, second] = server.stacks as [HostStack, HostStack];
    const stacksOf = (): Set<number> => {
      const fds = Array.from({ length: 4 }, () => ok(server.posix.socket(AF_INET, SOCK_STREAM)));
      for (const fd of fds) ok(server.posix.close(fd));
      return new Set(fds.map((fd) => fd % 2));
    };
    expect(stacksOf()).to.deep.equal(new Set([0, 1]));
    net.kill(first);
    while (net.stackEntry(first).state === "running") await new Promise((resolve) => setTimeout(resolve, 1));
    expect(stacksOf()).to.deep.equal(new Set([1]));
    net.kill(second);
    while (net.stackEntry(second).state === "running") await new Promise((resolve) => setTimeout(resolve, 1));
    refused(server.posix.socket(AF_INET, SOCK_STREAM), ENETDOWN);
    await net.restart(first);
    expect(stacksOf()).to.deep.equal(new Set([0]));
  });

  it("survive positions that cannot be: only the connection itself suffers", () => {
    const all = lab();
    const first = connect(all, 80);
    const second = connect(all, 81);
    const link = new Link(all.server.client());
    link.find(first.s);
    const at = link.channel.at;
    Atomics.store(link.words, (at + CHANNEL_CONSUMED) / 4, 0x12345678);
    Atomics.add(link.words, (at + CHANNEL_TX) / 4, 0x7654321);
    refused(link.call(first.s, 99), EINVAL);
    // Of a call that nobody makes, with a pointer that is not the caller's.
    refused(link.call(second.s, CALL_SETSOCKOPT, SOL_SOCKET, SO_RCVTIMEO, 64, 16), EFAULT);
    ok(all.client.posix.send(second.c, Buffer.from("well")));
    expect(all.server.posix.recv(second.s, Buffer.alloc(9))).to.equal(4);
    expect(all.server.trap).to.equal(undefined);
    expect(all.server.sharing().violations).to.be.at.least(2);
    refused(all.client.posix.recv(first.c, Buffer.alloc(1)), ECONNRESET);
    link.seat.leave();
  });

  it("tell the end of a stream, and errors, behind its last byte however many pieces it lies in", () => {
    for (const ending of ["FIN", "RST"]) {
      const net = createNetwork({ time: "virtual", seed: 1 });
      made.push(net);
      const bridge = net.bridge("lan");
      // Only small chunks: more of them than places can be published at a time.
      const options = { bridge, threads: "separate", stack: { ...STACK, largeChunks: 0 } } as const;
      const server = net.host("server", { ...options, address: "10.0.0.1/24" });
      const client = net.host("client", { ...options, address: "10.0.0.2/24" });
      const { c, s } = connect({ net, server, client });
      const data = pattern(50_000);
      expect(client.posix.send(c, data)).to.equal(data.length);
      net.settle();
      if (ending === "FIN") ok(client.posix.shutdown(c, SHUT_WR));
      else ok(client.posix.setsockopt(c, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 }));
      if (ending === "RST") ok(client.posix.close(c));
      net.settle();
      const all = Buffer.alloc(data.length);
      let got = 0;
      let last = 0;
      while ((last = server.posix.recv(s, all.subarray(got, got + 700))) > 0) got += last;
      expect(got, ending).to.equal(data.length);
      expect(all.equals(data)).to.equal(true);
      expect(last).to.equal(ending === "FIN" ? 0 : -ECONNRESET);
    }
  });

  it("answer -ETIMEDOUT when a stack does not serve", () => {
    // In simulated time nobody serves the stack but those who wait in this thread: this client does not.
    const net = createNetwork({ time: "virtual" });
    made.push(net);
    const host = net.host("a", { address: "10.0.0.1/24", threads: "separate", share: { callTimeout: 30 } });
    const alone = attachHost(host.client());
    refused(alone.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), ETIMEDOUT);
    expect(host.posix.socket(AF_INET, SOCK_STREAM), "the call that was given up is not carried out").to.equal(3);
    alone.close();
  });

  it("count the time for an answer from the start of the stack's thread on", () => {
    const net = createNetwork({ time: "virtual" });
    made.push(net);
    const host = net.host("a", { address: "10.0.0.1/24", threads: "separate", share: { callTimeout: 30 } });
    const place = host.client();
    const alone = attachHost(place);
    const words = new Int32Array(net.memory.buffer, place.blocks[0]!, THREAD_BYTES / 4);
    Atomics.store(words, THREAD_BEATS / 4, 0);
    const begin = `
      const { workerData: words } = require("node:worker_threads");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      Atomics.store(words, ${THREAD_BEATS / 4}, 1);`;
    workers.push(new Worker(begin, { eval: true, workerData: words }));
    const begun = performance.now();
    refused(alone.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), ETIMEDOUT);
    expect(performance.now() - begun).to.be.at.least(300);
    alone.close();
  });

  it("keep the process alive as long as the network is open", async () => {
    const program = `
      import { createNetwork, AF_INET, SOCK_STREAM } from "${new URL("../host/index.js", import.meta.url).href}";
      const net = createNetwork();
      const host = net.host("a", { address: "10.0.0.1/24", threads: "separate" });
      host.posix.listen(host.posix.socket(AF_INET, SOCK_STREAM), 4);
      process.stdin.once("data", () => net.close()).unref();
      process.stdout.write("open");`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program]);
    await once(child.stdout, "data");
    const ended = once(child, "exit");
    const soon = new Promise((resolve) => setTimeout(resolve, 300, "alive"));
    expect(await Promise.race([ended, soon])).to.equal("alive");
    child.stdin.end("close");
    expect(await ended).to.deep.equal([0, null]);
  });

  it("refuse options that cannot be, and hosts that share their thread", () => {
    const net = createNetwork();
    made.push(net);
    const host = (options: object): Host => net.host("a", { address: "10.0.0.1/24", ...options });
    expect(() => host({ threads: "both" })).to.throw('"shared" or "separate"');
    expect(() => host({ threads: "separate", poll: "never" })).to.throw('"adaptive"');
    expect(() => host({ threads: "separate", share: { epolls: 65 } })).to.throw("from 1 to 64");
    expect(() => host({}).client())
      .to.throw('threads: "separate"')
      .with.property("code", "ERR_ORIBI_THREAD");
    expect(() => attachHost({} as never))
      .to.throw("client()")
      .with.property("code", "ERR_ORIBI_OPTION");
  });
});

// Hosts in threads of their own: what they exchange, how they sleep, how the main thread lives beside them.
// The applications are in fixtures/thread-apps.ts. Read first: DESIGN.md section 4; host/threads/.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  EINPROGRESS,
  type Host,
  MSG_WAITALL,
  type Network,
  readPcapng,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  type ThreadActivity,
} from "../host/index.ts";
import type { HostOptions } from "../host/network.ts";
import type { Place, RequestResult, Transfer } from "./fixtures/thread-apps.ts";
import { seedOf } from "./support/chance.ts";
import { datagramSocket, listener, ok, pattern } from "./support/sockets.ts";

const APPS = new URL("./fixtures/thread-apps.js", import.meta.url);
const PORT = 7;

const made: Network[] = [];

/** Ends the threads of a test, also when it fails. */
async function closeAll(): Promise<void> {
  await Promise.all(made.splice(0).map((net) => net.close()));
}

/** A network whose hosts a, b, ... are on one bridge. */
function network(hosts: number, options: Partial<HostOptions> = {}): { net: Network; hosts: Host[] } {
  const net = createNetwork({ seed: 1 });
  made.push(net);
  const bridge = net.bridge("lan");
  const names = [..."abcdefgh"].slice(0, hosts);
  return {
    net,
    hosts: names.map((name, i) => net.host(name, { bridge, address: `10.0.0.${i + 1}/24`, ...options })),
  };
}

function placeOf(host: Host, port = PORT): Place {
  return { address: host.address, port };
}

/** Pool elements of a stack that are in use, without TIME-WAIT records. */
function leftovers(host: Host): Record<string, number> {
  const used = Object.entries(host.pools()).map(([name, pool]) => [name, pool.used] as const);
  return Object.fromEntries(used.filter(([name, n]) => n > 0 && name !== "timeWait"));
}

describe("hosts in threads of their own", function () {
  this.timeout(60_000);
  afterEach(closeAll);

  it("exchange 10,000 requests and answers of 64 bytes", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    const [bytes, result] = await Promise.all([
      net.spawn<number>(a, APPS, { name: "echo", args: { port: PORT } }),
      net.spawn<RequestResult>(b, APPS, { name: "request", args: { to: placeOf(a), count: 10_000, size: 64 } }),
    ]);
    expect(bytes).to.equal(640_000);
    expect(result.good).to.equal(10_000);
    expect(result.activity.polls).to.be.above(10_000);
  });

  it("move 50 MB without a changed byte", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    const bytes = 50_000_000;
    const [received, sent] = await Promise.all([
      net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } }),
      net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } }),
    ]);
    expect(received).to.deep.equal(sent);
    expect(received.bytes).to.equal(bytes);
    expect(a.counters().tcp.inSegs).to.be.above(bytes / 65536);
  });

  it("talk to each other through one bridge, three of them, with epoll", async () => {
    const { net, hosts } = network(3);
    const count = 500;
    const results = await Promise.all(
      hosts.map((host) => {
        const peers = hosts.filter((other) => other !== host).map((other) => other.address);
        return net.spawn<Record<string, number>>(host, APPS, { name: "gossip", args: { peers, count } });
      }),
    );
    for (const [i, seen] of results.entries()) {
      const others = hosts.filter((_, j) => j !== i).map((other) => [other.address, count]);
      expect(seen, `host ${i}`).to.deep.equal(Object.fromEntries(others));
    }
  });

  it("know their names, and share one clock", async () => {
    const { net, hosts } = network(2);
    const before = net.now();
    const seen = await Promise.all(hosts.map((host) => net.spawn<{ now: number }>(host, APPS, { name: "introduce" })));
    const after = net.now();
    for (const [i, host] of hosts.entries()) {
      expect(seen[i]).to.include({ name: host.name, address: host.address, mbufs: host.pools().mbuf!.capacity });
      expect(seen[i]!.now).to.be.within(before - 100, after + 100);
    }
  });

  it("go over bad links, each polled by its own thread, into one capture", async () => {
    const link = { delay: "1ms", loss: 0.02 };
    const { net, hosts } = network(2, { link });
    const [a, b] = hosts as [Host, Host];
    const capture = net.capture("memory", { at: "both" });
    const bytes = 300_000;
    const [received, sent] = await Promise.all([
      net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } }),
      net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } }),
    ]);
    expect(received).to.deep.equal(sent);
    // The last acknowledgements, which nobody waits for.
    expect(await net.until(() => hosts.every((host) => inFlight(host) === 0), { timeout: "20s" })).to.be.true;
    await capture.close();
    expect(capture.dropped).to.equal(0);
    const packets = [...readPcapng(capture.bytes())];
    const crossed = hosts.flatMap((host) => [host.xstats().tx_good_packets!, host.xstats().rx_good_packets!]);
    expect(packets.length).to.equal(crossed.reduce((sum, n) => sum + n, 0));
    expect(b.nic.links.toWire!.counters().lost + a.nic.links.toHost!.counters().lost).to.be.above(0);
    expect(b.counters().tcp.retransSegs).to.be.above(0);
  });

  it("take new hosts and changed links while they run", async () => {
    const { net, hosts } = network(2, { stack: { connections: 256, largeChunks: 16 } });
    const [a, b] = hosts as [Host, Host];
    const bytes = 5_000_000;
    const server = net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } });
    const client = net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } });
    const bridge = net.bridge("other");
    const pages = net.memory.buffer.byteLength;
    for (let i = 0; i < 5; i++) {
      const name = `more-${i}`;
      net.host(name, { bridge, address: `10.1.0.${i + 1}/24` });
      b.setLink({ delay: i % 2 === 0 ? "100us" : 0 });
      await net.until(() => false, { timeout: "2ms" });
    }
    expect(net.memory.buffer.byteLength).to.be.above(pages);
    expect(await server).to.deep.equal(await client);
  });
});

/** Gives two hosts permanent neighbour entries, which need no timers. */
function knowEachOther(a: Host, b: Host): void {
  for (const [host, { address, nic }] of [
    [a, b],
    [b, a],
  ] as const) {
    const mac = Buffer.from(nic.mac.replaceAll(":", ""), "hex");
    const ip = address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
    ok(host.stack.core.arpAdd(ip, mac.readUInt16BE(0), mac.readUInt32BE(2)));
  }
}

/** Frames under way on a host's links and in its NIC. */
function inFlight({ nic }: Host): number {
  return (nic.links.toWire?.inFlight ?? 0) + (nic.links.toHost?.inFlight ?? 0) + nic.pending(0);
}

describe("a thread without work", function () {
  this.timeout(60_000);
  afterEach(closeAll);

  it("loses no wake-up: a client that pauses at random", async () => {
    const seed = seedOf(20_250_101);
    process.stdout.write(`      seed ${seed}\n`);
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    knowEachOther(a, b);
    const count = 8000;
    const echo = { fd: datagramSocket(a.posix, PORT, 0), count };
    const ask = { fd: datagramSocket(b.posix, PORT, 0), to: placeOf(a), count, seed };
    const [server, client] = await Promise.all([
      net.spawn<ThreadActivity>(a, APPS, { name: "datagramEcho", args: echo }),
      net.spawn<{ answers: number; activity: ThreadActivity }>(b, APPS, { name: "pausing", args: ask }),
    ]);
    // No timer runs in either stack: a request or an answer that woke nobody would never be seen.
    expect(client.answers).to.equal(count);
    expect(server.sleeps, "the server did sleep").to.be.above(count / 50);
    for (const { sleeps, wakeups } of [server, client.activity]) expect(sleeps).to.equal(wakeups);
  });

  it("sleeps: it polls a few times, not all the time", async () => {
    const { net, hosts } = network(2);
    const [lazy, eager] = await Promise.all([
      net.spawn<ThreadActivity>(hosts[0]!, APPS, { name: "idle", args: { millis: 200 } }),
      net.spawn<ThreadActivity>(hosts[1]!, APPS, { name: "idle", args: { millis: 200 }, poll: "busy" }),
    ]);
    expect(lazy.sleeps).to.be.within(1, 50);
    expect(lazy.asleepMicros).to.be.above(100_000);
    expect([eager.sleeps, eager.asleepMicros]).to.deep.equal([0, 0]);
    expect(net.activity(hosts[0]!.first).sleeps, "seen from outside").to.be.at.least(lazy.sleeps);
    expect(eager.polls).to.be.above(lazy.polls * 5);
  });
});

describe("the main thread beside other threads", function () {
  this.timeout(60_000);
  afterEach(closeAll);

  it("has a client of its own, with calls that do not block and until()", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    // The descriptor lives in the stack: made here, used there.
    const server = net.spawn<number>(a, APPS, { name: "echo", args: { listener: listener(a.posix, PORT, 16, 0) } });
    const { posix } = b;
    const fd = ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    expect(posix.connect(fd, placeOf(a))).to.equal(-EINPROGRESS);
    const question = pattern(100_000);
    const answer = Buffer.alloc(question.length);
    let [sent, received] = [0, 0];
    const done = await net.until(
      () => {
        if (sent < question.length) sent += Math.max(0, posix.send(fd, question.subarray(sent)));
        received += Math.max(0, posix.recv(fd, answer.subarray(received)));
        return received === question.length;
      },
      { timeout: "30s" },
    );
    expect(done).to.be.true;
    expect(answer.equals(question)).to.be.true;
    ok(posix.close(fd));
    expect(await server).to.equal(question.length);
  });

  it("has a client of its own, with calls that block, from the moment of spawn() on", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    const { socket, connect, send, recv, close } = b.posix;
    const server = net.spawn<number>(a, APPS, { name: "echo", args: { listener: listener(a.posix, PORT, 16, 0) } });
    const fd = ok(socket(AF_INET, SOCK_STREAM));
    ok(connect(fd, placeOf(a)));
    const answer = Buffer.alloc(5000);
    for (let i = 0; i < 200; i++) {
      const question = pattern(5000, i);
      expect(send(fd, question)).to.equal(5000);
      expect(recv(fd, answer, 5000, MSG_WAITALL)).to.equal(5000);
      expect(answer.equals(question)).to.be.true;
    }
    ok(close(fd));
    expect(await server).to.equal(1_000_000);
  });

  it("gets a host back with its open sockets when its function ends, even while it is blocked", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    const fd = listener(a.posix, PORT, 16, 0);
    const greeting = net.spawn<number>(b, APPS, { name: "greet", args: { to: placeOf(a) } });
    expect(b.thread).to.equal("worker");
    expect(() => b.posix)
      .to.throw("runs in a thread of its own")
      .with.property("code", "ERR_ORIBI_THREAD");
    const connection = ok(a.posix.accept(fd));
    const buffer = Buffer.alloc(5);
    expect(a.posix.recv(connection, buffer, 5, MSG_WAITALL)).to.equal(5);
    expect(buffer.toString()).to.equal("hello");
    const open = await greeting;
    expect(b.thread).to.equal("main");
    ok(b.posix.send(open, Buffer.from("again")));
    expect(a.posix.recv(connection, buffer, 5, MSG_WAITALL)).to.equal(5);
    expect(buffer.toString()).to.equal("again");
    ok(b.posix.close(open));
    expect(a.posix.recv(connection, buffer)).to.equal(0);
  });

  it("serves a host whose function has ended before its bytes were delivered", async () => {
    const { net, hosts } = network(2, { link: { rate: "200Mbit" } });
    const [a, b] = hosts as [Host, Host];
    const bytes = 2_000_000;
    const received = net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } });
    const sent = await net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } });
    expect(b.thread).to.equal("main");
    expect(await received).to.deep.equal(sent);
  });

  it("runs one function after another on a host, and finds nothing left over", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    for (let i = 0; i < 3; i++) {
      const port = PORT + i;
      const server = net.spawn(a, APPS, { name: "echo", args: { port } });
      const client = net.spawn(b, APPS, { name: "request", args: { to: placeOf(a, port), count: 10, size: 1000 } });
      expect(await client).to.include({ good: 10 });
      expect(await server).to.equal(10_000);
    }
    await net.until(() => hosts.every((host) => Object.keys(leftovers(host)).length === 0), { timeout: "20s" });
    expect(hosts.map(leftovers)).to.deep.equal([{}, {}]);
  });

  it("lets functions await other things while their stack is served", async () => {
    const { net, hosts } = network(2);
    const [a, b] = hosts as [Host, Host];
    const answer = net.spawn<string>(a, APPS, { name: "asynchronous", args: { fd: datagramSocket(a.posix, PORT) } });
    const fd = datagramSocket(b.posix, PORT);
    ok(b.posix.sendto(fd, Buffer.from("hello"), 0, placeOf(a)));
    expect(await answer).to.equal("hello");
  });

  it("waits with until(): for a condition, a time, a signal, the end of the network", async () => {
    const { net, hosts } = network(1);
    let isLate = false;
    setTimeout(() => (isLate = true), 5);
    expect(await net.until(() => isLate)).to.be.true;
    expect(await net.until(() => false, { timeout: "3ms" })).to.be.false;
    const controller = new AbortController();
    const aborted = net.until(() => false, { signal: controller.signal });
    controller.abort("enough");
    expect(await rejection(aborted)).to.include({ name: "AbortError", code: "ABORT_ERR", cause: "enough" });
    expect(await rejection(net.until(() => false, { signal: controller.signal }))).to.include({ code: "ABORT_ERR" });
    const broken = net.until(() => {
      throw new TypeError("of the condition");
    });
    expect(await rejection(broken)).to.be.instanceOf(TypeError);
    expect(await Promise.all([net.until(() => true), net.until(() => hosts.length === 1)])).to.deep.equal([true, true]);
    const closed = net.until(() => false);
    await net.close();
    expect(await rejection(closed)).to.include({ code: "ERR_ORIBI_CLOSED" });
    expect(await rejection(net.until(() => true))).to.include({ code: "ERR_ORIBI_CLOSED" });
  });

  it("ends with its process, whether the network was closed or not", async () => {
    const index = new URL("../host/index.js", import.meta.url).href;
    for (const last of ["await net.close();", ""]) {
      const program = `
        import { createNetwork } from ${JSON.stringify(index)};
        const net = createNetwork();
        const lan = net.bridge("lan");
        const a = net.host("a", { bridge: lan, address: "10.0.0.1/24" });
        const { now } = await net.spawn(a, ${JSON.stringify(APPS.href)}, { name: "introduce" });
        ${last}
        process.stdout.write(now > 0 ? "ended" : "strange");`;
      const run = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
      expect(run).to.deep.equal({ stdout: "ended", stderr: "" });
    }
  });
});

/** What a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => new Error("The promise was not rejected."),
    (error: unknown) => error,
  );
}

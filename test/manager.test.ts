// Threads that die in the middle of things: what they had is taken back, others go on, a restarted stack serves again.
// Read first: DESIGN.md section 4 "Manager"; host/manager.ts; veth/datapath/reclaim.ts.

import { expect } from "chai";
import {
  AF_INET,
  CoreTrap,
  createNetwork,
  ECONNREFUSED,
  ECONNRESET,
  type Host,
  type HostStack,
  type Network,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  type UserVbridge,
} from "../host/index.ts";
import { CLEAN_AUDIT as CLEAN } from "../host/manager.ts";
import type { HostOptions } from "../host/network.ts";
import { READY, ROUNDS, STOP, type Talked } from "./fixtures/queue-apps.ts";
import { chance, seedOf } from "./support/chance.ts";
import { datagramSocket, listener, ok, pattern } from "./support/sockets.ts";

const APPS = new URL("./fixtures/queue-apps.js", import.meta.url);
const MORE_APPS = new URL("./fixtures/thread-apps.js", import.meta.url);
const SMALL = { connections: 512, timeWaits: 1024, sockets: 64, chunks: 2048, largeChunks: 16, segments: 4096 };
const SERVER = "10.0.0.1";
/** Where the directory of pools lies in an arena (assembly/stack.ts); the first is that of packets. */
const POOLS_AT = 256;

const made: Network[] = [];

async function closeAll(): Promise<void> {
  await Promise.all(made.splice(0).map((net) => net.close()));
}

function network(options: object = {}): Network {
  const net = createNetwork({ seed: 1, ...options });
  made.push(net);
  return net;
}

interface Lab {
  net: Network;
  bridge: UserVbridge;
  server: Host;
  client: Host;
  words: Int32Array;
}

function lab(server: Partial<HostOptions>, client: Partial<HostOptions>, options: object = {}): Lab {
  const net = network(options);
  const bridge = net.bridge("lan");
  return {
    net,
    bridge,
    server: net.host("server", { bridge, address: `${SERVER}/24`, stack: SMALL, ...server }),
    client: net.host("client", { bridge, address: "10.0.0.2/24", stack: SMALL, ...client }),
    words: new Int32Array(new SharedArrayBuffer(16)),
  };
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}

/** Sends something on a new connection from the client's first stack and reads the echo. */
function expectEcho({ net, client }: Lab, port: number): void {
  const { posix } = client;
  const fd = ok(posix.socket(AF_INET, SOCK_STREAM, 0));
  expect(posix.connect(fd, { address: SERVER, port })).to.equal(0);
  ok(posix.send(fd, pattern(100)));
  const buffer = Buffer.alloc(100);
  expect(posix.recv(fd, buffer)).to.equal(100);
  ok(posix.close(fd));
  net.settle();
}

describe("a stack that traps on the main thread", () => {
  afterEach(closeAll);

  it("is reclaimed at once, its peer is refused by the others, and it serves again when it is restarted", async () => {
    const all = lab({ stacks: 2 }, {}, { time: "virtual" });
    const { net, server, client } = all;
    net.settle();
    const dead = server.stacks[1]!;
    const from = listener(dead.posix, 80);
    datagramSocket(dead.posix, 53);
    const connect = (): number => {
      const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      client.posix.connect(fd, { address: SERVER, port: 80 });
      return fd;
    };
    const open = connect();
    net.settle();
    ok(dead.posix.accept4(from, null, SOCK_NONBLOCK));
    expect(server.nic.director.count).to.equal(2);
    // The pool of its packets says that an element is free which is none.
    new Uint32Array(net.memory.buffer, dead.stack.place.base + POOLS_AT, 1)[0] = dead.stack.place.base;
    connect();
    expect(() => net.settle()).to.throw(CoreTrap);
    expect(dead.trap).to.be.instanceOf(CoreTrap);
    expect(net.stackEntry(dead).state).to.equal("reclaimed");
    expect(server.nic.director.count).to.equal(0);
    expect(await net.audit()).to.deep.equal(CLEAN);
    ok(client.posix.send(open, pattern(10)));
    net.advance("5s");
    expect(client.posix.recv(open, Buffer.alloc(10))).to.equal(-ECONNRESET);
    expect(server.first.posix.getsockname(3, { family: 0, address: "", port: 0 }), "no descriptor is open").to.equal(
      -9,
    );
    await net.restart(dead);
    const again = listener(dead.posix, 80);
    connect();
    net.settle();
    ok(dead.posix.accept4(again, null, SOCK_NONBLOCK));
    expect(dead.counters().tcp.passiveOpens, "figures start anew").to.equal(1);
    expect(await net.audit()).to.deep.equal(CLEAN);
  });

  it("as the first of its host, leaves it to the others to answer whoever asks for the host's address", async () => {
    const { net, server, client, bridge } = lab({ stacks: 2 }, {}, { time: "virtual" });
    net.settle();
    const [dead, other] = server.stacks as [HostStack, HostStack];
    const from = listener(other.posix, 80);
    new Uint32Array(net.memory.buffer, dead.stack.place.base + POOLS_AT, 1)[0] = dead.stack.place.base;
    // To ports that nobody has: one of the answers would be the dead stack's.
    const asker = ok(client.posix.socket(AF_INET, SOCK_DGRAM, 0));
    for (let port = 1; port <= 16; port++) ok(client.posix.sendto(asker, pattern(1), 0, { address: SERVER, port }));
    expect(() => net.settle()).to.throw(CoreTrap);
    expect(net.stackEntry(dead).state).to.equal("reclaimed");
    const late = net.host("late", { bridge, address: "10.0.0.3/24" });
    const fd = ok(late.posix.socket(AF_INET, SOCK_STREAM, 0));
    expect(late.posix.connect(fd, { address: SERVER, port: 80 })).to.equal(0);
    net.settle();
    ok(other.posix.accept4(from, null, SOCK_NONBLOCK));
    expect(late.counters().arp.inReplies).to.be.above(0);
    expect(await net.audit()).to.deep.equal(CLEAN);
  });
});

describe("a thread that is killed", function () {
  this.timeout(120_000);
  afterEach(closeAll);

  it("leaves nothing; its peers get resets, the other stacks go on, and it can be started again", async () => {
    const all = lab({ stacks: 2 }, {});
    const { net, server, client, words } = all;
    const runs = server.stacks.map((at) => net.spawn(at, APPS, { name: "serve", args: { port: 7, words } }));
    await net.until(() => Atomics.load(words, READY) === 2, { timeout: "20s" });
    const fds = Array.from({ length: 40 }, () => {
      const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
      expect(client.posix.connect(fd, { address: SERVER, port: 7 })).to.equal(0);
      return fd;
    });
    const dead = server.stacks[1]!;
    expect(net.kill(dead)).to.be.true;
    expect(await runs[1]!.catch(codeOf)).to.equal("ERR_ORIBI_KILLED");
    expect(await net.audit()).to.deep.equal(CLEAN);
    expect(net.stackEntry(dead)).to.include({ state: "reclaimed", starts: 1 });
    // Connections of the dead stack are reset by the one that gets their segments now; the others live.
    const results = fds.map((fd) => {
      const sent = client.posix.send(fd, pattern(10));
      return sent < 0 ? sent : client.posix.recv(fd, Buffer.alloc(10));
    });
    const count = (value: number): number => results.filter((result) => result === value).length;
    expect(count(10)).to.be.within(8, 32);
    expect(count(-ECONNRESET)).to.equal(40 - count(10));
    expectEcho(all, 7);
    await net.restart(dead);
    expect(net.stackEntry(dead)).to.include({ state: "running", starts: 2 });
    expect(server.nic.rss.reta.filter((queue) => queue === 1)).to.have.lengthOf(64);
    const again = net.spawn(dead, APPS, { name: "serve", args: { port: 7, words } });
    await net.until(() => Atomics.load(words, READY) === 3, { timeout: "20s" });
    for (let i = 0; i < 20; i++) expectEcho(all, 7);
    Atomics.store(words, STOP, 1);
    const served = (await again) as { connections: number };
    expect(served.connections).to.be.within(3, 17);
    await runs[0];
    expect(await net.audit()).to.deep.equal(CLEAN);
  });

  it("is reclaimed while other threads still load their modules", async () => {
    const { net, server, client } = lab({}, {});
    const slow = `const gate = new BroadcastChannel("gate");
      await new Promise((resolve) => (gate.onmessage = resolve));
      gate.close();
      export default () => "begun";`;
    const loading = net.spawn(client, `data:text/javascript,${encodeURIComponent(slow)}`);
    const run = net.spawn(server, APPS, { name: "serve", args: { port: 7, words: new Int32Array(16) } });
    expect(net.kill(server.first)).to.be.true;
    expect(await run.catch(codeOf)).to.equal("ERR_ORIBI_KILLED");
    expect(await net.audit()).to.deep.equal(CLEAN);
    await net.restart(server.first);
    expect(client.thread).to.equal("worker");
    const gate = new BroadcastChannel("gate");
    const opening = setInterval(() => gate.postMessage("open"), 20);
    expect(await loading.finally(() => clearInterval(opening))).to.equal("begun");
    gate.close();
    expect(await net.audit()).to.deep.equal(CLEAN);
  });

  it("as the only stack of its host, is silence to its peers, until it is started again", async () => {
    const all = lab({}, {});
    const { net, server, client, words } = all;
    const run = net.spawn(server, APPS, { name: "serve", args: { port: 7, words } });
    await net.until(() => Atomics.load(words, READY) === 1, { timeout: "20s" });
    const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
    expect(client.posix.connect(fd, { address: SERVER, port: 7 })).to.equal(0);
    net.kill(server.first);
    expect(await run.catch(codeOf)).to.equal("ERR_ORIBI_KILLED");
    expect(await net.audit()).to.deep.equal(CLEAN);
    expect(server.nic.up).to.be.false;
    ok(client.posix.send(fd, pattern(10)));
    await net.restart(server.first);
    // What is sent again meets a stack that knows nothing of the connection.
    expect(client.posix.recv(fd, Buffer.alloc(10))).to.equal(-ECONNRESET);
    const other = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
    expect(client.posix.connect(other, { address: SERVER, port: 7 })).to.equal(-ECONNREFUSED);
    const l = listener(server.posix, 7);
    const again = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
    expect(client.posix.connect(again, { address: SERVER, port: 7 })).to.equal(0);
    net.settle();
    ok(server.posix.accept4(l, null, SOCK_NONBLOCK));
  });

  it("in the middle of whatever, ten times over links, leaves nothing behind", async () => {
    const seed = seedOf(5);
    const dice = chance(seed);
    const link = { delay: "200us", jitter: "100us", loss: 0.01 };
    const all = lab({ stacks: 2, link }, { stacks: 2, link });
    const { net, server, client, words } = all;
    const start = (at: HostStack, isServer: boolean): Promise<unknown> => {
      const args = isServer ? { port: 7, words } : { address: SERVER, port: 7, size: 3000, words };
      return net.spawn(at, APPS, { name: isServer ? "serve" : "flood", args }).catch(codeOf);
    };
    const running = new Map<HostStack, Promise<unknown>>();
    for (const at of server.stacks) running.set(at, start(at, true));
    await net.until(() => Atomics.load(words, READY) === 2, { timeout: "20s" });
    for (const at of client.stacks) running.set(at, start(at, false));
    await net.until(() => Atomics.load(words, READY) === 4, { timeout: "20s" });
    const stacks = [...server.stacks, ...client.stacks];
    for (let kills = 0; kills < 10; kills++) {
      await new Promise((resolve) => setTimeout(resolve, dice(25)));
      const dead = stacks[dice(4)]!;
      net.kill(dead);
      expect(await running.get(dead), `kill ${kills}: ${dead.name}`).to.equal("ERR_ORIBI_KILLED");
      expect(await net.audit(), `after kill ${kills} of seed ${seed}: ${dead.name}`).to.deep.equal(CLEAN);
      await net.restart(dead);
      running.set(dead, start(dead, server.stacks.includes(dead)));
      if (dice(3) === 0) server.nic.rss.setReta({ [dice(128)]: dice(2), [dice(128)]: dice(2) });
    }
    // The traffic goes on: both servers are there.
    const before = net.now();
    const talk = { address: SERVER, port: 7, connections: 5, rounds: 5, seed, words };
    const third = net.host("third", { bridge: all.bridge, address: "10.0.0.3/24", stack: SMALL });
    const talked = await net.spawn<Talked>(third, APPS, { name: "talk", args: talk });
    expect(talked).to.deep.include({ errors: {}, wrong: 0 });
    expect(net.now()).to.be.above(before);
    Atomics.store(words, STOP, 1);
    await Promise.all(running.values());
    expect(await net.audit()).to.deep.equal(CLEAN);
    expect(Atomics.load(words, ROUNDS)).to.equal(5);
  });

  it("because it hangs, is found by its missing beat", async () => {
    const all = lab({ stacks: 2 }, {}, { hangAfter: "300ms" });
    const { net, server } = all;
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const sleeper = net.spawn(server.stacks[0]!, MORE_APPS, { name: "wait", args: { flag } }).catch(codeOf);
    const hung = net
      .spawn(server.stacks[1]!, MORE_APPS, { name: "hang", args: { flag } })
      .catch((error: Error) => error);
    const error = (await hung) as Error;
    expect(error).to.include({ code: "ERR_ORIBI_HANG" });
    expect(error.message).to.match(/"server#1" has hung for \d+ ms/);
    expect(await net.audit()).to.deep.equal(CLEAN);
    expect(server.stacks.map(({ thread }) => thread)).to.deep.equal(["worker", "lost"]);
    await net.close();
    expect(await sleeper).to.equal("ERR_ORIBI_CLOSED");
  });

  it("is not started again while it runs", async () => {
    const { net, server } = lab({ stacks: 2 }, {});
    const error = await net.restart(server.stacks[1]!).catch((reason: unknown) => reason);
    expect(error).to.include({ code: "ERR_ORIBI_STACK" });
    expect(net.kill(server.stacks[1]!)).to.be.false;
  });
});

// ltran in a thread of its own, before stacks in threads of theirs: traffic, killed stacks, a killed ltran, sleep.
// The applications are in fixtures/thread-apps.ts. Read first: host/ltrans.ts; host/threads/ltran-worker.ts.

import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  type Host,
  type HostOptions,
  type Ltran,
  type LtranOptions,
  type Network,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/index.ts";
import type { RequestResult, Transfer } from "./fixtures/thread-apps.ts";
import { listener, ok, pattern } from "./support/sockets.ts";

const APPS = new URL("./fixtures/thread-apps.js", import.meta.url);
const PORT = 7;
const SMALL = { connections: 256, timeWaits: 256, sockets: 64, chunks: 4096, largeChunks: 64, segments: 8192 };
const made: Network[] = [];

async function closeAll(): Promise<void> {
  await Promise.all(made.splice(0).map((net) => net.close()));
}

interface Lab {
  net: Network;
  ltran: Ltran;
  client: Host;
  hosts: Host[];
}

/** A client on a bridge, and isolated hosts behind an ltran there. */
function lab(count: number, options: LtranOptions = {}): Lab {
  const net = createNetwork({ seed: 1 });
  made.push(net);
  const bridge = net.bridge("lan");
  const ltran = net.ltran("lt", { bridge, ...options });
  const client = net.host("client", { bridge, address: "10.0.0.9/24", stack: SMALL });
  const hosts = Array.from({ length: count }, (_, i) =>
    net.host(`s${i}`, { ltran, address: `10.0.0.${i + 1}/24`, stack: SMALL } as HostOptions),
  );
  return { net, ltran, client, hosts };
}

function placeOf(host: Host): { address: string; port: number } {
  return { address: host.address, port: PORT };
}

/** One greeting from the main thread to a host in a thread, which echoes it. */
function expectEcho({ client }: Lab, to: Host): void {
  const { posix } = client;
  for (;;) {
    const fd = ok(posix.socket(AF_INET, SOCK_STREAM, 0));
    if (posix.connect(fd, placeOf(to)) === 0) {
      ok(posix.send(fd, pattern(100)));
      expect(posix.recv(fd, Buffer.alloc(200))).to.equal(100);
      ok(posix.close(fd));
      return;
    }
    ok(posix.close(fd)); // the other thread does not listen yet
  }
}

async function sleepMillis(millis: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, millis));
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}

describe("an ltran in a thread of its own", function () {
  this.timeout(60_000);
  afterEach(closeAll);

  it("carries requests and answers between stacks in threads of theirs", async () => {
    const { net, ltran, client, hosts } = lab(2);
    expect(ltran.thread).to.equal("worker");
    const [a, b] = hosts as [Host, Host];
    const [bytes, result] = await Promise.all([
      net.spawn<number>(a, APPS, { name: "echo", args: { port: PORT } }),
      net.spawn<RequestResult>(client, APPS, { name: "request", args: { to: placeOf(a), count: 1000, size: 64 } }),
    ]);
    expect([bytes, result.good]).to.deep.equal([64_000, 1000]);
    const [, inside] = await Promise.all([
      net.spawn<number>(a, APPS, { name: "echo", args: { port: PORT + 1 } }),
      net.spawn<RequestResult>(b, APPS, {
        name: "request",
        args: { to: { address: a.address, port: PORT + 1 }, count: 1000, size: 64 },
      }),
    ]);
    expect(inside.good).to.equal(1000);
    expect(ltran.report(b)).to.include({ violations: 0, rxMissed: 0, txSpoofed: 0 });
  });

  it("moves 5 MB without a changed byte, into one capture", async () => {
    const { net, hosts } = lab(2);
    const [a, b] = hosts as [Host, Host];
    const capture = net.capture("memory", { hosts: ["s0"] });
    const bytes = 5_000_000;
    const [received, sent] = await Promise.all([
      net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } }),
      net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } }),
    ]);
    expect(received).to.deep.equal(sent);
    expect(capture.packets + capture.dropped).to.be.above(1000);
  });

  it("serves stacks of the main thread, which blocks", async () => {
    const all = lab(2);
    const { net, client, hosts } = all;
    const [a, b] = hosts as [Host, Host];
    const at = listener(a.posix, PORT, 16, 0);
    for (const from of [client, b]) {
      const fd = ok(from.posix.socket(AF_INET, SOCK_STREAM, 0));
      expect(from.posix.connect(fd, placeOf(a))).to.equal(0);
      const peer = ok(a.posix.accept(at));
      ok(from.posix.send(fd, pattern(1000)));
      expect(a.posix.recv(peer, Buffer.alloc(2000))).to.equal(1000);
    }
    const patient = listener(a.posix, PORT + 1);
    const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    client.posix.connect(fd, { address: a.address, port: PORT + 1 });
    let peer = -1;
    const came = await net.until(() => (peer = a.posix.accept(patient)) >= 0, { timeout: "20s" });
    expect(came && peer >= 0).to.equal(true);
  });

  it("lets others finish when a stack's thread is terminated, and serves it again after its restart", async () => {
    const all = lab(4);
    const { net, ltran, client, hosts } = all;
    const [dead, peer, a, b] = hosts as [Host, Host, Host, Host];
    const bytes = 5_000_000;
    const endless = { to: placeOf(dead), bytes: 2_000_000_000 };
    const doomed = [
      net.spawn(dead, APPS, { name: "sink", args: { port: PORT } }),
      net.spawn(peer, APPS, { name: "source", args: endless }),
    ];
    const ends = Promise.all(doomed.map((run) => run.then(() => "fine", codeOf)));
    const others = Promise.all([
      net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } }),
      net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } }),
    ]);
    await net.until(() => ltran.report(dead).rxPackets > 200, { timeout: "30s" });
    expect(net.kill(dead.first)).to.equal(true);
    const [received, sent] = await others;
    expect(received).to.deep.equal(sent);
    await net.until(() => dead.thread === "lost", { timeout: "10s" });
    expect(ltran.report(dead).state).to.equal("down");
    net.kill(peer.first);
    expect(await ends).to.deep.equal(["ERR_ORIBI_KILLED", "ERR_ORIBI_KILLED"]);
    for (const host of [dead, peer]) await net.restart(host.first);
    expect(ltran.report(dead).state).to.equal("served");
    const again = net.spawn<number>(dead, APPS, { name: "echo", args: { port: PORT } });
    expectEcho(all, dead);
    expect(await again).to.equal(100);
    expect(client.counters().tcp.inErrs).to.equal(0);
    expect(await net.audit()).to.deep.include({ mbufs: 0, slots: 0 });
  });

  it("survives stacks that are killed in a row", async () => {
    const all = lab(1);
    const { net, ltran, hosts } = all;
    const [host] = hosts as [Host];
    for (let i = 0; i < 4; i++) {
      const flag = new Int32Array(new SharedArrayBuffer(4));
      const run = net.spawn(host, APPS, { name: i % 2 === 0 ? "hang" : "wait", args: { flag } });
      const end = run.then(() => "fine", codeOf);
      await net.until(() => Atomics.load(flag, 0) === 1, { timeout: "20s" });
      net.kill(host.first);
      expect(await end).to.equal("ERR_ORIBI_KILLED");
      await net.restart(host.first);
    }
    const again = net.spawn<number>(host, APPS, { name: "echo", args: { port: PORT } });
    expectEcho(all, host);
    await again;
    expect(ltran.thread).to.equal("worker");
  });

  it("is started again when it was killed itself; connections go on", async () => {
    const all = lab(2);
    const { net, ltran, hosts } = all;
    const [a, b] = hosts as [Host, Host];
    const bytes = 10_000_000;
    const transfer = Promise.all([
      net.spawn<Transfer>(a, APPS, { name: "sink", args: { port: PORT } }),
      net.spawn<Transfer>(b, APPS, { name: "source", args: { to: placeOf(a), bytes } }),
    ]);
    for (let i = 1; i <= 3; i++) {
      await net.until(() => ltran.report(a).rxBytes > i * 2_000_000, { timeout: "30s" });
      expect(net.kill(ltran)).to.equal(true);
      await net.until(() => ltran.thread === "lost", { timeout: "10s" });
      await net.restart(ltran);
    }
    const [received, sent] = await transfer;
    expect(received).to.deep.equal(sent);
    expect(await net.audit()).to.deep.include({ mbufs: 0, slots: 0 });
    let code = "";
    await net.restart(ltran).catch((error) => (code = codeOf(error)));
    expect(code).to.equal("ERR_ORIBI_STACK");
  });

  it("sleeps when there is nothing to forward", async () => {
    const all = lab(2);
    const { net, hosts } = all;
    const again = net.spawn<number>(hosts[0]!, APPS, { name: "echo", args: { port: PORT } });
    expectEcho(all, hosts[0]!);
    await again;
    await sleepMillis(200);
    const before = process.cpuUsage();
    await sleepMillis(500);
    const { user, system } = process.cpuUsage(before);
    expect(user + system, "microseconds of 500,000").to.be.below(150_000);
  });

  it("can be stepped with the others in real time", async () => {
    const { ltran, client, hosts } = lab(1, { thread: false });
    expect(ltran.thread).to.equal("main");
    const [a] = hosts as [Host];
    const at = listener(a.posix, PORT, 16, 0);
    const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
    expect(client.posix.connect(fd, placeOf(a))).to.equal(0);
    ok(a.posix.accept(at));
  });
});

// How threads end: errors and traps that come back to the caller, signals, functions that do not stop, a network that
// is closed. The other hosts go on. The applications are in fixtures/thread-apps.ts.

import { expect } from "chai";
import { THREAD_BEATS } from "../assembly/layout.ts";
import { CoreTrap, createNetwork, type Host, type Network, OribiError, type SpawnOptions } from "../host/index.ts";
import { datagramSocket, ok } from "./support/sockets.ts";

const APPS = new URL("./fixtures/thread-apps.js", import.meta.url);

/** What a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error("The promise was not rejected."),
    (error: unknown) => error as Error,
  );
}

describe("a function in a thread that ends badly", function () {
  this.timeout(60_000);
  let net: Network;
  let a: Host;
  let b: Host;

  beforeEach(() => {
    net = createNetwork({ seed: 1 });
    const bridge = net.bridge("lan");
    a = net.host("a", { bridge, address: "10.0.0.1/24" });
    b = net.host("b", { bridge, address: "10.0.0.2/24" });
  });

  afterEach(() => net.close());

  function fail(how: string, options: SpawnOptions = {}): Promise<Error> {
    return rejection(net.spawn(a, APPS, { name: "fail", args: { how }, ...options }));
  }

  /** Both hosts can be used from here, and talk to each other. */
  async function expectLife(): Promise<void> {
    expect([a.thread, b.thread]).to.deep.equal(["main", "main"]);
    const [from, to] = [datagramSocket(b.posix, 50), datagramSocket(a.posix, 50)];
    ok(b.posix.sendto(from, Buffer.from("alive"), 0, { address: a.address, port: 50 }));
    const buffer = Buffer.alloc(10);
    expect(await net.until(() => a.posix.recv(to, buffer) === 5, { timeout: "20s" })).to.be.true;
    ok(a.posix.close(to));
    ok(b.posix.close(from));
  }

  /** Starts a function that tells when it runs; resolves then. */
  async function start(host: Host, name: string, options: SpawnOptions = {}): Promise<{ promise: Promise<unknown> }> {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const promise = net.spawn(host, APPS, { name, args: { flag }, ...options });
    promise.catch(() => {});
    expect(await net.until(() => Atomics.load(flag, 0) === 1, { timeout: "20s" })).to.be.true;
    return { promise };
  }

  it("rejects with its error: class, message, fields, stack and cause", async () => {
    const error = await fail("error");
    expect(error).to.be.instanceOf(TypeError);
    expect(error).to.include({ message: "wrong", code: "E_WRONG", errno: -5 });
    expect(error.stack).to.contain("thread-apps");
    expect((error.cause as Error).message).to.equal("why");
    await expectLife();
  });

  it("rejects with what was thrown, though it is no error", async () => {
    expect(await fail("value")).to.deep.equal({ reason: "a plain object" });
  });

  it("rejects when the result cannot be sent, and the thread goes on", async () => {
    expect(await fail("function")).to.include({ name: "DataCloneError" });
    expect(await net.spawn(a, APPS, { name: "fail", args: { how: "" } })).to.equal("fine");
    await expectLife();
  });

  it("rejects when the arguments cannot be sent", async () => {
    const error = await rejection(net.spawn(a, APPS, { args: () => 1 }));
    expect(error).to.include({ name: "DataCloneError" });
    await expectLife();
  });

  it("rejects with an error that nobody caught, and with the exit code", async () => {
    expect(await fail("uncaught"))
      .to.be.instanceOf(RangeError)
      .and.have.property("message", "from a timer");
    await expectLife();
    const error = await fail("exit");
    expect(error).to.be.instanceOf(OribiError).and.include({ code: "ERR_ORIBI_THREAD" });
    expect(error.message).to.equal('The thread of host "a" exited with code 3.');
    await expectLife();
    expect(await net.spawn(a, APPS, { name: "fail", args: { how: "" } }), "in a new thread").to.equal("fine");
  });

  it("rejects when there is no such function or module", async () => {
    const error = await rejection(net.spawn(a, APPS, { name: "nothing" }));
    expect(error).to.include({ code: "ERR_ORIBI_THREAD" });
    expect(error.message).to.match(/exports no function "nothing"\. Functions that it exports: .*echo/);
    const missing = await rejection(net.spawn(a, new URL("./fixtures/no-such-file.js", import.meta.url)));
    expect(missing).to.include({ code: "ERR_MODULE_NOT_FOUND" });
    await expectLife();
  });

  it("refuses what cannot be", async () => {
    const virtual = createNetwork({ time: "virtual" });
    const host = virtual.host("v", { address: "10.0.0.1/24" });
    expect(await rejection(virtual.spawn(host, APPS))).to.include({ code: "ERR_ORIBI_TIME" });
    expect(await rejection(virtual.until(() => true))).to.include({ code: "ERR_ORIBI_TIME" });
    await virtual.close();
    expect(await rejection(virtual.spawn(host, APPS))).to.include({ code: "ERR_ORIBI_CLOSED" });
    expect((await rejection(net.spawn(host, APPS))).message).to.contain("a host of this network");
    for (const options of [{ poll: "often" }, { name: 5 }] as object[]) {
      expect(await rejection(net.spawn(a, APPS, options))).to.include({ code: "ERR_ORIBI_OPTION" });
    }
    for (const module of ["./apps.js", "apps", 5] as string[]) {
      expect(await rejection(net.spawn(a, module))).to.include({ code: "ERR_ORIBI_OPTION" });
    }
    const { promise } = await start(a, "wait");
    expect((await rejection(net.spawn(a, APPS))).message).to.contain("runs in a thread of its own already");
    await net.close();
    expect(await rejection(promise)).to.include({ code: "ERR_ORIBI_CLOSED" });
  });

  it("is ended by its signal: the call that it waits in throws, and the host comes back", async () => {
    const controller = new AbortController();
    const { promise } = await start(a, "wait", { signal: controller.signal });
    const other = await start(b, "wait");
    controller.abort(new Error("enough"));
    const error = await rejection(promise);
    expect(error).to.include({ name: "AbortError", code: "ABORT_ERR" });
    expect((error.cause as Error).message).to.equal("enough");
    expect([a.thread, b.thread]).to.deep.equal(["main", "worker"]);
    // Its listening socket is still there, and somebody else may connect to it.
    expect(a.pools().tcb?.used).to.equal(1);
    expect(await rejection(net.spawn(a, APPS, { signal: controller.signal }))).to.include({ code: "ABORT_ERR" });
    expect(await net.spawn(a, APPS, { name: "fail", args: { how: "" } })).to.equal("fine");
    await net.close();
    expect(await rejection(other.promise)).to.include({ code: "ERR_ORIBI_CLOSED" });
  });

  it("is terminated when it does not react to its signal; its host is lost, the others go on", async () => {
    const controller = new AbortController();
    const { promise } = await start(a, "hang", { signal: controller.signal });
    controller.abort();
    expect(await rejection(promise)).to.include({ name: "AbortError" });
    expect(a.thread).to.equal("lost");
    expect(() => a.posix)
      .to.throw("its thread has crashed")
      .with.property("code", "ERR_ORIBI_THREAD");
    expect(await rejection(net.spawn(a, APPS))).to.include({ code: "ERR_ORIBI_THREAD" });
    expect(a.counters().tcp.activeOpens, "figures remain").to.equal(0);
    expect(await net.spawn(b, APPS, { name: "fail", args: { how: "" } })).to.equal("fine");
    const fd = datagramSocket(b.posix, 50);
    for (let i = 0; i < 10; i++) b.posix.sendto(fd, Buffer.from("dead?"), 0, { address: a.address, port: 50 });
    expect(await net.until(() => b.nic.xstats().tx_good_packets! > 0, { timeout: "20s" })).to.be.true;
  });

  it("is killed while its thread still starts, once the thread has loaded its program", async () => {
    const setDoorbell = a.first.setDoorbell.bind(a.first);
    let bell = 0;
    a.first.setDoorbell = (address) => setDoorbell((bell = address));
    const run = rejection(net.spawn(a, APPS, { name: "hang" }));
    const block = bell;
    const beats = (): number => Atomics.load(new Int32Array(net.memory.buffer, block, 16), THREAD_BEATS / 4);
    expect(beats(), "before it has loaded").to.equal(0);
    expect(net.kill(a.first)).to.be.true;
    expect(await run).to.include({ code: "ERR_ORIBI_KILLED" });
    expect(beats(), "after it has ended").to.be.greaterThan(0);
    expect(a.thread).to.equal("lost");
  });

  it("rejects with the trap that stopped its stack; its host is lost, the others go on", async () => {
    const word = new Uint32Array(net.memory.buffer, a.nic.handle, 1);
    const magic = word[0]!;
    const other = await start(b, "wait");
    const error = await rejection(net.spawn(a, APPS, { name: "trap", args: { memory: net.memory, at: a.nic.handle } }));
    word[0] = magic;
    expect(error).to.be.instanceOf(CoreTrap).and.include({ code: "ERR_ORIBI_TRAP" });
    expect(error.message).to.contain("The core trapped");
    expect(a.trap).to.equal(error);
    expect([a.thread, b.thread]).to.deep.equal(["lost", "worker"]);
    await net.close();
    expect(await rejection(other.promise)).to.include({ code: "ERR_ORIBI_CLOSED" });
  });

  it("ends with the network, and nobody need wait for it", async () => {
    await start(a, "wait");
    await start(b, "hang");
    const unhandled: unknown[] = [];
    const listener = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listener);
    await net.close();
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", listener);
    expect(unhandled).to.deep.equal([]);
  });
});

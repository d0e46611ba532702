// Snapshots of a network in virtual time: a forked run must go on like the original, to the bit.
// Read first: host/snapshot.ts, veth/datapath/snapshot.ts; DESIGN.md section 5.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  EAGAIN,
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLIN,
  EpollEvent,
  type Host,
  type Network,
  type NetworkCapture,
  type Snapshot,
  SO_KEEPALIVE,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ok, pattern } from "./support/sockets.ts";

const BYTES = 150_000;

/** A transfer over a bad link whose applications can be forked: their state is three numbers. */
class Transfer {
  readonly network: Network;
  readonly hosts: [Host, Host];
  readonly #listener: number;
  #client: number;
  #server = -1;
  #sent = 0;
  #got = 0;
  readonly #buffer = Buffer.alloc(5000);

  constructor(seed: number) {
    this.network = createNetwork({ seed, time: "virtual" });
    const bridge = this.network.bridge("lan");
    const rules = { delay: "3ms", jitter: "1ms", loss: 0.02, duplicate: 0.02, reorder: 0.05, corrupt: 0.01 };
    const link = { ...rules, gilbert: { p: 0.01, r: 0.3 }, rate: "50Mbit", queue: { packets: 40 } };
    const make = (name: string, address: string, queues: number): Host =>
      this.network.host(name, { bridge, address, link, queues, offloads: { tso: queues > 1 } });
    this.hosts = [make("a", "10.0.0.1/24", 1), make("b", "10.0.0.2/24", 2)];
    const [a, b] = this.hosts;
    this.#listener = ok(b.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    ok(b.posix.bind(this.#listener, { port: 80 }));
    ok(b.posix.listen(this.#listener, 4));
    this.#client = ok(a.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    a.posix.setsockopt(this.#client, SOL_SOCKET, SO_KEEPALIVE, 1);
    a.posix.connect(this.#client, { address: b.address, port: 80 });
  }

  state(): number[] {
    return [this.#client, this.#server, this.#sent, this.#got];
  }

  load([client = 0, server = 0, sent = 0, got = 0]: readonly number[]): void {
    this.#client = client;
    this.#server = server;
    this.#sent = sent;
    this.#got = got;
  }

  /** One beat of network and applications; false when everything is over. */
  beat(): boolean {
    const { network } = this;
    if (network.step() + this.#applications() > 0) return true;
    const next = network.nextDeadline();
    if (next === Infinity) return false;
    network.jump(next);
    return true;
  }

  #applications(): number {
    const [a, b] = this.hosts;
    let work = 0;
    if (this.#client >= 0) {
      const taken = a.posix.send(this.#client, pattern(4000, this.#sent));
      if (taken > 0) this.#sent += taken;
      work += Math.max(0, taken);
      if (this.#sent >= BYTES) {
        a.posix.close(this.#client);
        this.#client = -1;
      }
    }
    if (this.#server === -1) this.#server = Math.max(-1, b.posix.accept4(this.#listener, null, SOCK_NONBLOCK));
    if (this.#server >= 0) {
      const taken = b.posix.recv(this.#server, this.#buffer);
      if (taken > 0) {
        expect(this.#buffer.subarray(0, taken).equals(pattern(taken, this.#got))).to.equal(true);
        this.#got += taken;
      }
      if (taken === 0) {
        b.posix.close(this.#server);
        this.#server = -2;
      }
      work += Math.max(0, taken);
    }
    return work;
  }

  /** To the end; returns how many beats it took. */
  finish(): number {
    let beats = 0;
    while (this.beat()) beats++;
    expect(this.#got).to.equal(this.#sent);
    expect(this.#server).to.equal(-2);
    return beats;
  }
}

describe("a forked run goes on like the original", function () {
  this.timeout(60_000);
  const seed = seedOf(20_260_301);

  /** The capture of a run in which nothing is forked. */
  async function original(): Promise<{ bytes: Uint8Array; beats: number }> {
    const transfer = new Transfer(seed);
    const capture = transfer.network.capture("memory");
    const beats = transfer.finish();
    await transfer.network.close();
    return { bytes: capture.bytes(), beats };
  }

  it(`the same pcapng, byte for byte, from any moment on, again and again (seed ${seed})`, async () => {
    const { bytes, beats } = await original();
    expect(bytes.length).to.be.above(BYTES);
    const transfer = new Transfer(seed);
    const { network } = transfer;
    const capture = network.capture("memory");
    const dice = chance(seed);
    const moments: { snapshot: Snapshot; state: number[]; left: number }[] = [];
    for (let left = beats; transfer.beat(); left--) {
      if (dice(beats) < 12) moments.push({ snapshot: network.snapshot(), state: transfer.state(), left: left - 1 });
    }
    expect(moments.length).to.be.above(4);
    // Forwards and backwards through time; some only in part, so that what is rewound differs.
    for (const { snapshot, state, left } of [...moments, ...moments.reverse()]) {
      network.restore(snapshot);
      transfer.load(state);
      expect(network.now()).to.equal(snapshot.micros);
      for (let i = 0; i < left / 2; i++) transfer.beat();
      network.restore(snapshot);
      transfer.load(state);
      expect(transfer.finish()).to.equal(left);
    }
    await network.close();
    expect(Buffer.compare(capture.bytes(), bytes)).to.equal(0);
  });

  it("a capture to a file is cut back, and goes on", async () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-snapshot-"));
    try {
      const { bytes, beats } = await original();
      const transfer = new Transfer(seed);
      const { network } = transfer;
      network.capture(join(folder, "fork.pcapng"));
      for (let i = 0; i < beats / 3; i++) transfer.beat();
      using snapshot = network.snapshot();
      const state = transfer.state();
      transfer.finish();
      network.restore(snapshot);
      transfer.load(state);
      transfer.finish();
      await network.close();
      expect(Buffer.compare(readFileSync(join(folder, "fork.pcapng")), bytes)).to.equal(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("the memory is the same, to the last byte", async () => {
    const transfer = new Transfer(seed);
    const { network } = transfer;
    for (let i = 0; i < 500; i++) transfer.beat();
    const snapshot = network.snapshot();
    const state = transfer.state();
    const later = [0, 1].map(() => {
      network.restore(snapshot);
      transfer.load(state);
      for (let i = 0; i < 400; i++) transfer.beat();
      return network.snapshot();
    });
    expect(later[0]!.equals(later[1]!)).to.equal(true);
    expect(later[0]!.equals(snapshot)).to.equal(false);
    network.restore(snapshot);
    expect(network.snapshot().equals(snapshot)).to.equal(true);
    await network.close();
  });
});

describe("a snapshot holds", () => {
  function pair(stack = {}): { network: Network; a: Host; b: Host } {
    const network = createNetwork({ seed: 1, time: "virtual" });
    const bridge = network.bridge("lan");
    const a = network.host("a", { bridge, address: "10.0.0.1/24", stack, link: { toWire: { delay: 1000 } } });
    const b = network.host("b", { bridge, address: "10.0.0.2/24", stack });
    network.advance("1s");
    return { network, a, b };
  }

  it("datagrams, fragments on the way, epoll instances, tunables, rules of links", async () => {
    const { network, a, b } = pair();
    const receiver = ok(b.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
    ok(b.posix.bind(receiver, { port: 7 }));
    const epfd = ok(b.posix.epoll_create1(0));
    ok(b.posix.epoll_ctl(epfd, EPOLL_CTL_ADD, receiver, { events: EPOLLIN | EPOLLET, data: { fd: receiver } }));
    const sender = ok(a.posix.socket(AF_INET, SOCK_DGRAM));
    ok(a.posix.sendto(sender, Buffer.from("first"), 0, { address: b.address, port: 7 }));
    network.advance("10ms");
    ok(a.posix.sendto(sender, pattern(9000), 0, { address: b.address, port: 7 }));
    network.step();
    const snapshot = network.snapshot();
    const buffer = Buffer.alloc(10_000);
    for (let i = 0; i < 3; i++) {
      const events = [new EpollEvent()];
      expect(b.posix.epoll_wait(epfd, events, 1, 0)).to.equal(1);
      expect(b.posix.recv(receiver, buffer)).to.equal(5);
      expect(buffer.toString("latin1", 0, 5)).to.equal("first");
      network.advance("10ms");
      expect(b.posix.recv(receiver, buffer)).to.equal(9000);
      expect(buffer.subarray(0, 9000).equals(pattern(9000))).to.equal(true);
      expect(b.posix.recv(receiver, buffer)).to.equal(-EAGAIN);
      b.posix.close(receiver);
      b.sysctl("tcp_sack", 0);
      a.setLink({ toWire: { delay: 5, loss: 1 } });
      network.advance("1h");
      network.restore(snapshot);
      expect(b.sysctl("tcp_sack")).to.equal(1);
      expect(a.nic.links.toWire!.rules).to.include({ delay: 1000, loss: 0 });
    }
    await network.close();
  });

  it("only what is in use: an idle stack of default size costs little, a small one next to nothing", async () => {
    const small = { connections: 4, sockets: 4, mbufs: 64, chunks: 32, largeChunks: 0, segments: 64, timeWaits: 4 };
    const sizes: number[] = [];
    for (const stack of [{}, { ...small, islands: 16, epollItems: 0, arpEntries: 4, reassemblies: 1 }]) {
      const { network } = pair(stack);
      sizes.push(network.snapshot().bytes);
      expect(network.memory.buffer.byteLength).to.be.above(1_000_000);
      await network.close();
    }
    expect(sizes[0]).to.be.below(2_500_000);
    expect(sizes[1]).to.be.below(700_000);
  });

  it("its own memory, which is used again and given back", async () => {
    const { network } = pair();
    const first = network.snapshot();
    const again = network.snapshot(first);
    expect(again).to.equal(first);
    const size = network.memory.buffer.byteLength;
    for (let i = 0; i < 100; i++) network.snapshot().release();
    expect(network.memory.buffer.byteLength - size).to.be.at.most(4 * 1048576);
    await network.close();
  });
});

describe("a snapshot is refused", () => {
  const virtual = (): Network => createNetwork({ seed: 1, time: "virtual" });

  it("in real time", async () => {
    const network = createNetwork();
    for (const call of [() => network.snapshot(), () => network.jump(1)]) {
      expect(call)
        .to.throw(/needs a network with \{ time: "virtual" \}/)
        .with.property("code", "ERR_ORIBI_TIME");
    }
    await network.close();
  });

  const cases: [name: string, change: (network: Network) => unknown, words: RegExp][] = [
    ["when a host was made since", (n) => n.host("late", { address: "10.0.0.9/24" }), /have been made or replaced/],
    ["when a bridge was made since", (n) => n.bridge("late"), /have been made or replaced/],
    ["when a link was put in since", (n) => n.hosts[0]!.setLink({ delay: 1 }), /have been made or replaced/],
    ["when a capture was started since", (n) => n.capture("memory"), /Close the capture that was started since/],
  ];
  for (const [name, change, words] of cases) {
    it(name, async () => {
      const network = virtual();
      network.host("a", { address: "10.0.0.1/24" });
      const snapshot = network.snapshot();
      network.advance("1s");
      const now = network.now();
      change(network);
      expect(() => network.restore(snapshot))
        .to.throw(words)
        .with.property("code", "ERR_ORIBI_SNAPSHOT");
      expect(network.now()).to.equal(now);
      await network.close();
    });
  }

  it("when its capture has been closed, when it was released, when it is another network's", async () => {
    const [network, other] = [virtual(), virtual()];
    const capture: NetworkCapture = network.capture("memory");
    const snapshot = network.snapshot();
    await capture.close();
    expect(() => network.restore(snapshot)).to.throw(/not the one of then/);
    const released = network.snapshot();
    released.release();
    released.release();
    expect(() => network.restore(released)).to.throw(/released/);
    expect(() => other.restore(snapshot)).to.throw(/another network's/);
    expect(() => other.snapshot(snapshot)).to.throw(/another network's/);
    expect(snapshot.equals(other.snapshot())).to.equal(false);
    await Promise.all([network.close(), other.close()]);
  });
});

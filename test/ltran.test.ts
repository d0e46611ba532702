// ltran in simulated time: who gets a frame, what a stack that has died or gone mad does to the others, and replays.
// Read first: host/ltran.ts; veth/datapath/ltran.ts and ltran-choose.ts.

import { expect } from "chai";
import {
  AF_INET,
  CoreTrap,
  createNetwork,
  ECONNREFUSED,
  type Host,
  type HostOptions,
  type Ltran,
  type LtranOptions,
  type Network,
  type NetworkOptions,
  readPcapng,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/index.ts";
import type { Posix } from "../host/posix/posix.ts";
import { TRUNK_IN_TAIL, TRUNK_OUT_HEAD, TRUNK_RINGS, TRUNK_VERSION } from "../assembly/layout.ts";
import { chance, seedOf } from "./support/chance.ts";
import { datagramSocket, listener, ok, pattern } from "./support/sockets.ts";
import { needTshark, tsharkFaults } from "./support/tshark.ts";

const SMALL = { connections: 256, timeWaits: 256, sockets: 64, chunks: 2048, largeChunks: 64, segments: 4096 };
const CLIENT = "10.0.0.9";

interface Lab {
  net: Network;
  ltran: Ltran;
  client: Host;
  /** Isolated hosts. */
  hosts: Host[];
}

/** A client on a bridge, and isolated hosts behind an ltran there. */
function lab(addresses: readonly string[], options: LtranOptions = {}, network: NetworkOptions = {}): Lab {
  const net = createNetwork({ seed: 1, time: "virtual", ...network });
  const bridge = net.bridge("lan");
  const ltran = net.ltran("lt", { bridge, ...options });
  const client = net.host("client", { bridge, address: `${CLIENT}/24`, stack: SMALL });
  const hosts = addresses.map((address, i) =>
    net.host(`s${i}`, { ltran, address: `${address}/24`, stack: SMALL } as HostOptions),
  );
  net.settle();
  return { net, ltran, client, hosts };
}

/** A transfer that goes on while the network is stepped: bytes one way, checked as they come. */
class Flow {
  received = 0;
  #sent = 0;
  #from = -1;
  readonly #to: { posix: Posix; listener: number };
  readonly #source: { posix: Posix; fd: number };
  readonly #bytes: number;
  readonly #buffer = Buffer.alloc(16384);

  constructor(from: Posix, to: Host, port: number, bytes: number) {
    this.#to = { posix: to.posix, listener: listener(to.posix, port) };
    const fd = ok(from.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    from.connect(fd, { address: to.address, port });
    this.#source = { posix: from, fd };
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return this.received === this.#bytes;
  }

  /** Does what can be done now. */
  go(): void {
    const { posix, fd } = this.#source;
    while (this.#sent < this.#bytes) {
      const n = posix.send(fd, pattern(Math.min(16384, this.#bytes - this.#sent), this.#sent));
      if (n <= 0) break;
      this.#sent += n;
    }
    if (this.#from < 0) this.#from = this.#to.posix.accept4(this.#to.listener, null, SOCK_NONBLOCK);
    if (this.#from < 0) return;
    for (let n; (n = this.#to.posix.recv(this.#from, this.#buffer)) > 0; this.received += n) {
      expect(this.#buffer.subarray(0, n).equals(pattern(n, this.received)), `bytes at ${this.received}`).to.equal(true);
    }
  }
}

/** Runs transfers until all are done. */
function finish(net: Network, flows: readonly Flow[], each = (): void => {}): void {
  const done = net.runUntil(
    () => {
      each();
      for (const flow of flows) flow.go();
      return flows.every(({ isDone }) => isDone);
    },
    { timeout: "60s" },
  );
  expect(done, `received: ${flows.map(({ received }) => received).join(", ")}`).to.equal(true);
}

/** Says something on a new connection and reads it back. Returns the other host's descriptor. */
function echo(net: Network, from: Posix, to: Host, port: number, address = to.address): void {
  const at = listener(to.posix, port);
  const fd = ok(from.socket(AF_INET, SOCK_STREAM, 0));
  expect(from.connect(fd, { address, port })).to.equal(0);
  ok(from.send(fd, pattern(100)));
  net.settle();
  const peer = ok(to.posix.accept4(at, null, SOCK_NONBLOCK));
  const buffer = Buffer.alloc(200);
  expect(to.posix.recv(peer, buffer)).to.equal(100);
  ok(to.posix.send(peer, buffer.subarray(0, 100)));
  expect(from.recv(fd, buffer)).to.equal(100);
  for (const one of [at, peer]) ok(to.posix.close(one));
  ok(from.close(fd));
  net.settle();
}

/** A word in an isolated host's memory. */
function wordOf(host: Host, offset: number): Int32Array {
  const trunk = trunkOf(host);
  return new Int32Array(host.stack.memory.buffer, trunk + offset, 1);
}

/** Address of an isolated host's trunk. */
function trunkOf(host: Host): number {
  return new Uint32Array(host.stack.memory.buffer, host.nic.handle + 116, 1)[0] as number;
}

describe("hosts behind an ltran", () => {
  it("lie in memories of their own", async () => {
    const { net, ltran, hosts } = lab(["10.0.0.1", "10.0.0.2"]);
    const memories = new Set([net.memory, ...hosts.map(({ stack }) => stack.memory)]);
    expect(memories.size).to.equal(3);
    expect(ltran.hosts).to.deep.equal(hosts);
    expect(hosts.map((host) => ltran.report(host).state)).to.deep.equal(["served", "served"]);
    await net.close();
  });

  it("talk to the network, which talks to them, and to each other", async () => {
    const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"]);
    const [a, b] = hosts as [Host, Host];
    echo(net, client.posix, a, 80);
    echo(net, b.posix, client, 80);
    echo(net, a.posix, b, 80);
    expect(ltran.report(a)).to.include({ rxMissed: 0, txSpoofed: 0, violations: 0 });
    expect(ltran.report(a).txLocal).to.be.above(3);
    expect(await net.audit()).to.deep.include({ mbufs: 0, slots: 0 });
    await net.close();
  });

  it("move bytes both ways, each with what is its own", async () => {
    const { net, client, hosts } = lab(["10.0.0.1", "10.0.0.2"]);
    const [a, b] = hosts as [Host, Host];
    const flows = [
      new Flow(client.posix, a, 80, 1_000_000),
      new Flow(b.posix, client, 81, 1_000_000),
      new Flow(a.posix, b, 82, 1_000_000),
    ];
    finish(net, flows);
    expect(a.counters().tcp.retransSegs).to.equal(0);
    await net.close();
  });

  it("leave the same bytes in a capture with the same seed", async () => {
    const run = async (): Promise<Uint8Array> => {
      const { net, client, hosts } = lab(["10.0.0.1", "10.0.0.2"], {}, { seed: 5 });
      const capture = net.capture("memory", { at: "both" });
      finish(net, [new Flow(client.posix, hosts[0]!, 80, 200_000), new Flow(hosts[1]!.posix, hosts[0]!, 81, 200_000)]);
      await net.close();
      return capture.bytes();
    };
    const [first, second] = [await run(), await run()];
    expect(Buffer.compare(first, second)).to.equal(0);
    const names = new Set([...readPcapng(first)].map((packet) => packet.interface.name));
    expect([...names]).to.have.members(["lt", "client", "s0", "s1"]);
  });

  describe("in the eyes of tshark", () => {
    before(needTshark);

    it("send and receive whole frames with right checksums", async () => {
      const { net, client, hosts } = lab(["10.0.0.1", "10.0.0.1"]);
      const capture = net.capture("memory");
      finish(net, [new Flow(client.posix, hosts[0]!, 80, 50_000), new Flow(hosts[1]!.posix, client, 81, 50_000)]);
      await net.close();
      expect(tsharkFaults(capture.bytes())).to.deep.equal([]);
    });
  });
});

describe("hosts behind an ltran with one address", () => {
  function twins(): Lab & { a: Host; b: Host } {
    const made = lab(["10.0.0.1", "10.0.0.1"]);
    return { ...made, a: made.hosts[0]!, b: made.hosts[1]! };
  }

  it("have one MAC address, and answer ARP once", async () => {
    const { net, client, a, b } = twins();
    expect(b.nic.mac).to.equal(a.nic.mac);
    const capture = net.capture("memory", { hosts: ["client"] });
    echo(net, client.posix, a, 80);
    await net.close();
    const replies = [...readPcapng(capture.bytes())].filter(
      ({ data }) => data[12] === 8 && data[13] === 6 && data[21] === 2,
    );
    expect(replies).to.have.length(1);
  });

  it("get what is for their own ports", async () => {
    const { net, client, a, b } = twins();
    echo(net, client.posix, a, 80);
    echo(net, client.posix, b, 81);
    echo(net, client.posix, b, 80);
    const [first, second] = [datagramSocket(a.posix, 53), datagramSocket(b.posix, 54)];
    const fd = ok(client.posix.socket(AF_INET, SOCK_DGRAM, 0));
    for (const port of [53, 54, 54])
      ok(client.posix.sendto(fd, Buffer.from(`to ${port}`), 0, { address: a.address, port }));
    net.settle();
    const buffer = Buffer.alloc(20);
    expect(a.posix.recv(first, buffer)).to.equal(5);
    expect(a.posix.recv(first, buffer)).to.be.below(0);
    expect(b.posix.recv(second, buffer)).to.equal(5);
    expect(b.posix.recv(second, buffer)).to.equal(5);
    await net.close();
  });

  it("refuse a port that nobody serves", async () => {
    const { net, client } = twins();
    const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
    expect(client.posix.connect(fd, { address: "10.0.0.1", port: 99 })).to.equal(-ECONNREFUSED);
    await net.close();
  });

  it("share out connections to a port that both serve, and keep them", async () => {
    const { net, client, a, b } = twins();
    const at = [listener(a.posix, 80, 64), listener(b.posix, 80, 64)];
    const fds = Array.from({ length: 40 }, () => ok(client.posix.socket(AF_INET, SOCK_STREAM, 0)));
    for (const fd of fds) expect(client.posix.connect(fd, { address: "10.0.0.1", port: 80 })).to.equal(0);
    net.settle();
    const peers = [a, b].map((host, i) => {
      const found: number[] = [];
      for (let fd; (fd = host.posix.accept4(at[i]!, null, SOCK_NONBLOCK)) >= 0;) found.push(fd);
      return found;
    });
    expect(peers[0]!.length + peers[1]!.length).to.equal(40);
    expect(Math.min(...peers.map(({ length }) => length))).to.be.above(5);
    // One goes: new connections are the other's, those that are open stay where they are.
    ok(b.posix.close(at[1]!));
    for (const fd of fds) ok(client.posix.send(fd, pattern(10)));
    net.settle();
    for (const [i, host] of [a, b].entries()) {
      for (const fd of peers[i]!) expect(host.posix.recv(fd, Buffer.alloc(20)), host.name).to.equal(10);
    }
    for (let i = 0; i < 10; i++) {
      const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM, 0));
      expect(client.posix.connect(fd, { address: "10.0.0.1", port: 80 })).to.equal(0);
    }
    await net.close();
  });

  it("open connections from local ports of their own, to one place", async () => {
    const { net, client, a, b } = twins();
    const at = listener(client.posix, 80, 128);
    for (let i = 0; i < 30; i++) {
      for (const { posix } of [a, b]) {
        const fd = ok(posix.socket(AF_INET, SOCK_STREAM, 0));
        expect(posix.connect(fd, { address: CLIENT, port: 80 })).to.equal(0);
        ok(posix.send(fd, pattern(10)));
      }
    }
    net.settle();
    const ports = new Set<number>();
    const from = { family: 0, address: "", port: 0 };
    for (let fd; (fd = client.posix.accept4(at, from, SOCK_NONBLOCK)) >= 0; ports.add(from.port)) {
      expect(client.posix.recv(fd, Buffer.alloc(20))).to.equal(10);
    }
    expect(ports.size).to.equal(60);
    expect(a.counters().tcp.retransSegs + b.counters().tcp.retransSegs).to.equal(0);
    await net.close();
  });

  it("get the fragments of their datagrams, and the ICMP errors of theirs", async () => {
    const { net, client, a, b } = twins();
    const fd = datagramSocket(b.posix, 54);
    const from = ok(client.posix.socket(AF_INET, SOCK_DGRAM, 0));
    ok(client.posix.sendto(from, pattern(5000), 0, { address: a.address, port: 54 }));
    net.settle();
    const buffer = Buffer.alloc(6000);
    expect(b.posix.recv(fd, buffer)).to.equal(5000);
    expect(buffer.subarray(0, 5000).equals(pattern(5000))).to.equal(true);
    const asks = ok(b.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    expect(b.posix.connect(asks, { address: CLIENT, port: 9 })).to.equal(0);
    ok(b.posix.send(asks, pattern(10)));
    net.settle();
    expect(b.posix.recv(asks, buffer)).to.equal(-ECONNREFUSED);
    expect(b.counters().icmp.inDestUnreachs).to.equal(1);
    expect(a.counters().icmp.inDestUnreachs).to.equal(0);
    await net.close();
  });
});

describe("a stack behind an ltran that dies", () => {
  /** Breaks the packet pool of a stack, so that it traps. */
  function breakStack(host: Host): void {
    new Uint32Array(host.stack.memory.buffer, host.stack.place.base + 256, 1)[0] = host.stack.place.base;
  }

  it("harms no other transfer, and serves again when it is restarted", async () => {
    const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    const [dead, b, c] = hosts as [Host, Host, Host];
    const doomed = new Flow(client.posix, dead, 80, 1_000_000);
    const others = [new Flow(client.posix, b, 80, 500_000), new Flow(b.posix, c, 81, 500_000)];
    let broken = false;
    const step = (): void => {
      if (!broken) doomed.go();
      if (!broken && doomed.received > 100_000) {
        broken = true;
        breakStack(dead);
        expect(() => net.settle()).to.throw(CoreTrap);
      }
    };
    finish(net, others, step);
    expect(broken).to.equal(true);
    expect(dead.trap).to.be.instanceOf(CoreTrap);
    expect(ltran.report(dead).state).to.equal("down");
    const before = ltran.counters().rxDead;
    net.advance("2s");
    expect(ltran.counters().rxDead, "what is for it is dropped").to.be.above(before);
    await net.restart(dead.first);
    net.settle();
    expect(ltran.report(dead).state).to.equal("served");
    echo(net, client.posix, dead, 90);
    echo(net, b.posix, dead, 91);
    expect(await net.audit()).to.deep.include({ mbufs: 0, slots: 0 });
    await net.close();
  });

  it("leaves its twin what is for their common address", async () => {
    const { net, client, hosts } = lab(["10.0.0.1", "10.0.0.1"]);
    const [dead, twin] = hosts as [Host, Host];
    echo(net, client.posix, dead, 80);
    listener(dead.posix, 90);
    breakStack(dead);
    const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    client.posix.connect(fd, { address: "10.0.0.1", port: 90 });
    expect(() => net.settle()).to.throw(CoreTrap);
    net.advance("1s");
    echo(net, client.posix, twin, 80);
    echo(net, client.posix, twin, 90);
    await net.restart(dead.first);
    net.settle();
    echo(net, client.posix, dead, 90);
    await net.close();
  });

  it("cannot be restarted while it runs", async () => {
    const { net, hosts } = lab(["10.0.0.1"]);
    let code = "";
    await net.restart(hosts[0]!.first).catch((error: { code: string }) => (code = error.code));
    expect(code).to.equal("ERR_ORIBI_STACK");
    await net.close();
  });
});

describe("a stack behind an ltran whose memory holds what cannot be", () => {
  const madness: [what: string, act: (host: Host) => void][] = [
    ["a head far beyond its ring", (host) => (wordOf(host, TRUNK_OUT_HEAD)[0] = 0x40000000)],
    ["a head that has gone back", (host) => (wordOf(host, TRUNK_OUT_HEAD)[0]! -= 64)],
    ["a head between two places", (host) => (wordOf(host, TRUNK_OUT_HEAD)[0]! += 4)],
    ["a tail before frames that were never given to it", (host) => (wordOf(host, TRUNK_IN_TAIL)[0]! += 8)],
    ["a tail that has gone back", (host) => (wordOf(host, TRUNK_IN_TAIL)[0]! -= 8)],
    ["a frame longer than any", (host) => record(host, 4000)],
    ["a frame shorter than a header", (host) => record(host, 13)],
    ["a frame of 4 GiB", (host) => record(host, -2)],
    ["a frame longer than the rest", (host) => record(host, 1000)],
    ["a skip to nowhere", (host) => record(host, -1)],
  ];

  /** Puts a record of 64 bytes into the ring out that says it is `length` long. */
  function record(host: Host, length: number): void {
    const head = wordOf(host, TRUNK_OUT_HEAD);
    const size = 512 * 1024;
    wordOf(host, TRUNK_RINGS + (head[0]! & (size - 1)))[0] = length;
    head[0]! += 64;
  }

  for (const [what, act] of madness) {
    it(`is cut off for ${what}, harms nobody, and comes back anew`, async () => {
      const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"]);
      const [mad, other] = hosts as [Host, Host];
      echo(net, client.posix, mad, 80);
      const flow = new Flow(client.posix, other, 80, 200_000);
      let steps = 0;
      finish(net, [flow], () => {
        if (++steps !== 5) return;
        mad.first.thread = "worker"; // of which nobody knows what it does
        act(mad);
      });
      expect(steps).to.be.above(5);
      expect(ltran.report(mad)).to.include({ state: "refused", violations: 1 });
      expect(ltran.report(other)).to.include({ state: "served", violations: 0 });
      mad.first.thread = "main";
      await net.restart(mad.first);
      net.settle();
      expect(ltran.report(mad).state).to.equal("served");
      echo(net, client.posix, mad, 80);
      await net.close();
    });
  }

  it("may fill its trunk with anything at any time", async () => {
    const seed = seedOf(11);
    const random = chance(seed);
    const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"], { ring: "128KiB" });
    const [mad, other] = hosts as [Host, Host];
    let refusals = 0;
    for (let round = 0; round < 60; round++) {
      // Nobody but the test writes there.
      mad.first.thread = "worker";
      const trunk = trunkOf(mad);
      const bytes = new Uint8Array(mad.stack.memory.buffer, trunk, TRUNK_RINGS + 2 * 131072);
      for (let i = 0; i < 2000; i++) bytes[64 + random(bytes.length - 64)] = random(256);
      wordOf(mad, TRUNK_VERSION)[0] = random(1000);
      const head = wordOf(mad, TRUNK_OUT_HEAD);
      if (random(2) === 0) head[0] = random(131072) & ~7;
      if (random(2) === 0) wordOf(mad, TRUNK_IN_TAIL)[0] = random(131072) & ~7;
      net.settle();
      refusals += ltran.report(mad).violations === refusals ? 0 : 1;
      if (round % 20 === 0) echo(net, client.posix, other, 1000 + round);
      mad.first.thread = "lost";
      ltran.stop(mad.first);
      expect(ltran.renew(mad.first), `seed ${seed}`).to.equal(true);
      mad.stack.renew(net.now());
      mad.first.prepare();
      mad.first.revive();
      ltran.resume(mad.first);
      net.settle();
    }
    expect(refusals, `seed ${seed}`).to.be.above(30);
    echo(net, client.posix, mad, 81);
    echo(net, client.posix, other, 81);
    await net.close();
  });

  // Without interfaces a stack does nothing; with nonsense in their place it traps.
  for (const [byte, state] of [
    [0, "refused"],
    [0xff, "down"],
  ] as const) {
    it(`comes back anew when all of its memory was overwritten with ${byte}`, async () => {
      const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"]);
      const [mad, other] = hosts as [Host, Host];
      const flow = new Flow(client.posix, other, 80, 100_000);
      new Uint8Array(mad.stack.memory.buffer).fill(byte);
      if (state === "down") expect(() => net.settle()).to.throw(CoreTrap);
      expect(mad.first.pending(), "to be looked at").to.equal(1);
      finish(net, [flow]);
      expect(ltran.report(mad).state).to.equal(state);
      await net.restart(mad.first);
      net.settle();
      echo(net, client.posix, mad, 80);
      echo(net, other.posix, mad, 81);
      await net.close();
    });
  }

  it("may not speak for others", async () => {
    const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"]);
    const [liar, other] = hosts as [Host, Host];
    const capture = net.capture("memory", { hosts: ["client", "s1"] });
    const mac = (host: Host): number[] => host.nic.mac.split(":").map((part) => parseInt(part, 16));
    const arp = [0, 1, 8, 0, 6, 4, 0, 2, ...mac(liar), 10, 0, 0, 2, ...mac(client), 10, 0, 0, 9];
    expect(liar.nic.send(Uint8Array.of(...mac(client), ...mac(liar), 8, 6, ...arp), net.now()), "ARP").to.equal(true);
    liar.nic.send(Uint8Array.of(...mac(client), ...mac(other), 0x88, 0xb5, ...new Uint8Array(46)), net.now());
    net.settle();
    expect(ltran.report(liar)).to.include({ txSpoofed: 2, state: "served" });
    await net.close();
    expect([...readPcapng(capture.bytes())]).to.have.length(0);
  });
});

describe("a stack behind an ltran that does not poll", () => {
  it("loses what does not fit its ring, counted, and delays nobody", async () => {
    const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"], { ring: "128KiB" });
    const [asleep, other] = hosts as [Host, Host];
    const fd = ok(client.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    datagramSocket(asleep.posix, 9);
    ok(client.posix.sendto(fd, pattern(1000), 0, { address: asleep.address, port: 9 }));
    net.settle();
    asleep.first.thread = "worker"; // which does nothing
    const flow = new Flow(client.posix, other, 80, 500_000);
    let sent = 0;
    finish(net, [flow], () => {
      for (let i = 0; i < 20; i++)
        sent += Number(client.posix.sendto(fd, pattern(1000), 0, { address: asleep.address, port: 9 }) > 0);
    });
    const report = ltran.report(asleep);
    expect(sent).to.be.above(300);
    expect(report.rxPackets * 1000).to.be.below(140_000);
    expect(report.rxMissed).to.be.above(sent - 200);
    expect(other.counters().tcp.retransSegs + client.counters().tcp.retransSegs, "nobody else lost anything").to.equal(
      0,
    );
    asleep.first.thread = "main";
    net.settle();
    echo(net, client.posix, asleep, 80);
    await net.close();
  });

  it("is not what its ltran waits for when the network has no room either", async () => {
    const { net, ltran, client, hosts } = lab(["10.0.0.1", "10.0.0.2"], { ring: "128KiB" });
    const [a, b] = hosts as [Host, Host];
    echo(net, client.posix, a, 80);
    client.first.thread = "worker"; // which does nothing: its NIC fills, and flow control stops a
    const fd = ok(a.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    for (let i = 0; i < 3000; i++) {
      a.posix.sendto(fd, pattern(1400), 0, { address: CLIENT, port: 9 });
      net.step();
    }
    echo(net, a.posix, b, 81);
    net.advance("3s"); // and after a while what is for it is dropped
    client.first.thread = "main";
    net.settle();
    echo(net, a.posix, client, 82);
    expect(ltran.report(a).violations).to.equal(0);
    await net.close();
  });
});

describe("options of an ltran", () => {
  it("are checked, and say what is wrong", async () => {
    const { net, ltran } = lab(["10.0.0.1"], { stacks: 2 });
    const bridge = net.bridge("b");
    const make = (options: Partial<HostOptions>): (() => Host) => {
      return () => net.host("x", { address: "10.0.0.5/24", ltran, stack: SMALL, ...options });
    };
    expect(make({ bridge })).to.throw(/bridge.*left out: the ltran is plugged into it/);
    expect(make({ link: { delay: "1ms" } })).to.throw(/put it before another host/);
    expect(make({ stacks: 2 })).to.throw(/make several hosts with one address/);
    expect(make({ queues: 2 })).to.throw(/queues/);
    expect(make({ threads: "separate" })).to.throw(/"shared" behind an ltran/);
    expect(make({ address: "10.0.0.1/24", mac: "02:00:00:00:00:77" })).to.throw(/as host "s0" has/);
    expect(() => net.ltran("lt")).to.throw(/There is an ltran "lt" already/);
    expect(() => net.ltran("u", { ring: 1000 })).to.throw(/ltran\.ring/);
    expect(() => net.ltran("u", { stacks: 65 })).to.throw(/ltran\.stacks/);
    expect(() => net.ltran("u", { thread: true })).to.throw(/needs real time/);
    expect(() => net.ltran("u", { hosts: 2 } as object)).to.throw(/ltran\.hosts/);
    expect(() => net.ltran("u", { thread: 1 } as object)).to.throw(/ltran\.thread/);
    net.host("y", { address: "10.0.0.6/24", ltran, stack: SMALL });
    expect(make({})).to.throw(/room for 2 stacks has no more/);
    expect(() => net.snapshot()).to.throw(/an ltran and the memories behind it/);
    expect(() => ltran.hosts[0]!.setLink({ delay: 1 })).to.throw(/behind an ltran/);
    await net.close();
  });
});

// Exclusive mode: stacks on VFs of one NIC, as networks make them.
// Read first: veth/sriov.ts; veth-sriov.test.ts for what the switch does with single frames.

import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  type Host,
  type HostOptions,
  type Network,
  type PfOptions,
  readPcapng,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  type SriovNic,
} from "../host/index.ts";
import type { RequestResult } from "./fixtures/thread-apps.ts";
import { listener, ok, pattern } from "./support/sockets.ts";
import { needTshark, tsharkFaults } from "./support/tshark.ts";

const SMALL = { connections: 256, timeWaits: 256, sockets: 64, chunks: 2048, largeChunks: 64, segments: 4096 };
const APPS = new URL("./fixtures/thread-apps.js", import.meta.url);

interface Lab {
  net: Network;
  nic: SriovNic;
  /** Hosts on VF 0, 1, ...: 10.0.0.1, 10.0.0.2, ... */
  hosts: Host[];
  /** 10.0.0.9, elsewhere on the bridge. */
  client: Host;
}

function lab(vfs: number, options: Partial<PfOptions> = {}, time: "real" | "virtual" = "virtual"): Lab {
  const net = createNetwork({ seed: 1, time });
  const bridge = net.bridge("lan");
  const nic = net.nic("pf0", { bridge, vfs, ...options });
  const hosts = Array.from({ length: vfs }, (_, i) =>
    net.host(`h${i}`, { port: nic.vf(i), address: `10.0.0.${i + 1}/24`, stack: SMALL }),
  );
  const client = net.host("client", { bridge, address: "10.0.0.9/24", stack: SMALL });
  return { net, nic, hosts, client };
}

/** Says something on a new connection. */
function talk(net: Network, from: Host, to: Host, port: number): void {
  const at = listener(to.posix, port);
  const fd = ok(from.posix.socket(AF_INET, SOCK_STREAM, 0));
  expect(from.posix.connect(fd, { address: to.address, port })).to.equal(0);
  ok(from.posix.send(fd, pattern(20_000)));
  net.settle();
  const peer = ok(to.posix.accept4(at, null, SOCK_NONBLOCK));
  const got = Buffer.alloc(30_000);
  let done = 0;
  for (let n; (n = to.posix.recv(peer, got.subarray(done))) > 0;) done += n;
  expect(got.subarray(0, done).equals(pattern(20_000))).to.equal(true);
}

/** Does a datagram from one host come to the other? */
function reaches(net: Network, from: Host, to: Host, port: number): boolean {
  const at = ok(to.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  ok(to.posix.bind(at, { port }));
  const fd = ok(from.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  from.posix.sendto(fd, pattern(10), 0, { address: to.address, port });
  net.advance("100ms");
  return to.posix.recv(at, Buffer.alloc(20)) === 10;
}

describe("hosts on VFs", () => {
  it("talk to each other inside the NIC, and to the network through it", async () => {
    const { net, nic, hosts, client } = lab(3);
    const [a, b] = hosts as [Host, Host];
    const before = client.xstats().rx_good_packets!;
    talk(net, a, b, 80);
    expect(client.xstats().rx_good_packets! - before, "only what is for all").to.be.below(8);
    talk(net, client, a, 81);
    talk(net, b, client, 82);
    expect(a.xstats().rx_switched_packets).to.be.above(2);
    expect(a.xstats().rx_uplink_packets).to.be.above(2);
    expect(nic.stats(0).ipackets).to.equal(a.xstats().rx_good_packets);
    expect(await net.audit()).to.deep.include({ mbufs: 0, slots: 0, rules: 0 });
    await net.close();
  });

  it("are kept apart by their VLANs", async () => {
    const { net, nic, hosts, client } = lab(3);
    const [a, b, c] = hosts as [Host, Host, Host];
    nic.setVf(0, { vlan: 10 });
    nic.setVf(1, { vlan: 10 });
    expect(reaches(net, a, b, 1)).to.equal(true);
    expect(reaches(net, a, c, 2)).to.equal(false);
    expect(reaches(net, c, a, 3)).to.equal(false);
    expect(reaches(net, client, a, 4)).to.equal(false);
    expect(reaches(net, client, c, 5)).to.equal(true);
    nic.setVf(0, { vlan: 0 });
    nic.setVf(1, { vlan: 0 });
    net.advance("2s");
    expect(reaches(net, client, a, 6)).to.equal(true);
    await net.close();
  });

  it("have links, captures and stacks of their own, as on any NIC", async () => {
    const { net, hosts, client } = lab(2);
    const [a, b] = hosts as [Host, Host];
    b.setLink({ delay: "5ms" });
    const capture = net.capture("memory", { hosts: ["h0"] });
    const start = net.now();
    expect(reaches(net, a, b, 1)).to.equal(true);
    talk(net, a, client, 80);
    expect(net.now() - start).to.be.above(10_000);
    await capture.close();
    const names = new Set([...readPcapng(capture.bytes())].map((packet) => packet.interface.name));
    expect([...names]).to.deep.equal(["h0"]);
    await net.close();
  });

  describe("in the eyes of tshark", () => {
    before(needTshark);

    it("send and receive whole frames with right checksums", async () => {
      const { net, nic, hosts, client } = lab(2, { offloads: { tso: true } });
      nic.setVf(1, { spoofcheck: false, trust: true });
      const capture = net.capture("memory");
      talk(net, hosts[0]!, hosts[1]!, 80);
      talk(net, hosts[0]!, client, 81);
      await net.close();
      expect(tsharkFaults(capture.bytes())).to.deep.equal([]);
    });
  });

  it("are part of snapshots, with their switch", async () => {
    const { net, nic, hosts } = lab(2);
    const [a, b] = hosts as [Host, Host];
    net.settle();
    const snapshot = net.snapshot();
    const figures = (): unknown => [nic.vfInfo(0), nic.vf(0).xstats(), nic.vf(1).xstats()];
    const before = figures();
    nic.setVf(0, { vlan: 7 });
    expect(reaches(net, a, b, 1)).to.equal(false);
    net.restore(snapshot);
    expect(figures()).to.deep.equal(before);
    expect(reaches(net, a, b, 2)).to.equal(true);
    await net.close();
  });

  it("run in threads of their own", async function () {
    this.timeout(30_000);
    const { net, hosts } = lab(2, {}, "real");
    const [a, b] = hosts as [Host, Host];
    const to = { address: a.address, port: 7 };
    const [, result] = await Promise.all([
      net.spawn<number>(a, APPS, { name: "echo", args: { port: 7 } }),
      net.spawn<RequestResult>(b, APPS, { name: "request", args: { to, count: 2000, size: 64 } }),
    ]);
    expect(result.good).to.equal(2000);
    await net.close();
  });

  it("may have several stacks, when the VF has queues for them", async () => {
    const net = createNetwork({ seed: 1, time: "virtual" });
    const nic = net.nic("pf0", { vfs: 2, queues: 2 });
    const server = net.host("server", { port: nic.vf(0), address: "10.0.0.1/24", stack: SMALL, stacks: 2 });
    const client = net.host("client", { port: nic.pf, address: "10.0.0.2/24", stack: SMALL });
    const at = server.listen({ port: 80 });
    const fds = Array.from({ length: 20 }, () => ok(client.posix.socket(AF_INET, SOCK_STREAM, 0)));
    for (const fd of fds) expect(client.posix.connect(fd, { address: "10.0.0.1", port: 80 })).to.equal(0);
    net.settle();
    let accepted = 0;
    while (typeof at.accept() === "object") accepted++;
    expect(accepted).to.equal(20);
    expect(server.stacks.map(({ stack }) => Math.min(stack.core.currEstab(), 2))).to.deep.equal([2, 2]);
    await net.close();
  });

  it("refuse what cannot be", async () => {
    const { net, nic, hosts } = lab(2);
    const other = createNetwork({ time: "virtual" });
    const make = (options: Partial<HostOptions>): (() => Host) => {
      return () => net.host("x", { address: "10.0.0.5/24", stack: SMALL, ...options });
    };
    expect(make({ port: nic.vf(0) })).to.throw(/a NIC that host "h0" does not have/);
    expect(make({ port: nic.pf, mtu: 1400 })).to.throw(/mtu.*left out: the port has it/);
    expect(make({ port: nic.pf, stacks: 2 })).to.throw(/at most 1: the queues of "pf0\.pf"/);
    expect(make({ port: hosts[0]!.nic })).to.throw(/"h0"/);
    expect(make({ port: other.nic("pf", { vfs: 1 }).vf(0) })).to.throw(/a NIC of this network/);
    expect(() => net.nic("y", { vfs: 100 })).to.throw(/nic\.vfs/);
    await Promise.all([net.close(), other.close()]);
  });
});

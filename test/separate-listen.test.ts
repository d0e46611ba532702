// The listen shadow of a host with separate threads: one port, all stacks. Read first: host/client/listener.ts.

import { expect } from "chai";
import {
  AF_INET,
  createNetwork,
  EAGAIN,
  EADDRINUSE,
  EPOLL_CTL_ADD,
  EPOLLIN,
  type EpollEvent,
  errnoName,
  type Host,
  type Network,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/index.ts";
import { listener, ok, refused } from "./support/sockets.ts";

describe("listen() of a client of a host with separate threads", () => {
  let net: Network;
  let server: Host;
  let client: Host;

  function lab(time: "virtual" | "real"): void {
    net = createNetwork({ seed: 1, time });
    const bridge = net.bridge("lan");
    const stack = { connections: 128, sockets: 32, timeWaits: 64 };
    server = net.host("server", { bridge, address: "10.0.0.1/24", stacks: 3, stack, threads: "separate" });
    client = net.host("client", { bridge, address: "10.0.0.2/24", stack });
  }

  afterEach(() => net.close());

  function knock(times: number, port: number): number[] {
    return Array.from({ length: times }, () => {
      const fd = ok(client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
      client.posix.connect(fd, { address: server.address, port });
      return fd;
    });
  }

  it("is served by all stacks, and takes from the one with the fewest connections", () => {
    lab("virtual");
    const shadow = server.ownClient.listen({ port: 0 });
    expect(shadow.port).to.be.above(0);
    expect(shadow.descriptors.map((fd) => fd % 3)).to.deep.equal([0, 1, 2]);
    refused(shadow.accept(), EAGAIN);
    knock(30, shadow.port);
    net.settle();
    expect(shadow.pending).to.equal(30);
    const counts = server.stacks.map(({ stack }) => stack.core.currEstab());
    expect(Math.min(...counts)).to.be.above(0);
    const fewest = counts.indexOf(Math.min(...counts));
    const peer = {};
    const fd = ok(shadow.accept(SOCK_NONBLOCK, peer));
    expect(fd % 3).to.equal(fewest);
    expect(peer).to.include({ address: "10.0.0.2" });
    for (let i = 1; i < 30; i++) ok(shadow.accept());
    refused(shadow.accept(), EAGAIN);
    shadow.close();
    net.settle();
    const [late] = knock(1, shadow.port);
    net.settle();
    expect(client.posix.send(late as number, Buffer.from("x"))).to.be.below(0);
  });

  it("says on which stack it was refused", () => {
    lab("virtual");
    const one = listener(server.posix, 80);
    expect(() => server.ownClient.listen({ port: 80 }))
      .to.throw(`bind() on stack ${one % 3} of host "server" failed with ${errnoName(-EADDRINUSE)}`)
      .with.property("code", "ERR_ORIBI_LISTEN");
    expect(() => server.listen({ port: 81 }))
      .to.throw("ownClient.listen()")
      .with.property("code", "ERR_ORIBI_THREAD");
  });

  it("joins a stack again that was killed and restarted", async function () {
    this.timeout(30_000);
    lab("real");
    const shadow = server.ownClient.listen({ port: 80 });
    expect(shadow.renew()).to.equal(false);
    const dead = server.stacks[1]!;
    net.kill(dead);
    await net.audit();
    expect(net.stackEntry(dead).state).to.equal("reclaimed");
    await net.restart(dead);
    expect(shadow.renew()).to.equal(true);
    expect(shadow.descriptors.map((fd) => fd % 3)).to.deep.equal([0, 1, 2]);
    const epfd = ok(server.posix.epoll_create1(0));
    for (const fd of shadow.descriptors) ok(server.posix.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, { events: EPOLLIN }));
    const fds = knock(30, 80);
    const stacks = new Set<number>();
    const events: EpollEvent[] = [];
    for (let accepted = 0; accepted < fds.length;) {
      ok(server.posix.epoll_wait(epfd, events, 8, 1000));
      for (let fd; (fd = shadow.accept()) >= 0; accepted++) stacks.add(fd % 3);
    }
    expect([...stacks].sort()).to.deep.equal([0, 1, 2]);
    shadow.close();
  });
});

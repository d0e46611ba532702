// TCP Fast Open by the calls of the POSIX layer, between two hosts: what blocks, what returns.
// Read first: sendto(2), tcp(7) TCP_FASTOPEN_CONNECT; host/posix/transfer.ts.

import { expect } from "chai";
import {
  AF_INET,
  ECONNREFUSED,
  EINPROGRESS,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_FASTOPEN,
  SOCK_STREAM,
  TCP_FASTOPEN,
  TCP_FASTOPEN_CONNECT,
} from "../host/posix/constants.ts";
import { freshPort, listener, ok, pattern, readAll, refused, settle } from "./support/sockets.ts";
import { type TwoHosts, twoHosts } from "./support/two-hosts.ts";

interface World extends TwoHosts {
  port: number;
  listener: number;
  address: { address: string; port: number };
}

/** Two hosts, both with Fast Open; the server listens. */
function world(): World {
  const hosts = twoHosts();
  for (const host of hosts.network.hosts) host.sysctl("net.ipv4.tcp_fastopen", 3);
  const port = freshPort();
  const fd = listener(hosts.server, port);
  ok(hosts.server.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, 16));
  return { ...hosts, port, listener: fd, address: { address: hosts.serverAddress, port } };
}

/** A TCP counter of one host. */
function figure(w: World, name: string, counter: string): number | undefined {
  return w.network.hosts.find((host) => host.name === name)?.counters().tcp[counter];
}

function stream(hosts: TwoHosts): number {
  return ok(hosts.client.socket(AF_INET, SOCK_STREAM, 0));
}

/** A connection that has brought the client a cookie. */
function learn(w: World): void {
  const fd = stream(w);
  expect(w.client.sendto(fd, Buffer.from("first"), MSG_FASTOPEN, w.address)).to.equal(5);
  // The data went with the ACK that ends the handshake.
  settle(w);
  const peer = ok(w.server.accept(w.listener));
  expect(readAll(w.server, peer)).to.equal("first");
  w.client.close(fd);
  settle(w);
  w.server.close(peer);
  settle(w);
}

describe("TCP Fast Open by POSIX calls", () => {
  it("sendto() on a socket that blocks connects, waits, and sends all", () => {
    const w = world();
    learn(w);
    const fd = stream(w);
    const data = pattern(20_000);
    expect(w.client.sendto(fd, data, MSG_FASTOPEN, w.address)).to.equal(20_000);
    const peer = ok(w.server.accept(w.listener));
    settle(w);
    expect(readAll(w.server, peer)).to.equal(data.toString("latin1"));
    expect(figure(w, "client", "fastopenActive")).to.equal(1);
    expect(figure(w, "server", "fastopenPassive")).to.equal(1);
  });

  it("sendto() with MSG_DONTWAIT takes what fits the SYN", () => {
    const w = world();
    const first = stream(w);
    refused(w.client.sendto(first, Buffer.from("x"), MSG_FASTOPEN | MSG_DONTWAIT, w.address), EINPROGRESS);
    settle(w);
    const second = stream(w);
    const n = ok(w.client.sendto(second, pattern(20_000), MSG_FASTOPEN | MSG_DONTWAIT, w.address));
    expect(n).to.equal(1420);
  });

  it("sendmsg() gathers what goes with the SYN", () => {
    const w = world();
    learn(w);
    const fd = stream(w);
    const message = { msg_name: w.address, msg_iov: [Buffer.from("ab"), Buffer.from("cd")] };
    expect(w.client.sendmsg(fd, message, MSG_FASTOPEN)).to.equal(4);
    const peer = ok(w.server.accept(w.listener));
    expect(readAll(w.server, peer)).to.equal("abcd");
  });

  it("send() after a deferred connect() opens, with small and with large buffers", () => {
    for (const length of [100, 50_000]) {
      const w = world();
      learn(w);
      const fd = stream(w);
      ok(w.client.setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1));
      expect(w.client.connect(fd, w.address)).to.equal(0);
      const data = pattern(length);
      expect(w.client.send(fd, data)).to.equal(length);
      const peer = ok(w.server.accept(w.listener));
      settle(w);
      expect(readAll(w.server, peer)).to.equal(data.toString("latin1"));
      expect(figure(w, "client", "fastopenActive")).to.equal(1);
    }
  });

  it("tells that nobody listens", () => {
    const w = world();
    learn(w);
    const fd = stream(w);
    const nobody = { ...w.address, port: freshPort() };
    refused(w.client.sendto(fd, Buffer.from("x"), MSG_FASTOPEN, nobody), ECONNREFUSED);
  });
});

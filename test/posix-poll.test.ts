// poll(2), ppoll(2) and select(2).
// Read first: their section 2 pages.

import { expect } from "chai";
import {
  AF_INET,
  EBADF,
  EINVAL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  SHUT_WR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../host/posix/constants.ts";
import type { PollFd, Posix } from "../host/posix/posix.ts";
import { connected, freshPort, listener, ok, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("poll(2) and select(2)", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
  });

  it("poll tells what was asked for, and POLLERR, POLLHUP, POLLNVAL unasked", () => {
    const pair = connected(hosts, SOCK_NONBLOCK);
    const fresh = ok(server.socket(AF_INET, SOCK_STREAM, 0));
    const fds: PollFd[] = [
      { fd: pair.server, events: POLLIN },
      { fd: pair.server, events: POLLIN | POLLOUT },
      { fd: pair.listener, events: POLLIN | POLLOUT },
      { fd: 999, events: POLLIN },
      { fd: -1, events: POLLIN, revents: 77 },
      { fd: fresh, events: 0 },
      { fd: pair.server, events: POLLRDNORM | POLLWRNORM },
    ];
    expect(server.poll(fds, 0)).to.equal(4);
    expect(fds.map((entry) => entry.revents)).to.deep.equal([0, POLLOUT, 0, POLLNVAL, 0, POLLHUP, POLLWRNORM]);
    ok(client.send(pair.client, Buffer.from("x")));
    settle(hosts);
    expect(server.poll(fds, 0)).to.equal(5);
    expect(fds[0]?.revents).to.equal(POLLIN);
    expect(fds[6]?.revents).to.equal(POLLRDNORM | POLLWRNORM);
  });

  it("poll waits for events and for its timeout", () => {
    const pair = connected(hosts);
    const entry: PollFd = { fd: pair.server, events: POLLIN };
    const before = hosts.now();
    expect(server.poll([entry], 250)).to.equal(0);
    expect(hosts.now() - before).to.be.within(250_000, 251_000);
    ok(client.send(pair.client, Buffer.from("x")));
    expect(server.poll([entry], -1)).to.equal(1);
    expect(entry.revents).to.equal(POLLIN);
    expect(server.poll([], 5), "nothing but a pause").to.equal(0);
  });

  it("poll steps the stack even without a timeout", () => {
    const pair = connected(hosts);
    ok(client.send(pair.client, Buffer.from("x")));
    const entry: PollFd = { fd: pair.server, events: POLLIN };
    let calls = 0;
    while (server.poll([entry], 0) === 0) expect(calls++).to.be.lessThan(20);
  });

  it("ppoll takes seconds and nanoseconds, or none", () => {
    const pair = connected(hosts);
    const entry: PollFd = { fd: pair.server, events: POLLIN };
    const before = hosts.now();
    expect(server.ppoll([entry], { tv_sec: 1, tv_nsec: 5e8 })).to.equal(0);
    expect(hosts.now() - before).to.be.within(1_500_000, 1_501_000);
    refused(server.ppoll([entry], { tv_sec: 0, tv_nsec: 1e9 }), EINVAL);
    ok(client.send(pair.client, Buffer.from("x")));
    expect(server.ppoll([entry], null)).to.equal(1);
  });

  it("select leaves in each set what is ready", () => {
    const pair = connected(hosts, SOCK_NONBLOCK);
    const port = freshPort();
    const l = listener(server, port);
    const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    client.connect(c, hosts.serverAddress, port);
    ok(client.send(pair.client, Buffer.from("x")));
    settle(hosts);
    const read = new Set([pair.server, l, pair.listener]);
    const write = new Set([pair.server, l]);
    const except = new Set([pair.server]);
    expect(server.select(100, read, write, except, { tv_sec: 0, tv_usec: 0 })).to.equal(3);
    expect([...read].sort()).to.deep.equal([pair.server, l].sort());
    expect([...write]).to.deep.equal([pair.server]);
    expect([...except]).to.deep.equal([]);
    readAll(server, pair.server);
    const limited = new Set([l]);
    expect(server.select(l, limited, null, null, { tv_sec: 0, tv_usec: 1000 }), "nfds leaves it out").to.equal(0);
    expect([...limited]).to.deep.equal([]);
  });

  it("select sees the end of a stream as readable, and waits no longer than it is told to", () => {
    const pair = connected(hosts);
    const before = hosts.now();
    expect(server.select(100, new Set([pair.server]), null, null, { tv_sec: 0, tv_usec: 40_000 })).to.equal(0);
    expect(hosts.now() - before).to.be.within(40_000, 41_000);
    ok(client.shutdown(pair.client, SHUT_WR));
    expect(server.select(100, new Set([pair.server]), null, null, null)).to.equal(1);
    expect(server.recv(pair.server, Buffer.alloc(1))).to.equal(0);
  });

  it("select refuses bad descriptors and leaves the sets as they were", () => {
    const set = new Set([777]);
    refused(server.select(1000, set, null, null, null), EBADF);
    expect([...set]).to.deep.equal([777]);
    refused(server.select(-1, null, null, null, null), EINVAL);
    refused(server.select(1, null, null, null, { tv_sec: -1, tv_usec: 0 }), EINVAL);
  });

  it("a refused connection is POLLERR, POLLHUP, readable and writable", () => {
    const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    client.connect(c, hosts.serverAddress, freshPort());
    const entry: PollFd = { fd: c, events: POLLIN | POLLOUT };
    expect(client.poll([entry], -1)).to.equal(1);
    expect(entry.revents).to.equal(POLLIN | POLLOUT | POLLERR | POLLHUP);
  });
});

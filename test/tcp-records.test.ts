// What a send says of its end: MSG_EOR, whose records no segment spans, and MSG_ZEROCOPY, whose completion is reported.
// Read first: assembly/tcp/marks.ts; Linux Documentation/networking/msg_zerocopy.rst.

import { expect } from "chai";
import {
  AF_UNSPEC,
  EAGAIN,
  EOPNOTSUPP,
  EPOLLERR,
  EPOLLET,
  EPOLLOUT,
  EPOLL_CTL_ADD,
  IP_RECVERR,
  IPPROTO_IP,
  MSG_EOR,
  MSG_ERRQUEUE,
  MSG_ZEROCOPY,
  SO_EE_CODE_ZEROCOPY_COPIED,
  SO_EE_ORIGIN_ZEROCOPY,
  SO_SNDBUF,
  SO_ZEROCOPY,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import { type ControlMessage, EpollEvent, type ExtendedError } from "../host/posix/posix.ts";
import { pattern } from "./support/frames.ts";
import { stackHarness } from "./support/harness.ts";
import { connected, ok, pattern as bytes, readAll, refused, settle } from "./support/sockets.ts";
import { opened } from "./support/tcp-peer.ts";
import { type TwoHosts, twoHosts } from "./support/two-hosts.ts";

describe("MSG_EOR: records (sendmsg(2))", () => {
  it("puts the end of a record at the end of a segment, and what follows into the next one", () => {
    const h = stackHarness();
    const { peer, fd } = opened(h);
    h.send(fd, pattern(10_000));
    expect(peer.heard()).to.have.length(10);
    for (let i = 0; i < 3; i++) h.send(fd, pattern(400), undefined, MSG_EOR);
    h.send(fd, pattern(2100));
    peer.say(".", { seq: 1, ack: 10_001 });
    const lines = peer.heard();
    expect(lines.slice(0, 4)).to.deep.equal([
      "P. 10001:10401(400) ack 1",
      "P. 10401:10801(400) ack 1",
      "P. 10801:11201(400) ack 1",
      ". 11201:12201(1000) ack 1",
    ]);
  });

  it("keeps records apart when they are sent again", () => {
    const h = stackHarness();
    const { peer, fd } = opened(h, { mss: 1000, sackPermitted: true });
    h.send(fd, pattern(300), undefined, MSG_EOR);
    h.send(fd, pattern(300), undefined, MSG_EOR);
    h.send(fd, pattern(300));
    h.advance(1);
    peer.heard();
    h.advance(60_000);
    const again = peer.heard().filter((line) => line.includes("(") && !line.includes("(0)"));
    for (const line of again) expect(line).to.match(/\b(1:301|301:601|601:901)\b/);
    expect(again.length).to.be.greaterThan(2);
  });

  it("divides a record larger than a segment at its end only", () => {
    const h = stackHarness();
    const { peer, fd } = opened(h);
    h.send(fd, pattern(9500), undefined, MSG_EOR);
    h.send(fd, pattern(5000));
    peer.say(".", { seq: 1, ack: 9001 });
    peer.say(".", { seq: 1, ack: 9501 });
    const sizes = peer.heard().map((line) => Number(/\((\d+)\)/.exec(line)?.[1]));
    expect(sizes).to.deep.equal([...new Array<number>(9).fill(1000), 500, ...new Array<number>(5).fill(1000)]);
  });

  it("leaves nothing behind when the connection ends in the middle", () => {
    const h = stackHarness();
    const { peer, fd, listener } = opened(h);
    for (let i = 0; i < 100; i++) h.send(fd, pattern(50), undefined, MSG_EOR);
    peer.say("R", { seq: 1 });
    h.core.close(fd);
    h.core.close(listener);
    expect(h.pools()).to.deep.equal({});
  });
});

/** What the error queue of a socket gives. */
function report(hosts: TwoHosts, fd: number): ExtendedError | number {
  const message = { msg_iov: [Buffer.alloc(10)], msg_control: [] as ControlMessage[], msg_flags: 0 };
  const n = hosts.client.recvmsg(fd, message, MSG_ERRQUEUE);
  if (n < 0) return n;
  const [control] = message.msg_control;
  expect([n, message.msg_flags, control?.cmsg_level, control?.cmsg_type]).to.deep.equal([
    0,
    MSG_ERRQUEUE,
    IPPROTO_IP,
    IP_RECVERR,
  ]);
  return control!.data as ExtendedError;
}

function zerocopy(hosts: TwoHosts, flags = 0): { client: number; server: number } {
  const pair = connected(hosts, flags);
  ok(hosts.client.setsockopt(pair.client, SOL_SOCKET, SO_ZEROCOPY, 1));
  return pair;
}

const EXPECTED = { ee_errno: 0, ee_origin: SO_EE_ORIGIN_ZEROCOPY, ee_type: 0, ee_code: SO_EE_CODE_ZEROCOPY_COPIED };

describe("MSG_ZEROCOPY", () => {
  it("reports each send when its last byte is acknowledged, as copied", () => {
    const hosts = twoHosts();
    const { client } = zerocopy(hosts);
    expect(hosts.client.send(client, bytes(4000), MSG_ZEROCOPY)).to.equal(4000);
    expect(report(hosts, client)).to.equal(-EAGAIN);
    settle(hosts);
    const offender = { family: AF_UNSPEC, address: "0.0.0.0", port: 0 };
    expect(report(hosts, client)).to.deep.equal({ ...EXPECTED, ee_info: 0, ee_data: 0, offender });
    expect(report(hosts, client)).to.equal(-EAGAIN);
  });

  it("joins reports of consecutive sends, and counts on after they were read", () => {
    const hosts = twoHosts();
    const { client, server } = zerocopy(hosts);
    for (let i = 0; i < 40; i++) {
      ok(hosts.client.send(client, bytes(100), MSG_ZEROCOPY));
      hosts.advance(250);
    }
    expect(report(hosts, client)).to.deep.include({ ...EXPECTED, ee_info: 0, ee_data: 39 });
    ok(hosts.client.send(client, bytes(150_000), MSG_ZEROCOPY));
    while (readAll(hosts.server, server) !== "") settle(hosts);
    expect(report(hosts, client)).to.deep.include({ ...EXPECTED, ee_info: 40, ee_data: 40 });
  });

  it("says so by EPOLLERR, which does not disturb other calls", () => {
    const hosts = twoHosts();
    const { client, server } = zerocopy(hosts);
    const ep = ok(hosts.client.epoll_create1(0));
    ok(hosts.client.epoll_ctl(ep, EPOLL_CTL_ADD, client, { events: EPOLLOUT | EPOLLET, data: client }));
    const events = [new EpollEvent()];
    expect(hosts.client.epoll_wait(ep, events, 1, 0)).to.equal(1);
    ok(hosts.client.send(client, bytes(4000), MSG_ZEROCOPY));
    settle(hosts);
    expect(hosts.client.epoll_wait(ep, events, 1, 0)).to.equal(1);
    expect(events[0]?.events).to.equal(EPOLLERR | EPOLLOUT);
    // A send that blocks while the report waits goes on to its end.
    hosts.client.setsockopt(client, SOL_SOCKET, SO_SNDBUF, 4000);
    expect(hosts.client.send(client, bytes(60_000))).to.equal(60_000);
    settle(hosts);
    expect(readAll(hosts.server, server).length).to.be.greaterThan(4000);
  });

  it("is over when the connection is: what was not acknowledged is reported too", () => {
    const hosts = twoHosts();
    const { client, server } = zerocopy(hosts);
    ok(hosts.client.send(client, bytes(1000), MSG_ZEROCOPY));
    ok(hosts.client.send(client, bytes(1000), MSG_ZEROCOPY));
    hosts.server.close(server);
    settle(hosts);
    hosts.client.send(client, bytes(10), MSG_ZEROCOPY);
    settle(hosts);
    expect(report(hosts, client)).to.deep.include({ ...EXPECTED, ee_info: 0 });
  });

  it("is ignored without SO_ZEROCOPY, for nothing, and refused on UDP", () => {
    const hosts = twoHosts();
    const { client } = connected(hosts);
    ok(hosts.client.send(client, bytes(100), MSG_ZEROCOPY));
    settle(hosts);
    expect(report(hosts, client)).to.equal(-EAGAIN);
    ok(hosts.client.setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, 1));
    expect(hosts.client.getsockopt(client, SOL_SOCKET, SO_ZEROCOPY)).to.equal(1);
    expect(hosts.client.sendmsg(client, { msg_iov: [Buffer.alloc(0)] }, MSG_ZEROCOPY)).to.equal(0);
    settle(hosts);
    expect(report(hosts, client)).to.equal(-EAGAIN);
    refused(hosts.client.setsockopt(ok(hosts.client.socket(2, 2, 0)), SOL_SOCKET, SO_ZEROCOPY, 1), EOPNOTSUPP);
  });

  it("sends 17 buffers of the application in one packet at most, and reports them as one send", () => {
    const hosts = twoHosts();
    const { client, server } = zerocopy(hosts);
    const iov = Array.from({ length: 40 }, (_, i) => Buffer.from([65 + i]));
    expect(hosts.client.sendmsg(client, { msg_iov: iov }, MSG_ZEROCOPY)).to.equal(40);
    settle(hosts);
    expect(readAll(hosts.server, server)).to.equal(Buffer.concat(iov).toString("latin1"));
    expect(report(hosts, client)).to.deep.include({ ...EXPECTED, ee_info: 0, ee_data: 0 });
  });
});

// What C's compiler would have refused: arguments of the wrong JavaScript type throw, in Node's shape.

import { expect } from "chai";
import {
  AF_INET,
  EINVAL,
  EPOLL_CTL_ADD,
  errnoName,
  IPPROTO_IP,
  IP_TTL,
  SOCK_NONBLOCK,
} from "../host/posix/constants.ts";
import type { Posix, SocketAddressResult } from "../host/posix/posix.ts";
import { connected, type Pair, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("arguments", () => {
  let hosts: TwoHosts;
  let posix: Posix;
  let pair: Pair;

  before(() => {
    hosts = twoHosts();
    posix = hosts.client;
    pair = connected(hosts, SOCK_NONBLOCK);
  });

  const throws = (call: () => unknown, code: string): void => {
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).to.be.instanceOf(Error);
    expect((thrown as { code?: string }).code).to.equal(code);
  };
  const any = (value: unknown): never => value as never;

  it("buffers are bytes, of any kind", () => {
    for (const bad of ["text", 5, null, undefined, {}, [1, 2]]) {
      throws(() => posix.send(pair.client, any(bad)), "ERR_INVALID_ARG_TYPE");
      throws(() => posix.recv(pair.client, any(bad)), "ERR_INVALID_ARG_TYPE");
      throws(() => posix.sendmsg(pair.client, { msg_iov: [any(bad)] }), "ERR_INVALID_ARG_TYPE");
    }
    const shared = new Uint8Array(new SharedArrayBuffer(2));
    shared.set([0x63, 0x64]);
    const view = new DataView(Uint8Array.of(0, 0x61, 0x62, 0).buffer, 1, 2);
    for (const good of [view, shared, new Uint16Array([0x6665])]) {
      expect(posix.send(pair.client, any(good))).to.equal(2);
    }
    settle(hosts);
    expect(readAll(hosts.server, pair.server)).to.equal("abcdef");
    throws(() => posix.sendmsg(pair.client, any({})), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.recvmsg(pair.client, any(null)), "ERR_INVALID_ARG_TYPE");
  });

  it("lengths fit their buffers", () => {
    for (const bad of [-1, 4, 1.5, Number.NaN]) {
      throws(() => posix.send(pair.client, Buffer.alloc(3), bad, 0), "ERR_OUT_OF_RANGE");
      throws(() => posix.recv(pair.client, Buffer.alloc(3), bad, 0), "ERR_OUT_OF_RANGE");
    }
    throws(() => posix.send(pair.client, Buffer.alloc(3), any("2"), 0), "ERR_INVALID_ARG_TYPE");
  });

  it("addresses are IPv4, ports are ports", () => {
    const fd = posix.socket(AF_INET, 2, 0);
    for (const bad of ["10.0.0", "10.0.0.256", "10.0.0.01", "::1", "localhost", "", " 10.0.0.1"]) {
      throws(() => posix.bind(fd, bad, 1), "ERR_INVALID_ARG_VALUE");
      throws(() => posix.sendto(fd, Buffer.from("x"), 0, { address: bad, port: 1 }), "ERR_INVALID_ARG_VALUE");
    }
    for (const bad of [-1, 65_536, 1.5]) throws(() => posix.connect(fd, "10.0.0.1", bad), "ERR_SOCKET_BAD_PORT");
    throws(() => posix.bind(fd, any(true), 1), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.bind(fd, { address: any({}), port: 1 }), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.bind(fd, "10.0.0.1", any("80")), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.getsockname(fd, any(undefined)), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.setsockopt(fd, IPPROTO_IP, IP_TTL, any({})), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.epoll_ctl(posix.epoll_create1(0), EPOLL_CTL_ADD, fd), "ERR_INVALID_ARG_TYPE");
    throws(() => posix.poll([], any("1")), "ERR_INVALID_ARG_TYPE");
  });

  it("addresses may be numbers in host order, and are told as text", () => {
    const fd = hosts.server.socket(AF_INET, 2, 0);
    expect(hosts.server.bind(fd, 0x7f000001, 7777)).to.equal(0);
    const name: SocketAddressResult = {};
    expect(hosts.server.getsockname(fd, name)).to.equal(0);
    expect(name).to.deep.equal({ family: AF_INET, address: "127.0.0.1", port: 7777 });
  });

  it("inet_pton and inet_ntop convert", () => {
    for (const [text, number] of [
      ["0.0.0.0", 0],
      ["10.0.0.1", 0x0a000001],
      ["255.255.255.255", 0xffffffff],
      ["1.2.3.4", 0x01020304],
    ] as const) {
      expect(posix.inet_pton(AF_INET, text)).to.equal(number);
      expect(posix.inet_ntop(AF_INET, number)).to.equal(text);
    }
    refused(posix.inet_pton(AF_INET, "1.2.3"), EINVAL);
    expect(posix.inet_pton(10, "::1")).to.be.lessThan(0);
  });

  it("errno has names", () => {
    expect(errnoName(-11)).to.equal("EAGAIN");
    expect(errnoName(111)).to.equal("ECONNREFUSED");
    expect(errnoName(128), "no errno of ours").to.equal("E128");
  });
});

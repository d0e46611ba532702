// Socket options: what can be set, what comes back, what is refused.
// Read first: socket(7), ip(7), tcp(7).

import { expect } from "chai";
import {
  AF_INET,
  EDOM,
  EINVAL,
  ENOPROTOOPT,
  ENOTCONN,
  ENOTSOCK,
  EPROTO,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  FIONBIO,
  IP_ADD_MEMBERSHIP,
  IP_LOCAL_PORT_RANGE,
  IP_MTU,
  IP_MTU_DISCOVER,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_WANT,
  IP_RECVERR,
  IP_TOS,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  O_NONBLOCK,
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_INCOMING_CPU,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDLOWAT,
  SO_SNDTIMEO,
  SO_TIMESTAMPING,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_CONGESTION,
  TCP_ESTABLISHED,
  TCP_INFO,
  TCP_KEEPIDLE,
  TCP_MAXSEG,
  TCP_NODELAY,
} from "../host/posix/constants.ts";
import type { Linger, Posix, TcpInfo, TimeVal } from "../host/posix/posix.ts";
import { connected, freshPort, listener, ok, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

describe("getsockopt(2) and setsockopt(2)", () => {
  let hosts: TwoHosts;
  let posix: Posix;
  let tcp: number;
  let udp: number;

  beforeEach(() => {
    hosts = twoHosts();
    posix = hosts.client;
    tcp = ok(posix.socket(AF_INET, SOCK_STREAM, 0));
    udp = ok(posix.socket(AF_INET, SOCK_DGRAM, 0));
  });

  const get = (fd: number, level: number, name: number): number => ok(posix.getsockopt(fd, level, name));

  it("switches are off, then on, then off again", () => {
    const names = { SO_REUSEADDR, SO_REUSEPORT, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE };
    for (const [name, option] of Object.entries(names)) {
      for (const fd of [tcp, udp]) {
        expect(get(fd, SOL_SOCKET, option), name).to.equal(0);
        ok(posix.setsockopt(fd, SOL_SOCKET, option, 7));
        expect(get(fd, SOL_SOCKET, option), name).to.equal(1);
        ok(posix.setsockopt(fd, SOL_SOCKET, option, false));
        expect(get(fd, SOL_SOCKET, option), name).to.equal(0);
      }
    }
  });

  it("tells what a socket is", () => {
    expect(get(tcp, SOL_SOCKET, SO_TYPE)).to.equal(SOCK_STREAM);
    expect(get(udp, SOL_SOCKET, SO_TYPE)).to.equal(SOCK_DGRAM);
    expect(get(tcp, SOL_SOCKET, SO_PROTOCOL)).to.equal(IPPROTO_TCP);
    expect(get(udp, SOL_SOCKET, SO_PROTOCOL)).to.equal(IPPROTO_UDP);
    expect(get(tcp, SOL_SOCKET, SO_DOMAIN)).to.equal(AF_INET);
    expect(get(tcp, SOL_SOCKET, SO_ACCEPTCONN)).to.equal(0);
    expect(get(listener(posix, freshPort()), SOL_SOCKET, SO_ACCEPTCONN)).to.equal(1);
    expect(get(tcp, SOL_SOCKET, SO_ERROR)).to.equal(0);
    expect(get(tcp, SOL_SOCKET, SO_SNDLOWAT)).to.equal(1);
    expect(get(tcp, SOL_SOCKET, SO_INCOMING_CPU)).to.equal(0);
    for (const option of [SO_TYPE, SO_PROTOCOL, SO_DOMAIN, SO_ACCEPTCONN, SO_ERROR, SO_SNDLOWAT]) {
      refused(posix.setsockopt(tcp, SOL_SOCKET, option, 1), ENOPROTOOPT);
    }
  });

  it("doubles buffer sizes, within limits (as Linux)", () => {
    for (const fd of [tcp, udp]) {
      for (const [option, least] of [
        [SO_RCVBUF, 2304],
        [SO_SNDBUF, 4608],
      ] as const) {
        ok(posix.setsockopt(fd, SOL_SOCKET, option, 10_000));
        expect(get(fd, SOL_SOCKET, option)).to.equal(20_000);
        ok(posix.setsockopt(fd, SOL_SOCKET, option, 0));
        expect(get(fd, SOL_SOCKET, option)).to.equal(least);
        ok(posix.setsockopt(fd, SOL_SOCKET, option, 0x7fffffff));
        const most = get(fd, SOL_SOCKET, option);
        expect(most).to.be.within(100_000, 0x7ffffffe);
        ok(posix.setsockopt(fd, SOL_SOCKET, option, -1));
        expect(get(fd, SOL_SOCKET, option), "a negative size is a large one").to.equal(most);
      }
    }
  });

  it("keeps SO_LINGER, timeouts, SO_RCVLOWAT and SO_PRIORITY", () => {
    const linger: Partial<Linger> = {};
    ok(posix.getsockopt(tcp, SOL_SOCKET, SO_LINGER, linger));
    expect(linger).to.deep.equal({ l_onoff: 0, l_linger: 0 });
    ok(posix.setsockopt(tcp, SOL_SOCKET, SO_LINGER, { l_onoff: true, l_linger: 12 }));
    ok(posix.getsockopt(tcp, SOL_SOCKET, SO_LINGER, linger));
    expect(linger).to.deep.equal({ l_onoff: 1, l_linger: 12 });
    for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
      const time: Partial<TimeVal> = {};
      ok(posix.setsockopt(tcp, SOL_SOCKET, option, { tv_sec: 3, tv_usec: 250_000 }));
      ok(posix.getsockopt(tcp, SOL_SOCKET, option, time));
      expect(time).to.deep.equal({ tv_sec: 3, tv_usec: 250_000 });
      ok(posix.setsockopt(tcp, SOL_SOCKET, option, 1500));
      ok(posix.getsockopt(tcp, SOL_SOCKET, option, time));
      expect(time).to.deep.equal({ tv_sec: 1, tv_usec: 500_000 });
      refused(posix.setsockopt(tcp, SOL_SOCKET, option, { tv_sec: 0, tv_usec: 1_000_000 }), EDOM);
      ok(posix.setsockopt(tcp, SOL_SOCKET, option, 0));
      ok(posix.getsockopt(tcp, SOL_SOCKET, option, time));
      expect(time).to.deep.equal({ tv_sec: 0, tv_usec: 0 });
    }
    expect(get(tcp, SOL_SOCKET, SO_RCVLOWAT)).to.equal(1);
    for (const [value, expected] of [
      [100, 100],
      [0, 1],
    ] as const) {
      ok(posix.setsockopt(tcp, SOL_SOCKET, SO_RCVLOWAT, value));
      expect(get(tcp, SOL_SOCKET, SO_RCVLOWAT)).to.equal(expected);
    }
    ok(posix.setsockopt(tcp, SOL_SOCKET, SO_PRIORITY, 6));
    expect(get(tcp, SOL_SOCKET, SO_PRIORITY)).to.equal(6);
  });

  it("a negative SO_RCVTIMEO does not block", () => {
    ok(posix.bind(udp, { port: freshPort() }));
    ok(posix.setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, { tv_sec: -1, tv_usec: 0 }));
    const before = hosts.now();
    expect(posix.recv(udp, Buffer.alloc(1))).to.be.lessThan(0);
    expect(hosts.now()).to.equal(before);
  });

  it("SO_RCVLOWAT holds readiness back until so much has come", () => {
    const pair = connected(hosts, SOCK_NONBLOCK);
    ok(hosts.server.setsockopt(pair.server, SOL_SOCKET, SO_RCVLOWAT, 10));
    const ready = (): number => {
      settle(hosts);
      return hosts.server.poll([{ fd: pair.server, events: 1 }], 0);
    };
    ok(posix.send(pair.client, Buffer.from("12345")));
    expect(ready()).to.equal(0);
    ok(posix.send(pair.client, Buffer.from("67890")));
    expect(ready()).to.equal(1);
  });

  it("keeps the IP options, as ints and as bytes", () => {
    expect(get(udp, IPPROTO_IP, IP_TTL)).to.equal(64);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_TTL, 5));
    expect(get(udp, IPPROTO_IP, IP_TTL)).to.equal(5);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_TTL, Uint8Array.of(9)));
    const byte = new Uint8Array(1);
    expect(posix.getsockopt(udp, IPPROTO_IP, IP_TTL, byte)).to.equal(1);
    expect(byte[0]).to.equal(9);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_TTL, -1));
    expect(get(udp, IPPROTO_IP, IP_TTL)).to.equal(64);
    for (const bad of [0, 256, -2]) refused(posix.setsockopt(udp, IPPROTO_IP, IP_TTL, bad), EINVAL);

    ok(posix.setsockopt(udp, IPPROTO_IP, IP_TOS, 0xbb));
    expect(get(udp, IPPROTO_IP, IP_TOS)).to.equal(0xbb);
    ok(posix.setsockopt(tcp, IPPROTO_IP, IP_TOS, 0xbb));
    expect(get(tcp, IPPROTO_IP, IP_TOS), "ECN is TCP's own").to.equal(0xb8);

    expect(get(udp, IPPROTO_IP, IP_MTU_DISCOVER)).to.equal(IP_PMTUDISC_WANT);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
    expect(get(udp, IPPROTO_IP, IP_MTU_DISCOVER)).to.equal(IP_PMTUDISC_DO);
    refused(posix.setsockopt(udp, IPPROTO_IP, IP_MTU_DISCOVER, 6), EINVAL);

    ok(posix.setsockopt(udp, IPPROTO_IP, IP_RECVERR, 1));
    expect(get(udp, IPPROTO_IP, IP_RECVERR)).to.equal(1);
    refused(posix.getsockopt(udp, IPPROTO_IP, IP_MTU), ENOTCONN);
    ok(posix.connect(udp, hosts.serverAddress, 9));
    expect(get(udp, IPPROTO_IP, IP_MTU)).to.equal(1500);
  });

  it("keeps the multicast options, for datagrams only", () => {
    expect(get(udp, IPPROTO_IP, IP_MULTICAST_TTL)).to.equal(1);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_TTL, 32));
    expect(get(udp, IPPROTO_IP, IP_MULTICAST_TTL)).to.equal(32);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_TTL, -1));
    expect(get(udp, IPPROTO_IP, IP_MULTICAST_TTL)).to.equal(1);
    refused(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_TTL, 256), EINVAL);
    refused(posix.setsockopt(tcp, IPPROTO_IP, IP_MULTICAST_TTL, 3), EINVAL);
    expect(get(udp, IPPROTO_IP, IP_MULTICAST_LOOP)).to.equal(1);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
    expect(get(udp, IPPROTO_IP, IP_MULTICAST_LOOP)).to.equal(0);
    const chosen: { value?: string } = {};
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_IF, hosts.clientAddress));
    ok(posix.getsockopt(udp, IPPROTO_IP, IP_MULTICAST_IF, chosen));
    expect(chosen.value).to.equal(hosts.clientAddress);
    ok(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_IF, "0.0.0.0"));
    ok(posix.getsockopt(udp, IPPROTO_IP, IP_MULTICAST_IF, chosen));
    expect(chosen.value).to.equal("0.0.0.0");
    expect(posix.setsockopt(udp, IPPROTO_IP, IP_MULTICAST_IF, "10.9.9.9")).to.be.lessThan(0);
    refused(posix.setsockopt(tcp, IPPROTO_IP, IP_ADD_MEMBERSHIP, { imr_multiaddr: "239.1.1.1" }), EPROTO);
  });

  it("passes TCP options on, and takes bytes and text for values", () => {
    ok(posix.setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, 1));
    expect(get(tcp, IPPROTO_TCP, TCP_NODELAY)).to.equal(1);
    ok(posix.setsockopt(tcp, IPPROTO_TCP, TCP_KEEPIDLE, Uint8Array.of(30, 0, 0, 0)));
    expect(get(tcp, IPPROTO_TCP, TCP_KEEPIDLE)).to.equal(30);
    const algorithm: { value?: string } = {};
    for (const name of ["reno", "cubic"]) {
      ok(posix.setsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, name));
      ok(posix.getsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, algorithm));
      expect(algorithm.value).to.equal(name);
    }
    expect(posix.setsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, "tahoe")).to.be.lessThan(0);
    const pair = connected(hosts);
    const info: Partial<TcpInfo> = {};
    ok(posix.getsockopt(pair.client, IPPROTO_TCP, TCP_INFO, info));
    expect(info.tcpi_state).to.equal(TCP_ESTABLISHED);
    expect(info.tcpi_snd_cwnd).to.be.greaterThan(0);
    expect(info.tcpi_snd_mss).to.equal(get(pair.client, IPPROTO_TCP, TCP_MAXSEG));
    refused(posix.setsockopt(udp, IPPROTO_TCP, TCP_NODELAY, 1), ENOPROTOOPT);
  });

  it("refuses what it does not know, wrong lengths, and descriptors that are no sockets", () => {
    refused(posix.getsockopt(tcp, SOL_SOCKET, 999), ENOPROTOOPT);
    refused(posix.setsockopt(tcp, SOL_SOCKET, 999, 1), ENOPROTOOPT);
    refused(posix.getsockopt(tcp, IPPROTO_IP, 999), ENOPROTOOPT);
    refused(posix.setsockopt(tcp, IPPROTO_TCP, 999, 1), ENOPROTOOPT);
    refused(posix.setsockopt(tcp, 77, 1, 1), ENOPROTOOPT);
    for (const [level, name, bytes] of [
      [SOL_SOCKET, SO_REUSEADDR, 3],
      [SOL_SOCKET, SO_LINGER, 7],
      [SOL_SOCKET, SO_RCVTIMEO, 8],
      [IPPROTO_IP, IP_TTL, 0],
      [IPPROTO_IP, IP_MULTICAST_IF, 3],
      [IPPROTO_TCP, TCP_NODELAY, 2],
    ] as const) {
      refused(
        posix.setsockopt(udp === 0 || level === IPPROTO_TCP ? tcp : udp, level, name, new Uint8Array(bytes)),
        EINVAL,
      );
    }
    const epfd = ok(posix.epoll_create1(0));
    refused(posix.getsockopt(epfd, SOL_SOCKET, SO_TYPE), ENOTSOCK);
    refused(posix.setsockopt(epfd, SOL_SOCKET, SO_REUSEADDR, 1), ENOTSOCK);
  });

  it("cuts an int to a shorter buffer", () => {
    ok(posix.setsockopt(tcp, SOL_SOCKET, SO_RCVBUF, 0x1000));
    const two = new Uint8Array(2);
    expect(posix.getsockopt(tcp, SOL_SOCKET, SO_RCVBUF, two)).to.equal(2);
    expect([...two]).to.deep.equal([0x00, 0x20]);
  });

  it("cuts what is longer than the buffer; IP options that fit come as one byte", () => {
    ok(posix.setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, { tv_sec: 0x030201, tv_usec: 7 }));
    ok(posix.setsockopt(udp, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0x0201 }));
    const rows: [number, number, number, number, number[]][] = [
      [udp, SOL_SOCKET, SO_RCVTIMEO, 0, []],
      [udp, SOL_SOCKET, SO_RCVTIMEO, 2, [1, 2]],
      [udp, SOL_SOCKET, SO_RCVTIMEO, 9, [1, 2, 3, 0, 0, 0, 0, 0, 7]],
      [udp, SOL_SOCKET, SO_LINGER, 5, [1, 0, 0, 0, 1]],
      [udp, SOL_SOCKET, SO_TYPE, 3, [SOCK_DGRAM, 0, 0]],
      [udp, SOL_SOCKET, SO_TIMESTAMPING, 16, [0, 0, 0, 0, 0, 0, 0, 0]],
      [udp, IPPROTO_IP, IP_TTL, 3, [64]],
      [udp, IPPROTO_IP, IP_LOCAL_PORT_RANGE, 2, [0]],
      [tcp, IPPROTO_TCP, TCP_NODELAY, 1, [0]],
      [tcp, IPPROTO_TCP, TCP_MAXSEG, 2, [0x18, 2]],
      [tcp, IPPROTO_TCP, TCP_CONGESTION, 2, [...Buffer.from("cu")]],
      [tcp, IPPROTO_TCP, TCP_CONGESTION, 32, [...Buffer.alloc(16).fill("cubic", 0, 5)]],
      [tcp, IPPROTO_TCP, TCP_INFO, 1, [7]],
    ];
    for (const [fd, level, name, length, wanted] of rows) {
      const bytes = new Uint8Array(length);
      const n = posix.getsockopt(fd, level, name, bytes);
      expect([...bytes.subarray(0, n)], `level ${level}, option ${name}, ${length} bytes`).to.deep.equal(wanted);
    }
  });

  it("F_GETFD tells what SOCK_CLOEXEC, EPOLL_CLOEXEC and F_SETFD have said of a descriptor", () => {
    const { server } = hosts;
    const l = listener(server, freshPort());
    const there: { port?: number } = {};
    ok(server.getsockname(l, there));
    for (let i = 0; i < 2; i++)
      posix.connect(ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), hosts.serverAddress, there.port ?? 0);
    settle(hosts);
    const closing = ok(posix.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ok(posix.close(closing));
    const rows: [Posix, number, number][] = [
      [posix, ok(posix.socket(AF_INET, SOCK_DGRAM, 0)), 0],
      [posix, ok(posix.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), FD_CLOEXEC],
      [posix, ok(posix.epoll_create1(0)), 0],
      [posix, ok(posix.epoll_create1(SOCK_CLOEXEC)), FD_CLOEXEC],
      [server, ok(server.accept4(l, null, SOCK_CLOEXEC)), FD_CLOEXEC],
      [server, ok(server.accept(l)), 0],
    ];
    for (const [calls, fd, wanted] of rows) {
      expect(calls.fcntl(fd, F_GETFD)).to.equal(wanted);
      ok(calls.fcntl(fd, F_SETFD, wanted ^ FD_CLOEXEC));
      expect(calls.fcntl(fd, F_GETFD)).to.equal(wanted ^ FD_CLOEXEC);
      expect(calls.fcntl(fd, F_GETFL) & O_NONBLOCK).to.equal(0);
    }
  });

  it("accepted connections inherit the listener's options", () => {
    const { server } = hosts;
    const port = freshPort();
    const l = listener(server, port);
    ok(server.setsockopt(l, SOL_SOCKET, SO_KEEPALIVE, 1));
    ok(server.setsockopt(l, SOL_SOCKET, SO_RCVLOWAT, 5));
    ok(server.setsockopt(l, IPPROTO_IP, IP_TTL, 7));
    const c = ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    posix.connect(c, hosts.serverAddress, port);
    settle(hosts);
    const s = ok(server.accept(l));
    expect(server.getsockopt(s, SOL_SOCKET, SO_KEEPALIVE)).to.equal(1);
    expect(server.getsockopt(s, SOL_SOCKET, SO_RCVLOWAT)).to.equal(5);
    expect(server.getsockopt(s, IPPROTO_IP, IP_TTL)).to.equal(7);
  });

  it("fcntl and ioctl switch O_NONBLOCK", () => {
    expect(posix.fcntl(tcp, F_GETFL) & O_NONBLOCK).to.equal(0);
    ok(posix.fcntl(tcp, F_SETFL, O_NONBLOCK));
    expect(posix.fcntl(tcp, F_GETFL) & O_NONBLOCK).to.equal(O_NONBLOCK);
    ok(posix.ioctl(tcp, FIONBIO, { value: 0 }));
    expect(posix.fcntl(tcp, F_GETFL) & O_NONBLOCK).to.equal(0);
    ok(posix.ioctl(tcp, FIONBIO, true));
    expect(posix.fcntl(tcp, F_GETFL) & O_NONBLOCK).to.equal(O_NONBLOCK);
    expect(posix.ioctl(tcp, 0x1234)).to.be.lessThan(0);
  });
});

// Who may bind what: Linux's answers, pair by pair.
// Read first: socket(7) SO_REUSEADDR and SO_REUSEPORT, ip(7); the rules stand at the head of assembly/socket/bind.ts.

import { expect } from "chai";
import {
  AF_INET,
  AF_UNSPEC,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EINPROGRESS,
  EINVAL,
  IP_LOCAL_PORT_RANGE,
  IPPROTO_IP,
  SHUT_WR,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/posix/constants.ts";
import type { Posix, SocketAddressResult } from "../host/posix/posix.ts";
import { connected, freshPort, listener, ok, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

const ANY = "0.0.0.0";
/** The address of the server in two-hosts.ts. */
const OWN = "10.0.0.2";
const LOOP = "127.0.0.1";
type Options = "" | "addr" | "port" | "both";

describe("bind(2)", () => {
  let hosts: TwoHosts;
  let client: Posix;
  let server: Posix;

  beforeEach(() => {
    hosts = twoHosts();
    ({ client, server } = hosts);
    expect(hosts.serverAddress).to.equal(OWN);
  });

  const open = (type: number, options: Options = ""): number => {
    const fd = ok(server.socket(AF_INET, type | SOCK_NONBLOCK, 0));
    if (options === "addr" || options === "both") ok(server.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    if (options === "port" || options === "both") ok(server.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, true));
    return fd;
  };

  describe("two sockets and one port", () => {
    // First socket, its options, second socket, its options; may the second bind: UDP, TCP, TCP when the first listens.
    const rows: [string, Options, string, Options, boolean, boolean, boolean][] = [
      [ANY, "", ANY, "", false, false, false],
      [ANY, "addr", ANY, "", false, false, false],
      [ANY, "", ANY, "addr", false, false, false],
      [ANY, "addr", ANY, "addr", true, true, false],
      [ANY, "port", ANY, "", false, false, false],
      [ANY, "", ANY, "port", false, false, false],
      [ANY, "port", ANY, "port", true, true, true],
      [ANY, "addr", ANY, "port", false, false, false],
      [ANY, "both", ANY, "addr", true, true, false],
      [ANY, "both", ANY, "port", true, true, true],
      [ANY, "both", ANY, "both", true, true, true],
      [ANY, "", OWN, "", false, false, false],
      [ANY, "addr", OWN, "addr", true, true, false],
      [ANY, "port", OWN, "port", true, true, true],
      [OWN, "", ANY, "", false, false, false],
      [OWN, "addr", ANY, "addr", true, true, false],
      [OWN, "", OWN, "", false, false, false],
      [OWN, "addr", OWN, "addr", true, true, false],
      [OWN, "port", OWN, "port", true, true, true],
      [OWN, "", LOOP, "", true, true, true],
      [LOOP, "", OWN, "addr", true, true, true],
      [LOOP, "port", LOOP, "", false, false, false],
    ];
    for (const [address, options, second, secondOptions, udp, tcp, tcpListening] of rows) {
      const name = (a: string, o: Options): string => `${a}${o === "" ? "" : ` (${o})`}`;
      it(`${name(address, options)}, then ${name(second, secondOptions)}`, () => {
        const port = freshPort();
        const judge = (type: number, listens: boolean, expected: boolean): void => {
          const first = open(type, options);
          ok(server.bind(first, { address, port }));
          if (listens) ok(server.listen(first, 1));
          const other = open(type, secondOptions);
          const result = server.bind(other, { address: second, port });
          const what = type === SOCK_DGRAM ? "UDP" : listens ? "TCP, first listens" : "TCP";
          expect(result, what).to.equal(expected ? 0 : -EADDRINUSE);
          ok(server.close(first));
          ok(server.close(other));
        };
        judge(SOCK_DGRAM, false, udp);
        judge(SOCK_STREAM, false, tcp);
        judge(SOCK_STREAM, true, tcpListening);
      });
    }

    it("UDP and TCP do not stand in each other's way", () => {
      const port = freshPort();
      ok(server.bind(open(SOCK_DGRAM), { port }));
      ok(server.bind(open(SOCK_STREAM), { port }));
    });

    it("only one of two sockets with SO_REUSEADDR may listen; with SO_REUSEPORT both", () => {
      const port = freshPort();
      const [a, b] = [open(SOCK_STREAM, "addr"), open(SOCK_STREAM, "addr")];
      ok(server.bind(a, { port }));
      ok(server.bind(b, { port }));
      ok(server.listen(a, 1));
      refused(server.listen(b, 1), EADDRINUSE);
      ok(server.close(a));
      ok(server.listen(b, 1));
      const another = freshPort();
      for (const fd of [open(SOCK_STREAM, "port"), open(SOCK_STREAM, "port")]) {
        ok(server.bind(fd, { port: another }));
        ok(server.listen(fd, 1));
      }
    });
  });

  describe("a port that connections still use", () => {
    for (const reuse of [false, true]) {
      it(`${reuse ? "is free for" : "is taken without"} SO_REUSEADDR on both sides, living or in TIME-WAIT`, () => {
        const port = freshPort();
        const l = open(SOCK_STREAM, reuse ? "addr" : "");
        ok(server.bind(l, { port }));
        ok(server.listen(l, 1));
        const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        refused(client.connect(c, hosts.serverAddress, port), EINPROGRESS);
        settle(hosts);
        const s = ok(server.accept(l));
        ok(server.close(l));
        const again = (): number => server.bind(open(SOCK_STREAM, reuse ? "addr" : ""), { port });
        const wanted = reuse ? 0 : -EADDRINUSE;
        expect(again(), "established").to.equal(wanted);
        refused(server.bind(open(SOCK_STREAM), { port }), EADDRINUSE);
        // The server closes first: TIME-WAIT is on its side.
        ok(server.shutdown(s, SHUT_WR));
        settle(hosts);
        ok(client.close(c));
        settle(hosts);
        ok(server.close(s));
        refused(server.bind(open(SOCK_STREAM), { port }), EADDRINUSE);
        if (!reuse) {
          expect(again(), "TIME-WAIT").to.equal(wanted);
          hosts.advance(61_000);
          expect(again(), "after TIME-WAIT").to.equal(0);
        }
      });
    }
  });

  it("refuses addresses that are not this host's, and a second bind", () => {
    const fd = open(SOCK_STREAM);
    refused(server.bind(fd, "10.0.0.77", 80), EADDRNOTAVAIL);
    refused(server.bind(fd, { family: 10, address: ANY, port: 80 }), EAFNOSUPPORT);
    ok(server.bind(fd, OWN, 80));
    refused(server.bind(fd, OWN, 81), EINVAL);
    const name: SocketAddressResult = {};
    ok(server.getsockname(fd, name));
    expect(name).to.deep.equal({ family: AF_INET, address: OWN, port: 80 });
    refused(server.bind(connected(hosts).server, { port: 9 }), EINVAL);
  });

  it("binds to 127/8, broadcast and multicast addresses", () => {
    for (const address of ["127.0.0.1", "127.1.2.3", "255.255.255.255", "10.0.0.255", "239.1.2.3"]) {
      expect(server.bind(open(SOCK_DGRAM), { address, port: 9000 }), address).to.equal(0);
    }
  });

  it("gives every socket another ephemeral port, also next to fixed ones, and they are spread", () => {
    const seen = new Set<number>();
    ok(server.bind(open(SOCK_DGRAM), { port: 40_000 }));
    seen.add(40_000);
    for (let i = 0; i < 200; i++) {
      const fd = open(SOCK_DGRAM, i % 2 ? "" : "addr");
      ok(server.bind(fd, { address: i % 3 ? ANY : OWN }));
      const name: SocketAddressResult = {};
      ok(server.getsockname(fd, name));
      expect(name.port).to.be.within(32_768, 60_999);
      expect(seen.has(name.port ?? 0), `port ${name.port} twice`).to.equal(false);
      seen.add(name.port ?? 0);
    }
    const sorted = [...seen].sort((a, b) => a - b);
    expect((sorted.at(-1) ?? 0) - (sorted[0] ?? 0)).to.be.greaterThan(10_000);
  });

  it("gives ports back at close", () => {
    const port = freshPort();
    for (let i = 0; i < 3; i++) {
      const l = listener(server, port);
      ok(server.close(l));
      const u = open(SOCK_DGRAM);
      ok(server.bind(u, { port }));
      ok(server.close(u));
    }
  });

  it("connect() stays away from bound ports", () => {
    const taken = new Set<number>();
    for (let port = 32_768; port < 32_768 + 200; port++) {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
      ok(client.bind(fd, { port }));
      taken.add(port);
    }
    const pair = connected(hosts);
    const name: SocketAddressResult = {};
    ok(client.getsockname(pair.client, name));
    expect(taken.has(name.port ?? 0)).to.equal(false);
  });

  /** Leaves a socket two ports to choose from. */
  const among = (fd: number, low: number): number => {
    ok(client.setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, ((low + 1) << 16) | low));
    return fd;
  };

  it("bind() to port 0 gives no port that a connection holds on that address, as a fixed one is refused", () => {
    const there = { address: OWN, port: freshPort() };
    listener(server, there.port);
    const low = 50_000;
    const connection = among(ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), low);
    refused(client.connect(connection, there), EINPROGRESS);
    settle(hosts);
    const held: SocketAddressResult = {};
    ok(client.getsockname(connection, held));
    const tcp = (): number => among(ok(client.socket(AF_INET, SOCK_STREAM, 0)), low);
    refused(client.bind(tcp(), { port: held.port ?? 0 }), EADDRINUSE);
    const loop = tcp();
    ok(client.bind(loop, { address: LOOP, port: held.port ?? 0 }));
    ok(client.close(loop));
    const free: SocketAddressResult = {};
    const chosen = tcp();
    ok(client.bind(chosen, { port: 0 }));
    ok(client.getsockname(chosen, free));
    expect([held.port, free.port].sort()).to.deep.equal([low, low + 1]);
    refused(client.bind(tcp(), { port: 0 }), EADDRINUSE);
    refused(client.bind(tcp(), { address: LOOP, port: free.port ?? 0 }), EADDRINUSE);
    ok(client.bind(tcp(), { address: LOOP, port: 0 }));
  });

  it("UDP without a free port: bind() says EADDRINUSE, connect() and sendto() say EAGAIN", () => {
    const udp = (): number => among(ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)), 51_000);
    ok(client.bind(udp(), { port: 0 }));
    ok(client.bind(udp(), { port: 0 }));
    refused(client.bind(udp(), { port: 0 }), EADDRINUSE);
    refused(client.connect(udp(), OWN, 9), EAGAIN);
    const sender = udp();
    // A business thread's datagram is out of its hands before the stack looks for a port.
    const sent = client.sendto(sender, Buffer.from("x"), 0, { address: OWN, port: 9 });
    settle(hosts);
    refused(sent === 1 ? client.recv(sender, Buffer.alloc(1)) : sent, EAGAIN);
  });

  it("connect(AF_UNSPEC) gives a port back that nobody has named, so that the socket may be bound anew", () => {
    const there = { address: OWN, port: freshPort() };
    const l = listener(server, there.port);
    for (const type of [SOCK_DGRAM, SOCK_STREAM]) {
      for (const named of [undefined, 0, freshPort()]) {
        const fd = ok(client.socket(AF_INET, type | SOCK_NONBLOCK, 0));
        if (named !== undefined) ok(client.bind(fd, { address: hosts.clientAddress, port: named }));
        client.connect(fd, there);
        settle(hosts);
        ok(client.connect(fd, { family: AF_UNSPEC }));
        const port = freshPort();
        const again = client.bind(fd, { address: hosts.clientAddress, port });
        const name: SocketAddressResult = {};
        ok(client.getsockname(fd, name));
        if (named) refused(again, EINVAL);
        else ok(again);
        expect(name.port).to.equal(named || port);
        ok(client.close(fd));
      }
    }
    server.close(l);
  });

  it("a socket that is bound to a connection's names cannot be connected to the same peer: EADDRNOTAVAIL", () => {
    const there = { address: OWN, port: freshPort() };
    listener(server, there.port);
    const port = freshPort();
    const same = (): number => {
      const fd = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ok(client.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      ok(client.bind(fd, { address: hosts.clientAddress, port }));
      return fd;
    };
    refused(client.connect(same(), there), EINPROGRESS);
    refused(client.connect(same(), there), EADDRNOTAVAIL);
  });

  it("a bound socket connects from its port", () => {
    const port = freshPort();
    const l = listener(server, freshPort());
    const there: SocketAddressResult = {};
    ok(server.getsockname(l, there));
    const c = ok(client.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    ok(client.bind(c, { address: hosts.clientAddress, port }));
    refused(client.connect(c, hosts.serverAddress, there.port ?? 0), EINPROGRESS);
    settle(hosts);
    const peer: SocketAddressResult = {};
    ok(server.accept(l, peer));
    expect(peer).to.deep.equal({ family: AF_INET, address: hosts.clientAddress, port });
  });
});

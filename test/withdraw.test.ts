// A socket that loses its queue or its role (disconnect, shutdown of a listener, listen again, a descriptor used anew)
// shows nothing of what was there before, in either thread model.
// Read first: connect(2) "AF_UNSPEC"; Linux net/ipv4/tcp.c, tcp_disconnect(); assembly/share/withdraw.ts.

import { expect } from "chai";
import {
  AF_INET,
  AF_UNSPEC,
  createNetwork,
  EAGAIN,
  ECONNRESET,
  EINVAL,
  ENOTCONN,
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  type EpollEvent,
  FIONREAD,
  type Host,
  MSG_DONTWAIT,
  MSG_OOB,
  MSG_PEEK,
  type Network,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_LINGER,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/index.ts";
import type { Posix } from "../host/posix/posix.ts";
import { listener, ok, pattern, polled, readAll, refused } from "./support/sockets.ts";

const STACK = { connections: 64, sockets: 16, timeWaits: 64 };

for (const threads of ["shared", "separate"] as const) {
  describe(`a socket that loses what it had (${threads} threads)`, () => {
    let net: Network;
    let hosts: [Host, Host];
    let server: Posix;
    let client: Posix;
    const buffer = Buffer.alloc(100_000);

    beforeEach(() => {
      net = createNetwork({ seed: 1, time: "virtual" });
      const bridge = net.bridge("lan");
      const host = (name: string, address: string): Host => net.host(name, { bridge, address, threads, stack: STACK });
      hosts = [host("server", "10.0.0.1/24"), host("client", "10.0.0.2/24")];
      [server, client] = [hosts[0].posix, hosts[1].posix];
      net.settle();
    });

    afterEach(() => net.close());

    const address = "10.0.0.1";
    const disconnect = (posix: Posix, fd: number): number => posix.connect(fd, { family: AF_UNSPEC });
    const newSocket = (posix: Posix): number => ok(posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));

    function say(posix: Posix, fd: number, text: string): void {
      expect(posix.send(fd, Buffer.from(text))).to.equal(text.length);
      net.settle();
    }

    /** A listener, and connections to it: the client's descriptors and the server's. */
    function connections(count: number, port = 80): { l: number; cs: number[]; ss: number[] } {
      const l = listener(server, port);
      const cs = Array.from({ length: count }, () => newSocket(client));
      const ss = cs.map((c) => {
        client.connect(c, { address, port });
        net.settle();
        return ok(server.accept4(l, null, SOCK_NONBLOCK));
      });
      return { l, cs, ss };
    }

    /** Connects a socket of the client (again); the server's end. */
    function again(c: number, l: number): number {
      client.connect(c, { address, port: 80 });
      net.settle();
      return ok(server.accept4(l, null, SOCK_NONBLOCK));
    }

    function isDisconnected(c: number): void {
      refused(client.recv(c, buffer), ECONNRESET);
      refused(client.recv(c, buffer), ENOTCONN);
      refused(client.recv(c, buffer, MSG_PEEK), ENOTCONN);
      const view = client.recv_view(c);
      refused(typeof view === "number" ? view : view.length, ENOTCONN);
      expect(client.ioctl(c, FIONREAD)).to.equal(0);
      expect(polled(client, c)).to.equal(POLLOUT | POLLHUP);
    }

    const looks: Record<string, (c: number) => void> = {
      "": () => undefined,
      " after a peek": (c) => expect(client.recv(c, buffer, MSG_PEEK)).to.equal(6),
      " after a view": (c) => expect((client.recv_view(c) as Uint8Array).length).to.equal(6),
      " after a part was read": (c) => expect(client.recv(c, buffer.subarray(0, 2))).to.equal(2),
      " behind the end of the stream": (c) => expect(client.recv(c, buffer, MSG_PEEK)).to.equal(6),
    };
    for (const [when, look] of Object.entries(looks)) {
      it(`gives no unread byte away once it is disconnected${when}, nor in its next stream`, () => {
        const { l, cs, ss } = connections(2);
        const [c, other] = cs as [number, number];
        say(server, ss[0]!, "unread");
        if (when.includes("end")) ok(server.shutdown(ss[0]!, SHUT_WR));
        net.settle();
        look(c);
        ok(disconnect(client, c));
        net.settle();
        // What another connection receives takes the place of what was unread.
        say(server, ss[1]!, "secret");
        isDisconnected(c);
        expect(readAll(client, other)).to.equal("secret");
        const s = again(c, l);
        refused(client.recv(c, buffer), EAGAIN);
        say(server, s, "fresh bytes");
        expect(readAll(client, c)).to.equal("fresh bytes");
        say(client, c, "and back");
        expect(readAll(server, s)).to.equal("and back");
      });
    }

    it("takes nothing of the next stream for a view of the last one", () => {
      const { l, cs, ss } = connections(1);
      const c = cs[0]!;
      say(server, ss[0]!, "unread");
      expect((client.recv_view(c) as Uint8Array).length).to.equal(6);
      ok(disconnect(client, c));
      const s = again(c, l);
      say(server, s, "fresh bytes");
      if (threads === "separate") expect(client.recv_done(c, 6)).to.equal(11);
      expect(readAll(client, c)).to.equal("fresh bytes");
    });

    it("sends nothing of what its last stream had left in its next one", () => {
      const { l, cs } = connections(1);
      const c = cs[0]!;
      // More than the peer takes and both queues hold.
      for (let n; (n = client.send(c, pattern(50_000))) > 0;) if (n < 50_000) net.settle();
      refused(client.send(c, pattern(50_000)), EAGAIN);
      ok(disconnect(client, c));
      const s = again(c, l);
      say(client, c, "fresh bytes");
      expect(readAll(server, s)).to.equal("fresh bytes");
    });

    it("carries many streams one after the other, each with bytes that were left unread", () => {
      const { l, cs, ss } = connections(1);
      const c = cs[0]!;
      let s = ss[0]!;
      for (let i = 1; i <= 12; i++) {
        const data = pattern(i * 1700, i * 1000);
        expect(server.send(s, data)).to.equal(data.length);
        expect(client.send(c, data)).to.equal(data.length);
        net.settle();
        const n = client.recv(c, buffer.subarray(0, i * 300));
        expect(buffer.subarray(0, n).equals(data.subarray(0, n)), `stream ${i}`).to.equal(true);
        if (i % 3 === 0) expect(client.recv(c, buffer, MSG_PEEK)).to.be.above(0);
        ok(disconnect(client, c));
        ok(server.close(s));
        s = again(c, l);
      }
      for (const pool of ["chunk", "chunkLarge"]) expect(hosts[1].pools()[pool]!.used).to.equal(0);
    });

    it("tells of no urgent byte of its last stream", () => {
      const { cs, ss } = connections(1);
      ok(server.send(ss[0]!, Buffer.from("abc!"), MSG_OOB));
      net.settle();
      ok(disconnect(client, cs[0]!));
      expect(polled(client, cs[0]!) & POLLPRI).to.equal(0);
      expect(client.recv(cs[0]!, buffer, MSG_OOB)).to.equal(-EINVAL);
    });

    for (const [how, stop] of Object.entries<(l: number) => number>({
      "shutdown(SHUT_RDWR)": (l) => server.shutdown(l, SHUT_RDWR),
      "shutdown(SHUT_RD)": (l) => server.shutdown(l, SHUT_RD),
      "connect(AF_UNSPEC)": (l) => disconnect(server, l),
    })) {
      it(`resets the connections that wait and says so when ${how} ends a listener, which can listen again`, () => {
        const l = listener(server, 80);
        const epoll = ok(server.epoll_create1(0));
        ok(server.epoll_ctl(epoll, EPOLL_CTL_ADD, l, { events: EPOLLIN, data: 7 }));
        for (let round = 0; round < 3; round++) {
          const cs = [newSocket(client), newSocket(client), newSocket(client)];
          for (const c of cs) client.connect(c, { address, port: 80 });
          net.settle();
          expect(polled(server, l)).to.equal(POLLIN);
          const s = ok(server.accept4(l, null, SOCK_NONBLOCK));
          ok(stop(l));
          net.settle();
          expect(polled(server, l)).to.equal(POLLOUT | POLLHUP);
          const events: EpollEvent[] = [];
          expect(server.epoll_wait(epoll, events, 4, 0)).to.equal(1);
          expect(events[0]!.events).to.equal(EPOLLHUP);
          refused(server.accept(l), EINVAL);
          say(server, s, "accepted before");
          expect(readAll(client, cs[0]!)).to.equal("accepted before");
          for (const c of cs.slice(1)) refused(client.recv(c, buffer), ECONNRESET);
          for (const c of cs) ok(client.close(c));
          ok(server.close(s));
          ok(server.listen(l, 4));
          expect(server.epoll_wait(epoll, [], 4, 0)).to.equal(0);
          refused(server.accept(l), EAGAIN);
        }
        const c = newSocket(client);
        const s = again(c, l);
        say(client, c, "listens again");
        expect(readAll(server, s)).to.equal("listens again");
      });
    }

    it("goes on listening after shutdown(SHUT_WR)", () => {
      const l = listener(server, 80);
      const c = newSocket(client);
      client.connect(c, { address, port: 80 });
      net.settle();
      ok(server.shutdown(l, SHUT_WR));
      expect(polled(server, l)).to.equal(POLLIN);
      ok(server.accept(l));
    });

    it("connects after it has listened, and listens after it was connected", () => {
      const outside = listener(server, 80);
      const l = listener(client, 90);
      const x = newSocket(server);
      server.connect(x, { address: "10.0.0.2", port: 90 });
      net.settle();
      ok(client.shutdown(l, SHUT_RDWR));
      ok(server.close(x));
      const s = again(l, outside);
      say(server, s, "to one that listened");
      expect(readAll(client, l)).to.equal("to one that listened");
      say(client, l, "from one that listened");
      expect(readAll(server, s)).to.equal("from one that listened");
      say(server, s, "unread");
      ok(disconnect(client, l));
      ok(client.listen(l, 4));
      refused(client.accept(l), EAGAIN);
      expect(polled(client, l)).to.equal(0);
      const y = newSocket(server);
      server.connect(y, { address: "10.0.0.2", port: 90 });
      net.settle();
      const t = ok(client.accept4(l, null, SOCK_NONBLOCK));
      say(server, y, "to one that was connected");
      expect(readAll(client, t)).to.equal("to one that was connected");
    });

    it("tells an edge-triggered epoll of the disconnect, and of the next stream", () => {
      const { l, cs, ss } = connections(1);
      const c = cs[0]!;
      const epoll = ok(client.epoll_create1(0));
      ok(client.epoll_ctl(epoll, EPOLL_CTL_ADD, c, { events: EPOLLIN | EPOLLET, data: 1 }));
      say(server, ss[0]!, "unread");
      const events: EpollEvent[] = [];
      expect(client.epoll_wait(epoll, events, 4, 0)).to.equal(1);
      expect(events[0]!.events).to.equal(EPOLLIN);
      ok(disconnect(client, c));
      expect(client.epoll_wait(epoll, events, 4, 0)).to.equal(1);
      expect(events[0]!.events & (EPOLLIN | EPOLLOUT | EPOLLHUP)).to.equal(EPOLLHUP);
      const s = again(c, l);
      client.epoll_wait(epoll, events, 4, 0);
      expect(client.epoll_wait(epoll, events, 4, 0)).to.equal(0);
      say(server, s, "fresh bytes");
      expect(client.epoll_wait(epoll, events, 4, 0)).to.equal(1);
      expect(events[0]!.events).to.equal(EPOLLIN);
    });

    it("has nothing of an earlier socket with the same descriptor", () => {
      const { l, cs, ss } = connections(1);
      const c = cs[0]!;
      say(server, ss[0]!, "unread");
      expect(client.recv(c, buffer, MSG_PEEK)).to.equal(6);
      ok(client.close(c));
      for (let i = 0; i < 3; i++) {
        expect(newSocket(client)).to.equal(c);
        refused(client.recv(c, buffer), ENOTCONN);
        expect(polled(client, c)).to.equal(POLLOUT | POLLHUP);
        const s = again(c, l);
        say(server, s, "fresh bytes");
        expect(client.recv(c, buffer, MSG_PEEK)).to.equal(11);
        ok(client.close(c));
        const u = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
        expect(u).to.equal(c);
        refused(client.recv(u, buffer), EAGAIN);
        ok(client.bind(u, { port: 9 }));
        const v = ok(server.socket(AF_INET, SOCK_DGRAM));
        server.sendto(v, Buffer.from("datagram"), 0, { address: "10.0.0.2", port: 9 });
        net.settle();
        ok(client.close(u));
      }
    });

    it("keeps its datagrams when it forgets its peer (Linux)", () => {
      const u = ok(client.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
      const v = ok(server.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
      ok(server.bind(v, { port: 9 }));
      ok(client.bind(u, { port: 9 }));
      ok(client.connect(u, { address, port: 9 }));
      ok(server.sendto(v, Buffer.from("datagram"), 0, { address: "10.0.0.2", port: 9 }));
      net.settle();
      ok(disconnect(client, u));
      expect(polled(client, u)).to.equal(POLLIN | POLLOUT);
      expect(client.recv(u, buffer, MSG_PEEK | MSG_DONTWAIT)).to.equal(8);
      expect(readAll(client, u)).to.equal("datagram");
    });

    it("reads on after a reset, and is done with those bytes once it is disconnected", () => {
      const { l, cs, ss } = connections(1);
      const c = cs[0]!;
      say(server, ss[0]!, "unread");
      ok(server.setsockopt(ss[0]!, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 }));
      ok(server.close(ss[0]!));
      net.settle();
      expect(client.recv(c, buffer.subarray(0, 2))).to.equal(2);
      ok(disconnect(client, c));
      const s = again(c, l);
      say(server, s, "fresh bytes");
      expect(readAll(client, c)).to.equal("fresh bytes");
    });
  });
}

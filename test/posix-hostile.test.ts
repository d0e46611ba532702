// Every POSIX call, every argument, every member of what an argument points to, with values that cannot be: a call says
// so and does nothing, in both thread models alike, and the stack behind it lives on.
// Read first: host/posix/arguments.ts, the rule; support/hostile.ts, which makes the cases.

import { expect } from "chai";
import {
  AF_INET,
  EAFNOSUPPORT,
  EBADF,
  EDOM,
  EFAULT,
  EINVAL,
  SO_RCVTIMEO,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../host/index.ts";
import { attempt, CALLS, detached, isSound, mutants } from "./support/hostile.ts";
import { connected, freshPort, listener, ok, pattern, readAll, refused, settle } from "./support/sockets.ts";
import { twoHosts, type TwoHosts } from "./support/two-hosts.ts";

const SIZES = { connections: 256, sockets: 64, timeWaits: 256 };

/**
 * An answer as both thread models give it: descriptors have other numbers, and what is wrong with the way to a
 * destination, or with a flag of a send, the separate model may tell later.
 */
function shown(name: string, outcome: unknown): string {
  if (typeof outcome !== "number") return outcome instanceof Uint8Array ? "bytes" : String(outcome);
  if (name.startsWith("send")) return "a result or an errno";
  return /^(socket|accept|epoll_create)/.test(name) && outcome > 0 ? "a descriptor" : String(outcome);
}

/** Carries all cases out and closes everything: what each has answered. */
function answers(hosts: TwoHosts): string[] {
  const found: string[] = [];
  for (const call of CALLS) {
    for (const { what, run } of mutants(call, hosts)) {
      const outcome = attempt(run);
      expect(isSound(outcome), `${what} gave ${String(outcome)}`).to.equal(true);
      found.push(`${what}: ${shown(call.name, outcome)}`);
      settle(hosts);
    }
    for (const posix of [hosts.client, hosts.server]) for (let fd = 3; fd < 400; fd++) posix.close(fd);
    hosts.advance(1);
  }
  return found;
}

describe("arguments that cannot be", function () {
  this.timeout(60_000);
  const found: Record<string, string[]> = {};

  for (const threads of ["shared", "separate"] as const) {
    it(`end in an error that says so or an errno, and the stack lives on, threads: ${threads}`, async () => {
      const hosts = twoHosts(SIZES, 1, threads);
      found[threads] = answers(hosts);
      const pair = connected(hosts, SOCK_NONBLOCK);
      const sent = pattern(5000);
      expect(hosts.client.send(pair.client, sent)).to.equal(sent.length);
      settle(hosts);
      expect(readAll(hosts.server, pair.server)).to.equal(sent.toString("latin1"));
      hosts.client.close(pair.client);
      hosts.server.close(pair.server);
      hosts.server.close(pair.listener);
      hosts.advance(200_000);
      for (const pools of hosts.pools()) expect(pools).to.include({ tcb: 0, socket: 0, epitem: 0, timeWait: 0 });
      for (const count of Object.values(await hosts.network.audit())) expect(count).to.equal(0);
      await hosts.network.close();
    });
  }

  it("are answered alike in both thread models", () => {
    const { shared = [], separate = [] } = found;
    expect(shared.filter((answer, i) => answer !== separate[i])).to.deep.equal([]);
  });

  for (const threads of ["shared", "separate"] as const) {
    describe(`what C would pass has Linux's errno, threads: ${threads}`, () => {
      const hosts = twoHosts(SIZES, 1, threads);
      const { client, server } = hosts;
      let stream: number;
      let peer: number;

      before(() => ({ client: stream, server: peer } = connected(hosts, SOCK_NONBLOCK)));
      after(() => hosts.network.close());

      it("EBADF for descriptors that are none", () => {
        for (const fd of [-1, 0, 777, 2147483647, -2147483648]) {
          for (const call of CALLS) {
            const args = call.args({ stream: fd, datagrams: fd, listener: fd, epoll: fd, fresh: fd });
            if (args[0] !== fd || call.name.startsWith("epoll_create")) continue;
            const answer = (client[call.name] as (...args: unknown[]) => unknown)(...args);
            expect(answer, `${call.name}(${fd})`).to.equal(-EBADF);
          }
        }
      });

      it("EAFNOSUPPORT for addresses of another family", () => {
        const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
        refused(client.bind(fd, { family: 10, address: "::1", port: 1 }), EAFNOSUPPORT);
        refused(client.connect(fd, { family: 10, address: "::1", port: 1 }), EAFNOSUPPORT);
      });

      it("EINVAL for more bytes than recv_view() has, and none of them is lost", () => {
        ok(server.send(peer, Buffer.from("abc")));
        settle(hosts);
        for (const length of [4, 5, 2147483647, -1]) refused(client.recv_done(stream, length), EINVAL);
        expect(client.recv_done(stream, 1)).to.equal(2);
        expect(readAll(client, stream)).to.equal("bc");
        refused(client.recv_done(stream, 1), EINVAL);
      });

      it("EINVAL for counts of events below one, EFAULT for memory that was transferred", () => {
        const epfd = ok(client.epoll_create1(0));
        for (const count of [0, -1, -2147483648, 2 ** 30]) refused(client.epoll_wait(epfd, [], count, 0), EINVAL);
        refused(client.epoll_create(0), EINVAL);
        refused(client.send(stream, detached()), EFAULT);
        refused(client.recv(stream, detached()), EFAULT);
        refused(client.writev(stream, [Buffer.from("x"), detached()]), EFAULT);
        refused(client.setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, detached()), EFAULT);
      });

      it("EDOM for microseconds that are none, EINVAL for half a structure, none for a timeout that never ends", () => {
        for (const tv_usec of [-1, 1_000_000]) {
          refused(client.setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, { tv_sec: 1, tv_usec }), EDOM);
        }
        refused(client.setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(15)), EINVAL);
        ok(client.setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, { tv_sec: Number.MAX_SAFE_INTEGER, tv_usec: 0 }));
        const time = { tv_sec: -1, tv_usec: -1 };
        ok(client.getsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, time));
        expect(time).to.deep.equal({ tv_sec: 0, tv_usec: 0 });
      });

      it("a connect() that blocked and succeeded returns 0, not -0", () => {
        const port = freshPort();
        listener(server, port);
        const fd = ok(client.socket(AF_INET, SOCK_STREAM, 0));
        expect(Object.is(client.connect(fd, { address: hosts.serverAddress, port }), 0)).to.equal(true);
      });
    });
  }
});

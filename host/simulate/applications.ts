// The applications of a scenario: sockets opened in time, connections accepted, endpoints pumped when they can go on.
// Read first: endpoint.ts; epoll(7).

import {
  AF_INET,
  EAGAIN,
  ECONNABORTED,
  EINPROGRESS,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../../assembly/layout.ts";
import type { Host } from "../host.ts";
import { errnoName } from "../posix/constants.ts";
import { EpollEvent } from "../posix/events.ts";
import { Dice } from "./dice.ts";
import { Endpoint } from "./endpoint.ts";
import { SimulationFailure } from "./failure.ts";
import { setOptions } from "./options.ts";
import type { ConnectionPlan, Scenario } from "./scenario.ts";

/** One connection: its plan and its two ends, the client's first. */
interface Connection {
  plan: ConnectionPlan;
  ends: [Endpoint, Endpoint];
}

interface Listener {
  host: Host;
  fd: number;
  port: number;
  /** Not before this time does it accept again, microseconds; when it is over, it looks whether somebody waits. */
  acceptFrom: number;
  hasLooked: boolean;
}

/** An epoll instance and what it watches. */
interface Watcher {
  host: Host;
  epfd: number;
  /** Endpoints by descriptor, with the events asked for. */
  watched: Map<number, { endpoint: Endpoint; events: number }>;
}

const EVENTS_MAX = 64;
const events = Array.from({ length: EVENTS_MAX }, () => new EpollEvent());

export class Applications {
  readonly connections: Connection[];
  readonly #scenario: Scenario;
  readonly #hosts: readonly [Host, Host];
  readonly #endpoints: Endpoint[];
  readonly #listeners: Listener[] = [];
  readonly #watchers: Watcher[] = [];
  /** Connections not opened yet, by time. */
  readonly #unopened: Connection[];
  readonly #start: number;

  /** Opens the listeners. @param start when the time of the plans begins, microseconds */
  constructor(scenario: Scenario, hosts: readonly [Host, Host], start: number) {
    this.#scenario = scenario;
    this.#hosts = hosts;
    this.#start = start;
    this.connections = scenario.connections.map((plan, index) => ({ plan, ends: this.#endsOf(plan, index) }));
    this.#endpoints = this.connections.flatMap(({ ends }) => ends);
    this.#unopened = [...this.connections].sort((x, y) => x.plan.openMicros - y.plan.openMicros);
    if (scenario.drive !== "busy") {
      for (const host of hosts) {
        this.#watchers.push({ host, epfd: done("epoll_create1", host.posix.epoll_create1(0)), watched: new Map() });
      }
    }
    for (const { plan } of this.connections) this.#listen(plan);
  }

  /** True when every end that was ever opened is closed. */
  get isOver(): boolean {
    return this.connections.every(({ plan, ends: [client, server] }) => {
      if (!client.isClosed) return false;
      // Of a connection that was broken off early, the server may never hear.
      return server.isClosed || (plan.isFragile && server.fd < 0);
    });
  }

  /** Bytes that have arrived and were checked. */
  get bytes(): number {
    return this.#endpoints.reduce((sum, endpoint) => sum + endpoint.got, 0);
  }

  /** A number that changes whenever a connection gets on. */
  get progress(): number {
    return this.#endpoints.reduce(
      (sum, end) => sum + end.got + end.sent + Number(end.isEnded) + Number(end.isClosed),
      0,
    );
  }

  /** When an application wants to go on though nothing happens, microseconds. */
  nextDue(): number {
    const first = this.#unopened[0];
    let next = first === undefined ? Infinity : this.#start + first.plan.openMicros;
    for (const endpoint of this.#endpoints) if (endpoint.due < next) next = endpoint.due;
    for (const listener of this.#listeners) if (!listener.hasLooked) next = Math.min(next, listener.acceptFrom);
    return next;
  }

  /** Everything that can be done at `now`; returns how many calls got something done. */
  run(now: number): number {
    let calls = this.#open(now) + this.#accept(now);
    if (this.#watchers.length === 0) {
      for (const endpoint of this.#endpoints) calls += endpoint.pump(now);
      return calls;
    }
    for (const watcher of this.#watchers) calls += this.#watch(watcher, now);
    for (const endpoint of this.#endpoints) if (endpoint.due <= now) calls += endpoint.pump(now);
    for (const watcher of this.#watchers) this.#updateInterest(watcher, now);
    return calls;
  }

  /** Closes listeners and epoll instances. */
  close(): void {
    for (const { host, fd } of this.#listeners.splice(0)) host.posix.close(fd);
    for (const { host, epfd } of this.#watchers.splice(0)) host.posix.close(epfd);
    for (const endpoint of this.#endpoints) endpoint.due = Infinity;
  }

  #endsOf(plan: ConnectionPlan, index: number): [Endpoint, Endpoint] {
    const make = (end: 0 | 1): Endpoint => {
      const host = this.#hosts[end === 0 ? plan.client : 1 - plan.client] as Host;
      const name = `connection ${index}, ${end === 0 ? "client" : "server"} on ${host.name}`;
      return new Endpoint({
        name,
        posix: host.posix,
        plan: plan.ends[end],
        peer: plan.ends[1 - end] as ConnectionPlan["ends"][0],
        abort: plan.abort === undefined ? undefined : { ...plan.abort, mine: plan.abort.end === end },
        isFragile: plan.isFragile,
        untilEmpty: this.#scenario.drive === "edge",
        dice: new Dice(this.#scenario.seed, name),
      });
    };
    return [make(0), make(1)];
  }

  #listen(plan: ConnectionPlan): void {
    const host = this.#hosts[1 - plan.client] as Host;
    if (this.#listeners.some((one) => one.host === host && one.port === plan.serverPort)) return;
    const { posix } = host;
    const fd = done("socket", posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    done("bind", posix.bind(fd, { port: plan.serverPort }));
    setOptions(posix, fd, plan.ends[1].options);
    done("listen", posix.listen(fd, this.#scenario.crowd?.backlog ?? 8));
    this.#listeners.push({ host, fd, port: plan.serverPort, acceptFrom: 0, hasLooked: true });
  }

  #open(now: number): number {
    let calls = 0;
    for (let first = this.#unopened[0]; first !== undefined; first = this.#unopened[0]) {
      if (this.#start + first.plan.openMicros > now) break;
      this.#unopened.shift();
      this.#connect(first, now);
      calls++;
    }
    return calls;
  }

  #connect({ plan, ends }: Connection, now: number): void {
    const host = this.#hosts[plan.client];
    const { posix } = host;
    const fd = done("socket", posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
    setOptions(posix, fd, plan.ends[0].options);
    done("bind", posix.bind(fd, { port: plan.clientPort }));
    const peer = this.#hosts[1 - plan.client] as Host;
    const result = posix.connect(fd, { address: peer.address, port: plan.serverPort });
    if (result !== -EINPROGRESS) done("connect", result);
    this.#opened(host, ends[0], fd, now);
  }

  #accept(now: number): number {
    const pauseMicros = this.#scenario.crowd?.acceptEveryMicros ?? 0;
    let calls = 0;
    for (const listener of this.#listeners) {
      while (now >= listener.acceptFrom) {
        const from: { port?: number } = {};
        const fd = listener.host.posix.accept4(listener.fd, from, SOCK_NONBLOCK);
        listener.hasLooked = fd < 0;
        if (fd === -EAGAIN || fd === -ECONNABORTED) break;
        done("accept4", fd);
        calls++;
        this.#accepted(listener.host, fd, from.port, now);
        listener.acceptFrom = now + pauseMicros;
      }
    }
    return calls;
  }

  #accepted(host: Host, fd: number, port: number | undefined, now: number): void {
    const found = this.connections.find(
      ({ plan }) => plan.clientPort === port && this.#hosts[1 - plan.client] === host,
    );
    if (found !== undefined && found.ends[1].fd >= 0 && found.plan.isFragile) {
      // A late duplicate brought the cookie of a connection that is over: its ghost ends here.
      host.posix.close(fd);
      return;
    }
    if (found === undefined || found.ends[1].fd >= 0) {
      throw new SimulationFailure("error", `accept4() gave a connection from port ${port} that nobody opened`);
    }
    this.#opened(host, found.ends[1], fd, now);
  }

  #opened(host: Host, endpoint: Endpoint, fd: number, now: number): void {
    endpoint.open(fd, now);
    const watcher = this.#watchers.find((one) => one.host === host);
    if (watcher === undefined) return;
    const wanted = this.#eventsOf(endpoint, now);
    done("epoll_ctl", host.posix.epoll_ctl(watcher.epfd, EPOLL_CTL_ADD, fd, { events: wanted, data: { fd } }));
    watcher.watched.set(fd, { endpoint, events: wanted });
  }

  #eventsOf(endpoint: Endpoint, now: number): number {
    return this.#scenario.drive === "edge" ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET : endpoint.interest(now);
  }

  /** Pumps whom epoll names. */
  #watch({ host, epfd, watched }: Watcher, now: number): number {
    const count = done("epoll_wait", host.posix.epoll_wait(epfd, events, EVENTS_MAX, 0));
    let calls = 0;
    for (let i = 0; i < count; i++) {
      const fd = (events[i] as EpollEvent).data.fd;
      const entry = watched.get(fd);
      if (entry === undefined)
        throw new SimulationFailure("error", `epoll_wait() named descriptor ${fd}, which is closed`);
      calls += entry.endpoint.pump(now);
      // close() has taken it out of the epoll instance.
      if (entry.endpoint.isClosed) watched.delete(fd);
    }
    return calls;
  }

  #updateInterest({ host, epfd, watched }: Watcher, now: number): void {
    for (const [fd, entry] of watched) {
      if (entry.endpoint.isClosed) {
        watched.delete(fd);
        continue;
      }
      const wanted = this.#eventsOf(entry.endpoint, now);
      if (wanted === entry.events) continue;
      done("epoll_ctl", host.posix.epoll_ctl(epfd, EPOLL_CTL_MOD, fd, { events: wanted, data: { fd } }));
      entry.events = wanted;
    }
  }
}

/** The result of a call that must not fail. */
function done(call: string, result: number): number {
  if (result < 0) throw new SimulationFailure("error", `${call}() gave ${errnoName(result)}`);
  return result;
}

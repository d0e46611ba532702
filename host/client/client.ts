// A host whose stacks run in threads of their own, as any other thread sees it: its POSIX calls, and how to await
// readiness from an event loop.
// Read first: DESIGN.md section 4, the separate model.

import { EPOLLERR, EPOLLHUP, EPOLLIN } from "../../assembly/layout.ts";
import { parseDuration } from "../../veth/options.ts";
import { TurnClock } from "../clock.ts";
import { optionError } from "../errors.ts";
import { int, word } from "../posix/arguments.ts";
import { checkedPosix } from "../posix/checked.ts";
import { PosixContext } from "../posix/context.ts";
import { createMessage } from "../posix/message.ts";
import { createOptions } from "../posix/options.ts";
import type { Posix } from "../posix/posix.ts";
import type { Waiter } from "../posix/waiter.ts";
import { abortError } from "../threads/outcome.ts";
import { createClientCalls } from "./calls.ts";
import { createClientConnection } from "./connection.ts";
import { createDatagrams } from "./datagrams.ts";
import { Link } from "./link.ts";
import { type ClientListenOptions, ClientListener } from "./listener.ts";
import { createClientMultiplex } from "./multiplex.ts";
import type { ClientPlace } from "./place.ts";
import { createClientTransfer } from "./transfer.ts";
import type { Background } from "./waiting.ts";

/** How HostClient.ready() waits. */
export interface ReadyOptions {
  /** A duration ("2s", or microseconds) after which it resolves to 0. Default: never. */
  timeout?: number | string;
  signal?: AbortSignal;
}

/** One thread's access to a host. Descriptors are the host's: any thread may use any of them. */
export class HostClient {
  readonly name: string;
  /** The host's first IPv4 address. */
  readonly address: string;
  /** The POSIX calls, fit to be taken apart. Those that wait block this thread. */
  readonly posix: Posix;
  readonly #link: Link;
  readonly #release: () => void;

  /** @internal use attachHost(), or Host.posix */
  constructor(place: ClientPlace, background?: Background) {
    const link = new Link(place, background);
    this.#link = link;
    this.name = place.name;
    this.address = place.address;
    this.posix = createClientPosix(link, place);
    this.#release = () => link.seat.leave();
    if (leaving.size === 0) process.once("exit", leaveAll);
    leaving.add(this.#release);
  }

  /** Microseconds since the network was made: one time for all of its threads. */
  now(): number {
    return this.#link.now();
  }

  /**
   * Resolves when a descriptor (a socket's or an epoll's) is ready for one of `events` (EPOLL bits; EPOLLERR and
   * EPOLLHUP always count), without blocking the thread: to what it is ready for, to a negative errno, or to 0 when
   * `timeout` has passed. Keeps the process alive meanwhile. Rejected with ABORT_ERR when `signal` is aborted.
   */
  async ready(fd: number, events: number = EPOLLIN, { timeout, signal }: ReadyOptions = {}): Promise<number> {
    const link = this.#link;
    const wanted = word("events", events) | EPOLLERR | EPOLLHUP;
    int("fd", fd);
    const deadline = timeout === undefined ? Infinity : link.now() + parseDuration("timeout", timeout);
    const { share } = link.place;
    const look = (): number => {
      const found = link.core.shareEvents(share, fd);
      return found < 0 ? found : found & wanted;
    };
    const isReady = (): boolean => signal?.aborted === true || look() !== 0;
    const pollers = [link.pollersOf(fd)].filter((at) => at !== 0);
    const wake = (): void => link.wakePollers();
    signal?.addEventListener("abort", wake, { once: true });
    link.announce(pollers, 1);
    try {
      while (!isReady() && link.now() < deadline) await link.sleepAsync(isReady, deadline);
    } finally {
      link.announce(pollers, -1);
      signal?.removeEventListener("abort", wake);
    }
    if (signal?.aborted === true) throw abortError(signal.reason);
    return look();
  }

  /**
   * Listens on a port with every stack of the host: one listening socket that all of them serve.
   * @throws {OribiError} ERR_ORIBI_LISTEN when a stack refuses
   */
  listen(options: ClientListenOptions): ClientListener {
    return new ClientListener(this.#link, this.posix, options);
  }

  /** Ends this thread's access, not the host's descriptors. To be called when many threads come and go. */
  close(): void {
    leaving.delete(this.#release);
    if (leaving.size === 0) process.off("exit", leaveAll);
    this.#release();
  }
}

/** What gives the seats of this thread back when it ends by itself. */
const leaving = new Set<() => void>();

function leaveAll(): void {
  for (const release of leaving) release();
}

/**
 * Gives this thread access to a host whose stacks run in threads of their own.
 * @param place what Host.client() has made, as it was posted to this thread
 * @throws {OribiError} ERR_ORIBI_OPTION for anything else; ERR_ORIBI_SEATS when too many threads use the host
 */
export function attachHost(place: ClientPlace): HostClient {
  if (typeof place !== "object" || place === null || place.kind !== "oribi-host") {
    throw optionError("place", place, "what client() of a host with separate threads returns");
  }
  return new HostClient(place);
}

function createClientPosix(link: Link, place: ClientPlace): Posix {
  const ways: Parameters<typeof createClientCalls>[1] = {};
  const calls = createClientCalls(link, ways);
  const waiter: Waiter = {
    poll: () => link.stepped(),
    now: () => link.now(),
    turns: new TurnClock({ now: () => link.now() }),
    wait: () => true,
  };
  const context = new PosixContext(calls, link.seat.exchange, place.memory, waiter);
  const transfer = createClientTransfer(link, context);
  Object.assign(ways, { context, transfer, datagrams: createDatagrams(link, context) });
  return checkedPosix({
    ...createClientConnection(link, context),
    ...transfer,
    ...createMessage(context, transfer),
    ...createOptions(context),
    ...createClientMultiplex(link, context),
  });
}

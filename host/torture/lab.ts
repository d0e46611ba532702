// The network of a torture and its threads: two hosts with several stacks each, in either thread model; how a victim is
// ended, and how it comes back.
// Read first: run.ts, which decides nothing but follows the plan; board.ts.

import { Worker } from "node:worker_threads";
import {
  AF_INET,
  FLOW_SLOTS,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  STACK_FLOW_TABLE,
} from "../../assembly/layout.ts";
import type { Host } from "../host.ts";
import type { HostStack } from "../host-stack.ts";
import { createNetwork, type Network } from "../network.ts";
import type { Posix } from "../posix/posix.ts";
import * as at from "./board.ts";
import { Board } from "./board.ts";
import { abort } from "./end.ts";
import type { How, Plan, PlanOptions, Step, Victim } from "./plan.ts";
import { BACKLOG, COMMON_PORT, PORT, type Role } from "./role.ts";

const SHARED_THREAD = new URL("./shared-thread.js", import.meta.url);
const BUSINESS_THREAD = new URL("./business-thread.js", import.meta.url);
/**
 * A flood of SYNs after each kill is no attack: without cookies, whose connections a server may know nothing of when
 * the last ACK of their handshake is lost, every connection that stands for the client stands for the server, too.
 * Silent peers are asked after two seconds: one that was killed answers with a reset, once it runs again. That is said
 * here and not with TCP_KEEPIDLE, which needs memory that a socket may not get.
 */
const SYSCTLS = {
  ...{ tcp_fin_timeout: 2, tcp_syncookies: 0, tcp_max_syn_backlog: BACKLOG, somaxconn: BACKLOG },
  ...{ tcp_keepalive_time: 2, tcp_keepalive_intvl: 2, tcp_keepalive_probes: 100 },
};
/** A thread that hangs is found after so long: on a busy machine others may be without a core for seconds. */
const HANG = "5s";
/** A victim is to be dead after so long, milliseconds; a trap needs the stack to come to the trapped place. */
const DEATH_MILLIS = 30_000;
const TRAP_MILLIS = 1500;
const HANG_MILLIS = 10_000;
const ASK_MILLIS = 2;
/** Where the directory of pools lies in an arena (assembly/stack.ts); the first one is that of packets. */
const POOLS_AT = 256;
const COMMANDS: Partial<Record<How, number>> = {
  throw: at.COMMAND_THROW,
  exit: at.COMMAND_EXIT,
  hang: at.COMMAND_HANG,
};

/** What must not be. */
export class TortureFailure extends Error {
  override readonly name = "TortureFailure";
}

/** One business thread, or one application in the shared model. */
interface Talking {
  worker: Worker | undefined;
  /** Resolves when it is gone. */
  gone: Promise<unknown>;
  life: number;
}

/** The network under torture. */
export class Lab {
  readonly net: Network;
  readonly board: Board;
  readonly hosts: readonly [Host, Host];
  readonly #options: PlanOptions;
  readonly #bytesMax: number;
  readonly #talking = new Map<string, Talking>();

  constructor(options: PlanOptions, { settings }: Plan, debug: boolean) {
    this.#options = options;
    this.#bytesMax = settings.bytesMax;
    const { stacks, seed, model, threads, connections } = options;
    this.net = createNetwork({ seed, hangAfter: HANG, debug });
    this.board = Board.create(connections, model === "separate" ? threads : stacks);
    const bridge = this.net.bridge("lan");
    const { stack, share, link, ringSize } = settings;
    const host = (name: string, address: string): Host =>
      this.net.host(name, {
        ...{ bridge, address, stacks, stack, ringSize, threads: model, rules: 4096 },
        ...(model === "separate" ? { share } : {}),
        ...(link === undefined ? {} : { link }),
        sysctl: SYSCTLS,
      });
    try {
      this.hosts = [host("server", "10.0.0.1/24"), host("client", "10.0.0.2/24")];
    } catch (error) {
      void this.net.close();
      throw error;
    }
  }

  get isSeparate(): boolean {
    return this.#options.model === "separate";
  }

  /** Threads that talk, of each side. */
  get threads(): number {
    return this.isSeparate ? this.#options.threads : this.#options.stacks;
  }

  /** Starts all threads. */
  async start(): Promise<void> {
    for (const side of [at.SERVER, at.CLIENT]) {
      for (let i = 0; i < this.#options.stacks; i++) if (this.isSeparate) this.#open(side, i);
      for (let i = 0; i < this.threads; i++) this.talk(side, i);
    }
    await this.until("all threads to begin", () => this.board.get(at.READY) === this.threads * 2);
  }

  stackOf({ side, index }: Victim): HostStack {
    return (this.hosts[side] as Host).stacks[index] as HostStack;
  }

  /** Starts the thread of a place, the first one or another after it was ended. */
  talk(side: number, thread: number): void {
    const key = `${side}/${thread}`;
    const life = (this.#talking.get(key)?.life ?? -1) + 1;
    const { seed, stacks } = this.#options;
    const [server, client] = this.hosts;
    const { place } = this.board;
    const peer = side === at.SERVER ? client.address : server.address;
    const role: Role = {
      ...{ board: place, side, thread, life, seed, stacks, address: server.address, port: PORT },
      ...{ peer, commonPort: COMMON_PORT, bytesMax: this.#bytesMax, isSeparate: this.isSeparate },
    };
    const host = this.hosts[side] as Host;
    if (!this.isSeparate) {
      const run = this.net.spawn(host.stacks[thread] as HostStack, SHARED_THREAD, { args: role });
      this.#talking.set(key, { worker: undefined, gone: run.catch((error: unknown) => error), life });
      return;
    }
    const worker = new Worker(BUSINESS_THREAD, { workerData: { place: host.client(), role } });
    let error: unknown;
    worker.on("error", (reason) => (error = reason));
    const gone = new Promise((resolve) => worker.once("exit", (code) => resolve(error ?? code)));
    this.#talking.set(key, { worker, gone, life });
  }

  #talkingOf(side: number, thread: number): Talking {
    return this.#talking.get(`${side}/${thread}`) as Talking;
  }

  /** Opens what all threads of a side use on one stack, in the separate model. */
  #open(side: number, index: number): void {
    const { posix } = this.hosts[side] as Host;
    const { board } = this;
    if (side === at.SERVER) {
      const fd = this.#socketOn(posix, index, SOCK_STREAM);
      this.#must("setsockopt", posix.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
      this.#must("bind", posix.bind(fd, { port: PORT }));
      this.#must("listen", posix.listen(fd, BACKLOG));
      Atomics.store(board.words, board.listener(index), fd + 1);
    }
    if (board.get(board.common(side)) !== 0) return;
    const fd = this.#socketOn(posix, index, SOCK_DGRAM);
    this.#must("bind", posix.bind(fd, { port: COMMON_PORT }));
    Atomics.store(board.words, board.common(side), fd + 1);
  }

  /** A socket of a certain stack: a thread's sockets go round all of them. */
  #socketOn(posix: Posix, index: number, type: number): number {
    const others: number[] = [];
    let fd: number;
    while ((fd = this.#must("socket", posix.socket(AF_INET, type | SOCK_NONBLOCK))) % this.#options.stacks !== index) {
      others.push(fd);
    }
    for (const other of others) posix.close(other);
    this.#must("setsockopt", posix.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    return fd;
  }

  #must(call: string, result: number): number {
    if (result < 0) throw new TortureFailure(`${call}() of the torture itself has failed with ${result}`);
    return result;
  }

  /** Has a thread of the server end its listener, and have it listen again, in its next turn. */
  relisten({ thread, way }: NonNullable<Step["relisten"]>): void {
    const { board } = this;
    const word = board.command(at.SERVER, thread);
    Atomics.compareExchange(board.words, word, 0, at.COMMAND_RELISTEN + way);
  }

  /** Ends a victim; resolves when it is dead. */
  async end(victim: Victim): Promise<void> {
    this.board.add(at.KILLS);
    if (victim.what === "thread") await this.#endThread(victim);
    else await this.#endStack(victim);
    // What began in between may have met it just before it was dead.
    this.board.add(at.KILLS);
  }

  async #endThread({ side, index, how }: Victim): Promise<void> {
    const { worker, gone } = this.#talkingOf(side, index);
    const command = COMMANDS[how];
    if (command === undefined) await worker?.terminate();
    else Atomics.store(this.board.words, this.board.command(side, index), command);
    await this.#within(`${how} to end thread ${index} of side ${side}`, gone);
  }

  /** Does its application outlive the stack, or the stack its application? */
  #keepsStack({ how }: Victim): boolean {
    return how === "throw" || how === "exit";
  }

  async #endStack(victim: Victim): Promise<void> {
    const { side, index, how } = victim;
    const { board } = this;
    const stack = this.stackOf(victim);
    const command = this.isSeparate ? undefined : COMMANDS[how];
    if (!this.#keepsStack(victim)) {
      board.add(at.DOWN);
      this.#forget(victim);
    }
    if (how === "trap") this.#poison(stack);
    else if (command !== undefined) Atomics.store(board.words, board.command(side, index), command);
    else if (how === "hang") this.#entangle(stack);
    else this.net.kill(stack);
    if (this.#keepsStack(victim)) return void (await this.#within(describeVictim(victim), this.#ended(victim)));
    const isDead = (): boolean => this.net.stackEntry(stack).state !== "running";
    const begun = performance.now();
    await this.until(describeVictim(victim), () => {
      // Nothing need come to the poisoned place.
      const isLate = performance.now() - begun > (how === "hang" ? HANG_MILLIS : TRAP_MILLIS);
      if ((how === "trap" || how === "hang") && isLate) this.net.kill(stack);
      return isDead();
    });
    if (!this.isSeparate) await this.#within(describeVictim(victim), this.#ended(victim));
    // Descriptors that came between are of its last life, too.
    this.#forget(victim);
  }

  #ended({ side, index }: Victim): Promise<unknown> {
    return this.#talkingOf(side, index).gone;
  }

  /** What was the stack's is not there any more. */
  #forget({ side, index }: Victim): void {
    const { board } = this;
    board.add(board.incarnation(side, index));
    if (side === at.SERVER) Atomics.store(board.words, board.listener(index), 0);
    const common = board.common(side);
    const fd = board.get(common) - 1;
    if (fd >= 0 && fd % this.#options.stacks === index) Atomics.store(board.words, common, 0);
    if (!this.isSeparate) Atomics.store(board.words, board.epoll(side, index), 0);
  }

  /** The pool of its packets says that an element is free which is none: the next who wants one traps. */
  #poison({ stack }: HostStack): void {
    new Uint32Array(this.net.memory.buffer, stack.place.base + POOLS_AT, 1)[0] = stack.place.base;
  }

  /** The table of its flows has no free slot: who next looks for a flow that is not in it looks for ever. */
  #entangle({ stack }: HostStack): void {
    const { buffer } = this.net.memory;
    const [table] = new Uint32Array(buffer, stack.place.base + STACK_FLOW_TABLE, 1) as unknown as [number];
    const [mask] = new Uint32Array(buffer, table, 1) as unknown as [number];
    new Uint32Array(buffer, table + FLOW_SLOTS, (mask + 1) * 2).fill(1);
  }

  /** Brings a victim back. */
  async revive(victim: Victim): Promise<void> {
    const { side, index, what } = victim;
    if (what === "thread") return this.talk(side, index);
    if (this.#keepsStack(victim)) {
      // It takes the listener of its predecessor over: that must not be ended in between.
      const begun = this.board.get(at.READY);
      this.talk(side, index);
      return this.until("an application to begin", () => this.board.get(at.READY) > begun);
    }
    if (this.isSeparate) await this.#quiesce();
    await this.net.restart(this.stackOf(victim));
    if (this.isSeparate) this.#open(side, index);
    else this.talk(side, index);
    const { board } = this;
    if (side === at.SERVER) await this.#listening(victim);
    board.add(at.DOWN, -1);
  }

  /** The server's stack listens again; its thread may not end before. */
  async #listening({ side, index }: Victim): Promise<void> {
    let end: { reason: unknown } | undefined;
    if (!this.isSeparate) void this.#talkingOf(side, index).gone.then((reason) => (end = { reason }));
    await this.until("a listener", () => {
      if (end !== undefined) throw new TortureFailure(`the thread of stack ${index} has ended: ${String(end.reason)}`);
      return this.board.get(this.board.listener(index)) !== 0;
    });
  }

  /** Every thread has looked at the lives of the stacks: none still means an old descriptor. */
  async #quiesce(): Promise<void> {
    const { board } = this;
    const ticks = [at.SERVER, at.CLIENT].flatMap((side) =>
      Array.from({ length: this.threads }, (_, thread) => ({ side, thread, word: board.tick(side, thread) })),
    );
    const before = ticks.map(({ word }) => board.get(word));
    const dead = new Set<Talking>();
    for (const { side, thread } of ticks) {
      const talking = this.#talkingOf(side, thread);
      void talking.gone.then(() => dead.add(talking));
    }
    const late = (): string[] =>
      ticks
        .filter(({ word }, i) => board.get(word) - (before[i] as number) < 2)
        .filter(({ side, thread }) => !dead.has(this.#talkingOf(side, thread)))
        .map(({ side, thread }) => `thread ${thread} of side ${side}`);
    await this.until(
      () => `every thread takes two turns, but ${late().join(", ")}`,
      () => late().length === 0,
    );
  }

  /** Ends the threads in order. */
  async stop(): Promise<void> {
    Atomics.store(this.board.words, at.PHASE, at.PHASE_END);
    const all = Promise.all([...this.#talking.values()].map(({ gone }) => gone));
    const ends = (await this.#within("all threads to end", all)) as unknown[];
    for (const end of ends) if (end instanceof Error) throw end;
  }

  /** Closes what is open and nobody's: what killed threads were just being given. Returns how many there were. */
  closeOrphans(): number {
    let orphans = 0;
    const { board } = this;
    const words = [at.SERVER, at.CLIENT].map((side) => [
      board.common(side),
      ...this.hosts[0].stacks.map((_, index) => (side === at.SERVER ? board.listener(index) : board.common(side))),
    ]);
    for (const [side, host] of this.hosts.entries()) {
      const known = new Set((words[side] as number[]).map((word) => board.get(word) - 1));
      for (const fd of this.#openOf(host)) {
        if (!known.has(fd)) orphans++;
        abort(host.posix, fd);
      }
    }
    return orphans;
  }

  #openOf(host: Host): number[] {
    return host.keeper?.openDescriptors() ?? [];
  }

  /** Ends whatever still runs. */
  async close(): Promise<void> {
    const workers = [...this.#talking.values()].flatMap(({ worker }) => worker ?? []);
    await Promise.all(workers.map((worker) => worker.terminate()));
    await this.net.close();
  }

  /** Waits for a condition. @throws {TortureFailure} when it takes too long */
  async until(what: string | (() => string), isDone: () => boolean, millis = DEATH_MILLIS): Promise<void> {
    const end = performance.now() + millis;
    while (!isDone()) {
      if (performance.now() > end) {
        const text = typeof what === "string" ? what : what();
        throw new TortureFailure(`waited for ${millis} ms in vain: ${text}`);
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_MILLIS));
    }
  }

  async #within<T>(what: string, promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const text = `waited for ${DEATH_MILLIS} ms in vain: ${what}`;
      timer = setTimeout(() => reject(new TortureFailure(text)), DEATH_MILLIS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }
}

function describeVictim({ what, side, index, how }: Victim): string {
  return `the ${how} of ${side === at.SERVER ? "server" : "client"} ${what} ${index}`;
}

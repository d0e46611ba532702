// One end of an explored connection: does the steps of its world, checks what it reads. Its state is a few numbers,
// so that a fork of the world can take them along.
// Read first: scenario.ts (Step); host/simulate/endpoint.ts, which does more and cannot be forked.

import {
  AF_INET,
  EAGAIN,
  EINPROGRESS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLOUT,
  SHUT_WR,
  SO_ERROR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../assembly/layout.ts";
import type { Host } from "../host.ts";
import { errnoName } from "../posix/constants.ts";
import { SimulationFailure } from "../simulate/failure.ts";
import { lingerZero, setOptions } from "../simulate/options.ts";
import { firstDifference, streamBytes } from "../simulate/pattern.ts";
import type { Step, World } from "./scenario.ts";

/** Where an end is. */
export interface EndContext {
  world: World;
  /** 0: host a. */
  side: 0 | 1;
  host: Host;
  peer: Host;
  /** Its port, and the other end's. */
  port: number;
  peerPort: number;
  /** When the world began, microseconds. */
  start: number;
}

/** Numbers that save() writes. */
export const END_WORDS = 5;
/** Streams of the two sides begin so far apart in the pattern. */
const OFFSETS = [1000, 20_000] as const;

const buffer = Buffer.allocUnsafe(4096);

export class End {
  readonly #context: EndContext;
  readonly #steps: readonly Step[];
  /** Bytes that the other end sends. */
  readonly #expected: number;
  readonly #mayFail: readonly number[];
  #fd = -1;
  #at = 0;
  #sent = 0;
  #got = 0;
  /** Bytes that the step at hand has moved. */
  #part = 0;
  /** The listening socket that it accepts from. */
  listener = -1;

  constructor(context: EndContext) {
    const { world, side } = context;
    this.#context = context;
    this.#steps = world.ends[side];
    this.#mayFail = world.mayFail ?? [];
    this.#expected = world.ends[1 - side]!.reduce((sum, [step, n = 0]) => sum + (step === "send" ? n : 0), 0);
  }

  /** Has it done all its steps? */
  get isDone(): boolean {
    return this.#at === this.#steps.length;
  }

  /** Copies its state to `words` from `at` on. */
  save(words: Int32Array, at: number): void {
    words[at] = this.#fd;
    words[at + 1] = this.#at;
    words[at + 2] = this.#sent;
    words[at + 3] = this.#got;
    words[at + 4] = this.#part;
  }

  load(words: Int32Array, at: number): void {
    this.#fd = words[at] as number;
    this.#at = words[at + 1] as number;
    this.#sent = words[at + 2] as number;
    this.#got = words[at + 3] as number;
    this.#part = words[at + 4] as number;
  }

  /** When it wants to go on though nothing happens, microseconds. */
  nextDue(): number {
    const step = this.#steps[this.#at];
    return step !== undefined && step[0] === "until" ? this.#context.start + step[1] : Infinity;
  }

  /** Does what can be done at `now`; returns how many steps got on. */
  run(now: number): number {
    let calls = 0;
    for (let step = this.#steps[this.#at]; step !== undefined; step = this.#steps[this.#at]) {
      if (!this.#do(step, now)) break;
      calls++;
    }
    return calls;
  }

  /** Waits no longer for a connection that has failed before it came; false when it waits for something else. */
  giveUp(): boolean {
    if (this.#mayFail.length === 0 || this.#steps[this.#at]?.[0] !== "accept") return false;
    this.#at = this.#steps.length;
    return true;
  }

  /** How far it has come, for violations. */
  progress(): string {
    const step = this.#steps[this.#at]?.[0];
    const where = step === undefined ? "done" : `at "${step}"`;
    return `${this.#context.host.name} ${where}, sent ${this.#sent}, got ${this.#got} of ${this.#expected}`;
  }

  /** Does a step, or a part of it; false when it has to wait. */
  #do(step: Step, now: number): boolean {
    const { posix } = this.#context.host;
    switch (step[0]) {
      case "connect":
        return this.#connect();
      case "accept":
        this.#fd = posix.accept4(this.listener, null, SOCK_NONBLOCK);
        return this.#fd !== -EAGAIN && this.#next("accept4", this.#fd);
      case "send":
        return this.#send(step[1]);
      case "receive":
        return this.#receive(step[1]);
      case "end":
        return this.#receive(Infinity);
      case "until":
        return now >= this.#context.start + step[1] && this.#next("until", 0);
      case "shutdown":
        return this.#next("shutdown", posix.shutdown(this.#fd, SHUT_WR));
      case "reset":
        lingerZero(posix, this.#fd);
        return this.#next("close", posix.close(this.#fd));
      case "close":
        return this.#next("close", posix.close(this.#fd));
    }
  }

  #connect(): boolean {
    const { world, host, peer, port, peerPort } = this.#context;
    const { posix } = host;
    if (this.#fd < 0) {
      this.#fd = posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
      setOptions(posix, this.#fd, world.options ?? {});
      posix.bind(this.#fd, { port });
      const result = posix.connect(this.#fd, { address: peer.address, port: peerPort });
      return result !== -EINPROGRESS && this.#next("connect", result);
    }
    if ((host.stack.core.pollEvents(this.#fd) & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === 0) return false;
    const error = { value: 0 };
    posix.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, error);
    return this.#next("connect", -error.value);
  }

  #send(bytes: number): boolean {
    const { host, side } = this.#context;
    const end = this.#sent + bytes - this.#part;
    const taken = host.posix.send(this.#fd, streamBytes(OFFSETS[side], this.#sent, end));
    if (taken === -EAGAIN) return false;
    if (taken < 0) return this.#next("send", taken);
    this.#sent += taken;
    this.#part += taken;
    return this.#part < bytes || this.#next("send", 0);
  }

  /** Reads `bytes` bytes, or to the end of the stream. */
  #receive(bytes: number): boolean {
    const target = bytes - this.#part < buffer.length ? buffer.subarray(0, bytes - this.#part) : buffer;
    const received = this.#context.host.posix.recv(this.#fd, target);
    if (received === -EAGAIN) return false;
    if (received < 0) return this.#next("recv", received);
    if (received === 0) {
      const isEarly = this.#mayFail.length === 0 && this.#got !== this.#expected;
      if (isEarly || bytes !== Infinity) this.#fail("data", "read the end of the stream too early");
      return this.#next("recv", 0);
    }
    this.#check(target, received);
    this.#got += received;
    this.#part += received;
    return this.#part < bytes || this.#next("recv", 0);
  }

  #check(received: Buffer, length: number): void {
    if (this.#got + length > this.#expected) this.#fail("data", `got ${length} bytes more, which nobody sent`);
    const wrong = firstDifference(OFFSETS[1 - this.#context.side] as number, this.#got, received, length);
    if (wrong >= 0) this.#fail("data", `got a wrong byte at place ${wrong}`);
  }

  /** The step's call is over: goes on to the next one, or ends with an error that may be. */
  #next(call: string, result: number): boolean {
    this.#part = 0;
    this.#at++;
    if (result >= 0) return true;
    if (!this.#mayFail.includes(-result)) this.#fail("error", `${call}() gave ${errnoName(result)}`);
    this.#context.host.posix.close(this.#fd);
    this.#at = this.#steps.length;
    return true;
  }

  #fail(kind: "data" | "error", what: string): never {
    throw new SimulationFailure(kind, `${this.progress()}: ${what}`);
  }
}

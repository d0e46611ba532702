// One end of a connection as an application: writes its stream, checks what it reads, closes as its plan says.
// Read first: scenario.ts (EndPlan); send(2), recv(2), shutdown(2).

import {
  EAGAIN,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  FIONREAD,
  IPPROTO_TCP,
  MSG_MORE,
  MSG_PEEK,
  SHUT_WR,
  TCP_CORK,
} from "../../assembly/layout.ts";
import { errnoName } from "../posix/constants.ts";
import type { Posix } from "../posix/posix.ts";
import type { Dice } from "./dice.ts";
import { SimulationFailure } from "./failure.ts";
import { lingerZero } from "./options.ts";
import { firstDifference, STREAM_BYTES_MAX, streamBytes } from "./pattern.ts";
import type { AbortPlan, EndPlan } from "./scenario.ts";

/** Calls of one kind in a row, before the network gets its turn; an edge is followed to its end instead. */
const CALLS_IN_A_ROW = 4;
/** An end that waits for unread bytes to close on does so for this long, microseconds. */
const UNREAD_MICROS = 5_000_000;

const buffer = Buffer.allocUnsafe(STREAM_BYTES_MAX);

/** What an endpoint is part of. */
export interface EndpointContext {
  /** "a 0 client", for failures. */
  name: string;
  posix: Posix;
  plan: EndPlan;
  /** What the other end sends. */
  peer: EndPlan;
  /** How the connection is broken off, if it is; `mine` when this end does it. */
  abort: (AbortPlan & { mine: boolean }) | undefined;
  /** The connection may end before everything has arrived. */
  isFragile: boolean;
  /** Calls go on until EAGAIN: edge-triggered notification wants it. */
  untilEmpty: boolean;
  dice: Dice;
}

export class Endpoint {
  readonly name: string;
  /** Descriptor, -1 before it is open. */
  fd = -1;
  sent = 0;
  got = 0;
  /** The other end has ended its direction. */
  isEnded = false;
  isClosed = false;
  /** When it wants to be pumped though nothing happens, microseconds. */
  due = Infinity;
  readonly #context: EndpointContext;
  #isConnected = false;
  #isShut = false;
  #readFrom = 0;
  #writeFrom = 0;
  #hasPausedReading = false;
  #abortAt = Infinity;
  #unreadUntil = Infinity;

  constructor(context: EndpointContext) {
    this.#context = context;
    this.name = context.name;
  }

  /** The socket is there. */
  open(fd: number, now: number): void {
    this.fd = fd;
    const { abort, plan } = this.#context;
    if (abort?.mine === true) this.#abortAt = now + abort.afterMicros;
    if (plan.readPauseAt === 0) this.#pauseReading(now);
    if (plan.writePauseAt === 0) this.#writeFrom = now + plan.writePauseMicros;
    this.#schedule(now);
  }

  /** Does what can be done now; returns how many calls got something done. */
  pump(now: number): number {
    if (this.fd < 0 || this.isClosed) return 0;
    if (this.#abortIsDue(now)) return this.#breakOff(now);
    let calls = this.#write(now);
    if (!this.isClosed) calls += this.#read(now);
    if (!this.isClosed) calls += this.#finish();
    this.#schedule(now);
    return calls;
  }

  /** What a level-triggered epoll should tell it. */
  interest(now: number): number {
    if (this.isClosed) return 0;
    const reads = !this.isEnded && now >= this.#readFrom;
    const writes = !this.#isConnected || (this.#hasMore() && now >= this.#writeFrom);
    return (reads ? EPOLLIN | EPOLLRDHUP : 0) | (writes ? EPOLLOUT : 0);
  }

  /** How far it has come, for failures. */
  progress(): string {
    const { plan, peer } = this.#context;
    const marks = [
      this.fd < 0 && "not open",
      this.isEnded && "end read",
      this.#isShut && "shut",
      this.isClosed && "closed",
    ];
    return [`${this.name}: sent ${this.sent}/${plan.bytes}, got ${this.got}/${peer.bytes}`, ...marks]
      .filter((part) => part !== false)
      .join(", ");
  }

  #hasMore(): boolean {
    return !this.#isShut && this.sent < this.#context.plan.bytes;
  }

  #write(now: number): number {
    if (!this.#hasMore() || now < this.#writeFrom) return 0;
    const { plan, posix, untilEmpty, dice } = this.#context;
    let calls = 0;
    while (this.sent < plan.bytes && (untilEmpty || calls < CALLS_IN_A_ROW)) {
      let end = Math.min(this.sent + plan.writeBytes, plan.bytes);
      if (this.sent < plan.writePauseAt && end > plan.writePauseAt) end = plan.writePauseAt;
      const flags = plan.more > 0 && end < plan.bytes && dice.chance(plan.more) ? MSG_MORE : 0;
      const taken = posix.send(this.fd, streamBytes(plan.offset, this.sent, end), flags);
      if (taken === -EAGAIN) break;
      if (taken < 0) return calls + this.#broken("send", taken);
      this.sent += taken;
      calls++;
      if (this.sent === plan.writePauseAt) {
        this.#writeFrom = now + plan.writePauseMicros;
        break;
      }
    }
    if (this.sent === plan.bytes && plan.options["TCP_CORK"] === 1) posix.setsockopt(this.fd, IPPROTO_TCP, TCP_CORK, 0);
    return calls;
  }

  #read(now: number): number {
    if (this.isEnded || now < this.#readFrom || this.#unreadUntil !== Infinity) return 0;
    const { plan, posix, untilEmpty, dice } = this.#context;
    let calls = 0;
    while (untilEmpty || calls < CALLS_IN_A_ROW) {
      let most = plan.readBytes === 0 ? STREAM_BYTES_MAX : plan.readBytes;
      if (!this.#hasPausedReading && this.got + most > plan.readPauseAt)
        most = Math.max(1, plan.readPauseAt - this.got);
      const target = most === STREAM_BYTES_MAX ? buffer : buffer.subarray(0, most);
      if (plan.peek > 0 && dice.chance(plan.peek)) {
        const seen = posix.recv(this.fd, target, MSG_PEEK);
        if (seen > 0) this.#check(target, seen);
      }
      const received = posix.recv(this.fd, target);
      if (received === -EAGAIN) break;
      if (received < 0) return calls + this.#broken("recv", received);
      calls++;
      if (received === 0) {
        this.#endOfStream();
        break;
      }
      this.#check(target, received);
      this.got += received;
      if (!this.#hasPausedReading && this.got >= plan.readPauseAt) {
        this.#pauseReading(now);
        break;
      }
      if (plan.readEveryMicros > 0) {
        this.#readFrom = now + plan.readEveryMicros;
        break;
      }
    }
    return calls;
  }

  #pauseReading(now: number): void {
    this.#hasPausedReading = true;
    this.#readFrom = now + this.#context.plan.readPauseMicros;
  }

  /** Every byte must be the one of its place, and none may be too many. */
  #check(received: Buffer, length: number): void {
    const { peer } = this.#context;
    if (this.got + length > peer.bytes) {
      throw new SimulationFailure("data", `${this.name} got ${this.got + length} bytes of ${peer.bytes}`);
    }
    const wrong = firstDifference(peer.offset, this.got, received, length);
    if (wrong >= 0)
      throw new SimulationFailure("data", `${this.name} got a wrong byte at place ${wrong} of ${peer.bytes}`);
  }

  #endOfStream(): void {
    const { peer, isFragile } = this.#context;
    this.isEnded = true;
    if (!isFragile && this.got !== peer.bytes) {
      throw new SimulationFailure("data", `${this.name} read the end after ${this.got} of ${peer.bytes} bytes`);
    }
  }

  /** Closes what is done, in the order of the plan. */
  #finish(): number {
    const { plan, peer, posix, isFragile } = this.#context;
    let calls = 0;
    if (!this.#isConnected && posix.getpeername(this.fd, {}) < 0) return 0;
    this.#isConnected = true;
    if (this.sent < plan.bytes && !(isFragile && this.isEnded)) return 0;
    if (!this.#isShut && (plan.order === "first" || this.isEnded)) {
      if (plan.ending === "close") return this.got === peer.bytes || this.isEnded ? this.#close() : 0;
      const result = posix.shutdown(this.fd, SHUT_WR);
      if (result === -EAGAIN) return 0;
      this.#isShut = true;
      calls++;
      if (result < 0) return calls + this.#broken("shutdown", result);
    }
    return this.#isShut && this.isEnded ? calls + this.#close() : calls;
  }

  #close(): number {
    const result = this.#context.posix.close(this.fd);
    this.isClosed = true;
    this.due = Infinity;
    if (result < 0) throw new SimulationFailure("error", `${this.name}: close() gave ${errnoName(result)}`);
    return 1;
  }

  /** A call failed: that is the end of a fragile connection, and wrong on any other. */
  #broken(call: string, result: number): number {
    if (this.#context.isFragile) return this.#close();
    throw new SimulationFailure("error", `${this.name}: ${call}() gave ${errnoName(result)}`);
  }

  #abortIsDue(now: number): boolean {
    const { abort } = this.#context;
    if (abort?.mine !== true) return false;
    return now >= this.#abortAt || this.sent + this.got >= abort.afterBytes;
  }

  /** Ends the connection as no application should. */
  #breakOff(now: number): number {
    const { abort, posix } = this.#context;
    if (abort?.how === "unread" && posix.ioctl(this.fd, FIONREAD) === 0) {
      if (this.#unreadUntil === Infinity) this.#unreadUntil = now + UNREAD_MICROS;
      this.due = this.#unreadUntil;
      if (now < this.#unreadUntil) return 0;
    }
    if (abort?.how === "reset") lingerZero(posix, this.fd);
    return this.#close();
  }

  #schedule(now: number): void {
    if (this.isClosed) return;
    let due = this.#abortAt;
    if (!this.isEnded && this.#readFrom > now) due = Math.min(due, this.#readFrom);
    if (this.#hasMore() && this.#writeFrom > now) due = Math.min(due, this.#writeFrom);
    this.due = due;
  }
}

// What goes on all through a soak: a connection that asks and answers, connections that say nothing for hours, and
// datagrams of all sizes there and back. Each checks every byte that comes.
// Read first: soak.ts.

import { AF_INET, EAGAIN, EINPROGRESS, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } from "../../assembly/layout.ts";
import type { Host } from "../host.ts";
import type { Network } from "../network.ts";
import { errnoName } from "../posix/constants.ts";
import type { Dice } from "./dice.ts";
import { SimulationFailure } from "./failure.ts";
import { setOptions } from "./options.ts";
import { firstDifference, OFFSET_MAX, streamBytes } from "./pattern.ts";

/** Something that lives beside the network: it is run after every step, and at the times that it names. */
export interface Actor {
  /** Does what can be done at `now`; returns how much got done. */
  run(now: number): number;
  /** When it wants to be run though nothing happens, microseconds. */
  nextDue(): number;
}

/** An actor that can be told to keep still. */
export interface SteadyActor extends Actor {
  /** What it has finished: exchanges. */
  done: number;
  /** Begins nothing new while true. */
  isPaused: boolean;
}

const buffer = Buffer.allocUnsafe(65_536);

/** A connection between two hosts, both descriptors not blocking. */
export interface Pair {
  hosts: readonly [Host, Host];
  fds: readonly [number, number];
}

/** Connects `hosts[0]` to `hosts[1]` over wires that do no harm. @throws {SimulationFailure} */
export function connectPair(
  network: Network,
  hosts: readonly [Host, Host],
  port: number,
  options: Record<string, number>,
): Pair {
  const [client, server] = hosts;
  const listener = done("socket", server.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
  done("bind", server.posix.bind(listener, { port }));
  setOptions(server.posix, listener, options);
  done("listen", server.posix.listen(listener, 1));
  const fd = done("socket", client.posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
  setOptions(client.posix, fd, options);
  const started = client.posix.connect(fd, { address: server.address, port });
  if (started !== -EINPROGRESS) done("connect", started);
  let accepted = -EAGAIN;
  const isThere = (): boolean => (accepted = server.posix.accept4(listener, null, SOCK_NONBLOCK)) !== -EAGAIN;
  network.runUntil(isThere, { timeout: "10s" });
  done("accept4", accepted);
  server.posix.close(listener);
  return { hosts, fds: [fd, accepted] };
}

/** A client that asks now and then, and a server that sends back what it got. */
export class Echo implements SteadyActor {
  done = 0;
  isPaused = false;
  readonly #pair: Pair;
  readonly #dice: Dice;
  readonly #name: string;
  /** Bounds of the time between two questions, microseconds, and of their bytes. */
  readonly #pause: readonly [number, number];
  readonly #bytes: readonly [number, number];
  #offset = 0;
  #asked = 0;
  #sent = 0;
  #answered = 0;
  /** What the server has not sent back yet. */
  #held: Buffer[] = [];
  #due: number;

  constructor(
    name: string,
    pair: Pair,
    dice: Dice,
    now: number,
    { pause, bytes }: { pause: readonly [number, number]; bytes: readonly [number, number] },
  ) {
    this.#name = name;
    this.#pair = pair;
    this.#dice = dice;
    this.#pause = pause;
    this.#bytes = bytes;
    this.#due = now + dice.log(...pause);
  }

  nextDue(): number {
    return this.isPaused || this.#asked > 0 ? Infinity : this.#due;
  }

  run(now: number): number {
    let work = this.#serve();
    if (this.#asked === 0 && !this.isPaused && now >= this.#due) this.#ask();
    if (this.#asked > 0) work += this.#continue(now);
    return work;
  }

  #ask(): void {
    this.#asked = this.#dice.log(...this.#bytes);
    this.#offset = this.#dice.whole(0, OFFSET_MAX - 1);
    this.#sent = 0;
    this.#answered = 0;
  }

  #continue(now: number): number {
    const { posix } = this.#pair.hosts[0];
    const fd = this.#pair.fds[0];
    let work = 0;
    if (this.#sent < this.#asked) {
      work += this.#moved("send", posix.send(fd, streamBytes(this.#offset, this.#sent, this.#asked)));
      this.#sent += work;
    }
    const got = this.#moved("recv", posix.recv(fd, buffer));
    if (got > 0 && firstDifference(this.#offset, this.#answered, buffer, got) >= 0) {
      throw new SimulationFailure("data", `${this.#name}: the answer is not the question`);
    }
    this.#answered += got;
    if (this.#answered === this.#asked) {
      this.done++;
      this.#asked = 0;
      this.#due = now + this.#dice.log(...this.#pause);
    }
    return work + got;
  }

  #serve(): number {
    const { posix } = this.#pair.hosts[1];
    const fd = this.#pair.fds[1];
    const got = this.#moved("recv", posix.recv(fd, buffer));
    if (got > 0) this.#held.push(Buffer.from(buffer.subarray(0, got)));
    let sent = 0;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      const taken = this.#moved("send", posix.send(fd, first));
      sent += taken;
      if (taken === first.length) this.#held.shift();
      else {
        this.#held[0] = first.subarray(taken);
        break;
      }
    }
    return got + sent;
  }

  /** Bytes that a call has moved, 0 when it has to wait. */
  #moved(call: string, result: number): number {
    if (result === -EAGAIN) return 0;
    if (result < 0) throw new SimulationFailure("error", `${this.#name}: ${call}() gave ${errnoName(result)}`);
    if (result === 0) throw new SimulationFailure("error", `${this.#name}: the connection has ended`);
    return result;
  }
}

/** Bytes of a datagram's number. */
const HEAD_BYTES = 4;
const DATAGRAM_MAX = 8000;
const UDP_BYTES = 8;
const IPV4_BYTES = 20;
/** No answer after so long means that there is none, microseconds. */
const LOST_MICROS = 20e6;

/** Datagrams of all sizes, fragments among them, to an echo server and back; some are lost, none is wrong. */
export class Pinger implements SteadyActor {
  /** Answers that came. */
  done = 0;
  sent = 0;
  /** Answers that were damaged in a way that no checksum sees. */
  undetected = 0;
  isPaused = false;
  readonly #hosts: readonly [Host, Host];
  readonly #fds: readonly [number, number];
  readonly #dice: Dice;
  /** Datagrams that are waited for: bytes by their number. */
  readonly #out = new Map<number, { bytes: number; until: number }>();
  #due: number;

  constructor(hosts: readonly [Host, Host], port: number, dice: Dice, now: number) {
    const open = (host: Host, own: number): number => {
      const fd = done("socket", host.posix.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK));
      done("bind", host.posix.bind(fd, { port: own }));
      return fd;
    };
    this.#hosts = hosts;
    this.#fds = [open(hosts[0], port), open(hosts[1], port)];
    done("connect", hosts[0].posix.connect(this.#fds[0], { address: hosts[1].address, port }));
    done("connect", hosts[1].posix.connect(this.#fds[1], { address: hosts[0].address, port }));
    this.#dice = dice;
    this.#due = now;
  }

  nextDue(): number {
    return this.isPaused ? Infinity : this.#due;
  }

  run(now: number): number {
    let work = 0;
    const [client, server] = this.#hosts;
    for (let n: number; (n = server.posix.recv(this.#fds[1], buffer)) >= 0; work++) {
      // What finds no memory or no room is lost, as datagrams may be.
      server.posix.send(this.#fds[1], buffer.subarray(0, n));
    }
    for (let n: number; (n = client.posix.recv(this.#fds[0], buffer)) >= 0; work++) this.#answer(n);
    if (this.isPaused || now < this.#due) return work;
    for (const [id, { until }] of this.#out) if (now > until) this.#out.delete(id);
    const id = this.sent++;
    const bytes = this.#dice.log(HEAD_BYTES, DATAGRAM_MAX);
    client.posix.send(this.#fds[0], datagramOf(id, bytes));
    this.#out.set(id, { bytes, until: now + LOST_MICROS });
    this.#due = now + this.#dice.log(1_000_000, 60_000_000);
    return work + 1;
  }

  #answer(length: number): void {
    const id = buffer.readUInt32LE();
    const waited = this.#out.get(id);
    // One that came twice, or very late.
    if (waited === undefined && id < this.sent) return;
    const body = buffer.subarray(HEAD_BYTES, length);
    const isRight = waited !== undefined && body.length === waited.bytes;
    if (isRight && firstDifference(id % OFFSET_MAX, 0, body, body.length) < 0) {
      this.#out.delete(id);
      this.done++;
    } else {
      this.#wrong(id, length);
    }
  }

  /**
   * Wires flip one bit of a frame at most, and UDP's checksum sees that. Of a datagram of several fragments two may be
   * damaged, and flips of one bit of a word in opposite directions leave the checksum as it was: such datagrams are
   * counted and taken for lost. Whatever else is wrong is a fault.
   */
  #wrong(id: number, length: number): void {
    const mtu = Math.min(...this.#hosts.map(({ nic }) => nic.mtu));
    const fragments = Math.ceil((length + UDP_BYTES) / ((mtu - IPV4_BYTES) & ~7));
    for (const [other, { bytes }] of this.#out) {
      if (bytes !== length - HEAD_BYTES || fragments < 2) continue;
      // There and back, each fragment may have lost a bit.
      if (flippedBits(datagramOf(other, bytes), buffer) <= 2 * fragments) {
        this.#out.delete(other);
        this.undetected++;
        return;
      }
    }
    throw new SimulationFailure("data", `datagram ${id} came back as ${length} bytes that nobody sent`);
  }
}

/** Datagram number `id`: the number, then `bytes` bytes. */
function datagramOf(id: number, bytes: number): Buffer {
  const datagram = Buffer.allocUnsafe(HEAD_BYTES + bytes);
  datagram.writeUInt32LE(id);
  streamBytes(id % OFFSET_MAX, 0, bytes).copy(datagram, HEAD_BYTES);
  return datagram;
}

function flippedBits(expected: Buffer, received: Buffer): number {
  let flips = 0;
  expected.forEach((byte, i) => {
    for (let bits = byte ^ (received[i] as number); bits !== 0; bits &= bits - 1) flips++;
  });
  return flips;
}

/** The result of a call that must not fail. */
function done(call: string, result: number): number {
  if (result < 0) throw new SimulationFailure("error", `${call}() gave ${errnoName(result)}`);
  return result;
}

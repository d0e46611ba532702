// Connections of the stack under fuzz, led into every state of RFC 9293 figure 5 by a peer that keeps to the rules and
// reads along: damaged frames are then aimed at the numbers that matter.

import { FIONREAD, IPPROTO_TCP, SHUT_WR, SOCK_NONBLOCK, TCP_INFO } from "../../assembly/layout.ts";
import { ether, ip, ipv4, PEER, tcp, type TcpFields } from "../support/frames.ts";
import { isTcp, type Random } from "./mutate.ts";
import type { Twins } from "./twins.ts";

/** The port on which the stack listens. */
export const LISTEN_PORT = 80;
/** Largest part of a second that a delayed ACK or a probe may take, and some more: ms. */
const ANSWER_MILLIS = 1500;

/** One connection as the peer sees it: sequence numbers, modulo 2^32. */
export interface Live {
  state: LiveState;
  /** The stack's descriptor; -1 while it has none, or after close(). */
  fd: number;
  /** Ports of the stack and of the peer. */
  local: number;
  remote: number;
  /** What the peer sends next, as far as the stack has acknowledged. */
  peerNext: number;
  /** What the stack sends next, as far as the peer has seen. */
  stackNext: number;
  hasTimestamps: boolean;
  /** The stack's latest TSval, and what it echoes of the peer's. */
  stackStamp: number;
  peerStamp: number;
  /** The stack has reset it. */
  isReset: boolean;
  /** Segments that the stack has sent. */
  heard: number;
  /** Frames that it will still be the target of. */
  left: number;
}

export type LiveState = (typeof STATES)[number];

export const STATES = [
  "SYN-SENT",
  "SYN-RECEIVED",
  "ESTABLISHED",
  "ESTABLISHED, data in flight",
  "ESTABLISHED, segments out of order",
  "ESTABLISHED, window shut",
  "ESTABLISHED, nothing read",
  "FIN-WAIT-1",
  "FIN-WAIT-1, orphan",
  "FIN-WAIT-2",
  "CLOSING",
  "TIME-WAIT",
  "CLOSE-WAIT",
  "LAST-ACK",
] as const;

/** The host at the other end of all connections. */
export class FuzzPeer {
  readonly connections: Live[] = [];
  readonly #twins: Twins;
  readonly #random: Random;
  readonly #listener: number;
  readonly #byPorts = new Map<number, Live>();
  #port = 10_000;

  constructor(twins: Twins, random: Random, listener: number) {
    this.#twins = twins;
    this.#random = random;
    this.#listener = listener;
  }

  /** Opens a connection and leads it into a state. */
  open(state: LiveState, left: number): Live {
    this.#port = this.#port === 60_000 ? 10_000 : this.#port + 1;
    const live: Live = {
      state,
      fd: -1,
      local: LISTEN_PORT,
      remote: this.#port,
      peerNext: this.#random(2 ** 32),
      stackNext: 0,
      hasTimestamps: this.#random(2) === 0,
      stackStamp: 0,
      peerStamp: this.#random(2 ** 32),
      isReset: false,
      heard: 0,
      left,
    };
    this.connections.push(live);
    if (state === "SYN-SENT" || (state !== "SYN-RECEIVED" && this.#random(2) === 0)) this.#connect(live);
    else this.#accept(live);
    this.#lead(live);
    return live;
  }

  /** Reads along. */
  note(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      if (!isTcp(frame)) continue;
      const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
      const live = this.#byPorts.get(view.getUint32(34));
      if (live !== undefined) listen(live, view);
    }
  }

  /** Aims a frame at a connection: ports, and numbers near those that it waits for. */
  aim(frame: Uint8Array, live: Live): void {
    if (isTcp(frame)) this.#aimSegment(frame, live);
    // An ICMP error quotes what the stack has sent.
    else if (frame.length >= 70 && frame[23] === 1 && frame[51] === 6) {
      const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
      view.setUint16(62, live.local);
      view.setUint16(64, live.remote);
      view.setUint32(66, live.stackNext - this.#random(3000));
    }
  }

  /** Sends a segment from the peer that is right in all that `fields` do not say. */
  say(live: Live, fields: TcpFields, body = ""): void {
    this.note(this.#twins.receive([this.segment(live, fields, body)]));
  }

  segment(live: Live, fields: TcpFields, body = ""): Uint8Array {
    const stamps: [number, number] = [live.peerStamp, live.stackStamp];
    const options = live.hasTimestamps ? { timestamps: stamps } : {};
    const own = { from: live.remote, to: live.local, seq: live.peerNext, ack: live.stackNext, options };
    return ether(ipv4({ df: true }, tcp({ ...own, ...fields }, body))).bytes();
  }

  /**
   * Has the connection survived in good health? A peer that keeps to the rules asks where it stands, and sends a byte.
   * @returns "gone" when it was reset or closed, "alive" when the byte was acknowledged, "hung" otherwise
   */
  examine(live: Live): "alive" | "gone" | "hung" {
    if (!this.#mayReceive(live)) return "gone";
    this.#drain(live);
    for (let tries = 0; tries < 3; tries++) {
      // An old byte: the answer tells the numbers (RFC 9293 3.10.7.4, first check).
      const before = live.heard;
      live.peerStamp = (live.peerStamp + 1) >>> 0;
      this.say(live, { flags: "A", seq: (live.peerNext - 1) >>> 0 }, "o");
      if (live.heard === before) this.note(this.#twins.advance(ANSWER_MILLIS));
      if (!this.#mayReceive(live)) return "gone";
      const asked = live.peerNext;
      live.peerStamp = (live.peerStamp + 1) >>> 0;
      this.say(live, { flags: "PA" }, "n");
      this.note(this.#twins.advance(ANSWER_MILLIS));
      if (live.peerNext !== asked) return "alive";
      if (!this.#mayReceive(live)) return "gone";
      this.#drain(live);
    }
    return "hung";
  }

  /** Closes what is left of a connection and forgets it. */
  forget(live: Live): void {
    if (live.fd >= 0) this.#twins.call(({ core }) => core.close(live.fd));
    this.#byPorts.delete(keyOf(live));
    this.connections.splice(this.connections.indexOf(live), 1);
    this.note(this.#twins.sent());
  }

  /** What an application does: accepts and drops strangers, reads, now and then sends. */
  serve(): void {
    this.#takeConnections();
    for (const live of this.connections) {
      if (live.fd < 0) continue;
      if (live.state !== "ESTABLISHED, nothing read") this.#drain(live);
      if (this.#random(8) === 0) this.#twins.call((stack) => stack.send(live.fd, "x".repeat(1 + (live.remote % 3000))));
    }
    this.note(this.#twins.sent());
  }

  /** Accepts what waits: a connection of ours gets its descriptor, a stranger (a damaged SYN's) is closed. */
  #takeConnections(): void {
    const accept = (): number => this.#twins.call(({ core }) => core.accept(this.#listener, SOCK_NONBLOCK));
    for (let fd = accept(); fd >= 0; fd = accept()) {
      this.#twins.one.core.getpeername(fd);
      const port = this.#twins.one.exchangeWord(4);
      const live = this.#byPorts.get(LISTEN_PORT * 65536 + port);
      if (live !== undefined && live.fd < 0) live.fd = fd;
      else this.#twins.call(({ core }) => core.close(fd));
    }
  }

  /** The stack opens. */
  #connect(live: Live): void {
    const { core } = this.#twins.one;
    live.fd = this.#twins.call((stack) => stack.tcp());
    this.#twins.call((stack) => stack.core.connect(live.fd, ip(PEER.address), live.remote));
    core.getsockname(live.fd);
    live.local = this.#twins.one.exchangeWord(4);
    this.#byPorts.set(keyOf(live), live);
    this.note(this.#twins.sent());
    if (live.state === "SYN-SENT") return;
    const options = { mss: 1460, wscale: 7, sackPermitted: true, ...this.#stamps(live) };
    const syn: TcpFields = { flags: "SA", options: this.#random(4) === 0 ? this.#stamps(live) : options };
    const first = live.peerNext;
    this.say(live, syn);
    live.peerNext = (first + 1) >>> 0;
  }

  /** The peer opens. */
  #accept(live: Live): void {
    this.#byPorts.set(keyOf(live), live);
    const options = { mss: 1460, wscale: 7, sackPermitted: true, ...this.#stamps(live) };
    const first = live.peerNext;
    this.say(live, { flags: "S", ack: 0, options: this.#random(4) === 0 ? this.#stamps(live) : options });
    live.peerNext = (first + 1) >>> 0;
    if (live.state === "SYN-RECEIVED" || live.heard === 0) return;
    this.say(live, { flags: "A" });
    this.#takeConnections();
  }

  #stamps(live: Live): { timestamps?: [number, number] } {
    return live.hasTimestamps ? { timestamps: [live.peerStamp, live.stackStamp] } : {};
  }

  #lead(live: Live): void {
    const { fd, state } = live;
    if (fd < 0 || state === "SYN-SENT") return;
    const twins = this.#twins;
    const send = (bytes: number): number => twins.call((stack) => stack.send(fd, "d".repeat(bytes)));
    const shutdown = (): void => {
      twins.call(({ core }) => core.shutdown(fd, SHUT_WR));
      this.note(twins.sent());
    };
    const fin = (ack = live.stackNext): void => this.say(live, { flags: "FA", ack });
    switch (state) {
      case "ESTABLISHED, data in flight":
        send(1 + this.#random(20_000));
        break;
      case "ESTABLISHED, segments out of order":
        for (let n = 1 + this.#random(4); n > 0; n--) {
          this.say(
            live,
            { flags: "A", seq: (live.peerNext + 10 + this.#random(5000)) >>> 0 },
            "o".repeat(1 + this.#random(900)),
          );
        }
        break;
      case "ESTABLISHED, window shut":
        this.say(live, { flags: "A", window: 0 });
        send(100);
        break;
      case "FIN-WAIT-1":
        shutdown();
        break;
      case "FIN-WAIT-1, orphan":
        send(500);
        twins.call(({ core }) => core.close(fd));
        live.fd = -1;
        break;
      case "FIN-WAIT-2":
        shutdown();
        this.say(live, { flags: "A" });
        break;
      case "CLOSING": {
        const before = live.stackNext;
        shutdown();
        fin(before);
        break;
      }
      case "TIME-WAIT":
        shutdown();
        fin();
        twins.call(({ core }) => core.close(fd));
        live.fd = -1;
        break;
      case "CLOSE-WAIT":
        fin();
        break;
      case "LAST-ACK":
        fin();
        twins.call(({ core }) => core.close(fd));
        live.fd = -1;
        break;
      default:
        break;
    }
    this.note(twins.sent());
  }

  #aimSegment(frame: Uint8Array, live: Live): void {
    const random = this.#random;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    // Now and then a stranger: SYNs of many make the listener's backlog overflow.
    view.setUint16(34, random(10) === 0 ? 1024 + random(60_000) : live.remote);
    view.setUint16(36, live.local);
    view.setUint32(38, live.peerNext + this.#near());
    view.setUint32(42, live.stackNext - this.#near());
    const end = Math.min(34 + (frame[46]! >> 4) * 4, frame.length);
    // Timestamps and SACK blocks where the corpus has them, behind two NOPs.
    for (let at = 54; at + 3 < end; at += frame[at]! < 2 ? 1 : Math.max(2, frame[at + 1]!)) {
      if (frame[at] === 8 && at + 10 <= end) {
        view.setUint32(at + 2, live.peerStamp + (random(3) === 0 ? this.#near() : 0));
        view.setUint32(at + 6, live.stackStamp - (random(3) === 0 ? this.#near() : 0));
      } else if (frame[at] === 5) {
        for (let edge = at + 2; edge + 4 <= Math.min(at + frame[at + 1]!, end); edge += 4) {
          view.setUint32(edge, live.stackNext - random(20_000) + (random(8) === 0 ? random(5000) : 0));
        }
      }
    }
  }

  /** A distance: mostly none, else a few bytes, a segment or a window, or anything. */
  #near(): number {
    const random = this.#random;
    switch (random(10)) {
      case 0:
        return random(5) - 2;
      case 1:
        return random(3000) - 1500;
      case 2:
        return random(200_000) - 100_000;
      case 3:
        return random(2 ** 32);
      default:
        return 0;
    }
  }

  /** Is the connection in a state in which the peer may send? */
  #mayReceive(live: Live): boolean {
    if (live.fd < 0 || live.isReset) return false;
    const state = this.#twins.call((stack) => stack.option(live.fd, IPPROTO_TCP, TCP_INFO) & 255);
    return state === 1 || state === 4 || state === 5;
  }

  #drain(live: Live): void {
    while (this.#twins.call(({ core }) => core.ioctl(live.fd, FIONREAD, 0)) > 0) {
      this.#twins.call((stack) => {
        const bytes = stack.read(live.fd);
        return typeof bytes === "string" ? -1 : bytes.length;
      });
    }
    this.note(this.#twins.sent());
  }
}

/** Ports as they stand in a frame of the stack. */
function keyOf({ local, remote }: Live): number {
  return local * 65536 + remote;
}

/** Takes note of a segment of the stack. */
function listen(live: Live, view: DataView): void {
  const flags = view.getUint8(47);
  const header = (view.getUint8(46) >> 4) * 4;
  const payload = view.getUint16(16) - 20 - header;
  live.heard++;
  if (flags & 4) live.isReset = true;
  const next = (view.getUint32(38) + payload + (flags & 1) + ((flags >> 1) & 1)) >>> 0;
  if (live.heard === 1 || flags & 2 || ((next - live.stackNext) | 0) > 0) live.stackNext = next;
  if (flags & 16 && !(flags & 4)) live.peerNext = view.getUint32(42);
  if (header >= 32 && view.getUint32(54) === 0x0101080a) {
    live.stackStamp = view.getUint32(58);
    live.peerStamp = view.getUint32(62);
  } else if (flags & 2 && header >= 36 && view.getUint16(60) === 0x080a) {
    live.stackStamp = view.getUint32(62);
  }
}

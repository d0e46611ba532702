// send, recv and their like: small payloads through the exchange area in one call of the core, bulk straight into and
// out of the socket's queues, buffers in the stack's own memory without a copy by the host.
// Read first: send(2), recv(2).

import {
  EAFNOSUPPORT,
  EAGAIN,
  EINPROGRESS,
  EOPNOTSUPP,
  EPOLLERR,
  EPOLLHUP,
  EPOLLOUT,
  EPOLLRDHUP,
  EXCHANGE_DATA_BYTES,
  FIONREAD,
  MSG_BATCH,
  MSG_DONTWAIT,
  MSG_EOR,
  MSG_ERRQUEUE,
  MSG_FASTOPEN,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  MSG_ZEROCOPY,
  SO_RCVLOWAT,
  SO_TYPE,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../assembly/layout.ts";
import { isForeign, parseAddress, portOf, type SocketAddress, type SocketAddressResult } from "./address.ts";
import type { Bytes } from "./arguments.ts";
import type { PosixContext } from "./context.ts";

/** Payloads up to this size go through the exchange area: cheaper than the three calls of the direct way. */
const SMALL = 4096;
/** A queue whose first run is this short is read through the exchange area too. */
const SHORT_RUN = 2048;
/** Bytes asked for at once on the direct way; a run of the queue is never longer. */
const RUN = 65536;
/** Flags that only the core can answer for. */
const PARTICULAR = MSG_PEEK | MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE;
/** Nothing more will come. */
const ENDED = EPOLLRDHUP | EPOLLHUP;
/** Sending would do something, or fail. */
const WRITABLE = EPOLLOUT | EPOLLERR | EPOLLHUP;
/** Flags about the end of the bytes: they go with the last of them only. */
const FINAL = MSG_EOR | MSG_ZEROCOPY;

/** `send(fd, buffer, flags?)`, or as in C `send(fd, buffer, length, flags)`. */
export interface Transfer {
  (fd: number, buffer: Bytes, flags?: number): number;
  (fd: number, buffer: Bytes, length: number, flags: number): number;
}

export interface SendTo {
  (fd: number, buffer: Bytes, flags?: number, to?: SocketAddress | null): number;
  (fd: number, buffer: Bytes, length: number, flags: number, to?: SocketAddress | null): number;
}

export interface RecvFrom {
  (fd: number, buffer: Bytes, flags?: number, from?: SocketAddressResult | null): number;
  (fd: number, buffer: Bytes, length: number, flags: number, from?: SocketAddressResult | null): number;
}

/** The calls that move payload, and their blocking cores for sendmsg and recvmsg. */
export interface TransferCalls {
  send: Transfer;
  recv: Transfer;
  sendto: SendTo;
  recvfrom: RecvFrom;
  read: (fd: number, buffer: Bytes, length?: number) => number;
  write: (fd: number, buffer: Bytes, length?: number) => number;
  /**
   * Received bytes where they lie in the stack's memory, without a copy: the first contiguous run, empty at the end of
   * the stream, or a negative errno (never blocks: -EAGAIN). TCP only. Valid until recv_done().
   */
  recv_view: (fd: number) => Uint8Array | number;
  /** Drops the first `length` bytes that recv_view() showed. Returns the bytes that are left in the queue. */
  recv_done: (fd: number, length: number) => number;
}

/** The same behind the checks of checked.ts: one form of each, whose bytes are a Uint8Array. */
export interface RawTransfer extends Pick<TransferCalls, "recv_view" | "recv_done"> {
  send: (fd: number, buffer: Bytes, flags: number) => number;
  /** At most `length` bytes, which fit into the buffer. */
  recv: (fd: number, buffer: Bytes, length: number, flags: number) => number;
  sendto: (fd: number, buffer: Bytes, flags: number, to: SocketAddress) => number;
  recvfrom: (fd: number, buffer: Bytes, length: number, flags: number, from: SocketAddressResult) => number;
}

/** Makes the calls for one stack. */
export function createTransfer(context: PosixContext): RawTransfer {
  const { core, data, dataAt, bytes, pointer } = context;
  const coreSend = core.send;
  const coreRecv = core.recv;

  function send(fd: number, buffer: Bytes, flags: number): number {
    const { length } = buffer;
    if (length > SMALL) return sendLarge(fd, buffer, flags);
    data.set(buffer);
    context.touch();
    const n = coreSend(fd, dataAt, length, flags);
    return n === length ? n : sendShort(fd, buffer, flags, n);
  }

  function recv(fd: number, buffer: Bytes, length: number, flags: number): number {
    const n = receiveNow(fd, buffer, length, flags);
    if (n === -EAGAIN) return recvWaiting(fd, buffer, length, flags);
    return n > 0 && n < length ? recvShort(fd, buffer, length, flags, n) : n;
  }

  /** Less than was asked for: enough, unless MSG_WAITALL or SO_RCVLOWAT says otherwise. */
  function recvShort(fd: number, buffer: Bytes, length: number, flags: number, n: number): number {
    if (flags & MSG_WAITALL) return recvAll(fd, buffer, length, flags, n);
    if (!context.hasLowWater || flags & MSG_DONTWAIT || !isStream(fd)) return n;
    core.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, context.argsAt, 4);
    const least = Math.min(length, context.args.getInt32(0, true));
    return n >= least ? n : recvAll(fd, buffer, length, flags, n, least);
  }

  /** What can be received at once. */
  function receiveNow(fd: number, buffer: Bytes, length: number, flags: number): number {
    if (length > SMALL && !(flags & PARTICULAR)) return receiveRuns(fd, buffer, length, flags);
    const n = coreRecv(fd, dataAt, length > EXCHANGE_DATA_BYTES ? EXCHANGE_DATA_BYTES : length, flags);
    // With MSG_TRUNC a datagram's whole length comes back; TCP drops the bytes unseen.
    if (n > 0 && !(flags & MSG_TRUNC && isStream(fd))) buffer.set(context.head(n < length ? n : length));
    return n;
  }

  /** Into a large buffer: what is short through the exchange area, the rest from the queue's own chunks. */
  function receiveRuns(fd: number, buffer: Bytes, length: number, flags: number): number {
    let run = core.recvPeek(fd);
    if (run <= 0) return run === -EOPNOTSUPP ? receiveStaged(fd, buffer, length, flags) : run;
    let done = 0;
    if (run <= SHORT_RUN) {
      done = coreRecv(fd, dataAt, SMALL, flags);
      if (done <= 0) return done;
      buffer.set(context.head(done));
      // To ask an empty queue once more would take the error that the next call is to report.
      if (done < SMALL || core.ioctl(fd, FIONREAD, 0) <= 0) return done;
      run = core.recvPeek(fd);
    } else {
      const target = context.addressIn(buffer);
      if (target >= 0) return coreRecv(fd, target, length, flags);
    }
    while (run > 0) {
      const n = run < length - done ? run : length - done;
      const at = pointer[0] as number;
      buffer.set(bytes.subarray(at, at + n), done);
      done += n;
      if (core.recvConsume(fd, n) === 0 || done === length) break;
      run = core.recvPeek(fd);
    }
    return done;
  }

  function receiveStaged(fd: number, buffer: Bytes, length: number, flags: number): number {
    const n = coreRecv(fd, dataAt, length > EXCHANGE_DATA_BYTES ? EXCHANGE_DATA_BYTES : length, flags);
    if (n > 0) buffer.set(context.head(n));
    return n;
  }

  /** Waits until something can be received. */
  function recvWaiting(fd: number, buffer: Bytes, length: number, flags: number): number {
    if (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) return -EAGAIN;
    const deadline = context.deadline(fd, 0);
    while (true) {
      const waited = context.wait(deadline);
      if (waited < 0) return waited;
      const n = receiveNow(fd, buffer, length, flags);
      if (n === -EAGAIN) continue;
      return n > 0 && n < length ? recvShort(fd, buffer, length, flags, n) : n;
    }
  }

  /** On a stream: goes on until there are `least` bytes, the stream ends, or an error or timeout comes. */
  function recvAll(
    fd: number,
    buffer: Bytes,
    length: number,
    flags: number,
    done: number,
    least: number = length,
  ): number {
    if (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE) || !isStream(fd)) return done;
    const deadline = context.deadline(fd, 0);
    while (done < least) {
      if (core.ioctl(fd, FIONREAD, 0) > (flags & MSG_PEEK ? done : 0)) {
        const n = receiveMore(fd, buffer, flags & MSG_PEEK ? 0 : done, length, flags);
        if (n <= 0) return done;
        done = flags & MSG_PEEK ? n : done + n;
        continue;
      }
      // An error is left for the next call to report.
      if (core.errorPending(fd) !== 0 || core.pollEvents(fd) & ENDED || context.wait(deadline) < 0) return done;
    }
    return done;
  }

  function receiveMore(fd: number, buffer: Bytes, done: number, length: number, flags: number): number {
    return receiveNow(fd, buffer.subarray(done, length), length - done, flags);
  }

  /** Goes on after `done` bytes, waiting for room as long as the descriptor may block. */
  function sendRest(fd: number, buffer: Bytes, flags: number, done: number): number {
    if (flags & MSG_DONTWAIT) return done > 0 ? done : -EAGAIN;
    const deadline = context.deadline(fd, 1);
    while (true) {
      const waited = context.wait(deadline);
      if (waited < 0) return done > 0 ? done : waited;
      // As in Linux the writer is woken when a third of the buffer is free, not for each segment.
      if (!(core.pollEvents(fd) & WRITABLE)) continue;
      // An error after the first bytes is left for the next call to report.
      if (done > 0 && core.errorPending(fd) !== 0) return done;
      const n = sendNow(fd, done === 0 ? buffer : buffer.subarray(done), flags);
      if (n === -EAGAIN) continue;
      if (n < 0) return done > 0 ? done : n;
      done += n;
      if (done >= buffer.length) return done;
    }
  }

  function sendLarge(fd: number, buffer: Bytes, flags: number): number {
    const n = sendNow(fd, buffer, flags);
    return n === buffer.length ? n : sendShort(fd, buffer, flags, n);
  }

  /** The core has not taken all: `n` is what it said. */
  function sendShort(fd: number, buffer: Bytes, flags: number, n: number): number {
    if (n === -EINPROGRESS) return sendOpening(fd, buffer, flags);
    return n < 0 && n !== -EAGAIN ? n : sendRest(fd, buffer, flags & ~MSG_FASTOPEN, Math.max(n, 0));
  }

  /** The call has sent a SYN (TCP Fast Open), perhaps with the first bytes: waits as connect() does, sends the rest. */
  function sendOpening(fd: number, buffer: Bytes, flags: number): number {
    const done = pointer[0] as number;
    const deadline = flags & MSG_DONTWAIT ? -Infinity : context.deadline(fd, 1);
    while (!(core.pollEvents(fd) & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
      if (context.wait(deadline) < 0) return done > 0 ? done : -EINPROGRESS;
    }
    const error = core.connectResult(fd);
    if (error < 0) return error;
    if (done >= buffer.length) return done;
    const rest = sendLarge(fd, buffer.subarray(done), flags & ~MSG_FASTOPEN);
    return rest < 0 ? done || rest : done + rest;
  }

  /** What can be sent at once. */
  function sendNow(fd: number, buffer: Bytes, flags: number): number {
    const length = buffer.length;
    context.touch();
    if (length <= SMALL || flags & (MSG_OOB | MSG_FASTOPEN | FINAL)) return sendStaged(fd, buffer, flags);
    const source = context.addressIn(buffer);
    if (source >= 0) return coreSend(fd, source, length, flags);
    let done = 0;
    while (done < length) {
      const left = length - done;
      const room = core.sendReserve(fd, left < RUN ? left : RUN);
      // The connection opens with this data, or is not open: the core must see what kind of send it is.
      if (room === -EOPNOTSUPP || (room === -EAGAIN && done === 0)) return sendStaged(fd, buffer, flags);
      if (room <= 0) return done > 0 ? done : room;
      const n = room < left ? room : left;
      bytes.set(buffer.subarray(done, done + n), pointer[0] as number);
      const sent = core.sendCommit(fd, n, n < left ? flags | MSG_BATCH : flags);
      if (sent < 0) return done > 0 ? done : sent;
      done += n;
    }
    return done;
  }

  /** Through the exchange area; a datagram is larger than it in no case, a stream takes what fits. */
  function sendStaged(fd: number, buffer: Bytes, flags: number): number {
    if (buffer.length <= EXCHANGE_DATA_BYTES) {
      data.set(buffer);
      return coreSend(fd, dataAt, buffer.length, flags);
    }
    data.set(buffer.subarray(0, EXCHANGE_DATA_BYTES));
    const n = coreSend(fd, dataAt, EXCHANGE_DATA_BYTES, flags & FINAL ? (flags & ~FINAL) | MSG_MORE : flags);
    if (!(flags & FINAL) || n < EXCHANGE_DATA_BYTES) return n;
    const rest = sendStaged(fd, buffer.subarray(n), flags);
    return rest < 0 ? n : n + rest;
  }

  function sendto(fd: number, buffer: Bytes, flags: number, to: SocketAddress): number {
    if (isForeign(to) && !isStream(fd)) return foreignRefusal(fd);
    const address = parseAddress(to.address);
    const port = portOf(to);
    const length = buffer.length;
    const part = length > EXCHANGE_DATA_BYTES ? buffer.subarray(0, EXCHANGE_DATA_BYTES) : buffer;
    data.set(part);
    context.touch();
    let n = core.sendto(fd, dataAt, part.length, flags, address, port);
    if (n === length) return n;
    if (n === -EINPROGRESS) return sendOpening(fd, buffer, flags);
    if (n === -EAGAIN && !(flags & MSG_DONTWAIT)) {
      const deadline = context.deadline(fd, 1);
      // With room for it the datagram wants something that does not come by waiting: a port.
      while (n === -EAGAIN && !(core.pollEvents(fd) & EPOLLOUT)) {
        const waited = context.wait(deadline);
        if (waited < 0) return waited;
        // Whoever was served meanwhile may have used the exchange area.
        data.set(part);
        n = core.sendto(fd, dataAt, part.length, flags & ~MSG_FASTOPEN, address, port);
      }
    }
    // A stream, which ignores the address, has taken a part.
    return n >= 0 && n < length ? sendRest(fd, buffer, flags & ~MSG_FASTOPEN, n) : n;
  }

  function recvfrom(fd: number, buffer: Bytes, length: number, flags: number, from: SocketAddressResult): number {
    let n = receiveFrom(fd, buffer, length, flags, from);
    if (n !== -EAGAIN || flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) return n;
    const deadline = context.deadline(fd, 0);
    while (n === -EAGAIN) {
      const waited = context.wait(deadline);
      if (waited < 0) return waited;
      n = receiveFrom(fd, buffer, length, flags, from);
    }
    return n;
  }

  function receiveFrom(fd: number, buffer: Bytes, length: number, flags: number, from: SocketAddressResult): number {
    const n = core.recvfrom(fd, dataAt, length > EXCHANGE_DATA_BYTES ? EXCHANGE_DATA_BYTES : length, flags);
    if (n < 0) return n;
    if (context.address[1] === 0 && context.address[0] === 0) {
      // A stream: no sender, and bytes that were taken as recv() takes them.
      if (n > 0 && !(flags & MSG_TRUNC)) buffer.set(context.head(n));
      return flags & MSG_WAITALL && n > 0 && n < length ? recvAll(fd, buffer, length, flags, n) : n;
    }
    if (n > 0) buffer.set(context.head(n < length ? n : length));
    context.giveAddress(from);
    return n;
  }

  /** A stream ignores the address of sendto(); a socket of datagrams wants one of its own family. */
  function foreignRefusal(fd: number): number {
    return Math.min(core.getsockopt(fd, SOL_SOCKET, SO_TYPE, context.argsAt, 4), 0) || -EAFNOSUPPORT;
  }

  function isStream(fd: number): boolean {
    const length = core.getsockopt(fd, SOL_SOCKET, SO_TYPE, context.argsAt, 4);
    return length === 4 && context.args.getInt32(0, true) === SOCK_STREAM;
  }

  return {
    send,
    recv,
    sendto,
    recvfrom,
    recv_view: (fd) => {
      const run = core.recvPeek(fd);
      if (run < 0) return run;
      const at = run === 0 ? 0 : (pointer[0] as number);
      return bytes.subarray(at, at + run);
    },
    recv_done: (fd, length) => core.recvConsume(fd, length),
  };
}

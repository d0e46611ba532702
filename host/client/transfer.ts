// send, recv and their like for business threads: bytes move through the channel's shared words, without a stack.
// Read first: assembly/share/client.ts; host/posix/transfer.ts, whose calls these are; send(2), recv(2).

import {
  CALL_RECVFROM,
  CALL_SEND,
  CALL_TAKE_ERROR,
  CHANNEL_KIND,
  CLIENT_ASK,
  CLIENT_BUSY,
  CLIENT_NO_BUFFER,
  CLIENT_SCATTERED,
  EAFNOSUPPORT,
  EAGAIN,
  EOPNOTSUPP,
  EPIPE,
  EXCHANGE_DATA_BYTES,
  KIND_LISTENER,
  KIND_UDP,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_FASTOPEN,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
} from "../../assembly/layout.ts";
import { isForeign, parseAddress, portOf, type SocketAddress, type SocketAddressResult } from "../posix/address.ts";
import type { Bytes } from "../posix/arguments.ts";
import type { ContextCore, PosixContext } from "../posix/context.ts";
import type { RawTransfer } from "../posix/transfer.ts";
import { createDatagrams } from "./datagrams.ts";
import type { Link } from "./link.ts";

/** Payloads up to this size are copied by the core, by way of the seat's exchange area. */
const SMALL = 4096;

/** Makes the calls of one thread. */
export function createClientTransfer(link: Link, context: PosixContext<ContextCore>): RawTransfer {
  const { core, seat, channel } = link;
  const { data, dataAt, bytes } = context;
  const datagrams = createDatagrams(link, context);

  function send(fd: number, buffer: Bytes, flags: number): number {
    if (!link.find(fd)) return link.refusal(fd);
    const { at, part, stack } = channel;
    const kind = link.word(at, CHANNEL_KIND);
    if (kind === KIND_UDP) return datagrams.send(fd, buffer, flags, 0, 0, -1, -1);
    if (kind === KIND_LISTENER) return -EPIPE;
    // As Linux where tcp_fastopen is off: connections of business threads are opened by connect().
    if (flags & MSG_FASTOPEN) return -EOPNOTSUPP;
    if (flags & MSG_OOB) return sendUrgent(fd, buffer, flags);
    const { length } = buffer;
    if (length <= SMALL) {
      data.set(buffer);
      const n = core.clientSend(part, at, seat.turn, dataAt, length, flags & MSG_MORE, 0);
      return n === length ? n : sendAll(fd, at, part, stack, buffer, flags, n > 0 ? n : 0);
    }
    return sendAll(fd, at, part, stack, buffer, flags, 0);
  }

  /**
   * Sends what is behind the first `done` bytes, waiting for room as long as the descriptor may block, and as long as
   * the connection is that of the first bytes.
   */
  function sendAll(
    fd: number,
    at: number,
    part: number,
    stack: number,
    buffer: Bytes,
    flags: number,
    done: number,
  ): number {
    const { length } = buffer;
    let deadline: number | undefined;
    let epoch = done === 0 ? 0 : core.clientSentEpoch();
    while (true) {
      const n = sendSome(fd, at, part, stack, done === 0 ? buffer : buffer.subarray(done), flags, epoch);
      if (n > 0) {
        done += n;
        if (done === length) return done;
        if (epoch === 0) epoch = core.clientSentEpoch();
        // The rest may find room at the buffer's beginning.
        continue;
      }
      if (length === 0) return n;
      if (n !== -EAGAIN || flags & MSG_DONTWAIT) return done > 0 ? done : n;
      deadline ??= link.deadline(at, true);
      const waited = link.wait(at, stack, true, deadline);
      if (waited < 0 && done > 0) return done;
      // What has ended the wait may have an error of its own to tell.
      if (waited < 0) return waited === -EPIPE ? link.call(fd, CALL_SEND, dataAt, 0, flags) || waited : waited;
    }
  }

  /** What can be sent at once, or why nothing can. */
  function sendSome(
    fd: number,
    at: number,
    part: number,
    stack: number,
    buffer: Bytes,
    flags: number,
    epoch: number,
  ): number {
    while (true) {
      const n = sendPart(at, part, buffer, flags, epoch);
      if (n === CLIENT_BUSY) {
        const waited = awaitTurn(at, part, stack);
        if (waited < 0) return waited;
      } else if (n === CLIENT_NO_BUFFER) return sendByCall(fd, buffer, flags, epoch);
      else if (n !== CLIENT_ASK) return n;
      else {
        // Without a byte: why nothing can be sent.
        const asked = link.call(fd, CALL_SEND, dataAt, 0, flags, epoch);
        if (asked !== 0) return asked;
      }
    }
  }

  function sendPart(at: number, part: number, buffer: Bytes, flags: number, epoch: number): number {
    const { length } = buffer;
    const source = length > SMALL ? context.addressIn(buffer) : -1;
    if (length <= SMALL || source >= 0) {
      if (source < 0) data.set(buffer);
      return core.clientSend(part, at, seat.turn, source >= 0 ? source : dataAt, length, flags & MSG_MORE, epoch);
    }
    while (true) {
      const n = core.clientReserve(part, at, seat.turn, length, epoch);
      if (n <= 0) return n;
      const first = Math.min(n, core.clientRoomBytes());
      const to = core.clientRoomAt() >>> 0;
      bytes.set(buffer.subarray(0, first), to);
      if (n > first) bytes.set(buffer.subarray(first, n), core.clientBufferAt(at) >>> 0);
      if (core.clientCommit(at, seat.turn, n, n < length ? flags | MSG_MORE : flags & MSG_MORE) !== 0) return n;
    }
  }

  function awaitTurn(at: number, part: number, stack: number): number {
    return link.awaitTurn(
      () => core.clientTurn(at),
      () => core.clientSent(at),
      (holder, sent) => core.clientFree(part, at, holder, sent),
      stack,
    );
  }

  /** Every send buffer is taken: the bytes go with the call. */
  function sendByCall(fd: number, buffer: Bytes, flags: number, epoch = 0): number {
    const n = Math.min(buffer.length, EXCHANGE_DATA_BYTES);
    data.set(n < buffer.length ? buffer.subarray(0, n) : buffer);
    return link.call(fd, CALL_SEND, dataAt, n, flags, epoch);
  }

  function sendUrgent(fd: number, buffer: Bytes, flags: number): number {
    const { at, stack } = channel;
    while (true) {
      const n = sendByCall(fd, buffer, flags);
      if (n !== -EAGAIN || flags & MSG_DONTWAIT) return n;
      const waited = link.wait(at, stack, true, link.deadline(at, true));
      if (waited < 0) return waited;
    }
  }

  function recv(fd: number, buffer: Bytes, length: number, flags: number): number {
    if (!link.find(fd)) return link.refusal(fd);
    const { at, stack } = channel;
    const n = recvNow(fd, buffer, length, flags);
    if (n !== -EAGAIN) return flags & MSG_WAITALL && n > 0 && n < length ? recvAll(fd, buffer, length, flags, n) : n;
    if (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) return n;
    const deadline = link.deadline(at, false);
    while (true) {
      const waited = link.wait(at, stack, false, deadline);
      if (waited < 0) return waited;
      const more = recvNow(fd, buffer, length, flags);
      if (more === -EAGAIN) continue;
      return flags & MSG_WAITALL && more > 0 && more < length ? recvAll(fd, buffer, length, flags, more) : more;
    }
  }

  /** What can be received at once. */
  function recvNow(fd: number, buffer: Bytes, length: number, flags: number): number {
    if (!link.find(fd)) return link.refusal(fd);
    if (flags & (MSG_OOB | MSG_ERRQUEUE)) return recvByCall(fd, buffer, length, flags, 0);
    const { at, part } = channel;
    while (true) {
      const n = recvPart(at, part, buffer, length, flags);
      if (n === CLIENT_ASK) {
        const error = link.call(fd, CALL_TAKE_ERROR);
        if (error !== 0) return error;
      } else if (n === CLIENT_SCATTERED) {
        const got = recvByCall(fd, buffer, length, flags, core.clientPosition());
        // Another thread may have taken it.
        if (got !== -EAGAIN || core.clientStill(at) !== 0) return got;
      } else {
        return n;
      }
    }
  }

  /** @param epoch goes on with the stream of this epoch only; 0: with whichever there is */
  function recvPart(at: number, part: number, buffer: Bytes, length: number, flags: number, epoch = 0): number {
    if (length <= SMALL || flags & MSG_TRUNC || core.clientIsStream(at) === 0) {
      const most = length < EXCHANGE_DATA_BYTES || flags & MSG_TRUNC ? length : EXCHANGE_DATA_BYTES;
      const n = core.clientRecv(part, at, seat.address, dataAt, most, flags, epoch);
      if (n > 0 && !(flags & MSG_TRUNC && core.clientIsStream(at) !== 0)) {
        buffer.set(context.head(n < length ? n : length));
      }
      return n;
    }
    const target = context.addressIn(buffer);
    if (target >= 0) return core.clientRecv(part, at, seat.address, target, length, flags, epoch);
    return recvPieces(at, part, buffer, length, flags, epoch);
  }

  /** A stream's bytes from where they lie, without another copy. */
  function recvPieces(at: number, part: number, buffer: Bytes, length: number, flags: number, epoch: number): number {
    while (true) {
      const unread = core.clientLook(at);
      if (unread <= 0) return unread;
      if (epoch !== 0 && core.clientEpoch() !== epoch) return -EPIPE;
      const n = Math.min(unread, length);
      let done = 0;
      while (done < n) {
        const piece = Math.min(core.clientPiece(at, done) >>> 0, n - done);
        if (piece === 0) break;
        const start = core.clientPieceAt() >>> 0;
        buffer.set(bytes.subarray(start, start + piece), done);
        done += piece;
      }
      if (done === n && (flags & MSG_PEEK ? core.clientStill(at) : core.clientTake(part, at, n)) !== 0) return n;
    }
  }

  function recvByCall(fd: number, buffer: Bytes, length: number, flags: number, position: number): number {
    const n = link.call(fd, CALL_RECVFROM, dataAt, Math.min(length, EXCHANGE_DATA_BYTES), flags, position);
    if (n > 0) buffer.set(context.head(n < length ? n : length));
    return n;
  }

  /** MSG_WAITALL: goes on until the buffer is full, the stream ends, or an error or timeout comes. */
  function recvAll(fd: number, buffer: Bytes, length: number, flags: number, done: number): number {
    const { at, part, stack } = channel;
    if (flags & (MSG_DONTWAIT | MSG_OOB | MSG_PEEK) || core.clientIsStream(at) === 0) return done;
    const deadline = link.deadline(at, false);
    const epoch = core.clientEpoch();
    while (done < length) {
      // An error is left for the next call to report.
      const n = recvPart(at, part, buffer.subarray(done, length), length - done, flags, epoch);
      if (n > 0) done += n;
      else if (n !== -EAGAIN || link.wait(at, stack, false, deadline) < 0) return done;
    }
    return done;
  }

  function sendto(fd: number, buffer: Bytes, flags: number, to: SocketAddress): number {
    if (!link.find(fd)) return link.refusal(fd);
    if (link.word(channel.at, CHANNEL_KIND) !== KIND_UDP) return send(fd, buffer, flags);
    if (isForeign(to)) return -EAFNOSUPPORT;
    return datagrams.send(fd, buffer, flags, parseAddress(to.address), portOf(to), -1, -1);
  }

  function recvfrom(fd: number, buffer: Bytes, length: number, flags: number, from: SocketAddressResult): number {
    const n = recv(fd, buffer, length, flags);
    if (n >= 0 && link.find(fd)) {
      if (link.word(channel.at, CHANNEL_KIND) === KIND_UDP) context.giveAddress(from);
    }
    return n;
  }

  function recv_view(fd: number): Uint8Array | number {
    if (!link.find(fd)) return link.refusal(fd);
    const { at } = channel;
    while (true) {
      const unread = core.clientLook(at);
      if (unread === CLIENT_ASK) return link.call(fd, CALL_TAKE_ERROR) || -EAGAIN;
      if (unread < 0) return unread;
      if (unread === 0) return bytes.subarray(0, 0);
      const piece = core.clientView(at, seat.address) >>> 0;
      const start = core.clientPieceAt() >>> 0;
      if (piece > 0) return bytes.subarray(start, start + piece);
    }
  }

  function recv_done(fd: number, length: number): number {
    if (!link.find(fd)) return link.refusal(fd);
    const { at, part } = channel;
    return core.clientViewed(part, at, seat.address, length);
  }

  return {
    send,
    recv,
    sendto,
    recvfrom,
    recv_view,
    recv_done,
  };
}

// Datagrams of business threads: they go whole into the send buffer; what the stack finds wrong with one later is the
// socket's error, which the next call reports.
// Read first: udp(7); assembly/share/client.ts, clientSendTo().

import {
  CALL_SENDTO,
  CALL_TAKE_ERROR,
  CHANNEL_BY_CALL,
  CHANNEL_CONNECTED,
  CHANNEL_MAY_SEND,
  CLIENT_ASK,
  CLIENT_BUSY,
  CLIENT_NO_BUFFER,
  EAGAIN,
  EDESTADDRREQ,
  EINVAL,
  EMSGSIZE,
  EOPNOTSUPP,
  EPIPE,
  EXCHANGE_DATA_BYTES,
  MSG_DONTWAIT,
  MSG_OOB,
} from "../../assembly/layout.ts";
import type { Bytes } from "../posix/arguments.ts";
import type { ContextCore, PosixContext } from "../posix/context.ts";
import type { Link } from "./link.ts";

/** The first multicast address; broadcasts and reserved addresses come behind. */
const MULTICAST = 0xe0000000;

export interface DatagramCalls {
  /** Port and address 0: to the peer; `ttl` and `tos` -1: the socket's. The channel has been found. */
  send: (fd: number, buffer: Bytes, flags: number, address: number, port: number, ttl: number, tos: number) => number;
}

/** Makes the calls of one thread. */
export function createDatagrams(link: Link, context: PosixContext<ContextCore>): DatagramCalls {
  const { core, seat, channel } = link;
  const { data, dataAt } = context;

  function send(
    fd: number,
    buffer: Bytes,
    flags: number,
    address: number,
    port: number,
    ttl: number,
    tos: number,
  ): number {
    const { at, part, stack } = channel;
    const { length } = buffer;
    if (length > EXCHANGE_DATA_BYTES) return -EMSGSIZE;
    if (flags & MSG_OOB) return -EOPNOTSUPP;
    let deadline: number | undefined;
    while (true) {
      const n = sendNow(fd, at, part, stack, buffer, flags, address, port, ttl, tos);
      if (n !== -EAGAIN || flags & MSG_DONTWAIT) return n;
      deadline ??= link.deadline(at, true);
      const waited = link.wait(at, stack, true, deadline);
      if (waited < 0) return waited;
    }
  }

  function sendNow(
    fd: number,
    at: number,
    part: number,
    stack: number,
    buffer: Bytes,
    flags: number,
    address: number,
    port: number,
    ttl: number,
    tos: number,
  ): number {
    const { length } = buffer;
    while (true) {
      if (port === 0 && address !== 0) return -EINVAL;
      if (port === 0 && !link.has(at, CHANNEL_CONNECTED)) return -EDESTADDRREQ;
      data.set(buffer);
      // What may be a broadcast needs leave to be one; few programs send many.
      if (link.has(at, CHANNEL_BY_CALL) || (address & 255) === 255 || address >>> 0 >= MULTICAST) {
        return link.call(fd, CALL_SENDTO, dataAt, length, flags, address, port, ttl, tos);
      }
      const n = core.clientSendTo(part, at, seat.turn, dataAt, length, flags, address, port, ttl, tos);
      if (n === CLIENT_BUSY) {
        const waited = link.awaitTurn(
          () => core.clientTurn(at),
          () => core.clientSent(at),
          (holder, sent) => core.clientFree(part, at, holder, sent),
          stack,
        );
        if (waited < 0) return waited;
      } else if (n === CLIENT_NO_BUFFER) {
        return link.call(fd, CALL_SENDTO, dataAt, length, flags, address, port, ttl, tos);
      } else if (n !== CLIENT_ASK) {
        return n;
      } else {
        const error = link.call(fd, CALL_TAKE_ERROR);
        if (error < 0) return error;
        if (!link.has(at, CHANNEL_MAY_SEND)) return -EPIPE;
      }
    }
  }

  return { send };
}

// The core's functions that the shared parts of the POSIX layer call, as a business thread has them: by way of a seat,
// or out of the channel's words.

import {
  CALL_GETSOCKOPT,
  CALL_IOCTL,
  CALL_SETSOCKOPT,
  CHANNEL_KIND,
  CHANNEL_STATE,
  CHANNEL_WANTS,
  EOPNOTSUPP,
  EPIPE,
  IP_PKTINFO,
  IP_RECVTOS,
  IP_RECVTTL,
  IPPROTO_IP,
  KIND_LISTENER,
  KIND_UDP,
} from "../../assembly/layout.ts";
import type { ContextCore, PosixContext } from "../posix/context.ts";
import type { SocketExports } from "../stack-exports.ts";
import type { DatagramCalls } from "./datagrams.ts";
import type { Link } from "./link.ts";
import type { RawTransfer } from "../posix/transfer.ts";

/** What options.ts and message.ts of host/posix/ use. */
export type ClientCalls = ContextCore &
  Pick<SocketExports, "getsockopt" | "setsockopt" | "ioctl" | "pollEvents" | "recvPeek"> & {
    sendtoWith: SocketExports["sendtoWith"];
  };

/** Bits of CHANNEL_WANTS by option (CMSG_* of assembly/socket/socket.ts). */
const WANTS: Readonly<Record<number, number>> = Object.freeze({ [IP_PKTINFO]: 1, [IP_RECVTTL]: 2, [IP_RECVTOS]: 4 });

/** Makes them; `ways` is filled in when the calls exist that need this for their context. */
export function createClientCalls(
  link: Link,
  ways: { context?: PosixContext<ContextCore>; datagrams?: DatagramCalls; transfer?: RawTransfer },
): ClientCalls {
  const { channel } = link;

  function getsockopt(fd: number, level: number, name: number, value: number, length: number): number {
    const bit = level === IPPROTO_IP ? WANTS[name] : undefined;
    if (bit !== undefined && link.find(fd) && link.word(channel.at, CHANNEL_KIND) === KIND_UDP) {
      // Asked for every datagram by recvmsg.
      link.words[value / 4] = (link.word(channel.at, CHANNEL_STATE) >>> CHANNEL_WANTS) & bit ? 1 : 0;
      return Math.min(length, 4);
    }
    return link.call(fd, CALL_GETSOCKOPT, level, name, value, length);
  }

  function sendtoWith(
    fd: number,
    data: number,
    length: number,
    flags: number,
    address: number,
    port: number,
    ttl: number,
    tos: number,
  ): number {
    const { context, datagrams, transfer } = ways;
    if (context === undefined || datagrams === undefined || transfer === undefined) return -EOPNOTSUPP;
    if (!link.find(fd)) return link.refusal(fd);
    const buffer = context.bytes.subarray(data, data + length);
    const kind = link.word(channel.at, CHANNEL_KIND);
    if (kind === KIND_LISTENER) return -EPIPE;
    if (kind !== KIND_UDP) return transfer.send(fd, buffer, flags);
    return datagrams.send(fd, buffer, flags, address, port, ttl, tos);
  }

  return {
    setClock: () => undefined,
    waitLimit: (fd, sending) => {
      if (!link.find(fd)) return 0;
      const deadline = link.deadline(channel.at, sending !== 0);
      return deadline === -Infinity ? 0 : deadline - link.now();
    },
    getsockopt,
    setsockopt: (fd, level, name, value, length) => link.call(fd, CALL_SETSOCKOPT, level, name, value, length),
    ioctl: (fd, request, argument) => link.call(fd, CALL_IOCTL, request, argument),
    pollEvents: (fd) => link.core.shareEvents(link.place.share, fd),
    recvPeek: (fd) => {
      if (!link.find(fd)) return link.refusal(fd);
      return link.word(channel.at, CHANNEL_KIND) === KIND_UDP ? -EOPNOTSUPP : 0;
    },
    sendtoWith,
  };
}

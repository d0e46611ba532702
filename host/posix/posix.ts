// The POSIX socket calls of one stack, as plain functions that can be taken apart:
//   const { socket, bind, listen, accept, recv, send, epoll_create1, epoll_ctl, epoll_wait } = host.posix;
// Results are >= 0 or a negative errno, as system calls give them; EINTR never comes.

import type { StackExports } from "../stack-exports.ts";
import { checkedPosix } from "./checked.ts";
import { type ConnectionCalls, createConnection } from "./connection.ts";
import { PosixContext, type PosixMemory } from "./context.ts";
import { createMessage, type MessageCalls } from "./message.ts";
import { createMultiplex, type MultiplexCalls } from "./multiplex.ts";
import { createOptions, type OptionCalls } from "./options.ts";
import { createTransfer, type TransferCalls } from "./transfer.ts";
import type { Waiter } from "./waiter.ts";

export type { SocketAddress, SocketAddressResult } from "./address.ts";
export { errnoName } from "./constants.ts";
export type { PosixMemory } from "./context.ts";
export { EpollData, EpollEvent, type EpollEventInput, type PollFd, type TimeSpec, type TimeVal } from "./events.ts";
export type { ControlMessage, ExtendedError, MessageHeader, PacketInfo, Timestamping } from "./message.ts";
export type { IpMreq, Linger, OptionResult, OptionValue } from "./options.ts";
export type { TcpInfo } from "./tcp-info.ts";
export type { Waiter } from "./waiter.ts";

/** Conversions between addresses and text. */
export interface AddressCalls {
  inet_pton: (family: number, text: string) => number;
  inet_ntop: (family: number, address: number) => string;
}

/** All calls. */
export interface Posix
  extends ConnectionCalls, TransferCalls, MessageCalls, OptionCalls, MultiplexCalls, AddressCalls {}

/**
 * Makes the POSIX calls for the stack behind `core`, which has been initialised.
 * @param memory the memory that the stack's arena lies in
 * @param waiter steps the network while a call blocks
 */
export function createPosix(
  core: Pick<StackExports, "exchange"> & PosixContext["core"],
  memory: PosixMemory,
  waiter: Waiter,
): Posix {
  const context = new PosixContext(core, core.exchange() >>> 0, memory, waiter);
  const transfer = createTransfer(context);
  return checkedPosix({
    ...createConnection(context),
    ...transfer,
    ...createMessage(context, transfer),
    ...createOptions(context),
    ...createMultiplex(context),
  });
}

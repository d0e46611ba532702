// The socket options that a scenario may set, by name, and how a socket gets them.

import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_WINDOW_CLAMP,
} from "../../assembly/layout.ts";
import { errnoName } from "../posix/constants.ts";
import type { Posix } from "../posix/posix.ts";

const OPTIONS: Readonly<Record<string, readonly [level: number, name: number]>> = {
  SO_RCVBUF: [SOL_SOCKET, SO_RCVBUF],
  SO_SNDBUF: [SOL_SOCKET, SO_SNDBUF],
  SO_KEEPALIVE: [SOL_SOCKET, SO_KEEPALIVE],
  TCP_NODELAY: [IPPROTO_TCP, TCP_NODELAY],
  TCP_CORK: [IPPROTO_TCP, TCP_CORK],
  TCP_QUICKACK: [IPPROTO_TCP, TCP_QUICKACK],
  TCP_MAXSEG: [IPPROTO_TCP, TCP_MAXSEG],
  TCP_CONGESTION: [IPPROTO_TCP, TCP_CONGESTION],
  TCP_WINDOW_CLAMP: [IPPROTO_TCP, TCP_WINDOW_CLAMP],
  TCP_DEFER_ACCEPT: [IPPROTO_TCP, TCP_DEFER_ACCEPT],
  TCP_KEEPIDLE: [IPPROTO_TCP, TCP_KEEPIDLE],
  TCP_KEEPINTVL: [IPPROTO_TCP, TCP_KEEPINTVL],
  TCP_KEEPCNT: [IPPROTO_TCP, TCP_KEEPCNT],
};

/** Sets options of a socket. @throws {Error} when one is refused */
export function setOptions(posix: Posix, fd: number, options: Readonly<Record<string, number | string>>): void {
  for (const [name, value] of Object.entries(options)) {
    const place = OPTIONS[name];
    if (place === undefined) throw new Error(`The simulator knows no option ${name}.`);
    const result = posix.setsockopt(fd, ...place, value);
    if (result < 0) throw new Error(`setsockopt(${name}, ${value}) was refused: ${errnoName(result)}.`);
  }
}

/** Lets close() reset the connection. */
export function lingerZero(posix: Posix, fd: number): void {
  posix.setsockopt(fd, SOL_SOCKET, SO_LINGER, { l_onoff: 1, l_linger: 0 });
}

// The names that scripts use for numbers: Linux's, those of this stack first, then those that only scripts know.
// Read first: Linux include/uapi/linux/{in,tcp,socket,errqueue,net_tstamp}.h and asm-generic/{socket,fcntl,poll}.h.

import * as layout from "../../assembly/layout.ts";
import * as posix from "../posix/constants.ts";

/** What neither the stack nor its POSIX layer gives a name: programs pass them, and scripts compare with them. */
const OTHERS: Readonly<Record<string, number>> = {
  NULL: 0,
  INADDR_ANY: 0,
  AF_INET6: 10,
  PF_INET: 2,
  PF_INET6: 10,
  SOCK_RAW: 3,
  SOL_IP: 0,
  SOL_TCP: 6,
  SOL_UDP: 17,
  SOL_IPV6: 41,
  IPPROTO_IPV6: 41,
  IPPROTO_MPTCP: 262,
  F_DUPFD: 0,
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NDELAY: 0o4000,
  MSG_WAITFORONE: 0x10000,
  MSG_CONFIRM: 0x800,
  MSG_SYN: 0x400,
  MSG_FIN: 0x200,
  MSG_RST: 0x1000,
  MSG_ZEROCOPY: 0x4000000,
  MSG_FASTOPEN: 0x20000000,
  MSG_CMSG_CLOEXEC: 0x40000000,
  EPOLLMSG: 0x400,
  POLLMSG: 0x400,
  EPOLL_CLOEXEC: 0o2000000,
  SO_RCVBUFFORCE: 33,
  SO_SNDBUFFORCE: 32,
  SO_NO_CHECK: 11,
  SO_BSDCOMPAT: 14,
  SO_BINDTODEVICE: 25,
  SO_ATTACH_FILTER: 26,
  SO_PEERNAME: 28,
  SO_MARK: 36,
  SO_TIMESTAMPNS: 35,
  SO_RXQ_OVFL: 40,
  SO_PEEK_OFF: 42,
  SO_BUSY_POLL: 46,
  SO_MAX_PACING_RATE: 47,
  SO_MEMINFO: 55,
  SO_INCOMING_NAPI_ID: 56,
  SO_COOKIE: 57,
  SO_ZEROCOPY: 60,
  SO_TXTIME: 61,
  SO_EE_ORIGIN_NONE: 0,
  SO_EE_ORIGIN_ICMP6: 3,
  SO_EE_ORIGIN_ZEROCOPY: 5,
  SO_EE_CODE_ZEROCOPY_COPIED: 1,
  SOF_TIMESTAMPING_TX_HARDWARE: 1,
  SOF_TIMESTAMPING_RX_HARDWARE: 4,
  SOF_TIMESTAMPING_RX_SOFTWARE: 8,
  SOF_TIMESTAMPING_SYS_HARDWARE: 32,
  SOF_TIMESTAMPING_RAW_HARDWARE: 64,
  SOF_TIMESTAMPING_OPT_CMSG: 1024,
  SOF_TIMESTAMPING_OPT_STATS: 4096,
  TCP_MD5SIG: 14,
  TCP_THIN_LINEAR_TIMEOUTS: 16,
  TCP_THIN_DUPACK: 17,
  TCP_REPAIR: 19,
  TCP_REPAIR_QUEUE: 20,
  TCP_QUEUE_SEQ: 21,
  TCP_REPAIR_OPTIONS: 22,
  TCP_CC_INFO: 26,
  TCP_SAVE_SYN: 27,
  TCP_SAVED_SYN: 28,
  TCP_REPAIR_WINDOW: 29,
  TCP_FASTOPEN_CONNECT: 30,
  TCP_ULP: 31,
  TCP_FASTOPEN_KEY: 33,
  TCP_FASTOPEN_NO_COOKIE: 34,
  TCP_ZEROCOPY_RECEIVE: 35,
  TCP_INQ: 36,
  TCP_CM_INQ: 36,
  TCP_TX_DELAY: 37,
  TCP_RTO_MAX_MS: 44,
  ICMP_UNREACH: 3,
  ICMP_UNREACH_NET: 0,
  ICMP_UNREACH_HOST: 1,
  ICMP_UNREACH_PROTOCOL: 2,
  ICMP_UNREACH_PORT: 3,
  ICMP_UNREACH_NEEDFRAG: 4,
  ICMP_TIMXCEED: 11,
  IP_HDRINCL: 3,
  IP_RECVOPTS: 6,
  IP_TRANSPARENT: 19,
  IP_MINTTL: 21,
  IP_BIND_ADDRESS_NO_PORT: 24,
  IPV6_RECVERR: 25,
  IPV6_V6ONLY: 26,
  IPV6_TCLASS: 67,
  SIOCOUTQNSD: 0x894b,
  TCP_SYN_RECV: layout.TCP_SYN_RECEIVED,
  TCP_FIN_WAIT1: layout.TCP_FIN_WAIT_1,
  TCP_FIN_WAIT2: layout.TCP_FIN_WAIT_2,
  TCP_CLOSE: layout.TCP_CLOSED,
  TCP_NEW_SYN_RECV: 12,
  TCP_CA_Open: 0,
  TCP_CA_Disorder: 1,
  TCP_CA_CWR: 2,
  TCP_CA_Recovery: 3,
  TCP_CA_Loss: 4,
  TCPI_OPT_TIMESTAMPS: 1,
  TCPI_OPT_SACK: 2,
  TCPI_OPT_WSCALE: 4,
  TCPI_OPT_ECN: 8,
  TCPI_OPT_ECN_SEEN: 16,
  TCPI_OPT_SYN_DATA: 32,
  TCPI_OPT_USEC_TS: 64,
  IPTOS_LOWDELAY: 0x10,
  IPTOS_THROUGHPUT: 8,
  IPTOS_RELIABILITY: 4,
  IPTOS_MINCOST: 2,
};

/** Errno names of calls that only scripts expect. */
const ERRNOS: Readonly<Record<string, number>> = {
  EWOULDBLOCK: layout.EAGAIN,
  ENOMSG: 42,
  ENOSYS: 38,
  ENOTSUP: layout.EOPNOTSUPP,
  EISDIR: 21,
  ESPIPE: 29,
  ERANGE: 34,
  ESHUTDOWN: 108,
  ECANCELED: 125,
  ETIME: 62,
  EADDRNOTAVAIL: layout.EADDRNOTAVAIL,
  EKEYREJECTED: 129,
  ESTALE: 116,
  E2BIG: 7,
};

/** Groups of layout.ts whose names are Linux's own. */
const LINUX = /^(E[A-Z0-9]+$|EPOLL|POLL|(AF|SOCK|SOL|SO|SOF|SCM|TCP|IP|IPPROTO|INADDR|MSG|F|FD|O|SHUT)_|FION|SIOC)/;

const numbers = new Map<string, number>();
for (const source of [layout, posix, OTHERS, ERRNOS] as Record<string, unknown>[]) {
  for (const [name, value] of Object.entries(source)) {
    if (typeof value === "number" && LINUX.test(name)) numbers.set(name, value);
  }
}
for (const [name, value] of Object.entries(OTHERS)) numbers.set(name, value);

const errnos = new Map<number, string>();
for (const [name, value] of numbers) {
  if (/^E(?!POLL|VENT)[A-Z0-9]+$/.test(name) && name !== "EWOULDBLOCK" && name !== "ENOTSUP") errnos.set(value, name);
}

/** The number of a name; undefined when scripts do not know it. */
export function numberOf(name: string): number | undefined {
  return numbers.get(name);
}

/** All names, for expressions. */
export function allNames(): ReadonlyMap<string, number> {
  return numbers;
}

/** "EAGAIN" for 11; the number as text when it has no name. */
export function errnoText(errno: number): string {
  return errnos.get(errno) ?? `errno ${errno}`;
}

// What every socket has, whatever its protocol; TCBs, listeners, UDP sockets and epoll instances extend it.
// The first 20 bytes are those of any object on the timing wheel (timer.ts).

import { ByteQueue } from "../memory/chunk";
import { Timer } from "../timer";

/** flags */
export const SF_NONBLOCK: u32 = 1;
export const SF_REUSEADDR: u32 = 2;
export const SF_REUSEPORT: u32 = 4;
export const SF_KEEPALIVE: u32 = 8;
export const SF_BROADCAST: u32 = 16;
export const SF_LINGER: u32 = 32;
export const SF_RECVERR: u32 = 64;
export const SF_BOUND_ADDRESS: u32 = 128; // bind() named an address
export const SF_BOUND_PORT: u32 = 256; // in the bind table
export const SF_RCVBUF_LOCKED: u32 = 512; // SO_RCVBUF was set: no autotuning
export const SF_SNDBUF_LOCKED: u32 = 1024;
export const SF_OOBINLINE: u32 = 2048;
export const SF_WANT_SPACE: u32 = 4096; // a writer found the send buffer full
export const SF_CLAIMED: u32 = 8192; // UDP: has an entry in the host's flow table
export const SF_MEMORY_WAIT: u32 = 8192; // TCP: in the list of those that wait for memory
export const SF_CONNECTING: u32 = 16384; // TCP: no call has been told yet how connect() ended (Linux: SS_CONNECTING)
export const SF_NAMED_PORT: u32 = 32768; // bind() named a port: it outlives the connection

/** shut */
export const SHUT_READ: u32 = 1;
export const SHUT_WRITE: u32 = 2;

@unmanaged
export class Socket extends Timer {
  /** Pending error, a positive errno (SO_ERROR). */
  error: u16;
  /** SHUT_READ, SHUT_WRITE. */
  shut: u8;
  ttl: u8;
  tos: u8;
  pmtuDiscover: u8;
  flags: u16;
  /** First epoll item that watches this socket, or 0. */
  epitems: u32;
  localAddress: u32;
  remoteAddress: u32;
  localPort: u16;
  remotePort: u16;
  /** Received bytes (TCP) or datagrams (UDP): a ByteQueue. */
  rcvHead: u32;
  rcvTail: u32;
  rcvBytes: u32;
  rcvBuf: u32;
  /** Options that few sockets set (SocketExtra), or 0. */
  extra: u32;
  /** Next socket in its bucket of the bind table. */
  bindNext: u32;
}

/** Options that few sockets set; a chunk is taken for them. */
@unmanaged
export class SocketExtra {
  link: u32;
  mark: u32;
  rcvLowat: u32;
  lingerMillis: u32;
  rcvTimeoutMicros: f64;
  sndTimeoutMicros: f64;
  /** SO_ERROR queue of IP_RECVERR: chunks, each one record. */
  errorHead: u32;
  errorTail: u32;
  errorCount: u32;
  multicastIf: u32;
  multicastTtl: u32;
  multicastLoop: u32;
  /** Memberships: group addresses with interface indices. */
  groupCount: u32;
  keepIdleMillis: u32;
  keepIntervalMillis: u32;
  keepCount: u32;
  /** TCP_DEFER_ACCEPT, as timeouts of a SYN,ACK. */
  deferAcceptTimeouts: u32;
  synCount: u32;
  /** TCP_LINGER2; 0: tcp_fin_timeout counts, LINGER2_NONE: no waiting in FIN-WAIT-2. */
  linger2Millis: u32;
  /** SO_PRIORITY */
  priority: u32;
  /** Ancillary data that recvmsg wants (CMSG_*). */
  control: u32;
  /** IP_FREEBIND: bind() takes addresses that this host does not have (yet). */
  freeBind: u32;
  /** IP_LOCAL_PORT_RANGE: lowest port, and highest in the upper half; 0: ip_local_port_range counts. */
  portRange: u32;
  /** IP_BIND_ADDRESS_NO_PORT: bind() to port 0 leaves the port to connect(). */
  bindNoPort: u32;
  /** SO_MARK */
  socketMark: u32;
  /** TCP_NOTSENT_LOWAT, bytes; 0: tcp_notsent_lowat counts. */
  notsentLowat: u32;
  /** SO_ZEROCOPY; how many sends with MSG_ZEROCOPY are over. */
  zerocopy: u32;
  zerocopySent: u32;
  /** ByteQueues of marks in the stream (tcp/marks.ts), and bytes of record marks that SND.NXT has passed. */
  zerocopyHead: u32;
  zerocopyTail: u32;
  zerocopyBytes: u32;
  recordsHead: u32;
  recordsTail: u32;
  recordsBytes: u32;
  recordsPassed: u32;
  /** SO_TIMESTAMPING: SOF_TIMESTAMPING_*; where the numbers of sends start; ByteQueue of their ends (tcp/stamps.ts). */
  timestamping: u32;
  stampBase: u32;
  stampsHead: u32;
  stampsTail: u32;
  stampsBytes: u32;
  stampsPassed: u32;
  /** TCP_WINDOW_CLAMP, bytes; 0 = none. */
  windowClamp: u32;
  /** TCP_FASTOPEN_KEY: keys that were given (0 to 2), then their words; those of the backup key follow. */
  fastopenKeys: u32;
  fastopenKey0: u32;
  fastopenKey1: u32;
  fastopenKey2: u32;
  fastopenKey3: u32;
  fastopenBackup0: u32;
  fastopenBackup1: u32;
  fastopenBackup2: u32;
  fastopenBackup3: u32;
  /** First of IP_MAX_MEMBERSHIPS memberships, 8 bytes each: group address, interface index. */
  groups: u32;
}

/** SocketExtra.linger2Millis */
export const LINGER2_NONE: u32 = 0xffffffff;

/** Ends of records inside a socket's extra options. */
export function recordQueue(extra: SocketExtra): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(extra) + offsetof<SocketExtra>("recordsHead"));
}

/** Ends of sends with MSG_ZEROCOPY. */
export function zerocopyQueue(extra: SocketExtra): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(extra) + offsetof<SocketExtra>("zerocopyHead"));
}

/** Ends of sends that SO_TIMESTAMPING reports. */
export function stampQueue(extra: SocketExtra): ByteQueue {
  return changetype<ByteQueue>(changetype<usize>(extra) + offsetof<SocketExtra>("stampsHead"));
}

/** SocketExtra.control */
export const CMSG_PKTINFO: u32 = 1;
export const CMSG_TTL: u32 = 2;
export const CMSG_TOS: u32 = 4;
export const CMSG_INQ: u32 = 8;

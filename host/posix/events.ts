// struct epoll_event and struct pollfd in JavaScript.

/** epoll_data_t: one 64-bit value under several names. */
export class EpollData {
  /** The low word, signed: what most programs keep, a descriptor. */
  fd = 0;
  /** The high word, signed. */
  high = 0;

  get u32(): number {
    return this.fd >>> 0;
  }

  get u64(): bigint {
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.fd >>> 0);
  }
}

/** struct epoll_event, as epoll_wait gives it. */
export class EpollEvent {
  events = 0;
  readonly data = new EpollData();
}

/** Writes the first `n` events of the exchange area into an array, whose missing elements are made. */
export function fillEvents(events: EpollEvent[], raw: Int32Array, n: number): void {
  for (let i = 0, at = 0; i < n; i++, at += 4) {
    let event = events[i];
    if (!(event instanceof EpollEvent)) events[i] = event = new EpollEvent();
    event.events = (raw[at] as number) >>> 0;
    event.data.fd = raw[at + 2] as number;
    event.data.high = raw[at + 3] as number;
  }
}

/** User data of a watch: `{ fd }`, `{ u32 }`, `{ u64 }`, or a number (up to 2^53). Default: the watched descriptor. */
export type EpollDataInput = number | { fd?: number; u32?: number; u64?: bigint; high?: number };

/** struct epoll_event, as epoll_ctl takes it. */
export interface EpollEventInput {
  events: number;
  data?: EpollDataInput;
}

/** struct pollfd. */
export interface PollFd {
  fd: number;
  events: number;
  revents?: number;
}

/** struct timeval. */
export interface TimeVal {
  tv_sec: number;
  tv_usec: number;
}

/** struct timespec. */
export interface TimeSpec {
  tv_sec: number;
  tv_nsec: number;
}

/** The two words of user data, low and high. */
export function dataWords(data: EpollDataInput | undefined, fd: number): [number, number] {
  if (data === undefined) return [fd, 0];
  if (typeof data === "number") return [data | 0, Math.floor(data / 4294967296) | 0];
  if (data.u64 !== undefined && !(data instanceof EpollData)) {
    return [Number(BigInt.asIntN(32, data.u64)), Number(BigInt.asIntN(32, data.u64 >> 32n))];
  }
  return [(data.fd ?? data.u32 ?? 0) | 0, (data.high ?? 0) | 0];
}

// Records what TCP_INFO tells of a connection over time, for the panels of its plot.
// Read first: veth/plot-panels.ts, which draws it; tcp(7) and struct tcp_info of <linux/tcp.h>.

import { parseDuration } from "../veth/options.ts";
import type { TcpInfoSample } from "../veth/plot.ts";
import { IPPROTO_TCP, TCP_INFO } from "./posix/constants.ts";
import type { Posix } from "./posix/posix.ts";
import type { TcpInfo } from "./posix/tcp-info.ts";

export interface TcpInfoLogOptions {
  /** Least time between two samples. Default: 1 ms. */
  every?: number | string;
  /** Samples kept; then the log is full and takes no more. Default: 1,000,000. */
  most?: number;
}

/** tcpi_snd_ssthresh of a connection that has not lost anything yet. */
const SSTHRESH_INFINITE = 0x7fffffff;

/** Samples of one descriptor. Call sample() as often as the network steps: it takes what is due and has changed. */
export class TcpInfoLog {
  /** In the order of time. */
  readonly samples: TcpInfoSample[] = [];
  readonly #posix: Posix;
  readonly #fd: number;
  readonly #everyMicros: number;
  readonly #most: number;
  #dueMicros = -Infinity;

  constructor(posix: Posix, fd: number, { every = "1ms", most = 1_000_000 }: TcpInfoLogOptions = {}) {
    this.#posix = posix;
    this.#fd = fd;
    this.#everyMicros = parseDuration("every", every);
    this.#most = most;
  }

  /** Takes a sample when one is due. @param nowMicros network.now(), the clock of captures */
  sample(nowMicros: number): void {
    if (nowMicros < this.#dueMicros || this.samples.length >= this.#most) return;
    this.#dueMicros = nowMicros + this.#everyMicros;
    const info: Partial<TcpInfo> = {};
    if (this.#posix.getsockopt(this.#fd, IPPROTO_TCP, TCP_INFO, info) < 0) return;
    const next = sampleOf(info, nowMicros);
    const last = this.samples.at(-1);
    if (last === undefined || !isSame(last, next)) this.samples.push(next);
  }
}

function sampleOf(info: Partial<TcpInfo>, timeMicros: number): TcpInfoSample {
  const mss = info.tcpi_snd_mss ?? 0;
  const { tcpi_unacked: unacked = 0, tcpi_sacked: sacked = 0, tcpi_lost: lost = 0, tcpi_retrans: resent = 0 } = info;
  const ssthresh = info.tcpi_snd_ssthresh ?? SSTHRESH_INFINITE;
  return {
    timeMicros,
    cwndBytes: (info.tcpi_snd_cwnd ?? 0) * mss,
    ssthreshBytes: ssthresh >= SSTHRESH_INFINITE ? Infinity : ssthresh * mss,
    rttMicros: info.tcpi_rtt ?? 0,
    flightBytes: Math.max(0, unacked - sacked - lost + resent) * mss,
  };
}

function isSame(a: TcpInfoSample, b: TcpInfoSample): boolean {
  return (
    a.cwndBytes === b.cwndBytes &&
    a.ssthreshBytes === b.ssthreshBytes &&
    a.rttMicros === b.rttMicros &&
    a.flightBytes === b.flightBytes
  );
}

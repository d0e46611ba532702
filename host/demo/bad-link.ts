// The demo's second half: the file over a bad link in simulated time, captured at both hosts and plotted. The same
// seed gives the same capture, to the last bit.
// Read first: transfer.ts; host/network.ts for virtual time; veth/plot.ts.

import { writeFile } from "node:fs/promises";
import type { Link } from "../../veth/index.ts";
import { readPcapng } from "../../veth/pcapng.ts";
import { plotCapture, type TcpInfoSample } from "../../veth/plot.ts";
import type { NetworkCapture } from "../capture.ts";
import type { Network } from "../network.ts";
import { TcpInfoLog } from "../tcp-info-log.ts";
import { CallError } from "./calls.ts";
import { createHosts, type Hosts } from "./hosts.ts";
import type { Source } from "./source.ts";
import { Transfer } from "./transfer.ts";

/** What the wire does to frames, each way; times in microseconds, shares from 0 to 1. */
export interface Impairments {
  loss: number;
  delayMicros: number;
  /** Most by which the delay varies, each way; frames stay in order. */
  jitterMicros: number;
  reorder: number;
  duplicate: number;
  corrupt: number;
  /** 0: no limit. */
  rateBits: number;
}

export interface BadOptions {
  seed: number | string;
  queues: number;
  impairments: Impairments;
  capturePath: string;
  plotPath: string;
  /** Most packets that are captured. */
  packets: number;
  /** Heading of the plot, and the line below it. */
  title: string;
  note: string;
}

export interface BadResult {
  /** SHA-256 of what the client received; undefined when the connection broke. */
  sha256: string | undefined;
  /** Why the connection broke. */
  error?: string;
  receivedBytes: number;
  /** Simulated time from the start of the connection to the end of the file, microseconds. */
  micros: number;
  /** Time that all this took on the machine, microseconds. */
  realMicros: number;
  goodputBits: number;
  /** What the server sent, and what both hosts sent again. */
  segments: number;
  retransmissions: number;
  fastRetransmits: number;
  timeouts: number;
  toClient: WireFigures;
  toServer: WireFigures;
  capture: { path: string; packets: number; isWhole: boolean };
  /** Undefined when there was no connection to plot. */
  plot: { path: string } | undefined;
}

/** Frames that one direction of the link was given, and those that got lost: by chance, or where a queue was full. */
export interface WireFigures {
  frames: number;
  lost: number;
}

/** Of a longer transfer only the beginning is captured by default: 25 MB of the file, 50 MB of capture. */
export const CAPTURE_PACKETS_DEFAULT = 60_000;
/** Longer than TCP's own patience (RFC 9293 3.8.3, R2: at least 100 s; here some 15 minutes). */
const STALL_MICROS_MAX = 3600e6;
/** Simulated time for the last segments, after the file has arrived. */
const FAREWELL = "3s";

/** Runs the second half. */
export async function badLink(
  source: Source,
  options: BadOptions,
  onProgress: (bytes: number, micros: number) => void,
): Promise<BadResult> {
  const { seed, queues, impairments, capturePath } = options;
  await using hosts = createHosts({ seed, queues, time: "virtual", link: linkOptions(impairments) });
  const { network } = hosts;
  const capture = network.capture(capturePath, { at: "both", comment: `${options.title}; ${options.note}` });
  const realStart = performance.now();
  const start = network.now();
  let transfer: Transfer | undefined;
  let error: string | undefined;
  let isWhole = true;
  let log: TcpInfoLog | undefined;
  try {
    const running = (transfer = new Transfer(hosts, source));
    const stall = new StallClock(network);
    const run = (isPaused: () => boolean): boolean =>
      network.runUntil(() => {
        onProgress(running.receivedBytes, network.now() - start);
        if (running.sender !== undefined) log ??= new TcpInfoLog(hosts.server.posix, running.sender);
        log?.sample(network.now());
        return running.step() || stall.isOver(running.receivedBytes) || isPaused();
      });
    run(() => capture.packets >= options.packets);
    if (capture.packets >= options.packets) {
      isWhole = false;
      await capture.close();
      run(() => false);
    }
    if (!running.isDone) error = "nothing arrived for a long time";
  } catch (failure) {
    if (!(failure instanceof CallError)) throw failure;
    error = failure.message;
  }
  const micros = network.now() - start;
  transfer?.close();
  network.advance(FAREWELL);
  await capture.close();
  const receivedBytes = transfer?.receivedBytes ?? 0;
  return {
    sha256: transfer?.sha256,
    ...(error !== undefined && { error }),
    receivedBytes,
    micros,
    realMicros: (performance.now() - realStart) * 1000,
    goodputBits: (receivedBytes * 8e6) / micros,
    ...figuresOf(hosts),
    capture: { path: capturePath, packets: capture.packets, isWhole },
    plot: await plot(capture, options, isWhole, log?.samples ?? []),
  };
}

/** Tells when nothing has arrived for too long; a host whose peer has given up may wait for ever. */
class StallClock {
  readonly #network: Network;
  #bytes = 0;
  #since: number;

  constructor(network: Network) {
    this.#network = network;
    this.#since = network.now();
  }

  isOver(bytes: number): boolean {
    const now = this.#network.now();
    if (bytes !== this.#bytes) this.#since = now;
    this.#bytes = bytes;
    return now - this.#since > STALL_MICROS_MAX;
  }
}

function linkOptions({ delayMicros, jitterMicros, rateBits, ...shares }: Impairments): object {
  return { ...shares, delay: delayMicros, jitter: jitterMicros, ordered: true, rate: rateBits };
}

type Counted = "segments" | "retransmissions" | "fastRetransmits" | "timeouts" | "toClient" | "toServer";

function figuresOf({ server, client }: Hosts): Pick<BadResult, Counted> {
  const counters = server.counters().tcp;
  const { toHost, toWire } = client.nic.links;
  return {
    segments: counters.outSegs ?? 0,
    retransmissions: (counters.retransSegs ?? 0) + (client.counters().tcp.retransSegs ?? 0),
    fastRetransmits: counters.fastRetrans ?? 0,
    timeouts: counters.timeouts ?? 0,
    toClient: wireFigures(toHost),
    toServer: wireFigures(toWire),
  };
}

function wireFigures(link: Link | undefined): WireFigures {
  if (link === undefined) return { frames: 0, lost: 0 };
  const { offered, lost, queueDrops, bufferDrops } = link.counters();
  return { frames: offered, lost: lost + queueDrops + bufferDrops };
}

/** Draws what the server sent, as far as it was captured. */
async function plot(
  capture: NetworkCapture,
  options: BadOptions,
  isWhole: boolean,
  info: readonly TcpInfoSample[],
): Promise<BadResult["plot"]> {
  if (capture.packets === 0) return undefined;
  const { capturePath, plotPath, title, note } = options;
  const most = options.packets.toLocaleString("en");
  const truncated = `Only the first ${most} packets were captured, nothing later is shown; --packets raises the limit.`;
  const page = { side: "server", title, note, info, ...(isWhole ? {} : { truncated }) } as const;
  try {
    await writeFile(plotPath, plotCapture(readPcapng(capturePath), page));
    return { path: plotPath };
  } catch (error) {
    // Where nothing but ARP got through there is no connection.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

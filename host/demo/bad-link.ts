// The demo's second half: the file over a bad link in simulated time, captured at both hosts and plotted. The same
// seed gives the same capture, to the last bit.
// Read first: transfer.ts; host/network.ts for virtual time; veth/plot.ts.

import { writeFile } from "node:fs/promises";
import { readPcapng } from "../../veth/pcapng.ts";
import { plotCapture } from "../../veth/plot.ts";
import type { NetworkCapture } from "../capture.ts";
import { CallError, createHosts, type Hosts } from "./hosts.ts";
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
  /** Of both hosts together. */
  segments: number;
  retransmissions: number;
  fastRetransmits: number;
  timeouts: number;
  /** Frames that the link was given, and those it lost. */
  frames: number;
  lostFrames: number;
  capture: { path: string; packets: number; isWhole: boolean };
  /** Undefined when there was no connection to plot. */
  plot: { path: string } | undefined;
}

/** Of a longer transfer only the beginning is captured: 25 MB of the file, 50 MB of capture. */
const CAPTURE_PACKETS_MAX = 60_000;
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
  const capture = network.capture(capturePath, { comment: `${options.title}; ${options.note}` });
  const realStart = performance.now();
  const start = network.now();
  let transfer: Transfer | undefined;
  let error: string | undefined;
  let isWhole = true;
  try {
    const running = (transfer = new Transfer(hosts, source));
    const run = (isPaused: () => boolean): void =>
      void network.runUntil(() => {
        onProgress(running.receivedBytes, network.now() - start);
        return running.step() || isPaused();
      });
    run(() => capture.packets >= CAPTURE_PACKETS_MAX);
    if (!running.isDone) {
      isWhole = false;
      await capture.close();
      run(() => false);
    }
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
    plot: await plot(capture, options),
  };
}

function linkOptions({ delayMicros, jitterMicros, rateBits, ...shares }: Impairments): object {
  return { ...shares, delay: delayMicros, jitter: jitterMicros, ordered: true, rate: rateBits };
}

function figuresOf({ server, client }: Hosts): Pick<BadResult, Counted> {
  const tcp = [server, client].map((host) => host.counters().tcp);
  const sum = (name: string): number => tcp.reduce((total, counters) => total + (counters[name] ?? 0), 0);
  const { toHost, toWire } = client.nic.links;
  const links = [toHost, toWire].flatMap((link) => (link === undefined ? [] : [link.counters()]));
  return {
    segments: sum("outSegs"),
    retransmissions: sum("retransSegs"),
    fastRetransmits: sum("fastRetrans"),
    timeouts: sum("timeouts"),
    frames: links.reduce((total, link) => total + link.offered, 0),
    lostFrames: links.reduce((total, link) => total + link.lost + link.queueDrops + link.bufferDrops, 0),
  };
}

type Counted = "segments" | "retransmissions" | "fastRetransmits" | "timeouts" | "frames" | "lostFrames";

/** Draws what the server sent, as far as it was captured. */
async function plot(capture: NetworkCapture, options: BadOptions): Promise<BadResult["plot"]> {
  if (capture.packets === 0) return undefined;
  const { capturePath, plotPath, title, note } = options;
  try {
    await writeFile(plotPath, plotCapture(readPcapng(capturePath), { side: "server", title, note }));
    return { path: plotPath };
  } catch (error) {
    // Where nothing but ARP got through there is no connection.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

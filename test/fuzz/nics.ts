// Hostile frames from NIC to NIC: what is sent plainly comes as it was, on the queue that RSS and the rules say; what
// asks for work (checksums, segmentation, tags) is done or refused. All of it is captured, counted, given back.
// Read first: veth/datapath/frame.ts and receive.ts; steering.ts, which judges.

import { PORT_QUEUES_MAX, RX_RSS_HASH, TX_IP_CSUM, TX_L4_CSUM, TX_TSO, TX_VLAN_INSERT } from "../../assembly/layout.ts";
import { Capture, type ReceivedPacket, type UserVeth } from "../../veth/index.ts";
import { chance } from "../support/chance.ts";
import { ip } from "../support/frames.ts";
import { Lab, receiveAll } from "../support/nics.ts";
import type { Sample } from "./corpus.ts";
import { mutate, type Random, randomFrame } from "./mutate.ts";
import { seal } from "./seal.ts";
import { flowKey, portKey, steer } from "./steering.ts";

const WORK = [TX_L4_CSUM, TX_IP_CSUM, TX_L4_CSUM | TX_IP_CSUM, TX_TSO, TX_VLAN_INSERT, TX_TSO | TX_VLAN_INSERT];
/** Frames that one pair of NICs lives for. */
const LIFE = 2000;
const MTU = 9000;
const TAG_BYTES = 4;
/** Ethernet with a tag, IPv4 and TCP with all options. */
const HEADERS_MAX = 138;

/** A NIC did what it must not. */
export class NicFailure extends Error {
  override readonly name = "NicFailure";
}

export interface NicFuzzOptions {
  frames: number;
  seed: number;
  corpus: readonly Sample[];
  onProgress?: (frames: number) => void;
}

/** Sends frames through pairs of NICs; returns how many. @throws {NicFailure}, and what a trap throws */
export function fuzzNics({ frames, seed, corpus, onProgress }: NicFuzzOptions): number {
  const random = chance(seed);
  let sent = 0;
  while (sent < frames) {
    const pair = new NicPair(random, corpus);
    for (let i = Math.min(LIFE, frames - sent); i > 0; i--, sent++) pair.turn();
    pair.end();
    onProgress?.(sent);
  }
  return sent;
}

class NicPair {
  readonly #random: Random;
  readonly #corpus: readonly Sample[];
  readonly #lab = new Lab();
  readonly #from: UserVeth;
  readonly #to: UserVeth;
  readonly #capture: Capture;
  readonly #rules = new Map<string, number>();
  readonly #strips: boolean;
  #sent = 0;
  #came = 0;

  constructor(random: Random, corpus: readonly Sample[]) {
    this.#random = random;
    this.#corpus = corpus;
    const coin = (): boolean => random(2) === 0;
    this.#strips = coin();
    const offloads = { txChecksum: coin(), rxChecksum: coin(), tso: coin(), lro: coin(), rssHash: true };
    const queues = 1 + random(random(2) === 0 ? 4 : PORT_QUEUES_MAX);
    const common = { mtu: MTU, promiscuous: true };
    [this.#from, this.#to] = this.#lab.pair(
      { ...common, offloads },
      { ...common, queues, ringSize: 64, offloads: { ...offloads, vlan: this.#strips } },
    );
    this.#capture = Capture.create(this.#lab, { size: "1MiB", snap: coin() ? 96 : 262_144 });
    this.#from.setCapture(this.#capture);
    this.#to.setCapture(this.#capture);
    this.#addRules();
  }

  /** Rules for what the corpus holds: its flow to port 80, datagrams to port 7, a whole port. */
  #addRules(): void {
    const { director, queues } = this.#to;
    const queue = (): number => this.#random(queues);
    for (const [protocol, number, port] of [["tcp", 6, 80] as const, ["udp", 17, 7] as const]) {
      if (this.#random(2) === 0) {
        const flow = { protocol, source: "10.0.0.2", destination: "10.0.0.1", sourcePort: 5000, destinationPort: port };
        const key = flowKey(number, ip("10.0.0.2"), ip("10.0.0.1"), (5000 << 16) | port);
        this.#rules.set(key, queue());
        director.add(flow, this.#rules.get(key)!);
      }
      if (this.#random(2) === 0) {
        this.#rules.set(portKey(number, port), queue());
        director.listen(protocol, port, this.#rules.get(portKey(number, port))!);
      }
    }
  }

  turn(): void {
    const frame = this.#frame();
    if (this.#random(4) === 0) this.#work(frame);
    else this.#pass(frame);
    if (this.#lab.packetsInUse !== 0) throw this.#failure(frame, "the packet was not given back");
  }

  #frame(): Uint8Array {
    const random = this.#random;
    const sample = (): Uint8Array => this.#corpus[random(this.#corpus.length)]!.frame;
    let frame = random(20) === 0 ? randomFrame(random) : mutate(sample(), sample(), random);
    if (frame.length < 15) frame = sample().slice();
    if (random(3) > 0) seal(frame, random(2) === 0);
    if (random(4) === 0)
      frame = Uint8Array.from([...frame.subarray(0, 12), 0x81, 0, random(256), random(5), ...frame.subarray(12)]);
    return frame;
  }

  /** Cuts bytes into the parts of a chain; headers may be cut anywhere. */
  #parts(bytes: Uint8Array): Uint8Array[] {
    const random = this.#random;
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const length =
        parts.length > 8 || random(2) === 0 ? bytes.length - at : 1 + random(Math.min(60, bytes.length - at));
      parts.push(bytes.slice(at, at + Math.min(length, 1500)));
      at += Math.min(length, 1500);
    }
    return parts;
  }

  /** A frame that asks for nothing. */
  #pass(frame: Uint8Array): void {
    this.#send(frame, {});
    const came = this.#receive();
    if (came.length !== 1) throw this.#failure(frame, `${came.length} frames came`);
    const [{ data, queue, rssHash, flags, vlanTci }] = came as [ReceivedPacket];
    const isTagged = frame.length >= 18 && frame[12] === 0x81 && frame[13] === 0;
    const strips = isTagged && this.#strips;
    const want = strips ? Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]) : frame;
    if (Buffer.compare(data, want) !== 0) throw this.#failure(frame, `it came as ${hex(data)}`);
    if (strips && vlanTci !== ((frame[14]! << 8) | frame[15]!)) throw this.#failure(frame, `its tag was ${vlanTci}`);
    const wanted = steer(this.#to, this.#rules, want);
    const hash = flags & RX_RSS_HASH ? rssHash : 0;
    if (queue !== wanted.queue || hash !== wanted.hash)
      throw this.#failure(frame, `expected ${JSON.stringify(wanted)}, it came on queue ${queue} with hash ${hash}`);
  }

  /** A frame that asks the NIC for work that may not make sense. */
  #work(frame: Uint8Array): void {
    const random = this.#random;
    const flags = random(20) === 0 ? 0xffffffff : WORK[random(WORK.length)]!;
    const mss = random(4) === 0 ? random(65536) : random(200);
    const long = random(3) === 0 ? Uint8Array.from([...frame, ...new Uint8Array(random(6000))]) : frame;
    if (long.length > frame.length && random(2) === 0) new DataView(long.buffer).setUint16(16, long.length - 14);
    this.#send(long, { flags, mss, vlanTci: random(65536) }, random(20) === 0 ? random(70_000) : undefined);
  }

  /** Sends a packet, after the other side has made room where there is none. @param claimed a length that is not so */
  #send(frame: Uint8Array, work: Parameters<Lab["packet"]>[1], claimed?: number): void {
    const packet = this.#lab.packet(this.#parts(frame), work);
    if (claimed !== undefined) this.#lab.lie(packet, claimed);
    this.#sent++;
    for (let turn = 0; this.#lab.txBurst(this.#from, [packet], this.#sent) === 0; turn++) {
      if (turn === 100) throw this.#failure(frame, "it was not taken");
      this.#receive();
    }
    if (work?.flags) this.#checkLengths(frame, work.flags, this.#receive());
  }

  /** Without segmentation, a frame comes as long as it was, but for tags; segments carry no more than was sent. */
  #checkLengths(frame: Uint8Array, flags: number, came: ReceivedPacket[]): void {
    const bytes = came.reduce((sum, { data }) => sum + data.length, 0);
    const isCut = (flags & TX_TSO) !== 0;
    const isRight = isCut ? bytes <= frame.length + came.length * HEADERS_MAX : came.length <= 1;
    const isLong = !isCut && came.length === 1 && Math.abs(bytes - frame.length) > TAG_BYTES;
    if (!isRight || isLong) throw this.#failure(frame, `${came.length} frames of ${bytes} bytes came`);
  }

  #receive(): ReceivedPacket[] {
    const { queues } = this.#to;
    const came = Array.from({ length: queues }, (_, queue) => receiveAll(this.#to, this.#sent, queue)).flat();
    this.#came += came.length;
    for (const { data, originalLength } of this.#capture.drain()) {
      if (data.length !== Math.min(originalLength, this.#capture.snap))
        throw new NicFailure(`A capture of ${originalLength} bytes has ${data.length}.`);
    }
    return came;
  }

  /** Everything was counted and given back. */
  end(): void {
    this.#receive();
    const [out, into] = [this.#from.xstats(), this.#to.xstats()];
    const { tx_good_packets: taken = 0, tx_errors: errors = 0, tx_oversize_errors: oversize = 0 } = out;
    const { rx_good_packets: came = 0, rx_missed_errors: missed = 0, rx_mbuf_allocation_errors: noMbuf = 0 } = into;
    const { rx_oversize_errors: large = 0, rx_filtered_packets: filtered = 0 } = into;
    // Each packet that was cut has come as so many segments.
    const { tx_tso_packets: tso = 0, tx_tso_segments: segments = 0 } = out;
    const left = taken - errors - oversize + segments;
    const arrived = came + missed + noMbuf + large + filtered;
    if (taken !== this.#sent || came !== this.#came || arrived > left || arrived < left - tso)
      throw new NicFailure(
        `${this.#sent} packets were sent, ${this.#came} came: ${JSON.stringify(out)}, ${JSON.stringify(into)}`,
      );
    if (this.#to.mbufsInUse().some((used) => used !== 0)) throw new NicFailure("Receive mbufs were not given back.");
    if (this.#capture.dropped !== 0) throw new NicFailure(`The capture lost ${this.#capture.dropped} frames.`);
    this.#from.close();
    this.#to.close();
    this.#capture.close();
  }

  #failure(frame: Uint8Array, what: string): NicFailure {
    return new NicFailure(`Frame ${this.#sent}, ${hex(frame)}: ${what}`);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 200)).toString("hex");
}

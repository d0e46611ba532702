// A capture of a whole network: one ring in shared memory that the NICs copy into, drained into a pcapng file.
// Read first: veth/capture.ts, veth/pcapng-writer.ts.

import { Capture, type CaptureRecord, type UserVeth, type VethModule } from "../veth/index.ts";
import { checkNames, parseWord } from "../veth/options.ts";
import { type PcapngMark, PcapngWriter } from "../veth/pcapng.ts";
import type { Host } from "./host.ts";

export interface NetworkCaptureOptions {
  /** Names of the hosts whose NICs are captured. Default: all. */
  hosts?: readonly string[];
  /**
   * "sender": each frame once, as it leaves the NIC of its sender, before the link may lose it; frames of hosts that
   * are not captured where they arrive. "both": at each NIC that it passes, by interface name, so that losses show.
   * Default: "sender".
   */
  at?: "sender" | "both";
  /** Put in the head of the file. */
  comment?: string;
}

/** Holds the frames of one step of the network in the worst case. */
const RING = "32MiB";
/** The same for one host. */
const ISOLATED_RING = "8MiB";

/** Where the sender's MAC address lies in a frame. */
const SOURCE_MAC = 6;

/** A MAC address as a number: 48 bits are exact in one. */
function macAt(bytes: Uint8Array, at: number): number {
  let mac = 0;
  for (let i = at; i < at + 6; i++) mac = mac * 256 + (bytes[i] as number);
  return mac;
}

/** More than one beat of a stack can put into the ring. */
const DRAIN_MAX = 8192;

/** A running capture. Close it (or declare it with `await using`) to complete the file. */
export class NetworkCapture implements AsyncDisposable {
  /** A ring in each memory that captured NICs lie in. */
  readonly #rings = new Map<VethModule, Capture>();
  readonly #veth: VethModule;
  readonly #writer: PcapngWriter;
  readonly #ended: () => void;
  readonly #wanted: readonly string[] | undefined;
  readonly #isOnce: boolean;
  /** MAC addresses of captured NICs, as numbers: what comes from there has been written when it was sent. */
  readonly #senders = new Set<number>();
  readonly #nics: UserVeth[] = [];
  /** Interface numbers of the file by PORT_INDEX. */
  readonly #interfaces = new Map<number, number>();
  #isClosed = false;

  /** @internal use Network.capture() */
  constructor(veth: VethModule, target: string, options: NetworkCaptureOptions, ended: () => void) {
    checkNames("capture", options, ["hosts", "at", "comment"]);
    const head = { application: "oribi", comment: options.comment ?? "" };
    this.#writer = target === "memory" ? PcapngWriter.toMemory(head) : PcapngWriter.toFile(target, head);
    this.#veth = veth;
    this.#ringIn(veth);
    this.#wanted = options.hosts;
    this.#isOnce = parseWord("capture.at", options.at ?? "sender", ["sender", "both"]) === "sender";
    this.#ended = ended;
  }

  /** @internal a host joins the network */
  add(host: Host): void {
    this.#addNic(host.name, `${host.name} (${host.address})`, host.nic, host.veth);
  }

  /** @internal an ltran joins the network: whatever passes its NIC passes one of a host as well */
  addLtran(name: string, nic: UserVeth): void {
    if (!this.#isOnce || this.#wanted !== undefined) this.#addNic(name, `${name} (ltran)`, nic);
  }

  /** `veth`: what the NIC lies in, when that is not the network's memory. */
  #addNic(name: string, description: string, nic: UserVeth, veth = this.#veth): void {
    if (this.#wanted !== undefined && !this.#wanted.includes(name)) return;
    const mac = Uint8Array.from(nic.mac.split(":"), (byte) => parseInt(byte, 16));
    const id = this.#writer.addInterface({ name, description, mac });
    this.#interfaces.set(nic.index, id);
    this.#senders.add(macAt(mac, 0));
    this.#nics.push(nic);
    nic.setCapture(this.#ringIn(veth));
  }

  #ringIn(veth: VethModule): Capture {
    let ring = this.#rings.get(veth);
    if (ring === undefined) {
      ring = Capture.create(veth, { size: veth === this.#veth ? RING : ISOLATED_RING });
      this.#rings.set(veth, ring);
    }
    return ring;
  }

  /** Frames written so far. */
  get packets(): number {
    return this.#writer.packets;
  }

  /** Frames that the ring had no room for. */
  get dropped(): number {
    let dropped = 0;
    for (const ring of this.#rings.values()) dropped += ring.dropped;
    return dropped;
  }

  /** @internal how far it has come, for snapshots */
  mark(): PcapngMark {
    this.drain(Infinity);
    return this.#writer.mark();
  }

  /** @internal takes back what was captured since */
  rewind(mark: PcapngMark): void {
    this.drain(Infinity);
    this.#writer.rewind(mark);
  }

  /** @internal moves what is in the ring to the file; `most` records, since other threads may go on filling it */
  drain(most = DRAIN_MAX): void {
    for (const [veth, ring] of this.#rings) {
      try {
        this.#drainRing(ring, most);
      } catch (error) {
        if (veth === this.#veth) throw error;
        // The memory of an isolated stack may hold anything: then there is no more to be had from it.
        this.#rings.delete(veth);
      }
    }
  }

  #drainRing(ring: Capture, most: number): void {
    for (let n = 0; n < most; n++) {
      const record = ring.next();
      if (record === undefined) return;
      const id = this.#interfaces.get(record.port);
      if (id === undefined || (this.#isOnce && this.#isWritten(record))) continue;
      this.#writer.packet(id, Number(record.timeNanos) / 1000, record.data, {
        direction: record.direction,
        originalLength: record.originalLength,
      });
    }
  }

  /** Was it written when it left the NIC that sent it? */
  #isWritten({ direction, data }: CaptureRecord): boolean {
    return direction === "inbound" && this.#senders.has(macAt(data, SOURCE_MAC));
  }

  /** Ends the capture and completes the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const nic of this.#nics) nic.setCapture(null);
    this.drain(Infinity);
    const first = this.#interfaces.values().next().value;
    if (first !== undefined) this.#writer.statistics(first, { dropped: this.dropped });
    await this.#writer.close();
    for (const ring of this.#rings.values()) ring.close();
    this.#ended();
  }

  /** The file's bytes, for a capture to "memory"; complete once it is closed. */
  bytes(): Uint8Array {
    return this.#writer.bytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

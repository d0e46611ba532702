// A capture of a whole network: one ring in shared memory that the NICs copy into, drained into a pcapng file.
// Read first: veth/capture.ts, veth/pcapng-writer.ts.

import { Capture, type VethModule } from "../veth/index.ts";
import { PcapngWriter } from "../veth/pcapng.ts";
import type { Host } from "./host.ts";

export interface NetworkCaptureOptions {
  /** Names of the hosts whose NICs are captured. Default: all. */
  hosts?: readonly string[];
  /** Put in the head of the file. */
  comment?: string;
}

/** Holds the frames of one step of the network in the worst case. */
const RING = "32MiB";

/** More than one beat of a stack can put into the ring. */
const DRAIN_MAX = 8192;

/** A running capture. Close it (or declare it with `await using`) to complete the file. */
export class NetworkCapture implements AsyncDisposable {
  readonly #ring: Capture;
  readonly #writer: PcapngWriter;
  readonly #ended: () => void;
  readonly #wanted: readonly string[] | undefined;
  readonly #hosts: Host[] = [];
  /** Interface numbers of the file by PORT_INDEX. */
  readonly #interfaces = new Map<number, number>();
  #isClosed = false;

  /** @internal use Network.capture() */
  constructor(veth: VethModule, target: string, options: NetworkCaptureOptions, ended: () => void) {
    const head = { application: "oribi", comment: options.comment ?? "" };
    this.#writer = target === "memory" ? PcapngWriter.toMemory(head) : PcapngWriter.toFile(target, head);
    this.#ring = Capture.create(veth, { size: RING });
    this.#wanted = options.hosts;
    this.#ended = ended;
  }

  /** @internal a host joins the network */
  add(host: Host): void {
    if (this.#wanted !== undefined && !this.#wanted.includes(host.name)) return;
    const { nic } = host;
    const mac = Uint8Array.from(nic.mac.split(":"), (byte) => parseInt(byte, 16));
    const id = this.#writer.addInterface({ name: host.name, description: `${host.name} (${host.address})`, mac });
    this.#interfaces.set(nic.index, id);
    this.#hosts.push(host);
    nic.setCapture(this.#ring);
  }

  /** Frames written so far. */
  get packets(): number {
    return this.#writer.packets;
  }

  /** Frames that the ring had no room for. */
  get dropped(): number {
    return this.#ring.dropped;
  }

  /** @internal moves what is in the ring to the file; `most` records, since other threads may go on filling it */
  drain(most = DRAIN_MAX): void {
    for (let n = 0; n < most; n++) {
      const record = this.#ring.next();
      if (record === undefined) return;
      const id = this.#interfaces.get(record.port);
      if (id === undefined) continue;
      this.#writer.packet(id, Number(record.timeNanos) / 1000, record.data, {
        direction: record.direction,
        originalLength: record.originalLength,
      });
    }
  }

  /** Ends the capture and completes the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const host of this.#hosts) host.nic.setCapture(null);
    this.drain(Infinity);
    const first = this.#interfaces.values().next().value;
    if (first !== undefined) this.#writer.statistics(first, { dropped: this.#ring.dropped });
    await this.#writer.close();
    this.#ring.close();
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

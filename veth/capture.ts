// A capture ring seen from the host: frames as they crossed the wire at one or several ports, in order.
// Read first: veth/datapath/capture.ts. What is drained here goes into a file with pcapng.ts.

import {
  CAPTURE_DROPPED,
  CAPTURE_OUT,
  CAPTURE_RECEIVED,
  CAPTURE_SNAP,
  RECORD_DIRECTION,
  RECORD_HEADER,
  RECORD_LENGTH,
  RECORD_NANOS,
  RECORD_ORIGINAL,
  RECORD_PORT,
  RECORD_QUEUE,
} from "../assembly/layout.ts";
import { bytesAt, readCounter, readWord, VethError, type VethModule, viewOf } from "./module.ts";
import { OptionError, parseSize, type Size, withDefaults } from "./options.ts";

export interface CaptureOptions {
  /** Bytes of the ring, a power of two from 64 KiB to 1 GiB. What finds it full is counted, not kept. */
  size?: Size;
  /** Bytes kept of each frame. */
  snap?: Size;
}

export const CAPTURE_DEFAULTS: Readonly<Required<CaptureOptions>> = Object.freeze({ size: "4MiB", snap: 262144 });

/** One frame as it was on the wire: checksums computed, tags in place. */
export interface CaptureRecord {
  /** PORT_INDEX of the port where it was seen. */
  port: number;
  /** Seen from the host: "inbound" came from the wire, "outbound" went to it. */
  direction: "inbound" | "outbound";
  queue: number;
  /** When it crossed, nanoseconds of the time base of the polls. */
  timeNanos: bigint;
  /** The same in microseconds, as pcapng.ts takes it. */
  timeMicros: number;
  /** Bytes on the wire; `data` has fewer when the snap length cut it. */
  originalLength: number;
  data: Uint8Array;
}

/** Where a capture lies, as plain data: for workers. */
export interface CaptureDescription {
  kind: "capture";
  handle: number;
}

/** A ring that ports copy frames into (`port.setCapture`), and that one reader drains. */
export class Capture {
  readonly handle: number;
  readonly #module: VethModule;

  private constructor(module: VethModule, handle: number) {
    this.#module = module;
    this.handle = handle;
  }

  static create(module: VethModule, options: CaptureOptions = {}): Capture {
    const { size, snap } = withDefaults(CAPTURE_DEFAULTS, options);
    const bytes = parseSize("capture.size", size);
    if (bytes < 65536 || bytes > 1073741824 || (bytes & (bytes - 1)) !== 0) {
      throw new OptionError("capture.size", size, "a power of two from 64KiB to 1GiB");
    }
    const kept = parseSize("capture.snap", snap);
    if (kept < 14) throw new OptionError("capture.snap", snap, "at least 14 bytes");
    const handle = module.allocate(module.exports.captureBytes(bytes));
    module.exports.captureInit(handle, bytes, kept);
    return new Capture(module, handle);
  }

  static attach(module: VethModule, description: CaptureDescription): Capture {
    return new Capture(module, description.handle);
  }

  describe(): CaptureDescription {
    return { kind: "capture", handle: this.handle };
  }

  /** Bytes kept of each frame. */
  get snap(): number {
    return readWord(this.#module, this.handle + CAPTURE_SNAP);
  }

  /** Frames put into the ring so far. */
  get received(): number {
    return readCounter(this.#module, this.handle + CAPTURE_RECEIVED);
  }

  /** Frames that found the ring full (pcapng: isb_ifdrop). */
  get dropped(): number {
    return readCounter(this.#module, this.handle + CAPTURE_DROPPED);
  }

  /** Takes the oldest frame out of the ring, or undefined when there is none. */
  next(): CaptureRecord | undefined {
    const at = this.#module.exports.captureNext(this.handle) >>> 0;
    if (at === 0) return undefined;
    const view = viewOf(this.#module);
    const timeNanos = view.getBigUint64(at + RECORD_NANOS, true);
    const record: CaptureRecord = {
      port: view.getUint16(at + RECORD_PORT, true),
      direction: view.getUint8(at + RECORD_DIRECTION) === CAPTURE_OUT ? "outbound" : "inbound",
      queue: view.getUint8(at + RECORD_QUEUE),
      timeNanos,
      timeMicros: Number(timeNanos) / 1000,
      originalLength: view.getUint32(at + RECORD_ORIGINAL, true),
      data: bytesAt(this.#module, at + RECORD_HEADER, view.getUint32(at + RECORD_LENGTH, true)).slice(),
    };
    this.#module.exports.captureRelease(this.handle);
    return record;
  }

  /** Takes out what is there, at most `limit` frames. One reader at a time. */
  drain(limit = Infinity): CaptureRecord[] {
    const records: CaptureRecord[] = [];
    while (records.length < limit) {
      const record = this.next();
      if (record === undefined) break;
      records.push(record);
    }
    return records;
  }

  /** Gives the ring's memory back. No port may capture into it any more. */
  close(): void {
    if (this.#module.free === undefined) return;
    if (readWord(this.#module, this.handle) === 0) throw new VethError("ERR_ORIBI_CLOSED", "This capture is closed.");
    bytesAt(this.#module, this.handle, 4).fill(0);
    this.#module.free(this.handle);
  }
}

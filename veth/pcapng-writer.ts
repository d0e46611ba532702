// Writes pcapng captures with nanosecond stamps, to a file or to memory; the same calls give the same bytes.
// Read first: draft-ietf-opsawg-pcapng, sections 4.1 (SHB), 4.2 (IDB), 4.3 (EPB), 4.6 (ISB).

import * as format from "./pcapng-format.ts";
import type { Direction } from "./pcapng-format.ts";
import { addressAndMask, binary, integer, macBytes, NO_OPTIONS, text, timeBytes, u64 } from "./pcapng-options.ts";
import { nanosWords, packetOptions } from "./pcapng-options.ts";
import type { Option } from "./pcapng-options.ts";
import { Sink } from "./pcapng-sink.ts";

const { padded } = format;

/** What the section header says about the capture. An absent field is not written. */
export interface PcapngOptions {
  /** The machine, for example the CPU. */
  hardware?: string;
  /** The operating system. */
  os?: string;
  /** The program that writes; default "Oribi". */
  application?: string;
  /** A remark about the whole capture, for example the seed. */
  comment?: string;
  /**
   * Whole seconds added to every stamp (if_tsoffset), default 0. With it a real clock counts from a near start and
   * keeps its nanoseconds, which microseconds since 1970 in a double cannot.
   */
  epochSeconds?: number;
}

/** One port of the capture. An absent field is not written. */
export interface InterfaceOptions {
  name: string;
  description?: string;
  /** Six bytes. */
  mac?: Uint8Array;
  /** IPv4 address, host order. */
  address?: number;
  /** Bits of the network part of `address`, 0 to 32; default 32. */
  prefixLength?: number;
  /** Bits per second. */
  speedBits?: number;
  /** Bytes kept of each packet; default 262,144. */
  snaplen?: number;
}

/** What is known about a packet beside its bytes. */
export interface PacketInfo {
  /** Seen from the host that owns the interface. */
  direction?: Direction;
  comment?: string | readonly string[];
  /** Length on the wire, bytes; default: that of the data. */
  originalLength?: number;
  /** NIC queue. */
  queue?: number;
  /** Packets lost between the previous one on this interface and this one. */
  dropCount?: number;
}

/** Counters of an interface, written when the capture is closed. */
export interface InterfaceStatistics {
  /** Packets that reached the interface; default: the packets written for it. */
  received?: number;
  /** Packets it dropped for lack of resources; default 0. */
  dropped?: number;
}

interface Port {
  name: string;
  snaplen: number;
  packets: number;
  firstMicros: number;
  lastMicros: number;
  statistics: InterfaceStatistics;
}

/** How far a capture had come: what rewind() takes. */
export interface PcapngMark {
  readonly size: number;
  readonly packets: number;
  readonly ports: readonly Readonly<Port>[];
}

/** A capture being written. Close it (or declare it with `await using`): closing writes the statistics blocks. */
export class PcapngWriter implements AsyncDisposable {
  private readonly ports: Port[] = [];
  private readonly epochSeconds: number;
  private written = 0;
  private readonly stamp = new Uint32Array(2);
  private closed = false;
  private failed = false;

  private constructor(
    private readonly sink: Sink,
    options: PcapngOptions,
  ) {
    this.epochSeconds = integer("epochSeconds", options.epochSeconds ?? 0);
    this.sectionHeader(options);
  }

  /**
   * Starts a capture in a file; an existing file is replaced.
   * @throws the node:fs error (ENOENT, EACCES, ...) when the file cannot be created, RangeError for a bad option
   */
  static toFile(path: string | URL, options: PcapngOptions = {}): PcapngWriter {
    return new PcapngWriter(new Sink(path), options);
  }

  /** Starts a capture in memory; read it with bytes(). */
  static toMemory(options: PcapngOptions = {}): PcapngWriter {
    return new PcapngWriter(new Sink(), options);
  }

  /** Packets written so far. */
  get packets(): number {
    return this.written;
  }

  /** Size of the capture so far, bytes. */
  get size(): number {
    return this.sink.total;
  }

  /**
   * Describes a port; packets name it by the number returned. Ports may be added at any time before their packets.
   * @throws RangeError when a field is out of range
   */
  addInterface(options: InterfaceOptions): number {
    this.assertOpen();
    const snaplen = integer("snaplen", options.snaplen ?? format.SNAPLEN_DEFAULT, 1, 2 ** 31 - 1);
    this.interfaceDescription(options, snaplen);
    const { name } = options;
    this.ports.push({ name, snaplen, packets: 0, firstMicros: Infinity, lastMicros: -Infinity, statistics: {} });
    return this.ports.length - 1;
  }

  /**
   * Writes one packet, copying its bytes before it returns.
   * @param interfaceId what addInterface returned
   * @param timeMicros time of the packet in microseconds (fractions are kept to the nanosecond), 0 or more
   * @param data the frame from its Ethernet header on; may be a view of shared memory
   * @throws RangeError for an unknown interface or a time that is negative or not finite
   */
  packet(interfaceId: number, timeMicros: number, data: Uint8Array, info?: PacketInfo): void {
    this.assertOpen();
    const port = this.port(interfaceId);
    if (!(timeMicros >= 0 && timeMicros < 2 ** 53)) {
      throw new RangeError(`the time of a packet is ${timeMicros}: expected microseconds from 0 to 2^53`);
    }
    const captured = data.length > port.snaplen ? data.subarray(0, port.snaplen) : data;
    const options = info === undefined ? NO_OPTIONS : packetOptions(info);
    const originalLength = info?.originalLength ?? data.length;
    const length = this.beginBlock(format.BLOCK_ENHANCED_PACKET, 20 + padded(captured.length), options);
    this.sink.putU32(interfaceId);
    this.putTime(timeMicros);
    this.sink.putU32(captured.length);
    this.sink.putU32(originalLength);
    this.sink.putPadded(captured);
    this.endBlock(options, length);
    port.packets += 1;
    port.firstMicros = Math.min(port.firstMicros, timeMicros);
    port.lastMicros = Math.max(port.lastMicros, timeMicros);
    this.written += 1;
  }

  /** Sets the counters that closing writes for an interface. */
  statistics(interfaceId: number, statistics: InterfaceStatistics): void {
    const { received, dropped } = statistics;
    if (received !== undefined) integer("received", received, 0);
    if (dropped !== undefined) integer("dropped", dropped, 0);
    this.port(interfaceId).statistics = statistics;
  }

  /** How far the capture has come. */
  mark(): PcapngMark {
    return { size: this.size, packets: this.written, ports: this.ports.map((port) => ({ ...port })) };
  }

  /** Takes back everything that was written since a mark of this capture. */
  rewind({ size, packets, ports }: PcapngMark): void {
    this.assertOpen();
    this.sink.truncate(size);
    this.written = packets;
    this.ports.splice(0, Infinity, ...ports.map((port) => ({ ...port })));
  }

  /** Hands what is buffered to the operating system, so that a reader of the file sees every packet written. */
  flush(): void {
    this.sink.flush();
  }

  /** Writes the statistics and ends the capture; closing again does nothing. */
  close(): Promise<void> {
    // A promise from synchronous work: a failing write must reject, not throw.
    return new Promise((resolve) => {
      this.finish();
      resolve();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A copy of a capture in memory, complete once it is closed. @throws Error for a capture that goes to a file */
  bytes(): Uint8Array {
    const pending = this.sink.pending();
    if (pending.length !== this.sink.total) throw new Error("the capture went to a file: read it from there");
    return pending.slice();
  }

  private finish(): void {
    if (this.closed) return;
    if (!this.failed) this.ports.forEach((port, interfaceId) => this.interfaceStatistics(port, interfaceId));
    this.closed = true;
    this.sink.close();
  }

  private sectionHeader(options: PcapngOptions): void {
    const texts = [
      text(format.OPT_COMMENT, options.comment),
      text(format.SHB_HARDWARE, options.hardware),
      text(format.SHB_OS, options.os),
      text(format.SHB_USERAPPL, options.application ?? "Oribi"),
    ];
    const list = texts.flat();
    const length = this.beginBlock(format.BLOCK_SECTION_HEADER, 16, list);
    this.sink.putU32(format.BYTE_ORDER_MAGIC);
    this.sink.putU16(1); // major version
    this.sink.putU16(0); // minor version
    this.sink.putU32(0xffffffff); // section length -1: not known, as a stream cannot know it
    this.sink.putU32(0xffffffff);
    this.endBlock(list, length);
  }

  private interfaceDescription(options: InterfaceOptions, snaplen: number): void {
    const { mac, address, speedBits } = options;
    const list = [
      text(format.IF_NAME, options.name),
      text(format.IF_DESCRIPTION, options.description),
      address === undefined ? [] : binary(format.IF_IPV4ADDR, addressAndMask(address, options.prefixLength ?? 32)),
      mac === undefined ? [] : binary(format.IF_MACADDR, macBytes(mac)),
      speedBits === undefined ? [] : binary(format.IF_SPEED, u64(integer("speedBits", speedBits, 0))),
      binary(format.IF_TSRESOL, Uint8Array.of(format.TSRESOL_NANOS)),
      this.epochSeconds === 0 ? [] : binary(format.IF_TSOFFSET, u64(this.epochSeconds)),
    ].flat();
    const length = this.beginBlock(format.BLOCK_INTERFACE, 8, list);
    this.sink.putU16(format.LINKTYPE_ETHERNET);
    this.sink.putU16(0); // reserved
    this.sink.putU32(snaplen);
    this.endBlock(list, length);
  }

  private interfaceStatistics(port: Port, interfaceId: number): void {
    const seen = port.packets > 0;
    const list = [
      seen ? binary(format.ISB_STARTTIME, timeBytes(port.firstMicros)) : [],
      seen ? binary(format.ISB_ENDTIME, timeBytes(port.lastMicros)) : [],
      binary(format.ISB_IFRECV, u64(port.statistics.received ?? port.packets)),
      binary(format.ISB_IFDROP, u64(port.statistics.dropped ?? 0)),
    ].flat();
    const length = this.beginBlock(format.BLOCK_INTERFACE_STATISTICS, 12, list);
    this.sink.putU32(interfaceId);
    // The time of the statistics is the last packet's, not the clock's: the same calls give the same bytes.
    this.putTime(seen ? port.lastMicros : 0);
    this.endBlock(list, length);
  }

  /** Opens a block: type, length (3.1). The caller puts `bodyLength` bytes and calls endBlock. */
  private beginBlock(type: number, bodyLength: number, options: readonly Option[]): number {
    let length = 12 + bodyLength;
    for (const option of options) length += 4 + padded(option.value.length);
    if (options.length > 0) length += 4;
    this.reserve(length);
    this.sink.putU32(type);
    this.sink.putU32(length);
    return length;
  }

  /** Ends a block: options, the length again, so that a reader can walk backwards (3.1). */
  private endBlock(options: readonly Option[], length: number): void {
    for (const { code, value } of options) {
      this.sink.putU16(code);
      this.sink.putU16(value.length);
      this.sink.putPadded(value);
    }
    if (options.length > 0) this.sink.putU32(format.OPT_END);
    this.sink.putU32(length);
  }

  /** A write that failed once (a full disk) would leave half a block: nothing more is written after it. */
  private reserve(length: number): void {
    try {
      this.sink.reserve(length);
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }

  /** A stamp: high word first, whatever the byte order of the section (4.3). */
  private putTime(micros: number): void {
    nanosWords(micros, this.stamp);
    this.sink.putU32(this.stamp[0]!);
    this.sink.putU32(this.stamp[1]!);
  }

  private port(interfaceId: number): Port {
    const port = this.ports[interfaceId];
    if (port === undefined)
      throw new RangeError(`interface ${interfaceId} was not added: this capture has ${this.ports.length}`);
    return port;
  }

  private assertOpen(): void {
    if (this.closed) throw new Error("the capture is closed");
    if (this.failed) throw new Error("an earlier write of the capture failed: nothing more can be added");
  }
}

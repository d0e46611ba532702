// Reads pcapng captures: both byte orders, every stamp resolution, packets of all three block types.
// Read first: draft-ietf-opsawg-pcapng, section 4 (blocks), and 4.2 for if_tsresol and if_tsoffset.

import * as format from "./pcapng-format.ts";
import type { Direction } from "./pcapng-format.ts";
import { blocks, PcapngError } from "./pcapng-source.ts";
import type { Block } from "./pcapng-source.ts";

export { PcapngError };

/** What the section header says. */
export interface CaptureSection {
  hardware: string | undefined;
  os: string | undefined;
  application: string | undefined;
  comments: readonly string[];
}

/** A port of the capture. */
export interface CaptureInterface {
  section: CaptureSection;
  /** Its number within its section. */
  id: number;
  name: string;
  description: string | undefined;
  mac: Uint8Array | undefined;
  /** IPv4 address, host order. */
  address: number | undefined;
  linkType: number;
  /** Bytes kept of each packet; 0 means no limit. */
  snaplen: number;
  /** Counters, once the statistics block was read (it follows the packets). */
  received: number | undefined;
  dropped: number | undefined;
}

export interface CapturedPacket {
  interface: CaptureInterface;
  /** Nanoseconds, exact; since 1970 or since the start of a simulated clock. 0 for a packet without a stamp. */
  timestampNanos: bigint;
  /** The same in microseconds, as near as a double comes. */
  timeMicros: number;
  /** The captured bytes. */
  data: Uint8Array;
  /** Length on the wire, bytes. */
  originalLength: number;
  comments: readonly string[];
  direction: Direction;
}

/** An interface and what its stamps count. */
interface Port {
  interface: CaptureInterface;
  /** Stamp * numerator / denominator + offset = nanoseconds. */
  numerator: bigint;
  denominator: bigint;
  offsetNanos: bigint;
}

interface RawOption {
  code: number;
  value: DataView;
}

const text = new TextDecoder();

/**
 * Yields the packets of a capture in file order. Blocks it does not know are skipped, as the draft asks.
 * @param source the bytes of a capture, or the path of a file, which is read piece by piece
 * @throws PcapngError where the capture is damaged; the node:fs error when the file cannot be read
 */
export function* readPcapng(source: Uint8Array | string | URL): Generator<CapturedPacket, void, void> {
  let section: CaptureSection = { hardware: undefined, os: undefined, application: undefined, comments: [] };
  let ports: Port[] = [];
  for (const block of blocks(source)) {
    switch (block.type) {
      case format.BLOCK_SECTION_HEADER:
        section = readSection(block);
        ports = [];
        break;
      case format.BLOCK_INTERFACE:
        ports.push(readInterface(block, section, ports.length));
        break;
      case format.BLOCK_INTERFACE_STATISTICS:
        readStatistics(block, ports);
        break;
      case format.BLOCK_ENHANCED_PACKET:
      case format.BLOCK_PACKET_OBSOLETE:
        yield readPacket(block, ports);
        break;
      case format.BLOCK_SIMPLE_PACKET:
        yield readSimplePacket(block, ports);
        break;
    }
  }
}

function readSection(block: Block): CaptureSection {
  assertBody(block, 16);
  const major = block.view.getUint16(12, block.littleEndian);
  if (major !== 1) throw new PcapngError(`pcapng version ${major} is not known: expected 1`, block.offset);
  const list = readOptions(block, 24);
  return {
    hardware: optionText(list, format.SHB_HARDWARE),
    os: optionText(list, format.SHB_OS),
    application: optionText(list, format.SHB_USERAPPL),
    comments: comments(list),
  };
}

function readInterface(block: Block, section: CaptureSection, id: number): Port {
  assertBody(block, 8);
  const { view, littleEndian } = block;
  const list = readOptions(block, 16);
  const mac = option(list, format.IF_MACADDR, 6);
  const resolution = option(list, format.IF_TSRESOL, 1)?.getUint8(0) ?? format.TSRESOL_DEFAULT;
  const offset = option(list, format.IF_TSOFFSET, 8)?.getBigInt64(0, littleEndian) ?? 0n;
  return {
    interface: {
      section,
      id,
      name: optionText(list, format.IF_NAME) ?? `interface ${id}`,
      description: optionText(list, format.IF_DESCRIPTION),
      mac: mac && new Uint8Array(mac.buffer, mac.byteOffset, 6).slice(),
      address: option(list, format.IF_IPV4ADDR, 8)?.getUint32(0),
      linkType: view.getUint16(8, littleEndian),
      snaplen: view.getUint32(12, littleEndian),
      received: undefined,
      dropped: undefined,
    },
    numerator: 1_000_000_000n,
    // 4.2: with the top bit set the resolution is a negative power of 2, otherwise of 10.
    denominator: resolution & 0x80 ? 2n ** BigInt(resolution & 0x7f) : 10n ** BigInt(resolution),
    offsetNanos: offset * 1_000_000_000n,
  };
}

function readStatistics(block: Block, ports: readonly Port[]): void {
  assertBody(block, 12);
  const port = portOf(block, ports, block.view.getUint32(8, block.littleEndian));
  const list = readOptions(block, 20);
  const count = (code: number): number | undefined => {
    const value = option(list, code, 8)?.getBigUint64(0, block.littleEndian);
    return value === undefined ? undefined : Number(value);
  };
  port.interface.received = count(format.ISB_IFRECV);
  port.interface.dropped = count(format.ISB_IFDROP);
}

/** Enhanced packet block (4.3), or the obsolete packet block (appendix A), which differs in its first word. */
function readPacket(block: Block, ports: readonly Port[]): CapturedPacket {
  assertBody(block, 20);
  const { view, littleEndian } = block;
  const obsolete = block.type === format.BLOCK_PACKET_OBSOLETE;
  const port = portOf(block, ports, obsolete ? view.getUint16(8, littleEndian) : view.getUint32(8, littleEndian));
  const stamp = BigInt(view.getUint32(12, littleEndian)) * 2n ** 32n + BigInt(view.getUint32(16, littleEndian));
  const timestampNanos = (stamp * port.numerator) / port.denominator + port.offsetNanos;
  const length = view.getUint32(20, littleEndian);
  const list = readOptions(block, 28 + format.padded(checkedCapture(block, 28, length)));
  const flags = option(list, format.EPB_FLAGS, 4)?.getUint32(0, littleEndian) ?? 0;
  return {
    interface: port.interface,
    timestampNanos,
    timeMicros: Number(timestampNanos / 1000n) + Number(timestampNanos % 1000n) / 1000,
    data: new Uint8Array(view.buffer, view.byteOffset + 28, length),
    originalLength: view.getUint32(24, littleEndian),
    comments: comments(list),
    direction: format.DIRECTIONS[flags & 3] ?? "unknown",
  };
}

/** Simple packet block (4.4): on interface 0, without stamp and options. */
function readSimplePacket(block: Block, ports: readonly Port[]): CapturedPacket {
  assertBody(block, 4);
  const port = portOf(block, ports, 0);
  const originalLength = block.view.getUint32(8, block.littleEndian);
  const limit = port.interface.snaplen === 0 ? originalLength : port.interface.snaplen;
  const length = checkedCapture(block, 12, Math.min(originalLength, limit));
  return {
    interface: port.interface,
    timestampNanos: 0n,
    timeMicros: 0,
    data: new Uint8Array(block.view.buffer, block.view.byteOffset + 12, length),
    originalLength,
    comments: [],
    direction: "unknown",
  };
}

function checkedCapture(block: Block, at: number, length: number): number {
  const room = block.view.byteLength - 4 - at;
  if (length <= room) return length;
  throw new PcapngError(`a packet of ${length} bytes does not fit its block, which has room for ${room}`, block.offset);
}

/** The options of a block from byte `start` on, up to opt_endofopt or the end (3.5). */
function readOptions(block: Block, start: number): RawOption[] {
  const { view, littleEndian } = block;
  const end = view.byteLength - 4;
  const list: RawOption[] = [];
  let at = start;
  while (at + 4 <= end) {
    const code = view.getUint16(at, littleEndian);
    const length = view.getUint16(at + 2, littleEndian);
    if (code === format.OPT_END) break;
    if (at + 4 + length > end) {
      throw new PcapngError(`option ${code} of ${length} bytes runs over the end of its block`, block.offset);
    }
    list.push({ code, value: new DataView(view.buffer, view.byteOffset + at + 4, length) });
    at += 4 + format.padded(length);
  }
  return list;
}

/** The first option with a code and at least the bytes it must have. */
function option(list: readonly RawOption[], code: number, bytes = 0): DataView | undefined {
  return list.find((each) => each.code === code && each.value.byteLength >= bytes)?.value;
}

function optionText(list: readonly RawOption[], code: number): string | undefined {
  const value = option(list, code);
  return value && decode(value);
}

function comments(list: readonly RawOption[]): string[] {
  return list.filter((each) => each.code === format.OPT_COMMENT).map((each) => decode(each.value));
}

function decode(value: DataView): string {
  // A copy: TextDecoder does not take views of shared memory.
  return text.decode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice());
}

function portOf(block: Block, ports: readonly Port[], id: number): Port {
  const port = ports[id];
  if (port !== undefined) return port;
  throw new PcapngError(`interface ${id} was not described: the section has ${ports.length} so far`, block.offset);
}

function assertBody(block: Block, bytes: number): void {
  const room = block.view.byteLength - 12;
  if (room >= bytes) return;
  throw new PcapngError(`a block of type ${block.type} with ${room} bytes of body: expected ${bytes}`, block.offset);
}

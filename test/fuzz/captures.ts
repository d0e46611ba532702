// Damaged captures at the pcapng reader: it gives what is there or says what is wrong (PcapngError), whether the bytes
// lie in memory or in a file; never another error, never more than the file holds.
// Read first: draft-ietf-opsawg-pcapng, sections 3 and 4; veth/pcapng-reader.ts.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CapturedPacket, PcapngError, PcapngWriter, readPcapng } from "../../veth/pcapng.ts";
import { chance } from "../support/chance.ts";
import type { Sample } from "./corpus.ts";
import type { Random } from "./mutate.ts";

const WORDS = [0, 1, 2, 3, 4, 5, 6, 8, 11, 12, 16, 28, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff];
/** One damaged capture in so many is also read from a file. */
const FILE_EVERY = 20;

/** The reader did what it must not. */
export class CaptureFailure extends Error {
  override readonly name = "CaptureFailure";
}

export interface CaptureFuzzOptions {
  captures: number;
  seed: number;
  corpus: readonly Sample[];
  onProgress?: (captures: number) => void;
}

export interface CaptureReport {
  captures: number;
  /** How many were read to their end, and how many were refused somewhere. */
  read: number;
  refused: number;
  packets: number;
}

/** Damages captures and reads them. @throws {CaptureFailure} */
export function fuzzCaptures({ captures, seed, corpus, onProgress }: CaptureFuzzOptions): CaptureReport {
  const random = chance(seed);
  const good = [sample(corpus, random), bigEndian(), obsolete()];
  const report: CaptureReport = { captures: 0, read: 0, refused: 0, packets: 0 };
  const folder = mkdtempSync(join(tmpdir(), "oribi-fuzz-"));
  try {
    for (; report.captures < captures; report.captures++) {
      const bytes = damaged(good[random(good.length)]!, random);
      const outcome = read(bytes, bytes);
      report.packets += outcome.packets;
      if (outcome.error === undefined) report.read++;
      else report.refused++;
      if (report.captures % FILE_EVERY === 0) {
        const path = join(folder, "damaged.pcapng");
        writeFileSync(path, bytes);
        const again = read(path, bytes);
        if (JSON.stringify(again) !== JSON.stringify(outcome))
          throw failure(bytes, `from memory ${JSON.stringify(outcome)}, from a file ${JSON.stringify(again)}`);
        onProgress?.(report.captures);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return report;
}

/** What came of reading a capture. */
interface Outcome {
  packets: number;
  bytes: number;
  error: string | undefined;
}

function read(source: Uint8Array | string, all: Uint8Array): Outcome {
  const outcome: Outcome = { packets: 0, bytes: 0, error: undefined };
  try {
    for (const packet of readPcapng(source)) {
      outcome.packets++;
      outcome.bytes += packet.data.length;
      if (!isSound(packet)) throw failure(all, `packet ${outcome.packets} makes no sense`);
    }
  } catch (error) {
    if (!(error instanceof PcapngError)) throw failure(all, String(error), error);
    outcome.error = error.message;
  }
  if (outcome.bytes > all.length) throw failure(all, `${outcome.bytes} bytes of packets`);
  return outcome;
}

function isSound({ timeMicros, originalLength, interface: from }: CapturedPacket): boolean {
  return Number.isFinite(timeMicros) && Number.isInteger(originalLength) && typeof from.name === "string";
}

function failure(bytes: Uint8Array, what: string, cause?: unknown): CaptureFailure {
  return new CaptureFailure(`${what}: ${Buffer.from(bytes).toString("hex")}`, { cause });
}

function damaged(good: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = good.slice();
  for (let n = random(4); n >= 0 && bytes.length > 0; n--) {
    const at = random(bytes.length);
    const word = at & ~3;
    switch (random(7)) {
      case 0:
        bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        if (word + 4 <= bytes.length)
          new DataView(bytes.buffer).setUint32(word, WORDS[random(WORDS.length)]!, random(2) === 0);
        break;
      case 3:
        if (word + 4 <= bytes.length) new DataView(bytes.buffer).setUint16(word + 2, random(80), random(2) === 0);
        break;
      case 4:
        bytes = bytes.slice(0, at);
        break;
      case 5:
        bytes = joined(bytes.subarray(0, word), good.subarray(random(good.length) & ~3));
        break;
      default:
        bytes = joined(bytes.subarray(0, word), bytes.subarray(word + 4 * random(8)));
    }
  }
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** What the writer writes: two interfaces, comments, statistics, frames of the corpus. */
function sample(corpus: readonly Sample[], random: Random): Uint8Array {
  const writer = PcapngWriter.toMemory({ hardware: "none", comment: "fuzz" });
  const ids = [
    writer.addInterface({ name: "a", mac: corpus[0]!.frame.subarray(0, 6) }),
    writer.addInterface({ name: "b" }),
  ];
  for (let i = 0; i < 6; i++) {
    const { name, frame } = corpus[random(corpus.length)]!;
    const direction = i % 2 === 0 ? "inbound" : "outbound";
    writer.packet(ids[i % 2]!, i * 1000.5, frame.subarray(0, 200), { direction, comment: name });
  }
  writer.statistics(ids[0]!, { received: 6, dropped: 0 });
  return writer.bytes().slice();
}

/** A section in the other byte order, with an interface of every resolution and a simple packet. */
function bigEndian(): Uint8Array {
  const section = block(0x0a0d0d0a, words(0x1a2b3c4d, 0x00010000, 0xffffffff, 0xffffffff));
  const options = (resolution: number): number[] => [
    ...words(0x00090001, resolution << 24),
    ...words(0x000e0008, 0, 5),
  ];
  const interfaces = [6, 9, 0x80 | 20, 0xff].map((each) => block(1, [...words(0x00010000, 64), ...options(each)]));
  const packets = [0, 1, 2, 3].map((id) => block(6, [...words(id, 1, 2, 4, 60), 1, 2, 3, 4, ...words(0x00020004, 1)]));
  return joined(section, ...interfaces, ...packets, block(3, [...words(8), 1, 2, 3, 4, 5, 6, 7, 8]));
}

/** Packet blocks of the first draft, in a section behind another. */
function obsolete(): Uint8Array {
  const section = block(0x0a0d0d0a, words(0x1a2b3c4d, 0x00010000, 0xffffffff, 0xffffffff));
  const packet = block(2, [...words(0x00000001, 0, 7, 3, 3), 9, 8, 7, 0]);
  const port = block(1, words(0x00010000, 0));
  return joined(section, port, packet, section, port, block(0x0bad, words(1, 2)), packet);
}

/** A block in big-endian order. */
function block(type: number, body: readonly number[]): Uint8Array {
  const length = 12 + body.length;
  return Uint8Array.from([...words(type, length), ...body, ...words(length)]);
}

function words(...values: number[]): number[] {
  return values.flatMap((value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255));
}

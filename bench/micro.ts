// The core's smallest parts alone: checksums and rings, beside the same in JavaScript.
// Read first: assembly/wire/checksum.ts, assembly/memory/ring.ts. asc compiles them here, since the core's Wasm module
// does not export them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { compare } from "./compare.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ENTRY = "bench-entry.ts";
const SOURCE = `
import { copySum, fold } from "./assembly/wire/checksum";
export { burstRingBytes, burstRingInit, burstRingPop, burstRingPush } from "./assembly/memory/ring";
export function copySums(target: usize, source: usize, length: u32, times: u32): u32 {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < times; i++) sum += fold(copySum(target, source, length));
  return fold(sum);
}
`;
/** Payload of a full segment. */
const SEGMENT = 1460;
const SEGMENTS = 4096;
const BURST = 64;
const BURSTS = 1024;

interface Parts {
  /** Copies and sums so many times; the folded sum of all sums. */
  copySums(target: number, source: number, length: number, times: number): number;
  burstRingBytes(size: number): number;
  burstRingInit(ring: number, size: number): void;
  burstRingPush(ring: number, values: number, count: number): void;
  burstRingPop(ring: number, out: number, max: number): number;
}

export const checksumRow: Row = {
  name: "checksum",
  title: "Internet checksum of 1,460 B while they are copied",
  unit: "B/s",
  measure: measureChecksum,
};

export const ringRow: Row = {
  name: "ring",
  title: "descriptors through an RX ring, pushed and popped 64 at a time",
  unit: "op/s",
  measure: measureRing,
};

async function measureChecksum(options: RunOptions): Promise<Measured> {
  const { parts, bytes } = await compileParts();
  const source = 65536;
  const target = source + 4096;
  for (let i = 0; i < SEGMENT; i++) bytes[source + i] = i * 7;
  if (parts.copySums(target, source, SEGMENT, 1) % 65535 !== sumJs(bytes, source, target, SEGMENT) % 65535) {
    throw new Error("The sums differ.");
  }
  const amount = SEGMENTS * SEGMENT;
  let sum = 0;
  const ours = (): void => void (sum += parts.copySums(target, source, SEGMENT, SEGMENTS));
  const plain = (): void => {
    for (let i = 0; i < SEGMENTS; i++) sum += sumJs(bytes, source, target, SEGMENT);
  };
  const measured = await compare(
    { name: "oribi", amount, batch: ours },
    { name: "JavaScript", amount, batch: plain },
    options,
  );
  if (!(sum > 0)) throw new Error("Nothing was summed.");
  return measured;
}

/** Copies and sums 16-bit words, as a program without Wasm would. */
function sumJs(bytes: Uint8Array, source: number, target: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i += 2) {
    const low = bytes[source + i] as number;
    const high = bytes[source + i + 1] as number;
    bytes[target + i] = low;
    bytes[target + i + 1] = high;
    sum += low | (high << 8);
  }
  return sum;
}

async function measureRing(options: RunOptions): Promise<Measured> {
  const { parts, bytes } = await compileParts();
  const ring = 65536;
  const values = ring + Math.ceil(parts.burstRingBytes(1024) / 64) * 64;
  const out = values + BURST * 4;
  parts.burstRingInit(ring, 1024);
  new Uint32Array(bytes.buffer, values, BURST).fill(7);
  const queue: number[] = [];
  const amount = BURSTS * BURST;
  return await compare(
    {
      name: "oribi",
      amount,
      batch: () => {
        for (let i = 0; i < BURSTS; i++) {
          parts.burstRingPush(ring, values, BURST);
          if (parts.burstRingPop(ring, out, BURST) !== BURST) throw new Error("The ring lost something.");
        }
      },
    },
    {
      name: "JavaScript array",
      amount,
      batch: () => {
        for (let i = 0; i < BURSTS; i++) {
          for (let k = 0; k < BURST; k++) queue.push(7);
          for (let k = 0; k < BURST; k++) if (queue.shift() !== 7) throw new Error("The array lost something.");
        }
      },
    },
    options,
  );
}

/** The parts as a module of their own, with the options of the core's release target. */
async function compileParts(): Promise<{ parts: Parts; bytes: Uint8Array }> {
  let binary: Uint8Array<ArrayBuffer> | undefined;
  const stderr = asc.createMemoryStream();
  const args = [ENTRY, "--config", "asconfig.json", "--target", "stack", "--outFile", "parts.wasm"];
  const { error } = await asc.main(args, {
    stderr,
    readFile: (name) => (name === ENTRY ? SOURCE : readSource(name)),
    writeFile: (name, contents) => {
      if (name === "parts.wasm") binary = Uint8Array.from(contents as Uint8Array);
    },
    listFiles: (directory) => readdirSync(join(ROOT, directory)),
  });
  if (error !== null || binary === undefined) throw new Error(`asc: ${error?.message}\n${stderr.toString()}`);
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 65536, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } });
  return { parts: instance.exports as unknown as Parts, bytes: new Uint8Array(memory.buffer) };
}

function readSource(name: string): string | null {
  try {
    return readFileSync(join(ROOT, name), "utf8");
  } catch {
    return null;
  }
}

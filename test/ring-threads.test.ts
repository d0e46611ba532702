// The MPSC ring under producers that are terminated in the middle of a push, and a consumer that dies in a pop.
// Read first: assembly/memory/ring.ts. The ring is compiled alone, with a loop that pushes.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import asc from "assemblyscript/asc";
import { expect } from "chai";
import type { Producer, RingParts } from "./fixtures/ring-worker.ts";
import { chance, seedOf } from "./support/chance.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ENTRY = "assembly/ring-parts.ts";
const SOURCE = `
import { mpscPush } from "./memory/ring";
export { mpscBytes, mpscDrops, mpscInit, mpscPop, mpscPush, mpscRecover } from "./memory/ring";
export function produce(ring: usize, note: usize, id: u32): void {
  for (let n: u32 = 1; ; n++) {
    atomic.store<u32>(note, n);
    while (!mpscPush(ring, (id << 24) | (n & 0xffffff)));
  }
}
`;
const RING = 65536;
const NOTES = 32768;

async function compile(): Promise<WebAssembly.Module> {
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
  return new WebAssembly.Module(binary);
}

function readSource(name: string): string | null {
  try {
    return readFileSync(join(ROOT, name), "utf8");
  } catch {
    return null;
  }
}

describe("the MPSC ring", function () {
  this.timeout(120_000);
  let module: WebAssembly.Module;
  let memory: WebAssembly.Memory;
  let parts: RingParts;

  before(async () => (module = await compile()));

  beforeEach(() => {
    memory = new WebAssembly.Memory({ initial: 4, maximum: 65536, shared: true });
    parts = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as RingParts;
  });

  it("delivers each value once, in its producer's order, though producers are terminated at any moment", async () => {
    const dice = chance(seedOf(11));
    const notes = new Int32Array(memory.buffer);
    parts.mpscInit(RING, 64);
    const last = new Map<number, number>();
    const take = (most: number): number => {
      let taken = 0;
      for (let value; taken < most && (value = parts.mpscPop(RING) >>> 0) !== 0; taken++) {
        const id = value >>> 24;
        const number = value & 0xffffff;
        const expected = ((last.get(id) ?? 0) + 1) & 0xffffff;
        if (number !== expected) throw new Error(`Producer ${id}: ${number} came in place of ${expected}.`);
        last.set(id, number);
      }
      return taken;
    };
    let total = 0;
    const producers = new Map<number, Worker>();
    let id = 0;
    const begin = async (): Promise<void> => {
      id++;
      const workerData: Producer = { module, memory, ring: RING, note: NOTES + id * 4, id };
      const worker = new Worker(new URL("./fixtures/ring-worker.js", import.meta.url), { workerData });
      producers.set(id, worker);
      for (const mine = id; Atomics.load(notes, NOTES / 4 + mine) < 2;) {
        total += take(1000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    for (let i = 0; i < 3; i++) await begin();
    for (let kills = 0; kills < 25; kills++) {
      for (let i = dice(20); i > 0; i--) total += take(2000);
      const [victim, worker] = [...producers][dice(producers.size)]!;
      const gone = worker.terminate();
      while (await Promise.race([gone.then(() => false), new Promise<true>((r) => setImmediate(r, true))])) {
        total += take(2000);
      }
      producers.delete(victim);
      // The others go on: nobody waits for the dead one.
      const goal = total + 500;
      const end = performance.now() + 30_000;
      while (total < goal && performance.now() < end) total += take(2000);
      expect(total, `values after kill ${kills}`).to.be.at.least(goal);
      await begin();
    }
    await Promise.all([...producers.values()].map((worker) => worker.terminate()));
    while (take(64) > 0);
    for (const [each, number] of last) {
      const noted = Atomics.load(notes, NOTES / 4 + each) & 0xffffff;
      expect((noted - number) & 0xffffff, `producer ${each}: the value it was pushing`).to.be.at.most(1);
    }
    // All of its 64 slots serve.
    for (let round = 0; round < 3; round++) {
      for (let i = 1; i <= 64; i++) expect(parts.mpscPush(RING, i)).to.equal(1);
      expect(parts.mpscPush(RING, 65), "full").to.equal(0);
      for (let i = 1; i <= 64; i++) expect(parts.mpscPop(RING)).to.equal(i);
      expect(parts.mpscPop(RING)).to.equal(0);
    }
  });

  it("goes on behind a producer that died between its value and the head", () => {
    parts.mpscInit(RING, 4);
    expect(parts.mpscPush(RING, 1)).to.equal(1);
    const words = new Uint32Array(memory.buffer, RING);
    words[64 + 2] = 2; // slot 1: sequence, then the value
    words[64 + 3] = 7;
    expect(words[0], "the head stands before it").to.equal(1);
    for (const value of [8, 9]) expect(parts.mpscPush(RING, value)).to.equal(1);
    expect(parts.mpscPush(RING, 10)).to.equal(0);
    expect(parts.mpscDrops(RING)).to.equal(1);
    expect([1, 2, 3, 4, 5].map(() => parts.mpscPop(RING))).to.deep.equal([1, 7, 8, 9, 0]);
  });

  it("serves the next consumer after one that died between a slot and the tail", () => {
    parts.mpscInit(RING, 4);
    for (const value of [1, 2, 3]) parts.mpscPush(RING, value);
    const words = new Uint32Array(memory.buffer, RING);
    const before = words[32];
    expect(parts.mpscPop(RING)).to.equal(1);
    words[32] = before as number; // as if it had not come to say so
    expect(parts.mpscPop(RING), "the slot is empty").to.equal(0);
    parts.mpscRecover(RING);
    expect([1, 2, 3].map(() => parts.mpscPop(RING))).to.deep.equal([2, 3, 0]);
    parts.mpscRecover(RING);
    for (const value of [4, 5, 6, 7]) expect(parts.mpscPush(RING, value)).to.equal(1);
    expect([1, 2, 3, 4].map(() => parts.mpscPop(RING))).to.deep.equal([4, 5, 6, 7]);
  });
});

// Regions of a shared memory: alignment, growth, reuse, the limit, snapshots; and a random walk against a plain model.

import { expect } from "chai";
import { REGION_ALIGN, REGIONS_BASE } from "../assembly/layout.ts";
import { createMemory, Regions } from "../host/regions.ts";

const PAGE = REGION_ALIGN;

describe("Regions", () => {
  it("start behind the constant data, aligned, and grow the memory", () => {
    const memory = createMemory();
    const regions = new Regions(memory);
    expect(regions.allocate(1)).to.equal(REGIONS_BASE);
    expect(regions.allocate(PAGE + 1)).to.equal(REGIONS_BASE + PAGE);
    expect(regions.allocate(PAGE)).to.equal(REGIONS_BASE + 3 * PAGE);
    expect(memory.buffer.byteLength).to.equal(REGIONS_BASE + 4 * PAGE);
    expect(regions.usedBytes).to.equal(4 * PAGE);
  });

  it("use what the memory has before they grow it", () => {
    const memory = createMemory(4);
    const regions = new Regions(memory);
    regions.allocate(3 * PAGE);
    expect(memory.buffer.byteLength).to.equal(4 * PAGE);
    regions.allocate(1);
    expect(memory.buffer.byteLength).to.equal(5 * PAGE);
  });

  it("are reused from the lowest address that fits, and zeroed", () => {
    const memory = createMemory();
    const regions = new Regions(memory);
    const [a, , c] = [
      regions.allocate(PAGE),
      regions.allocate(PAGE),
      regions.allocate(2 * PAGE),
      regions.allocate(PAGE),
    ];
    new Uint8Array(memory.buffer).fill(0xee, REGIONS_BASE);
    regions.free(a);
    regions.free(c);
    expect(regions.allocate(2 * PAGE)).to.equal(c);
    expect(regions.allocate(1)).to.equal(a);
    expect(memory.buffer.byteLength).to.equal(REGIONS_BASE + 5 * PAGE);
    const bytes = new Uint8Array(memory.buffer);
    expect(bytes.subarray(a, a + PAGE).every((byte) => byte === 0)).to.be.true;
    expect(bytes.subarray(c, c + 2 * PAGE).every((byte) => byte === 0)).to.be.true;
    expect(bytes[a + PAGE], "the neighbour").to.equal(0xee);
  });

  it("join when neighbours are freed, in every order", () => {
    for (const order of ["012", "021", "102", "120", "201", "210"]) {
      const regions = new Regions(createMemory());
      const parts = [regions.allocate(PAGE), regions.allocate(PAGE), regions.allocate(PAGE)];
      regions.allocate(PAGE);
      for (const index of order) regions.free(parts[Number(index)]!);
      expect(regions.allocate(3 * PAGE), order).to.equal(parts[0]);
    }
  });

  it("extend a freed region at the end in place, zeroed", () => {
    const memory = createMemory();
    const regions = new Regions(memory);
    const last = regions.allocate(PAGE);
    new Uint8Array(memory.buffer).fill(0xee, last);
    regions.free(last);
    expect(regions.allocate(3 * PAGE)).to.equal(last);
    expect(memory.buffer.byteLength).to.equal(REGIONS_BASE + 3 * PAGE);
    expect(new Uint8Array(memory.buffer, last).every((byte) => byte === 0)).to.be.true;
  });

  it("end with ERR_ORIBI_MEMORY at the limit, and go on after a free", () => {
    const regions = new Regions(createMemory(), { limitBytes: REGIONS_BASE + 2 * PAGE });
    const first = regions.allocate(2 * PAGE);
    expect(() => regions.allocate(1))
      .to.throw(/0\.13 MiB are in use/)
      .with.property("code", "ERR_ORIBI_MEMORY");
    regions.free(first);
    expect(regions.allocate(PAGE)).to.equal(first);
  });

  it("never pass 4 GiB less one page", () => {
    const regions = new Regions(createMemory(), { limitBytes: Number.MAX_SAFE_INTEGER });
    expect(() => regions.allocate(2 ** 32 - 2 * PAGE + 1))
      .to.throw()
      .with.property("code", "ERR_ORIBI_MEMORY");
    expect(regions.list()).to.deep.equal([]);
  });

  it("refuse sizes that are none, and addresses that are not theirs", () => {
    const regions = new Regions(createMemory());
    for (const bytes of [0, -1, 1.5, NaN, Infinity]) {
      expect(() => regions.allocate(bytes), String(bytes))
        .to.throw(RangeError)
        .with.property("code", "ERR_OUT_OF_RANGE");
    }
    const address = regions.allocate(1);
    expect(() => regions.free(address + PAGE))
      .to.throw()
      .with.property("code", "ERR_ORIBI_MEMORY");
    regions.free(address);
    expect(() => regions.free(address), "a second time")
      .to.throw()
      .with.property("code", "ERR_ORIBI_MEMORY");
  });

  it("come back to a snapshot, also on another memory, and hand out zeroed bytes afterwards", () => {
    const memory = createMemory();
    const regions = new Regions(memory);
    const a = regions.allocate(PAGE);
    const b = regions.allocate(PAGE);
    regions.free(a);
    const state = structuredClone(regions.snapshot());
    const later = regions.allocate(3 * PAGE);
    new Uint8Array(memory.buffer).fill(0xee, later);
    regions.restore(state);
    expect(regions.list()).to.deep.equal([{ address: b, bytes: PAGE }]);
    expect(regions.allocate(3 * PAGE)).to.equal(later);
    expect(new Uint8Array(memory.buffer, later).every((byte) => byte === 0)).to.be.true;

    const other = new Regions(createMemory());
    other.restore(state);
    expect(other.memory.buffer.byteLength).to.equal(state.end);
    expect(other.snapshot()).to.deep.equal(state);
    expect(other.allocate(PAGE)).to.equal(a);
  });

  it("never overlap in a random walk, and all come back", () => {
    let seed = 20240607;
    process.stdout.write(`      seed ${seed}\n`);
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const regions = new Regions(createMemory());
    const held = new Map<number, number>();
    for (let step = 0; step < 2000; step++) {
      const addresses = [...held.keys()];
      if (addresses.length < 20 && random(2) === 0) {
        const bytes = 1 + random(4 * PAGE);
        held.set(regions.allocate(bytes), Math.ceil(bytes / PAGE) * PAGE);
      } else if (addresses.length > 0) {
        const address = addresses[random(addresses.length)]!;
        regions.free(address);
        held.delete(address);
      }
      const list = regions.list();
      expect(list).to.deep.equal([...held].sort((x, y) => x[0] - y[0]).map(([address, bytes]) => ({ address, bytes })));
      list.forEach((region, index) => {
        const next = list[index + 1];
        if (next !== undefined) expect(region.address + region.bytes).to.be.at.most(next.address);
      });
    }
    for (const address of held.keys()) regions.free(address);
    expect(regions.usedBytes).to.equal(0);
    expect(regions.snapshot().free, "all joined").to.have.lengthOf(1);
  });
});

// The loader of the Wasm modules: what the binaries may import and carry, traps with a place, sharing with workers.
// The traps are those of a small program compiled with the same options (fixtures/probe.ts).

import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { REGIONS_BASE } from "../assembly/layout.ts";
import {
  adoptModules,
  type CoreModules,
  coreModules,
  CoreTrap,
  createMemory,
  instantiateStack,
  instantiateVeth,
  toCoreTrap,
} from "../host/core.ts";
import { compileProbe } from "./fixtures/probe.ts";
import { customSections, dataSegments } from "./fixtures/wasm.ts";

/** Start of each module's constant data, and the end it may reach: see asconfig.json. */
const DATA = { stack: [1024, 32768], veth: [32768, REGIONS_BASE] } as const;
const CORES = ["stack", "veth"] as const;

function binary(file: string): Uint8Array {
  return readFileSync(new URL(`../${file}`, import.meta.url));
}

describe("the Wasm binaries", () => {
  for (const name of CORES) {
    it(`${name}.wasm imports nothing but its memory and ${name === "stack" ? "the NIC" : "the ltran's bell"}`, () => {
      const imports = WebAssembly.Module.imports(new WebAssembly.Module(binary(`${name}.wasm`)));
      const others = imports.filter((wanted) => !(wanted.module === "env" && wanted.name === "memory"));
      expect(others.length).to.equal(imports.length - 1);
      if (name === "veth") expect(others).to.deep.equal([{ module: "wake", name: "wake", kind: "function" }]);
      else
        for (const { module, kind } of others)
          expect({ module, kind }).to.deep.equal({ module: "nic", kind: "function" });
    });

    for (const target of [name, `${name}.debug`]) {
      it(`${target}.wasm keeps its data between ${DATA[name].join(" and ")}`, () => {
        for (const { offset, bytes } of dataSegments(binary(`${target}.wasm`))) {
          expect(offset).to.be.at.least(DATA[name][0]);
          expect(offset + bytes.length).to.be.at.most(DATA[name][1]);
        }
      });
    }

    it(`${name}.wasm has no data segment that reserves space to write to`, () => {
      for (const { offset, bytes } of dataSegments(binary(`${name}.wasm`))) {
        expect(
          bytes.some((byte) => byte !== 0),
          `the segment at ${offset} is all zero`,
        ).to.be.true;
      }
    });

    it(`${name}.wasm names its functions, so that a trap names a place`, () => {
      expect(customSections(binary(`${name}.wasm`))).to.include("name");
    });
  }
});

describe("instantiating the core", () => {
  const nic = new Proxy({}, { get: () => () => 0 });

  for (const debug of [false, true]) {
    it(`puts both ${debug ? "debug " : ""}modules on one memory, and again without a trace`, () => {
      const memory = createMemory();
      instantiateVeth(memory, { debug });
      instantiateStack(memory, nic, { debug });
      const before = Buffer.from(memory.buffer.slice(0, REGIONS_BASE));
      instantiateStack(memory, nic, { debug });
      instantiateVeth(memory, { debug });
      expect(Buffer.from(memory.buffer.slice(0, REGIONS_BASE)).equals(before)).to.be.true;
      expect(memory.buffer.byteLength).to.equal(REGIONS_BASE);
    });
  }

  it("compiles each module once", () => {
    expect(coreModules({ debug: false }).stack).to.equal(coreModules({ debug: false }).stack);
    expect(coreModules({ debug: true })["veth.debug"]).to.not.equal(coreModules({ debug: true }).veth);
  });

  it("shares compiled modules and the memory with a worker", async () => {
    const memory = createMemory(2);
    new Uint8Array(memory.buffer)[REGIONS_BASE] = 42;
    const workerData = { modules: coreModules({ debug: false }), memory };
    const worker = new Worker(new URL("./fixtures/core-worker.js", import.meta.url), { workerData });
    const answer = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    await worker.terminate();
    expect(answer).to.deep.equal({ same: true, byte: 42 });
  });
});

describe("a trap in the core", () => {
  interface Probe {
    checked(v: number): number;
    explained(v: number): number;
    outOfBounds(p: number): number;
    traced(v: number): void;
    receive(port: number): number;
  }
  const nic = { rxBurst: (port: number) => port + 1 };
  let modules: CoreModules;
  const traces: [string, number[]][] = [];
  let release: Probe;
  let debug: Probe;

  before(async () => {
    modules = coreModules({ debug: true });
    coreModules({ debug: false });
    const [fast, slow] = await Promise.all([compileProbe("stack"), compileProbe("stack.debug")]);
    adoptModules({ stack: new WebAssembly.Module(fast), "stack.debug": new WebAssembly.Module(slow) });
    const onTrace = (message: string, values: number[]) => traces.push([message, values]);
    release = instantiateStack(createMemory(), nic, { debug: false }) as unknown as Probe;
    debug = instantiateStack(createMemory(), nic, { debug: true, onTrace }) as unknown as Probe;
  });

  after(() => adoptModules({ ...modules, ...coreModules({ debug: false }), ...modules }));

  function trapOf(call: () => unknown): CoreTrap {
    try {
      call();
    } catch (error) {
      const trap = toCoreTrap(error);
      expect(trap).to.be.instanceOf(CoreTrap);
      return trap as CoreTrap;
    }
    throw new Error("no trap");
  }

  it("names file, line and column of an assert in the debug target", () => {
    const trap = trapOf(() => debug.checked(0));
    expect(trap).to.include({ code: "ERR_ORIBI_TRAP", file: "probe.ts", line: 3, column: 3 });
    expect(trap.message).to.equal("The core trapped: assertion failed at probe.ts:3:3");
    expect(trapOf(() => debug.explained(0)).message).to.contain("v must be positive at probe.ts:7:3");
  });

  it("names file and function of an assert in the release target, which stays on", () => {
    const trap = trapOf(() => release.checked(0));
    expect(trap).to.include({ code: "ERR_ORIBI_TRAP", file: "probe.ts", function: "checked", line: undefined });
    expect(trap.cause).to.be.instanceOf(WebAssembly.RuntimeError);
  });

  it("names the function of an access out of bounds in both", () => {
    for (const probe of [release, debug]) {
      const trap = trapOf(() => probe.outOfBounds(0));
      expect(trap).to.include({ file: "probe.ts", function: "outOfBounds" });
      expect(trap.message).to.contain("out of bounds");
    }
  });

  it("leaves other errors alone", () => {
    const error = new Error("of the NIC");
    expect(toCoreTrap(error)).to.equal(error);
    expect(() => instantiateStack(createMemory(), {}, { debug: false }))
      .to.throw(/no function "rxBurst"/)
      .with.property("code", "ERR_ORIBI_IMPORT");
  });

  it("does not happen when the assert holds", () => {
    for (const probe of [release, debug]) {
      expect(probe.checked(7)).to.equal(7);
      expect(probe.receive(4)).to.equal(5);
    }
  });

  it("leaves trace points in the debug target only", () => {
    release.traced(3);
    expect(traces).to.deep.equal([]);
    debug.traced(3);
    expect(traces).to.deep.equal([["point", [3, 6]]]);
  });
});

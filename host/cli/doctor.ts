// `oribi doctor`: what this machine offers to Oribi, and what it lacks.
// Read first: README.md, "The house".

import { execFile } from "node:child_process";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { promisify } from "node:util";
import { affinityIsMissing } from "../threads/affinity.ts";
import { defineCommand } from "./command.ts";
import { EXIT_FAILURE } from "./errors.ts";
import { formatBytes } from "./format.ts";
import type { Output } from "./io.ts";
import { formatTable } from "./table.ts";

/** One thing that was looked at. */
export interface Finding {
  name: string;
  /** Without a required one nothing runs. */
  need: "required" | "optional";
  present: boolean;
  /** The version, the size, or why it is missing. */
  detail: string;
  /** What it is good for. */
  use: string;
}

/** Oldest Node.js that is supported. */
const NODE_LEAST = [20, 19] as const;
/** A module that splats a vector: valid where fixed-width SIMD is. */
const SIMD_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
  ...[10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);
/** A module with a shared memory and an atomic load: valid where threads are. */
const THREADS_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1],
  ...[10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11],
);

export const command = defineCommand({
  name: "doctor",
  summary: "say what this machine offers",
  usage:
    "Looks at the machine and says what Oribi can use of it. Everything optional may be missing: the demo, the " +
    "simulator and the tests need none of it. Ends with status 1 if something required is missing.",
  options: {
    json: { description: "print the findings as JSON" },
  },
  async run({ options }, { stdout }) {
    const findings = await examine();
    if (options.json) stdout.write(`${JSON.stringify(findings, null, 2)}\n`);
    else printFindings(findings, stdout);
    return findings.every((each) => each.present || each.need === "optional") ? 0 : EXIT_FAILURE;
  },
});

/** Looks at everything. */
export async function examine(): Promise<Finding[]> {
  const [threadPool, tshark] = await Promise.all([piscina(), program("tshark", "tshark", ["--version"])]);
  const affinity = affinityIsMissing();
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const newEnough = major > NODE_LEAST[0] || (major === NODE_LEAST[0] && minor >= NODE_LEAST[1]);
  const least = newEnough ? "" : `, older than ${NODE_LEAST.join(".")}`;
  return [
    required("Node.js", newEnough, `${process.versions.node}${least}`, "runs everything"),
    required("WebAssembly SIMD", validates(SIMD_MODULE), "", "checksums, copies"),
    required("WebAssembly threads", validates(THREADS_MODULE), "", "atomics in the core"),
    required("shared memory", ...sharedMemory(), "the network's memory, up to 4 GiB"),
    required("Piscina", threadPool.present, threadPool.detail, "stacks on worker threads"),
    optional("Atomics.waitAsync", "waitAsync" in Atomics, "", "an event loop that sleeps until a packet comes"),
    optional("processor", availableParallelism() > 1, processor(), "a stack on each core"),
    optional("taskset", affinity === undefined, affinity ?? "", "keeps a stack's thread on a core"),
    optional("memory", totalmem() >= 2 ** 31, memory(), "a million connections take 1 GiB"),
    optional("tshark", tshark.present, tshark.detail, "checks captures in the tests"),
  ];
}

function required(name: string, present: boolean, detail: string, use: string): Finding {
  return { name, need: "required", present, detail, use };
}

function optional(name: string, present: boolean, detail: string, use: string): Finding {
  return { name, need: "optional", present, detail, use };
}

function printFindings(findings: readonly Finding[], stdout: Output): void {
  const rows = findings.map(({ name, need, present, detail, use }) => {
    const state = present ? "yes" : need === "required" ? "MISSING" : "no";
    return [name, state, detail, use];
  });
  stdout.write(formatTable(["what", "there", "detail", "good for"], rows, { color: stdout.color }));
  const missing = findings.filter((each) => !each.present && each.need === "required").map((each) => each.name);
  stdout.write(
    missing.length === 0 ? "\nOribi runs here.\n" : `\nOribi cannot run here without: ${missing.join(", ")}\n`,
  );
}

function validates(bytes: Uint8Array): boolean {
  return typeof WebAssembly === "object" && WebAssembly.validate(bytes);
}

function sharedMemory(): [present: boolean, detail: string] {
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    return [memory.buffer instanceof SharedArrayBuffer, ""];
  } catch (error) {
    return [false, (error as Error).message];
  }
}

function processor(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown";
  return `${availableParallelism()} × ${model}`;
}

function memory(): string {
  return `${formatBytes(totalmem())}, ${formatBytes(freemem())} free`;
}

async function piscina(): Promise<{ present: boolean; detail: string }> {
  try {
    const { Piscina } = await import("piscina");
    return { present: true, detail: Piscina.version };
  } catch (error) {
    return { present: false, detail: (error as Error).message };
  }
}

/** Asks a program for a version: the first number with dots in what it prints. */
async function program(
  name: string,
  file: string,
  args: readonly string[],
): Promise<{ present: boolean; detail: string }> {
  try {
    const { stdout } = await promisify(execFile)(file, args, { timeout: 5000 });
    return { present: true, detail: /\d+(\.\d+)+/.exec(stdout)?.[0] ?? "" };
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { present: false, detail: absent ? `${file} is not installed` : `${name} is not installed` };
  }
}

// Many scripts: found in folders, run here one after another or dealt out to worker threads.
// Read first: run.ts; host/simulate/batch.ts, which does the same with seeds.

import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, normalize, sep } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Piscina } from "piscina";
import { PcapngWriter } from "../../veth/pcapng.ts";
import type { Seen } from "./runner.ts";
import { runScript, type ScriptOptions, type ScriptResult } from "./run.ts";

export interface ScriptBatchOptions extends Omit<ScriptOptions, "onPackets"> {
  /** Threads; 1, the default: this one. */
  jobs?: number;
  /** Folder for a pcapng file of each script; it is made. */
  pcap?: string;
  /** Stops between scripts; what has been run is returned. */
  signal?: AbortSignal;
  /** Is told each result as it comes, in no certain order with several jobs. */
  onResult?: (result: ScriptResult) => void;
}

/** What a worker gets. */
export interface ScriptTask {
  files: readonly string[];
  options: Omit<ScriptBatchOptions, "jobs" | "signal" | "onResult"> & { captures?: Record<string, string> };
}

/** Scripts of one piece of work for a thread. */
const PIECE = 8;
/** Scripts that this thread runs before its event loop turns. */
const TURN = 8;

/**
 * The scripts that paths mean: files as they are, folders with all "*.pkt" below them, sorted.
 * @throws {Error} ENOENT for a path that is not there
 */
export function findScripts(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    const files = readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".pkt"))
      .map((entry) => join(entry.parentPath, entry.name));
    return files.sort();
  });
}

/** Runs the scripts of files and folders. @returns their results, in the order of findScripts() */
export async function runScripts(paths: readonly string[], options: ScriptBatchOptions = {}): Promise<ScriptResult[]> {
  const files = findScripts(paths);
  const { jobs = 1, signal, onResult, ...given } = options;
  if (given.pcap !== undefined) mkdirSync(given.pcap, { recursive: true });
  const rest = given.pcap === undefined ? given : { ...given, captures: captureNames(files) };
  const results = new Map<string, ScriptResult>();
  const note = (result: ScriptResult): void => {
    results.set(result.file, result);
    onResult?.(result);
  };
  if (jobs > 1 && files.length > 1) await deal(files, rest, Math.min(jobs, files.length), note, signal);
  else await runHere(files, rest, note, signal);
  return files.flatMap((file) => results.get(file) ?? []);
}

/** A file name for the capture of each script: its own name, with as many folders before it as make it the only one. */
export function captureNames(files: readonly string[]): Record<string, string> {
  const parts = new Map(
    files.map((file) => [
      file,
      normalize(file)
        .replace(/\.pkt$/, "")
        .split(sep),
    ]),
  );
  const names: Record<string, string> = {};
  const used = new Set<string>();
  let left = [...parts.keys()];
  for (let length = 1; left.length > 0; length++) {
    const ends = new Map(left.map((file) => [file, (parts.get(file) ?? []).slice(-length).join("-")]));
    const times = new Map<string, number>();
    for (const end of ends.values()) times.set(end, (times.get(end) ?? 0) + 1);
    const isLast = left.every((file) => length >= (parts.get(file)?.length ?? 0));
    for (const file of left) {
      const end = ends.get(file) ?? "";
      if (!isLast && (times.get(end) !== 1 || used.has(end))) continue;
      names[file] = `${end}.pcapng`;
      used.add(end);
    }
    left = left.filter((file) => names[file] === undefined);
  }
  return names;
}

async function runHere(
  files: readonly string[],
  options: ScriptTask["options"],
  note: (result: ScriptResult) => void,
  signal?: AbortSignal,
): Promise<void> {
  for (const [i, file] of files.entries()) {
    if (signal?.aborted === true) return;
    note(await runFile(file, options));
    // Ctrl-C is heard only where the event loop turns.
    if (i % TURN === TURN - 1) await setImmediate();
  }
}

async function deal(
  files: readonly string[],
  options: ScriptTask["options"],
  jobs: number,
  note: (result: ScriptResult) => void,
  signal?: AbortSignal,
): Promise<void> {
  const filename = new URL("./worker.js", import.meta.url).href;
  const pool = new Piscina({ filename, minThreads: jobs, maxThreads: jobs });
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < files.length && signal?.aborted !== true) {
      const task: ScriptTask = { files: files.slice(next, next + PIECE), options };
      next += PIECE;
      for (const result of (await pool.run(task)) as ScriptResult[]) note(result);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    await pool.destroy();
  }
}

/** Runs the script of a file; one that cannot be read is a failed one. */
export async function runFile(file: string, options: ScriptTask["options"]): Promise<ScriptResult> {
  const { pcap, captures, ...rest } = options;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const message = `cannot be read: ${(error as Error).message}`;
    return { file, status: "failed", line: 0, message, printed: "", micros: 0, ignored: [], script: [], wire: [] };
  }
  if (pcap === undefined) return runScript(text, file, rest);
  let packets: readonly Seen[] = [];
  const result = runScript(text, file, { ...rest, onPackets: (seen) => (packets = seen) });
  await writeCapture(join(pcap, captures?.[file] ?? `${basename(file, ".pkt")}.pcapng`), packets);
  return result;
}

/** Ethernet header of a captured datagram: the addresses say nothing, the type is IPv4. */
const ETHERNET = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

async function writeCapture(path: string, packets: readonly Seen[]): Promise<void> {
  const writer = PcapngWriter.toFile(path, { application: "oribi", comment: "" });
  const id = writer.addInterface({ name: "packetdrill" });
  for (const { packet } of packets) {
    const frame = new Uint8Array(ETHERNET.length + packet.bytes.length);
    frame.set(ETHERNET);
    frame.set(packet.bytes, ETHERNET.length);
    const direction = packet.direction === "in" ? "inbound" : "outbound";
    writer.packet(id, packet.micros, frame, { direction });
  }
  await writer.close();
}

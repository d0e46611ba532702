// Which cores the threads of a host are kept on. Node.js has no call for it; on Linux util-linux's taskset does it from
// outside, for one thread, whose number /proc tells. Elsewhere, and in simulated time, there is nothing to keep.
// Read first: taskset(1), sched_setaffinity(2); Linux Documentation/admin-guide/mm/numaperf.rst for the nodes.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { OribiError, optionError } from "../errors.ts";

export interface AffinityOptions {
  /** Cores: the thread of stack i is kept on the i-th of them, in turn. Default: wherever the system puts it. */
  cpus?: readonly number[];
  /** NUMA node on whose cores the threads are kept. On a machine with one node it does nothing. */
  numa?: number;
}

/** Numbers that Linux can have. */
const CPU_MAX = 8191;
const NODE_MAX = 1023;
const NODES = "/sys/devices/system/node";

/**
 * The cores for the thread of each of `stacks` stacks; an empty list: any.
 * @throws {OribiError} ERR_ORIBI_OPTION for what no machine has, ERR_ORIBI_AFFINITY for what this one has not
 */
export function affinityOf({ cpus, numa }: AffinityOptions, stacks: number): (readonly number[])[] {
  const node = numa === undefined ? [] : coresOf(numa);
  if (cpus === undefined) {
    if (node.length > 0) assertAllowed(node.filter((cpu) => allowedCores().has(cpu)));
    return Array.from({ length: stacks }, () => node);
  }
  const areNumbers = Array.isArray(cpus) && cpus.every((cpu) => isIn(cpu, CPU_MAX));
  if (!areNumbers || cpus.length === 0) throw optionError("cpus", cpus, `a list of cores, 0 to ${CPU_MAX}: [0, 1]`);
  if (node.length > 0) throw optionError("numa", numa, "nothing beside cpus, which say it already");
  assertAllowed(cpus);
  return Array.from({ length: stacks }, (_, index) => [cpus[index % cpus.length] as number]);
}

/** Keeps the calling thread on these cores; any core when there are none. @throws {OribiError} ERR_ORIBI_AFFINITY */
export function pinThread(cpus: readonly number[]): void {
  if (cpus.length === 0) return;
  // "PID/task/TID"
  const thread = readlinkSync("/proc/thread-self").split("/").at(-1) as string;
  taskset(["-pc", cpus.join(","), thread]);
}

/** Why threads cannot be kept on cores here, or undefined when they can. */
export function affinityIsMissing(): string | undefined {
  if (process.platform !== "linux") return "on Linux only";
  try {
    return taskset(["--version"]) === "" ? "taskset(1) does not answer" : undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function assertAllowed(cpus: readonly number[]): void {
  const missing = affinityIsMissing();
  if (missing !== undefined) {
    const hint = "Leave the option out, or install util-linux.";
    throw new OribiError("ERR_ORIBI_AFFINITY", `Threads cannot be kept on cores here: ${missing}. ${hint}`);
  }
  const allowed = allowedCores();
  const none = cpus.length === 0 ? "any of the node's cores" : cpus.find((cpu) => !allowed.has(cpu));
  if (none === undefined) return;
  const has = `It may use ${[...allowed].join(", ")}.`;
  throw new OribiError("ERR_ORIBI_AFFINITY", `This process may not use core ${none}. ${has}`);
}

/** The cores that this process may use and keep threads on; none where it cannot. */
export function usableCores(): readonly number[] {
  return affinityIsMissing() === undefined ? [...allowedCores()] : [];
}

function allowedCores(): Set<number> {
  const line = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync("/proc/self/status", "latin1"));
  return new Set(listOf(line?.[1] ?? ""));
}

/** The cores of a node; none where the machine has only one, or does not tell. */
function coresOf(node: number): number[] {
  if (!isIn(node, NODE_MAX)) throw optionError("numa", node, `a node's number, 0 to ${NODE_MAX}`);
  const nodes = nodesOf();
  if (nodes.length < 2) return [];
  if (!nodes.includes(node)) throw optionError("numa", node, `one of this machine's nodes, ${nodes.join(", ")}`);
  return listOf(readFileSync(`${NODES}/node${node}/cpulist`, "latin1").trim());
}

function nodesOf(): number[] {
  try {
    return readdirSync(NODES).flatMap((name) => (/^node\d+$/.test(name) ? [Number(name.slice(4))] : []));
  } catch {
    return [];
  }
}

/** The numbers of a list as the kernel writes it: "0-3,8". */
function listOf(text: string): number[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [first = NaN, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

function isIn(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

function taskset(args: string[]): string {
  try {
    return execFileSync("taskset", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    const why = code === "ENOENT" ? "taskset(1) is not installed" : (stderr?.trim() ?? String(error));
    throw new OribiError("ERR_ORIBI_AFFINITY", why, error);
  }
}

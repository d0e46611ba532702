// Tunables of a stack by Linux's names: "net.ipv4.tcp_sack", or short "tcp_sack".
// Read first: Linux Documentation/networking/ip-sysctl.rst; the SYSCTL_ list in assembly/layout.ts.

import * as layout from "../assembly/layout.ts";
import { OribiError, optionError } from "./errors.ts";

/** Names whose value Linux gives in another form than the core keeps it. */
const CONGESTION = ["reno", "cubic"] as const;
const SECONDS = new Set(["tcp_fin_timeout", "tcp_keepalive_time", "tcp_keepalive_intvl", "ipfrag_time"]);

/** A time is kept in ms and compared modulo 2^32 of them: 24 days. */
const SECONDS_MAX = 2_147_483;

const INDICES = new Map(
  Object.entries(layout)
    .filter(([name]) => name.startsWith("SYSCTL_") && name !== "SYSCTL_COUNT")
    .map(([name, index]) => [name.slice(7).toLowerCase(), Number(index)]),
);
INDICES.set("tcp_congestion_control", layout.SYSCTL_TCP_CONGESTION);
INDICES.delete("tcp_congestion");

interface SysctlExports {
  sysctlGet(index: number): number;
  sysctlSet(index: number, value: number): unknown;
}

/** Every name that sysctl() knows, without "net.ipv4.". */
export function sysctlNames(): string[] {
  return [...INDICES.keys()].sort();
}

function indexOf(name: string): [string, number] {
  const short = name.replace(/^net\.(ipv4|core)\./, "");
  const index = INDICES.get(short);
  if (index === undefined) {
    throw new OribiError("ERR_ORIBI_SYSCTL", `There is no sysctl "${name}". Known are: ${sysctlNames().join(", ")}.`);
  }
  return [short, index];
}

/** Reads a tunable. @throws {OribiError} ERR_ORIBI_SYSCTL for a name that is not known */
export function readSysctl(core: SysctlExports, name: string): number | string {
  const [short, index] = indexOf(name);
  const value = core.sysctlGet(index) >>> 0;
  if (short === "tcp_congestion_control") return CONGESTION[value] ?? String(value);
  return SECONDS.has(short) ? value / 1000 : value;
}

/**
 * Sets a tunable; sockets that are open keep what they took from it.
 * @throws {OribiError} ERR_ORIBI_SYSCTL for a name that is not known, ERR_ORIBI_OPTION for a value that cannot be
 */
export function writeSysctl(core: SysctlExports, name: string, value: number | string): void {
  const [short, index] = indexOf(name);
  if (short === "tcp_congestion_control") {
    const algorithm = CONGESTION.indexOf(value as "reno");
    if (algorithm < 0) throw optionError(name, value, CONGESTION.join(" or "));
    core.sysctlSet(index, algorithm);
    return;
  }
  const number = typeof value === "number" ? value : Number(value);
  const most = SECONDS.has(short) ? SECONDS_MAX : 0x7fffffff;
  if (!Number.isInteger(number) || number < 0 || number > most) {
    throw optionError(name, value, `an integer from 0 to ${most}`);
  }
  core.sysctlSet(index, SECONDS.has(short) ? number * 1000 : number);
}

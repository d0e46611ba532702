// Tunables of a stack by Linux's names: "net.ipv4.tcp_sack", or short "tcp_sack".
// Read first: Linux Documentation/networking/ip-sysctl.rst; the SYSCTL_ list in assembly/layout.ts.

import * as layout from "../assembly/layout.ts";
import { OribiError, optionError } from "./errors.ts";

/** Names whose value Linux gives in another form than the core keeps it. */
const CONGESTION = ["reno", "cubic"] as const;
/** How many of the core's units (milliseconds) one of Linux's is. */
const UNITS: Readonly<Record<string, number>> = {
  tcp_fin_timeout: 1000,
  tcp_keepalive_time: 1000,
  tcp_keepalive_intvl: 1000,
  ipfrag_time: 1000,
  tcp_rto_min_us: 0.001,
};
/** Unsigned in Linux; -1 is the largest there. */
const UNSIGNED = new Set(["tcp_notsent_lowat"]);
/** Linux: 0 means another number. */
const ZERO_MEANS: Readonly<Record<string, number>> = {
  icmp_ratelimit: 0x7fffffff, // no limit
  tcp_orphan_retries: 8,
};

/** Largest values of what has a few only, and what the others would be. */
const LARGEST: Readonly<Record<string, readonly [number, string]>> = {
  tcp_ecn: [2, "above that, Linux asks for Accurate ECN (RFC 9768), which this stack does not have"],
};

/** A time is kept in ms and compared modulo 2^32 of them: 24 days. */
const SECONDS_MAX = 2_147_483;

const INDICES = new Map(
  Object.entries(layout)
    .filter(([name]) => name.startsWith("SYSCTL_") && name !== "SYSCTL_COUNT")
    .map(([name, index]) => [name.slice(7).toLowerCase(), Number(index)]),
);
INDICES.set("tcp_congestion_control", layout.SYSCTL_TCP_CONGESTION);
INDICES.delete("tcp_congestion");
INDICES.set("tcp_rto_max_ms", layout.SYSCTL_TCP_RTO_MAX);
INDICES.delete("tcp_rto_max");
INDICES.set("tcp_rto_min_us", layout.SYSCTL_TCP_RTO_MIN);
INDICES.set("icmp_msgs_per_sec", layout.SYSCTL_ICMP_RATELIMIT);
// Written as text: readKey(), writeKey()
INDICES.delete("tcp_fastopen_key");
INDICES.delete("tcp_fastopen_keys");
const KEY = "tcp_fastopen_key";

/** Names that Linux gives several numbers: what each is here, undefined where it has no meaning. */
const VECTORS: ReadonlyMap<string, readonly (string | undefined)[]> = new Map([
  ["tcp_rmem", [undefined, "tcp_rmem_default", "tcp_rmem_max"]],
  ["tcp_wmem", [undefined, "tcp_wmem_default", "tcp_wmem_max"]],
  ["ip_local_port_range", ["port_range_low", "port_range_high"]],
]);

interface SysctlExports {
  sysctlGet(index: number): number;
  sysctlSet(index: number, value: number): unknown;
}

/** Every name that sysctl() knows, without "net.ipv4.". */
export function sysctlNames(): string[] {
  return [...INDICES.keys(), ...VECTORS.keys(), KEY].sort();
}

function shortOf(name: string): string {
  return name.replaceAll("/", ".").replace(/^net\.(ipv4|core)\./, "");
}

function indexOf(name: string): [string, number] {
  const short = shortOf(name);
  const index = INDICES.get(short);
  if (index === undefined) {
    throw new OribiError("ERR_ORIBI_SYSCTL", `There is no sysctl "${name}". Known are: ${sysctlNames().join(", ")}.`);
  }
  return [short, index];
}

/** Reads a tunable. @throws {OribiError} ERR_ORIBI_SYSCTL for a name that is not known */
export function readSysctl(core: SysctlExports, name: string): number | string {
  const vector = VECTORS.get(shortOf(name));
  if (vector !== undefined) return vector.map((part) => (part === undefined ? 0 : readSysctl(core, part))).join(" ");
  if (shortOf(name) === KEY) return readKey(core);
  const [short, index] = indexOf(name);
  const value = core.sysctlGet(index) >>> 0;
  if (short === "tcp_congestion_control") return CONGESTION[value] ?? String(value);
  return Math.round(value / (UNITS[short] ?? 1));
}

/**
 * Sets a tunable; sockets that are open keep what they took from it.
 * @throws {OribiError} ERR_ORIBI_SYSCTL for a name that is not known, ERR_ORIBI_OPTION for a value that cannot be
 */
export function writeSysctl(core: SysctlExports, name: string, value: number | string): void {
  const vector = VECTORS.get(shortOf(name));
  if (vector !== undefined) {
    writeVector(core, name, vector, String(value).trim().split(/\s+/));
    return;
  }
  if (shortOf(name) === KEY) {
    writeKey(core, name, String(value));
    return;
  }
  const [short, index] = indexOf(name);
  if (short === "tcp_congestion_control") {
    const algorithm = CONGESTION.indexOf(value as "reno");
    if (algorithm < 0) throw optionError(name, value, CONGESTION.join(" or "));
    core.sysctlSet(index, algorithm);
    return;
  }
  const number = typeof value === "number" ? value : Number(value);
  const least = UNSIGNED.has(short) ? -1 : 0;
  const [largest, why] = LARGEST[short] ?? [];
  if (largest !== undefined && number > largest) throw optionError(name, value, `0 to ${largest}: ${why}`);
  const most = UNSIGNED.has(short) ? 0xffffffff : UNITS[short] === 1000 ? SECONDS_MAX : 0x7fffffff;
  if (value === "" || !Number.isInteger(number) || number < least || number > most) {
    throw optionError(name, value, `an integer from ${least} to ${most}`);
  }
  const meant = number === 0 ? (ZERO_MEANS[short] ?? 0) : number;
  core.sysctlSet(index, Math.ceil(meant * (UNITS[short] ?? 1)) >>> 0);
}

/** As Linux: fewer numbers than there are leave the others as they are. */
function writeVector(
  core: SysctlExports,
  name: string,
  parts: readonly (string | undefined)[],
  values: string[],
): void {
  if (values.length > parts.length) throw optionError(name, values.join(" "), `at most ${parts.length} numbers`);
  values.forEach((value, i) => {
    const part = parts[i];
    if (part !== undefined) writeSysctl(core, part, value);
  });
}

/** "0123abcd-...": 32 hexadecimal digits in four words, and after a comma those of the backup key. */
function readKey(core: SysctlExports): string {
  const word = (i: number): string =>
    (core.sysctlGet(layout.SYSCTL_TCP_FASTOPEN_KEY + i) >>> 0).toString(16).padStart(8, "0");
  const keys = core.sysctlGet(layout.SYSCTL_TCP_FASTOPEN_KEYS);
  return Array.from({ length: keys }, (_, k) => [0, 1, 2, 3].map((i) => word(4 * k + i)).join("-")).join(",");
}

function writeKey(core: SysctlExports, name: string, text: string): void {
  const keys = text.trim().split(",");
  const words = keys.flatMap((key) =>
    /^([\da-f]{1,8})-([\da-f]{1,8})-([\da-f]{1,8})-([\da-f]{1,8})$/i.exec(key)?.slice(1),
  );
  if (keys.length > 2 || words.includes(undefined)) {
    throw optionError(name, text, "four hexadecimal words joined by dashes, or two such keys with a comma");
  }
  words.forEach((word, i) => core.sysctlSet(layout.SYSCTL_TCP_FASTOPEN_KEY + i, parseInt(word as string, 16)));
  core.sysctlSet(layout.SYSCTL_TCP_FASTOPEN_KEYS, keys.length);
}

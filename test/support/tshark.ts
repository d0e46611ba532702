// Runs tshark, Wireshark's program for terminals, on captures: an independent judge of what Oribi writes.
// Read first: tshark(1), -T fields and -o; the Debian package is "tshark".

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHECKSUMS = ["ip", "tcp", "udp"].flatMap((protocol) => ["-o", `${protocol}.check_checksum:TRUE`]);

/** Does this machine have tshark? */
export function hasTshark(): boolean {
  return spawnSync("tshark", ["--version"], { stdio: "ignore" }).status === 0;
}

/** For a `before` hook: skips the tests of its block, and says why, where tshark is missing. */
export function needTshark(this: Mocha.Context): void {
  if (hasTshark()) return;
  process.stdout.write("      skipped: tshark is not installed (Debian: apt-get install tshark)\n");
  this.skip();
}

/**
 * The fields of each packet of a capture, as tshark reads them; checksums are verified.
 * @param capture a path, or the bytes of a capture
 * @returns a record for each packet; a field that occurs more than once has its values joined with "|"
 */
export function tsharkFields(capture: string | Uint8Array, fields: readonly string[]): Record<string, string>[] {
  const wanted = fields.flatMap((field) => ["-e", field]);
  const options = ["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=|", ...wanted];
  const lines = tshark(capture, options)
    .split("\n")
    .filter((line) => line !== "");
  return lines.map((line) => {
    const values = line.split("\t");
    return Object.fromEntries(fields.map((field, index) => [field, values[index] ?? ""]));
  });
}

/**
 * What is wrong with a capture in tshark's eyes: frames it calls malformed, and bad checksums.
 * @returns a line for each such frame; an empty list for a capture without fault
 */
export function tsharkFaults(capture: string | Uint8Array): string[] {
  const bad = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status"];
  const filter = ["_ws.malformed", ...bad.map((field) => `${field} == "Bad"`)].join(" || ");
  return tshark(capture, ["-Y", filter])
    .split("\n")
    .filter((line) => line !== "");
}

/** Runs tshark on a capture. @throws Error with tshark's words when it finds the file itself damaged */
export function tshark(capture: string | Uint8Array, options: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "oribi-tshark-"));
  try {
    const path = typeof capture === "string" ? capture : join(folder, "capture.pcapng");
    if (typeof capture !== "string") writeFileSync(path, capture);
    // An empty configuration folder: the settings of whoever runs the tests do not matter.
    const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, TZ: "UTC" };
    const args = ["-n", "-r", path, ...CHECKSUMS, ...options];
    return execFileSync("tshark", args, {
      env,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

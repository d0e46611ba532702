// The bench as a program: its rows, its options, the shape of its JSON. Never its figures: a test asserts no times.
// Read first: bench/command.ts.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { quantile, summary } from "../bench/compare.ts";
import type { JsonRow } from "../bench/row.ts";
import { loadRow, ROW_NAMES, rowsFor } from "../bench/rows.ts";

const PROGRAM = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));

/** Rows that are measured here: all kinds of peers, none that takes long. */
const QUICK = [
  "tcp_rr_1",
  "tcp_rr_64",
  "tcp_rr_2threads",
  "tcp_stream_1500",
  "tcp_crr",
  "udp_rr",
  "bridge_pps",
  "flows_1k",
];

async function bench(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [PROGRAM, "bench", ...args]);
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

describe("oribi bench", function () {
  this.timeout(120_000);
  let folder: string;

  before(() => (folder = mkdtempSync(join(tmpdir(), "oribi-bench-"))));
  after(() => rmSync(folder, { recursive: true }));

  it("has a row for every path that has a budget", () => {
    expect(ROW_NAMES).to.include.members(
      (
        "tcp_rr_1 tcp_rr_64 tcp_rr_2threads tcp_stream_1500 tcp_stream_tso tcp_crr udp_rr udp_pps bridge_pps " +
        "idle_bytes_100k idle_bytes_1m flows_1k flows_100k flows_100k_idle"
      ).split(" "),
    );
  });

  it("loads each row under its own name", async () => {
    for (const name of ROW_NAMES) expect((await loadRow(name)).name).to.equal(name);
  });

  it("takes a filter for one row, for parts of names, and for a list", () => {
    expect(rowsFor("tcp_rr_1")).to.deep.equal(["tcp_rr_1"]);
    expect(rowsFor("flows")).to.deep.equal(["flows_1k", "flows_100k", "flows_100k_idle"]);
    expect(rowsFor("udp_rr, tcp_crr")).to.deep.equal(["tcp_crr", "udp_rr"]);
    expect(rowsFor("nothing")).to.deep.equal([]);
  });

  it("writes JSON with exactly the promised fields", async () => {
    const file = join(folder, "bench.json");
    const { status, stdout, stderr } = await bench(
      ...["--json", file, "--filter", QUICK.join(","), "--runs", "2", "--time", "2ms"],
    );
    expect(status, stderr).to.equal(0);
    const rows = JSON.parse(readFileSync(file, "utf8")) as JsonRow[];
    expect(rows.map((row) => row.name)).to.have.members(QUICK);
    for (const row of rows) {
      expect(row).to.have.all.keys("name", "value", "unit", "peer", "peerValue", "ratio", "runs", "spread");
      for (const name of ["value", "peerValue", "ratio"] as const) expect(row[name], row.name).to.be.above(0);
      expect(row.ratio).to.be.closeTo(row.value / row.peerValue, 1e-9 * row.ratio);
      expect(row.spread).to.be.at.least(0);
      expect(row.runs).to.equal(2);
      expect(row.unit).to.be.a("string").that.is.not.empty;
      expect(row.peer).to.be.oneOf(["node:net", "node:dgram", "budget", "one connection"]);
      expect(stdout).to.include(row.name);
    }
    expect(stdout, "what the machine is").to.include(`Node.js ${process.versions.node}`);
  });

  it("lists the rows without measuring", async () => {
    const { status, stdout } = await bench("--list", "--filter", "idle_bytes");
    expect(status).to.equal(0);
    expect(stdout).to.equal("idle_bytes_100k\nidle_bytes_1m\n");
  });

  for (const [args, words] of [
    [["--filter", "nothing"], "nothing"],
    [["--runs", "0"], "--runs"],
    [["--time", "soon"], "--time"],
    [["--json", "/no/such/folder/file"], "--json"],
    [["--speed"], "--speed"],
  ] as const) {
    it(`refuses ${args.join(" ")} and says why`, async () => {
      const { status, stderr } = await bench(...args);
      expect(status).to.equal(2);
      expect(stderr).to.include(words);
    });
  }
});

describe("the figures of a row", () => {
  it("are medians, and the spread is the interquartile range of the ratios over their median", () => {
    const found = summary("peer", [10, 30, 20], [10, 10, 10]);
    expect(found).to.deep.equal({ value: 20, peer: "peer", peerValue: 10, ratio: 2, runs: 3, spread: 0.5 });
  });

  it("are interpolated between two values", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).to.equal(2.5);
    expect(quantile([1, 3], 0.25)).to.equal(1.5);
    expect(quantile([7], 0.75)).to.equal(7);
  });
});

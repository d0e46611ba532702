// Exhaustive small worlds: every loss, double and swap of the first frames of small connections; and the explorer
// itself: its forks must be histories that could have been, and it must notice what it is there to notice.
// Read first: host/explore/explorer.ts. `npx oribi explore` runs the full size.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import {
  EVERYDAY,
  exploreAll,
  explorePart,
  FATES,
  FULL,
  type Mode,
  type Row,
  worldNamed,
} from "../host/explore/batch.ts";
import { explore, replay, type WireLists } from "../host/explore/explorer.ts";
import { LiveWorld } from "../host/explore/network.ts";
import { type World, WORLDS } from "../host/explore/scenario.ts";
import { readPcapng } from "../veth/pcapng.ts";
import { chance, seedOf } from "./support/chance.ts";
import { parse } from "./support/packets.ts";

const JOBS = 2;
const MODES: readonly Mode[] = ["drop", "disorder", "all"];

/** What `npx oribi explore` would print, on one line. */
function summary(rows: readonly Row[], seconds: number): string {
  const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const states = sum(({ states }) => states);
  const counts = `${sum(({ subsets }) => subsets)} choices, ${sum(({ runs }) => runs)} runs, ${states} states`;
  return `${counts} in ${seconds.toFixed(1)} s, ${Math.round(states / seconds)} states/s`;
}

describe("exhaustive small worlds", function () {
  this.timeout(180_000);

  /** Explores; every choice of fates must be covered, and no history break a promise. */
  async function complete(worlds: readonly World[], modes: readonly Mode[], sizes: typeof FULL): Promise<Row[]> {
    const startMillis = performance.now();
    const rows = await exploreAll({ worlds, modes, sizes, jobs: JOBS });
    process.stdout.write(`      ${summary(rows, (performance.now() - startMillis) / 1000)}\n`);
    const violations = rows.flatMap((row) => row.violations);
    expect(violations).to.deep.equal([]);
    expect(rows).to.have.length(worlds.length * modes.length);
    for (const { world, mode, frames, subsets, runs } of rows) {
      expect(subsets, `${world} ${mode}`).to.equal(FATES[mode].length ** frames);
      expect(runs, `${world} ${mode}`).to.be.within(1, subsets);
    }
    return rows;
  }

  it("set-up, transfer and every end: 2^16 subsets of the first frames lost, 3^10 choices disordered", async () => {
    const rows = await complete(["open", "exchange", "close-both"].map(worldNamed), ["drop", "disorder"], FULL);
    expect(rows.reduce((sum, { runs }) => sum + runs, 0)).to.be.above(200_000);
  });

  it(`all ${WORLDS.length} worlds, fewer frames`, async () => {
    const rows = await complete(WORLDS, MODES, EVERYDAY);
    expect(rows.reduce((sum, { states }) => sum + states, 0)).to.be.above(2_000_000);
  });
});

describe("the explorer's forks", function () {
  this.timeout(60_000);
  const seed = seedOf(20_260_302);

  /** The frames of a history that is lived from its start in one go, by lists that are set before the first frame. */
  async function straight(world: World, lists: readonly WireLists[]): Promise<Uint8Array> {
    const live = new LiveWorld(world, { capture: "memory" });
    lists.forEach(({ drop, duplicate, swap }, side) => live.setLists(side as 0 | 1, drop, duplicate, swap));
    while (!live.beat());
    await live.close();
    return live.capture!.bytes();
  }

  it(`are what the wires' lists alone would have made, to the bit (seed ${seed})`, async () => {
    const dice = chance(seed);
    const folder = mkdtempSync(join(tmpdir(), "oribi-explore-"));
    let touched = 0;
    // Worlds whose histories have eight frames at least.
    const long = WORLDS.filter(({ name }) => !/^open$|refused|reset|both|give/.test(name));
    for (let i = 0; i < 100; i++) {
      const world = long[dice(long.length)]!;
      const fates = Array.from({ length: 8 }, () => ".x2s.."[dice(6)]).join("");
      const path = join(folder, "forked.pcapng");
      const { violation, lists } = await replay(world, fates, path);
      expect(violation, `${world.name} ${fates}`).to.equal(undefined);
      const other = await straight(world, lists);
      expect(Buffer.compare(readFileSync(path), other), `${world.name} ${fates}`).to.equal(0);
      for (const { drop, duplicate, swap } of lists) touched += Number((drop | duplicate | swap) !== 0);
    }
    rmSync(folder, { recursive: true });
    expect(touched).to.be.above(150);
  });

  it("of the parts of a tree are those of the whole", async () => {
    for (const [world, mode, frames] of [
      ["open", "drop", 9],
      ["close-half", "disorder", 6],
      ["open-refused", "all", 5],
    ] as const) {
      const part = { world, mode, frames, debug: false };
      const whole = await explorePart({ ...part, prefix: "" });
      const sum = { subsets: 0, runs: 0 };
      for (const first of FATES[mode])
        for (const second of FATES[mode]) {
          const figures = await explorePart({ ...part, prefix: first + second });
          sum.subsets += figures.subsets;
          sum.runs += figures.runs;
        }
      expect(sum, world).to.deep.equal({ subsets: whole.subsets, runs: whole.runs });
    }
  });
});

describe("the explorer notices", function () {
  this.timeout(60_000);
  const drop = { fates: FATES.drop, frames: 8 };

  it("connections that are given up, and its violation replays with a capture", async () => {
    const impatient: World = { ...worldNamed("give-up"), mayFail: [] };
    const { violations, subsets } = await explore({ world: impatient, ...drop });
    expect(subsets).to.equal(2 ** 8);
    // Three SYNs lost in a row are too many for two retries.
    const first = violations.find(({ fates }) => fates.startsWith("xxx"))!;
    expect(first).to.include({ world: "give-up", kind: "error" });
    expect(first.message).to.contain("connect() gave ETIMEDOUT");
    const folder = mkdtempSync(join(tmpdir(), "oribi-explore-"));
    const { violation, lists } = await replay(impatient, first.fates, join(folder, "x.pcapng"));
    expect(violation).to.deep.equal(first);
    expect(lists[0].drop).to.equal(0b111);
    const packets = [...readPcapng(readFileSync(join(folder, "x.pcapng")))].map(({ data }) => parse(data).tcp!.flags);
    expect(packets).to.deep.equal(["S", "S", "S"]);
    rmSync(folder, { recursive: true });
  });

  it("what is left, ends that wait for ever, bytes that do not come", async () => {
    const cases: [World["ends"], kind: string, words: string][] = [
      [[[["connect"]], [["accept"], ["close"]]], "leak", "host a at the end: pool tcb 1, not 0"],
      [
        [
          [["connect"], ["end"]],
          [["accept"], ["end"]],
        ],
        "deadlock",
        'a at "end"',
      ],
      [
        [
          [["connect"], ["receive", 5], ["close"]],
          [["accept"], ["close"]],
        ],
        "data",
        "end of the stream too early",
      ],
      [[[["connect"], ["shutdown"], ["send", 1]], [["accept"]]], "error", "send() gave EPIPE"],
    ];
    for (const [ends, kind, words] of cases) {
      const { violations } = await explore({ world: { name: "wrong", about: "", ends }, ...drop });
      expect(violations[0], kind).to.include({ kind });
      expect(violations[0]!.message).to.contain(words);
    }
  });

  it("no more than it was told to", async () => {
    const ends: World["ends"] = [[["connect"]], [["accept"], ["close"]]];
    const world = { name: "wrong", about: "", ends };
    const { violations } = await explore({ world, ...drop }, { violationsMax: 3 });
    expect(violations).to.have.length(3);
  });
});

describe("oribi explore", function () {
  this.timeout(60_000);

  function oribi(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const main = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));
    const env = { ...process.env, NO_COLOR: "1" };
    return spawnSync(process.execPath, [main, "explore", ...args], { encoding: "utf8", env });
  }

  it("prints a row for each world and mode, and a line of totals", () => {
    const { status, stdout, stderr } = oribi("--worlds", "open,plain", "--frames", "6", "--modes", "drop,disorder");
    expect([status, stderr]).to.deep.equal([0, ""]);
    expect(stdout)
      .to.match(/^open +drop +6 +64 +64 +\d+ +0$/m)
      .and.match(/^plain +disorder +6 +729 +729 +\d+ +0$/m);
    expect(stdout).to.match(
      /1,586 choices in 1,586 runs, [\d,]+ states explored in [\d.]+ s \([\d,]+ states\/s\), 0 viol/,
    );
  });

  it("gives the same figures on threads as in one, as JSON too", () => {
    const figures = ["1", "2"].map((jobs) => {
      const { stdout } = oribi(
        "--worlds",
        "close-server",
        "--frames",
        "7",
        "--modes",
        "drop,all",
        "--json",
        "-j",
        jobs,
      );
      const { rows, runs, violations } = JSON.parse(stdout) as { rows: Row[]; runs: number; violations: number };
      return { rows, runs, violations };
    });
    expect(figures[1]).to.deep.equal(figures[0]);
    expect(figures[0]).to.deep.include({ violations: 0 });
  });

  it("replays a history with a capture", () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-explore-"));
    const { status, stdout } = oribi("--worlds", "upload", "--replay", "..x.2s", "--out", folder);
    expect(status).to.equal(0);
    expect(stdout).to.contain("  wire of host a: lost 1, doubled 3, swapped 4\n  wire of host b: all pass\n");
    expect(stdout).to.contain("upload ..x.2s passed");
    expect(existsSync(join(folder, "oribi-upload-..x.2s.pcapng"))).to.equal(true);
    rmSync(folder, { recursive: true });
  });

  it("says what it cannot do", () => {
    for (const [args, words] of [
      [["--worlds", "clsoe-both"], "did you mean close-both?"],
      [["--replay", "..x"], "--replay needs one world"],
      [["--replay", "..y", "--worlds", "open"], "up to 32 of the letters . x 2 s"],
      [["--replay", ".........x", "--worlds", "open"], "frames that are never sent"],
      [["--frames", "25"], "--frames"],
    ] as const) {
      const { status, stderr } = oribi(...args);
      expect(status, words).to.equal(2);
      expect(stderr).to.contain(words);
    }
  });
});

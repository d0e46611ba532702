// The main job as a user runs it, a child process: what it prints, what it leaves, and that both can be had again.
// Read first: host/cli/demo.ts; DESIGN.md section 5 (the same seed, the same bytes).

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { connections, MSG_DONTWAIT, readPcapng } from "../host/index.ts";
import { createHosts, openConnection, openListener } from "../host/demo/hosts.ts";
import type { Outcome } from "../host/demo/report.ts";
import { madeSource, sha256 } from "../host/demo/source.ts";
import { Transfer } from "../host/demo/transfer.ts";
import { needTshark, tsharkFaults, tsharkFields } from "./support/tshark.ts";

const MAIN = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));
const FIGURES = ["throughput", "throughput_tso", "round_trips", "connections"];

interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

describe("oribi demo", function () {
  this.timeout(120_000);
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "oribi-demo-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs `oribi demo` in the tests' own folder; it measures as quickly as it can. */
  function demo(...args: string[]): Promise<Run> {
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(process.execPath, [MAIN, "demo", "--measure", "30ms", ...args], { cwd: folder, env });
    const run: Run = { status: null, stdout: "", stderr: "" };
    child.stdout.on("data", (data: Buffer) => (run.stdout += data.toString()));
    child.stderr.on("data", (data: Buffer) => (run.stderr += data.toString()));
    return new Promise((resolve) => child.on("close", (status) => resolve({ ...run, status })));
  }
  const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  const contentOf = (name: string): Buffer => readFileSync(join(folder, name));

  describe("with a file of the user's", () => {
    // Of no size that anything is a multiple of, and with bytes that text decoding would spoil.
    const file = Buffer.from(Array.from({ length: 777_777 }, (_, at) => (at * 31 + (at >> 8)) & 255));
    let run: Run;
    before(async () => {
      writeFileSync(join(folder, "holiday.jpg"), file);
      run = await demo("--file", "holiday.jpg", "--out", "mine");
    });

    it("succeeds, and says nothing where no person watches", () => {
      expect([run.status, run.stderr]).to.deep.equal([0, ""]);
    });

    it("prints what it sent, the digest, both links and the paths", () => {
      expect(run.stdout).to.contain("778 KB of holiday.jpg (777,777 B)");
      expect(run.stdout).to.contain(`SHA-256  ${digestOf(file)}\n         sent, and received over both links\n`);
      expect(run.stdout).to.match(/^clean link, .* oribi +node:net +ratio$/m);
      expect(run.stdout).to.match(/^throughput, MTU 1500 +[\d.]+ [kMG]?B\/s +[\d.]+ [kMG]?B\/s +[\d.,]+x$/m);
      expect(run.stdout).to.match(/^request\/response, 64 B each +[\d,]+ \/s +[\d,]+ \/s +[\d.,]+x$/m);
      expect(run.stdout).to.match(/^connect, 1 B, close +[\d,]+ \/s +[\d,]+ \/s +[\d.,]+x$/m);
      expect(run.stdout).to.match(/^bad link, simulated time +1 % lost, 20 ms each way, ± 2 ms$/m);
      expect(run.stdout).to.match(/^goodput +[\d.]+ [kM]bit\/s$/m);
      expect(run.stdout).to.match(/^retransmissions +\d+ of [\d,]+ segments \([\d.]+ %\)$/m);
      expect(run.stdout).to.match(/^capture {2}mine\.pcapng {2}[\d,]+ packets/m);
      expect(run.stdout).to.match(/^plot {5}mine\.html /m);
      expect(run.stdout).to.not.contain("\x1b");
      expect(Math.max(...run.stdout.split("\n").map((line) => line.length))).to.be.below(100);
    });

    it("leaves a capture in which tshark finds no fault", function () {
      needTshark.call(this);
      expect(tsharkFaults(join(folder, "mine.pcapng"))).to.deep.equal([]);
      const packets = tsharkFields(join(folder, "mine.pcapng"), ["frame.interface_name", "tcp.checksum.status"]);
      const sums = packets.filter((packet) => packet["tcp.checksum.status"] !== "");
      expect(sums.length).to.be.greaterThan(1000);
      // 1: verified, and good
      expect(new Set(sums.map((packet) => packet["tcp.checksum.status"]))).to.deep.equal(new Set(["1"]));
      expect(new Set(packets.map((packet) => packet["frame.interface_name"]))).to.deep.equal(
        new Set(["server", "client"]),
      );
    });

    it("captures the whole connection, each byte of the file in it", () => {
      const [connection, ...others] = connections(readPcapng(join(folder, "mine.pcapng")));
      expect(others).to.deep.equal([]);
      expect(connection).to.include({ opened: true, end: "closed", bytesFromServer: 777_777, bytesFromClient: 0 });
      expect(connection!.ports.toSorted()).to.deep.equal(["client", "server"]);
    });

    it("leaves a plot that needs nothing from outside", () => {
      const page = contentOf("mine.html").toString();
      expect(page)
        .to.match(/^<!doctype html>/)
        .and.to.match(/<\/html>\s*$/);
      expect(page).to.contain("<svg").and.to.contain("holiday.jpg").and.to.contain("1 % lost, 20 ms each way, ± 2 ms");
      // The namespace of SVG is a name, nothing that is fetched.
      expect(page.replaceAll("http://www.w3.org/2000/svg", "")).to.not.match(/https?:\/\/|<link|<script src|@import/);
    });
  });

  describe("with a seed", () => {
    const args = ["--size", "300KiB", "--seed", "a word", "--loss", "3%", "--delay", "15ms", "--no-kernel", "--json"];
    let outcomes: Outcome[];
    before(async () => {
      const runs = await Promise.all([demo(...args, "--out", "one"), demo(...args, "--out", "two")]);
      for (const run of runs) expect([run.status, run.stderr]).to.deep.equal([0, ""]);
      outcomes = runs.map((run) => JSON.parse(run.stdout) as Outcome);
    });

    it("gives the same file, capture and plot in two processes, bit for bit", () => {
      expect(statSync(join(folder, "one.pcapng")).size).to.be.greaterThan(600_000);
      expect(digestOf(contentOf("one.pcapng"))).to.equal(digestOf(contentOf("two.pcapng")));
      expect(digestOf(contentOf("one.html"))).to.equal(digestOf(contentOf("two.html")));
      expect(outcomes[0]!.file).to.deep.equal(outcomes[1]!.file);
    });

    it("gives another capture for another seed", async () => {
      const other = ["--size", "300KiB", "--seed", "a worm", "--loss", "3%", "--delay", "15ms", "--no-kernel"];
      expect((await demo(...other, "--out", "three")).status).to.equal(0);
      expect(digestOf(contentOf("one.pcapng"))).to.not.equal(digestOf(contentOf("three.pcapng")));
    });

    it("tells everything as JSON", () => {
      const { file, seed, queues, impairments, clean, bad } = outcomes[0]!;
      expect(outcomes[0]).to.include({ intact: true });
      expect(file).to.include({ name: "random bytes", bytes: 307_200 }).and.have.property("sha256").lengthOf(64);
      expect([clean.sha256, bad.sha256]).to.deep.equal([file.sha256, file.sha256]);
      expect([seed, queues]).to.deep.equal(["a word", 4]);
      expect(impairments).to.include({ loss: 0.03, delayMicros: 15_000, jitterMicros: 2000 });
      expect(clean.figures.map((figure) => figure.name)).to.deep.equal(FIGURES);
      for (const figure of clean.figures) {
        expect(figure.oribi, figure.name).to.be.greaterThan(0);
        expect(figure.node, figure.name).to.equal(undefined);
      }
      expect(clean.queueShares).to.have.lengthOf(4);
      expect(clean.queueShares.reduce((sum, share) => sum + share, 0)).to.be.closeTo(1, 1e-9);
      expect(Math.min(...clean.queueShares)).to.be.greaterThan(0.1);
    });

    it("counts on the bad link what the wire lost, and what was sent again for it", () => {
      const { bad } = outcomes[0]!;
      expect(bad.toClient.frames).to.be.greaterThan(307_200 / 1448);
      expect(bad.toClient.lost).to.be.greaterThan(0);
      expect(bad.retransmissions).to.be.within(bad.toClient.lost, bad.toClient.lost + bad.timeouts + 5);
      // A window of data takes a round trip at least.
      expect(bad.micros).to.be.greaterThan(3 * 30_000);
      expect(bad.goodputBits).to.be.closeTo((307_200 * 8e6) / bad.micros, 1);
      expect(bad.capture).to.include({ path: join(folder, "one.pcapng"), isWhole: true });
      const [connection] = connections(readPcapng(join(folder, "one.pcapng")));
      expect(connection!.retransmissions).to.equal(bad.retransmissions);
    });
  });

  it("ends with status 1 when the bad link lets nothing through, and says so", async () => {
    const run = await demo("--size", "10KB", "--loss", "100%", "--no-kernel", "--out", "cut");
    expect([run.status, run.stderr]).to.deep.equal([1, ""]);
    expect(run.stdout).to.match(/^ +recv failed: E[A-Z]+ {2}bad link$/m);
    expect(run.stdout).to.contain("cut.pcapng").and.to.not.contain("cut.html");
  });

  it("refuses bad arguments with status 2, before it does anything", async () => {
    const cases: [args: string[], words: string[]][] = [
      [
        ["--loss", "150%"],
        ['--loss is "150%"', "expected a share from 0% to 100%"],
      ],
      [
        ["--delay", "20"],
        ['--delay is "20"', "did you mean 20ms?"],
      ],
      [
        ["--queues", "0"],
        ['--queues is "0"', "from 1 to 64"],
      ],
      [["--file", "nowhere.bin"], ['there is no file "nowhere.bin"']],
      [["--file", "."], ['"." is a folder']],
      [["--file", "/dev/null"], ["no regular file"]],
      [["--file", MAIN, "--size", "1MB"], ["--size is for the file that is made"]],
      [
        ["--size", "2GiB"],
        ['--size is "2GiB"', "up to 1GiB"],
      ],
      [["--out", "no/such/folder/x"], ['there is no folder "']],
      [["--lose", "1%"], ["did you mean --loss?"]],
      [["again"], ['"again" is one argument too many']],
    ];
    const runs = await Promise.all(cases.map(([args]) => demo(...args)));
    for (const [index, { status, stdout, stderr }] of runs.entries()) {
      const [args, words] = cases[index]!;
      expect([status, stdout], args.join(" ")).to.deep.equal([2, ""]);
      expect(stderr).to.match(/^oribi demo: /);
      for (const each of words) expect(stderr).to.contain(each);
      expect(stderr).to.not.contain("    at ");
    }
  });
});

describe("the demo's connections, in simulated time", () => {
  it("moves a file in large segments without losing any of them", async () => {
    const source = madeSource(3 << 20, "large segments");
    await using hosts = createHosts({ seed: 5, queues: 2, time: "virtual", tso: true });
    const transfer = new Transfer(hosts, source);
    expect(hosts.network.runUntil(() => transfer.step(), { timeout: "60s" })).to.equal(true);
    expect(transfer.sha256).to.equal(sha256(source));
    const { tcp, ip } = hosts.server.counters();
    expect(tcp.outSegs).to.be.within(1, 500);
    expect([tcp.retransSegs, ip.fragFails]).to.deep.equal([0, 0]);
  });

  it("leaves to the NIC what is more than a segment, however little more", async () => {
    await using hosts = createHosts({ seed: 5, queues: 1, time: "virtual", tso: true });
    const ends = openConnection(hosts, openListener(hosts));
    const buffer = Buffer.alloc(4096);
    for (let bytes = 1400; bytes <= 3000; bytes += 100) {
      expect(hosts.server.posix.send(ends.server, Buffer.alloc(bytes))).to.equal(bytes);
      hosts.network.settle();
      expect(hosts.client.posix.recv(ends.client, buffer, MSG_DONTWAIT), `${bytes} bytes`).to.equal(bytes);
    }
    const { tcp, ip } = hosts.server.counters();
    expect([tcp.retransSegs, ip.fragFails]).to.deep.equal([0, 0]);
  });

  it("acknowledges both FINs when both ends close at once (RFC 9293 figure 13)", async () => {
    await using hosts = createHosts({ seed: 6, queues: 1, time: "virtual" });
    const ends = openConnection(hosts, openListener(hosts));
    ends.close();
    hosts.network.advance("3s");
    for (const host of [hosts.server, hosts.client]) {
      const { tcp } = host.counters();
      expect([tcp.retransSegs, tcp.outRsts, tcp.timeWaits], host.name).to.deep.equal([0, 0, 1]);
    }
  });
});

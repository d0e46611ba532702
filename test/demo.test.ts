// The main job as a user runs it, a child process: what it prints, what it leaves, and that both can be had again.
// Read first: host/cli/demo.ts; DESIGN.md section 5 (the same seed, the same bytes).

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { connections, MSG_DONTWAIT, readPcapng } from "../host/index.ts";
import { Crew, THREAD_MODELS, ThreadFailure } from "../host/demo/crew.ts";
import { createHosts, openConnection, openListener, startConnect } from "../host/demo/hosts.ts";
import type { Outcome } from "../host/demo/report.ts";
import { fileSource, madeSource, openSource, sha256, type Source } from "../host/demo/source.ts";
import { SourcePorts } from "../host/demo/source-ports.ts";
import { Tally } from "../host/demo/tally.ts";
import { threaded } from "../host/demo/threaded.ts";
import { threadedTables } from "../host/demo/threaded-report.ts";
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
    return runOf(start("--measure", "30ms", ...args));
  }
  function start(...args: string[]): ChildProcess {
    const env = { ...process.env, NO_COLOR: "1" };
    return spawn(process.execPath, [MAIN, "demo", ...args], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  }
  function runOf(child: ChildProcess): Promise<Run> {
    const run: Run = { status: null, stdout: "", stderr: "" };
    child.stdout!.on("data", (data: Buffer) => (run.stdout += data.toString()));
    child.stderr!.on("data", (data: Buffer) => (run.stderr += data.toString()));
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

  describe("with threads", () => {
    const quick = ["--no-kernel", "--queues", "2"];
    before(() => writeFileSync(join(folder, "trip.bin"), wholeOf(madeSource(300_001, "trip"))));

    for (const { model, business, what } of [
      { model: "shared", business: 0, what: ["--size", "300KiB"] },
      { model: "separate", business: 2, what: ["--file", "trip.bin"] },
    ]) {
      it(`gives the file, requests and connections to every queue's thread: ${model}`, async () => {
        const run = await demo(...quick, ...what, "--json", "--threads", model, "--out", model);
        expect([run.status, run.stderr]).to.deep.equal([0, ""]);
        const { intact, file, clean, bad, threads } = JSON.parse(run.stdout) as Outcome & { intact: boolean };
        expect(intact).to.equal(true);
        expect([clean.sha256, threads!.sha256, bad.sha256]).to.deep.equal([file.sha256, file.sha256, file.sha256]);
        expect(threads)
          .to.include({ model })
          .and.to.deep.include({ threads: { stacks: 2, business } });
        const { queues, fetch, roundTrips, connections } = threads!;
        expect([queues.length, fetch.connections, roundTrips.connections]).to.deep.equal([2, 16, 32]);
        for (const queue of queues) {
          // Half of those that fetched the file, and what RSS gave it of the others.
          expect(queue.connections).to.be.above(fetch.connections / 2);
          for (const name of ["rxPackets", "rxBytes", "txPackets", "wakeups", "requestsPerSecond"] as const) {
            expect(queue[name], name).to.be.above(0);
          }
          expect(queue.asleep).to.be.within(0, 1);
          expect(queue.sleeps).to.be.at.least(queue.wakeups);
        }
        const sum = (figure: (queue: (typeof queues)[number]) => number): number =>
          queues.reduce((total, queue) => total + figure(queue), 0);
        expect(sum((queue) => queue.requestsPerSecond)).to.be.closeTo(roundTrips.perSecond, 1);
        expect(sum((queue) => queue.txBytes)).to.be.above(file.bytes);
        expect(sum((queue) => queue.connections)).to.be.above(fetch.connections + roundTrips.connections);
        expect(connections.perSecond).to.be.above(0);
        const text = threadedTables(threads!, file.bytes, { color: false });
        expect(text).to.match(/^request\/response, 64 B each +[\d,]+ \/s on 32 connections$/m);
        expect(text)
          .to.match(/^ +1( +[\d,.]+( [KM]?B| %)?){10}$/m)
          .and.to.match(/^ +all /m);
        expect(Math.max(...text.split("\n").map((line) => line.length))).to.be.below(100);
      });
    }

    it("ends with status 1 when a thread fails, and says which and why", async () => {
      writeFileSync(join(folder, "gone.bin"), Buffer.alloc(10_000));
      const child = start(...quick, "--file", "gone.bin", "--measure", "200ms", "--threads", "separate");
      // When the program prints it has opened the file, and reads on; its threads, later, cannot open it.
      child.stdout!.once("data", () => unlinkSync(join(folder, "gone.bin")));
      const run = await runOf(child);
      expect(run.status).to.equal(1);
      expect(run.stdout).to.contain("connect, 1 B, close").and.to.not.contain("SHA-256");
      expect(run.stderr).to.match(/^oribi demo: separate threads: business thread \d failed: ENOENT: .*gone\.bin'\n$/);
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
      [
        ["--threads", "foo"],
        ['--threads is "foo"', 'expected "shared" or "separate"'],
      ],
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

describe("the demo's file", () => {
  it("is the same for a thread that opens it", () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-source-"));
    try {
      using made = madeSource(2_500_000, "a seed");
      writeFileSync(join(folder, "file"), wholeOf(made));
      using named = fileSource(join(folder, "file"));
      for (const source of [made, named]) {
        using opened = openSource(structuredClone(source.place));
        expect(opened.bytes).to.equal(2_500_000);
        expect(sha256(opened)).to.equal(sha256(made));
        // Here and there, as several connections want it.
        for (const at of [2_499_999, 0, 1_000_000, 65_535, 1_000_001]) {
          const piece = opened.piece(at);
          expect(piece.length).to.be.above(0);
          expect(Buffer.compare(piece, wholeOf(made).subarray(at, at + piece.length))).to.equal(0);
        }
      }
      using empty = madeSource(0, "a seed");
      expect([empty.bytes, openSource(empty.place).bytes]).to.deep.equal([0, 0]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** All bytes of a source. */
function wholeOf(source: Source): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < source.bytes; at += pieces.at(-1)!.length) pieces.push(Buffer.from(source.piece(at)));
  return Buffer.concat(pieces);
}

describe("the demo's threads", function () {
  this.timeout(60_000);

  it("are missed when one cannot open the file", async () => {
    using source = madeSource(1000, "a seed");
    const lost = { ...source, place: { path: join(tmpdir(), "oribi-there-is-none") } };
    const silent = { starting: () => {}, fetching: () => {}, measuring: () => {} };
    const options = { model: "shared", queues: 2, seed: 1, measureMicros: 1000 } as const;
    const failure = await threaded(lost, options, silent).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(ThreadFailure);
    expect((failure as Error).message).to.match(/^the thread of stack "server#\d" failed: ENOENT: /);
  });

  for (const model of THREAD_MODELS) {
    it(`are missed when one dies: ${model}`, async () => {
      const server = { stacks: 2, threads: model, stack: { connections: 64, timeWaits: 64, sockets: 64 } };
      await using hosts = createHosts({ seed: 5, queues: 2, time: "real", server });
      const setup = { file: madeSource(1000, "a seed").place, tally: Tally.buffer(2) };
      const told: string[] = [];
      await using crew = await Crew.start(hosts, model, setup, (n, of) => told.push(`${n} of ${of}`));
      expect(told.at(-1)).to.equal(model === "shared" ? "2 of 2" : "4 of 4");
      crew.check();
      hosts.network.kill(hosts.server.stacks[1]!);
      const isMissed = (): boolean => {
        try {
          crew.check();
          return false;
        } catch (error) {
          expect(error).to.be.instanceOf(ThreadFailure);
          expect((error as Error).message).to.contain('stack "server#1"');
          return true;
        }
      };
      expect(await hosts.network.until(isMissed, { timeout: "20s" })).to.equal(true);
    });
  }
});

describe("the demo's connections, in simulated time", () => {
  it("come to the queue that their source port was chosen for", async () => {
    const server = { stacks: 3 };
    await using hosts = createHosts({ seed: 5, queues: 3, time: "virtual", server });
    const listener = hosts.server.listen({ port: 20 });
    const ports = new SourcePorts(hosts.client, hosts.server, 20);
    for (const queue of [2, 0, 1, 1, 2, 0]) {
      startConnect(hosts, 20, ports.take(queue));
      hosts.network.settle();
      const accepted = listener.accept();
      expect(typeof accepted === "object" && accepted.stack.index).to.equal(queue);
    }
    // Handed over were copies only: ARP, which all stacks are to hear.
    const { out, copies } = hosts.server.counters().steer;
    expect(out).to.equal(copies);
  });

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

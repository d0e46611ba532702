// Random bad networks, a bounded number of seeds, and the simulator itself: it must notice what it is there to notice.
// Read first: host/simulate/run.ts. `npx oribi simulate` runs as many seeds as one likes.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import type { NetworkCapture, Posix } from "../host/index.ts";
import { audit, stockOf } from "../host/simulate/audit.ts";
import { runBatch } from "../host/simulate/batch.ts";
import { Dice } from "../host/simulate/dice.ts";
import { drawScenario } from "../host/simulate/draw.ts";
import { Endpoint } from "../host/simulate/endpoint.ts";
import { SimulationFailure } from "../host/simulate/failure.ts";
import { firstDifference, OFFSET_MAX, STREAM_BYTES_MAX, streamBytes } from "../host/simulate/pattern.ts";
import { runScenario, type SeedResult } from "../host/simulate/run.ts";
import type { EndPlan, Scenario } from "../host/simulate/scenario.ts";
import { createWorld } from "../host/simulate/world.ts";
import { readPcapng } from "../veth/pcapng.ts";
import { seedOf } from "./support/chance.ts";
import { type Packet, parse } from "./support/packets.ts";

const SEEDS = 250;
const WRAP = 2 ** 32;

/** Runs a scenario with a capture: its result and the bytes of the capture. */
async function captured(scenario: Scenario): Promise<{ result: SeedResult; bytes: Uint8Array }> {
  let capture: NetworkCapture | undefined;
  const result = await runScenario(scenario, { capture: "memory", onCapture: (made) => (capture = made) });
  return { result, bytes: capture!.bytes() };
}

/** The failure of a scenario that must not pass. */
async function failureOf(scenario: Scenario): Promise<SimulationFailure> {
  try {
    await runScenario(scenario);
  } catch (error) {
    expect(error).to.be.instanceOf(SimulationFailure);
    return error as SimulationFailure;
  }
  return expect.fail("the scenario passed");
}

/** A plain scenario: one connection, `bytes` each way, over quiet wires. */
function plain(bytes: number, changes: [Partial<EndPlan>, Partial<EndPlan>] = [{}, {}]): Scenario {
  const end = (offset: number, change: Partial<EndPlan>): EndPlan => ({
    bytes,
    offset,
    writeBytes: 1000,
    more: 0,
    readBytes: 0,
    peek: 0,
    readEveryMicros: 0,
    readPauseAt: Infinity,
    readPauseMicros: 0,
    writePauseAt: Infinity,
    writePauseMicros: 0,
    order: "first",
    ending: "shutdown",
    options: {},
    ...change,
  });
  const connection = {
    client: 0,
    clientPort: 40_000,
    serverPort: 8000,
    openMicros: 0,
    ends: [end(1, changes[0]), end(2, changes[1])],
    isFragile: false,
  } as const;
  const quiet = { toWire: { delay: 1000 }, toHost: {} };
  return {
    seed: 1,
    clock: { kind: "time", startMicros: 0 },
    drive: "busy",
    hosts: [{ stack: { connections: 8 } }, { stack: { connections: 8 } }],
    links: [quiet, quiet],
    connections: [connection],
    cuts: [],
  };
}

describe("random bad networks", function () {
  this.timeout(120_000);
  const from = seedOf(20_260_101);

  it(`${SEEDS} seeds from ${from}: every byte once and in order, every connection ends, nothing is left`, async () => {
    const totals = await runBatch({ from, count: SEEDS, debug: false });
    const text = totals.failures.map(({ seed, kind, message }) => `oribi simulate --seed ${seed}: ${kind}: ${message}`);
    expect(text).to.deep.equal([]);
    expect(totals.seeds).to.equal(SEEDS);
    // The networks were bad, and much crossed them all the same.
    expect(totals.bytes).to.be.above(5_000_000);
    expect(totals.retransmissions).to.be.above(2000);
    expect(totals.outOfOrder).to.be.above(2000);
  });

  it("a thousand seeds are of every kind", () => {
    const seen = new Map<string, number>();
    const see = (what: string): unknown => seen.set(what, (seen.get(what) ?? 0) + 1);
    const scenarios = Array.from({ length: 1000 }, (_, i) => drawScenario(from + i));
    for (const { clock, drive, crowd, cuts, connections, hosts, links } of scenarios) {
      see(clock.kind);
      see(drive);
      if (clock.kind === "time" && clock.startMicros > WRAP) see("late start");
      if (crowd !== undefined) see("crowd");
      if (cuts.length > 0) see("cuts");
      if (connections.length > 1) see("several connections");
      for (const { abort, ends } of connections) {
        if (abort !== undefined) see(`abort by ${abort.how}`);
        see(ends.map(({ order, ending }) => `${order} ${ending}`).join(" and "));
        for (const { bytes, readEveryMicros, options } of ends) {
          if (bytes === 1) see("one byte");
          if (bytes > 500_000) see("half a megabyte");
          if (bytes === 2 ** 20) see("a megabyte");
          if (readEveryMicros > 0) see("slow reader");
          for (const name of Object.keys(options)) see(name);
        }
      }
      for (const { offloads } of hosts) for (const [name, on] of Object.entries(offloads ?? {})) if (on) see(name);
      for (const link of links.flatMap(({ toWire, toHost }) => [toWire, toHost])) {
        for (const name of Object.keys(link)) see(name);
      }
    }
    const kinds = [
      ...[
        "time",
        "late start",
        "sequence",
        "timestamps",
        "busy",
        "level",
        "edge",
        "crowd",
        "cuts",
        "several connections",
      ],
      ...[
        "abort by reset",
        "abort by unread",
        "abort by close",
        "one byte",
        "half a megabyte",
        "a megabyte",
        "slow reader",
      ],
      ...["first shutdown and second close", "second close and first close", "first close and first close"],
      ...["first shutdown and first shutdown", "second shutdown and first close"],
      ...["SO_RCVBUF", "SO_SNDBUF", "TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK", "TCP_MAXSEG", "TCP_CONGESTION"],
      ...["tso", "lro", "txChecksum", "rxChecksum"],
      ...["loss", "gilbert", "corrupt", "duplicate", "reorder", "jitter", "delay", "rate"],
    ];
    for (const kind of kinds) expect(seen.get(kind) ?? 0, kind).to.be.at.least(10);
  });

  it("a seed replays to the bit, here and in another process", async () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-simulate-"));
    try {
      for (const seed of [from + 7, from + 42]) {
        const first = await captured(drawScenario(seed));
        const second = await captured(drawScenario(seed));
        expect(second.result).to.deep.equal(first.result);
        expect(Buffer.compare(first.bytes, second.bytes), `seed ${seed}`).to.equal(0);
        const { status } = oribi("simulate", "--seed", String(seed), "--out", folder);
        expect(status).to.equal(0);
        const other = readFileSync(join(folder, `oribi-seed-${seed}.pcapng`));
        expect(Buffer.compare(first.bytes, other), `seed ${seed} elsewhere`).to.equal(0);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the simulator turns the clock until what it names wraps", () => {
  /** The first segment that an end of the first connection sends: the client's SYN, or the server's answer. */
  async function firstSegment(scenario: Scenario, end: 0 | 1): Promise<Packet> {
    const { bytes } = await captured(scenario);
    const packets = [...readPcapng(bytes)].map(({ data }) => parse(data)).filter(({ tcp }) => tcp !== undefined);
    return packets.find(({ tcp }) => tcp!.flags.includes("A") === (end === 1))!;
  }

  for (const end of [0, 1] as const) {
    const who = end === 0 ? "client" : "server";
    // The server answers when the SYN has arrived: a millisecond later.
    const late = end === 0 ? 0 : 1;

    it(`sequence numbers of the ${who}`, async () => {
      const scenario: Scenario = { ...plain(3000), clock: { kind: "sequence", end, distance: 2000 } };
      const { tcp } = await firstSegment(scenario, end);
      expect((tcp!.seq + 2000) % WRAP).to.be.within(late * 15_900, late * 16_000 + 200);
    });

    it(`timestamps of the ${who}`, async () => {
      const scenario: Scenario = { ...plain(3000), clock: { kind: "timestamps", end, distance: 50 } };
      const { tcp } = await firstSegment(scenario, end);
      expect((tcp!.options.timestamps![0] + 50) % WRAP).to.be.within(late, late + 1);
    });
  }
});

describe("the simulator notices", () => {
  /** Lets an endpoint that sends nothing read these pieces, and then the end of the stream. */
  function reads(pieces: Buffer[], peer: EndPlan): Endpoint {
    const left = [...pieces];
    const posix = {
      recv: (_fd: number, target: Buffer) => left.shift()?.copy(target) ?? 0,
      getpeername: () => 0,
      shutdown: () => 0,
      close: () => 0,
    } as unknown as Posix;
    const plan = plain(0).connections[0]!.ends[0];
    const dice = new Dice(1, "test");
    const context = { name: "end", posix, plan, peer, abort: undefined, isFragile: false, untilEmpty: true, dice };
    const endpoint = new Endpoint(context);
    endpoint.open(3, 0);
    endpoint.pump(0);
    return endpoint;
  }

  it("nothing in a scenario without faults", async () => {
    const result = await runScenario(plain(100_000));
    expect(result).to.include({ connections: 1, bytes: 200_000, retransmissions: 0 });
  });

  it("bytes that are wrong, missing, doubled or too many", () => {
    const peer = plain(5000).connections[0]!.ends[1];
    const stream = streamBytes(peer.offset, 0, 5000);
    const wrong = Buffer.from(stream);
    wrong[4321]! ^= 4;
    const cases: [received: Buffer[], words: string][] = [
      [[wrong], "end got a wrong byte at place 4321 of 5000"],
      [[stream.subarray(0, 100), stream.subarray(200)], "end got a wrong byte at place 100 of 5000"],
      [[stream.subarray(0, 100), stream.subarray(0, 100)], "end got a wrong byte at place 100 of 5000"],
      [[stream, stream.subarray(0, 1)], "end got 5001 bytes of 5000"],
      [[stream.subarray(0, 4999)], "end read the end after 4999 of 5000 bytes"],
    ];
    for (const [received, words] of cases)
      expect(() => reads(received, peer), words).to.throw(SimulationFailure, words);
    expect(reads([stream.subarray(0, 1), stream.subarray(1)], peer).isClosed).to.be.true;
  });

  it("connections that do not end", async () => {
    const failure = await failureOf(plain(10, [{ order: "second" }, { order: "second" }]));
    expect(failure).to.include({ kind: "deadlock" });
    expect(failure.message).to.contain("client on a: sent 10/10, got 10/10");
  });

  it("connections that end before their time", async () => {
    const scenario = plain(10);
    const connection = {
      ...scenario.connections[0]!,
      abort: { end: 1, how: "reset", afterBytes: 5, afterMicros: 0 },
    } as const;
    const failure = await failureOf({ ...scenario, connections: [connection] });
    expect(failure).to.include({ kind: "error" });
    expect(failure.message).to.contain("client on a: recv() gave ECONNRESET");
  });

  it("what was not given back", async () => {
    const world = createWorld(plain(1));
    const [host] = world.hosts;
    const stock = stockOf(host);
    audit(host, stock);
    host.posix.socket(2, 1);
    expect(() => audit(host, stock)).to.throw(SimulationFailure, "host a at the end: pool tcb 1, not 0");
    await world.network.close();
  });

  it("what cannot be set up", async () => {
    const failure = await failureOf(plain(1, [{ options: { SO_NONSENSE: 1 } }, {}]));
    expect(failure).to.include({ kind: "fault" });
    expect(failure.message).to.contain("knows no option SO_NONSENSE");
  });
});

describe("the simulator's streams", () => {
  it("are windows of a pattern that tell any place from any other", () => {
    const received = Buffer.from(streamBytes(1000, 0, 70_000));
    expect(firstDifference(1000, 0, received, 70_000)).to.equal(-1);
    for (const [at, shift] of [
      [0, 1],
      [500, 1],
      [0, 256],
      [0, 65536],
    ] as const) {
      const first = firstDifference(1000 + at, shift, received, 1000);
      expect(first, `shifted by ${at + shift}`).to.be.within(shift, shift + 8);
    }
    received[69_999]! ^= 1;
    expect(firstDifference(1000, 0, received, 70_000)).to.equal(69_999);
    expect(streamBytes(OFFSET_MAX - 1, 0, STREAM_BYTES_MAX)).to.have.lengthOf(STREAM_BYTES_MAX);
  });

  it("are drawn with dice that keep their bounds", () => {
    const dice = new Dice(1, "test");
    const rolls = Array.from({ length: 10_000 }, () => [
      dice.whole(3, 5),
      dice.log(1, 1000),
      dice.log(7, 7),
      dice.real(-1, 1),
    ]);
    const column = (i: number): number[] => rolls.map((roll) => roll[i]!);
    expect(new Set(column(0))).to.deep.equal(new Set([3, 4, 5]));
    expect([Math.min(...column(1)), Math.max(...column(1))]).to.deep.equal([1, 1000]);
    // As many between 1 and 31 as between 32 and 1000.
    expect(column(1).filter((value) => value < 32)).to.have.length.within(4500, 5500);
    expect(new Set(column(2))).to.deep.equal(new Set([7]));
    expect(column(3).every((value) => value >= -1 && value < 1)).to.be.true;
  });
});

function oribi(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const main = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));
  const env = { ...process.env, NO_COLOR: "1" };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env });
  return { status, stdout, stderr };
}

describe("oribi simulate", function () {
  this.timeout(60_000);

  it("prints a line of totals", () => {
    const { status, stdout, stderr } = oribi("simulate", "--seeds", "3", "--from", "7", "--jobs", "1");
    expect([status, stderr]).to.deep.equal([0, ""]);
    const figures = /^3 seeds, 0 failed: \S+ \wB delivered, [\d,]+ frames, [\d,]+ retransmissions, /;
    expect(stdout).to.match(figures);
    expect(stdout).to.match(/ [\d.]+ days of virtual time in [\d.]+ s \(\d+ seeds\/s\)\n$/);
  });

  it("gives the same figures on threads as in one", async () => {
    const { status, stdout } = oribi("simulate", "--seeds", "36", "--from", "99", "--jobs", "2", "--json");
    expect(status).to.equal(0);
    const figures = JSON.parse(stdout) as Record<string, unknown>;
    const { seeds, connections, bytes, frames, retransmissions, outOfOrder, failures } = await runBatch({
      from: 99,
      count: 36,
      debug: false,
    });
    expect(figures).to.deep.include({ seeds, connections, bytes, frames, retransmissions, outOfOrder, failures });
    expect(frames).to.be.above(1000);
  });

  it("tells about one seed and captures it", () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-simulate-"));
    const { status, stdout } = oribi("simulate", "--seed", "5", "--out", folder);
    expect(status).to.equal(0);
    for (const words of ["seed 5\n", "  host a: ", "  host b: ", "  connection 0: ", "seed 5 passed: ", "capture: "]) {
      expect(stdout).to.contain(words);
    }
    expect(readdirSync(folder)).to.deep.equal(["oribi-seed-5.pcapng"]);
    rmSync(folder, { recursive: true });
  });

  it("refuses what makes no sense", () => {
    const { status, stderr } = oribi("simulate", "--seed", "5", "--seeds", "10");
    expect(status).to.equal(2);
    expect(stderr).to.contain("--seeds has no use beside it");
    expect(oribi("simulate", "--seeds", "0").stderr).to.contain("a whole number from 1");
  });
});

// Time-sequence plots: the model against hand-made and simulated captures, the thinning, the page.
// Read first: veth/plot-sequence.ts (the model), test/support/fake-transfer.ts (the simulated captures).

import { Script } from "node:vm";
import { expect } from "chai";

import { PcapngWriter, readPcapng } from "../veth/pcapng.ts";
import { barPath, extentOf, segmentBars, thinBars } from "../veth/plot-marks.ts";
import { RangeSet } from "../veth/plot-ranges.ts";
import { amount, bytesUnit, GRID, rateUnit, threeDigits, ticks, tickText, timeUnit } from "../veth/plot-scale.ts";
import { closedWindows, inFlight, ratesOf } from "../veth/plot-series.ts";
import { drawSequence } from "../veth/plot-svg.ts";
import { connections, plotCapture, plotPage, timeSequence } from "../veth/plot.ts";
import type { Frame, TimeSequence } from "../veth/plot.ts";
import { arpFrame, CLIENT, SERVER, tcpFrame, udpFrame } from "./support/capture-frames.ts";
import type { TcpFields } from "./support/capture-frames.ts";
import { fakeTransfer } from "./support/fake-transfer.ts";

const SYN = 2;
const ACK = 16;
const WINDOW_SCALE_7 = [3, 3, 7];

/** A capture at one port, written down by hand; sequence numbers are relative to the two ISNs. */
class Trace {
  readonly frames: Frame[] = [];
  private now = 0;

  constructor(
    private readonly isn = 0x10000,
    private readonly direction: "known" | "unknown" = "known",
  ) {}

  /** Lets time pass. */
  wait(millis: number): this {
    this.now += millis * 1000;
    return this;
  }

  client(fields: Partial<TcpFields> & { length?: number }): this {
    return this.add(true, fields);
  }

  server(fields: Partial<TcpFields> & { length?: number }): this {
    return this.add(false, fields);
  }

  /** The three-way handshake, with window scaling by 7, over 10 ms. */
  open(options: readonly number[] = WINDOW_SCALE_7): this {
    this.client({ seq: 0, flags: SYN, options }).wait(10);
    return this.server({ seq: 0, ack: 1, flags: SYN | ACK, options }).client({ seq: 1, ack: 1 });
  }

  /** A SACK option with these relative edges. */
  sack(...edges: number[]): number[] {
    const words = edges.flatMap((edge) => {
      const seq = (this.isn + edge) >>> 0;
      return [seq >>> 24, (seq >>> 16) & 255, (seq >>> 8) & 255, seq & 255];
    });
    return [1, 1, 5, 2 + words.length, ...words];
  }

  private add(fromClient: boolean, { length, ...fields }: Partial<TcpFields> & { length?: number }): this {
    const { seq = 1, ack = 1, flags = ACK } = fields;
    const payload = fields.payload ?? new Uint8Array(length ?? 0);
    const [own, other] = fromClient ? [this.isn, 77] : [77, this.isn];
    const whole = { ...fields, payload, flags, seq: own + seq, ack: (flags & ACK) === 0 ? 0 : other + ack };
    const data = fromClient ? tcpFrame(CLIENT, SERVER, whole) : tcpFrame(SERVER, CLIENT, whole);
    const known = fromClient ? ("outbound" as const) : ("inbound" as const);
    this.frames.push({ timeMicros: this.now, data, direction: this.direction === "known" ? known : "unknown" });
    return this;
  }
}

/** A transfer of 1,000-byte segments in which segments 2, 4 and 5 (from 1) are sent again. */
function threeRetransmissions(isn?: number): Trace {
  const trace = new Trace(isn).open().wait(1);
  for (let index = 0; index < 6; index++) trace.client({ seq: 1 + index * 1000, length: 1000 });
  trace.wait(10).server({ ack: 1001 });
  trace.server({ ack: 1001, options: trace.sack(2001, 3001) });
  trace.server({ ack: 1001, options: trace.sack(5001, 6001, 2001, 3001) });
  trace.wait(1);
  for (const index of [1, 3, 4]) trace.client({ seq: 1 + index * 1000, length: 1000 });
  return trace.wait(10).server({ ack: 6001 });
}

describe("plot: the model of a connection", () => {
  it("finds three retransmissions, the SACK blocks and the acknowledgements", () => {
    const { segments, sacks, acks, totals } = timeSequence(threeRetransmissions().frames);
    const again = segments.filter((segment) => segment.kind === "retransmission");
    expect(again.map(({ start, end }) => [start, end])).to.deep.equal([
      [1001, 2001],
      [3001, 4001],
      [4001, 5001],
    ]);
    expect(segments.filter((segment) => segment.kind === "new")).to.have.lengthOf(7); // the SYN is one
    expect(sacks.map(({ start, end, duplicate }) => [start, end, duplicate])).to.deep.equal([
      [2001, 3001, false],
      [5001, 6001, false],
      [2001, 3001, false],
    ]);
    expect(acks.map(({ ack }) => ack)).to.deep.equal([1, 1001, 1001, 1001, 6001]);
    expect(acks.map(({ duplicate }) => duplicate)).to.deep.equal([false, false, true, true, false]);
    expect(totals).to.deep.include({
      bytes: 6000,
      ackedBytes: 6000,
      packets: 16,
      retransmissions: 3,
      retransmittedBytes: 3000,
      duplicateAcks: 2,
      sackedAcks: 2,
      duplicateSacks: 0,
      lost: 0,
    });
    // 6,000 bytes acknowledged 21 ms after the first was sent; the handshake and the first segment took 10 ms.
    expect(totals.goodputBits).to.be.closeTo((6000 * 8) / 0.021, 1);
    expect(totals.rttMicros).to.equal(10_000);
  });

  for (const isn of [0xffffffff, 0xfffffffe, 0xfffffc00, 0xfffff000, 0x7fffffff, 0x7ffffc00]) {
    it(`is the same for an ISN of 0x${isn.toString(16)}: sequence numbers go on past their wrap`, () => {
      expect(timeSequence(threeRetransmissions(isn).frames)).to.deep.equal(
        timeSequence(threeRetransmissions(0x10000).frames),
      );
    });
  }

  it("scales windows by the shift of the SYN, but not the SYN's own (RFC 7323 2.2)", () => {
    const trace = new Trace().open().wait(1).client({ length: 100 }).wait(1).server({ ack: 101, window: 500 });
    const { acks, windowShift } = timeSequence(trace.frames);
    expect(windowShift).to.equal(7);
    expect(acks.map(({ window }) => window)).to.deep.equal([65535, 500 * 128]);
  });

  it("does not scale windows unless both ends offered to", () => {
    const trace = new Trace().client({ seq: 0, flags: SYN, options: WINDOW_SCALE_7 });
    trace
      .server({ seq: 0, ack: 1, flags: SYN | ACK })
      .client({ length: 10 })
      .server({ ack: 11, window: 500 });
    const { acks, windowShift } = timeSequence(trace.frames);
    expect([windowShift, acks.at(-1)?.window]).to.deep.equal([0, 500]);
  });

  it("marks D-SACKs: below the acknowledgement, or within the second block (RFC 2883 4)", () => {
    const trace = new Trace().open();
    for (let index = 0; index < 4; index++) trace.client({ seq: 1 + index * 1000, length: 1000 });
    trace.server({ ack: 2001, options: trace.sack(1, 1001) });
    trace.server({ ack: 1001, options: trace.sack(2001, 2501, 2001, 3001) });
    trace.server({ ack: 2001, options: trace.sack(3001, 4001) });
    const { sacks, totals } = timeSequence(trace.frames);
    expect(sacks.map(({ duplicate }) => duplicate)).to.deep.equal([true, true, false, false]);
    expect(totals.duplicateSacks).to.equal(2);
  });

  it("sees a closed window, the probes into it and its end", () => {
    const trace = new Trace().open().wait(1).client({ length: 1000 }).wait(1).server({ ack: 1001, window: 0 });
    trace.wait(200).client({ seq: 1000 }).wait(1).server({ ack: 1001, window: 0 });
    trace.wait(400).client({ seq: 1001, length: 1 }).wait(1).server({ ack: 1001, window: 0 });
    trace.wait(100).server({ ack: 1001, window: 8 });
    const sequence = timeSequence(trace.frames);
    expect(sequence.segments.map(({ kind }) => kind)).to.deep.equal(["new", "new", "windowProbe", "windowProbe"]);
    expect(sequence.totals.zeroWindows).to.equal(3);
    expect(sequence.totals.retransmissions).to.equal(0);
    expect(closedWindows(sequence)).to.deep.equal([{ fromMicros: 12_000, toMicros: 714_000 }]);
  });

  it("tells keep-alives from retransmissions (RFC 9293 3.8.4)", () => {
    const trace = new Trace().open().client({ length: 1000 }).server({ ack: 1001 });
    trace.wait(7000).client({ seq: 1000 }).server({ ack: 1001 }).wait(7000).client({ seq: 1000, length: 1 });
    const { segments, totals } = timeSequence(trace.frames);
    expect(segments.slice(2).map(({ kind }) => kind)).to.deep.equal(["keepAlive", "keepAlive"]);
    expect(totals.retransmissions).to.equal(0);
  });

  it("counts a segment that fills a gap at once as reordered, a late one as sent again", () => {
    const trace = new Trace(1, "unknown").open();
    trace.client({ seq: 1, length: 1000 }).client({ seq: 2001, length: 1000 }).wait(1);
    trace.client({ seq: 1001, length: 1000 }).client({ seq: 4001, length: 1000 });
    trace.wait(30).client({ seq: 3001, length: 1000 });
    const { segments, totals } = timeSequence(trace.frames);
    expect(segments.map(({ kind }) => kind)).to.deep.equal([
      "new",
      "new",
      "new",
      "outOfOrder",
      "new",
      "retransmission",
    ]);
    expect([totals.outOfOrder, totals.retransmissions, totals.bytes]).to.deep.equal([1, 1, 5000]);
  });

  it("counts a SYN and a FIN sent again, and names both ends' SYN, FIN and RST", () => {
    const trace = new Trace().client({ seq: 0, flags: SYN }).wait(1000).open().client({ length: 10 });
    trace.server({ ack: 11 }).client({ seq: 11, flags: 17 }).wait(300).client({ seq: 11, flags: 17 });
    trace.server({ ack: 12, flags: 17 }).client({ seq: 12, ack: 2, flags: 4 });
    const { controls, totals } = timeSequence(trace.frames);
    const marks = controls.map(({ from, label, sequence }) => `${from} ${label} ${sequence}`);
    expect(marks).to.deep.equal([
      "sender SYN 0",
      "sender SYN 0",
      "receiver SYN-ACK 1",
      "sender FIN 12",
      "sender FIN 12",
      "receiver FIN 12",
      "sender RST 12",
    ]);
    expect(totals).to.deep.include({ retransmissions: 2, retransmittedBytes: 0, bytes: 10, ackedBytes: 10 });
  });

  it("reads a capture that begins in the middle of a connection", () => {
    const trace = new Trace(0xfffffff0).client({ seq: 5001, length: 1000 }).server({ ack: 6001, window: 500 });
    trace.client({ seq: 6001, length: 1000 });
    const { segments, acks, windowShift } = timeSequence(trace.frames);
    expect(segments.map(({ start, end }) => [start, end])).to.deep.equal([
      [1, 1001],
      [1001, 2001],
    ]);
    expect(acks.map(({ ack, window }) => [ack, window])).to.deep.equal([[1001, 500]]);
    expect(windowShift).to.equal(-1);
  });

  it("keeps out of the model what arrived damaged", () => {
    const trace = threeRetransmissions();
    const damaged = trace.frames.at(-1)!.data.slice();
    damaged[42]! ^= 0x40; // a bit of the acknowledgement number
    trace.frames.push({ timeMicros: 40_000, data: damaged, direction: "inbound" });
    const { acks, totals } = timeSequence(trace.frames);
    expect(acks.at(-1)?.ack).to.equal(6001);
    expect(totals.damaged).to.equal(1);
  });

  it("shows the other direction on request, and by default the one with more bytes", () => {
    const trace = new Trace()
      .open()
      .client({ length: 10 })
      .server({ ack: 11, length: 700 })
      .client({ seq: 11, ack: 701 });
    expect(timeSequence(trace.frames)).to.deep.include({
      side: "server",
      sender: { address: 0x0a000001, port: 50080 },
    });
    expect(timeSequence(trace.frames).totals.bytes).to.equal(700);
    expect(timeSequence(trace.frames, { side: "client" }).totals.bytes).to.equal(10);
  });

  it("reads tagged frames, and passes over everything that is not TCP", () => {
    const plain = threeRetransmissions().frames;
    const tagged = plain.map((frame) => {
      const data = new Uint8Array(frame.data.length + 4);
      data.set(frame.data.subarray(0, 12));
      data.set([0x81, 0, 0, 5], 12);
      data.set(frame.data.subarray(12), 16);
      return { ...frame, data };
    });
    const others = [arpFrame(CLIENT, SERVER), udpFrame(CLIENT, SERVER, new Uint8Array(9)), new Uint8Array(5)];
    const noise = others.map((data) => ({ timeMicros: 0, data }));
    const numbered = timeSequence([...noise, ...tagged]);
    const unnumbered = (sequence: TimeSequence): unknown => ({
      ...sequence,
      segments: sequence.segments.map((each) => ({ ...each, number: 0 })),
      acks: sequence.acks.map((each) => ({ ...each, number: 0 })),
    });
    expect(unnumbered(numbered)).to.deep.equal(unnumbered(timeSequence(plain)));
    // Packets count in the file, as in Wireshark, whatever they are.
    const numbers = timeSequence(plain).segments.map((each) => each.number + noise.length);
    expect(numbered.segments.map((each) => each.number)).to.deep.equal(numbers);
  });

  it("does not fail on frames cut short or scrambled", () => {
    const [frame] = threeRetransmissions().frames.slice(8);
    for (let length = 0; length < frame!.data.length; length++) {
      connections([{ timeMicros: 0, data: frame!.data.subarray(0, length) }]);
    }
    for (let at = 12; at < 80; at++) {
      const data = frame!.data.slice();
      data[at] = 255;
      connections([{ timeMicros: 0, data }]);
    }
    expect(connections([frame!])).to.have.lengthOf(1);
  });
});

describe("plot: the connections of a capture", () => {
  it("lists each with its ends, bytes, retransmissions and end", () => {
    const { frames, retransmissions } = fakeTransfer({ bytes: 300_000, seed: 11, loss: 0.02 });
    const [connection, ...others] = connections(frames);
    expect(others).to.deep.equal([]);
    expect(retransmissions).to.be.above(2);
    expect(connection).to.deep.include({
      index: 0,
      client: { address: CLIENT.address, port: CLIENT.port },
      server: { address: SERVER.address, port: SERVER.port },
      ports: ["client", "server"],
      bytesFromClient: 300_000,
      bytesFromServer: 0,
      retransmissions,
      opened: true,
      end: "closed",
    });
  });

  it("tells two uses of one pair of sockets apart by their SYNs", () => {
    const first = new Trace(1000).open().client({ length: 10 }).server({ ack: 11 }).client({ seq: 11, flags: 20 });
    const second = new Trace(900_000).open().client({ length: 20 }).server({ ack: 21 });
    const later = second.frames.map((frame) => ({ ...frame, timeMicros: frame.timeMicros + 1e6 }));
    const list = connections([...first.frames, ...later]);
    expect(list.map(({ bytesFromClient, end }) => [bytesFromClient, end])).to.deep.equal([
      [10, "reset"],
      [20, "open"],
    ]);
    expect(timeSequence([...first.frames, ...later]).totals.bytes).to.equal(20);
    expect(timeSequence([...first.frames, ...later], { connection: 0 }).totals.bytes).to.equal(10);
    const wanted = { connection: (each: { bytesFromClient: number }) => each.bytesFromClient === 10 };
    expect(timeSequence([...first.frames, ...later], wanted).totals.bytes).to.equal(10);
  });

  it("says what there is when asked for what there is not", () => {
    const { frames } = threeRetransmissions();
    expect(() => timeSequence([])).to.throw(RangeError, "no TCP connection");
    expect(() => timeSequence(frames, { connection: 3 })).to.throw(RangeError, "0: 10.0.0.2:49152 → 10.0.0.1:50080");
    expect(() => timeSequence(frames, { port: "eth9" })).to.throw(RangeError, 'no port "eth9"');
  });

  for (const seed of [1, 2, 3, 4, 5]) {
    it(`finds every lost and repeated segment of a bad link (seed ${seed})`, () => {
      const transfer = fakeTransfer({ bytes: 400_000, seed, loss: 0.03, ackLoss: 0.03, queue: 40, isn: 0xfffd0000 });
      const { totals, segments } = timeSequence(transfer.frames);
      expect(transfer.lost).to.be.above(3);
      expect(totals).to.deep.include({
        bytes: 400_000,
        ackedBytes: 400_000,
        retransmissions: transfer.retransmissions,
        lost: transfer.lost,
        damaged: 0,
      });
      expect(segments.filter((segment) => segment.lost)).to.have.lengthOf(transfer.lost);
    });
  }

  it("gives one model for frames in memory, and for their capture written and read again", async () => {
    const { frames } = fakeTransfer({ bytes: 50_000, seed: 6, loss: 0.02, rateBits: 8e6 });
    const writer = PcapngWriter.toMemory();
    const ports = new Map(["client", "server"].map((name) => [name, writer.addInterface({ name })]));
    for (const { timeMicros, data, direction, interface: port } of frames) {
      writer.packet(ports.get(port!.name)!, timeMicros, data, { direction });
    }
    await writer.close();
    const read = timeSequence(readPcapng(writer.bytes()));
    expect(read.segments.length).to.be.above(30);
    expect(read).to.deep.equal(timeSequence(frames));
  });
});

describe("plot: figures over time", () => {
  const sequence = timeSequence(fakeTransfer({ bytes: 200_000, seed: 8, loss: 0.02 }).frames);

  it("delivers every byte once, whether acknowledged or SACKed first", () => {
    const rates = ratesOf(sequence, sequence.durationMicros, 50);
    const bits = rates.delivered.reduce((sum, each) => sum + each, 0) * (rates.intervalMicros / 1e6);
    // The FIN takes a sequence number.
    expect(bits / 8).to.be.closeTo(200_001, 0.01);
    expect(Math.min(...rates.delivered)).to.be.at.least(0);
  });

  it("has nothing in flight at the end, and never less than nothing", () => {
    const bytes = inFlight(sequence).map((each) => each.bytes);
    expect(bytes.at(-1)).to.equal(0);
    expect(Math.min(...bytes)).to.equal(0);
    expect(Math.max(...bytes)).to.be.above(10_000);
  });

  it("keeps ranges apart or joins them as a set of numbers would", () => {
    const ranges = new RangeSet();
    const numbers = new Set<number>();
    let state = 12345;
    const random = (limit: number): number => (state = (state * 1103515245 + 12345) % 2 ** 31) % limit;
    for (let round = 0; round < 300; round++) {
      const start = random(400);
      const end = start + random(25);
      const inside = Array.from({ length: end - start }, (_, index) => start + index);
      expect(ranges.overlap(start, end)).to.equal(inside.filter((number) => numbers.has(number)).length);
      ranges.add(start, end);
      for (const number of inside) numbers.add(number);
    }
    expect(ranges.overlap(-10, 1000)).to.equal(numbers.size);
  });
});

describe("plot: the picture", () => {
  /** The bars of a path made by barPath. */
  function barsOf(path: string): { x: number; low: number; high: number }[] {
    let x = 0;
    let y = 0;
    return [...path.matchAll(/m(-?\d+) (-?\d+)v(-?\d+)/g)].map(([, dx, dy, v]) => {
      x += Number(dx);
      y += Number(dy);
      const low = GRID - y;
      y += Number(v);
      return { x, low, high: GRID - y };
    });
  }

  it("draws bars where they belong", () => {
    const bars = [
      { x: 5, low: 10, high: 20 },
      { x: 3, low: 900, high: 900 },
    ];
    expect(barPath(bars)).to.equal("m5 65526v-10m-2 -880v0");
    expect(barsOf(barPath(bars))).to.deep.equal(bars);
  });

  it("stays small for 100,000 packets, and every retransmission and lost segment keeps its mark", function () {
    this.timeout(60_000);
    const options = { bytes: 100_000_000, seed: 9, loss: 0.0005, rateBits: 200e6, delayMicros: 3000, queue: 200 };
    const transfer = fakeTransfer({ ...options, buffer: 1_000_000 });
    const sequence = timeSequence(transfer.frames);
    expect(sequence.totals.packets).to.be.above(100_000);
    expect(sequence.totals.retransmissions).to.equal(transfer.retransmissions).and.to.be.above(100);
    const html = plotPage(sequence);
    expect(html.length).to.be.below(800_000);
    const again = /<path class="dot again" d="([^"]*)"/.exec(html)?.[1] ?? "";
    const drawn = barsOf(again);
    const wanted = segmentBars(
      extentOf(sequence),
      sequence.segments.filter((segment) => segment.kind === "retransmission"),
    );
    for (const { x, low, high } of wanted) {
      const covered = drawn.some((bar) => Math.abs(bar.x - x) <= 16 && bar.low <= low && bar.high >= high);
      expect(covered, `retransmission at ${x}, ${low}`).to.be.true;
    }
  });

  it("thins twenty thousand marks without losing one", () => {
    const bars = Array.from({ length: 20_000 }, (_, index) => {
      const low = Math.imul(index, 0x9e3779b1) >>> 16;
      return { x: (index * 7919) % GRID, low, high: low + 5000 };
    });
    const thin = thinBars(bars);
    expect(thin.length).to.be.within(4096, bars.length - 1000);
    const columns = new Map<number, typeof bars>();
    for (const bar of thin) columns.set(bar.x, [...(columns.get(bar.x) ?? []), bar]);
    for (const { x, low, high } of bars) {
      const column = columns.get(Math.floor(x / 16) * 16) ?? [];
      expect(column.some((bar) => bar.low <= low && bar.high >= high)).to.be.true;
    }
  });

  it("has a layer for what happened, and none for what did not", () => {
    const ids = (frames: Frame[]): string[] => drawSequence(timeSequence(frames)).layers.map((layer) => layer.id);
    expect(ids(threeRetransmissions().frames)).to.deep.equal(["window", "sack", "new", "ack", "again"]);
    expect(ids(new Trace().open().client({ length: 9 }).frames)).to.deep.equal(["window", "new", "ack"]);
  });

  it("draws the shortest connections: one packet, no time, a refused SYN", () => {
    const lone = new Trace().client({ seq: 0, flags: SYN });
    const refused = new Trace().client({ seq: 0, flags: SYN }).server({ ack: 1, flags: 20 });
    for (const { frames } of [lone, refused]) {
      const html = plotCapture(frames);
      expect(html).to.contain("SYN →");
      expect(html.slice(0, html.indexOf("<script>"))).to.not.match(/NaN|Infinity|undefined/);
      // JSON has null for a number that is none.
      expect(/^const DATA = .*$/m.exec(html)?.[0])
        .to.be.a("string")
        .and.not.contain("null");
    }
  });
});

describe("plot: the page", () => {
  const { frames } = fakeTransfer({ bytes: 200_000, seed: 4, loss: 0.02 });

  it("is the same text for the same capture, with no word of nonsense in it", () => {
    expect(plotCapture(frames)).to.equal(plotCapture(frames));
    expect(plotCapture(frames)).to.not.match(/NaN|Infinity|\[object|:null/);
  });

  it("needs nothing from outside", () => {
    const html = plotCapture(frames);
    expect(html).to.not.match(/https?:|\bsrc=|\bhref=|url\(|@import|\bimport\b/);
    expect(html).to.contain("prefers-color-scheme: dark");
  });

  it("has a script that is valid, and whose axes are those of the page", () => {
    const html = plotCapture(frames);
    const script = /<script>([\s\S]*)<\/script>/.exec(html)?.[1] ?? "";
    const axes = /<g id="axes">(.*?)<\/g>/.exec(html)?.[1];
    // The browser's part of the script is not run here: only the functions that it shares with this library.
    const shared = script.slice(0, script.indexOf("const byId")) + "axesSvg(DATA.layout, DATA.whole) }";
    expect(() => new Script(script)).to.not.throw();
    expect(new Script(shared).runInNewContext()).to.equal(axes);
  });

  it("shows title, note and comments as text, not as markup", () => {
    const [first, ...rest] = frames;
    const hostile = "</script><img onerror=x>";
    const html = plotCapture([{ ...first!, comments: [hostile] }, ...rest], { title: hostile, note: "a & b" });
    expect(html.match(/<\/script>/g)).to.have.lengthOf(1);
    expect(html).to.not.contain("<img");
    expect(html).to.contain("a &amp; b").and.to.contain("10.0.0.2:49152 → 10.0.0.1:50080");
  });
});

describe("plot: axes", () => {
  it("has round ticks within the range", () => {
    expect(ticks(0, 10, 5)).to.deep.equal([0, 2, 4, 6, 8, 10]);
    expect(ticks(0, 1e6, 4)).to.deep.equal([0, 200_000, 400_000, 600_000, 800_000, 1_000_000]);
    expect(ticks(-3, 3, 3)).to.deep.equal([-2, 0, 2]);
    expect(ticks(5, 5, 3)).to.deep.equal([5]);
    for (const [low, high] of [
      [0.1, 0.7],
      [3, 4444],
      [1e9, 1e9 + 50],
    ] as const) {
      const values = ticks(low, high, 6);
      expect(values.length).to.be.within(3, 12);
      expect(values[0]).to.be.at.least(low);
      expect(values.at(-1)).to.be.at.most(high * (1 + 1e-9));
    }
  });

  it("has units and digits that fit", () => {
    expect([999, 1000, 2e6].map((micros) => timeUnit(micros).name)).to.deep.equal(["µs", "ms", "s"]);
    expect([999, 1000, 2e6, 3e9].map((bytes) => bytesUnit(bytes).name)).to.deep.equal(["B", "KB", "MB", "GB"]);
    expect(amount(1_048_576, bytesUnit(1_048_576))).to.equal("1.05 MB");
    expect(amount(999, bytesUnit(999))).to.equal("999 B");
    expect(amount(94_200_000, rateUnit(94_200_000))).to.equal("94.2 Mbit/s");
    expect([0, 0.01234, 1.2345, 12.345, 123.45, 12345].map(threeDigits)).to.deep.equal([
      "0",
      "0.012",
      "1.23",
      "12.3",
      "123",
      "12345",
    ]);
    expect(tickText(250_000, 50_000, { name: "s", size: 1e6 })).to.equal("0.25");
    expect(tickText(300_000, 100_000, { name: "ms", size: 1e3 })).to.equal("300");
  });
});

// Two stacks on a wire, each with a clock of its own that the test turns as it likes: ahead, back, or not at all.

import { SOCK_NONBLOCK } from "../../assembly/layout.ts";
import { HOST, ip, macWords, pattern, PEER } from "./frames.ts";
import { type HarnessOptions, type StackHarness, stackHarness } from "./harness.ts";

/** Should this frame be lost? `index` counts the frames that one stack has sent. */
export type Loses = (frame: Uint8Array, index: number) => boolean;

const PORT = 80;
/** Bytes of one send or receive call. */
const CALL_BYTES = 16_384;

/** Both ends of a connection. */
export interface Ends {
  a: number;
  b: number;
}

export class Wired {
  readonly a: StackHarness;
  readonly b: StackHarness;
  readonly #sent = [0, 0];
  #listener = -1;

  constructor(a: HarnessOptions = {}, b: HarnessOptions = {}) {
    const sizes = { CFG_CHUNKS: 1024, CFG_TXSEGS: 4096, CFG_ISLANDS: 1024, CFG_MBUFS: 2048 };
    this.a = stackHarness({ sizes, ...a });
    this.b = stackHarness({ sizes, ...b, address: `${PEER.address}/24`, mac: PEER.mac, resolved: false });
    const { high, low } = macWords(HOST.mac);
    this.b.core.arpAdd(ip(HOST.address), high, low);
  }

  /** Beats and carries frames, turn by turn, until nothing happens any more; returns how many frames there were. */
  settle(loses: Loses = () => false): number {
    let total = 0;
    for (let turn = 0, work = 1; work > 0; turn++) {
      if (turn === 1_000_000) throw new Error("The stacks do not come to rest.");
      work = this.a.beat() + this.b.beat();
      const frames = this.#carry(this.a, this.b, 0, loses) + this.#carry(this.b, this.a, 1, loses);
      total += frames;
      work += frames;
    }
    return total;
  }

  /** Both clocks advance, from deadline to deadline; frames are carried at each. */
  advance(millis: number, loses?: Loses): void {
    const end = this.a.now + millis;
    while (this.a.now < end) {
      this.settle(loses);
      const untilA = this.a.core.nextDeadline() / 1000 - this.a.now;
      const untilB = this.b.core.nextDeadline() / 1000 - this.b.now;
      const step = Math.min(Math.max(Math.min(untilA, untilB), 0.05), end - this.a.now);
      this.a.advance(step);
      this.b.advance(step);
    }
    this.settle(loses);
  }

  /** Opens a connection from a to b; takes no time. */
  connect(): Ends {
    if (this.#listener < 0) {
      this.#listener = this.b.tcp({ bind: `:${PORT}` });
      this.b.core.listen(this.#listener, 16);
    }
    const a = this.a.tcp();
    this.a.core.connect(a, ip(PEER.address), PORT);
    this.settle();
    return { a, b: this.b.ok(this.b.core.accept(this.#listener, SOCK_NONBLOCK)) };
  }

  /**
   * Sends `bytes` bytes each way and checks them; returns the milliseconds that took.
   * @param stepMillis how far both clocks go when nothing is under way; 0: they stand still
   */
  exchange(ends: Ends, bytes: number, stepMillis = 0, loses?: Loses): number {
    const start = this.a.now;
    const streams = [
      { from: this.a, to: this.b, out: ends.a, in: ends.b, data: pattern(bytes, 1), sent: 0, got: 0 },
      { from: this.b, to: this.a, out: ends.b, in: ends.a, data: pattern(bytes, 2), sent: 0, got: 0 },
    ];
    for (let idle = 0; streams.some(({ got }) => got < bytes);) {
      let work = 0;
      for (const stream of streams) work += pump(stream);
      work += this.settle(loses);
      idle = work === 0 ? idle + 1 : 0;
      if (idle === 100_000 || (idle > 1 && stepMillis === 0))
        throw new Error(`Nothing moves: ${streams.map(({ sent, got }) => `${sent} sent, ${got} got`).join("; ")}`);
      if (work === 0) this.advance(stepMillis, loses);
    }
    return this.a.now - start;
  }

  /** Closes both ends, and the listener. */
  close({ a, b }: Ends): void {
    this.a.core.close(a);
    this.settle();
    this.b.core.close(b);
    this.settle();
    this.b.core.close(this.#listener);
    this.#listener = -1;
  }

  #carry(from: StackHarness, to: StackHarness, index: number, loses: Loses): number {
    const frames = from.nic.take(1);
    for (const frame of frames) if (!loses(frame, this.#sent[index]!++)) to.nic.deliver(1, frame);
    from.nic.log.length = 0;
    return frames.length;
  }
}

interface Stream {
  from: StackHarness;
  to: StackHarness;
  out: number;
  in: number;
  data: Uint8Array;
  sent: number;
  got: number;
}

/** Sends what fits, reads what has come, compares; returns the calls that did something. */
function pump(stream: Stream): number {
  const { from, to, data } = stream;
  let calls = 0;
  while (stream.sent < data.length) {
    const taken = from.send(stream.out, data.subarray(stream.sent, stream.sent + CALL_BYTES));
    if (taken <= 0) break;
    stream.sent += taken;
    calls++;
  }
  for (;;) {
    const bytes = to.read(stream.in, CALL_BYTES);
    if (typeof bytes === "string") break;
    if (bytes.length === 0) throw new Error(`The stream has ended after ${stream.got} bytes.`);
    const want = data.subarray(stream.got, stream.got + bytes.length);
    if (Buffer.compare(bytes, want) !== 0)
      throw new Error(`What came behind ${stream.got} bytes is not what was sent.`);
    stream.got += bytes.length;
    calls++;
  }
  return calls;
}

// Captures of TCP transfers that never ran on a stack: a small model of a sender, a bad link and a receiver.
// Read first: RFC 5681 (window growth), RFC 6675 (SACK recovery); it is only as true to them as a picture needs.

import type { Frame } from "../../veth/plot.ts";
import { CLIENT, SERVER, tcpFrame } from "./capture-frames.ts";
import type { End, TcpFields } from "./capture-frames.ts";

export interface TransferOptions {
  bytes: number;
  seed: number;
  /** Share of the client's packets that the link loses, 0 to 1. */
  loss?: number;
  /** Share of the server's packets (acknowledgements) that the link loses. */
  ackLoss?: number;
  /** One way, microseconds. */
  delayMicros?: number;
  /** Bits per second. */
  rateBits?: number;
  /** Packets that wait for the link before one is dropped. */
  queue?: number;
  /** Receive buffer, bytes. */
  buffer?: number;
  /** The receiving application reads nothing from `stallFromMicros` to `stallToMicros`. */
  stallFromMicros?: number;
  stallToMicros?: number;
  /** Initial sequence number of the client. */
  isn?: number;
}

/** What really happened, to hold a model against. */
export interface Transfer {
  frames: Frame[];
  /** Segments sent again. */
  retransmissions: number;
  /** Packets of the client that were lost. */
  lost: number;
}

const MSS = 1460;
const SHIFT = 7;
const SERVER_ISN = 0x5ea1;
const RTO_MICROS = 250_000;

/** Sends `bytes` from CLIENT to SERVER and captures at both ports, "client" and "server", in time order. */
export function fakeTransfer(options: TransferOptions): Transfer {
  return new Simulation(options).run();
}

interface Timed {
  timeMicros: number;
  order: number;
  run: () => void;
}

class Simulation {
  private readonly frames: Frame[] = [];
  private readonly agenda: Timed[] = [];
  private readonly random: () => number;
  private readonly isn: number;
  private now = 0;
  private order = 0;
  private identification = 0;
  private retransmissions = 0;
  private lost = 0;
  private linkFreeMicros = 0;
  // Sender: offsets from the ISN; data begins at 1.
  private una = 1;
  private next = 1;
  private max = 1;
  private cwnd = 10 * MSS;
  private ssthresh = Infinity;
  private peerWindow = 65535;
  private recoverUntil = 0;
  private readonly sacked = new Set<number>();
  private readonly resent = new Set<number>();
  private timer = 0;
  private finSent = false;
  // Receiver.
  private expected = 1;
  private readonly waiting = new Map<number, number>();
  private unread = 0;
  private unacked = 0;
  private finSeen = false;
  private lastEdge = 0;

  constructor(private readonly options: TransferOptions) {
    this.isn = options.isn ?? 0x1000;
    let state = options.seed >>> 0;
    // mulberry32
    this.random = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  run(): Transfer {
    this.send(CLIENT, { seq: 0, flags: 2, options: [2, 4, 5, 180, 1, 3, 3, SHIFT] }, () => this.answerSyn(), true);
    for (let event = this.pop(); event !== undefined; event = this.pop()) {
      this.now = event.timeMicros;
      event.run();
    }
    return { frames: this.frames, retransmissions: this.retransmissions, lost: this.lost };
  }

  private answerSyn(): void {
    const options = [2, 4, 5, 180, 1, 3, 3, SHIFT];
    this.send(SERVER, { seq: 0, ack: 1, flags: 18, window: 65535, options }, () => this.established(), true);
    this.at(this.options.stallToMicros ?? 0, () => this.read());
  }

  private established(): void {
    this.send(CLIENT, { seq: 1, ack: 1, flags: 16 }, () => {}, true);
    this.push();
  }

  /** Sends whatever the windows allow. */
  private push(): void {
    const end = this.options.bytes + 1;
    const flight = (): number => this.next - this.una - this.sacked.size * MSS;
    while (this.next < end && flight() < this.cwnd) {
      const length = Math.min(MSS, end - this.next, this.una + this.peerWindow - this.next);
      if (length <= 0) break;
      if (!this.sacked.has(this.next)) this.segment(this.next, length);
      this.next += length;
    }
    if (this.next === end && !this.finSent && this.una + this.peerWindow > end) {
      this.finSent = true;
      this.send(CLIENT, { seq: end, ack: 1, flags: 17 }, () => this.receiveFin());
    }
    this.arm();
  }

  private segment(start: number, length: number): void {
    if (start < this.max) this.retransmissions += 1;
    this.max = Math.max(this.max, start + length);
    const payload = new Uint8Array(length).fill(97 + (start % 26));
    this.send(CLIENT, { seq: start, ack: 1, flags: 16, payload }, () => this.receive(start, length));
  }

  private arm(): void {
    const timer = ++this.timer;
    if (this.una > this.options.bytes + 1) return;
    this.at(this.now + RTO_MICROS, () => {
      if (timer === this.timer) this.timeout();
    });
  }

  private timeout(): void {
    const end = this.options.bytes + 1;
    if (this.una === end) {
      this.retransmissions += 1;
      this.send(CLIENT, { seq: end, ack: 1, flags: 17 }, () => this.receiveFin());
    } else if (this.peerWindow === 0) {
      this.send(CLIENT, { seq: this.una - 1, ack: 1, flags: 16 }, () => this.acknowledge());
    } else {
      this.ssthresh = Math.max((this.max - this.una) / 2, 2 * MSS);
      this.cwnd = MSS;
      this.recoverUntil = this.max;
      this.resent.clear();
      this.sacked.clear();
      this.next = this.una;
      this.push();
      return;
    }
    this.arm();
  }

  private receiveAck(ack: number, window: number, blocks: readonly number[]): void {
    this.peerWindow = window;
    for (let at = 0; at < blocks.length; at += 2) {
      for (let start = blocks[at]!; start < blocks[at + 1]!; start += MSS) this.sacked.add(start);
    }
    const advanced = ack > this.una;
    if (advanced) {
      const full = this.cwnd < this.ssthresh ? Math.min(ack - this.una, 2 * MSS) : (MSS * MSS) / this.cwnd;
      if (ack >= this.recoverUntil) this.cwnd += full;
      this.una = ack;
      this.next = Math.max(this.next, ack);
      for (const start of this.sacked) if (start < ack) this.sacked.delete(start);
    }
    if (this.sacked.size >= 3) this.recover();
    this.push();
  }

  private recover(): void {
    if (this.una >= this.recoverUntil) {
      this.recoverUntil = this.max;
      this.resent.clear();
      this.ssthresh = Math.max((this.max - this.una) * 0.7, 2 * MSS);
      this.cwnd = this.ssthresh;
    }
    const highest = Math.max(...this.sacked);
    let budget = 2;
    for (let start = this.una; start < highest - 2 * MSS && budget > 0; start += MSS) {
      if (this.sacked.has(start) || this.resent.has(start)) continue;
      this.resent.add(start);
      this.segment(start, Math.min(MSS, this.options.bytes + 1 - start));
      budget -= 1;
    }
  }

  private receive(start: number, length: number): void {
    const inOrder = start === this.expected;
    const again = start < this.expected || this.waiting.has(start);
    if (!again) {
      this.waiting.set(start, length);
      this.unread += length;
    }
    for (let got = this.waiting.get(this.expected); got !== undefined; got = this.waiting.get(this.expected)) {
      this.waiting.delete(this.expected);
      this.expected += got;
    }
    this.unacked += 1;
    if (!this.stalled()) this.unread = [...this.waiting.values()].reduce((sum, each) => sum + each, 0);
    if (again) this.acknowledge([start, start + length]);
    else if (!inOrder || this.unacked >= 2 || this.waiting.size > 0) this.acknowledge();
    else this.at(this.now + 40_000, () => this.unacked > 0 && this.acknowledge());
  }

  private receiveFin(): void {
    if (this.expected <= this.options.bytes || this.finSeen) return;
    this.finSeen = true;
    this.expected += 1;
    this.send(
      SERVER,
      { seq: 1, ack: this.expected, flags: 17, window: (this.lastEdge - this.expected) >> SHIFT },
      () => {
        this.una = this.expected;
        this.timer += 1;
        this.send(CLIENT, { seq: this.expected, ack: 2, flags: 16 }, () => {}, true);
      },
      true,
    );
  }

  private stalled(): boolean {
    return this.now >= (this.options.stallFromMicros ?? Infinity) && this.now < (this.options.stallToMicros ?? 0);
  }

  private read(): void {
    if (this.unread === 0) return;
    this.unread = 0;
    this.acknowledge();
  }

  /** An acknowledgement with up to three SACK blocks, the newest duplicate first (RFC 2883). */
  private acknowledge(duplicate: readonly number[] = []): void {
    this.unacked = 0;
    const blocks = [...duplicate];
    for (const start of [...this.waiting.keys()].sort((a, b) => a - b)) {
      const length = this.waiting.get(start)!;
      if (blocks.length > duplicate.length && blocks.at(-1) === start) blocks[blocks.length - 1] = start + length;
      else blocks.push(start, start + length);
    }
    const kept = blocks.slice(0, 6);
    const buffer = this.options.buffer ?? 400_000;
    this.lastEdge = Math.max(this.lastEdge, this.expected + Math.max(0, buffer - this.unread));
    const window = (this.lastEdge - this.expected) >> SHIFT;
    const ack = this.expected;
    const sack = kept.flatMap((edge) => this.word(edge));
    const options = kept.length === 0 ? [] : [1, 1, 5, 2 + kept.length * 4, ...sack];
    this.send(SERVER, { seq: 1, ack, flags: 16, window, options }, () => this.receiveAck(ack, window << SHIFT, kept));
  }

  private word(edge: number): number[] {
    const seq = (this.isn + edge) >>> 0;
    return [seq >>> 24, (seq >>> 16) & 255, (seq >>> 8) & 255, seq & 255];
  }

  /** Puts a packet on the wire and captures it where it leaves and, unless it is lost, where it arrives. */
  private send(from: End, fields: TcpFields, arrive: () => void, safe = false): void {
    const client = from === CLIENT;
    const seq = client ? this.isn + fields.seq : SERVER_ISN + fields.seq;
    const ack = (fields.flags & 16) === 0 ? 0 : (client ? SERVER_ISN : this.isn) + (fields.ack ?? 0);
    const identification = this.identification++ & 0xffff;
    const data = tcpFrame(from, client ? SERVER : CLIENT, { ...fields, seq, ack, identification });
    this.capture(client ? "client" : "server", "outbound", data);
    const { loss = 0, ackLoss = 0, delayMicros = 20_000, rateBits = 10e6, queue = Infinity } = this.options;
    const drop = this.random() < (client ? loss : ackLoss) && !safe;
    const waitMicros = client ? Math.max(0, this.linkFreeMicros - this.now) : 0;
    const wireMicros = (data.length * 8e6) / rateBits;
    if (drop || waitMicros > queue * wireMicros) {
      if (client) this.lost += 1;
      return;
    }
    if (client) this.linkFreeMicros = this.now + waitMicros + wireMicros;
    this.at(this.now + waitMicros + wireMicros + delayMicros, () => {
      this.capture(client ? "server" : "client", "inbound", data);
      arrive();
    });
  }

  private capture(name: string, direction: "inbound" | "outbound", data: Uint8Array): void {
    this.frames.push({ timeMicros: this.now, data, direction, interface: { name } });
  }

  private at(timeMicros: number, run: () => void): void {
    const event = { timeMicros: Math.max(timeMicros, this.now), order: this.order++, run };
    let index = this.agenda.push(event) - 1;
    while (index > 0 && before(event, this.agenda[(index - 1) >> 1]!)) {
      this.agenda[index] = this.agenda[(index - 1) >> 1]!;
      index = (index - 1) >> 1;
    }
    this.agenda[index] = event;
  }

  private pop(): Timed | undefined {
    const top = this.agenda[0];
    const last = this.agenda.pop();
    if (last === undefined || this.agenda.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= this.agenda.length) break;
      if (child + 1 < this.agenda.length && before(this.agenda[child + 1]!, this.agenda[child]!)) child += 1;
      if (!before(this.agenda[child]!, last)) break;
      this.agenda[index] = this.agenda[child]!;
      index = child;
    }
    this.agenda[index] = last;
    return top;
  }
}

function before(a: Timed, b: Timed): boolean {
  return a.timeMicros < b.timeMicros || (a.timeMicros === b.timeMicros && a.order < b.order);
}

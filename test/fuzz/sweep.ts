// Sweeps: instead of chance, every value that a parser can meet, one frame after another at twins, and after each the
// verdict that the RFCs give. Read first: option-list.ts and length-list.ts for what is swept; twins.ts.

import { EXCHANGE_DATA, SOCK_NONBLOCK } from "../../assembly/layout.ts";
import { ether, ipv4, tcp, udp } from "../support/frames.ts";
import { faultsOf } from "./faults.ts";
import { counterOf, type LengthCase, lengthFrame } from "./length-list.ts";
import { type OptionCase, ipv4OptionsPass, optionBytes, readSynOptions, type SynOptions } from "./option-list.ts";
import { Twins } from "./twins.ts";

const UDP_PORT = 7;
const TCP_PORT = 80;
const PEER_PORT = 5000;
const PEER_ISN = 0x1000;
/** Frames between two looks at everything. */
const ROUND = 1000;
/** After this time nothing is left, ms. */
const END_MILLIS = 600_000;

/** A frame was not treated as it must be. */
export class SweepFailure extends Error {
  override readonly name = "SweepFailure";
}

/** Sweeps cases over a stack of its own; returns how many frames that took. */
abstract class Sweep<Case> {
  protected readonly twins = new Twins({ sysctls: { ICMP_RATELIMIT: 0 } });

  run(cases: Iterable<Case>, onProgress?: (frames: number) => void): number {
    const { twins } = this;
    twins.sent();
    let count = 0;
    for (const each of cases) {
      const fault = this.fault(each);
      if (fault !== undefined) throw new SweepFailure(`${JSON.stringify(each)}: ${fault}`);
      if (++count % ROUND === 0) {
        this.#check();
        onProgress?.(twins.offered);
      }
    }
    this.end();
    twins.advance(END_MILLIS);
    this.#check();
    for (const stack of [twins.one, twins.two]) {
      const left = JSON.stringify(stack.pools());
      if (left !== "{}") throw new SweepFailure(`Not given back: ${left}`);
    }
    return twins.offered;
  }

  /** Tries a case; what was wrong. */
  protected abstract fault(each: Case): string | undefined;

  /** Closes what is open. */
  protected abstract end(): void;

  #check(): void {
    const wrong = [this.twins.one, this.twins.two].flatMap((stack) => faultsOf(stack, this.twins.offered));
    if (wrong.length > 0) throw new SweepFailure(wrong.join("; "));
  }
}

/** IPv4 options in front of a datagram to a socket: it comes, or it is counted as a bad header. */
export class Ipv4OptionSweep extends Sweep<OptionCase> {
  readonly #socket = this.twins.call((stack) => stack.udp({ bind: `:${UDP_PORT}` }));

  protected fault(each: OptionCase): string | undefined {
    const { twins } = this;
    const options = optionBytes(each);
    const before = twins.one.counter("IP_IN_HDR_ERRORS");
    twins.receive([ether(ipv4({ options: [...options] }, udp({ to: UDP_PORT }, "x"))).bytes()]);
    const errors = twins.one.counter("IP_IN_HDR_ERRORS") - before;
    const got = Number(
      twins.call(({ core }) => core.recvfrom(this.#socket, core.exchange() + EXCHANGE_DATA, 99, 0)) === 1,
    );
    const want = ipv4OptionsPass(options);
    if (got + errors === 1 && (got === 1) === want) return undefined;
    return `${want ? "expected to pass" : "expected to be refused"}, ${got} came, ${errors} header errors`;
  }

  protected end(): void {
    this.twins.call(({ core }) => core.close(this.#socket));
  }
}

/** Options in a SYN: what the SYN-ACK offers back shows how they were read. */
export class SynOptionSweep extends Sweep<OptionCase> {
  readonly #listener = this.twins.call((stack) => stack.tcp({ bind: `:${TCP_PORT}` }));

  constructor() {
    super();
    this.twins.call(({ core }) => core.listen(this.#listener, 16));
  }

  protected fault(each: OptionCase): string | undefined {
    const { twins } = this;
    const options = optionBytes(each);
    const syn = { from: PEER_PORT, to: TCP_PORT, seq: PEER_ISN };
    const [answer] = twins.receive([ether(ipv4(tcp({ ...syn, flags: "S", options: [...options] }))).bytes()]);
    twins.receive([ether(ipv4(tcp({ ...syn, flags: "R", seq: PEER_ISN + 1 }))).bytes()]);
    if (answer === undefined || answer[47] !== 0x12) return "no SYN-ACK";
    const want = readSynOptions(options);
    const got = readSynOptions(answer.subarray(54, 34 + (answer[46]! >> 4) * 4));
    // An MSS is always offered; what is echoed is what TSval was.
    const asked = JSON.stringify({ ...want, mss: true });
    const offered = JSON.stringify({ ...got, timestamps: echoOf(answer) });
    return asked === offered ? undefined : `expected ${asked}, got ${offered}`;
  }

  protected end(): void {
    this.twins.call(({ core }) => core.close(this.#listener));
  }
}

/** TSecr of a SYN-ACK, if it has timestamps. */
function echoOf(frame: Uint8Array): SynOptions["timestamps"] {
  const options = frame.subarray(54, 34 + (frame[46]! >> 4) * 4);
  const view = new DataView(options.buffer, options.byteOffset, options.length);
  for (let at = 0; at < options.length && options[at] !== 0; at += options[at] === 1 ? 1 : options[at + 1]!) {
    if (options[at] === 8) return view.getUint32(at + 6);
  }
  return undefined;
}

/** Options in front of a byte of data on a connection: whatever they are, the byte comes (value bytes are zeros). */
export class DataOptionSweep extends Sweep<OptionCase> {
  readonly #listener = this.twins.call((stack) => stack.tcp({ bind: `:${TCP_PORT}` }));
  readonly #fd: number;
  readonly #ack: number;
  #seq = PEER_ISN + 1;

  /** @param timestamps the connection uses them; TSval is always 0 */
  constructor(timestamps: boolean) {
    super();
    const { twins } = this;
    twins.call(({ core }) => core.listen(this.#listener, 1));
    twins.sent();
    const options = { mss: 1460, sackPermitted: true, wscale: 7 };
    const stamped = timestamps ? { ...options, timestamps: [0, 0] as [number, number] } : options;
    const syn = { from: PEER_PORT, to: TCP_PORT, seq: PEER_ISN };
    const [answer] = twins.receive([ether(ipv4(tcp({ ...syn, flags: "S", options: stamped }))).bytes()]);
    this.#ack = (new DataView(answer!.buffer).getUint32(38) + 1) >>> 0;
    twins.receive([this.#frame([], "")]);
    this.#fd = twins.call(({ core }) => core.accept(this.#listener, SOCK_NONBLOCK));
  }

  protected fault(each: OptionCase): string | undefined {
    this.twins.receive([this.#frame([...optionBytes(each)], "x")]);
    this.#seq = (this.#seq + 1) >>> 0;
    const got = this.twins.call((stack) => stack.read(this.#fd).length);
    return got === 1 ? undefined : `${got} bytes came`;
  }

  protected end(): void {
    this.twins.call(({ core }) => core.close(this.#fd));
    this.twins.call(({ core }) => core.close(this.#listener));
  }

  #frame(options: readonly number[], body: string): Uint8Array {
    const fields = { from: PEER_PORT, to: TCP_PORT, seq: this.#seq, ack: this.#ack, flags: "A" };
    return ether(ipv4(tcp({ ...fields, options }, body))).bytes();
  }
}

/** Lengths that lie: headers, datagrams, fragments, messages. Each is counted where the RFCs say it must fall. */
export class LengthSweep extends Sweep<LengthCase> {
  readonly #socket = this.twins.call((stack) => stack.udp({ bind: `:${UDP_PORT}` }));

  protected fault(each: LengthCase): string | undefined {
    const { twins } = this;
    const counter = counterOf(each);
    const before = twins.one.counter(counter);
    twins.receive([lengthFrame(each)]);
    while (twins.call(({ core }) => core.recvfrom(this.#socket, core.exchange() + EXCHANGE_DATA, 65536, 0)) >= 0);
    const counted = twins.one.counter(counter) - before;
    return counted === 1 ? undefined : `${counter} has gone up by ${counted}`;
  }

  protected end(): void {
    this.twins.call(({ core }) => core.close(this.#socket));
  }
}

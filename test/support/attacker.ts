// A victim and those who attack it, at frame level: a stack with a listener, honest peers with whole connections,
// floods of forged frames. Read first: harness.ts; RFC 5961.

import { expect } from "chai";
import { IPPROTO_TCP, SOCK_NONBLOCK, TCP_ESTABLISHED, TCP_INFO } from "../../assembly/layout.ts";
import { readTcpInfo, type TcpInfo } from "../../host/posix/tcp-info.ts";
import { type Address, bytesOf, type Body, ipv4, type Layer, tcp, type TcpFields, type TcpOptions } from "./frames.ts";
import { type HarnessOptions, StackHarness } from "./harness.ts";
import type { Packet } from "./packets.ts";

export const PORT = 80;

/** A stack that listens on PORT. */
export class Victim extends StackHarness {
  readonly listener: number;

  constructor(options: HarnessOptions & { backlog?: number } = {}) {
    super(options);
    this.listener = this.tcp({ bind: `:${PORT}` });
    this.ok(this.core.listen(this.listener, options.backlog ?? 16));
  }

  /** The next connection of the accept queue, or the name of the error. */
  accept(): number {
    return this.core.accept(this.listener, SOCK_NONBLOCK);
  }

  /** TCP_INFO of a connection. */
  info(fd: number): Partial<TcpInfo> {
    const bytes = this.optionBytes(fd, IPPROTO_TCP, TCP_INFO, 256);
    return readTcpInfo(new DataView(bytes.buffer), bytes.length);
  }

  isEstablished(fd: number): boolean {
    return this.info(fd).tcpi_state === TCP_ESTABLISHED;
  }

  /** Segments that leave while `work` runs. */
  answers(work: () => void): Packet[] {
    this.sent();
    work();
    return this.sent().filter(({ tcp }) => tcp !== undefined);
  }
}

export interface PeerOptions {
  from?: number;
  to?: number;
  address?: Address;
  isn?: number;
  window?: number;
  /** Of its SYN. Default: an MSS of 1460 and SACK. */
  options?: TcpOptions;
}

/** The honest end of a connection to a victim. */
export class Peer {
  readonly victim: Victim;
  readonly from: number;
  readonly to: number;
  readonly address: Address;
  readonly options: TcpOptions;
  /** The next sequence number that it sends, and the next that it expects. */
  seq: number;
  ack = 0;
  window: number;
  /** The victim's descriptor of the connection. */
  fd = -1;

  constructor(victim: Victim, { from = 5000, to = PORT, address = "10.0.0.2", isn = 1000, ...rest }: PeerOptions = {}) {
    this.victim = victim;
    this.from = from;
    this.to = to;
    this.address = address;
    this.seq = isn;
    this.window = rest.window ?? 65_535;
    this.options = rest.options ?? { mss: 1460, sackPermitted: true };
  }

  /** A segment with right numbers where none are given. */
  segment(fields: TcpFields = {}, body: Body = ""): Layer {
    const numbers = { seq: this.seq >>> 0, ack: this.ack >>> 0, window: this.window };
    return ipv4({ from: this.address }, tcp({ from: this.from, to: this.to, ...numbers, ...fields }, body));
  }

  /** Sends a segment; what carries data moves its numbers on when they are right. */
  send(fields: TcpFields = {}, body: Body = ""): void {
    this.victim.receive(this.segment(fields, body));
    if (fields.seq !== undefined) return;
    this.seq = (this.seq + bytesOf(body).length + Number(/[SF]/.test(fields.flags ?? ""))) >>> 0;
  }

  /** The three segments of the handshake, and accept(). */
  open(): this {
    this.victim.sent();
    this.send({ flags: "S", ack: 0, options: this.options });
    const [synAck] = this.victim.sent();
    expect(synAck?.tcp?.flags, "the answer to a SYN").to.equal("SA");
    this.ack = (synAck!.tcp!.seq + 1) >>> 0;
    this.send();
    this.fd = this.victim.ok(this.victim.accept());
    return this;
  }

  /** Sends data, which the victim must read and acknowledge: the connection works. */
  expectAlive(): void {
    const { victim } = this;
    this.send({ flags: "PA" }, "alive?");
    expect(Buffer.from(victim.read(this.fd) as Uint8Array).toString("latin1")).to.equal("alive?");
    victim.advance(300);
    const last = victim.sent().findLast(({ tcp }) => tcp?.to === this.from);
    expect(last?.tcp?.ack, "what was acknowledged").to.equal(this.seq);
  }
}

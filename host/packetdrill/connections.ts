// The connections of a script: which one a line means, which ports and sequence numbers it has on the wire.
// Read first: Cardwell et al. (USENIX ATC 2013), section 3.2; script.ts. Numbers in a script count from the initial
// sequence number of each side; the runner learns those of the stack from its SYNs and keeps its own as written.

import { ScriptFailure } from "./failure.ts";
import type { LivePacket } from "./live-packet.ts";
import type { PacketEvent, TcpOption } from "./script.ts";

const SYN = 2;
const RST = 4;
const ACK = 16;
/** Most bytes that a SYN brings with it (TCP Fast Open). */
const SYN_DATA_MAX = 65535;

/** What a connection is to the script. */
export type Role = "listening" | "passive" | "active" | "udp";

/**
 * The numbers of one side: a SYN has its initial sequence number as the script writes it, everything behind it counts
 * from there.
 */
export class SequenceSpace {
  isKnown = false;
  /** The initial sequence number in the script and on the wire. */
  script = 0;
  live = 0;

  learn(script: number, live: number): void {
    this.isKnown = true;
    this.script = script;
    this.live = live;
  }

  /** @param isSyn the segment that the number stands in is a SYN */
  toScript(sequence: number, isSyn: boolean): number {
    return (sequence - this.live + (isSyn ? this.script : 0)) >>> 0;
  }

  toWire(sequence: number, isSyn: boolean): number {
    return (sequence + this.live - (isSyn ? this.script : 0)) >>> 0;
  }
}

/** One connection, the stack's end "local", the runner's end "remote". Addresses and ports in host order. */
export class Connection {
  readonly protocol: "tcp" | "udp";
  role: Role;
  localAddress: number;
  /** 0: chosen by the stack, learned from its first packet. */
  localPort: number;
  remoteAddress: number;
  remotePort: number;
  /** Lines name it by its ports. */
  isNamed = false;
  /** Descriptor on our side, -1 while the application has none. */
  fd = -1;
  /** Sequence numbers of the stack's side, and of the runner's. */
  readonly local = new SequenceSpace();
  readonly remote = new SequenceSpace();
  /** The first timestamp value that the stack sent: in the script and on the wire. */
  firstTimestamp: { script: number; live: number } | undefined;
  /** Timestamp values of the script that the stack has sent as others: the runner echoes those. */
  readonly timestamps = new Map<number, number>();

  constructor(protocol: "tcp" | "udp", role: Role, ends: Pick<Connection, "localAddress" | "localPort"> & Remote) {
    this.protocol = protocol;
    this.role = role;
    this.localAddress = ends.localAddress;
    this.localPort = ends.localPort;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
  }

  /** The stack has acknowledged the runner's SYN: a later one begins nothing, unless a SYN,ACK says so. */
  #isAnswered = false;
  /** The number of such a later SYN. */
  #laterSyn: number | undefined;

  /** A line of the runner's side comes: its SYN begins its numbers, until the stack has answered one. */
  begin({ transport }: PacketEvent): void {
    if (transport.protocol !== "tcp" || !(transport.flags & SYN)) return;
    const { sequence, flags } = transport;
    // What the runner sends is on the wire as it is in the script.
    if (!this.#isAnswered) this.remote.learn(sequence, sequence);
    else if (!(flags & ACK)) this.#laterSyn = sequence;
  }

  /** A segment of the stack comes: a SYN,ACK that answers a later SYN begins the numbers of both sides anew. */
  answered({ flags, ack }: { flags: number; ack: number }): void {
    if (!(flags & ACK) || flags & RST) return;
    this.#isAnswered = true;
    const syn = this.#laterSyn;
    if (syn === undefined || !(flags & SYN) || (ack - syn - 1) >>> 0 > SYN_DATA_MAX) return;
    this.remote.learn(syn, syn);
    this.local.isKnown = false;
    this.#laterSyn = undefined;
  }

  /** Options that the runner sends: what they say about the stack's numbers is translated. */
  optionsToWire(options: readonly TcpOption[], isSyn: boolean): TcpOption[] {
    const edge = (n: number): number => this.local.toWire(n, isSyn);
    return options.map((option) => {
      if (option.kind === "sack") return { ...option, blocks: option.blocks.map(([l, r]) => [edge(l), edge(r)]) };
      if (option.kind !== "timestamp") return option;
      return { ...option, echo: this.timestamps.get(option.echo) ?? option.echo };
    });
  }
}

interface Remote {
  remoteAddress: number;
  remotePort: number;
}

/** What connections have when the script does not say. */
export interface ConnectionDefaults {
  localAddress: number;
  remoteAddress: number;
  bindPort: number;
  connectPort: number;
}

/** First port of the runner's side; the original counts from an ephemeral one, too. */
const FIRST_PORT = 49152;

export class Connections {
  readonly #defaults: ConnectionDefaults;
  readonly #all: Connection[] = [];
  #nextPort = FIRST_PORT;
  /** Where lines about no known connection go to. */
  #boundPort: number;
  /** The one that lines without ports are about. */
  current: Connection | undefined;

  constructor(defaults: ConnectionDefaults) {
    this.#defaults = defaults;
    this.#boundPort = defaults.bindPort;
  }

  /** Adds a connection and makes it the one that lines are about. */
  add(protocol: "tcp" | "udp", role: Role, ends: Partial<Remote> & Partial<Pick<Connection, "localPort">>): Connection {
    const { localAddress, remoteAddress } = this.#defaults;
    const connection = new Connection(protocol, role, {
      localAddress,
      localPort: ends.localPort ?? this.#boundPort,
      remoteAddress: ends.remoteAddress ?? remoteAddress,
      remotePort: ends.remotePort ?? this.#nextPort++,
    });
    this.#all.push(connection);
    this.current = connection;
    return connection;
  }

  /** A TCP socket has a name; lines before it connects or listens may be about its port. */
  bound(port: number): void {
    if (port !== 0) this.#boundPort = port;
  }

  /** accept() has given the connection with this remote port a descriptor. */
  accepted(remotePort: number, fd: number): void {
    const found = this.#all.findLast((c) => c.role === "passive" && c.remotePort === remotePort);
    if (found !== undefined) found.fd = fd;
  }

  /** The connection of a descriptor: the latest, when it has had several. */
  ofDescriptor(fd: number): Connection | undefined {
    return this.#all.findLast((connection) => connection.fd === fd);
  }

  /** The connection that a line of the script is about; made when the line begins one. */
  ofEvent(event: PacketEvent): Connection {
    const { transport, direction } = event;
    const protocol = transport.protocol === "udp" ? "udp" : "tcp";
    const ports = "ports" in transport ? transport.ports : undefined;
    if (ports !== undefined) {
      const [localPort, remotePort] =
        direction === "in" ? [ports.destination, ports.source] : [ports.source, ports.destination];
      const found = this.#all.findLast((c) => isOf(c, protocol, localPort, remotePort));
      const named = found ?? this.add(protocol, protocol === "udp" ? "udp" : "passive", { localPort, remotePort });
      if (named.localPort === 0) named.localPort = localPort;
      named.isNamed = true;
      this.current = named;
      return named;
    }
    const { current } = this;
    if (current?.role === "listening" && transport.protocol === "tcp") {
      return this.add("tcp", "passive", { localPort: current.localPort });
    }
    if (current !== undefined && (current.protocol === protocol || transport.protocol === "icmp")) return current;
    if (transport.protocol === "icmp" || transport.protocol === "fragment") {
      return current ?? this.add("udp", "udp", {});
    }
    const other = this.#all.findLast((c) => c.protocol === protocol && c.role !== "listening");
    if (other !== undefined) return (this.current = other);
    if (direction === "out") {
      throw new ScriptFailure(event.line, "no socket of the script can send this packet: it has none that fits");
    }
    return this.add(protocol, protocol === "udp" ? "udp" : "passive", {});
  }

  /** The connection that a packet of the stack belongs to; undefined when the script knows of none. */
  ofPacket(packet: LivePacket): Connection | undefined {
    const { tcp, udp, icmp } = packet;
    if (icmp !== undefined) return this.#ofIcmp(packet);
    const ends = tcp ?? udp;
    if (ends === undefined) return packet.fragment === undefined ? undefined : this.current;
    const protocol = tcp === undefined ? "udp" : "tcp";
    const found = this.#all.findLast(
      (c) => isOf(c, protocol, ends.source, ends.destination) && c.remoteAddress === packet.destination,
    );
    if (found !== undefined && found.localPort === 0) found.localPort = ends.source;
    return found;
  }

  /** Echo replies and errors: those about a packet of a connection, else the current one's. */
  #ofIcmp({ icmp }: LivePacket): Connection | undefined {
    const quoted = icmp?.quoted;
    if (quoted === undefined) return this.current;
    const protocol = quoted.protocol === 17 ? "udp" : "tcp";
    const [remotePort, localPort] = quoted.ports;
    return this.#all.findLast((c) => isOf(c, protocol, localPort, remotePort)) ?? this.current;
  }
}

/** A local port that is not known yet is any. A listener is no connection: it has no remote port. */
function isOf(c: Connection, protocol: string, localPort: number, remotePort: number): boolean {
  if (c.protocol !== protocol || c.role === "listening" || c.remotePort !== remotePort) return false;
  return c.localPort === localPort || c.localPort === 0;
}

// What a packetdrill script says, as a tree: the parser makes it, the runner carries it out. Nothing is judged here.
// Read first: Cardwell et al., "packetdrill: Scriptable Network Stack Testing" (USENIX ATC 2013), section 3.

/** Where something stands in a script: lines and columns count from 1. */
export interface Place {
  line: number;
  column: number;
}

export interface Script {
  /** Name of the file, for messages. */
  file: string;
  /** Options at the head: `--mss=1000` is { name: "mss", value: "1000" }; `--name` alone has the value "". */
  options: ScriptOption[];
  /** A shell command in back quotes before the first event: the set-up. */
  init: ShellCommand[];
  events: ScriptEvent[];
  /** A shell command after the last event, without a time: what tidies up. */
  cleanup: ShellCommand[];
}

export interface ScriptOption extends Place {
  name: string;
  value: string;
}

/** When an event happens. All times in microseconds; `relative` ones count from the event before. */
export type EventTime =
  | { kind: "absolute"; at: number }
  | { kind: "relative"; after: number }
  | { kind: "any" }
  /** `0.1~0.2` or `+0~+.2`: somewhere between, for what the stack does by itself. */
  | { kind: "range"; from: number; to: number; relative: boolean };

interface EventBase extends Place {
  time: EventTime;
  /** The lines as they stand in the script, for messages. */
  text: string;
}

export type ScriptEvent = PacketEvent | SyscallEvent | ShellEvent | CodeEvent;

export interface ShellCommand extends Place {
  command: string;
}

/** `` `command` ``. */
export interface ShellEvent extends EventBase {
  type: "shell";
  command: string;
}

/** `%{ code }%`: Python. */
export interface CodeEvent extends EventBase {
  type: "code";
  code: string;
  /** Line of the first character of `code`. */
  codeLine: number;
}

// ---- Packets ------------------------------------------------------------------------------------------------------

export interface PacketEvent extends EventBase {
  type: "packet";
  /** "in": `<`, the runner injects it; "out": `>`, the stack must send it. */
  direction: "in" | "out";
  /** IPv4 fields in brackets or parentheses, as far as they are written. */
  ip: IpFields;
  transport: TcpPacket | UdpPacket | IcmpPacket | FragmentPacket;
}

/** `[ect0]`, `[ce]`, `[noecn]`, `[tos 0x10]`, `[ttl 64]`, `[flowlabel ...]` and the like. */
export interface IpFields {
  /** "noecn" means: not ECN capable, checked; "ect01": ECT(0) or ECT(1); undefined: not written. */
  ecn?: "noecn" | "ect0" | "ect1" | "ce" | "ect01";
  tos?: number;
  ttl?: number;
}

/** Source and destination port when they are written (`40000 > 80` before the flags), else the connection's own. */
export interface Ports {
  source: number;
  destination: number;
}

export interface TcpPacket {
  protocol: "tcp";
  ports?: Ports;
  /**
   * Characters of "FSRPEWUCA." as TCP bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128, AE 256.
   * A digit is the counter of Accurate ECN: its three bits stand for ECE, CWR, AE.
   */
  flags: number;
  /** `-` in the place of flags: none. `...`/`*` are not allowed there. */
  sequence: number;
  /** As written: relative to the initial sequence number. The end is sequence + payload bytes, without SYN and FIN. */
  sequenceEnd: number;
  /** Bytes of payload, in parentheses. */
  payload: number;
  /** undefined: no ACK written. */
  ack?: number;
  /** undefined: not written, so not checked. */
  window?: number;
  urgent?: number;
  /** undefined: `<...>`, anything goes. An empty list: none (an outbound packet must then have none). */
  options: TcpOption[] | undefined;
  /** `sequence` is taken as it stands, not relative to the initial sequence number (`seq` of RSTs to unknown ones). */
  absolute?: boolean;
}

export type TcpOption =
  | { kind: "mss"; mss: number }
  | { kind: "nop" }
  | { kind: "eol" }
  | { kind: "wscale"; shift: number }
  | { kind: "sackOK" }
  /** Edges relative as all sequence numbers. */
  | { kind: "sack"; blocks: [left: number, right: number][] }
  /** value -1 (written `TS val * ecr *`) or ecr -1: anything. */
  | { kind: "timestamp"; value: number; echo: number }
  /** FO (34); an empty cookie asks for one. */
  | { kind: "fastopen"; cookie: Uint8Array; experimental: boolean }
  /** ECN-option of Accurate ECN and others that are known by name but not carried out: the runner refuses. */
  | { kind: "refused"; name: string; text: string }
  /** Any other: `unknown 253 0x1234`-like, kind and data (without kind and length bytes). */
  | { kind: "unknown"; number: number; data: Uint8Array };

export interface UdpPacket {
  protocol: "udp";
  ports?: Ports;
  payload: number;
  /** `udp (100)` has 100 bytes; some dialects write `udp length 8`. */
}

/** `icmp unreachable frag_needed mtu 1000 [5001:6001(1000)]`, and echo in the dialects that have it. */
export interface IcmpPacket {
  protocol: "icmp";
  /** By number; see the type and code names of packetdrill's language. */
  icmpType: number;
  icmpCode: number;
  /** undefined: 0 */
  mtu?: number;
  /** What the message quotes: the start of a packet of ours. */
  quoted?: TcpQuote | UdpQuote;
  /** For echo. */
  payload?: number;
  id?: number;
  sequence?: number;
}

export interface TcpQuote {
  protocol: "tcp";
  sequence: number;
  sequenceEnd: number;
  payload: number;
}

export interface UdpQuote {
  protocol: "udp";
  payload: number;
}

/** A fragment of an IPv4 datagram, given by its offset and "more fragments" bit. */
export interface FragmentPacket {
  protocol: "fragment";
  id: number;
  offset: number;
  more: boolean;
  payload: number;
}

// ---- System calls -------------------------------------------------------------------------------------------------

export interface SyscallEvent extends EventBase {
  type: "syscall";
  name: string;
  arguments: Value[];
  /**
   * `+0...0.2 connect(...)`: the call blocks and returns then, at an absolute time or at one relative to its start.
   * (A script's `+.1...0.3` counts both from the event before; here that is 0.2 s, relative.)
   */
  end?: { at: number; relative: boolean };
  /** What must come back. undefined: `= ?`-like or nothing written. */
  result?: Value;
  /** The errno that must stand beside a result of -1, by name: "EAGAIN". */
  errno?: string;
  /** The text in parentheses behind it: a comment for people. */
  note?: string;
}

/** A value in a system call. Names stand unresolved: the runner knows them. */
export type Value =
  | { kind: "integer"; value: number }
  /** `a|b|c`, `SOL_SOCKET`, `POLLIN`: names (and numbers) to be put together; one name is a list of one. */
  | { kind: "symbols"; names: (string | number)[] }
  /** `"abc"...` is a string of which only the start is known: `prefix`. */
  | { kind: "string"; value: string; prefix?: true }
  /** `...`: anything, or "you know what". */
  | { kind: "any" }
  | { kind: "list"; items: Value[] }
  /** `{name=value, ...}`; a member without name has "". `struct.member(3)=...` keeps 3 as `count`. */
  | { kind: "struct"; members: Member[] }
  /** `inet_addr("1.2.3.4")`, `htons(80)`: */
  | { kind: "call"; name: string; arguments: Value[] };

export interface Member {
  name: string;
  /** `msg_iov(2)=`: 2 */
  count?: number;
  value: Value;
}

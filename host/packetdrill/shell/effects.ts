// What a shell command of a packetdrill script means to the stack: the outcome of interpretShell().
// Read first: ../shell.ts.

export type ShellEffect =
  | SysctlEffect
  | RouteEffect
  | LinkEffect
  /** `ip tcp_metrics flush`: what is remembered of peers is forgotten, Fast Open's cookies among it. */
  | { kind: "flush-metrics" }
  /** Frames that the device's queue holds: 0 drops all that goes out, undefined is the device's own limit again. */
  | { kind: "qdisc-limit"; limit: number | undefined }
  | CounterEffect
  /** nstat has shown its counters: from now on, increments count from here. */
  | { kind: "counters-seen" }
  | { kind: "sleep"; micros: number }
  /** A file is made that holds so many zeros, for sendfile(). */
  | { kind: "file"; path: string; bytes: number }
  /** Done for show, or of no meaning to a stack. */
  | { kind: "ignored"; what: string }
  /** Has a meaning on Linux, but does nothing to this stack: people are told. */
  | { kind: "no-effect"; what: string }
  /** Would have meant something, and is not carried out. */
  | { kind: "refused"; what: string; why: string }
  /** The command ends with this status other than 0: to packetdrill, the script has failed. */
  | { kind: "exit"; status: number };

export interface SysctlEffect {
  kind: "sysctl";
  /** With dots: "net.ipv4.tcp_ecn". */
  name: string;
  /** "0", or several numbers with one blank between. */
  value: string;
}

/** A route's metrics. What is undefined is back at its default: `change` and `replace` replace them all. */
export interface RouteEffect {
  kind: "route";
  action: "add" | "change" | "replace" | "append" | "del";
  /** "default", or an address with or without a prefix length; "" when it is not written. */
  destination: string;
  initcwnd?: number;
  initrwnd?: number;
  mtu?: number;
  /** `mtu lock N`: no path MTU discovery. */
  mtuLocked?: boolean;
  advmss?: number;
  rtoMinMicros?: number;
  /** Start values of RTT and its variation. */
  rttMicros?: number;
  rttvarMicros?: number;
  cwnd?: number;
  ssthresh?: number;
  window?: number;
  reordering?: number;
  quickack?: boolean;
  hoplimit?: number;
  fastopenNoCookie?: boolean;
  congestionControl?: string;
  ecn?: boolean;
}

export interface LinkEffect {
  kind: "link";
  device: string;
  mtu?: number;
  up?: boolean;
}

/** `nstat | grep NAME | grep -q " 3 "`: a counter of Linux's name must have grown so. */
export interface CounterEffect {
  kind: "assert-counter";
  name: string;
  relation: "==" | ">";
  value: number;
  /** From where it counts: the last "counters-seen", or the start of the machine (`nstat -a`). */
  since: "seen" | "start";
}

/** How a command ended: 0, another status, or undefined when that is known only when it has been carried out. */
export type Status = number | undefined;

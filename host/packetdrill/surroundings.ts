// What shell commands of a script do to its world: sysctls, routes, links, queues; and the counters they ask for.
// Read first: shell/effects.ts; host/sysctl.ts.

import { OribiError } from "../errors.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import { IDLE_SYSCTLS, isFixedSysctl, isLinuxSysctl } from "./surroundings-sysctl.ts";
import { linuxCounter } from "./surroundings-counter.ts";
import type { Script } from "./script.ts";
import { interpretShell, type ShellContext, type ShellEffect } from "./shell.ts";
import type { CounterEffect, LinkEffect, RouteEffect, SysctlEffect } from "./shell.ts";
import type { World } from "./world.ts";

/** Linux's initial window, segments, and least RTO, ms: what a route without metrics has. */
const INIT_CWND = 10;
const RTO_MIN_MILLIS = 200;

/** Metrics of routes that the stack does not have. */
const MISSING_METRICS = [
  ["initrwnd", "initrwnd"],
  ["rttMicros", "rtt"],
  ["rttvarMicros", "rttvar"],
  ["cwnd", "cwnd"],
  ["ssthresh", "ssthresh"],
  ["window", "window"],
  ["quickack", "quickack"],
  ["fastopenNoCookie", "fastopen_no_cookie"],
  ["ecn", "features ecn"],
] as const satisfies readonly (readonly [keyof RouteEffect, string])[];

/** Least scale that a receive buffer as large as it is without tcp_rmem leaves room for. */
const SCALE_MIN = 2;
const SYN = 2;

/** The window scale in the first SYN that the script wants from the stack, if it says. */
function offeredScale({ events }: Script): number | undefined {
  for (const event of events) {
    if (event.type !== "packet" || event.direction !== "out" || event.transport.protocol !== "tcp") continue;
    const { flags, options } = event.transport;
    if (!(flags & SYN)) continue;
    const option = options?.find(({ kind }) => kind === "wscale");
    return option?.kind === "wscale" ? option.shift : undefined;
  }
  return undefined;
}

const settingOf = (name: string, value: string): SysctlEffect => ({ kind: "sysctl", name, value });

/** Carries shell commands out for one script. */
export class Surroundings {
  readonly #world: World;
  readonly #context: ShellContext;
  readonly #mtu: number;
  /** The counters when nstat showed them last, by Linux's name. */
  #seen: ((name: string) => number) | undefined;
  #hasReceiveBuffer = false;
  /** What the script asked for and does nothing here. */
  readonly ignored = new Set<string>();

  constructor(world: World, context: ShellContext) {
    this.#world = world;
    this.#context = context;
    this.#mtu = world.config.mtu;
  }

  /**
   * Carries a command out.
   * @returns microseconds that it takes (sleep)
   * @throws {ScriptRefusal} for what the stack does not have, {ScriptFailure} for a counter that is not as it should be
   */
  run(command: string, line: number): number {
    let micros = 0;
    for (const effect of interpretShell(command, this.#context)) {
      if (effect.kind === "sleep") micros += effect.micros;
      else this.#apply(effect, line);
    }
    return micros;
  }

  #apply(effect: Exclude<ShellEffect, { kind: "sleep" }>, line: number): void {
    switch (effect.kind) {
      case "sysctl":
        return this.#sysctl(effect, line);
      case "route":
        return this.#route(effect, line);
      case "link":
        return this.#link(effect, line);
      case "qdisc-limit":
        this.#world.setMute(effect.limit === 0);
        return;
      case "assert-counter":
        return this.#counter(effect, line);
      case "counters-seen":
        this.#seen = linuxCounter(this.#world.stack.counters());
        return;
      case "no-effect":
        this.ignored.add(effect.what);
        return;
      case "refused":
        throw new ScriptRefusal(line, `the command ${effect.what} is not carried out: ${effect.why}`);
      case "exit":
        throw new ScriptFailure(line, `the command ends with status ${effect.status}`);
      default:
        return;
    }
  }

  #sysctl({ name, value }: SysctlEffect, line: number): void {
    // Asked first: each script sets many that the stack has not, and an error costs more than all of them.
    const short = name.replace(/^net\.(ipv4|core)\./, "");
    this.#hasReceiveBuffer ||= short === "tcp_rmem";
    if (IDLE_SYSCTLS.has(short) || isFixedSysctl(short, value)) return;
    if (isLinuxSysctl(short)) {
      this.ignored.add(`sysctl ${name}=${value}`);
      return;
    }
    try {
      this.#world.stack.sysctl(name, value);
    } catch (error) {
      if (!(error instanceof OribiError)) throw error;
      const why = error.code === "ERR_ORIBI_SYSCTL" ? "Linux has no such tunable" : error.message;
      throw new ScriptRefusal(line, `sysctl ${name}=${value}: ${why}`);
    }
  }

  #route(route: RouteEffect, line: number): void {
    for (const [metric, name] of MISSING_METRICS) {
      if (route[metric] !== undefined) this.ignored.add(`ip route ... ${name}`);
    }
    const { stack } = this.#world;
    stack.sysctl("tcp_init_cwnd", route.initcwnd ?? INIT_CWND);
    stack.sysctl("tcp_rto_min", Math.max(1, Math.round((route.rtoMinMicros ?? RTO_MIN_MILLIS * 1000) / 1000)));
    const { reordering, hoplimit, congestionControl } = route;
    if (reordering !== undefined) stack.sysctl("tcp_reordering", reordering);
    if (hoplimit !== undefined) stack.sysctl("ip_default_ttl", hoplimit);
    if (congestionControl !== undefined) this.#sysctl(settingOf("tcp_congestion_control", congestionControl), line);
    this.#world.setMtu(Math.min(route.mtu ?? this.#mtu, this.#mtu));
    this.#world.setAdvMss(route.advmss ?? 0);
  }

  /**
   * Sets the receive buffer that a script was written for, when none of its commands has set one: the largest that
   * tcp_rmem allows decides on the window scale that SYNs offer, and differs from machine to machine.
   */
  assumeReceiveBuffer(script: Script): void {
    const shift = this.#hasReceiveBuffer ? undefined : offeredScale(script);
    if (shift === undefined || shift < SCALE_MIN) return;
    const { stack } = this.#world;
    const [least, usual] = String(stack.sysctl("tcp_rmem")).split(" ");
    stack.sysctl("tcp_rmem", `${least} ${usual} ${2 ** (15 + shift)}`);
  }

  #link({ mtu, up }: LinkEffect, line: number): void {
    if (up === false) throw new ScriptRefusal(line, "taking a link down is not supported");
    if (mtu !== undefined) this.#world.setMtu(mtu);
  }

  #counter({ name, relation, value, since }: CounterEffect, line: number): void {
    const now = linuxCounter(this.#world.stack.counters())(name);
    if (Number.isNaN(now)) throw new ScriptRefusal(line, `the stack has no counter ${name}`);
    const before = since === "seen" ? (this.#seen?.(name) ?? 0) : 0;
    const grown = now - before;
    if (relation === "==" ? grown === value : grown > value) return;
    const wanted = relation === "==" ? String(value) : `more than ${value}`;
    throw new ScriptFailure(line, `${name}: expected ${wanted}, got ${grown}`);
  }
}

// Carries a script out, event by event, on the clock of its world. One thread: while a call of the script blocks, the
// events behind it go on inside its wait.
// Read first: Cardwell et al. (USENIX ATC 2013), section 3; script.ts; world.ts.

import { IPPROTO_TCP, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, TCP_INFO } from "../../assembly/layout.ts";
import { formatMicros } from "./clock.ts";
import type { CallContext } from "./call-context.ts";
import { Connections, type Connection } from "./connections.ts";
import { Descriptors } from "./descriptors.ts";
import { ScriptFailure } from "./failure.ts";
import { formatPacket } from "./format.ts";
import { inboundDatagram } from "./inbound.ts";
import { decodeDatagram, type LivePacket } from "./live-packet.ts";
import { compare } from "./outbound.ts";
import type { CodeEvent, PacketEvent, Script, ScriptEvent, ShellEvent, SyscallEvent } from "./script.ts";
import type { Settings } from "./settings.ts";
import { makeCall } from "./system-calls.ts";
import type { World } from "./world.ts";

/** A packet that crossed the wire while the script ran. */
export interface Seen {
  packet: LivePacket;
  /** undefined: the script knows nothing of its connection. */
  connection: Connection | undefined;
}

/** What TCP_INFO said when the script came to a piece of code. */
export interface CodeRecord {
  event: CodeEvent;
  /** undefined: there was no socket to ask. */
  info: Readonly<Record<string, number>> | undefined;
}

/** What the runner does not do itself. */
export interface RunnerHooks {
  /** Carries a shell command of the script out; returns the microseconds that it takes. */
  shell(command: string, line: number): number;
}

/** A call of the script that has not returned. */
interface PendingCall {
  event: SyscallEvent;
  /** When it must have returned at the latest. */
  limit: number;
  /** It may block: the events behind it go on. */
  mayBlock: boolean;
}

/** When an event may happen, on the world's clock. */
interface Due {
  from: number;
  to: number;
}

/** How far to look for a packet that did not come, to say when it would have. */
const LOOK_AHEAD_MICROS = 120_000_000;
/** `*` waits so long at most. */
const ANY_MICROS = 30 * 86_400e6;

export class Runner {
  readonly seen: Seen[] = [];
  readonly codes: CodeRecord[] = [];
  readonly #events: readonly ScriptEvent[];
  readonly #settings: Settings;
  readonly #world: World;
  readonly #hooks: RunnerHooks;
  readonly #connections: Connections;
  readonly #context: CallContext;
  /** Time 0 of the script on the world's clock. */
  #origin = 0;
  readonly #start: number;
  #index = 0;
  /** When the event before happened, as the script says. */
  #previous: number;
  /** Packets of the stack that no line has been about yet. */
  readonly #waiting: LivePacket[] = [];
  /** Packets of the current line, which needs more. */
  #partial: LivePacket[] = [];
  #call: PendingCall | undefined;

  /** @param world at its first moment */
  constructor(script: Script, settings: Settings, world: World, hooks: RunnerHooks) {
    this.#events = script.events;
    this.#settings = settings;
    this.#world = world;
    this.#hooks = hooks;
    this.#connections = new Connections(settings);
    this.#previous = world.now;
    this.#start = world.now;
    const { posix } = world;
    this.#context = {
      posix,
      descriptors: new Descriptors(),
      connections: this.#connections,
      defaults: settings,
      toScript: (micros) => this.toScript(micros),
      toleranceMicros: settings.toleranceMicros,
    };
    world.onWait = (until) => this.#wait(until);
  }

  /** The line of the event that is being carried out, or was the last. */
  get line(): number {
    return this.#events[Math.min(this.#index, this.#events.length - 1)]?.line ?? 0;
  }

  /** Virtual time since the first event, microseconds. */
  get elapsed(): number {
    return this.#world.now - this.#start;
  }

  /** The script's time of a moment, microseconds. */
  toScript(micros: number): number {
    return micros - this.#origin;
  }

  /** @throws {ScriptFailure} {ScriptRefusal} {CoreTrap} at the first event that does not happen as it should */
  run(): void {
    // The first event happens at once, whatever time the script gives it.
    const first = this.#events[0]?.time;
    this.#origin = this.#world.now - (first?.kind === "absolute" ? first.at : 0);
    while (this.#index < this.#events.length) this.#step(Infinity);
  }

  /** The smallest piece of work: an event that is due, or some time that passes, to `limit` at most. */
  #step(limit: number): void {
    const event = this.#events[this.#index];
    const isHeld = this.#call !== undefined && (!this.#call.mayBlock || event?.type === "syscall");
    if (event === undefined || isHeld) return this.#advance(limit);
    const due = this.#due(event);
    if (event.type === "packet" && event.direction === "out") return this.#expect(event, due, limit);
    if (due.from > this.#world.now) return this.#advance(Math.min(limit, due.from));
    const late = this.#world.now - due.to;
    if (late > this.#tolerance(due.to)) {
      const [should, does] = [this.#clock(due.from), this.#clock(this.#world.now)];
      throw new ScriptFailure(event.line, `this should happen at ${should}, but what is before it ended at ${does}`);
    }
    this.#index++;
    this.#previous = due.from;
    this.#perform(event);
  }

  #due({ time }: ScriptEvent): Due {
    const { now } = this.#world;
    switch (time.kind) {
      case "absolute":
        return { from: this.#origin + time.at, to: this.#origin + time.at };
      case "relative":
        return { from: this.#previous + time.after, to: this.#previous + time.after };
      case "range": {
        const base = time.relative ? this.#previous : this.#origin;
        return { from: base + time.from, to: base + time.to };
      }
      case "any":
        return { from: Math.min(now, this.#previous), to: this.#previous + ANY_MICROS };
    }
  }

  #tolerance(time: number): number {
    const { toleranceMicros, toleranceShare } = this.#settings;
    return Math.max(toleranceMicros, toleranceShare * (time - this.#previous));
  }

  #perform(event: ScriptEvent): void {
    switch (event.type) {
      case "packet":
        return this.#inject(event);
      case "syscall":
        return this.#makeCall(event);
      case "shell":
        return this.#shell(event);
      case "code":
        this.codes.push({ event, info: this.#info() });
    }
  }

  #shell({ command, line }: ShellEvent): void {
    const end = this.#world.now + this.#hooks.shell(command, line);
    this.#settle();
    while (this.#world.now < end) this.#advance(end);
  }

  // ---- Time ---------------------------------------------------------------------------------------------------------

  /** Lets time pass to the next thing that the stack does, or to `limit`. */
  #advance(limit: number): void {
    if (limit === Infinity && this.#world.nextDeadline() === Infinity) {
      const line = this.#call?.event.line ?? this.#events.at(-1)?.line ?? 0;
      throw new ScriptFailure(line, "nothing will happen any more: the call blocks for ever");
    }
    this.#world.advance(limit);
    this.#collect();
  }

  #settle(): void {
    this.#world.settle();
    this.#collect();
  }

  #collect(): void {
    for (const packet of this.#world.take()) {
      const connection = this.#connections.ofPacket(packet);
      this.seen.push({ packet, connection });
      // What belongs to no socket of the script does not concern it.
      if (connection !== undefined) this.#waiting.push(packet);
    }
  }

  #clock(micros: number): string {
    return formatMicros(this.toScript(micros));
  }

  // ---- Packets ------------------------------------------------------------------------------------------------------

  #inject(event: PacketEvent): void {
    const connection = this.#connections.ofEvent(event);
    connection.begin(event);
    const datagram = inboundDatagram(event, connection);
    this.seen.push({ packet: decodeDatagram(datagram, this.#world.now, "in"), connection });
    this.#world.inject(datagram, this.#settings.mss);
    this.#settle();
  }

  /** Holds a `>` line against what the stack has sent, or lets it have the time that it may take. */
  #expect(event: PacketEvent, due: Due, limit: number): void {
    const connection = this.#connections.ofEvent(event);
    const packet = this.#nextOf(connection);
    if (packet === undefined) {
      const latest = due.to + this.#tolerance(due.to);
      if (this.#world.now >= latest) this.#failMissing(event, due);
      return this.#advance(Math.min(limit, latest));
    }
    if (this.#connections.ofPacket(packet) !== connection) {
      const came = formatPacket(packet, undefined);
      throw new ScriptFailure(event.line, "a packet of another connection came", event.text, came);
    }
    this.#partial.push(packet);
    const { tickMicros, toleranceMicros, toleranceShare } = this.#settings;
    // The values of timestamps have had all of the script to drift.
    const drift = Math.max(toleranceMicros, toleranceShare * this.elapsed);
    const verdict = compare(event, connection, this.#partial, { tickMicros, toleranceMicros: drift });
    this.#checkTime(event, due, packet.micros, formatPacket(packet, connection));
    if (verdict === "more") return;
    this.#partial = [];
    this.#index++;
    const isFixed = event.time.kind === "absolute" || event.time.kind === "relative";
    this.#previous = isFixed ? due.from : packet.micros;
  }

  /**
   * The next packet that lines could be about. Connections that the script never names by their ports count only while
   * they are the one under test; what is left of those before does not concern it.
   */
  #nextOf(connection: Connection): LivePacket | undefined {
    for (let packet = this.#waiting.shift(); packet !== undefined; packet = this.#waiting.shift()) {
      const of = this.#connections.ofPacket(packet);
      if (of === connection || of?.isNamed === true) return packet;
    }
    return undefined;
  }

  #checkTime(event: PacketEvent, due: Due, micros: number, came: string): void {
    if (event.time.kind === "any") return;
    const tolerance = this.#tolerance(due.to);
    if (micros >= due.from - tolerance && micros <= due.to + tolerance) return;
    const when = due.from === due.to ? this.#clock(due.from) : `${this.#clock(due.from)} to ${this.#clock(due.to)}`;
    const text = `the packet should come at ${when} (give or take ${formatMicros(tolerance)}), it came at`;
    throw new ScriptFailure(event.line, `${text} ${this.#clock(micros)}`, event.text, came);
  }

  /** The packet did not come: says what comes next instead. */
  #failMissing(event: PacketEvent, due: Due): never {
    const end = this.#world.now + LOOK_AHEAD_MICROS;
    while (this.#waiting.length === 0 && this.#world.now < end) this.#advance(end);
    const next = this.#waiting[0];
    const connection = next === undefined ? undefined : this.#connections.ofPacket(next);
    const came =
      next === undefined
        ? `nothing, for ${formatMicros(LOOK_AHEAD_MICROS)}`
        : `at ${this.#clock(next.micros)}: ${formatPacket(next, connection)}`;
    const part = this.#partial.length > 0 ? "the rest of the packet" : "the packet";
    const text = `${part} did not come by ${this.#clock(due.to + this.#tolerance(due.to))}`;
    throw new ScriptFailure(event.line, text, event.text, came);
  }

  // ---- Calls --------------------------------------------------------------------------------------------------------

  #makeCall(event: SyscallEvent): void {
    const start = this.#world.now;
    const { end } = event;
    const returns = end === undefined ? start : end.relative ? start + end.at : this.#origin + end.at;
    const { toleranceMicros, toleranceShare } = this.#settings;
    const tolerance = Math.max(toleranceMicros, toleranceShare * (returns - start));
    this.#call = { event, limit: returns + tolerance, mayBlock: end !== undefined };
    makeCall(this.#context, event);
    this.#call = undefined;
    this.#settle();
    if (this.#world.now >= returns - tolerance) return;
    const [should, did] = [this.#clock(returns), this.#clock(this.#world.now)];
    throw new ScriptFailure(event.line, `${event.name} should return at ${should}, it returned at ${did}`);
  }

  /** A call of the script waits: the script goes on until something has happened. */
  #wait(until: number): boolean {
    const call = this.#call;
    if (call === undefined) return false;
    if (this.#world.now > call.limit) {
      const { name, line } = call.event;
      const text = call.mayBlock
        ? `${name} still blocks at ${this.#clock(call.limit)}`
        : `${name} blocks; a call that may block is written with its end: +0...0.1 ${name}(...)`;
      throw new ScriptFailure(line, text);
    }
    this.#step(Math.min(until, call.limit + 1));
    return true;
  }

  /** TCP_INFO and the buffers of the socket under test. */
  #info(): CodeRecord["info"] {
    const fd = this.#connections.current?.fd ?? -1;
    const { getsockopt } = this.#world.posix;
    const info: Record<string, number> = {};
    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, info) < 0) return undefined;
    info["SK_MEMINFO_RCVBUF"] = getsockopt(fd, SOL_SOCKET, SO_RCVBUF);
    info["SK_MEMINFO_SNDBUF"] = getsockopt(fd, SOL_SOCKET, SO_SNDBUF);
    return info;
  }
}

// A torture: threads talk on thousands of connections while a plan ends stacks and business threads and moves
// redirection tables. After each kill the manager's audit must find nothing lost; in the end every connection whose
// ends lived has delivered every byte.
// Read first: plan.ts (decisions), lab.ts (deeds), talker.ts and end.ts (what threads do and check).

import { type Audit, CLEAN_AUDIT } from "../manager.ts";
import * as at from "./board.ts";
import { Lab, TortureFailure } from "./lab.ts";
import { describe, Plan, type PlanOptions, type Step, type Victim } from "./plan.ts";

export { TortureFailure } from "./lab.ts";

export interface TortureOptions extends PlanOptions {
  /** Ends after so many kills, and after so long at the latest. */
  kills: number;
  millis: number;
  debug?: boolean;
  /** Ends at once, without the checks of the end. */
  signal?: AbortSignal;
  onStep?: (figures: TortureFigures, step: string) => void;
}

export interface TortureFigures {
  model: "shared" | "separate";
  seed: number;
  steps: number;
  kills: number;
  stackKills: number;
  threadKills: number;
  /** Kills by how they were done. */
  hows: Record<string, number>;
  restarts: number;
  retaMoves: number;
  audits: number;
  /** What audits found, in all. */
  lost: number;
  connected: number;
  /** Connections that delivered every byte both ways. */
  completed: number;
  /** Connections that a kill broke, told with an error. */
  broken: number;
  bytes: number;
  datagrams: number;
  epollChecks: number;
  /** Connections that were broken off by connect(AF_UNSPEC) and begun again; listeners that ended and began again. */
  disconnects: number;
  relistens: number;
  /** Right answers of recv(MSG_PEEK) while another thread goes on with the connection. */
  peeks: number;
  /** Descriptors that killed threads had just been given, and that were closed in the end. */
  orphans: number;
  seconds: number;
}

/**
 * Without progress for so long the rest is stuck, milliseconds: what was sent to a stack that was dead is sent again
 * after up to two minutes (RFC 6298 2.5, Linux's TCP_RTO_MAX).
 */
const STUCK_MILLIS = 150_000;
const DRAIN_MILLIS = 60_000;
/** Pools that must be empty when every connection has ended. */
const EMPTY_POOLS = ["tcb", "flight", "txseg", "island", "chunk", "chunkLarge", "socket", "epitem"];

/** Runs one torture. @throws {TortureFailure} that says at which step what was wrong */
export async function torture(options: TortureOptions): Promise<TortureFigures> {
  const plan = new Plan(options);
  const lab = new Lab(options, plan, options.debug === true);
  const run = new Run(lab, options);
  try {
    await unlessAborted(run.go(plan), options.signal);
    return run.figures();
  } finally {
    await unlessAborted(lab.close(), options.signal);
  }
}

/** Waits for the work, or for the signal: what the work does after that is of no interest. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  work.catch(() => undefined);
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([work, aborted]);
}

class Run {
  readonly #lab: Lab;
  readonly #options: TortureOptions;
  readonly #begun = performance.now();
  readonly #hows: Record<string, number> = {};
  #steps = 0;
  #stackKills = 0;
  #threadKills = 0;
  #restarts = 0;
  #retaMoves = 0;
  #audits = 0;
  #orphans = 0;
  #at = "the beginning";

  constructor(lab: Lab, options: TortureOptions) {
    this.#lab = lab;
    this.#options = options;
  }

  figures(): TortureFigures {
    const { board } = this.#lab;
    const { model, seed } = this.#options;
    return {
      model,
      seed,
      steps: this.#steps,
      kills: this.#stackKills + this.#threadKills,
      stackKills: this.#stackKills,
      threadKills: this.#threadKills,
      hows: this.#hows,
      restarts: this.#restarts,
      retaMoves: this.#retaMoves,
      audits: this.#audits,
      lost: 0,
      connected: board.get(at.CONNECTED),
      completed: board.get(at.COMPLETED),
      broken: board.get(at.BROKEN) + board.get(at.ABORTED),
      bytes: board.bytes,
      datagrams: board.get(at.DATAGRAMS),
      epollChecks: board.get(at.EPOLL_CHECKS),
      disconnects: board.get(at.DISCONNECTS),
      relistens: board.get(at.RELISTENS),
      peeks: board.get(at.PEEKS),
      orphans: this.#orphans,
      seconds: (performance.now() - this.#begun) / 1000,
    };
  }

  async go(plan: Plan): Promise<void> {
    const { kills, millis, signal } = this.#options;
    try {
      await this.#lab.start();
      const end = performance.now() + millis;
      while (this.#stackKills + this.#threadKills < kills && performance.now() < end && signal?.aborted !== true) {
        await this.#step(plan.next());
      }
      this.#at = "the end";
      await this.#finish();
    } catch (error) {
      if (!(error instanceof TortureFailure)) throw error;
      throw new TortureFailure(`${this.#at}: ${error.message}`);
    }
  }

  async #step(step: Step): Promise<void> {
    this.#at = describe(step);
    this.#steps = step.number;
    await new Promise((resolve) => setTimeout(resolve, step.waitMillis));
    if (step.reta !== undefined) {
      const { side, entries } = step.reta;
      this.#lab.hosts[side as 0 | 1].nic.rss.setReta(entries);
      this.#retaMoves++;
    }
    if (step.relisten !== undefined) this.#lab.relisten(step.relisten);
    if (step.victims.length > 0) await this.#kill(step.victims);
    this.#judge();
    this.#options.onStep?.(this.figures(), this.#at);
  }

  async #kill(victims: Victim[]): Promise<void> {
    await Promise.all(victims.map((victim) => this.#lab.end(victim)));
    for (const { what, how } of victims) {
      if (what === "stack") this.#stackKills++;
      else this.#threadKills++;
      this.#hows[`${what} ${how}`] = (this.#hows[`${what} ${how}`] ?? 0) + 1;
    }
    await this.#audit();
    for (const victim of victims) {
      await this.#lab.revive(victim);
      this.#restarts++;
    }
  }

  async #audit(): Promise<void> {
    const audit = await this.#lab.net.audit();
    this.#audits++;
    const lost = (Object.keys(CLEAN_AUDIT) as (keyof Audit)[]).filter((name) => audit[name] !== 0);
    if (lost.length === 0) return;
    throw new TortureFailure(`the audit has found ${lost.map((name) => `${audit[name]} lost ${name}`).join(", ")}`);
  }

  /** What threads have found, and stacks that are dead by themselves. */
  #judge(): void {
    const { board, net, hosts } = this.#lab;
    const found = board.found();
    // The death of a stack explains what its peers have found.
    for (const stack of board.get(at.PHASE) === at.PHASE_END ? [] : hosts.flatMap((host) => host.stacks)) {
      const { state } = net.stackEntry(stack);
      if (state === "running" && stack.trap === undefined) continue;
      found.unshift(`stack ${stack.name} is ${state} though nobody has killed it: ${stack.trap?.message}`);
    }
    if (found.length > 0) throw new TortureFailure(found.join("\n"));
  }

  /** Brings all connections to their end: all bytes come, everything is given back. */
  async #finish(): Promise<void> {
    const { board, net, hosts } = this.#lab;
    Atomics.store(board.words, at.PHASE, at.PHASE_FINISH);
    const { connections } = board.place;
    const clients = Array.from({ length: connections }, (_, id) => board.client(id));
    await this.#drained("connections of the client", clients);
    const served = Array.from({ length: this.#lab.threads }, (_, thread) =>
      Array.from({ length: connections * 2 }, (_, index) => board.served(thread, index)),
    ).flat();
    await this.#drained("connections of the server", served);
    await this.#lab.stop();
    this.#judge();
    if (this.#lab.isSeparate) this.#orphans = this.#lab.closeOrphans();
    else for (const { stacks } of hosts) for (const [i, { posix }] of stacks.entries()) this.#unlisten(posix, i);
    const used = (): string[] =>
      hosts.flatMap((host) => {
        const pools = host.pools();
        return EMPTY_POOLS.filter((name) => (pools[name]?.used ?? 0) !== 0).map((name) => {
          return `${host.name}: ${name} ${pools[name]?.used}`;
        });
      });
    await net.until(() => used().length === 0, { timeout: `${DRAIN_MILLIS}ms` });
    if (used().length > 0) throw new TortureFailure(`pools are not empty in the end: ${used().join(", ")}`);
    await this.#audit();
  }

  #unlisten(posix: { close(fd: number): number }, index: number): void {
    const { board } = this.#lab;
    const fd = Atomics.exchange(board.words, board.listener(index), 0) - 1;
    if (fd >= 0) posix.close(fd);
  }

  /** Waits until all of these records are free, as long as something goes on. */
  async #drained(what: string, records: number[]): Promise<void> {
    const { board } = this.#lab;
    const isOpen = (place: number): boolean => Atomics.load(board.words, place + at.AT_STATE) !== at.FREE;
    let before = "";
    let since = performance.now();
    for (let open; (open = records.filter(isOpen)).length > 0;) {
      this.#judge();
      const now = `${open.length} ${board.bytes}`;
      if (now !== before) since = performance.now();
      before = now;
      if (performance.now() - since > STUCK_MILLIS) {
        const [first] = open as [number];
        const words = Array.from(board.words.subarray(first, first + at.RECORD_WORDS));
        throw new TortureFailure(`${open.length} ${what} are stuck; the first: ${words.join(" ")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

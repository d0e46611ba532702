// The ltrans of a network and the isolated stacks behind them: made, run in threads, buried and started again.
// Read first: ltran.ts; manager.ts for stacks that are not isolated.

import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { NicOptions, TrunkPlace, VethModule } from "../veth/index.ts";
import type { Compartment } from "./compartment.ts";
import type { CoreOptions } from "./core.ts";
import { OribiError } from "./errors.ts";
import type { Host } from "./host.ts";
import { HostStack, type Isolation } from "./host-stack.ts";
import { Ltran, type LtranOptions } from "./ltran.ts";
import type { Manager } from "./manager.ts";
import type { HostOptions } from "./network-options.ts";
import type { LtranTask } from "./threads/ltran-worker.ts";
import type { MainThread } from "./threads/main-thread.ts";
import type { Runner } from "./threads/runner.ts";

/** What the thread of an ltran runs. */
const LTRAN_WORKER = new URL("./threads/ltran-worker.js", import.meta.url);
/** A forwarder that has not heard yet that a stack has stopped is asked again after so long, milliseconds. */
const RETRY_MILLIS = 1;

/** The network, as far as its ltrans are concerned. */
export interface LtransNetwork {
  readonly veth: VethModule;
  readonly core: CoreOptions;
  readonly manager: Manager;
}

/** A place for a host that is being made. */
export interface Cell {
  compartment: Compartment;
  isolation: Isolation;
  /** The host is made. */
  adopt(host: Host): void;
}

/** What an ltran's thread has of this one. */
interface Thread {
  id: number;
  trunks: MessagePort | undefined;
  /** Resolves when what a dead thread had has been taken back. */
  burial: Promise<void>;
}

/** All ltrans of a network. */
export class Ltrans {
  readonly all: Ltran[] = [];
  readonly #network: LtransNetwork;
  /** Those that this thread steps. */
  #here: Ltran[] = [];
  readonly #threads = new Map<Ltran, Thread>();
  readonly #cells = new Map<Isolation, Ltran>();

  constructor(network: LtransNetwork) {
    this.#network = network;
  }

  /** @throws {OptionError} */
  make(name: string, options: Omit<LtranOptions, "thread">): Ltran {
    if (this.all.some((ltran) => ltran.name === name)) {
      throw new OribiError("ERR_ORIBI_NAME", `There is an ltran "${name}" already; give this one another name.`);
    }
    const { veth, core } = this.#network;
    const ltran: Ltran = new Ltran(
      {
        veth,
        core,
        moved: () => (this.#here = this.all.filter(({ isHere }) => isHere)),
        told: (of, place) => this.#tell(of, place),
      },
      name,
      options,
    );
    this.all.push(ltran);
    this.#here.push(ltran);
    return ltran;
  }

  /** One beat of those that run in this thread; returns the frames forwarded. */
  beat(now: number): number {
    let work = 0;
    for (const ltran of this.#here) work += ltran.beat(now);
    return work;
  }

  nextDeadline(): number {
    let next = Infinity;
    for (const ltran of this.#here) next = Math.min(next, ltran.nextDeadline());
    return next;
  }

  /** Does something wait for one that runs in this thread? */
  hasArrivals(): boolean {
    return this.#here.some((ltran) => ltran.hasArrivals());
  }

  /** A memory of its own for a host. */
  cell(ltran: Ltran, nic: NicOptions, options: HostOptions): Cell {
    const { compartment, slot } = ltran.compartment(nic, options);
    const isolation: Isolation = { setBell: (bell) => ltran.forwarder.setStationBell(slot, bell) };
    this.#cells.set(isolation, ltran);
    return { compartment, isolation, adopt: (host) => ltran.adopt(host, slot) };
  }

  /** Address of the ltran that a stack is behind; 0: none. */
  handleOf({ isolation }: HostStack): number {
    return isolation === undefined ? 0 : (this.#cells.get(isolation)?.forwarder.handle ?? 0);
  }

  /** What the thread of an ltran is given. */
  setup(runner: Runner, common: object): { worker: URL; setup: object } {
    const ltran = runner as Ltran;
    const { id } = this.#threadOf(ltran);
    const own = { id, forwarder: ltran.forwarder.describe(), port: ltran.nic.handle };
    return { worker: LTRAN_WORKER, setup: { ...common, ...own } };
  }

  /** Gives an ltran its thread, which ends with the network. */
  launch(ltran: Ltran, main: MainThread): void {
    const { port1, port2 } = new MessageChannel();
    this.#threadOf(ltran).trunks = port1;
    port1.unref();
    const { trunks } = ltran;
    // The news of before begin anew with each thread.
    ltran.forwarder.resetNews();
    for (const place of trunks) this.#tell(ltran, place);
    const task: LtranTask = { poll: ltran.poll, trunks: port2 };
    // What ends it shows in its state.
    main.launch(ltran, task, [port2]).catch(() => undefined);
  }

  /** An isolated stack, or an ltran, has crashed; its thread is gone when `gone` says so. */
  lost(runner: Runner, gone?: Promise<void>): void {
    if (runner instanceof HostStack) {
      this.#ltranOf(runner).stop(runner);
      this.#network.manager.buryIsolated(runner, gone);
      return;
    }
    const ltran = runner as Ltran;
    const thread = this.#threadOf(ltran);
    thread.trunks?.close();
    const { slots } = ltran.forwarder;
    thread.burial = this.#network.manager.buryNic(ltran.nic, thread.id, slots, gone ?? Promise.resolve());
    thread.burial.catch(() => {}); // told to who restarts it
  }

  /** Starts an ltran's thread again after a crash. @throws {OribiError} ERR_ORIBI_STACK when it runs */
  async restart(ltran: Ltran, main: MainThread): Promise<void> {
    if (ltran.thread !== "lost") throw new OribiError("ERR_ORIBI_STACK", `The ltran "${ltran.name}" runs.`);
    await this.#threadOf(ltran).burial;
    ltran.trap = undefined;
    ltran.thread = "main";
    this.launch(ltran, main);
  }

  /** Makes an isolated stack anew, memory and all. @throws {OribiError} ERR_ORIBI_STACK when it runs */
  async renew(stack: HostStack, now: number): Promise<void> {
    const ltran = this.#ltranOf(stack);
    const { manager } = this.#network;
    const isCutOff = stack.isHere && ltran.isRefused(stack);
    if (isCutOff) manager.buryIsolated(stack);
    await manager.settled(stack);
    manager.assertStopped(stack);
    while (!ltran.renew(stack)) await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
    stack.stack.renew(now);
    stack.prepare();
    ltran.resume(stack);
  }

  close(): void {
    for (const { trunks } of this.#threads.values()) trunks?.close();
    for (const ltran of this.all) ltran.nic.close();
    this.#here = [];
    this.all.length = 0;
  }

  #tell(ltran: Ltran, { slot, compartment }: { slot: number; compartment: Compartment }): void {
    const thread = this.#threads.get(ltran);
    if (thread?.trunks === undefined) return;
    const place: TrunkPlace = { slot, memory: compartment.memory, trunk: compartment.trunk.handle };
    thread.trunks.postMessage(place);
    ltran.forwarder.addNews();
  }

  #ltranOf(stack: HostStack): Ltran {
    return this.#cells.get(stack.isolation as Isolation) as Ltran;
  }

  #threadOf(ltran: Ltran): Thread {
    let thread = this.#threads.get(ltran);
    if (thread === undefined) {
      thread = { id: this.#network.manager.registry.number(), trunks: undefined, burial: Promise.resolve() };
      this.#threads.set(ltran, thread);
    }
    return thread;
  }
}

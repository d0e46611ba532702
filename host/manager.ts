// The management node: hands queues out to stacks, and takes everything back when a stack's thread is gone.
// Read first: DESIGN.md section 4 "Manager"; veth/datapath/reclaim.ts and assembly/steer/retire.ts, which do the work.
//
// A stack starts with queue_alloc (its queues of the NIC and its software queue), memp_alloc (its arena's pools) and
// mbuf_get (the pool behind each queue); rule_add follows with each connection and listener. When it is gone:
//   at once         locks that it held are recovered; rule_delete; memp_free; queue_free: its queues are closed, and
//                   the redirection table leads to the stacks that are left
//   at a safepoint  what is in its queues, or was in its hands, goes back to the pools (mbuf_put)
// What it shares with business threads, and what those leave that die, is share-keeper.ts's.
// A safepoint wants every thread to come to a beat of its stack. One that computes for long delays it, not the others.

import { GROUP_ALIVE, PORT_CAPTURE, REGION_ALIGN } from "../assembly/layout.ts";
import type { UserVbridge, UserVeth, VethExports } from "../veth/index.ts";
import { OribiError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { HostStack } from "./host-stack.ts";
import type { SharedMemory } from "./regions.ts";
import { Registry } from "./registry.ts";

/** The network, as far as the manager is concerned. */
export interface ManagedNetwork {
  readonly memory: SharedMemory;
  readonly exports: VethExports;
  /** Those whose memory is the network's. */
  readonly hosts: readonly Host[];
  /** NICs of no host: of ltrans, and of NICs with VFs. */
  readonly nics: () => readonly UserVeth[];
  readonly bridges: readonly UserVbridge[];
  allocate(bytes: number): number;
  now(): number;
  /** Runs work while no other thread is in a stack; false: not now. */
  atSafepoint(work: () => void): boolean;
}

/** What was found that belongs to nobody. All numbers are 0 when all is well. */
export interface Audit {
  /** Packet buffers that are neither free, nor queued, nor held by a stack that runs. */
  mbufs: number;
  /** Ring slots that were reserved and never filled. */
  slots: number;
  /** Entries of stacks that do not run: in flow tables, in port tables, in flow directors. */
  flows: number;
  ports: number;
  rules: number;
  /** Queues of the NIC that are open for a stack that does not run. */
  queues: number;
  /** Pool elements (TCBs, chunks, ...) of arenas whose stack does not run. */
  elements: number;
  /** Of what separate threads share: seats of dead threads, turns that they hold, send buffers that are nobody's. */
  seats: number;
  turns: number;
  buffers: number;
}

/** An audit that has found nothing. */
export const CLEAN_AUDIT: Readonly<Audit> = Object.freeze({
  mbufs: 0,
  slots: 0,
  flows: 0,
  ports: 0,
  rules: 0,
  queues: 0,
  elements: 0,
  seats: 0,
  turns: 0,
  buffers: 0,
});

/** A safepoint that could not be had is tried again after so long, milliseconds. */
const RETRY_MILLIS = 2;
/** Looks more that an audit takes at seats of dead threads. */
const RECOUNTS = 2;
/** Locks that this thread itself held when a stack trapped in it. */
const MAIN = 0xffff;

/** Stacks from their start to their end. */
export class Manager {
  readonly registry: Registry;
  readonly #network: ManagedNetwork;
  /** Zeroed words for sweeps: a bit for each mbuf of a pool. */
  readonly #scratch: number;
  readonly #burials = new Map<HostStack, Promise<void>>();
  /** Entries of redirection tables that lead elsewhere until their stack runs again. */
  readonly #lent = new Map<HostStack, Map<number, number>>();

  constructor(network: ManagedNetwork) {
    this.#network = network;
    this.#scratch = network.allocate(REGION_ALIGN);
    this.registry = new Registry(network.memory, (bytes) => network.allocate(bytes));
  }

  /** queue_alloc: the stack has its queues from now on. */
  start(stack: HostStack, holdsPackets: boolean): void {
    for (const queue of stack.isolation === undefined ? queuesOf(stack) : []) {
      this.#network.exports.rxQueueOpen(stack.nic.handle, queue, 1);
      this.#network.exports.rxQueueHolder(stack.nic.handle, queue, holdsPackets ? stack.membership.id : 0);
    }
    this.#setAlive(stack, true);
    this.registry.start(stack);
  }

  /** Is what a stack had being taken back? Resolves when that is done. */
  async settled(stack?: HostStack): Promise<void> {
    if (stack !== undefined) await this.#burials.get(stack);
    else await Promise.all(this.#burials.values());
  }

  /** A stack has trapped in this thread, between whose beats nothing is under way. */
  buryHere(stack: HostStack): void {
    this.#takeBack(stack, MAIN);
    if (this.#network.atSafepoint(() => this.#sweepAfter(stack))) this.registry.set(stack.membership.id, "reclaimed");
    else this.#burials.set(stack, this.#finish(stack));
  }

  /**
   * A stack in a memory of its own has stopped: nothing of it is anywhere else.
   * @param gone resolves when its thread is
   */
  buryIsolated(stack: HostStack, gone: Promise<void> = Promise.resolve()): void {
    this.registry.set(stack.membership.id, "dead");
    const burial = gone.then(() => {
      this.registry.set(stack.membership.id, "reclaimed");
      this.#burials.delete(stack);
    });
    this.#burials.set(stack, burial);
  }

  /** An isolated stack has been made anew. Is it one that had stopped? @throws {OribiError} ERR_ORIBI_STACK */
  assertStopped(stack: HostStack): void {
    if (this.registry.get(stack.membership.id).state === "reclaimed") return;
    throw new OribiError("ERR_ORIBI_STACK", `Stack "${stack.name}" runs; only one that has crashed is started again.`);
  }

  /** The thread of something that is no stack has died: what it had of its NIC, and locks of others, are taken back. */
  async buryNic(nic: UserVeth, holder: number, txQueues: number, gone: Promise<void>): Promise<void> {
    const { exports } = this.#network;
    await gone;
    this.#recoverLocks(holder);
    const repair = (): void => {
      for (let queue = 0; queue < txQueues; queue++) exports.txQueueForget(nic.handle, queue);
      this.#repairRings();
      this.#sweep(true);
    };
    while (!this.#network.atSafepoint(repair)) await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
  }

  /** A stack's thread is on its way out; `gone` resolves when it is. */
  bury(stack: HostStack, gone: Promise<void>): void {
    this.registry.set(stack.membership.id, "dead");
    const burial = gone.then(async () => {
      this.#takeBack(stack, stack.membership.id);
      await this.#finish(stack);
    });
    this.#burials.set(stack, burial);
    burial.catch(() => {}); // told to who asks: settled(), restart(), audit()
  }

  /** What needs nobody to stand still. */
  #takeBack(stack: HostStack, holder: number): void {
    const { exports } = this.#network;
    this.registry.set(stack.membership.id, "dead");
    // Locks first: what follows takes them.
    this.#recoverLocks(holder);
    this.#hostOf(stack).keeper?.fail(stack.index);
    const { core, place } = stack.stack;
    core.attach(place.base);
    core.retireRules();
    core.retirePools();
    this.#setAlive(stack, false);
    for (const queue of queuesOf(stack)) {
      exports.rxQueueOpen(stack.nic.handle, queue, 0);
      exports.rulesOfQueue(stack.nic.handle, queue, 1);
    }
    this.#redirect(stack);
  }

  #recoverLocks(holder: number): void {
    const { exports } = this.#network;
    for (const nic of this.#allNics()) {
      exports.ruleRecover(nic.handle, holder);
      for (const link of linksOf(nic)) exports.linkRecover(link, holder);
    }
  }

  #allNics(): UserVeth[] {
    return [...this.#network.hosts.map(({ nic }) => nic), ...this.#network.nics()];
  }

  async #finish(stack: HostStack): Promise<void> {
    while (!this.#network.atSafepoint(() => this.#sweepAfter(stack))) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
    }
    this.registry.set(stack.membership.id, "reclaimed");
    this.#burials.delete(stack);
  }

  /** mbuf_put: nobody else is in a stack or a NIC. */
  #sweepAfter(stack: HostStack): void {
    const { exports } = this.#network;
    const { handle } = stack.nic;
    exports.txQueueForget(handle, stack.queues.tx);
    exports.rxCachesForget(handle, stack.queues.tx);
    this.#repairRings();
    for (const queue of queuesOf(stack)) exports.rxQueueDrain(handle, queue, this.#scratch);
    const soft = stack.stack.core.softQueue(stack.index);
    if (soft !== 0) exports.softDrain(soft);
    this.#sweep(true);
    for (const host of this.#network.hosts) host.keeper?.sweep();
  }

  #repairRings(): void {
    const { exports, bridges, memory } = this.#network;
    for (const nic of this.#allNics()) {
      for (let queue = 0; queue < nic.queues; queue++) exports.rxQueueRepair(nic.handle, queue);
      const capture = new Uint32Array(memory.buffer, nic.handle + PORT_CAPTURE, 1)[0] as number;
      if (capture !== 0) exports.captureRepair(capture);
    }
    for (const bridge of bridges) exports.bridgeRepair(bridge.handle);
  }

  /** Walks every pool of every NIC; returns what is lost. */
  #sweep(frees: boolean): number {
    const { exports, hosts } = this.#network;
    let lost = 0;
    for (const { nic, stacks, first } of hosts) {
      const { core } = first.stack;
      const [soft, stride] = [core.softQueue(0), core.softStride()];
      const softs = soft === 0 ? 0 : stacks.length;
      for (let queue = 0; queue < nic.queues; queue++) {
        lost += exports.poolSweep(nic.handle, queue, soft, softs, stride, this.#scratch, Number(frees));
      }
    }
    for (const nic of this.#network.nics()) {
      for (let queue = 0; queue < nic.queues; queue++) {
        lost += exports.poolSweep(nic.handle, queue, 0, 0, 0, this.#scratch, Number(frees));
      }
    }
    return lost;
  }

  /** Leads what would come to a dead stack's queues to those of the others; without any, the NIC takes nothing. */
  #redirect(stack: HostStack): void {
    const host = this.#hostOf(stack);
    const left = host.stacks.filter((other) => this.#runs(other)).flatMap((other) => queuesOf(other));
    if (left.length === 0) {
      stack.nic.up = false;
      return;
    }
    const gone = new Set(queuesOf(stack));
    const lent = new Map<number, number>();
    for (const [index, queue] of stack.nic.rss.reta.entries()) if (gone.has(queue)) lent.set(index, queue);
    const moved = [...lent.keys()].map((index, i) => [index, left[i % left.length] as number] as const);
    stack.nic.rss.setReta(Object.fromEntries(moved));
    this.#lent.set(stack, lent);
  }

  /**
   * Starts a stack again where it was: same queues, same addresses; its sockets are gone.
   * @param prepare sets up its interface
   */
  async restart(stack: HostStack, prepare: (stack: HostStack) => void): Promise<void> {
    await this.settled(stack);
    const { id } = stack.membership;
    if (this.registry.get(id).state !== "reclaimed") {
      throw new OribiError(
        "ERR_ORIBI_STACK",
        `Stack "${stack.name}" runs; only one that has crashed is started again.`,
      );
    }
    // Business threads may still be reading what lies in the arena.
    await this.#hostOf(stack).keeper?.retire(stack.index);
    stack.stack.renew(this.#network.now());
    prepare(stack);
    stack.nic.up = true;
    stack.nic.rss.setReta(Object.fromEntries(this.#lent.get(stack) ?? []));
    this.#lent.delete(stack);
  }

  /** Looks for what belongs to nobody, while no thread is in a stack. */
  async audit(): Promise<Audit> {
    await this.settled();
    let audit = await this.#reclaimAndCount();
    // A thread that ended just between the two has left a seat that is not lost: the next look takes it back.
    for (let i = 0; i < RECOUNTS && audit.seats > 0; i++) audit = await this.#reclaimAndCount();
    return audit;
  }

  async #reclaimAndCount(): Promise<Audit> {
    const audit: Audit = { ...CLEAN_AUDIT };
    for (const { keeper } of this.#network.hosts) await keeper?.reclaimAll((work) => this.#network.atSafepoint(work));
    while (!this.#network.atSafepoint(() => this.#count(audit))) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
    }
    return audit;
  }

  #count(audit: Audit): void {
    const { exports, hosts } = this.#network;
    audit.mbufs = this.#sweep(false);
    for (const { nic, stacks, keeper } of hosts) {
      keeper?.count(audit);
      for (let queue = 0; queue < nic.queues; queue++) audit.slots += exports.rxQueueGaps(nic.handle, queue);
      for (const stack of stacks.filter((each) => !this.#runs(each))) {
        const { core } = stack.stack;
        audit.flows += core.flowEntries(stack.index);
        audit.ports += core.portEntries(stack.index);
        for (const queue of queuesOf(stack)) {
          audit.rules += exports.rulesOfQueue(nic.handle, queue, 0);
          audit.queues += Number(exports.rxQueueIsOpen(nic.handle, queue) !== 0);
        }
        for (const pool of Object.values(stack.pools())) audit.elements += pool.used;
      }
    }
  }

  #runs(stack: HostStack): boolean {
    return this.registry.get(stack.membership.id).state === "running";
  }

  #hostOf(stack: HostStack): Host {
    return this.#network.hosts.find(({ stacks }) => stacks.includes(stack)) as Host;
  }

  /** Packets are handed to a stack only while it is alive. */
  #setAlive({ membership: { group, index } }: HostStack, isAlive: boolean): void {
    if (group === 0) return;
    const mask = new BigUint64Array(this.#network.memory.buffer, group + GROUP_ALIVE, 1);
    if (isAlive) Atomics.or(mask, 0, 1n << BigInt(index));
    else Atomics.and(mask, 0, ~(1n << BigInt(index)));
  }
}

function queuesOf({ queues: { first, count } }: HostStack): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

function linksOf(nic: UserVeth): number[] {
  return Object.values(nic.links).map((link) => (link as { handle: number }).handle);
}

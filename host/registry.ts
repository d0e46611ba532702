// The registry of a network's stacks, in shared memory: who they are, where they lie, how they are.
// Read first: DESIGN.md section 4 "Manager"; the registry in assembly/layout.ts. The main thread writes, any may read.

import {
  ENTRY_ARENA,
  ENTRY_BYTES,
  ENTRY_GROUP,
  ENTRY_INDEX,
  ENTRY_PORT,
  ENTRY_QUEUE,
  ENTRY_QUEUES,
  ENTRY_STARTS,
  ENTRY_STATE,
  REGISTRY_STACKS_MAX,
  STACK_DEAD,
  STACK_FREE,
  STACK_NOW,
  STACK_RECLAIMED,
  STACK_RUNNING,
} from "../assembly/layout.ts";
import { OribiError } from "./errors.ts";
import type { HostStack } from "./host-stack.ts";
import type { SharedMemory } from "./regions.ts";

export type StackState = "free" | "running" | "dead" | "reclaimed";

const STATES: Record<number, StackState> = {
  [STACK_FREE]: "free",
  [STACK_RUNNING]: "running",
  [STACK_DEAD]: "dead",
  [STACK_RECLAIMED]: "reclaimed",
};
const NUMBERS: Record<StackState, number> = {
  free: STACK_FREE,
  running: STACK_RUNNING,
  dead: STACK_DEAD,
  reclaimed: STACK_RECLAIMED,
};

/** What the registry says of a stack. */
export interface StackEntry {
  id: number;
  state: StackState;
  /** How often it was started. */
  starts: number;
  /** Time of its latest beat, microseconds; 0 for a stack in a memory of its own. */
  beat: number;
}

/** Numbers stacks from 1 and keeps their state. */
export class Registry {
  /** Address of the entries. */
  readonly address: number;
  readonly #memory: SharedMemory;
  #next = 1;

  constructor(memory: SharedMemory, allocate: (bytes: number) => number) {
    this.#memory = memory;
    this.address = allocate(REGISTRY_STACKS_MAX * ENTRY_BYTES);
  }

  /** A number for a stack that is being made. @throws {OribiError} ERR_ORIBI_STACK when there are too many */
  number(): number {
    if (this.#next === REGISTRY_STACKS_MAX) {
      throw new OribiError("ERR_ORIBI_STACK", `A network has at most ${REGISTRY_STACKS_MAX - 1} stacks.`);
    }
    return this.#next++;
  }

  /** The stack runs from now on. */
  start({ stack, nic, queues, membership, isolation }: HostStack): void {
    const words = this.#entry(membership.id);
    // Addresses in another memory mean nothing here.
    words[ENTRY_ARENA / 4] = isolation === undefined ? stack.place.base : 0;
    words[ENTRY_PORT / 4] = isolation === undefined ? nic.handle : 0;
    words[ENTRY_QUEUE / 4] = queues.first;
    words[ENTRY_QUEUES / 4] = queues.count;
    words[ENTRY_GROUP / 4] = membership.group;
    words[ENTRY_INDEX / 4] = membership.index;
    Atomics.add(words, ENTRY_STARTS / 4, 1);
    this.set(membership.id, "running");
  }

  set(id: number, state: StackState): void {
    Atomics.store(this.#entry(id), ENTRY_STATE / 4, NUMBERS[state]);
  }

  get(id: number): StackEntry {
    const words = this.#entry(id);
    const arena = words[ENTRY_ARENA / 4] as number;
    return {
      id,
      state: STATES[Atomics.load(words, ENTRY_STATE / 4)] as StackState,
      starts: Atomics.load(words, ENTRY_STARTS / 4),
      beat: arena === 0 ? 0 : (new Float64Array(this.#memory.buffer, arena + STACK_NOW, 1)[0] as number),
    };
  }

  #entry(id: number): Uint32Array {
    return new Uint32Array(this.#memory.buffer, this.address + id * ENTRY_BYTES, ENTRY_BYTES / 4);
  }
}

// Explores a world: every fate of its first frames, as a tree whose branches are forks of the network's memory.
// Read first: network.ts; scenario.ts. A frame's fate is decided when it enters its wire, by the wire's own lists.

import { CoreTrap, toCoreTrap } from "../core.ts";
import { type FailureKind, SimulationFailure } from "../simulate/failure.ts";
import { LiveWorld, Moment } from "./network.ts";
import type { World } from "./scenario.ts";

/** What may become of a frame, and how it is written: "." passes, "x" is lost, "2" comes twice, "s" swaps. */
export type Fate = "." | "x" | "2" | "s";

/** What is tried with each of the first `frames` frames; the first fate is ".". */
export interface Exploration {
  world: World;
  fates: readonly Fate[];
  frames: number;
}

/** A promise that was broken, with the fates of the frames before: replay() takes them. */
export interface Violation {
  world: string;
  fates: string;
  kind: FailureKind;
  message: string;
}

/** What became of the frames of one wire, by their numbers on it: a bit each, as Link.setLists() takes them. */
export interface WireLists {
  drop: number;
  duplicate: number;
  swap: number;
}

/** One history that was lived again. */
export interface Replay {
  violation: Violation | undefined;
  /** The wires of host a and of host b. */
  lists: [WireLists, WireLists];
}

export interface Figures {
  /** Subsets of the frames that were covered: fates to the power of frames, over all parts. */
  subsets: number;
  /** Histories that were lived to the end: subsets that differ in frames that never were are the same one. */
  runs: number;
  /** States of the network that were reached. */
  states: number;
  /** Times that a state was forked. */
  forks: number;
  violations: Violation[];
}

export interface ExploreOptions {
  debug?: boolean;
  /** Only the part of the tree whose first frames have these fates. */
  prefix?: string;
  /** Violations after which the rest is left alone. */
  violationsMax?: number;
  capture?: string;
}

/** A moment older than so many beats is kept anew: forks live again what came since. */
const BEATS_KEPT = 3;
const VIOLATIONS_MAX = 20;

/** Explores (a part of) a tree. */
export async function explore(exploration: Exploration, options: ExploreOptions = {}): Promise<Figures> {
  const explorer = new Explorer(exploration, options);
  try {
    return explorer.run();
  } finally {
    await explorer.live.close();
  }
}

/**
 * Lives one history with a capture.
 * @throws {RangeError} when it has fewer frames than fates
 */
export async function replay(world: World, fates: string, capture: string, debug = false): Promise<Replay> {
  const exploration = { world, fates: [".", "x", "2", "s"] as const, frames: fates.length };
  const explorer = new Explorer(exploration, { prefix: fates, capture, debug });
  try {
    const { runs, violations } = explorer.run();
    const [violation] = violations;
    if (runs === 0) throw new RangeError(`"${fates}" has fates of frames that are never sent.`);
    return { violation, lists: [explorer.lists(0), explorer.lists(1)] };
  } finally {
    await explorer.live.close();
  }
}

export class Explorer {
  readonly live: LiveWorld;
  readonly #exploration: Exploration;
  readonly #prefix: readonly number[];
  readonly #violationsMax: number;
  /** The fates of the frames of the history at hand, as places in the list of fates. */
  readonly #path: Uint8Array;
  /** On whose wire each of them was, and which frame of it. */
  readonly #sides: Uint8Array;
  readonly #numbers: Uint8Array;
  readonly #moments: Moment[];
  readonly #figures: Figures = { subsets: 0, runs: 0, states: 0, forks: 0, violations: [] };

  constructor(exploration: Exploration, { debug = false, prefix = "", violationsMax, capture }: ExploreOptions) {
    const { world, fates, frames } = exploration;
    this.#exploration = exploration;
    this.#prefix = [...prefix].map((fate) => fates.indexOf(fate as Fate));
    if (this.#prefix.includes(-1)) throw new Error(`"${prefix}" has a fate that is not among "${fates.join("")}".`);
    this.#violationsMax = violationsMax ?? VIOLATIONS_MAX;
    this.#path = new Uint8Array(frames);
    this.#sides = new Uint8Array(frames);
    this.#numbers = new Uint8Array(frames);
    this.#moments = Array.from({ length: frames + 1 }, () => new Moment());
    this.live = new LiveWorld(world, { debug, capture });
  }

  run(): Figures {
    this.#go(0);
    // The choices that were not wanted have left their traces: what a prefix says is what was lived.
    this.#path.set(this.#prefix);
    this.#figures.states = this.live.beats;
    return this.#figures;
  }

  /** Goes on from a state in which the fates of the first `decided` frames are known, to every end that there is. */
  #go(decided: number): void {
    const { live } = this;
    const { frames } = this.#exploration;
    const moment = this.#moments[decided] as Moment;
    let since = BEATS_KEPT;
    for (;;) {
      if (decided < frames && since >= BEATS_KEPT) {
        live.keep(moment);
        since = 0;
      }
      since++;
      const before = live.frames(0);
      const isOver = this.#beat(decided);
      if (isOver !== false) {
        if (isOver) this.#ended(decided);
        return;
      }
      const fresh = live.frames(0) + live.frames(1) - decided;
      if (decided < frames && fresh > 0) {
        this.#branch(decided, Math.min(fresh, frames - decided), live.frames(0) - before, since);
        return;
      }
    }
  }

  /** One beat. True at the end of the history; undefined when it broke a promise there. */
  #beat(decided: number): boolean | undefined {
    try {
      return this.live.beat();
    } catch (error) {
      this.#violated(decided, error);
      return undefined;
    }
  }

  /**
   * The last beat has put `fresh` frames on the wires, the first `ofA` of them on host a's, and let all pass. Goes on
   * from there, then lives that beat again for every other choice of fates.
   */
  #branch(decided: number, fresh: number, ofA: number, since: number): void {
    const { fates } = this.#exploration;
    const choices = fates.length ** fresh;
    const before = this.live.frames(0) - ofA;
    for (let i = 0; i < fresh; i++) {
      this.#sides[decided + i] = i < ofA ? 0 : 1;
      this.#numbers[decided + i] = i < ofA ? before + i : decided - before + i - ofA;
    }
    for (let choice = 0; choice < choices; choice++) {
      for (let i = 0, rest = choice; i < fresh; i++, rest = Math.floor(rest / fates.length)) {
        this.#path[decided + i] = rest % fates.length;
      }
      if (!this.#isWanted(decided, fresh)) continue;
      if (this.#figures.violations.length >= this.#violationsMax) return;
      if (choice !== 0 && !this.#fork(decided, fresh, since)) continue;
      this.#go(decided + fresh);
    }
  }

  /** Are these fates in the part that is to be explored? */
  #isWanted(from: number, count: number): boolean {
    const end = Math.min(from + count, this.#prefix.length);
    for (let i = from; i < end; i++) if (this.#path[i] !== this.#prefix[i]) return false;
    return true;
  }

  /** Comes back to the moment before some frames and lives it with their fates on the path; false: it ended there. */
  #fork(decided: number, fresh: number, since: number): boolean {
    const { live } = this;
    live.restore(this.#moments[decided] as Moment);
    this.#figures.forks++;
    for (const side of [0, 1] as const) {
      const { drop, duplicate, swap } = this.lists(side, decided, decided + fresh);
      live.setLists(side, drop, duplicate, swap);
    }
    for (let i = 0; i < since; i++) {
      const isOver = this.#beat(decided + fresh);
      if (isOver === false) continue;
      if (isOver) this.#ended(decided + fresh);
      return false;
    }
    return true;
  }

  /** What the history at hand has done to the frames of one wire; of all frames, or of some only. */
  lists(side: 0 | 1, from = 0, end = this.#path.length): WireLists {
    const lists = { drop: 0, duplicate: 0, swap: 0 };
    for (let i = from; i < end; i++) {
      const fate = this.#exploration.fates[this.#path[i] as number];
      if (this.#sides[i] !== side || fate === ".") continue;
      const bit = (1 << (this.#numbers[i] as number)) >>> 0;
      const list = fate === "x" ? "drop" : fate === "2" ? "duplicate" : "swap";
      lists[list] = (lists[list] | bit) >>> 0;
    }
    return lists;
  }

  /** A history came to its end when the fates of `decided` frames were known: it stands for those of all others. */
  #ended(decided: number): boolean {
    const { fates, frames } = this.#exploration;
    // Frames that never were have but one history: it belongs to the part in which they pass.
    for (let i = decided; i < this.#prefix.length; i++) if (this.#prefix[i] !== 0) return false;
    this.#figures.runs++;
    this.#figures.subsets += fates.length ** (frames - Math.max(decided, this.#prefix.length));
    return true;
  }

  #violated(decided: number, error: unknown): void {
    const trap = toCoreTrap(error);
    if (!(error instanceof SimulationFailure) && !(trap instanceof CoreTrap)) throw error;
    if (!this.#ended(decided)) return;
    const { fates, world } = this.#exploration;
    const text = [...this.#path.subarray(0, decided)].map((place) => fates[place]).join("");
    const kind = error instanceof SimulationFailure ? error.kind : "trap";
    this.#figures.violations.push({ world: world.name, fates: text, kind, message: (trap as Error).message });
  }
}

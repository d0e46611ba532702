// A link seen from the host: one direction of a port's wire, its rules, its counters, its dice.
// Read first: veth/link-options.ts for the rules, veth/datapath/link.ts for what they do.

import {
  LINK_BUFFER_DROPS,
  LINK_BYTES,
  LINK_CORRUPTED,
  LINK_COUNTERS,
  LINK_DELIVERED,
  LINK_DUPLICATED,
  LINK_FRAMES,
  LINK_LISTED,
  LINK_LOST,
  LINK_OFFERED,
  LINK_PARTITIONED,
  LINK_QUEUE_DROPS,
  LINK_REORDERED,
  LINK_RULES,
  LINK_TO_HOST,
  LINK_TO_WIRE,
  PORT_MTU,
  RULES_DROP_LIST,
  RULES_DUPLICATE_LIST,
  RULES_SWAP_LIST,
} from "../assembly/layout.ts";
import { checkRules, LINK_DEFAULTS, LIST_OPTIONS, type LinkRuleOptions, writeRules } from "./link-options.ts";
import { bytesAt, readCounter, readWord, type VethModule, viewOf } from "./module.ts";
import { checkNames, checkRegion, OptionError, parseInteger, withDefaults } from "./options.ts";

/** "toWire": what the host sends. "toHost": what it receives. */
export type LinkDirection = "toWire" | "toHost";

export interface LinkOptions extends LinkRuleOptions {
  /** Seed of the link's dice: a safe integer or a 64-bit bigint. Links of one network want different ones. */
  seed?: number | bigint;
  /** Frames that can be under way; more are dropped and counted. Fixed when the link is made. */
  buffers?: number;
}

/** What a link has done, in frames; `bytes` of delivered frames. */
export interface LinkCounters {
  offered: number;
  delivered: number;
  bytes: number;
  lost: number;
  partitioned: number;
  listed: number;
  queueDrops: number;
  bufferDrops: number;
  duplicated: number;
  corrupted: number;
  reordered: number;
}

const COUNTERS: Record<keyof LinkCounters, number> = {
  offered: LINK_OFFERED,
  delivered: LINK_DELIVERED,
  bytes: LINK_BYTES,
  lost: LINK_LOST,
  partitioned: LINK_PARTITIONED,
  listed: LINK_LISTED,
  queueDrops: LINK_QUEUE_DROPS,
  bufferDrops: LINK_BUFFER_DROPS,
  duplicated: LINK_DUPLICATED,
  corrupted: LINK_CORRUPTED,
  reordered: LINK_REORDERED,
};

/** Frames under way by default: 4,096, about 6 MiB, of which only what is used is ever touched. */
export const LINK_BUFFERS = 4096;

/** Where a link lies, as plain data: for workers. */
export interface LinkDescription {
  kind: "link";
  handle: number;
  direction: LinkDirection;
  rules: Required<LinkRuleOptions>;
}

/** One direction of the wire between a port and what it is plugged into. */
export class Link {
  readonly handle: number;
  readonly direction: LinkDirection;
  readonly #module: VethModule;
  #rules: Readonly<Required<LinkRuleOptions>>;
  #isOpen = true;

  private constructor(
    module: VethModule,
    handle: number,
    direction: LinkDirection,
    rules: Readonly<Required<LinkRuleOptions>>,
  ) {
    this.#module = module;
    this.handle = handle;
    this.direction = direction;
    this.#rules = rules;
  }

  /** Makes a link and puts it between `port` (a handle) and its wire. @throws {OptionError} */
  static create(module: VethModule, port: number, direction: LinkDirection, options: LinkOptions = {}): Link {
    checkLink(options);
    const { seed = 0, buffers = LINK_BUFFERS, ...rules } = options;
    const merged = Object.freeze(withDefaults(LINK_DEFAULTS, rules));
    const seedWords = parseSeed(seed);
    const frameBytes = readWord(module, port + PORT_MTU) + 18;
    checkRegion("link.buffers", buffers, buffers * (frameBytes + 256));
    const handle = module.allocate(module.exports.linkBytes(buffers, frameBytes) >>> 0);
    module.exports.linkInit(handle, port, direction === "toWire" ? LINK_TO_WIRE : LINK_TO_HOST, buffers, frameBytes);
    module.exports.linkSeed(handle, ...seedWords);
    const link = new Link(module, handle, direction, merged);
    link.#apply(true);
    module.exports.linkAttach(handle);
    return link;
  }

  static attach(module: VethModule, description: LinkDescription): Link {
    return new Link(module, description.handle, description.direction, Object.freeze({ ...description.rules }));
  }

  describe(): LinkDescription {
    return { kind: "link", handle: this.handle, direction: this.direction, rules: { ...this.#rules } };
  }

  /** The rules in force, as this object last set them. */
  get rules(): Readonly<Required<LinkRuleOptions>> {
    return this.#rules;
  }

  /**
   * Changes some rules; the others stay. Safe while traffic is flowing. Frames under way keep their times.
   * @throws {OptionError} and nothing has changed
   */
  set(options: LinkRuleOptions): void {
    const merged = Object.freeze(withDefaults(this.#rules, options));
    writeRules(new DataView(new ArrayBuffer(256)), 0, merged);
    this.#rules = merged;
    this.#apply(LIST_OPTIONS.some((name) => options[name] !== undefined));
  }

  /**
   * Says of which frames that are still to come the lists speak, without starting their numbers again: bit k of each
   * number is the frame k (0 to 31) since the lists were last set. The rules as this object tells them do not change.
   */
  setLists(drop: number, duplicate: number, swap: number): void {
    const view = viewOf(this.#module);
    const at = this.handle + LINK_RULES;
    view.setUint32(at + RULES_DROP_LIST, drop, true);
    view.setUint32(at + RULES_DUPLICATE_LIST, duplicate, true);
    view.setUint32(at + RULES_SWAP_LIST, swap, true);
    this.#module.exports.linkApply(this.handle, 0);
  }

  /** Frames that the rules have judged since the lists were last set. */
  get judged(): number {
    return readCounter(this.#module, this.handle + LINK_FRAMES);
  }

  /** @internal the rules were brought back with the memory */
  restored(rules: Readonly<Required<LinkRuleOptions>>): void {
    this.#rules = rules;
  }

  /** Switches every rule off. */
  reset(): void {
    this.#rules = LINK_DEFAULTS;
    this.#apply(true);
  }

  /** Seeds the dice anew. */
  seed(seed: number | bigint): void {
    this.#module.exports.linkSeed(this.handle, ...parseSeed(seed));
  }

  counters(): LinkCounters {
    const counters = {} as LinkCounters;
    for (const [name, index] of Object.entries(COUNTERS)) {
      counters[name as keyof LinkCounters] = readCounter(this.#module, this.handle + LINK_COUNTERS + index * 8);
    }
    return counters;
  }

  /** Frames under way. */
  get inFlight(): number {
    return this.#module.exports.linkInFlight(this.handle);
  }

  /** When poll() has something to do, microseconds; Infinity = never. */
  get nextDue(): number {
    return this.#module.exports.linkNextDue(this.handle);
  }

  /** Moves what is due at `now`, microseconds. The port's bursts do this as well. @returns frames moved */
  poll(now: number): number {
    return this.#module.exports.linkPoll(this.handle, now);
  }

  /** Takes the link out of the wire. @returns frames that were under way and are lost */
  close(): number {
    if (!this.#isOpen) return 0;
    this.#isOpen = false;
    const lost = this.#module.exports.linkDetach(this.handle);
    if (this.#module.free !== undefined) {
      bytesAt(this.#module, this.handle, 4).fill(0);
      this.#module.free(this.handle);
    }
    return lost;
  }

  #apply(restart: boolean): void {
    writeRules(viewOf(this.#module), this.handle + LINK_RULES, this.#rules);
    this.#module.exports.linkApply(this.handle, Number(restart));
  }
}

/** Throws when options of a link cannot be. @throws {OptionError} */
export function checkLink(options: LinkOptions): void {
  checkNames("link", options, ["seed", "buffers", ...Object.keys(LINK_DEFAULTS)]);
  const { seed = 0, buffers = LINK_BUFFERS, ...rules } = options;
  parseInteger("link.buffers", buffers, 1, 1048576);
  parseSeed(seed);
  checkRules(rules);
}

function parseSeed(seed: number | bigint): [low: number, high: number] {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed)) {
    throw new OptionError("link.seed", seed, "a safe integer or a bigint");
  }
  const bits = BigInt.asUintN(64, BigInt(seed));
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

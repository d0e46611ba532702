// The links of a network's hosts: their rules and seeds, and which of them this thread polls.
// Read first: veth/link.ts.

import { checkLink, OptionError, LinkDirectory } from "../veth/index.ts";
import type { Link, LinkDirection, LinkOptions, VethModule } from "../veth/index.ts";
import type { Host, HostLink } from "./host.ts";
import type { HostStack } from "./host-stack.ts";
import { seedWords } from "./seed.ts";

const DIRECTIONS = ["toWire", "toHost"] as const;

/**
 * What a host's `link` says of each direction of its wire, checked as a whole: rules for both, or for each its own.
 * @throws {OptionError}
 */
export function directionsOf(link: HostLink): Partial<Record<LinkDirection, LinkOptions>> {
  if (typeof link !== "object" || link === null || !DIRECTIONS.some((name) => name in link)) {
    checkLink(link as LinkOptions);
    return { toWire: link as LinkOptions, toHost: link as LinkOptions };
  }
  const beside = Object.keys(link).find((name) => !(DIRECTIONS as readonly string[]).includes(name));
  if (beside !== undefined) {
    const value = (link as Record<string, unknown>)[beside];
    throw new OptionError(`link.${beside}`, value, "inside toWire or toHost, where one of them is given");
  }
  const both = link as Partial<Record<LinkDirection, LinkOptions>>;
  for (const direction of DIRECTIONS) if (both[direction] !== undefined) checkLink(both[direction]);
  return both;
}

/** The links that this thread polls are in a directory; the others are polled by the threads of their hosts. */
export class HostLinks {
  readonly #directory: LinkDirectory;
  readonly #seed: number | string;
  #count = 0;

  constructor(veth: VethModule, seed: number | string) {
    this.#directory = LinkDirectory.create(veth);
    this.#seed = seed;
  }

  /** Moves what is due; returns how many frames. */
  poll(now: number): number {
    return this.#count > 0 ? this.#directory.poll(now) : 0;
  }

  /** When poll() will have something to do, microseconds; Infinity: never. */
  get nextDeadline(): number {
    return this.#count > 0 ? this.#directory.nextDeadline : Infinity;
  }

  /**
   * Puts links into a host's wire, or changes the rules of those that are there.
   * @throws {OptionError} and nothing has changed
   */
  set(host: Host, link: HostLink): void {
    const both = directionsOf(link);
    for (const direction of DIRECTIONS) {
      const options = both[direction];
      if (options === undefined) continue;
      const before = host.nic.links[direction];
      const words = seedWords(this.#seed, `link ${host.name} ${direction}`);
      const seed = BigInt(words[0] ?? 0) | (BigInt(words[1] ?? 0) << 32n);
      const after = host.nic.setLink(direction, before === undefined ? { seed, ...options } : options);
      if (after === before) continue;
      if (before !== undefined && this.#directory.remove(before)) this.#count--;
      if (host.stacks.every(({ thread }) => thread === "worker")) continue;
      this.#directory.add(after);
      this.#count++;
    }
  }

  /** A stack of a host is this thread's now, or another's. The host's links are here while one of its stacks is. */
  own(host: Host, stack: HostStack, owns: boolean): void {
    if (host.stacks.some((other) => other !== stack && other.thread !== "worker")) return;
    for (const link of Object.values(host.nic.links) as Link[]) {
      if (!owns) this.#directory.remove(link);
      else this.#directory.add(link);
      this.#count += owns ? 1 : -1;
    }
  }
}

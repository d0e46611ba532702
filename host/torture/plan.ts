// The decisions of a torture: sizes of pools, wires, and one step after the other: who is ended, how, and when; which
// entries of which redirection table move. All of it comes from the seed and replays with it. When a victim's thread
// gets to feel it, and what it is doing then, is the machine's choice: real threads cannot be replayed.
// Read first: run.ts, which carries it out.

import type { StackOptions } from "../stack-options.ts";
import type { ShareOptions } from "../share.ts";
import { Dice } from "../simulate/dice.ts";
import type { LinkOptions } from "../../veth/index.ts";
import { CLIENT, SERVER } from "./board.ts";
import { BYTES_MAX } from "./pattern.ts";
import { RELISTEN_WAYS } from "./relisten.ts";

/** How a stack's thread or a business thread is ended. */
export type How = "kill" | "trap" | "hang" | "throw" | "exit";

export interface Victim {
  what: "stack" | "thread";
  side: number;
  index: number;
  how: How;
}

/** One step: after a while somebody is ended, or traffic is led elsewhere. */
export interface Step {
  number: number;
  waitMillis: number;
  victims: Victim[];
  /** Entries of a redirection table and the queues that they are to lead to. */
  reta: { side: number; entries: Record<number, number> } | undefined;
  /** A thread of the server that is to end its listener and have it listen again, and how (RELISTEN_WAYS). */
  relisten: { thread: number; way: number } | undefined;
}

export interface Settings {
  stack: StackOptions;
  share: ShareOptions;
  link: LinkOptions | undefined;
  ringSize: number;
  bytesMax: number;
}

export interface PlanOptions {
  seed: number;
  model: "shared" | "separate";
  stacks: number;
  threads: number;
  connections: number;
}

/** Entries of a redirection table. */
const RETA = 128;
const WAIT_MILLIS_MAX = 60;

/** Makes decisions, always the same for a seed and its options. */
export class Plan {
  readonly settings: Settings;
  readonly #options: PlanOptions;
  readonly #dice: Dice;
  #number = 0;

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#dice = new Dice(options.seed, `torture ${options.model}`);
    this.settings = this.#draw();
  }

  /** Small pools: shortage is part of the torture, but for connections, whose want would break them by itself. */
  #draw(): Settings {
    const dice = this.#dice;
    const { connections, threads } = this.#options;
    const held = connections * 4 + 64;
    return {
      stack: {
        connections: held,
        timeWaits: dice.whole(64, 4096),
        sockets: 64,
        epollItems: held * 2,
        mbufs: dice.log(256, 2048),
        chunks: dice.log(512, 8192),
        largeChunks: dice.whole(0, 32),
        flights: held,
        segments: dice.log(2048, 32768),
        islands: dice.log(64, 4096),
      },
      share: {
        threads: threads + 6,
        epolls: 64,
        sendBuffers: dice.log(16, 512),
        largeSendBuffers: dice.whole(0, 8),
        callsPerBeat: dice.whole(1, 16),
      },
      link: dice.chance(0.5) ? { delay: `${dice.whole(50, 500)}us`, loss: dice.real(0, 0.01) } : undefined,
      ringSize: dice.pick([64, 128, 256, 512]),
      bytesMax: dice.log(2048, BYTES_MAX / 4),
    };
  }

  next(): Step {
    const dice = this.#dice;
    const step: Step = {
      number: ++this.#number,
      waitMillis: dice.log(1, WAIT_MILLIS_MAX),
      victims: [],
      reta: undefined,
      relisten: undefined,
    };
    if (dice.chance(0.2)) return { ...step, reta: this.#reta() };
    if (dice.chance(0.25)) return { ...step, relisten: this.#relisten() };
    step.victims.push(this.#victim());
    // Now and then two at once.
    const other = this.#victim();
    const [first] = step.victims as [Victim];
    const isOther = other.what !== first.what || other.side !== first.side || other.index !== first.index;
    if (dice.chance(0.1) && isOther) step.victims.push(other);
    return step;
  }

  #reta(): Step["reta"] {
    const dice = this.#dice;
    const entries: Record<number, number> = {};
    for (let i = dice.whole(1, 32); i > 0; i--)
      entries[dice.whole(0, RETA - 1)] = dice.whole(0, this.#options.stacks - 1);
    return { side: dice.pick([SERVER, CLIENT]), entries };
  }

  #relisten(): Step["relisten"] {
    const { model, stacks, threads } = this.#options;
    const thread = this.#dice.whole(0, (model === "separate" ? threads : stacks) - 1);
    return { thread, way: this.#dice.whole(0, RELISTEN_WAYS.length - 1) };
  }

  #victim(): Victim {
    const dice = this.#dice;
    const { model, stacks, threads } = this.#options;
    const side = dice.pick([SERVER, CLIENT]);
    const isThread = model === "separate" && dice.chance(0.45);
    if (isThread) {
      const how = dice.pick<How>(["kill", "kill", "kill", "kill", "throw", "exit"]);
      return { what: "thread", side, index: dice.whole(0, threads - 1), how };
    }
    // In the shared model an application's error or exit leaves its stack whole: the next one goes on with it.
    const ends: How[] = model === "shared" ? ["throw", "exit"] : [];
    const how = dice.chance(0.01) ? "hang" : dice.pick<How>(["kill", "kill", "kill", "kill", "kill", "trap", ...ends]);
    return { what: "stack", side, index: dice.whole(0, stacks - 1), how };
  }
}

/** A step in words. */
export function describe({ number, waitMillis, victims, reta, relisten }: Step): string {
  const name = (side: number): string => (side === SERVER ? "server" : "client");
  const words = victims.map(({ what, side, index, how }) => `${how} ${name(side)} ${what} ${index}`);
  if (reta !== undefined) words.push(`move ${Object.keys(reta.entries).length} RETA entries of the ${name(reta.side)}`);
  if (relisten !== undefined) {
    words.push(`${RELISTEN_WAYS[relisten.way]} by server thread ${relisten.thread}, and listen() again`);
  }
  return `step ${number}: after ${waitMillis} ms ${words.join(" and ")}`;
}

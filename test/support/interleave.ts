// Every interleaving of small programs of atomic actions over a shared state: what a protocol can do, all of it.
// Read first: L. Lamport, "Specifying Systems", chapter 2, for the idea of states and steps.

/**
 * One atomic action of a thread: nothing (the next one follows), the name of the action to go to, BLOCKED (it cannot
 * happen now), or ENDED.
 */
export type Action<S> = (state: S, me: number) => string | void;
export const BLOCKED = "blocked";
export const ENDED = "ended";

/** A program: its actions in order, by name. */
export type Program<S> = Record<string, Action<S>>;

export interface Explored<S> {
  /** Different states that can be reached. */
  states: number;
  /** Those in which nobody can go on, and which are bad. */
  bad: S[];
}

/**
 * What the machine and the compiler may make of a program in which `name` is a plain load: it may be carried out before
 * any of the actions before it (all programs, the given one first).
 */
export function loadedEarly<S>(program: Program<S>, name: string): Program<S>[] {
  const names = Object.keys(program);
  const from = names.indexOf(name);
  return Array.from({ length: from + 1 }, (_, i) => moved(program, from, from - i));
}

/** The same for a plain store: others may see it after any of the actions behind it. */
export function storedLate<S>(program: Program<S>, name: string): Program<S>[] {
  const names = Object.keys(program);
  const from = names.indexOf(name);
  return Array.from({ length: names.length - from }, (_, i) => moved(program, from, from + i));
}

function moved<S>(program: Program<S>, from: number, to: number): Program<S> {
  const entries = Object.entries(program);
  entries.splice(to, 0, ...entries.splice(from, 1));
  return Object.fromEntries(entries);
}

/**
 * Runs programs in every order from `start`, which must be plain data.
 * @param mayDie a thread that may stop for good before any of its actions; the state's `dead` is true from then on
 * @param isBad asked of states in which no thread can go on
 */
export function explore<S extends object>(
  programs: readonly Program<S>[],
  start: S,
  isBad: (state: S, at: readonly string[]) => boolean,
  mayDie = -1,
): Explored<S> {
  const names = programs.map((program) => Object.keys(program));
  const seen = new Set<string>();
  const bad: S[] = [];
  const todo: { state: S; at: string[] }[] = [{ state: start, at: names.map((list) => list[0] as string) }];
  for (let one = todo.pop(); one !== undefined; one = todo.pop()) {
    const key = JSON.stringify(one);
    if (seen.has(key)) continue;
    seen.add(key);
    const { state, at } = one;
    let isStuck = true;
    programs.forEach((program, me) => {
      const name = at[me] as string;
      const action = program[name];
      if (action === undefined) return;
      if (me === mayDie) todo.push({ state: { ...state, dead: true }, at: at.with(me, "dead") });
      const next = structuredClone(state);
      const to = action(next, me);
      if (to === BLOCKED) return;
      isStuck = false;
      const list = names[me] as string[];
      todo.push({ state: next, at: at.with(me, to ?? list[list.indexOf(name) + 1] ?? ENDED) });
    });
    if (isStuck && isBad(state, at)) bad.push(state);
  }
  return { states: seen.size, bad };
}

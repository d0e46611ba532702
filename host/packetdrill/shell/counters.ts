// Assertions on Linux's counters: `nstat | grep TcpExtBeyondWindow | grep -q " 3 "`.
// Read first: nstat(8): it shows what has grown since it was run last, and only that.

import type { CounterEffect, ShellEffect, Status } from "./effects.ts";

/** What of a pattern only stands for blanks. */
const BLANK_PATTERNS = /\[\[:(?:space|blank):\]\]|\\[sb<>]|[.*+^$]/g;
const PATTERN = /^\s*([A-Za-z][A-Za-z0-9]*)?\s*([0-9]+)?\s*$/;

/** Whether a pipeline is about counters. */
export function isCounters(pipeline: readonly (readonly string[])[]): boolean {
  return programOf(pipeline[0]?.[0]) === "nstat";
}

/**
 * nstat and the greps behind it.
 * @param pipeline the words of each command
 */
export function runCounters(pipeline: readonly (readonly string[])[], effects: ShellEffect[]): Status {
  const [nstat = [], ...greps] = pipeline;
  const what = pipeline.map((words) => words.join(" ")).join(" | ");
  const flags = nstat.slice(1).filter((word) => word.startsWith("-"));
  const has = (letter: string, long: string) =>
    flags.some((flag) => flag === `--${long}` || (/^-\w/.test(flag) && flag.slice(1).includes(letter)));
  const absolute = has("a", "ignore");
  const seen = () => {
    if (!has("s", "noupdate")) effects.push({ kind: "counters-seen" });
  };
  if (greps.length === 0) {
    effects.push({ kind: "ignored", what });
    seen();
    return 0;
  }
  const assertion = assertionOf(nstat, greps);
  if (assertion === undefined || has("n", "nooutput") || (has("z", "zeros") && assertion.relation === ">")) {
    effects.push({ kind: "refused", what, why: 'of counters, nstat | grep NAME | grep -q " N " is interpreted' });
    seen();
    return undefined;
  }
  effects.push({ ...assertion, since: absolute ? "start" : "seen" });
  seen();
  return undefined;
}

/** A counter's name must come first, in nstat's own arguments or in a grep; then a number may come. */
function assertionOf(
  nstat: readonly string[],
  greps: readonly (readonly string[])[],
): Omit<CounterEffect, "since"> | undefined {
  let name = nstat.slice(1).find((word) => !word.startsWith("-"));
  let value: number | undefined;
  for (const words of greps) {
    const flags = words.slice(1).filter((word) => /^-\w/.test(word));
    const [pattern, ...more] = words.slice(1).filter((word) => !flags.includes(word));
    if (programOf(words[0]) !== "grep" || pattern === undefined || more.length > 0) return undefined;
    if (!flags.every((flag) => /^-[qwEFse]+$/.test(flag))) return undefined;
    const [, named, amount] = PATTERN.exec(pattern.replace(BLANK_PATTERNS, " ")) ?? [];
    if ((named === undefined) === (name === undefined) || (named === undefined && amount === undefined))
      return undefined;
    name ??= named;
    if (amount !== undefined) value = Number(amount);
  }
  if (name === undefined) return undefined;
  const base = { kind: "assert-counter", name } as const;
  return value === undefined ? { ...base, relation: ">", value: 0 } : { ...base, relation: "==", value };
}

function programOf(word: string | undefined): string {
  return word?.slice(word.lastIndexOf("/") + 1) ?? "";
}

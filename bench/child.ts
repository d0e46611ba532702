// Runs one row in a process of its own: what another row left in the heap, in compiled code or in the kernel does not
// reach it, and the figure is the same whether the row runs alone or with all the others.
// Read first: node:child_process fork.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Measured, RunOptions } from "./row.ts";
import { loadRow } from "./rows.ts";

/** What the child is told. */
interface Order {
  name: string;
  options: RunOptions;
}

/** A row that takes longer than this hangs, milliseconds. */
const MILLIS_MAX = 120_000;

/**
 * Measures a row in a child process.
 * @throws {Error} when the row fails or the child ends without an answer
 */
export function measureApart(name: string, options: RunOptions, signal?: AbortSignal): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ["--row"], {
      execArgv: [...process.execArgv, "--expose-gc"],
      timeout: MILLIS_MAX,
      ...(signal === undefined ? {} : { signal }),
    });
    let answer: Measured | undefined;
    child.on("message", (message) => (answer = message as Measured));
    child.on("error", reject);
    child.on("exit", (code, ended) => {
      if (answer !== undefined) resolve(answer);
      else reject(new Error(`${name}: its process ended with ${ended ?? `status ${code}`}`));
    });
    child.send({ name, options } satisfies Order);
  });
}

async function measureHere({ name, options }: Order): Promise<void> {
  const row = await loadRow(name);
  const measured = await row.measure(options);
  process.send?.(measured, () => process.disconnect());
}

if (process.argv[2] === "--row" && process.send !== undefined) {
  process.once("message", (order) => void measureHere(order as Order));
}

// What a worker thread of `oribi packetdrill` runs: one piece of a collection after another.

import { runFile, type ScriptTask } from "./batch.ts";
import type { ScriptResult } from "./run.ts";

export default async function ({ files, options }: ScriptTask): Promise<ScriptResult[]> {
  const results: ScriptResult[] = [];
  for (const file of files) results.push(await runFile(file, options));
  return results;
}

// What a worker thread of the explorer runs: one part of a tree after another.

import { explorePart, type Part } from "./batch.ts";
import type { Figures } from "./explorer.ts";

export default function (part: Part): Promise<Figures> {
  return explorePart(part);
}

// The corpus: good frames of every kind, from text files with one frame a line, "name: hex".

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A frame to start from. */
export interface Sample {
  name: string;
  frame: Uint8Array;
}

const FOLDER = fileURLToPath(new URL("../../../test/fuzz/corpus/", import.meta.url));

/** Reads every file of a folder. @throws {Error} for a line that is no frame */
export function readCorpus(folder = FOLDER): Sample[] {
  const files = readdirSync(folder).filter((file) => file.endsWith(".hex"));
  const samples = files.sort().flatMap((file) => {
    const lines = readFileSync(`${folder}/${file}`, "utf8").split("\n");
    return lines.flatMap((line, i) => (line === "" || line.startsWith("#") ? [] : [sample(line, `${file}:${i + 1}`)]));
  });
  if (samples.length === 0) throw new Error(`There is no frame in ${folder}.`);
  return samples;
}

function sample(line: string, place: string): Sample {
  const match = /^(.+): ((?:[0-9a-f]{2})+)$/.exec(line);
  if (match === null) throw new Error(`${place} is no "name: hex".`);
  return { name: match[1]!, frame: Uint8Array.from(Buffer.from(match[2]!, "hex")) };
}

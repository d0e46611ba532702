// Runs every script of test/packetdrill/. To add one, put it there.
// Read first: host/packetdrill/run.ts.

import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { findScripts, runScript } from "../host/index.ts";

const folder = fileURLToPath(new URL("../../test/packetdrill", import.meta.url));

describe("packetdrill: the collection", () => {
  const files = findScripts([folder]);

  for (const file of files) {
    const name = relative(folder, file).replace(/\.pkt$/, "");
    it(name, () => {
      const result = runScript(readFileSync(file, "utf8"), file);
      const { status, line, message, expected = "", actual = "", wire } = result;
      const story = [`${name}:${line}: ${message}`, expected, actual, ...wire].join("\n");
      expect(status, story).to.equal("ok");
    });
  }

  it("gives the same result every time, packet for packet", () => {
    for (const file of files) {
      const text = readFileSync(file, "utf8");
      const [first, second] = [1, 2].map(() => runScript(text, file, { listAll: true }));
      expect(second, file).to.deep.equal(first);
    }
  });
});

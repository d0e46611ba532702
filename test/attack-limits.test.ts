// The README's table of limits: every default in it is the one in the code, every limit of the attack tests is in it.
// Read first: README.md, "Limits".

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { createNetwork, type Host, type Network, STACK_DEFAULTS } from "../host/index.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Row {
  what: string;
  by: string;
  file: string;
  value: number;
}

/** The rows of the table. */
function limits(): Row[] {
  const text = readFileSync(`${root}README.md`, "utf8");
  const section = /^## Limits$([\s\S]*?)^## /m.exec(text)?.[1] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((line) => {
    const [, , what = "", by = "", value = ""] = line.split("|").map((cell) => cell.trim());
    const [, name = "", file = ""] = /^`([^`]+)`(?: (assembly\/\S+))?/.exec(by) ?? [];
    return { what, by: name, file, value: Number(value) };
  });
}

/** The value of a constant of the core's sources. */
function constant(name: string, file: string): number {
  const found = new RegExp(`const ${name}: [ui]32 = (\\d+);`).exec(readFileSync(`${root}${file}`, "utf8"));
  return Number(found?.[1]);
}

describe("the table of limits in the README", () => {
  let network: Network;
  let host: Host;
  before(() => {
    network = createNetwork({ seed: 1, time: "virtual" });
    host = network.host("a", { address: "10.0.0.1/24" });
  });
  after(() => network.close());

  for (const { what, by, file, value } of limits()) {
    it(`${by} = ${value}: ${what}`, () => {
      if (file !== "") expect(constant(by, file)).to.equal(value);
      else if (by.startsWith("stack.")) {
        expect(STACK_DEFAULTS[by.slice(6) as keyof typeof STACK_DEFAULTS]).to.equal(value);
      } else expect(host.sysctl(by)).to.equal(value);
    });
  }

  it("has a row for each", () => {
    const rows = limits();
    expect(rows).to.have.length.above(20);
    expect(new Set(rows.map(({ by }) => by)).size).to.equal(rows.length);
    for (const { what, value } of rows) expect(value, what).to.be.above(0);
  });
});

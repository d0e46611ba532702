// The table of RFC 9293's requirements is whole, and what it names exists and passes.
// Read first: rfc9293-requirements.ts.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { runScript } from "../host/index.ts";
import { REQUIREMENTS } from "./rfc9293-requirements.ts";

const here = (path: string): string => fileURLToPath(new URL(`../../test/${path}`, import.meta.url));
const rows = [...REQUIREMENTS.values()].flat();

/** How many ids of each kind the appendix has: they are numbered from 1 without a gap. */
const IDS = { MUST: 69, SHLD: 31, MAY: 18, REC: 1 };
/** Ids with several rows. */
const REPEATED = { "SHLD-5": 2, "MUST-15": 2, "MUST-20": 2, "MUST-46": 2, "MUST-56": 3, "MUST-57": 2 };
const HEADINGS = 20;

describe("RFC 9293, appendix B", () => {
  it("is there row for row", () => {
    const wanted = Object.entries(IDS).flatMap(([kind, most]) =>
      Array.from({ length: most }, (_, i) => `${kind}-${i + 1}`).flatMap((id): string[] =>
        Array<string>(Object.hasOwn(REPEATED, id) ? REPEATED[id as keyof typeof REPEATED] : 1).fill(id),
      ),
    );
    expect(rows.map(([id]) => id)).to.have.members(wanted);
    expect(REQUIREMENTS.size).to.equal(HEADINGS);
    for (const [id, what, section] of rows) {
      expect(what, id).to.match(/^\S.{3,60}$/);
      expect(section, id).to.match(/^3(\.\d+)+$/);
    }
  });

  for (const [id, what, , { scripts = [], tests = [], reason = "" }] of rows) {
    it(`${id}: ${what}`, () => {
      expect(scripts.length + tests.length > 0 || reason.length > 10, "shown, or a reason").to.equal(true);
      for (const name of scripts) {
        const file = here(`packetdrill/${name}.pkt`);
        const { status, line, message } = runScript(readFileSync(file, "utf8"), file);
        expect(status, `${name}:${line}: ${message}`).to.equal("ok");
      }
      for (const [name, title] of tests) {
        const file = here(`${name}.test.ts`);
        expect(existsSync(file), file).to.equal(true);
        expect(readFileSync(file, "utf8"), title).to.match(titled(title));
      }
    });
  }

  after(() => {
    const kinds = new Map<string, { all: number; shown: number }>();
    for (const [id, , , { reason = "" }] of rows) {
      const kind = id.replace(/-\d+$/, "");
      const sum = kinds.get(kind) ?? { all: 0, shown: 0 };
      kinds.set(kind, { all: sum.all + 1, shown: sum.shown + Number(reason === "") });
    }
    const parts = [...kinds].map(([kind, { all, shown }]) => `${kind} ${shown} of ${all}`);
    process.stdout.write(`    shown by a script or a test: ${parts.join(", ")}; the others have their reason\n`);
  });
});

/** A test's title in its source: `it("title"` or with backticks, as written. */
function titled(title: string): RegExp {
  return new RegExp(`\\bit\\(["\`]${title.replace(/[$(){}.*+?^|[\]\\]/g, "\\$&")}["\`]`);
}

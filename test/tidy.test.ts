// Holds every source file to the rules of tidy.ts, and the rules to violations planted in strings.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { LINES_MAX, tidy, WIDTH_MAX } from "./tidy.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const HEAD = "// A head.\n";

function sources(folder: string): string[] {
  const entries = readdirSync(root + folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(ts|js|mjs)$/.test(entry.name))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length).replaceAll("\\", "/"));
}

describe("tidy: the sources", () => {
  for (const folder of ["assembly", "veth", "host", "bench", "test", ".ci"]) {
    it(`keeps the rules in ${folder}/`, () => {
      const files = sources(folder);
      expect(files, "files found").to.not.be.empty;
      const violations = files.flatMap((file) => tidy(file, readFileSync(root + file, "utf8")));
      expect(violations.join("\n")).to.equal("");
    });
  }
});

describe("tidy: import directions (DESIGN.md section 1)", () => {
  const allowed: [path: string, imported: string][] = [
    ["assembly/tcp/input.ts", "../layout"],
    ["assembly/tcp/input.ts", "./output"],
    ["assembly/layout.ts", "./memory/pool"],
    ["veth/datapath/nic.ts", "./rss"],
    ["veth/datapath/nic.ts", "../../assembly/layout"],
    ["veth/datapath/nic.ts", "../../assembly/memory/ring"],
    ["veth/datapath/nic.ts", "../../assembly/wire/checksum"],
    ["veth/nic.ts", "./port.ts"],
    ["veth/dpdk/pmd.ts", "../port.ts"],
    ["veth/nic.ts", "../assembly/layout.ts"],
    ["veth/nic.ts", "node:fs"],
    ["host/network.ts", "./posix/socket.ts"],
    ["host/network.ts", "../veth/port.ts"],
    ["host/network.ts", "../assembly/layout.ts"],
    ["host/threads/shared.ts", "piscina"],
    ["bench/command.ts", "../host/index.ts"],
    ["bench/compare.ts", "tinybench"],
    ["test/core.test.ts", "../assembly/layout.ts"],
    ["test/core.test.ts", "chai"],
  ];
  for (const [path, imported] of allowed) {
    it(`lets ${path} import ${imported}`, () => {
      expect(tidy(path, `${HEAD}import { x } from "${imported}";\n`)).to.deep.equal([]);
    });
  }

  const forbidden: [path: string, imported: string][] = [
    ["assembly/stack.ts", "../veth/datapath/index"],
    ["assembly/stack.ts", "../host/core"],
    ["assembly/stack.ts", "node:fs"],
    ["assembly/stack.ts", "./layout.ts"],
    ["veth/datapath/nic.ts", "../../assembly/tcp/input"],
    ["veth/datapath/nic.ts", "../../assembly/wire/tcp"],
    ["veth/datapath/nic.ts", "../port"],
    ["veth/datapath/nic.ts", "node:fs"],
    ["veth/nic.ts", "../assembly/memory/ring.ts"],
    ["veth/nic.ts", "./datapath/nic.ts"],
    ["veth/nic.ts", "../host/core.ts"],
    ["veth/nic.ts", "piscina"],
    ["veth/nic.ts", "./port.js"],
    ["veth/nic.ts", "./port"],
    ["host/network.ts", "../assembly/stack.ts"],
    ["host/network.ts", "../veth/datapath/nic.ts"],
    ["host/network.ts", "../bench/rows.ts"],
    ["host/network.ts", "../test/tidy.ts"],
    ["host/network.ts", "chai"],
  ];
  for (const [path, imported] of forbidden) {
    it(`forbids ${path} to import ${imported}`, () => {
      expect(tidy(path, `${HEAD}import { x } from "${imported}";\n`)).to.have.length.above(0);
    });
  }

  it("sees every form of import", () => {
    for (const form of [
      'import "../bench/rows.ts";',
      'import type { A } from "../bench/rows.ts";',
      'export * from "../bench/rows.ts";',
      'export { a } from "../bench/rows.ts";',
      'const rows = await import("../bench/rows.ts");',
    ]) {
      expect(tidy("host/network.ts", `${HEAD}${form}\n`), form).to.have.lengthOf(1);
    }
  });

  it("does not take a comment or a string for an import", () => {
    const text = `${HEAD}// import { a } from "chai";\nconst s = 'import "chai"';\n`;
    expect(tidy("host/network.ts", text)).to.deep.equal([]);
  });
});

describe("tidy: heads and sizes", () => {
  it("wants a comment on the first line, or behind the interpreter line", () => {
    expect(tidy("host/a.ts", "export const a = 1;\n")).to.have.lengthOf(1);
    expect(tidy("host/a.ts", "")).to.have.lengthOf(1);
    expect(tidy("host/cli/main.ts", "#!/usr/bin/env node\nexport const a = 1;\n")).to.have.lengthOf(1);
    expect(tidy("host/cli/main.ts", `#!/usr/bin/env node\n${HEAD}`)).to.deep.equal([]);
  });

  it(`refuses lines of more than ${WIDTH_MAX} columns`, () => {
    expect(tidy("host/a.ts", `${HEAD}// ${"x".repeat(WIDTH_MAX - 3)}\n`)).to.deep.equal([]);
    expect(tidy("host/a.ts", `${HEAD}// ${"x".repeat(WIDTH_MAX - 2)}\n`)[0]).to.match(/^host\/a\.ts:2: 121 columns/);
  });

  it(`refuses files of more than ${LINES_MAX} lines`, () => {
    expect(tidy("host/a.ts", HEAD.repeat(LINES_MAX))).to.deep.equal([]);
    expect(tidy("host/a.ts", HEAD.repeat(LINES_MAX + 1))).to.have.lengthOf(1);
  });
});

describe("tidy: leftovers", () => {
  it("refuses the console in the library, and nowhere else", () => {
    for (const path of ["assembly/a.ts", "veth/a.ts", "veth/datapath/a.ts", "host/a.ts"]) {
      expect(tidy(path, `${HEAD}console.log(1);\n`), path).to.have.lengthOf(1);
    }
    for (const path of ["host/cli/a.ts", "bench/a.ts", "test/a.ts"]) {
      expect(tidy(path, `${HEAD}console.log(1);\n`), path).to.deep.equal([]);
    }
    expect(tidy("host/a.ts", `${HEAD}// console.log(1);\n`)).to.deep.equal([]);
  });

  it("refuses tests that are skipped, and tests that shut the others out", () => {
    for (const call of ["describe.only", "it.only", "it.skip", "describe.skip", "context.only", "xit", "xdescribe"]) {
      expect(tidy("test/a.test.ts", `${HEAD}${call}("a", () => {});\n`), call).to.have.lengthOf(1);
    }
    expect(tidy("test/a.test.ts", `${HEAD}it("a", () => {});\n`)).to.deep.equal([]);
  });
});

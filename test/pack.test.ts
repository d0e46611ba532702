// The package as its users get it: packed, installed in an empty folder, imported by its name, run, type-checked.
// Read first: npm documentation, "files" and "exports" of package.json.

import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

describe("the packed package", function () {
  this.timeout(180_000);
  let home: string;
  let files: string[];

  before(async () => {
    home = mkdtempSync(join(tmpdir(), "oribi-pack-"));
    // The build is there; prepare would write to dist/ under the feet of the other tests.
    const packing = ["pack", "--ignore-scripts", "--json", "--pack-destination", home];
    const { stdout } = await run("npm", packing, { cwd: root, maxBuffer: 1 << 26 });
    const report: unknown = JSON.parse(stdout);
    const [packed] = Object.values(report as Record<string, { filename: string; files: { path: string }[] }>);
    files = packed!.files.map((file) => file.path);
    writeFileSync(join(home, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
    const installing = ["install", "--no-save", "--prefer-offline", "--no-audit", "--no-fund", `./${packed!.filename}`];
    await run("npm", installing, { cwd: home });
    cpSync(join(root, "test/fixtures/installed.mjs"), join(home, "installed.mjs"));
  });

  after(() => rmSync(home, { recursive: true, force: true }));

  it("holds the built program, its types and its licence, and nothing else", () => {
    for (const wanted of [
      "README.md",
      "LICENSE",
      "package.json",
      "dist/stack.wasm",
      "dist/veth.wasm",
      "dist/stack.debug.wasm",
      "dist/veth.debug.wasm",
      "dist/stack.d.ts",
      "dist/veth.d.ts",
      "dist/assembly/layout.js",
      "dist/host/index.js",
      "dist/host/index.d.ts",
      "dist/host/cli/main.js",
    ]) {
      expect(files).to.include(wanted);
    }
    const allowed =
      /^(README\.md|LICENSE|package\.json|dist\/(host|veth|assembly)\/.*\.(js|d\.ts)|dist\/[a-z.]+\.(wasm|d\.ts))$/;
    expect(files.filter((file) => !allowed.test(file))).to.deep.equal([]);
  });

  it("runs a program that imports it", async () => {
    const { stdout } = await run(process.execPath, ["installed.mjs"], { cwd: home });
    const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { exports: string[] };
    expect(result.exports).to.include("createNetwork");
  });

  it("has types that hold without the browser's library and without skipLibCheck", async () => {
    const config = {
      compilerOptions: {
        module: "nodenext",
        target: "es2023",
        lib: ["es2023", "esnext.disposable"],
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
        strict: true,
        checkJs: true,
        noEmit: true,
      },
      files: ["installed.mjs"],
    };
    writeFileSync(join(home, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", home]).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).to.equal("");
  });

  it("brings the command oribi", async () => {
    const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { bin: Record<string, string> };
    expect(bin).to.deep.equal({ oribi: "dist/host/cli/main.js" });
    expect(readFileSync(join(home, "node_modules/oribi", bin.oribi!), "utf8")).to.match(/^#!\/usr\/bin\/env node\n/);
    expect(existsSync(join(home, "node_modules/.bin/oribi"))).to.be.true;
    const { stdout } = await run(join(home, "node_modules/.bin/oribi"), ["--help"], { cwd: home });
    expect(stdout).to.contain("demo");
  });
});

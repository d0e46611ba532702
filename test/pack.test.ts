// The package as its users get it: packed, installed in an empty folder, imported by its name, run, type-checked.
// Read first: npm documentation, "files" and "exports" of package.json.

import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);
const DOOR = "dist/host/index.js";

describe("the packed package", function () {
  this.timeout(180_000);
  let home: string;
  let files: string[];
  let isRestored: boolean;

  before(async () => {
    home = mkdtempSync(join(tmpdir(), "oribi-pack-"));
    // A copy, since packing changes files for a moment, under the feet of the other tests.
    const copy = join(home, "copy");
    const isLeftOut = /[/\\](node_modules|\.git|[^/\\]*\.tgz)$/;
    cpSync(root, copy, { recursive: true, preserveTimestamps: true, filter: (path) => !isLeftOut.test(path) });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const before = readFileSync(join(copy, "package.json"), "utf8") + readFileSync(join(copy, DOOR), "utf8");
    const packing = ["pack", "--json", "--foreground-scripts=false", "--pack-destination", home];
    const { stdout } = await run("npm", packing, { cwd: copy, maxBuffer: 1 << 26 });
    const after = readFileSync(join(copy, "package.json"), "utf8") + readFileSync(join(copy, DOOR), "utf8");
    isRestored = after === before && !existsSync(join(copy, "dist/.unpacked"));
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
      "dist/stack.d.ts",
      "dist/veth.d.ts",
      "dist/assembly/layout.js",
      "dist/host/index.js",
      "dist/host/index.d.ts",
      "dist/host/index.d.cts",
      "dist/host/cli/main.js",
    ]) {
      expect(files).to.include(wanted);
    }
    const allowed = [
      /^(README\.md|LICENSE|package\.json)$/,
      /^dist\/(assembly|bench|host|veth)\/.*\.(js|d\.c?ts)$/,
      /^dist\/(stack|veth)\.(wasm|d\.ts)$/,
    ];
    expect(files.filter((file) => !allowed.some((form) => form.test(file)))).to.deep.equal([]);
  });

  it("runs a program that imports it", async () => {
    const { stdout } = await run(process.execPath, ["installed.mjs"], { cwd: home });
    const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { exports: string[] };
    expect(result.exports).to.include("createNetwork");
  });

  it("is without what only works in the repository, which packing leaves as it was", () => {
    expect(isRestored).to.be.true;
    const installed = join(home, "node_modules/oribi");
    const fields = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as object;
    expect(fields).to.have.any.keys("homepage", "repository", "bugs");
    expect(fields).to.not.have.any.keys("scripts", "devDependencies", "mocha", "prettier");
    const scripts = files.filter((file) => file.endsWith(".js"));
    const referring = scripts.filter((file) =>
      readFileSync(join(installed, file), "utf8").includes("sourceMappingURL"),
    );
    expect(scripts).to.not.be.empty;
    expect(referring).to.deep.equal([]);
  });

  it("says where the debug build is to be had", async () => {
    const program = 'import { createNetwork } from "oribi"; createNetwork({ debug: true });';
    const { stderr } = await run(process.execPath, ["--input-type=module", "-e", program], { cwd: home }).catch(
      (error: unknown) => error as { stderr: string },
    );
    expect(stderr).to.contain("ERR_ORIBI_BUILD").and.to.contain("made in a checkout of the sources");
  });

  for (const [what, module, lib] of [
    ["without the libraries of the browser and of disposables", "nodenext", "es2023"],
    ["of an older language", "nodenext", "es2020"],
    ["that resolves modules as Node.js 16 did", "node16", "es2022"],
  ] as const) {
    it(`has types that hold in modules and CommonJS modules, in a project ${what}`, async () => {
      const compilerOptions = {
        ...{ module, lib: [lib], target: "es2022", types: [], strict: true, checkJs: true, noEmit: true },
        typeRoots: [join(root, "node_modules/@types")],
      };
      const program = [
        'import { createNetwork, AF_INET, type HostOptions, Network } from "oribi";',
        'const options: HostOptions = { address: "10.0.0.1/24" };',
        'const net: Network = createNetwork({ time: "virtual" });',
        'const fd: number = net.host("a", options).posix.socket(AF_INET, 1, 0);',
        "console.log(fd, net instanceof Network);",
        "void net.close();",
      ];
      // A package that users have beside ours.
      mkdirSync(join(home, "node_modules/@types"), { recursive: true });
      for (const name of ["@types/node", "undici-types"]) {
        cpSync(join(root, "node_modules", name), join(home, "node_modules", name), { recursive: true });
      }
      for (const name of ["program.mts", "program.cts"]) writeFileSync(join(home, name), program.join("\n"));
      const files = ["installed.mjs", "program.mts", "program.cts"];
      writeFileSync(join(home, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
      const tsc = join(root, "node_modules/typescript/bin/tsc");
      const { stdout } = await run(process.execPath, [tsc, "-p", home]).catch(
        (error: unknown) => error as { stdout: string },
      );
      expect(stdout).to.equal("");
    });
  }

  it("brings the command oribi", async () => {
    const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { bin: Record<string, string> };
    expect(bin).to.deep.equal({ oribi: "dist/host/cli/main.js" });
    expect(readFileSync(join(home, "node_modules/oribi", bin.oribi!), "utf8")).to.match(/^#!\/usr\/bin\/env node\n/);
    expect(existsSync(join(home, "node_modules/.bin/oribi"))).to.be.true;
    const { stdout } = await run(join(home, "node_modules/.bin/oribi"), ["--help"], { cwd: home });
    expect(stdout).to.contain("demo");
  });

  it("measures with the command oribi bench", async () => {
    const bench = ["bench", "--filter", "bridge_pps", "--runs", "1", "--time", "1ms"];
    const { stdout } = await run(join(home, "node_modules/.bin/oribi"), bench, { cwd: home });
    expect(stdout).to.match(/bridge_pps/);
  });
});

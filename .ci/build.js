// Builds dist/: the Wasm modules with asc, the TypeScript with tsc. What has not changed is not built again.
// Read first: asconfig.json (the targets), tsconfig.json. Usage: node .ci/build.js [--force]

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { writeCommonJsTypes } from "./commonjs-types.js";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
const require = createRequire(import.meta.url);

/** Each Wasm target of asconfig.json: its entry, and the folders it is compiled from. */
const TARGETS = {
  stack: { entry: "assembly/index.ts", from: ["assembly"] },
  "stack.debug": { entry: "assembly/index.ts", from: ["assembly"] },
  veth: { entry: "veth/datapath/index.ts", from: ["veth/datapath", "assembly"] },
  "veth.debug": { entry: "veth/datapath/index.ts", from: ["veth/datapath", "assembly"] },
};
const TYPESCRIPT_FOLDERS = ["host", "veth", "bench", "test", "assembly"];
/** Fingerprints of what was built last, by target. */
const STAMP = "dist/.built.json";

if (process.argv.includes("--force")) rmSync("dist", { recursive: true, force: true });
mkdirSync("dist", { recursive: true });
const built = existsSync(STAMP) ? JSON.parse(readFileSync(STAMP, "utf8")) : {};
const failed = [...(await buildWasm()), ...(await buildTypeScript())];
writeFileSync(STAMP, JSON.stringify(built, null, 2));
if (failed.length > 0) {
  console.error(`Build failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}

/** Compiles the targets whose sources changed, two at a time; returns the names of those that failed. */
async function buildWasm() {
  const queue = Object.keys(TARGETS).filter(
    (name) => built[name] !== wasmFingerprint(name) || !existsSync(`dist/${name}.wasm`),
  );
  const failures = [];
  const worker = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const stamp = wasmFingerprint(name);
      if (await compile(name)) built[name] = stamp;
      else failures.push(`${name}.wasm`);
    }
  };
  await Promise.all([worker(), worker()]);
  return failures;
}

/** Compiles one target beside dist/ and moves it in when it is whole. */
async function compile(name) {
  const scratch = `dist/.asc-${process.pid}`;
  const asc = require.resolve("assemblyscript/bin/asc.js");
  const out = `${scratch}/${name}.wasm`;
  const ok = await run([asc, TARGETS[name].entry, "--target", name, "-o", out]);
  if (ok && !name.includes("debug")) inlineMore(out);
  if (ok) {
    renameSync(out, `dist/${name}.wasm`);
    if (!name.includes("debug")) writeFileSync(`dist/${name}.d.ts`, exportTypes(`${scratch}/${name}.d.ts`, name));
    for (const extension of ["js", "d.ts"]) rmSync(`${scratch}/${name}.${extension}`, { force: true });
  }
  if (existsSync(scratch) && readdirSync(scratch).length === 0) rmSync(scratch, { recursive: true });
  return ok;
}

/**
 * Inlines further than asc does: the path of a packet is made of many small functions, and Node 20's engine inlines
 * none. The limits were found by measuring request/response: below, calls cost; above, the code outgrows the cache.
 */
function inlineMore(file) {
  const module = binaryen.readBinary(readFileSync(file));
  const has = binaryen.Features;
  module.setFeatures(
    has.Atomics |
      has.BulkMemory |
      has.BulkMemoryOpt |
      has.MutableGlobals |
      has.NontrappingFPToInt |
      has.SIMD128 |
      has.SignExt,
  );
  binaryen.setOptimizeLevel(3);
  binaryen.setShrinkLevel(0);
  binaryen.setDebugInfo(true);
  binaryen.setAlwaysInlineMaxSize(100);
  binaryen.setFlexibleInlineMaxSize(300);
  binaryen.setOneCallerInlineMaxSize(5000);
  module.optimize();
  module.optimize();
  writeFileSync(file, module.emitBinary());
  module.dispose();
}

/** The types of a module's raw exports, out of the binding that asc writes: a bool is a number there. */
function exportTypes(file, name) {
  const binding = readFileSync(file, "utf8");
  const body = binding.slice(0, binding.indexOf("/** Instantiates the compiled"));
  const head = `// Exports of ${name}.wasm, made by the build. u32 results arrive signed: use \`>>> 0\`.\n`;
  const types = body.replace("declare namespace __AdaptedExports", "export declare namespace exports");
  return head + types.replace(/ *\/\*\* Exported memory \*\/\n.*\n/, "").replace(/\bboolean\b/g, "number");
}

/** Runs tsc over what changed and keeps dist/ free of files whose source is gone. */
async function buildTypeScript() {
  const stamp = fingerprint(
    ["tsconfig.json", "package.json", "package-lock.json", "dist/stack.d.ts", "dist/veth.d.ts"],
    TYPESCRIPT_FOLDERS,
  );
  const missing = prune();
  if (built.typescript === stamp && !missing) return [];
  if (missing) rmSync("dist/.tsbuildinfo", { force: true });
  delete built.typescript;
  if (!(await run([require.resolve("typescript/bin/tsc")]))) return ["TypeScript"];
  plainNumbers("dist/assembly");
  writeCommonJsTypes();
  built.typescript = stamp;
  return [];
}

/** Removes outputs without a source; true when some were removed, or are missing. */
function prune() {
  let changes = 0;
  for (const folder of TYPESCRIPT_FOLDERS) {
    for (const file of sources(`dist/${folder}`, /\.js$/)) {
      const base = file.slice("dist/".length, -".js".length);
      if (existsSync(`${base}.ts`)) continue;
      for (const extension of ["js", "js.map", "d.ts"]) rmSync(`dist/${base}.${extension}`, { force: true });
      changes++;
    }
    if (folder === "assembly") continue; // tsc compiles only what the others import from there
    for (const file of sources(folder, /(?<!\.d)\.ts$/)) {
      if (!file.startsWith("veth/datapath/") && !existsSync(`dist/${file.slice(0, -3)}.js`)) changes++;
    }
  }
  return changes > 0;
}

/** Rewrites AssemblyScript's number types in declarations that users of the package read. */
function plainNumbers(folder) {
  for (const file of sources(folder, /\.d\.ts$/)) {
    const text = readFileSync(file, "utf8");
    const plain = text.replace(/: (?:[iu](?:8|16|32|size)|f32|f64)\b/g, ": number");
    if (plain !== text) writeFileSync(file, plain);
  }
}

function wasmFingerprint(name) {
  return fingerprint(["asconfig.json", require.resolve("assemblyscript/package.json")], TARGETS[name].from);
}

/** A hash over everything a target is made from: these files, and the sources in these folders. */
function fingerprint(files, folders) {
  const hash = createHash("sha256");
  for (const file of [
    ".ci/build.js",
    ".ci/commonjs-types.js",
    ...files,
    ...folders.flatMap((folder) => sources(folder, /\.ts$/)),
  ]) {
    hash.update(file).update("\0");
    if (existsSync(file)) hash.update(readFileSync(file));
    hash.update("\0");
  }
  return hash.digest("hex");
}

function sources(folder, pattern) {
  if (!existsSync(folder)) return [];
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...sources(path, pattern));
    else if (pattern.test(entry.name)) found.push(path);
  }
  return found.sort();
}

/** Runs a Node program and shows its output; true when it ended well. */
function run(args) {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      process.stdout.write(stdout);
      process.stderr.write(stderr);
      resolve(error === null);
    });
  });
}

// Makes the tree fit to be packed, and back: npm runs it before and after `npm pack` and `npm publish`.
// What users of the package do not get is taken out: the scripts of this repository, and references to source maps.
// Usage: node .ci/package.js prepare|restore

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

/** The files as they were. */
const KEPT = "dist/.unpacked";
const FOLDERS = ["dist/assembly", "dist/bench", "dist/host", "dist/veth"];
/** Fields of package.json that only work in the repository. */
const OWN_FIELDS = ["scripts", "devDependencies", "prettier", "mocha"];

const [step] = process.argv.slice(2);
if (step === "prepare") prepare();
else if (step === "restore") restore();
else throw new Error(`Usage: node .ci/package.js prepare|restore, not ${step}`);

function prepare() {
  restore(); // of a pack that was cut off
  change("package.json", (text) => {
    const fields = JSON.parse(text);
    for (const name of OWN_FIELDS) delete fields[name];
    return `${JSON.stringify(fields, null, 2)}\n`;
  });
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".js")) continue;
      change(join(entry.parentPath, entry.name), (text) => text.replace(/\n\/\/# sourceMappingURL=\S+\s*$/, "\n"));
    }
  }
}

/** Puts a changed copy of a file into its place, and keeps the file with its times: nothing is built anew for it. */
function change(path, edit) {
  const text = readFileSync(path, "utf8");
  const edited = edit(text);
  if (edited === text) return;
  const kept = join(KEPT, path);
  mkdirSync(dirname(kept), { recursive: true });
  cpSync(path, kept, { preserveTimestamps: true });
  writeFileSync(path, edited);
}

function restore() {
  if (!existsSync(KEPT)) return;
  for (const entry of readdirSync(KEPT, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const kept = join(entry.parentPath, entry.name);
    renameSync(kept, kept.slice(KEPT.length + 1));
  }
  rmSync(KEPT, { recursive: true });
}

// Writes dist/host/index.d.cts: the types of the package's door for CommonJS modules, which Node.js lets require() it.
// Read first: TypeScript's handbook, "Modules - Reference", on resolution-mode.

import { writeFileSync } from "node:fs";
import ts from "typescript";

const DOOR = "dist/host/index.d.ts";
const HEAD = `// The types of index.d.ts for CommonJS modules, made by the build.\n`;
const MODE = `{ "resolution-mode": "import" }`;
const IMPORTED = `import("./index.js", { with: ${MODE} })`;

/** Names each export of the door again: values by their types, types by themselves, classes both ways. */
export function writeCommonJsTypes() {
  const program = ts.createProgram([DOOR], { module: ts.ModuleKind.NodeNext, noEmit: true, skipLibCheck: true });
  const checker = program.getTypeChecker();
  const door = checker.getSymbolAtLocation(program.getSourceFile(DOOR));
  const types = [];
  const lines = [];
  for (const symbol of checker.getExportsOfModule(door)) {
    const { name } = symbol;
    const flags = (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol).flags;
    const isType = (flags & ts.SymbolFlags.Type) !== 0;
    if ((flags & ts.SymbolFlags.Value) === 0) {
      types.push(name);
      continue;
    }
    lines.push(`export declare const ${name}: typeof ${IMPORTED}.${name};`);
    if (isType) lines.push(`export type ${name} = ${IMPORTED}.${name};`);
  }
  const pure = `export type { ${types.sort().join(", ")} } from "./index.js" with ${MODE};`;
  writeFileSync(DOOR.replace(/\.ts$/, ".cts"), `${HEAD}${pure}\n${lines.sort().join("\n")}\n`);
}

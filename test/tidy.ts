// The rules that tidy.test.ts holds the sources to: who may import whom, heads, sizes, no leftovers.
// Read first: DESIGN.md section 1.

import { posix } from "node:path";
import ts from "typescript";

export const WIDTH_MAX = 120;
export const LINES_MAX = 600;
/** The one place for constants and layouts is as long as they are. */
const LONG_FILES = new Set(["assembly/layout.ts"]);

/** Which zone a file belongs to; `undefined` for files that may import anything (bench, test, scripts). */
type Zone = "assembly" | "veth/datapath" | "veth" | "host";

/** What each zone may import besides itself: paths without extension; a trailing slash means the whole folder. */
const MAY_IMPORT: Record<Zone, { files: string[]; packages: (name: string) => boolean }> = {
  assembly: { files: ["assembly/"], packages: () => false },
  "veth/datapath": {
    files: ["veth/datapath/", "assembly/layout", "assembly/memory/", "assembly/wire/checksum"],
    packages: () => false,
  },
  veth: { files: ["veth/", "assembly/layout"], packages: (name) => name.startsWith("node:") },
  host: {
    files: ["host/", "veth/", "assembly/layout"],
    packages: (name) => /^(node:|#stack$|#veth$|piscina$|@assemblyscript\/loader$)/.test(name),
  },
};

/**
 * Checks one file.
 * @param path from the project's root, with forward slashes
 * @returns a sentence for each violation, each with the place
 */
export function tidy(path: string, text: string): string[] {
  return [...checkImports(path, text), ...checkText(path, text), ...checkCalls(path, text)];
}

function zoneOf(path: string): Zone | undefined {
  for (const zone of ["assembly", "veth/datapath", "veth", "host"] as const) {
    if (path.startsWith(`${zone}/`)) return zone;
  }
  return undefined;
}

function checkImports(path: string, text: string): string[] {
  const zone = zoneOf(path);
  if (zone === undefined) return [];
  const violations: string[] = [];
  for (const { fileName: name } of ts.preProcessFile(text, true, true).importedFiles) {
    if (!name.startsWith(".")) {
      if (!MAY_IMPORT[zone].packages(name)) violations.push(`${path}: ${zone} may not import the package "${name}"`);
      continue;
    }
    const extension = /\.[a-z]+$/.exec(name)?.[0] ?? "";
    if (extension !== (isAssemblyScript(zone) ? "" : ".ts")) {
      violations.push(`${path}: "${name}" should end ${isAssemblyScript(zone) ? "without an extension" : 'in ".ts"'}`);
    }
    const target = posix.join(posix.dirname(path), name.slice(0, name.length - extension.length));
    const allowed = MAY_IMPORT[zone].files.some(
      (file) => target === file || (file.endsWith("/") && target.startsWith(file)),
    );
    // TypeScript cannot call AssemblyScript: veth/ includes veth/datapath/ by name only.
    if (!allowed || (!isAssemblyScript(zone) && target.startsWith("veth/datapath"))) {
      violations.push(`${path}: ${zone} may not import ${target}`);
    }
  }
  return violations;
}

function isAssemblyScript(zone: Zone): boolean {
  return zone === "assembly" || zone === "veth/datapath";
}

function checkText(path: string, text: string): string[] {
  const violations: string[] = [];
  const lines = text.replace(/\n$/, "").split("\n");
  const head = lines[0]?.startsWith("#!") ? lines[1] : lines[0];
  if (!head?.startsWith("// ")) violations.push(`${path}: does not open with a comment that says what lives here`);
  if (lines.length > LINES_MAX && !LONG_FILES.has(path))
    violations.push(`${path}: ${lines.length} lines, more than ${LINES_MAX}`);
  lines.forEach((line, index) => {
    if (line.length > WIDTH_MAX)
      violations.push(`${path}:${index + 1}: ${line.length} columns, more than ${WIDTH_MAX}`);
  });
  return violations;
}

/** Finds uses of the console in the library, and tests that are switched off or shut the others out. */
function checkCalls(path: string, text: string): string[] {
  const violations: string[] = [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const consoleAllowed = zoneOf(path) === undefined || path.startsWith("host/cli/");
  const visit = (node: ts.Node): void => {
    const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
    if (ts.isPropertyAccessExpression(node)) {
      const [object, name] = [node.expression.getText(source), node.name.text];
      if (object === "console" && !consoleAllowed) violations.push(`${path}:${line}: console in the library`);
      if (/^(describe|it|context|specify|test|suite)$/.test(object) && /^(only|skip)$/.test(name)) {
        violations.push(`${path}:${line}: ${object}.${name}`);
      }
    }
    if (ts.isCallExpression(node) && /^(xit|xdescribe|xcontext|xspecify)$/.test(node.expression.getText(source))) {
      violations.push(`${path}:${line}: ${node.expression.getText(source)}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return violations;
}

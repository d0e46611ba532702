// Lint rules, for both languages. AssemblyScript gets the rules that hold without JavaScript's types, and those of
// DESIGN.md section 2: nothing in the core makes a managed object.

import { join } from "node:path";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const assemblyScript = ["assembly/**/*.ts", "veth/datapath/**/*.ts"];
const core = {
  "no-var": "error",
  "prefer-const": "error",
  "no-console": "error",
  "no-debugger": "error",
  "no-unreachable": "error",
  "no-self-assign": "error",
  "no-dupe-else-if": "error",
  "no-duplicate-case": "error",
  "no-fallthrough": "error",
  "no-use-before-define": "off",
  "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", caughtErrors: "none" }],
};
const managed = (what) => `${what}: the core owns no managed objects (DESIGN.md section 2).`;

export default defineConfig(
  globalIgnores(["dist/", "node_modules/"]),
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.ts"],
    ignores: assemblyScript,
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: join(import.meta.dirname, "..") } },
    rules: {
      ...core,
      eqeqeq: "error",
      "@typescript-eslint/consistent-type-imports": "error",
      // Typed arrays are indexed all over the place; an assertion beside one is not worth a word.
      "@typescript-eslint/no-unnecessary-type-assertion": "off",
      "@typescript-eslint/require-await": "off",
    },
  },
  {
    files: ["test/**/*.ts"],
    // chai asserts with properties: expect(x).to.be.true
    rules: { "@typescript-eslint/no-unused-expressions": "off" },
  },
  { files: ["host/cli/**/*.ts", "bench/**/*.ts", "test/**/*.ts", ".ci/**"], rules: { "no-console": "off" } },
  {
    files: ["**/*.js", "**/*.mjs"],
    extends: [tseslint.configs.base],
    rules: { ...core, eqeqeq: "error", "no-console": "off" },
  },
  {
    files: assemblyScript,
    extends: [tseslint.configs.base],
    rules: {
      ...core,
      "no-restricted-syntax": [
        "error",
        { selector: "NewExpression", message: managed("new") },
        { selector: "ArrowFunctionExpression", message: managed("A closure") },
        { selector: ":not(MethodDefinition) > FunctionExpression", message: managed("A closure") },
        { selector: "TemplateLiteral", message: managed("A string") },
        {
          selector: ":not(CallExpression[callee.object.name='memory']) > ArrayExpression",
          message: managed("An array"),
        },
        { selector: "Decorator:not([expression.name='unmanaged'])", message: "The only decorator is @unmanaged." },
      ],
    },
  },
);

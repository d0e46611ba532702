// Python's statements, as far as scripts need them: assert, print, assignments, if.
// Read first: The Python Language Reference, chapters 7 and 8; tree.ts; expressions.ts.

import type { CodePlace } from "./error.ts";
import { ExpressionParser } from "./expressions.ts";
import { tokenize } from "./lexer.ts";
import type { Expression, Print, Statement, Target } from "./tree.ts";

const REFUSED = new Set(
  (
    "for while def class import from try raise with return del global nonlocal lambda yield async await break " +
    "continue exec"
  ).split(" "),
);
const ASSIGNMENT = /^(\*\*|\/\/|<<|>>|[-+*/%&|^])=$/;
const BLOCK_DEPTH_MAX = 100;

/**
 * Reads code.
 * @throws {PythonError} "error" when it is not Python, "refused" when it is outside of the subset
 */
export function parsePython(code: string, place: CodePlace): Statement[] {
  return new StatementParser(code, place).program();
}

class StatementParser extends ExpressionParser {
  private blocks = 0;

  constructor(
    private readonly code: string,
    place: CodePlace,
  ) {
    super(tokenize(code, place), place);
  }

  program(): Statement[] {
    const statements: Statement[] = [];
    while (this.token.type !== "end") {
      if (this.token.type === "indent") this.fail("unexpected indent");
      statements.push(...this.statement());
    }
    return statements;
  }

  /** A compound statement, or the simple ones of a line. */
  private statement(): Statement[] {
    if (this.is("if")) return [this.ifStatement()];
    return this.line();
  }

  private line(): Statement[] {
    const statements: Statement[] = [];
    do {
      if (this.token.type === "newline") break;
      const simple = this.simple();
      if (simple !== undefined) statements.push(simple);
    } while (this.accept(";"));
    if (!this.acceptType("newline")) this.fail("expected the end of the statement");
    return statements;
  }

  private simple(): Statement | undefined {
    const { line, text, type } = this.token;
    if (type === "name" && REFUSED.has(text))
      this.fail(`"${text}" (only assert, print, assignments and if)`, "refused");
    if (this.accept("pass")) return undefined;
    if (this.accept("assert")) return this.assert(line);
    if (this.is("print")) return this.print(line);
    return this.assignment(line);
  }

  private assert(line: number): Statement {
    const { from } = this.token;
    const condition = this.expression();
    const text = this.code.slice(from, this.tokens[this.index - 1]!.to).replace(/\s*\\?\n\s*/g, " ");
    return { type: "assert", line, condition, message: this.accept(",") ? this.expression() : undefined, text };
  }

  /** print of Python 3 with its parentheses, or else of Python 2 without. */
  private print(line: number): Statement {
    this.expect("print");
    const start = this.index;
    if (this.is("(")) {
      const { items, named } = this.arguments();
      if (this.token.type === "newline" || this.is(";")) return this.printCall(line, items, new Map(named));
      this.index = start;
    }
    const print: Print = { type: "print", line, items: [], separator: undefined, end: undefined };
    if (this.is(">>")) this.fail("print >> file", "refused");
    while (this.startsExpression()) {
      print.items.push(this.expression());
      if (!this.accept(",")) break;
    }
    return print;
  }

  private printCall(line: number, items: Expression[], named: Map<string, Expression>): Statement {
    const [separator, end] = [named.get("sep"), named.get("end")];
    for (const name of named.keys()) {
      if (name !== "sep" && name !== "end" && name !== "flush") this.fail(`print with ${name}=`, "refused");
    }
    return { type: "print", line, items, separator, end };
  }

  private assignment(line: number): Statement {
    let value = this.expressions();
    const operator = this.token.type === "operator" ? ASSIGNMENT.exec(this.token.text)?.[1] : undefined;
    if (operator !== undefined) {
      const targets = [this.target(value)];
      this.index++;
      return { type: "assign", line, targets, operator, value: this.expressions() };
    }
    const targets: Target[] = [];
    while (this.is("=")) {
      targets.push(this.target(value));
      this.index++;
      value = this.expressions();
    }
    if (targets.length === 0) return { type: "expression", line, value };
    return { type: "assign", line, targets, operator, value };
  }

  private target(expression: Expression): Target {
    if (expression.type === "name") return expression.name;
    if (expression.type === "sequence" && expression.items.every((item) => item.type === "name")) {
      return expression.items.map((item) => item.name);
    }
    return this.fail("assigning to anything but names", "refused");
  }

  private ifStatement(): Statement {
    const { line } = this.token;
    this.index++;
    if (++this.blocks > BLOCK_DEPTH_MAX) this.fail(`more than ${BLOCK_DEPTH_MAX} ifs in one another`, "refused");
    const condition = this.expression();
    const then = this.block();
    let otherwise: Statement[] = [];
    if (this.is("elif")) otherwise = [this.ifStatement()];
    else if (this.accept("else")) otherwise = this.block();
    this.blocks--;
    return { type: "if", line, condition, then, otherwise };
  }

  private block(): Statement[] {
    this.expect(":");
    if (!this.acceptType("newline")) return this.line();
    if (!this.acceptType("indent")) this.fail("expected an indented block");
    const statements: Statement[] = [];
    while (!this.acceptType("dedent") && this.token.type !== "end") statements.push(...this.statement());
    return statements;
  }
}

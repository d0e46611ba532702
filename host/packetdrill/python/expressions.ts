// Python's expressions, by recursive descent in the order of precedence.
// Read first: The Python Language Reference, section 6.17 (operator precedence); tree.ts.

import { PythonError } from "./error.ts";
import type { CodePlace, PythonErrorKind } from "./error.ts";
import { numberOf, tokenize } from "./lexer.ts";
import type { Token } from "./lexer.ts";
import type { Expression } from "./tree.ts";

const COMPARISONS = new Set(["<", "<=", ">", ">=", "==", "!=", "<>"]);
/** Operators of two values, loosest first. ** comes apart: it is right-associative and binds before a sign. */
const LEVELS: readonly ReadonlySet<string>[] = [
  new Set(["|"]),
  new Set(["^"]),
  new Set(["&"]),
  new Set(["<<", ">>"]),
  new Set(["+", "-"]),
  new Set(["*", "/", "//", "%"]),
];
const CONSTANTS: Record<string, boolean | null> = { True: true, False: false, None: null };
/** Words that cannot be names. */
const KEYWORDS = new Set(
  (
    "and as assert async await break class continue def del elif else except finally for from global if import in is " +
    "lambda nonlocal not or pass raise return try while with yield"
  ).split(" "),
);
const REFUSED = new Set(["lambda", "await", "yield"]);
const DEPTH_MAX = 100;
const OPERATORS_MAX = 1000;
const REPLACEMENT = /^([^]*?)(?:!([rsa]))?(?::([^]*))?$/;

/** Takes tokens one after the other. */
export class ExpressionParser {
  protected index = 0;
  private depth = 0;
  private operators = 0;

  constructor(
    protected readonly tokens: readonly Token[],
    protected readonly place: CodePlace,
  ) {}

  protected get token(): Token {
    return this.tokens[this.index]!;
  }

  protected is(text: string): boolean {
    const { type } = this.token;
    return (type === "operator" || type === "name") && this.token.text === text;
  }

  protected accept(text: string): boolean {
    const found = this.is(text);
    if (found) this.index++;
    return found;
  }

  protected acceptType(type: Token["type"]): boolean {
    const found = this.token.type === type;
    if (found) this.index++;
    return found;
  }

  protected expect(text: string): void {
    if (!this.accept(text)) this.fail(`expected '${text}'`);
  }

  protected fail(reason: string, kind: PythonErrorKind = "error", { type, text, line } = this.token): never {
    const found = type === "newline" || type === "end" ? "the end of the line" : `'${text}'`;
    throw new PythonError({
      kind,
      file: this.place.file,
      line,
      reason: kind === "refused" ? `not supported in %{ }%: ${reason}` : `SyntaxError: ${reason}, found ${found}`,
    });
  }

  /** Expressions with commas between: one is itself, more are a tuple. */
  protected expressions(): Expression {
    const first = this.expression();
    if (!this.is(",")) return first;
    const items = [first];
    while (this.accept(",") && this.startsExpression()) items.push(this.expression());
    return { type: "sequence", tuple: true, items };
  }

  protected startsExpression(): boolean {
    const { type, text } = this.token;
    if (type === "operator") return "([{-+~".includes(text);
    return type === "number" || type === "string" || (type === "name" && (!KEYWORDS.has(text) || text === "not"));
  }

  /** The one expression of a token list, for f-strings. */
  whole(): Expression {
    const value = this.expressions();
    this.acceptType("newline");
    if (this.token.type !== "end") this.fail("expected the end of the expression");
    return value;
  }

  protected expression(): Expression {
    this.deeper();
    if (this.depth === 1) this.operators = 0;
    const then = this.or();
    if (this.is(":=")) this.fail("assignment expressions (:=)", "refused");
    let result = then;
    if (this.accept("if")) {
      const condition = this.or();
      this.expect("else");
      result = { type: "choice", condition, then, otherwise: this.expression() };
    }
    this.depth--;
    return result;
  }

  /** Counts one level more; they come back off as the parsers return. */
  private deeper(): void {
    if (++this.depth > DEPTH_MAX) this.fail(`expressions nested deeper than ${DEPTH_MAX}`, "refused");
  }

  /** Counts an operator: a chain of them is as deep a tree as it is long. */
  private longer(): void {
    if (++this.operators > OPERATORS_MAX) this.fail(`more than ${OPERATORS_MAX} operators in an expression`, "refused");
  }

  private or(): Expression {
    let left = this.and();
    while (this.accept("or")) {
      this.longer();
      left = { type: "logic", operator: "or", left, right: this.and() };
    }
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.accept("and")) {
      this.longer();
      left = { type: "logic", operator: "and", left, right: this.not() };
    }
    return left;
  }

  private not(): Expression {
    let count = 0;
    while (this.accept("not")) count++;
    let value = this.comparison();
    // Two nots make a bool of a value, more do no more.
    for (count = count > 2 ? 2 - (count % 2) : count; count > 0; count--) {
      value = { type: "unary", operator: "not", operand: value };
    }
    return value;
  }

  private comparison(): Expression {
    const operands = [this.binary(0)];
    const operators: string[] = [];
    for (let operator = this.comparisonOperator(); operator !== undefined; operator = this.comparisonOperator()) {
      operators.push(operator);
      operands.push(this.binary(0));
    }
    return operators.length === 0 ? operands[0]! : { type: "compare", operators, operands };
  }

  private comparisonOperator(): string | undefined {
    const { type, text } = this.token;
    if (type === "operator" && COMPARISONS.has(text)) {
      this.index++;
      return text;
    }
    if (this.accept("in")) return "in";
    if (this.accept("is")) return this.accept("not") ? "is not" : "is";
    if (!this.is("not") || this.tokens[this.index + 1]?.text !== "in") return undefined;
    this.index += 2;
    return "not in";
  }

  private binary(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.unary();
    let left = this.binary(level + 1);
    while (this.token.type === "operator" && operators.has(this.token.text)) {
      const operator = this.token.text;
      this.index++;
      this.longer();
      left = { type: "binary", operator, left, right: this.binary(level + 1) };
    }
    return left;
  }

  private unary(): Expression {
    const { type, text } = this.token;
    if (type !== "operator" || !"-+~".includes(text)) return this.power();
    this.deeper();
    this.index++;
    const operand = this.unary();
    this.depth--;
    return { type: "unary", operator: text, operand };
  }

  private power(): Expression {
    const left = this.postfix();
    if (!this.accept("**")) return left;
    this.deeper();
    const right = this.unary();
    this.depth--;
    return { type: "binary", operator: "**", left, right };
  }

  private postfix(): Expression {
    let value = this.atom();
    for (;;) {
      this.longer();
      if (this.is("[")) value = this.subscript(value);
      else if (this.is("(")) value = this.call(value);
      else if (this.is(".")) value = this.method(value);
      else return value;
    }
  }

  private subscript(object: Expression): Expression {
    this.expect("[");
    const from = this.is(":") ? undefined : this.expression();
    if (!this.accept(":")) {
      this.expect("]");
      return { type: "index", object, index: from! };
    }
    const to = this.is("]") ? undefined : this.expression();
    if (this.is(":")) this.fail("slices with a step", "refused");
    this.expect("]");
    return { type: "slice", object, from, to };
  }

  private call(callee: Expression): Expression {
    if (callee.type !== "name") this.fail("calling anything but a function by its name", "refused");
    const { items, named } = this.arguments();
    if (named.length > 0) this.fail(`arguments by name for ${callee.name}()`, "refused");
    return { type: "call", name: callee.name, arguments: items };
  }

  private method(object: Expression): Expression {
    this.expect(".");
    const name = this.token.text;
    if (this.token.type !== "name") this.fail("expected a name after '.'");
    this.index++;
    if (!this.is("(")) this.fail(`attributes (.${name})`, "refused");
    const { items, named } = this.arguments();
    return { type: "method", object, name, arguments: items, named };
  }

  /** Arguments in their parentheses. */
  protected arguments(): { items: Expression[]; named: [string, Expression][] } {
    this.expect("(");
    const items: Expression[] = [];
    const named: [string, Expression][] = [];
    while (!this.is(")")) {
      if (this.is("*") || this.is("**")) this.fail("unpacking arguments with * and **", "refused");
      const name = this.token;
      const isNamed = name.type === "name" && this.tokens[this.index + 1]?.text === "=";
      if (isNamed) {
        this.index += 2;
        named.push([name.text, this.expression()]);
      } else items.push(this.expression());
      if (this.is("for")) this.fail("comprehensions and generators", "refused");
      if (!this.accept(",")) break;
    }
    this.expect(")");
    return { items, named };
  }

  private atom(): Expression {
    const { type, text } = this.token;
    if (type === "string") return this.strings();
    if (type === "number") {
      const value = numberOf(text) ?? this.fail("expected a number");
      this.index++;
      return { type: "constant", value };
    }
    if (type === "name") return this.named(text);
    if (this.accept("(")) return this.parenthesized();
    if (this.accept("[")) return { type: "sequence", tuple: false, items: this.items("]") };
    if (this.is("{")) this.fail("dictionaries and sets", "refused");
    return this.fail("expected an expression");
  }

  private named(name: string): Expression {
    if (REFUSED.has(name)) this.fail(name, "refused");
    if (KEYWORDS.has(name)) this.fail("expected an expression");
    this.index++;
    if (Object.hasOwn(CONSTANTS, name)) return { type: "constant", value: CONSTANTS[name]! };
    return { type: "name", name };
  }

  private parenthesized(): Expression {
    if (this.accept(")")) return { type: "sequence", tuple: true, items: [] };
    const value = this.expressions();
    if (this.is("for")) this.fail("comprehensions and generators", "refused");
    this.expect(")");
    return value;
  }

  private items(close: string): Expression[] {
    const items: Expression[] = [];
    while (!this.is(close)) {
      items.push(this.expression());
      if (this.is("for")) this.fail("comprehensions and generators", "refused");
      if (!this.accept(",")) break;
    }
    this.expect(close);
    return items;
  }

  /** Strings side by side are one. */
  private strings(): Expression {
    const parts: Extract<Expression, { type: "format" }>["parts"] = [];
    for (; this.token.type === "string"; this.index++) {
      const { text, prefix = "" } = this.token;
      if (prefix.includes("b")) this.fail("bytes", "refused");
      if (prefix.includes("f")) parts.push(...this.replacements(text));
      else parts.push(text);
    }
    if (parts.every((part) => typeof part === "string")) return { type: "constant", value: parts.join("") };
    return { type: "format", parts };
  }

  /** Splits an f-string at its braces. */
  private replacements(text: string): Extract<Expression, { type: "format" }>["parts"] {
    const parts: Extract<Expression, { type: "format" }>["parts"] = [];
    for (const piece of text.split(/(\{\{|\}\}|\{[^{}]*\})/)) {
      if (piece === "{{" || piece === "}}") parts.push(piece[0]!);
      else if (!piece.startsWith("{")) {
        if (/[{}]/.test(piece)) this.fail("braces in one another in an f-string", "refused");
        parts.push(piece);
      } else {
        const [, source = "", conversion = "", spec = ""] = REPLACEMENT.exec(piece.slice(1, -1)) ?? [];
        const place = { file: this.place.file, line: this.token.line };
        this.deeper();
        const parser = new ExpressionParser(tokenize(source.trim(), place), place);
        parser.depth = this.depth--;
        parts.push({ value: parser.whole(), conversion, spec });
      }
    }
    return parts;
  }
}

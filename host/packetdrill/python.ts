// Runs the Python of packetdrill scripts, `%{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%`: a subset, in bounded time.
// Read first: python/parser.ts (what is in the subset), python/values.ts (ints are exact at any size).

import { callBuiltin, callMethod, convert } from "./python/builtins.ts";
import { Mistake, PythonError } from "./python/error.ts";
import type { CodePlace } from "./python/error.ts";
import { format, percent } from "./python/format.ts";
import { parsePython } from "./python/parser.ts";
import type { Assert, Assign, Expression, Print, Statement } from "./python/tree.ts";
import { binary, compare, isSequence, numeric, repr, str, truth, typeName, unary } from "./python/values.ts";
import type { PyValue } from "./python/values.ts";

export { PythonError } from "./python/error.ts";
export type { CodePlace } from "./python/error.ts";

/** What code left behind: later code of the same script sees it, as if it were one program. */
export type PythonVariables = Map<string, PyValue>;

/** Values by name, such as tcp_info's. Numbers without a fraction are ints; a bigint keeps 64 bits exact. */
export type PythonNames = Readonly<Record<string, number | bigint | string>>;

/**
 * Runs code.
 * @param names what the code may name; they win over variables that earlier code left
 * @param onPrint gets each text that is printed, with its newline
 * @param place the script's file, and its line of the code's first character
 * @param variables what earlier code assigned; what this code assigns is added
 * @throws {PythonError} a failed assert, a mistake, or code outside of the subset
 */
export function runPython(
  code: string,
  names: PythonNames,
  onPrint: (text: string) => void,
  place: CodePlace,
  variables: PythonVariables = new Map(),
): void {
  new Run(names, onPrint, place, variables).block(parsePython(code, place));
}

class Run {
  /** Assigned by this code: they win over the names that it was given. */
  private readonly assigned = new Map<string, PyValue>();

  constructor(
    private readonly names: PythonNames,
    private readonly onPrint: (text: string) => void,
    private readonly place: CodePlace,
    private readonly variables: PythonVariables,
  ) {}

  block(statements: readonly Statement[]): void {
    for (const statement of statements) {
      try {
        this.statement(statement);
      } catch (error) {
        if (!(error instanceof Mistake)) throw error;
        const { file } = this.place;
        throw new PythonError({ kind: error.kind, file, line: statement.line, reason: error.message });
      }
    }
  }

  private statement(statement: Statement): void {
    switch (statement.type) {
      case "assert":
        return this.assert(statement);
      case "print":
        return this.print(statement);
      case "assign":
        return this.assign(statement);
      case "if":
        return this.block(truth(this.value(statement.condition)) ? statement.then : statement.otherwise);
      case "expression":
        this.value(statement.value);
    }
  }

  private assert({ condition, message, text, line }: Assert): void {
    if (truth(this.value(condition))) return;
    const values: Record<string, string> = {};
    for (const name of namesIn(condition)) {
      const value = this.find(name);
      if (value !== undefined) values[name] = repr(value);
    }
    const said = message === undefined ? "" : ` (${str(this.value(message))})`;
    const shown = Object.entries(values).map(([name, value]) => `${name} = ${value}`);
    const reason = `assertion failed: ${text}${said}${shown.length > 0 ? `; ${shown.join(", ")}` : ""}`;
    throw new PythonError({ kind: "assert", file: this.place.file, line, reason, condition: text, values });
  }

  private print({ items, separator, end }: Print): void {
    const between = separator === undefined ? " " : str(this.value(separator));
    const last = end === undefined ? "\n" : str(this.value(end));
    this.onPrint(items.map((item) => str(this.value(item))).join(between) + last);
  }

  private assign({ targets, operator, value }: Assign): void {
    let result = this.value(value);
    for (const target of targets) {
      if (typeof target === "string") {
        if (operator !== undefined) result = apply(operator, this.lookUp(target), result);
        this.set(target, result);
        continue;
      }
      if (!isSequence(result) || result.items.length !== target.length) {
        throw new Mistake(`ValueError: ${target.length} values expected for ${target.join(", ")}`);
      }
      for (const [index, name] of target.entries()) this.set(name, result.items[index]!);
    }
  }

  private set(name: string, value: PyValue): void {
    this.assigned.set(name, value);
    this.variables.set(name, value);
  }

  private lookUp(name: string): PyValue {
    const value = this.find(name);
    if (value === undefined) throw new Mistake(`NameError: name '${name}' is not defined`);
    return value;
  }

  private find(name: string): PyValue | undefined {
    const assigned = this.assigned.get(name);
    if (assigned !== undefined || !Object.hasOwn(this.names, name)) return assigned ?? this.variables.get(name);
    const value = this.names[name]!;
    return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
  }

  private value(expression: Expression): PyValue {
    switch (expression.type) {
      case "constant":
        return expression.value;
      case "name":
        return this.lookUp(expression.name);
      case "unary":
        return unary(expression.operator, this.value(expression.operand));
      case "binary":
        return apply(expression.operator, this.value(expression.left), this.value(expression.right));
      case "logic": {
        const left = this.value(expression.left);
        return truth(left) === (expression.operator === "or") ? left : this.value(expression.right);
      }
      case "compare":
        return this.comparison(expression.operators, expression.operands);
      case "choice":
        return this.value(truth(this.value(expression.condition)) ? expression.then : expression.otherwise);
      case "sequence":
        return { tuple: expression.tuple, items: this.all(expression.items) };
      case "index":
        return itemAt(this.value(expression.object), this.value(expression.index));
      case "slice":
        return this.slice(expression);
      case "call":
        return callBuiltin(expression.name, this.all(expression.arguments));
      case "method": {
        const named = new Map(expression.named.map(([name, value]) => [name, this.value(value)]));
        return callMethod(this.value(expression.object), expression.name, this.all(expression.arguments), named);
      }
      case "format":
        return expression.parts
          .map((part) =>
            typeof part === "string" ? part : format(convert(this.value(part.value), part.conversion), part.spec),
          )
          .join("");
    }
  }

  private all(expressions: readonly Expression[]): PyValue[] {
    return expressions.map((expression) => this.value(expression));
  }

  /** `a < b < c` is `a < b and b < c`, with b evaluated once. */
  private comparison(operators: readonly string[], operands: readonly Expression[]): boolean {
    let left = this.value(operands[0]!);
    for (const [index, operator] of operators.entries()) {
      const right = this.value(operands[index + 1]!);
      if (!compare(operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  private slice({ object, from, to }: Extract<Expression, { type: "slice" }>): PyValue {
    const value = this.value(object);
    const bound = (expression: Expression | undefined): number | undefined =>
      expression === undefined ? undefined : indexOf(this.value(expression));
    if (typeof value === "string") return value.slice(bound(from), bound(to));
    if (isSequence(value)) return { tuple: value.tuple, items: value.items.slice(bound(from), bound(to)) };
    throw new Mistake(`TypeError: '${typeName(value)}' object is not subscriptable`);
  }
}

/** An operator of two values; % on a string formats. */
function apply(operator: string, left: PyValue, right: PyValue): PyValue {
  return operator === "%" && typeof left === "string" ? percent(left, right) : binary(operator, left, right);
}

function itemAt(object: PyValue, index: PyValue): PyValue {
  const items = typeof object === "string" ? [...object] : isSequence(object) ? object.items : undefined;
  if (items === undefined) throw new Mistake(`TypeError: '${typeName(object)}' object is not subscriptable`);
  const item = items.at(indexOf(index));
  if (item === undefined) throw new Mistake(`IndexError: ${typeName(object)} index out of range`);
  return item;
}

function indexOf(value: PyValue): number {
  const index = numeric(value);
  if (typeof index !== "bigint") throw new Mistake(`TypeError: indices must be integers, not ${typeName(value)}`);
  return Number(index);
}

/** Every name that a condition looks up, once, in the order of the text. */
function namesIn(expression: Expression, found = new Set<string>()): Set<string> {
  if (expression.type === "name") found.add(expression.name);
  for (const part of partsOf(expression)) namesIn(part, found);
  return found;
}

function partsOf(expression: Expression): Expression[] {
  switch (expression.type) {
    case "constant":
    case "name":
      return [];
    case "unary":
      return [expression.operand];
    case "binary":
    case "logic":
      return [expression.left, expression.right];
    case "compare":
      return expression.operands;
    case "choice":
      return [expression.then, expression.condition, expression.otherwise];
    case "sequence":
      return expression.items;
    case "index":
      return [expression.object, expression.index];
    case "slice":
      return [expression.object, expression.from, expression.to].filter((part) => part !== undefined);
    case "call":
      return expression.arguments;
    case "method":
      return [expression.object, ...expression.arguments, ...expression.named.map(([, value]) => value)];
    case "format":
      return expression.parts.flatMap((part) => (typeof part === "string" ? [] : [part.value]));
  }
}

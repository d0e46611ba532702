// The shell's arithmetic, `$((15*1024*1024))`: integers of 64 bits.
// Read first: POSIX.1-2024, Shell & Utilities, section 2.6.4.

import { ShellRefusal } from "./words.ts";

const TOKEN = /\s*(0[xX][0-9a-fA-F]+|[0-9]+|\$?[A-Za-z_][A-Za-z0-9_]*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>()?:])/y;
const LEVELS = [["||"], ["&&"], ["|"], ["^"], ["&"], ["==", "!="], ["<", "<=", ">", ">="], ["<<", ">>"], ["+", "-"]];
const FACTORS = ["*", "/", "%"];
const DEPTH_MAX = 50;

/**
 * Evaluates an expression.
 * @param variables values by name; what is missing is 0
 * @throws {ShellRefusal} for anything but an expression, and for a division by zero
 */
export function arithmetic(text: string, variables: ReadonlyMap<string, string>): bigint {
  return new Evaluator(text, variables).run();
}

class Evaluator {
  private readonly tokens: string[] = [];
  private index = 0;
  private depth = 0;

  constructor(
    private readonly text: string,
    private readonly variables: ReadonlyMap<string, string>,
  ) {
    let at = 0;
    while (at < text.trimEnd().length) {
      TOKEN.lastIndex = at;
      const match = TOKEN.exec(text);
      if (match === null) this.fail();
      this.tokens.push(match[1]!);
      at += match[0].length;
    }
  }

  run(): bigint {
    if (this.tokens.length === 0) return 0n;
    const value = this.choice();
    if (this.index < this.tokens.length) this.fail();
    return value;
  }

  private accept(token: string): boolean {
    const found = this.tokens[this.index] === token;
    if (found) this.index++;
    return found;
  }

  private fail(): never {
    throw new ShellRefusal(`$((${this.text})) is no arithmetic of integers`);
  }

  private choice(): bigint {
    if (++this.depth > DEPTH_MAX) this.fail();
    const condition = this.level(0);
    let value = condition;
    if (this.accept("?")) {
      const then = this.choice();
      if (!this.accept(":")) this.fail();
      const otherwise = this.choice();
      value = condition === 0n ? otherwise : then;
    }
    this.depth--;
    return value;
  }

  private level(level: number): bigint {
    const operators = LEVELS[level] ?? FACTORS;
    const inner = () => (level < LEVELS.length ? this.level(level + 1) : this.unary());
    let left = inner();
    for (;;) {
      const operator = this.tokens[this.index];
      if (operator === undefined || !operators.includes(operator)) return left;
      this.index++;
      left = BigInt.asIntN(64, this.apply(operator, left, inner()));
    }
  }

  private unary(): bigint {
    if (++this.depth > DEPTH_MAX) this.fail();
    let value: bigint;
    if (this.accept("-")) value = -this.unary();
    else if (this.accept("+")) value = this.unary();
    else if (this.accept("~")) value = ~this.unary();
    else if (this.accept("!")) value = this.unary() === 0n ? 1n : 0n;
    else value = this.atom();
    this.depth--;
    return BigInt.asIntN(64, value);
  }

  private atom(): bigint {
    if (this.accept("(")) {
      const value = this.choice();
      if (!this.accept(")")) this.fail();
      return value;
    }
    const token = this.tokens[this.index++];
    if (token !== undefined && /^[0-9]/.test(token)) return integer(token) ?? this.fail();
    if (token === undefined || !/^\$?[A-Za-z_]/.test(token)) this.fail();
    return integer(this.variables.get(token.replace("$", "")) || "0") ?? this.fail();
  }

  private apply(operator: string, a: bigint, b: bigint): bigint {
    if ((operator === "/" || operator === "%") && b === 0n) {
      throw new ShellRefusal(`$((${this.text})) divides by zero`);
    }
    switch (operator) {
      case "+":
        return a + b;
      case "-":
        return a - b;
      case "*":
        return a * b;
      case "/":
        return a / b;
      case "%":
        return a % b;
      case "<<":
        return a << (b & 63n);
      case ">>":
        return a >> (b & 63n);
      case "&":
        return a & b;
      case "|":
        return a | b;
      case "^":
        return a ^ b;
      default:
        return this.holds(operator, a, b) ? 1n : 0n;
    }
  }

  private holds(operator: string, a: bigint, b: bigint): boolean {
    switch (operator) {
      case "==":
        return a === b;
      case "!=":
        return a !== b;
      case "<":
        return a < b;
      case "<=":
        return a <= b;
      case ">":
        return a > b;
      case ">=":
        return a >= b;
      case "&&":
        return a !== 0n && b !== 0n;
      default:
        return a !== 0n || b !== 0n;
    }
  }
}

/** Decimal, hexadecimal with 0x, octal with 0. */
function integer(text: string): bigint | undefined {
  if (/^0[0-7]+$/.test(text)) return BigInt(`0o${text.slice(1)}`);
  return /^(?:0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text.trim()) ? BigInt(text.trim()) : undefined;
}

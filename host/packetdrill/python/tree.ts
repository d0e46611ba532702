// What Python code says, as a tree.
// Read first: parser.ts, which makes it; ../python.ts, which runs it.

import type { PyValue } from "./values.ts";

export interface Assert {
  type: "assert";
  line: number;
  condition: Expression;
  message: Expression | undefined;
  /** The condition as it is written. */
  text: string;
}

export interface Print {
  type: "print";
  line: number;
  items: Expression[];
  separator: Expression | undefined;
  end: Expression | undefined;
}

export interface Assign {
  type: "assign";
  line: number;
  targets: Target[];
  /** `+` for `+=`; undefined for `=`. */
  operator: string | undefined;
  value: Expression;
}

/** A name, or names that a tuple is spread over. */
export type Target = string | string[];

export interface If {
  type: "if";
  line: number;
  condition: Expression;
  then: Statement[];
  otherwise: Statement[];
}

export interface Bare {
  type: "expression";
  line: number;
  value: Expression;
}

export type Statement = Assert | Print | Assign | If | Bare;

export type Expression =
  | { type: "constant"; value: PyValue }
  | { type: "name"; name: string }
  | { type: "unary"; operator: string; operand: Expression }
  | { type: "binary"; operator: string; left: Expression; right: Expression }
  /** `a and b`, `a or b`. */
  | { type: "logic"; operator: "and" | "or"; left: Expression; right: Expression }
  /** `a < b <= c`: one more operand than operators. */
  | { type: "compare"; operators: string[]; operands: Expression[] }
  | { type: "choice"; condition: Expression; then: Expression; otherwise: Expression }
  | { type: "sequence"; tuple: boolean; items: Expression[] }
  | { type: "index"; object: Expression; index: Expression }
  | { type: "slice"; object: Expression; from: Expression | undefined; to: Expression | undefined }
  | { type: "call"; name: string; arguments: Expression[] }
  /** `object.name(arguments)`. */
  | { type: "method"; object: Expression; name: string; arguments: Expression[]; named: [string, Expression][] }
  /** An f-string: texts and values by turns. */
  | { type: "format"; parts: (string | { value: Expression; conversion: string; spec: string })[] };

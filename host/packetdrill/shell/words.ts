// Cuts a shell command into words and operators. Words keep their parts: what is in quotes, what is expanded.
// Read first: POSIX.1-2024, volume Shell & Utilities, sections 2.2 to 2.6.

/** A part of a word: text as it is, the value of a variable, or of arithmetic. `quoted`: it is not split at blanks. */
export type Part =
  | { type: "text"; text: string; quoted: boolean }
  | { type: "variable"; name: string; otherwise: string; quoted: boolean }
  | { type: "arithmetic"; text: string; quoted: boolean };

export type Lexeme =
  | { type: "word"; parts: Part[]; text: string }
  /** `;`, `&&`, `|`, a newline, a redirection such as `>`, `2>&`, `<<`. */
  | { type: "operator"; text: string };

/** A command that cannot be read or is outside of what is interpreted. */
export class ShellRefusal extends Error {}

const OPERATOR = /[0-9]?(?:>>|>&|>\||<<<|<<|<&|<>|>|<)|&>>|&>|&&|\|\||;;|\|&|[;&|()\n]/y;
const BLANK = /(?:[ \t\r]|\\\r?\n)*/y;
const PLAIN = /[^\s"'`$\\;&|<>()]+/y;
const VARIABLE =
  /\$(?:([A-Za-z_][A-Za-z0-9_]*|[0-9#?@*$!-])|\{([A-Za-z_][A-Za-z0-9_]*|[0-9#?@*$!-])(?::?-([^{}]*))?\})/y;

/** @throws {ShellRefusal} */
export function cutWords(command: string): Lexeme[] {
  return new Cutter(command).run();
}

class Cutter {
  private at = 0;

  constructor(private readonly command: string) {}

  run(): Lexeme[] {
    const lexemes: Lexeme[] = [];
    for (;;) {
      this.take(BLANK);
      if (this.at >= this.command.length) return lexemes;
      if (this.command[this.at] === "#") this.at = end(this.command, "\n", this.at);
      else {
        const operator = this.take(OPERATOR);
        lexemes.push(operator === undefined ? this.word() : { type: "operator", text: operator });
      }
    }
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const text = pattern.exec(this.command)?.[0];
    this.at += text?.length ?? 0;
    return text;
  }

  private word(): Lexeme {
    const start = this.at;
    const parts: Part[] = [];
    while (this.at < this.command.length && !/[\s;&|<>()]/.test(this.command[this.at]!)) this.part(parts);
    return { type: "word", parts, text: this.command.slice(start, this.at) };
  }

  private part(parts: Part[]): void {
    const plain = this.take(PLAIN);
    const character = this.command[this.at];
    if (plain !== undefined) parts.push({ type: "text", text: plain, quoted: false });
    else if (character === "'") {
      const close = this.closing("'", this.at + 1);
      parts.push({ type: "text", text: this.command.slice(this.at + 1, close), quoted: true });
      this.at = close + 1;
    } else if (character === '"') this.doubleQuoted(parts);
    else if (character === "\\") {
      if (!/^\\\r?\n/.test(this.command.slice(this.at, this.at + 3))) {
        parts.push({ type: "text", text: this.command[this.at + 1] ?? "", quoted: true });
        this.at += 2;
      } else this.at = end(this.command, "\n", this.at) + 1;
    } else this.expansion(parts, false);
  }

  private doubleQuoted(parts: Part[]): void {
    const open = this.at++;
    let text = "";
    const flush = () => parts.push({ type: "text", text, quoted: true });
    for (; this.at < this.command.length;) {
      const character = this.command[this.at]!;
      if (character === '"') {
        flush();
        this.at++;
        return;
      }
      if (character === "\\" && /["\\$`\n]/.test(this.command[this.at + 1] ?? "")) {
        if (this.command[this.at + 1] !== "\n") text += this.command[this.at + 1];
        this.at += 2;
      } else if (character === "$" || character === "`") {
        flush();
        text = "";
        this.expansion(parts, true);
      } else {
        text += character;
        this.at++;
      }
    }
    throw new ShellRefusal(`a quote does not end: ${this.command.slice(open, open + 40)}`);
  }

  /** What begins with $ or a back quote. */
  private expansion(parts: Part[], quoted: boolean): void {
    if (this.command.startsWith("$((", this.at)) {
      const close = this.closing("))", this.at + 3);
      parts.push({ type: "arithmetic", text: this.command.slice(this.at + 3, close), quoted });
      this.at = close + 2;
      return;
    }
    VARIABLE.lastIndex = this.at;
    const [whole, plain, braced, otherwise = ""] = VARIABLE.exec(this.command) ?? [];
    if (whole !== undefined) {
      this.at += whole.length;
      parts.push({ type: "variable", name: plain ?? braced ?? "", otherwise, quoted });
      return;
    }
    if (this.command[this.at] === "$" && !/[({]/.test(this.command[this.at + 1] ?? "")) {
      parts.push({ type: "text", text: "$", quoted });
      this.at++;
      return;
    }
    throw new ShellRefusal("the output of a command in a word, or an expansion that is more than ${NAME:-value}");
  }

  private closing(close: string, from: number): number {
    const at = this.command.indexOf(close, from);
    if (at < 0) throw new ShellRefusal(`${close} is missing after ${this.command.slice(this.at, this.at + 40)}`);
    return at;
  }
}

function end(text: string, close: string, from: number): number {
  const at = text.indexOf(close, from);
  return at < 0 ? text.length : at;
}

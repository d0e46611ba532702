// Puts the words of a shell command together: lists of pipelines of simple commands.
// Read first: POSIX.1-2024, Shell & Utilities, section 2.9; words.ts.

import { cutWords, ShellRefusal } from "./words.ts";
import type { Lexeme, Part } from "./words.ts";

export interface Word {
  parts: Part[];
  /** As it is written. */
  text: string;
}

export interface Simple {
  words: Word[];
  /** Where standard output goes, when it goes to a file: `> path`. */
  output: Word | undefined;
  text: string;
}

export interface Pipeline {
  commands: Simple[];
  /** `! command` */
  negated: boolean;
  /** When it runs: after anything, after success (&&), after failure (||). */
  after: ";" | "&&" | "||";
}

/** Words that begin what is more than a list of commands. */
const COMPOUND = new Set([
  "if",
  "then",
  "else",
  "for",
  "while",
  "until",
  "case",
  "do",
  "function",
  "{",
  "[[",
  "select",
]);
const REDIRECTION = /^[0-9]?(?:>>|>&|>\||<<<|<<|<&|<>|>|<)$|^&>>?$/;

/**
 * Reads a command of one or more lines.
 * @throws {ShellRefusal} for what is more than a list of simple commands
 */
export function parseShell(command: string): Pipeline[] {
  const lexemes = cutWords(command);
  const list: Pipeline[] = [];
  let after: Pipeline["after"] = ";";
  let index = 0;
  while (index < lexemes.length) {
    const operator = operatorAt(lexemes, index);
    if (operator === "\n" || (operator === ";" && after === ";")) index++;
    else {
      const next = parsePipeline(lexemes, index, after);
      list.push(next.pipeline);
      index = next.index;
      const connector = operatorAt(lexemes, index);
      if (connector === "&&" || connector === "||") after = connector;
      else if (connector === undefined || connector === ";" || connector === "\n") after = ";";
      else throw new ShellRefusal(connector === "&" ? "a command in the background (&)" : `"${connector}"`);
      index++;
    }
  }
  if (after !== ";") throw new ShellRefusal(`nothing behind ${after}`);
  return list;
}

function operatorAt(lexemes: readonly Lexeme[], index: number): string | undefined {
  const lexeme = lexemes[index];
  return lexeme?.type === "operator" ? lexeme.text : undefined;
}

function parsePipeline(lexemes: readonly Lexeme[], start: number, after: Pipeline["after"]) {
  const pipeline: Pipeline = { commands: [], negated: false, after };
  let index = start;
  const first = lexemes[index];
  if (first?.type === "word" && first.text === "!") {
    pipeline.negated = true;
    index++;
  }
  for (;;) {
    const next = parseSimple(lexemes, index);
    pipeline.commands.push(next.simple);
    index = next.index;
    if (operatorAt(lexemes, index) !== "|") return { pipeline, index };
    index++;
    while (operatorAt(lexemes, index) === "\n") index++;
  }
}

function parseSimple(lexemes: readonly Lexeme[], start: number): { simple: Simple; index: number } {
  const simple: Simple = { words: [], output: undefined, text: "" };
  const texts: string[] = [];
  let index = start;
  for (; index < lexemes.length; index++) {
    const lexeme = lexemes[index]!;
    if (lexeme.type === "operator") {
      if (!REDIRECTION.test(lexeme.text)) break;
      const target = lexemes[++index];
      if (target?.type !== "word") throw new ShellRefusal(`a redirection without a target (${lexeme.text})`);
      if (lexeme.text.includes("<<")) throw new ShellRefusal("here-documents (<<)");
      const toFile = /^1?(?:>>|>\||>)$|^&>/.test(lexeme.text);
      if (toFile) simple.output = target;
      texts.push(`${lexeme.text}${target.text}`);
    } else {
      if (simple.words.length === 0 && COMPOUND.has(lexeme.text)) {
        throw new ShellRefusal(`"${lexeme.text}": only lists of simple commands are interpreted`);
      }
      simple.words.push(lexeme);
      texts.push(lexeme.text);
    }
  }
  if (simple.words.length === 0 && simple.output === undefined) {
    const found = operatorAt(lexemes, index) ?? "the end";
    throw new ShellRefusal(
      found === "(" ? "subshells: ( ... )" : `a command is missing before ${JSON.stringify(found)}`,
    );
  }
  if (operatorAt(lexemes, index) === "(") throw new ShellRefusal("functions and subshells: ( ... )");
  simple.text = texts.join(" ");
  return { simple, index };
}

// What a command of the program is, and how its help reads. A command's module exports one as `command`.
// Read first: options.ts (the table), main.ts (who calls run).

import type { Io } from "./io.ts";
import { COMMON_OPTIONS } from "./options.ts";
import type { Arguments, Option, OptionTable } from "./options.ts";

/** A command: `oribi NAME`. */
export interface Command<O extends OptionTable = OptionTable> {
  name: string;
  /** One line for the list of commands; begins with a verb, ends without a full stop. */
  summary: string;
  /** What it does and what it leaves behind, a few sentences; shown by its --help. */
  usage: string;
  options: O;
  /** Names of its operands; see Shape in options.ts. Default: none. */
  operands?: readonly string[];
  /** Whole command lines worth showing, each with a remark. */
  examples?: readonly (readonly [line: string, remark: string])[];
  /**
   * Does the work.
   * @returns the exit status: 0, or 1 when it found something wrong
   * @throws CliError for what the person at the terminal can put right
   */
  run(args: Arguments<O>, io: Io): Promise<number>;
}

/** Gives a command's `run` the types of its option table. */
export function defineCommand<const O extends OptionTable>(command: Command<O>): Command {
  // The table is what makes the arguments, so the types fit; only the list of commands has to forget them.
  return command as unknown as Command;
}

/** The help of a command. @param columns width to wrap at, characters */
export function commandHelp(command: Command, columns: number): string {
  const operands = (command.operands ?? []).map((name) => ` [${name}]`).join("");
  const parts = [
    `oribi ${command.name}: ${command.summary}`,
    `usage: oribi ${command.name} [options]${operands}`,
    wrap(command.usage, columns),
    `options:\n${optionLines(command.options, columns)}`,
  ];
  if (command.examples !== undefined) {
    const lines = command.examples.map(([line, remark]) => `  ${line}\n      ${remark}`);
    parts.push(`examples:\n${lines.join("\n")}`);
  }
  return `${parts.join("\n\n")}\n`;
}

function optionLines(options: OptionTable, columns: number): string {
  const rows = Object.entries({ ...options, ...COMMON_OPTIONS } as OptionTable).map(
    ([name, option]) => [optionName(name, option), optionText(option)] as const,
  );
  const width = Math.min(30, Math.max(...rows.map(([name]) => name.length)));
  return rows.map(([name, text]) => twoColumns(name, text, width, columns)).join("\n");
}

function optionName(name: string, option: Option): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  const form = option.parse === undefined ? "" : ` ${option.form ?? "VALUE"}`;
  return `${short}--${name}${form}`;
}

function optionText(option: Option): string {
  return option.default === undefined ? option.description : `${option.description} (default ${option.default})`;
}

/** A name and its text beside it, the text wrapped in its own column. */
export function twoColumns(name: string, text: string, width: number, columns: number): string {
  const indent = width + 4;
  const lines = wrap(text, Math.max(24, columns - indent)).split("\n");
  const first = name.length > width ? `  ${name}\n${" ".repeat(indent)}` : `  ${name.padEnd(width)}  `;
  return first + lines.join(`\n${" ".repeat(indent)}`);
}

/** Breaks lines at spaces so that none is wider than `columns`; a longer word stands alone. */
export function wrap(text: string, columns: number): string {
  return text
    .split("\n")
    .map((line) => {
      const lines: string[] = [];
      let current = "";
      for (const word of line.split(" ")) {
        if (current !== "" && current.length + 1 + word.length > columns) {
          lines.push(current);
          current = word;
        } else {
          current = current === "" ? word : `${current} ${word}`;
        }
      }
      return [...lines, current].join("\n");
    })
    .join("\n");
}

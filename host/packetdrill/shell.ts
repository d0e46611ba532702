// Says what the shell commands of packetdrill scripts mean to the stack, without running any: settings, routes, links,
// counters. What cannot matter is ignored; what would matter and is not interpreted is refused, both by name.
// Read first: shell/effects.ts, the outcome; shell/commands.ts, which commands there are.

import { readFileSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { arithmetic } from "./shell/arithmetic.ts";
import { assign, echoed, runCommand } from "./shell/commands.ts";
import type { CommandContext } from "./shell/commands.ts";
import { isCounters, runCounters } from "./shell/counters.ts";
import { STANDARD_SETTINGS } from "./shell/defaults.ts";
import type { ShellEffect, Status } from "./shell/effects.ts";
import { parseShell } from "./shell/parser.ts";
import type { Pipeline, Simple, Word } from "./shell/parser.ts";
import { ShellRefusal } from "./shell/words.ts";
import { isSetting, setSysctl } from "./shell/sysctl.ts";

export type { CounterEffect, LinkEffect, RouteEffect, ShellEffect, SysctlEffect } from "./shell/effects.ts";
export { STANDARD_SETTINGS } from "./shell/defaults.ts";

export interface ShellContext {
  /** The script's folder: paths in commands are relative to it. */
  directory: string;
  /** What $NAME stands for. */
  variables?: Readonly<Record<string, string>>;
  /** The text of a file, or undefined when there is none. Default: files on disk of at most 64 KiB. */
  read?: (path: string) => string | undefined;
}

const FILE_MAX = 65536;
/** Files that read one another. */
const INCLUDES_MAX = 8;
const EFFECTS_MAX = 10_000;
/** Files of this name that are not there stand for the standard settings. */
const STANDARD_FILE = /^defaults(?:[-_]linux)?\.sh$/;

/**
 * Interprets a command, which may have several lines.
 * @returns what it means, in order. It never throws for what it cannot interpret: that is an effect "refused".
 */
export function interpretShell(command: string, context: ShellContext): ShellEffect[] {
  const run = new ShellRun(context);
  const status = run.commands(command);
  if (status !== undefined && status !== 0) run.effects.push({ kind: "exit", status });
  return run.effects;
}

/** `exit N`: nothing behind it happens in its file. */
class Exit extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit ${status}`);
    this.status = status;
  }
}

class ShellRun {
  readonly effects: ShellEffect[] = [];
  private readonly variables: Map<string, string>;
  private readonly read: (path: string) => string | undefined;
  private readonly directory: string;
  private includes = 0;

  constructor({ directory, variables = {}, read = readFile }: ShellContext) {
    this.directory = directory;
    this.variables = new Map(Object.entries(variables));
    this.read = read;
  }

  /** Interprets commands; a file that cannot be read as a list of commands is refused as a whole. */
  commands(text: string): Status {
    try {
      let status: Status = 0;
      for (const pipeline of parseShell(text)) {
        if (this.effects.length > EFFECTS_MAX) throw new ShellRefusal(`more than ${EFFECTS_MAX} effects`);
        // What is known only later is taken for success: that is how scripts mean to go on.
        const failed = status !== undefined && status !== 0;
        if (pipeline.after === ";" || (pipeline.after === "||") === failed) status = this.pipeline(pipeline);
      }
      return status;
    } catch (error) {
      if (error instanceof Exit) return error.status;
      if (!(error instanceof ShellRefusal)) throw error;
      this.effects.push({ kind: "refused", what: text.trim(), why: error.message });
      return undefined;
    }
  }

  private pipeline({ commands, negated }: Pipeline): Status {
    const words = commands.map((command) => command.words.flatMap((word) => this.expand(word)));
    const status = this.pipelineStatus(commands, words);
    if (!negated) return status;
    if (status === undefined) {
      const what = `! ${commands.map(({ text }) => text).join(" | ")}`;
      throw new ShellRefusal(`${what}: not (!) of what is known only when it is carried out`);
    }
    return status === 0 ? 1 : 0;
  }

  private pipelineStatus(commands: readonly Simple[], words: readonly string[][]): Status {
    const what = commands.map(({ text }) => text).join(" | ");
    if (isCounters(words)) return runCounters(words, this.effects);
    const [first = []] = words;
    if (commands.length === 1) return this.simple(commands[0]!, first);
    const last = words.at(-1)!;
    const setting = last.includes("tee") ? last.find((word) => isSetting(word)) : undefined;
    if (commands.length === 2 && basename(first[0] ?? "") === "echo" && setting !== undefined) {
      return setSysctl(setting, echoed(first), this.effects);
    }
    // A grep at the end asserts something of a program's output, which there is not.
    const checks = words.some(([program = ""]) => /grep$/.test(program));
    if (checks) return this.refuse(what, "the output of programs cannot be searched, except nstat's");
    let status: Status = 0;
    for (const [index, command] of commands.entries()) status = this.simple(command, words[index]!);
    return status;
  }

  private simple(command: Simple, expanded: readonly string[]): Status {
    const output = command.output === undefined ? undefined : this.expand(command.output).join(" ");
    let start = 0;
    while (start < expanded.length && assign(expanded[start]!, this.variables)) start++;
    const words = expanded.slice(start);
    if (words.length === 0) return 0;
    if (words[0] === "exit") throw new Exit(exitStatus(words[1]));
    if (/(?:^|\/)[ef]?grep$/.test(words[0]!)) {
      return this.refuse(command.text, "files of the machine cannot be searched: there are none");
    }
    const context: CommandContext = {
      effects: this.effects,
      output,
      variables: this.variables,
      include: (path) => this.include(path),
    };
    return runCommand(words, context);
  }

  private refuse(what: string, why: string): undefined {
    this.effects.push({ kind: "refused", what, why });
    return undefined;
  }

  /** Reads a file of commands. Its own paths count from the script's folder too: commands are run there. */
  private include(path: string): Status {
    const text = this.read(resolve(this.directory, path));
    if (text === undefined) {
      if (!STANDARD_FILE.test(basename(path))) return this.refuse(path, "there is no such file");
      for (const [name, value] of Object.entries(STANDARD_SETTINGS)) this.effects.push({ kind: "sysctl", name, value });
      this.effects.push({ kind: "flush-metrics" });
      return 0;
    }
    if (this.includes >= INCLUDES_MAX) return this.refuse(path, `more than ${INCLUDES_MAX} files read one another`);
    if (/^#!.*\b(?:python|perl|ruby)/.test(text)) return this.refuse(path, "programs are not run");
    this.includes++;
    try {
      return this.commands(text);
    } finally {
      this.includes--;
    }
  }

  /** The words that a word becomes: none when it expands to nothing, several when it is split at blanks. */
  private expand({ parts }: Word): string[] {
    const words: string[] = [];
    let current: string | undefined;
    for (const part of parts) {
      const text = this.expandPart(part);
      if (part.quoted || part.type !== "variable") {
        current = (current ?? "") + text;
        continue;
      }
      const pieces = text.split(/\s+/);
      for (const [index, piece] of pieces.entries()) {
        if (index > 0 && current !== undefined) {
          words.push(current);
          current = undefined;
        }
        if (piece !== "") current = (current ?? "") + piece;
      }
    }
    if (current !== undefined) words.push(current);
    return words;
  }

  private expandPart(part: Word["parts"][number]): string {
    if (part.type === "text") return part.text;
    if (part.type === "variable") return this.variables.get(part.name) || part.otherwise;
    return arithmetic(part.text, this.variables).toString();
  }
}

function exitStatus(word: string | undefined): number {
  const status = Number(word ?? "0");
  return Number.isInteger(status) ? status & 0xff : 2;
}

function readFile(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isFile() || stats.size > FILE_MAX) return undefined;
  return readFileSync(path, "utf8");
}

// Reads packetdrill scripts: options, set-up, events with their times, tidying up.
// Read first: the language's reference by its authors (github.com/google/packetdrill, syntax.md); script.ts, the tree;
// lexer.ts. The parsers are by recursive descent; each takes what it knows and says what it wanted when it fails.

import { Scanner } from "./lexer.ts";
import { parsePacket } from "./parse-packet.ts";
import { parseSyscall } from "./parse-syscall.ts";
import { parseEnd, parseTime, peekTime } from "./parse-time.ts";
import type { Script, ScriptEvent, ScriptOption, ShellCommand } from "./script.ts";
import { expandSymbols } from "./symbols.ts";

const OPTION = /--[A-Za-z0-9_]+/y;
const BARE_VALUE = /(?:[^\s"`]|"[^"\n]*"|`[^`]*`)+/y;
const DEFINE = /-D[ \t]*/y;
const DEFINITION = /^([A-Za-z_][A-Za-z0-9_]*)=([^]*)$/;

/**
 * Reads a script.
 * @param file its name, for messages
 * @param symbols what stands for words of the script (`-D NAME=VALUE`); they win over `--define=NAME=VALUE` in it
 * @throws {ScriptError} ERR_ORIBI_SCRIPT when it is not the language, ERR_ORIBI_SCRIPT_REFUSED for parts of the
 *   language that are not carried out: IPv6, encapsulation, mutations, other protocols
 */
export function parseScript(text: string, file: string, symbols: Readonly<Record<string, string>> = {}): Script {
  const scanner = new Scanner(text, file);
  const script: Script = { file, options: [], init: [], events: [], cleanup: [] };
  const defined = new Map<string, string>();
  parseHead(scanner, script, defined);
  for (const [name, value] of Object.entries(symbols)) defined.set(name, value);
  scanner.expand(expandSymbols(text, scanner.next(), defined));
  while (peekTime(scanner)) script.events.push(parseEvent(scanner));
  if (script.events.length === 0) scanner.fail("an event: a time such as +0, and what happens then");
  script.cleanup = parseCommands(scanner);
  if (!scanner.atEnd()) failBehind(scanner, script);
  return script;
}

/** Options, definitions and shell commands before the first event, in any order. */
function parseHead(scanner: Scanner, script: Script, defined: Map<string, string>): void {
  for (;;) {
    const place = scanner.place(scanner.next());
    const name = scanner.match(OPTION)?.slice(2);
    if (name !== undefined) {
      const option: ScriptOption = { name, value: parseOptionValue(scanner), ...place };
      if (name === "define") define(scanner, option.value, defined);
      else script.options.push(option);
    } else if (scanner.match(DEFINE) !== undefined) define(scanner, bareValue(scanner), defined);
    else if (scanner.peek("`")) script.init.push(...parseCommands(scanner));
    else return;
  }
}

function parseOptionValue(scanner: Scanner): string {
  if (!scanner.accept("=")) return "";
  return scanner.string() ?? bareValue(scanner);
}

function bareValue(scanner: Scanner): string {
  return scanner.match(BARE_VALUE) ?? scanner.fail("a value behind the option");
}

function define(scanner: Scanner, text: string, defined: Map<string, string>): void {
  const [, name, value] = DEFINITION.exec(text) ?? [];
  if (name === undefined || value === undefined) scanner.fail("NAME=VALUE behind a definition");
  defined.set(name, value);
}

function parseCommands(scanner: Scanner): ShellCommand[] {
  const commands: ShellCommand[] = [];
  for (;;) {
    const place = scanner.place(scanner.next());
    const command = scanner.backQuoted();
    if (command === undefined) return commands;
    commands.push({ command, ...place });
  }
}

function parseEvent(scanner: Scanner): ScriptEvent {
  const start = scanner.next();
  const time = parseTime(scanner);
  const end = parseEnd(scanner, time);
  const action = parseAction(scanner);
  const base = { time, text: scanner.written(start), ...scanner.place(start) };
  if (end === undefined) return { ...base, ...action };
  if (action.type !== "syscall") scanner.fail("a system call behind a time with an end", start);
  return { ...base, ...action, end };
}

type Action<T = ScriptEvent> = T extends ScriptEvent ? Omit<T, "time" | "text" | "line" | "column"> : never;

function parseAction(scanner: Scanner): Action {
  if (scanner.peek("<") || scanner.peek(">")) return { type: "packet", ...parsePacket(scanner) };
  const command = scanner.backQuoted();
  if (command !== undefined) return { type: "shell", command };
  const code = scanner.code();
  if (code !== undefined) return { type: "code", ...code };
  return { type: "syscall", ...parseSyscall(scanner) };
}

/** Something stands where the next event or the end should be. */
function failBehind(scanner: Scanner, { cleanup }: Script): never {
  if (cleanup.length > 0) {
    scanner.fail("the end of the script: a command without a time stands before the first or after the last event");
  }
  return scanner.fail("the time of the next event, such as +0");
}

#!/usr/bin/env node
// The program `oribi`: finds the command, reads its arguments, runs it, prints errors, ends with its status.
// Read first: command.ts (what a command is).

import { readFileSync } from "node:fs";
import { commandHelp, twoColumns } from "./command.ts";
import type { Command } from "./command.ts";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "./errors.ts";
import { processIo } from "./io.ts";
import type { Io, Output } from "./io.ts";
import { parseArguments } from "./options.ts";
import { nearest } from "./suggest.ts";

/** The commands, each in a module that is loaded when it is wanted. */
const COMMANDS: Record<string, () => Promise<{ command: Command }>> = {
  demo: () => import("./demo.ts"),
  simulate: () => import("./simulate.ts"),
  plot: () => import("./plot.ts"),
  packetdrill: () => import("./packetdrill.ts"),
  explore: () => import("./explore.ts"),
  soak: () => import("./soak.ts"),
  torture: () => import("./torture.ts"),
  bench,
  doctor: () => import("./doctor.ts"),
};

/** The bench stands above what it measures, so nothing here imports it: it is loaded from its place in the package. */
function bench(): Promise<{ command: Command }> {
  return import(new URL("../../bench/command.js", import.meta.url).href) as Promise<{ command: Command }>;
}

process.exitCode = await main(process.argv.slice(2), processIo());
// Who has pressed Ctrl-C waits for no thread and no timer: what was printed goes out, and that is the end.
if (process.exitCode === EXIT_INTERRUPTED) process.stdout.write("", () => process.exit());

/** Runs one command line; returns the exit status. */
async function main(args: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === "--version" || name === "-v") return say(io.stdout, `${version()}\n`);
    if (name === undefined || name === "--help" || name === "-h") return say(io.stdout, await overview(io));
    if (name === "help") return await dispatch(rest[0] ?? "--help", ["--help"], io);
    return await dispatch(name, rest, io);
  } catch (error) {
    return report(error, name, io);
  }
}

async function dispatch(name: string, args: readonly string[], io: Io): Promise<number> {
  if (name === "--help") return say(io.stdout, await overview(io));
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) throw unknownCommand(name);
  const { command } = await load();
  if (wantsHelp(args)) return say(io.stdout, commandHelp(command, io.stdout.columns));
  return command.run(parseArguments(command, args), io);
}

/** Help is given whatever else is on the line, up to "--". */
function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  return own.includes("--help") || own.includes("-h");
}

function unknownCommand(name: string): CliError {
  const option = name.startsWith("-");
  const meant = nearest(name, option ? ["--help", "--version"] : Object.keys(COMMANDS));
  return new CliError(option ? `${name} is no option of oribi itself` : `there is no command "${name}"`, {
    expected: `a command: ${Object.keys(COMMANDS).join(", ")}`,
    hint: meant === undefined ? "see: oribi --help" : `did you mean: oribi ${meant}?`,
  });
}

async function overview(io: Io): Promise<string> {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines: string[] = [];
  for (const [name, load] of Object.entries(COMMANDS)) {
    const { summary } = (await load()).command;
    lines.push(twoColumns(name, summary, width, io.stdout.columns));
  }
  return [
    `oribi ${version()}: a TCP/IP stack in WebAssembly, on a network of its own\n`,
    "usage: oribi COMMAND [options]\n",
    `commands:\n${lines.join("\n")}\n`,
    "oribi COMMAND --help tells more about a command, oribi --version the version.\n",
  ].join("\n");
}

/** Prints an error; returns the exit status. */
function report(error: unknown, name: string | undefined, io: Io): number {
  const program = name !== undefined && Object.hasOwn(COMMANDS, name) ? `oribi ${name}` : "oribi";
  if (error instanceof CliError) {
    io.stderr.write(error.toText(program));
    return error.exitStatus;
  }
  if (error instanceof Error && error.name === "AbortError") {
    io.stderr.write(`${program}: interrupted\n`);
    return EXIT_INTERRUPTED;
  }
  // A disk that is full, a folder that has gone: the system's words say it all.
  if (error instanceof Error && "syscall" in error) {
    io.stderr.write(`${program}: ${error.message}\n`);
    return EXIT_FAILURE;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(`${program}: a fault of the program itself:\n${stack}\n`);
  return EXIT_FAILURE;
}

function say(output: Output, text: string): number {
  output.write(text);
  return 0;
}

function version(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

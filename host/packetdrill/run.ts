// One script from its text to its result. Whatever happens in it, the result says so; nothing is thrown.
// Read first: parse.ts (text to tree), runner.ts (events), surroundings.ts (shell), python.ts (code).

import { dirname } from "node:path";
import { CoreTrap } from "../core.ts";
import { OribiError } from "../errors.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import { listing, type Listing } from "./listing.ts";
import { allNames } from "./names.ts";
import { parseScript } from "./parse.ts";
import { PythonError, type PythonVariables, runPython } from "./python.ts";
import { Runner, type Seen } from "./runner.ts";
import type { Script, ScriptOption } from "./script.ts";
import { ScriptError } from "./script-error.ts";
import { settingsOf, type Settings } from "./settings.ts";
import { Surroundings } from "./surroundings.ts";
import { World, type WorldConfig } from "./world.ts";

export interface ScriptOptions {
  /** Options as on packetdrill's command line, without dashes: they win over those of the script. */
  options?: Readonly<Record<string, string>>;
  /** Words of the script and what stands for them (`-D NAME=VALUE`); the public collections' usual ones are known. */
  define?: Readonly<Record<string, string>>;
  /** Use the debug build of the core: slower, but a trap names its line. */
  debug?: boolean;
  /** List the packets of scripts that pass, too. */
  listAll?: boolean;
  /** Gets every packet that crossed the wire, in order, when the script has ended. */
  onPackets?: (packets: readonly Seen[]) => void;
}

/**
 * "ok": everything happened as the script says. "failed": something did not, or the script cannot be read. "refused":
 * it asks for something that the runner or the stack does not have.
 */
export type ScriptStatus = "ok" | "failed" | "refused";

export interface ScriptResult extends Listing {
  file: string;
  status: ScriptStatus;
  /** Where it ended, from 1; 0 when no line is to blame. */
  line: number;
  /** What was wrong; "" for ok. */
  message: string;
  /** What the script says there, and what came instead. */
  expected?: string;
  actual?: string;
  /** What the script's code printed. */
  printed: string;
  /** Settings and commands of the script that do nothing here, each once. */
  ignored: readonly string[];
  /** Virtual time that it took, microseconds. */
  micros: number;
}

/**
 * Words that the harness of the public collections defines for IPv4: the cookies that its Fast Open key gives the usual
 * addresses, the code of ICMP errors, and where errors come in ancillary data.
 */
const USUAL_WORDS: Readonly<Record<string, string>> = {
  TFO_COOKIE: "3021b9d889017eeb",
  TFO_COOKIE_ZERO: "b7c12350a90dc8f5",
  CODE: "host_unreachable",
  CMSG_LEVEL_IP: "SOL_IP",
  CMSG_TYPE_RECVERR: "IP_RECVERR",
};

/** What stands for words of a script: what was given, and the usual ones that it has. */
function wordsOf(text: string, given: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const usual = Object.entries(USUAL_WORDS).filter(([word]) => text.includes(word));
  return usual.length === 0 ? given : { ...Object.fromEntries(usual), ...given };
}

/** Worlds of this thread that can be used again, by what they are made of. */
const worlds = new Map<string, World>();
/** Each has some MiB; scripts of one collection are of one or two kinds. */
const WORLDS_MAX = 4;
const NAMES: Readonly<Record<string, number>> = Object.fromEntries(allNames());
/** The same names with those of TCP_INFO, whose values each piece of code finds renewed. */
const NAMES_WITH_INFO = { ...NAMES };

function worldOf(settings: Settings, debug: boolean | undefined): World {
  const { localAddress, netmask, gateway, mtu } = settings;
  const config: WorldConfig = { address: localAddress, netmask, gateway, mtu };
  const key = JSON.stringify([config, debug]);
  const known = worlds.get(key);
  if (known !== undefined) {
    known.reset();
    return known;
  }
  if (worlds.size >= WORLDS_MAX) worlds.clear();
  const world = new World(config, debug);
  worlds.set(key, world);
  return world;
}

/**
 * Runs a script.
 * @param text the script
 * @param file its name, for messages; paths in its shell commands count from its folder
 */
export function runScript(text: string, file: string, options: ScriptOptions = {}): ScriptResult {
  const run = new ScriptRun(file, options);
  try {
    run.run(text);
    return run.result("ok", 0, "");
  } catch (error) {
    return failureOf(run, error);
  }
}

function failureOf(run: ScriptRun, error: unknown): ScriptResult {
  if (error instanceof ScriptFailure) {
    const { line, message, expected, actual } = error;
    const details = expected === undefined || actual === undefined ? {} : { expected, actual };
    return { ...run.result("failed", line, message), ...details };
  }
  if (error instanceof ScriptRefusal) return run.result("refused", error.line, error.message);
  if (error instanceof ScriptError) {
    const status = error.code === "ERR_ORIBI_SCRIPT" ? "failed" : "refused";
    const message = status === "failed" ? `found ${error.found}; expected ${error.expected}` : error.expected;
    return { ...run.result(status, error.line, message), expected: error.excerpt(), actual: "" };
  }
  if (error instanceof PythonError) {
    return run.result(error.kind === "refused" ? "refused" : "failed", error.line, error.reason);
  }
  if (error instanceof CoreTrap || error instanceof OribiError) {
    // After a trap the world's memory may be in any state.
    worlds.clear();
    return run.result("failed", run.line, `the stack broke down: ${error.message}`);
  }
  // A mistake of the runner's own is this script's alone: those after it still run.
  worlds.clear();
  return run.result("failed", run.line, `the runner broke down: ${String(error)}`);
}

class ScriptRun {
  readonly #file: string;
  readonly #options: ScriptOptions;
  #script: Script | undefined;
  #runner: Runner | undefined;
  #world: World | undefined;
  #surroundings: Surroundings | undefined;
  #printed = "";

  constructor(file: string, options: ScriptOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** The line of the event that is being carried out. */
  get line(): number {
    return this.#runner?.line ?? 0;
  }

  run(text: string): void {
    const { define = {}, options = {}, debug } = this.#options;
    const script = parseScript(text, this.#file, wordsOf(text, define));
    this.#script = script;
    const outer = Object.entries(options).map(([name, value]): ScriptOption => ({ name, value, line: 0, column: 0 }));
    const settings = settingsOf(script, outer);
    const world = worldOf(settings, debug);
    this.#world = world;
    const surroundings = new Surroundings(world, { directory: dirname(this.#file) });
    this.#surroundings = surroundings;
    for (const command of settings.initScripts) surroundings.run(command, 0);
    for (const { command, line } of script.init) surroundings.run(command, line);
    surroundings.assumeReceiveBuffer(script);
    const runner = new Runner(script, settings, world, {
      shell: (command, line) => surroundings.run(command, line),
    });
    this.#runner = runner;
    try {
      runner.run();
    } finally {
      this.#options.onPackets?.(runner.seen);
    }
    for (const { command, line } of script.cleanup) surroundings.run(command, line);
    this.#runCodes(runner);
  }

  /** All code runs at the end, as one program over what TCP_INFO said when the script came to each piece. */
  #runCodes(runner: Runner): void {
    const variables: PythonVariables = new Map();
    for (const { event, info } of runner.codes) {
      const place = { file: this.#file, line: event.codeLine };
      const print = (text: string): void => void (this.#printed += text);
      const names = info === undefined ? NAMES : Object.assign(NAMES_WITH_INFO, info);
      runPython(event.code, names, print, place, variables);
    }
  }

  result(status: ScriptStatus, line: number, message: string): ScriptResult {
    const micros = this.#runner === undefined ? 0 : this.#runner.elapsed;
    const head = {
      file: this.#file,
      status,
      line,
      message,
      printed: this.#printed,
      micros,
      ignored: [...(this.#surroundings?.ignored ?? [])],
    };
    const isListed = status !== "ok" || this.#options.listAll === true;
    return { ...head, ...(isListed ? listing(this.#script, this.#runner) : { script: [], wire: [] }) };
  }
}

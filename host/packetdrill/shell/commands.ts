// The commands that scripts run, one by one: what each means, or that it means nothing.
// Read first: ../shell.ts, which puts them together; effects.ts.

import type { ShellEffect, Status } from "./effects.ts";
import { microsOf, runIfconfig, runIp, runTc } from "./network.ts";
import { isSetting, runSetSysctls, runSysctl, setSysctl } from "./sysctl.ts";

/** What a command gets besides its words. */
export interface CommandContext {
  effects: ShellEffect[];
  /** The file that standard output goes to. */
  output: string | undefined;
  variables: Map<string, string>;
  /** Reads commands from a file, with its path as it is written. */
  include(path: string): Status;
}

type Command = (words: readonly string[], context: CommandContext) => Status;

/** Commands that show something, tidy up, or set up what a simulated machine has no need of. */
const WITHOUT_MEANING = new Set(
  [
    "awk cat cd chmod chown clear cut date df dmesg ethtool file free head hostname id killall kmod ln logger ls",
    "lscpu lsmod mkdir modprobe mount mv netstat ps pwd rm rmdir rmmod sed set shopt sort ss sync tail tcpdump tee",
    "touch tr trap ulimit umask uname uniq unset uptime wait wc which whoami",
  ].flatMap((line) => line.split(" ")),
);
/** Packet filters. Rules that let pass, show or tidy up do nothing here; one that drops would. */
const FILTERS = /^(?:ip6?tables(?:-(?:legacy|nft|restore|save))?|arptables|ebtables|nft|ipset|conntrack)$/;
const DROPS = /^(?:DROP|REJECT|drop|reject|TCPMSS|DNAT|SNAT|MASQUERADE|REDIRECT|NFQUEUE|dnat|snat|masquerade|queue)$/;
const SCRIPTS = /\.sh$/;
const RESTORE = /^sysctl_restore_.*\.sh$/;
/** Times of the stack are compared modulo 2^32 ms: three weeks are safe. */
const SLEEP_MAX_MICROS = 21 * 86400e6;

const COMMANDS: Readonly<Record<string, Command>> = {
  sysctl: (words, { effects }) => runSysctl(words, effects),
  "set_sysctls.py": (words, { effects }) => runSetSysctls(words.slice(1), effects),
  ip: (words, context) => runIp(words, context.effects, refuser(words, context)),
  tc: (words, context) => runTc(words, context.effects, refuser(words, context)),
  ifconfig: (words, context) => runIfconfig(words, context.effects, refuser(words, context)),
  echo: (words, context) => write(echoed(words), words, context),
  printf: (words, context) => write((words[1] ?? "").replace(/\\n/g, "\n"), words, context),
  true: () => 0,
  ":": () => 0,
  false: () => 1,
  sleep: (words, context) => {
    // sleep counts seconds where routes count milliseconds.
    const micros = microsOf(/[a-z]$/.test(words[1] ?? "") ? words[1]! : `${words[1] ?? ""}s`);
    if (Number.isNaN(micros) || micros > SLEEP_MAX_MICROS) return refuser(words, context)("sleep needs seconds");
    context.effects.push({ kind: "sleep", micros });
    return 0;
  },
  usleep: (words, { effects }) => {
    effects.push({ kind: "sleep", micros: Number.parseInt(words[1] ?? "0", 10) || 0 });
    return 0;
  },
  export: (words, { variables }) => {
    for (const word of words.slice(1)) assign(word, variables);
    return 0;
  },
  dd: (words, context) => {
    const named = new Map(words.slice(1).map((word) => word.split("=", 2) as [string, string]));
    const bytes = sizeOf(named.get("bs") ?? "512") * sizeOf(named.get("count") ?? "");
    const path = named.get("of");
    if (path === undefined || !Number.isFinite(bytes) || named.get("if") !== "/dev/zero") {
      return refuser(words, context)("of dd, if=/dev/zero of=FILE bs=N count=N is interpreted");
    }
    context.effects.push({ kind: "file", path, bytes });
    return 0;
  },
};

/** Runs one command. @returns its status, undefined when it is not known */
export function runCommand(words: readonly string[], context: CommandContext): Status {
  const [program = "", ...rest] = words;
  const name = program.slice(program.lastIndexOf("/") + 1);
  if (/^(?:sudo|command|exec|nohup|time|env)$/.test(name)) {
    const first = rest.findIndex((word) => !word.startsWith("-") && !/^\w+=/.test(word));
    return first < 0 ? 0 : runCommand(rest.slice(first), context);
  }
  if (/^(?:python[\d.]*|perl|ruby)$/.test(name)) {
    const script = rest.find((word) => !word.startsWith("-")) ?? "";
    if (script.endsWith("set_sysctls.py")) return runSetSysctls(rest.slice(rest.indexOf(script) + 1), context.effects);
    return refuser(words, context)(`programs in ${name} are not run`);
  }
  if (/^(?:sh|bash|dash|source|\.)$/.test(name)) {
    const path = rest.find((word) => !word.startsWith("-"));
    if (path === undefined || rest.includes("-c")) return refuser(words, context)("a file of commands is needed");
    return runFile(path, context);
  }
  if (SCRIPTS.test(name)) return runFile(program, context);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) return command(words, context);
  if (FILTERS.test(name)) {
    const remedy = words.some((word) => /^(?:-D|-X|-F|--delete|--flush|delete|flush)$/.test(word));
    if (!remedy && words.some((word) => DROPS.test(word))) return refuser(words, context)("packets cannot be filtered");
    context.effects.push({ kind: "no-effect", what: words.join(" ") });
    return 0;
  }
  if (!WITHOUT_MEANING.has(name)) return refuser(words, context)(`"${name}" is no command that is interpreted`);
  if (context.output !== undefined && isSetting(context.output)) {
    return refuser(words, context)("the output of a program cannot become a setting");
  }
  context.effects.push({ kind: "ignored", what: words.join(" ") });
  return 0;
}

/** What echo writes. */
export function echoed(words: readonly string[]): string {
  return words.slice(words[1] === "-n" ? 2 : 1).join(" ");
}

/** Takes `NAME=VALUE`. @returns whether it was one */
export function assign(word: string, variables: Map<string, string>): boolean {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([^]*)$/.exec(word) ?? [];
  if (name === undefined || value === undefined) return false;
  variables.set(name, value);
  return true;
}

function runFile(path: string, context: CommandContext): Status {
  if (!RESTORE.test(path.slice(path.lastIndexOf("/") + 1))) return context.include(path);
  context.effects.push({ kind: "ignored", what: path });
  return 0;
}

function refuser(words: readonly string[], { effects }: CommandContext): (why: string) => undefined {
  return (why) => {
    effects.push({ kind: "refused", what: words.join(" "), why });
    return undefined;
  };
}

/** Text that is written to a setting, to another file, or to nobody. */
function write(text: string, words: readonly string[], { output, effects }: CommandContext): Status {
  if (output !== undefined && isSetting(output)) return setSysctl(output, text, effects);
  effects.push({ kind: "ignored", what: words.join(" ") });
  return 0;
}

/** dd's sizes: `512`, `1k`, `2M`. */
function sizeOf(text: string): number {
  const [, number, unit = ""] = /^(\d+)(|c|[kKMG]i?B?)$/.exec(text) ?? [];
  const power = { "": 0, c: 0, k: 1, K: 1, M: 2, G: 3 }[unit[0] ?? ""] ?? 0;
  return Number(number ?? NaN) * 1024 ** power;
}

// Settings: `sysctl -q -w NAME=VALUE ...`, `echo VALUE > /proc/sys/...`, `set_sysctls.py /proc/sys/...=VALUE`.
// Read first: sysctl(8); effects.ts.

import type { ShellEffect, Status } from "./effects.ts";

const PROC_SYS = "/proc/sys/";
const MODULE_PARAMETER = /^\/sys\/module\/(\w+)\/parameters\/(\w+)$/;
const SETTING = /^([A-Za-z0-9_./-]+?)\s*=\s*([^]*)$/;
/** Options of sysctl(8) that take a value. */
const WITH_VALUE = new Set(["-r", "--pattern", "-p", "--load"]);

/** A setting's name with dots, be it a path or with slashes. A module's parameter is module.NAME.PARAMETER. */
function sysctlName(text: string): string {
  const [, module, parameter] = MODULE_PARAMETER.exec(text) ?? [];
  if (module !== undefined) return `module.${module}.${parameter}`;
  const path = text.startsWith(PROC_SYS) ? text.slice(PROC_SYS.length) : text;
  return path.split("/").filter(Boolean).join(".");
}

/** Whether a file is a setting. */
export function isSetting(path: string): boolean {
  return path.startsWith(PROC_SYS) || MODULE_PARAMETER.test(path);
}

export function setSysctl(name: string, value: string, effects: ShellEffect[]): Status {
  effects.push({ kind: "sysctl", name: sysctlName(name), value: value.trim().split(/\s+/).join(" ") });
  return 0;
}

/** sysctl(8). Reading settings shows them to nobody. */
export function runSysctl(words: readonly string[], effects: ShellEffect[]): Status {
  for (let i = 1; i < words.length; i++) {
    const word = words[i]!;
    const [, name, value] = SETTING.exec(word) ?? [];
    if (WITH_VALUE.has(word)) {
      effects.push({ kind: "refused", what: words.join(" "), why: `sysctl with ${word}: write the settings out` });
      return undefined;
    }
    if (word.startsWith("-")) continue;
    if (name !== undefined && value !== undefined) setSysctl(name, value, effects);
    else if (words[i + 1] === "=") {
      // `sysctl -w name = value`, which some systems take
      setSysctl(word, words[i + 2] ?? "", effects);
      i += 2;
    } else effects.push({ kind: "ignored", what: `sysctl ${word}` });
  }
  return 0;
}

/** set_sysctls.py of the public collections, which also writes a script that restores everything. */
export function runSetSysctls(settings: readonly string[], effects: ShellEffect[]): Status {
  for (const setting of settings) {
    const [, name, value] = SETTING.exec(setting) ?? [];
    if (name !== undefined && value !== undefined) setSysctl(name, value, effects);
    else effects.push({ kind: "refused", what: setting, why: "set_sysctls.py takes /proc/sys/NAME=VALUE" });
  }
  return 0;
}

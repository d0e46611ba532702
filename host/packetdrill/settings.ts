// What a script runs with: its options and those of the command line over the original's defaults.
// Read first: the list of options of packetdrill (its --help); host/packetdrill/world.ts.

import { scanAddress } from "../posix/address.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import type { Script, ScriptOption } from "./script.ts";

/** Addresses are host-order numbers. */
export interface Settings {
  localAddress: number;
  netmask: number;
  remoteAddress: number;
  gateway: number;
  bindPort: number;
  connectPort: number;
  mtu: number;
  /** Bytes of each segment that a large injected packet stands for. */
  mss: number;
  /** Least tolerance of times, microseconds. */
  toleranceMicros: number;
  /** Tolerance of times as a share of the time since the event before. */
  toleranceShare: number;
  /** Microseconds of a tick of TCP timestamps; 0: values are not compared. */
  tickMicros: number;
  /** Shell commands that run before the script's own. */
  initScripts: string[];
}

const address = (text: string): number => scanAddress(text);

/** The original's defaults; its gateway is the host itself, here it is a neighbour of its own. */
export const SETTINGS_DEFAULTS: Readonly<Settings> = Object.freeze({
  localAddress: address("192.168.0.1"),
  netmask: address("255.255.0.0"),
  remoteAddress: address("192.0.2.1"),
  gateway: address("192.168.255.254"),
  bindPort: 8080,
  connectPort: 8080,
  mtu: 1500,
  mss: 1460,
  toleranceMicros: 4000,
  toleranceShare: 0.125,
  tickMicros: 0,
  initScripts: [],
});

/** Options that ask for what is not there. */
const REFUSED: Readonly<Record<string, string>> = {
  wire_client: "tests over a wire between two machines",
  wire_server: "tests over a wire between two machines",
  wire_client_dev: "tests over a wire between two machines",
  wire_server_dev: "tests over a wire between two machines",
  wire_server_ip: "tests over a wire between two machines",
  wire_server_port: "tests over a wire between two machines",
  so_filename: "other stacks as shared libraries",
  so_flags: "other stacks as shared libraries",
};

/** Options that change how the original works, and nothing here. */
const IDLE = new Set([
  "speed",
  "non_fatal",
  "send_omit_free",
  "verbose",
  "dry_run",
  "no_cleanup",
  "persistent_tun_dev",
  "tun_dev",
  "code_command",
  "code_format",
  "code_sockopt",
  "debug",
  "is_anyip",
  "strict_segments",
  "tcp_ts_ecr_scaled",
]);

/**
 * Reads options.
 * @param outer options of the command line, which win
 * @throws {ScriptRefusal} for those that are not supported
 * @throws {ScriptFailure} for those that nobody knows, and for values that cannot be
 */
export function settingsOf(script: Script, outer: readonly ScriptOption[] = []): Settings {
  const settings: Settings = { ...SETTINGS_DEFAULTS };
  for (const option of [...script.options, ...outer]) apply(settings, option);
  if (settings.gateway === settings.localAddress || !isNeighbour(settings)) settings.gateway = neighbourOf(settings);
  return settings;
}

/** Checks options of a command line before any script is read. @throws {ScriptFailure} {ScriptRefusal} */
export function checkOptions(options: Readonly<Record<string, string>>): void {
  const settings = { ...SETTINGS_DEFAULTS };
  for (const [name, value] of Object.entries(options)) apply(settings, { name, value, line: 0, column: 0 });
}

function isNeighbour({ gateway, localAddress, netmask }: Settings): boolean {
  return (gateway & netmask) === (localAddress & netmask);
}

/** The last address of the host's network before its broadcast address. */
function neighbourOf({ localAddress, netmask }: Settings): number {
  const last = ((localAddress & netmask) | (~netmask & 0xfffffffe)) >>> 0;
  return last === localAddress ? (last - 1) >>> 0 : last;
}

function apply(settings: Settings, option: ScriptOption): void {
  const { name, value, line } = option;
  if (Object.hasOwn(REFUSED, name)) throw new ScriptRefusal(line, `--${name} is not supported: ${REFUSED[name]}`);
  if (IDLE.has(name)) return;
  switch (name) {
    case "ip_version":
      if (value === "ipv4") return;
      throw new ScriptRefusal(line, `--ip_version=${value} is not supported: Oribi speaks IPv4`);
    case "local_ip":
      settings.localAddress = addressOf(option);
      return;
    case "remote_ip":
      settings.remoteAddress = addressOf(option);
      return;
    case "gateway_ip":
      settings.gateway = addressOf(option);
      return;
    case "netmask_ip":
      settings.netmask = addressOf(option);
      return;
    case "bind_port":
      settings.bindPort = numberOf(option, 1, 65535);
      return;
    case "connect_port":
      settings.connectPort = numberOf(option, 1, 65535);
      return;
    case "mtu":
      settings.mtu = numberOf(option, 68, 65535);
      return;
    case "mss":
      settings.mss = numberOf(option, 1, 65535);
      return;
    case "tolerance_usecs":
      settings.toleranceMicros = numberOf(option, 0, 1e12);
      return;
    case "tolerance_percent":
      settings.toleranceShare = numberOf(option, 0, 100) / 100;
      return;
    case "tcp_ts_tick_usecs":
      settings.tickMicros = numberOf(option, 0, 1e9);
      return;
    case "init_scripts":
      settings.initScripts = [...settings.initScripts, value];
      return;
    default:
      throw new ScriptFailure(line, `the option --${name} is not known`);
  }
}

function addressOf({ name, value, line }: ScriptOption): number {
  const text = value.replace(/\/\d+$/, "");
  const number = scanAddress(text);
  if (number >= 0) return number;
  throw new ScriptFailure(line, `--${name}=${value}: expected an IPv4 address`);
}

function numberOf({ name, value, line }: ScriptOption, least: number, most: number): number {
  const number = Number(value);
  if (value !== "" && number >= least && number <= most) return number;
  throw new ScriptFailure(line, `--${name}=${value}: expected a number from ${least} to ${most}`);
}

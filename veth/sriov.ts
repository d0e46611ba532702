// Exclusive mode: a NIC whose physical function (PF) is split into virtual ones (VFs), one for each stack.
// Read first: veth/datapath/eswitch.ts for the switch between them; Linux ip-link(8) "vf"; DPDK rte_eth_stats.

import {
  ESWITCH_COUNT,
  ESWITCH_HEADER,
  ESWITCH_PORT,
  ESWITCH_UNKNOWN,
  FUNCTION_BYTES,
  FUNCTION_DISABLED,
  FUNCTION_FLAGS,
  FUNCTION_MAC,
  FUNCTION_PORT,
  FUNCTION_SPOOFCHECK,
  FUNCTION_TCI,
  FUNCTION_TRUST,
  PORT_MAC,
  VFS_MAX,
} from "../assembly/layout.ts";
import { bytesAt, readCounter, readWord, VethError, type VethModule, writeWord } from "./module.ts";
import { UserVeth } from "./nic.ts";
import type { NicOptions } from "./nic-options.ts";
import { checkNames, OptionError, parseBoolean, parseInteger, parseMac, withDefaults } from "./options.ts";
import type { Xstats } from "./port.ts";

/** What `ip link set PF vf N` sets of a VF. */
export interface VfOptions {
  /** Its address. The stack that uses the VF takes it over when its host is made. */
  mac?: string;
  /** The VLAN that its frames are in on the wire, without the VF seeing a tag; 0: frames stay as they are. */
  vlan?: number;
  /** Priority of that tag, 0 to 7. */
  qos?: number;
  /** Drops what it sends with another's address; and tags, unless it is trusted. */
  spoofcheck?: boolean;
  /** It may be promiscuous, and use tags of its own. */
  trust?: boolean;
  /** "disable": nothing comes from it and nothing goes to it. */
  state?: "enable" | "disable";
}

/** What a VF is when nothing is said: as Linux has it. */
export const VF_DEFAULTS: Readonly<Required<Omit<VfOptions, "mac">>> = Object.freeze({
  vlan: 0,
  qos: 0,
  spoofcheck: true,
  trust: false,
  state: "enable",
});

export interface PfOptions extends Pick<
  NicOptions,
  "mac" | "mtu" | "queues" | "ringSize" | "rules" | "offloads" | "flowControl"
> {
  /** VFs, 1 to 63. */
  vfs: number;
}

/** What a VF is set to. */
export interface VfInfo extends Required<VfOptions> {
  vf: number;
}

/** The figures of rte_eth_stats. */
export interface EthStats {
  ipackets: number;
  opackets: number;
  ibytes: number;
  obytes: number;
  imissed: number;
  ierrors: number;
  oerrors: number;
  rx_nombuf: number;
}

/** Enough for frames between the wire and the functions: it has no stack, and nothing waits in it. */
const UPLINK_RING = 16;

/** A NIC with a PF and VFs. Each of them is a port: give it to a host. */
export class SriovNic {
  readonly kind = "sriov";
  readonly name: string;
  /** Address of the switch. */
  readonly handle: number;
  /** The port that is plugged into the network; it has no host. */
  readonly uplink: UserVeth;
  /** The physical function, a port like the others, and trusted. */
  readonly pf: UserVeth;
  readonly #module: VethModule;
  readonly #vfs: readonly UserVeth[];

  private constructor(module: VethModule, name: string, handle: number, uplink: UserVeth, ports: UserVeth[]) {
    this.#module = module;
    this.name = name;
    this.handle = handle;
    this.uplink = uplink;
    this.pf = ports[0] as UserVeth;
    this.#vfs = ports.slice(1);
  }

  /** Makes the NIC, plugged into nothing. @throws {OptionError} */
  static create(module: VethModule, name: string, options: PfOptions): SriovNic {
    const { vfs, mac, ...nic } = options;
    parseInteger("nic.vfs", vfs, 1, VFS_MAX);
    const { mtu, flowControl } = nic;
    const common = Object.fromEntries(Object.entries({ mtu, flowControl }).filter(([, value]) => value !== undefined));
    const uplink = UserVeth.create(module, { name, ringSize: UPLINK_RING, rules: 1, ...common });
    const ports = Array.from({ length: vfs + 1 }, (_, i) => {
      const own = i === 0 && mac !== undefined ? { mac } : {};
      return UserVeth.create(module, { ...nic, ...own, name: i === 0 ? `${name}.pf` : `${name}.vf${i - 1}` });
    });
    const handle = module.allocate(module.exports.eswitchBytes(ports.length));
    writeWord(module, handle + ESWITCH_COUNT, ports.length);
    writeWord(module, handle + ESWITCH_PORT, uplink.handle);
    ports.forEach((port, i) => {
      const at = functionAt(handle, i);
      writeWord(module, at + FUNCTION_PORT, port.handle);
      writeWord(module, at + FUNCTION_FLAGS, i === 0 ? FUNCTION_TRUST : FUNCTION_SPOOFCHECK);
      bytesAt(module, at + FUNCTION_MAC, 6).set(bytesAt(module, port.handle + PORT_MAC, 6));
    });
    module.exports.eswitchInit(handle);
    return new SriovNic(module, name, handle, uplink, ports);
  }

  /** How many VFs it has. */
  get vfs(): number {
    return this.#vfs.length;
  }

  /** The PF and the VFs. */
  get functions(): readonly UserVeth[] {
    return [this.pf, ...this.#vfs];
  }

  /** VF number `n`, from 0: a port. @throws {OptionError} */
  vf(n: number): UserVeth {
    parseInteger("vf", n, 0, this.#vfs.length - 1);
    return this.#vfs[n] as UserVeth;
  }

  /**
   * Changes a VF, as `ip link set PF vf N ...`; what is not named stays. A VLAN holds from the next frame on.
   * @throws {OptionError}; {VethError} ERR_ORIBI_MAC when the address is another function's
   */
  setVf(n: number, options: VfOptions): void {
    const port = this.vf(n);
    checkNames("vf", options, ["mac", ...Object.keys(VF_DEFAULTS)]);
    const { mac, vlan, qos, spoofcheck, trust, state } = withDefaults<Required<VfOptions>>(this.vfInfo(n), options);
    parseInteger("vf.vlan", vlan, 0, 4094);
    parseInteger("vf.qos", qos, 0, 7);
    parseBoolean("vf.spoofcheck", spoofcheck);
    parseBoolean("vf.trust", trust);
    if (state !== "enable" && state !== "disable") throw new OptionError("vf.state", state, '"enable" or "disable"');
    if (qos !== 0 && vlan === 0)
      throw new OptionError("vf.qos", qos, "0 without a VLAN: the priority is part of its tag");
    const bytes = this.#checkMac(n, mac);
    const at = functionAt(this.handle, n + 1);
    const flags =
      (spoofcheck ? FUNCTION_SPOOFCHECK : 0) |
      (trust ? FUNCTION_TRUST : 0) |
      (state === "disable" ? FUNCTION_DISABLED : 0);
    writeWord(this.#module, at + FUNCTION_FLAGS, flags);
    writeWord(this.#module, at + FUNCTION_TCI, vlan === 0 ? 0 : (qos << 13) | vlan);
    bytesAt(this.#module, at + FUNCTION_MAC, 6).set(bytes);
    bytesAt(this.#module, port.handle + PORT_MAC, 6).set(bytes);
  }

  /** What a VF is set to. */
  vfInfo(n: number): VfInfo {
    const port = this.vf(n);
    const at = functionAt(this.handle, n + 1);
    const flags = readWord(this.#module, at + FUNCTION_FLAGS);
    const tci = readWord(this.#module, at + FUNCTION_TCI);
    return {
      vf: n,
      mac: port.mac,
      vlan: tci & 0xfff,
      qos: tci >>> 13,
      spoofcheck: (flags & FUNCTION_SPOOFCHECK) !== 0,
      trust: (flags & FUNCTION_TRUST) !== 0,
      state: (flags & FUNCTION_DISABLED) !== 0 ? "disable" : "enable",
    };
  }

  /** The figures of a VF as rte_eth_stats has them; all of its counters are in `vf(n).xstats()`. */
  stats(n: number): EthStats {
    return ethStats(this.vf(n).xstats());
  }

  /** Frames from the network that were for nobody here, and were dropped. */
  get unknown(): number {
    return readCounter(this.#module, this.handle + ESWITCH_UNKNOWN);
  }

  /** Unplugs the NIC and gives its memory back. No thread may use it any more. */
  close(): void {
    if (readWord(this.#module, this.handle) === 0) return;
    this.uplink.close();
    for (const port of this.functions) port.close();
    writeWord(this.#module, this.handle, 0);
    this.#module.free?.(this.handle);
  }

  #checkMac(n: number, mac: string): Uint8Array {
    const bytes = parseMac("vf.mac", mac);
    if (((bytes[0] as number) & 1) !== 0)
      throw new OptionError("vf.mac", mac, "an address of one station, not a group");
    const other = this.functions.find((port, i) => i !== n + 1 && port.mac === mac.toLowerCase().replaceAll("-", ":"));
    if (other !== undefined) throw new VethError("ERR_ORIBI_MAC", `${mac} is the address of ${other.name} already.`);
    return bytes;
  }
}

/** xstats summed up as rte_eth_stats does. */
export function ethStats(xstats: Xstats): EthStats {
  const of = (name: string): number => xstats[name] ?? 0;
  return {
    ipackets: of("rx_good_packets"),
    opackets: of("tx_good_packets"),
    ibytes: of("rx_good_bytes"),
    obytes: of("tx_good_bytes"),
    imissed: of("rx_missed_errors"),
    ierrors: of("rx_oversize_errors") + of("rx_l4_checksum_errors") + of("rx_ip_checksum_errors"),
    oerrors: of("tx_errors") + of("tx_oversize_errors") + of("tx_spoofed_errors") + of("tx_vlan_errors"),
    rx_nombuf: of("rx_mbuf_allocation_errors"),
  };
}

function functionAt(handle: number, index: number): number {
  return handle + ESWITCH_HEADER + index * FUNCTION_BYTES;
}

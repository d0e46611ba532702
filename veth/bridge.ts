// user-vbridge seen from the host: a learning, VLAN-aware switch in shared memory; and the plain cable.
// Read first: veth/datapath/bridge.ts; Linux bridge(8), "bridge fdb", "bridge vlan".

import {
  BRIDGE_AGING,
  BRIDGE_COUNTERS,
  BRIDGE_ENTRIES,
  BRIDGE_FLAGS,
  BRIDGE_FLOODED,
  BRIDGE_FORWARDED,
  BRIDGE_HAIRPINS,
  BRIDGE_LEARNED,
  BRIDGE_MAC_TABLE,
  BRIDGE_MOVED,
  BRIDGE_SLOT_TABLE,
  BRIDGE_SLOTS,
  BRIDGE_TABLE_FULL,
  BRIDGE_USED,
  BRIDGE_VLAN_AWARE,
  BRIDGE_VLAN_DROPS,
  EBUSY,
  MAC_ENTRY_BYTES,
  SLOT_BYTES,
  SLOT_FLOODED,
  SLOT_FORWARDED,
  SLOT_PORT,
  SLOT_PVID,
  SLOT_TAGGED,
  SLOT_UNTAGGED,
  TXQ_FLOODED,
  TXQ_FORWARDED,
} from "../assembly/layout.ts";
import { bytesAt, readCounter, readWord, VethError, type VethModule, viewOf, writeWord } from "./module.ts";
import {
  checkNames,
  type Duration,
  OptionError,
  parseBoolean,
  parseDuration,
  parseInteger,
  parsePowerOfTwo,
  withDefaults,
  formatMac,
} from "./options.ts";
import type { Port } from "./port.ts";
import { readTxCounter } from "./xstats.ts";

export interface BridgeOptions {
  name?: string;
  /** Ports that fit, 2 to 4096. */
  ports?: number;
  /** MAC addresses that fit: a power of two, 8 to 1048576. What does not fit is flooded. */
  entries?: number;
  /** How long an address is remembered that is not seen; 0 = for ever. */
  aging?: Duration;
  /** Keeps VLANs apart; otherwise tags pass as they are. */
  vlanAware?: boolean;
}

export const BRIDGE_DEFAULTS = Object.freeze({ ports: 256, entries: 4096, aging: "300s", vlanAware: false });

/** The VLANs of a port of a VLAN-aware bridge. */
export interface VlanOptions {
  /** An access port: in and out without a tag, in this VLAN. Stands for `pvid` and `untagged`. */
  access?: number;
  /** VLAN of frames that come in without a tag; 0 = they are dropped. Default 1. */
  pvid?: number;
  /** VLAN that leaves without its tag; 0 = none. Default: `pvid`. */
  untagged?: number;
  /** VLANs that come and leave with a tag (a trunk). */
  tagged?: readonly number[];
}

/** One learned address. */
export interface MacEntry {
  mac: string;
  /** 0 on a bridge that is not VLAN-aware. */
  vlan: number;
  /** Which of the bridge's ports it is behind. */
  slot: number;
  /** Milliseconds, modulo 2^32, of the time base of the polls; up to a 256th of the aging time old. */
  seenMillis: number;
}

export interface BridgeCounters {
  forwarded: number;
  flooded: number;
  learned: number;
  moved: number;
  tableFull: number;
  vlanDrops: number;
  hairpins: number;
}

const COUNTERS: Record<keyof BridgeCounters, number> = {
  forwarded: BRIDGE_FORWARDED,
  flooded: BRIDGE_FLOODED,
  learned: BRIDGE_LEARNED,
  moved: BRIDGE_MOVED,
  tableFull: BRIDGE_TABLE_FULL,
  vlanDrops: BRIDGE_VLAN_DROPS,
  hairpins: BRIDGE_HAIRPINS,
};

/** Enough to open a bridge again in another thread: plain data. */
export interface BridgeDescription {
  kind: "user-vbridge";
  name: string;
  handle: number;
}

const NO_SLOT = 0xffffffff;
const CLAIMED = 0xffffffffffffffffn;

/** A switch that ports plug into. Every sender's thread does its work; the table is common. */
export class UserVbridge {
  readonly kind = "user-vbridge";
  readonly name: string;
  readonly handle: number;
  readonly #module: VethModule;

  private constructor(module: VethModule, name: string, handle: number) {
    this.#module = module;
    this.name = name;
    this.handle = handle;
  }

  /** @throws {OptionError} */
  static create(module: VethModule, options: BridgeOptions = {}): UserVbridge {
    checkNames("bridge", options, ["name", ...Object.keys(BRIDGE_DEFAULTS)]);
    const merged = withDefaults<Required<Omit<BridgeOptions, "name">>>(BRIDGE_DEFAULTS, options);
    const ports = parseInteger("bridge.ports", merged.ports, 2, 4096);
    const entries = parsePowerOfTwo("bridge.entries", merged.entries, 8, 1048576);
    const aging = Math.ceil(parseDuration("bridge.aging", merged.aging) / 1000);
    if (aging > 0x7fffffff) throw new OptionError("bridge.aging", merged.aging, "at most 24 days");
    const vlanAware = parseBoolean("bridge.vlanAware", merged.vlanAware);
    const handle = module.allocate(module.exports.bridgeBytes(ports, entries));
    writeWord(module, handle + BRIDGE_FLAGS, vlanAware ? BRIDGE_VLAN_AWARE : 0);
    writeWord(module, handle + BRIDGE_AGING, aging);
    writeWord(module, handle + BRIDGE_SLOTS, ports);
    writeWord(module, handle + BRIDGE_ENTRIES, entries);
    module.exports.bridgeInit(handle);
    return new UserVbridge(module, options.name ?? "bridge", handle);
  }

  /** Opens a bridge that another thread made. */
  static attach(module: VethModule, description: BridgeDescription): UserVbridge {
    return new UserVbridge(module, description.name, description.handle);
  }

  describe(): BridgeDescription {
    return { kind: this.kind, name: this.name, handle: this.handle };
  }

  get vlanAware(): boolean {
    return (this.#word(BRIDGE_FLAGS) & BRIDGE_VLAN_AWARE) !== 0;
  }

  /**
   * Plugs a port in.
   * @returns which of the bridge's ports it is now
   * @throws {VethError} ERR_ORIBI_PLUGGED when it is plugged in somewhere, ERR_ORIBI_BRIDGE_FULL
   */
  plug(port: Port, vlan?: VlanOptions): number {
    const checked = vlan === undefined ? undefined : this.#checkVlan(vlan);
    const slot = this.#module.exports.bridgeAttach(this.handle, port.handle);
    if (slot === -EBUSY)
      throw new VethError("ERR_ORIBI_PLUGGED", `${port.name} is plugged in already: unplug it first.`);
    if (slot < 0) {
      const ports = this.#word(BRIDGE_SLOTS);
      throw new VethError("ERR_ORIBI_BRIDGE_FULL", `${this.name} has ${ports} ports, all in use (option "ports").`);
    }
    if (checked !== undefined) this.#writeVlan(slot, checked);
    return slot;
  }

  /** Unplugs a port; the addresses behind it are forgotten. @returns false when it was not plugged in here */
  unplug(port: Port): boolean {
    return this.#module.exports.bridgeDetach(this.handle, port.handle) === 0;
  }

  /** Which of the bridge's ports it is, or -1. */
  slotOf(port: Port): number {
    for (let slot = 0; slot < this.#word(BRIDGE_USED); slot++) {
      if (readWord(this.#module, this.#slotAddress(slot) + SLOT_PORT) === port.handle) return slot;
    }
    return -1;
  }

  /** Sets the VLANs of a port. @throws {OptionError}; {VethError} ERR_ORIBI_PLUGGED when it is not plugged in here */
  setVlan(port: Port, vlan: VlanOptions): void {
    const checked = this.#checkVlan(vlan);
    const slot = this.slotOf(port);
    if (slot < 0) throw new VethError("ERR_ORIBI_PLUGGED", `${port.name} is not plugged into ${this.name}.`);
    this.#writeVlan(slot, checked);
  }

  /** The VLANs of a port. */
  vlanOf(port: Port): Required<Omit<VlanOptions, "access">> | undefined {
    const slot = this.slotOf(port);
    if (slot < 0) return undefined;
    const at = this.#slotAddress(slot);
    const bits = bytesAt(this.#module, at + SLOT_TAGGED, 512);
    const tagged: number[] = [];
    for (let id = 0; id < 4096; id++) if ((((bits[id >> 3] as number) >> (id & 7)) & 1) !== 0) tagged.push(id);
    return {
      pvid: readWord(this.#module, at + SLOT_PVID),
      untagged: readWord(this.#module, at + SLOT_UNTAGGED),
      tagged,
    };
  }

  /** The addresses that are remembered; those that have aged out may still be there. */
  table(): MacEntry[] {
    const entries: MacEntry[] = [];
    const start = this.#word(BRIDGE_MAC_TABLE);
    const view = viewOf(this.#module);
    for (let i = 0; i < this.#word(BRIDGE_ENTRIES); i++) {
      const at = start + i * MAC_ENTRY_BYTES;
      const key = view.getBigUint64(at, true);
      const slot = view.getUint32(at + 8, true);
      if (key === 0n || key === CLAIMED || slot === NO_SLOT) continue;
      const mac = formatMac(bytesAt(this.#module, at, 6));
      entries.push({ mac, vlan: Number(key >> 48n), slot, seenMillis: view.getUint32(at + 12, true) });
    }
    return entries;
  }

  /** Forgets every address. */
  flush(): void {
    this.#module.exports.bridgeFlush(this.handle);
  }

  counters(): BridgeCounters {
    const counters = {} as BridgeCounters;
    for (const [name, index] of Object.entries(COUNTERS)) {
      counters[name as keyof BridgeCounters] = readCounter(this.#module, this.handle + BRIDGE_COUNTERS + index * 8);
    }
    for (let slot = 0; slot < this.#word(BRIDGE_USED); slot++) {
      counters.forwarded += readCounter(this.#module, this.#slotAddress(slot) + SLOT_FORWARDED);
      counters.flooded += readCounter(this.#module, this.#slotAddress(slot) + SLOT_FLOODED);
      const port = readWord(this.#module, this.#slotAddress(slot) + SLOT_PORT);
      if (port === 0) continue;
      counters.forwarded += readTxCounter(this.#module, port, TXQ_FORWARDED);
      counters.flooded += readTxCounter(this.#module, port, TXQ_FLOODED);
    }
    return counters;
  }

  /** Unplugs every port and gives the memory back. No thread may use it any more. */
  close(): void {
    if (this.#word(0) === 0) return;
    for (let slot = 0; slot < this.#word(BRIDGE_USED); slot++) {
      const port = readWord(this.#module, this.#slotAddress(slot) + SLOT_PORT);
      if (port !== 0) this.#module.exports.bridgeDetach(this.handle, port);
    }
    writeWord(this.#module, this.handle, 0);
    this.#module.free?.(this.handle);
  }

  #checkVlan(vlan: VlanOptions): Required<Omit<VlanOptions, "access">> {
    checkNames("vlan", vlan, ["access", "pvid", "untagged", "tagged"]);
    if (vlan.access !== undefined) {
      const id = parseInteger("vlan.access", vlan.access, 1, 4094);
      if (vlan.pvid !== undefined || vlan.untagged !== undefined || vlan.tagged !== undefined) {
        throw new OptionError("vlan.access", vlan.access, "alone, or left out in favour of pvid, untagged and tagged");
      }
      return { pvid: id, untagged: id, tagged: [] };
    }
    const pvid = parseInteger("vlan.pvid", vlan.pvid ?? 1, 0, 4094);
    const untagged = parseInteger("vlan.untagged", vlan.untagged ?? pvid, 0, 4094);
    const tagged = (vlan.tagged ?? []).map((id) => parseInteger("vlan.tagged", id, 1, 4094));
    return { pvid, untagged, tagged };
  }

  #writeVlan(slot: number, vlan: Required<Omit<VlanOptions, "access">>): void {
    const bits = new Uint8Array(512);
    for (const id of vlan.tagged) bits[id >> 3] = (bits[id >> 3] as number) | (1 << (id & 7));
    bytesAt(this.#module, this.#slotAddress(slot) + SLOT_TAGGED, 512).set(bits);
    this.#module.exports.bridgeSetVlan(this.handle, slot, vlan.pvid, vlan.untagged);
  }

  #slotAddress(slot: number): number {
    return this.#word(BRIDGE_SLOT_TABLE) + slot * SLOT_BYTES;
  }

  #word(offset: number): number {
    return readWord(this.#module, this.handle + offset);
  }
}

/** Connects two ports back to back. @throws {VethError} ERR_ORIBI_PLUGGED when one is plugged in already */
export function connectCable(module: VethModule, a: Port, b: Port): void {
  if (module.exports.cableConnect(a.handle, b.handle) === 0) return;
  throw new VethError("ERR_ORIBI_PLUGGED", `${a.name} or ${b.name} is plugged in already: unplug it first.`);
}

/** Pulls the cable out of a port, and out of the one at its other end. @returns false when there was none */
export function disconnectCable(module: VethModule, port: Port): boolean {
  return module.exports.cableDisconnect(port.handle) === 0;
}

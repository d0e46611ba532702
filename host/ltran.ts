// ltran mode: stacks in memories of their own behind one NIC, and the forwarder that copies frames between them.
// Read first: DESIGN.md sections 2 and 4; veth/ltran.ts, which does the forwarding; openEuler Gazelle, "ltran".
//
// Frames are copied, once in each direction more than on a bridge. In return a stack that crashes, is terminated, does
// not poll or scribbles over its memory concerns nobody else: its ltran drops what is for it, and counts that.

import {
  Forwarder,
  FORWARDER_DEFAULTS,
  type ForwarderCounters,
  type ForwarderOptions,
  forwarderOptions,
  type NicOptions,
  type StationCounters,
  type StationState,
  UserVeth,
  type UserVbridge,
  type VethModule,
  wakerOf,
  type Xstats,
} from "../veth/index.ts";
import { checkNames } from "../veth/options.ts";
import { parseCidr } from "./cidr.ts";
import { Compartment } from "./compartment.ts";
import type { CoreOptions, CoreTrap } from "./core.ts";
import { OribiError, optionError } from "./errors.ts";
import type { HostOptions } from "./network-options.ts";
import type { Host } from "./host.ts";
import type { HostStack } from "./host-stack.ts";
import { POLL_MODES, type PollMode } from "./threads/thread-driver.ts";
import type { Runner } from "./threads/runner.ts";

export interface LtranOptions extends ForwarderOptions, Pick<NicOptions, "mtu" | "ringSize" | "flowControl"> {
  /** The bridge that its NIC is plugged into; without one it is plugged into nothing. */
  bridge?: UserVbridge;
  /** Runs it in a thread of its own; otherwise it is stepped with the network. Default: in real time. */
  thread?: boolean;
  /** How that thread waits for work. */
  poll?: PollMode;
}

/** What net.ltran() makes when nothing is said. */
export const LTRAN_DEFAULTS: Readonly<Required<ForwarderOptions> & { poll: PollMode }> = Object.freeze({
  ...FORWARDER_DEFAULTS,
  poll: "adaptive",
});

/** What an ltran does for one host, and how that is. */
export interface StationReport extends StationCounters {
  host: string;
  state: StationState;
}

/** What it needs of its network. */
export interface LtranOwner {
  readonly veth: VethModule;
  readonly core: CoreOptions;
  /** It has started or stopped running in this thread. */
  moved(): void;
  /** Its thread is to be told of a new trunk. */
  told(ltran: Ltran, place: { slot: number; compartment: Compartment }): void;
}

/** One stack behind it. */
interface Station {
  slot: number;
  compartment: Compartment;
  host: Host | undefined;
}

/** A forwarder with its NIC. Make one with Network.ltran(), and hosts behind it with `{ ltran }`. */
export class Ltran implements Runner {
  readonly name: string;
  /** Its NIC, on the bridge. */
  readonly nic: UserVeth;
  readonly poll: PollMode;
  /** @internal */
  readonly forwarder: Forwarder;
  readonly #owner: LtranOwner;
  readonly #stations: Station[] = [];
  #thread: Runner["thread"] = "main";
  #trap: CoreTrap | undefined;

  /** @internal use Network.ltran() @throws {OptionError} */
  constructor(owner: LtranOwner, name: string, options: Omit<LtranOptions, "thread">) {
    const { bridge, poll = LTRAN_DEFAULTS.poll, mtu, ringSize, flowControl, ...forwarder } = options;
    checkNames("ltran", forwarder, Object.keys(FORWARDER_DEFAULTS));
    if (!POLL_MODES.includes(poll)) throw optionError("poll", poll, '"busy", "adaptive" or "lowPower"');
    const { stacks } = forwarderOptions(forwarder);
    const nic: NicOptions = { name, promiscuous: true, txQueues: stacks, rules: 1 };
    for (const [key, value] of Object.entries({ mtu, ringSize, flowControl })) {
      if (value !== undefined) Object.assign(nic, { [key]: value });
    }
    this.name = name;
    this.poll = poll;
    this.#owner = owner;
    this.nic = UserVeth.create(owner.veth, nic);
    this.forwarder = Forwarder.create(owner.veth, this.nic, forwarder);
    bridge?.plug(this.nic);
  }

  /** The hosts behind it. */
  get hosts(): readonly Host[] {
    return this.#stations.flatMap(({ host }) => host ?? []);
  }

  get thread(): Runner["thread"] {
    return this.#thread;
  }

  set thread(thread: Runner["thread"]) {
    this.#thread = thread;
    this.#owner.moved();
  }

  /** What stopped it. */
  get trap(): CoreTrap | undefined {
    return this.#trap;
  }

  set trap(trap: CoreTrap | undefined) {
    this.#trap = trap;
    this.#owner.moved();
  }

  /** True while it is this thread's to step. */
  get isHere(): boolean {
    return this.#thread === "main" && this.#trap === undefined;
  }

  /** Time of its latest beat, microseconds. */
  get lastBeat(): number {
    return this.forwarder.lastBeat;
  }

  /** One beat in this thread; returns the frames forwarded. */
  beat(now: number): number {
    return this.forwarder.beat(now);
  }

  /** When it wants to be stepped though nothing arrives, microseconds; Infinity: no need. */
  nextDeadline(): number {
    return this.isHere ? Math.min(this.forwarder.nextDeadline, this.nic.nextDue) : Infinity;
  }

  /** Does something wait for it? */
  hasArrivals(): boolean {
    return this.nic.pending(0) > 0 || this.forwarder.hasOutput();
  }

  setDoorbell(bell: number): void {
    this.nic.setDoorbell(0, bell);
    this.forwarder.bell = bell;
  }

  takeBack(): void {}

  /** The counters of all that it forwards; those of its NIC are xstats(). */
  counters(): ForwarderCounters {
    return this.forwarder.counters();
  }

  /** What it does for one host. @throws {OribiError} ERR_ORIBI_OPTION when the host is not behind it */
  report(host: Host): StationReport {
    const { slot } = this.#stationOf(host);
    return { host: host.name, state: this.forwarder.state(slot), ...this.forwarder.stationCounters(slot) };
  }

  /** The NIC's counters. */
  xstats(): Xstats {
    return this.nic.xstats();
  }

  /**
   * @internal a memory and a place for a host that is being made. Hosts with one IPv4 address have one MAC address.
   * @throws {OptionError}; {VethError} ERR_ORIBI_LTRAN_FULL
   */
  compartment(nic: NicOptions, options: HostOptions): { compartment: Compartment; slot: number } {
    const { address } = parseCidr("address", options.address);
    const sibling = this.#siblings(options.address)[0];
    const mac = options.mac ?? sibling?.nic.mac;
    if (sibling !== undefined && mac !== sibling.nic.mac) {
      throw optionError("mac", options.mac, `${sibling.nic.mac}, as host "${sibling.name}" has with the same address`);
    }
    const { forwarder } = this;
    const waker = wakerOf(this.#owner.veth.memory, forwarder.handle);
    const own = { mtu: this.nic.mtu, ...nic, ...(mac === undefined ? {} : { mac }) };
    const compartment = new Compartment(own, forwarder.ring, this.#owner.core, waker);
    const bytes = Uint8Array.from(compartment.nic.mac.split(":"), (byte) => parseInt(byte, 16));
    const slot = forwarder.station(bytes, address);
    this.#stations.push({ slot, compartment, host: undefined });
    forwarder.connect({ slot, memory: compartment.memory, trunk: compartment.trunk.handle });
    this.#owner.told(this, { slot, compartment });
    return { compartment, slot };
  }

  /** @internal the host is made: its stack is served from now on */
  adopt(host: Host, slot: number): void {
    const station = this.#stations.find((each) => each.slot === slot) as Station;
    station.host = host;
    this.forwarder.start(slot);
    this.#divideLocalPorts(host);
  }

  /** @internal every trunk, for a thread that begins */
  get trunks(): { slot: number; compartment: Compartment }[] {
    return this.#stations.map(({ slot, compartment }) => ({ slot, compartment }));
  }

  /** @internal the stack of a host has stopped: what is for it is dropped */
  stop(stack: HostStack): void {
    this.forwarder.stop(this.#stationOfStack(stack).slot);
  }

  /** @internal has a stack been cut off, because its memory held what cannot be? */
  isRefused(stack: HostStack): boolean {
    return this.forwarder.state(this.#stationOfStack(stack).slot) === "refused";
  }

  /** @internal makes memory, NIC and trunk of a stack anew when nobody uses them any more; false: not yet */
  renew(stack: HostStack): boolean {
    const { slot, compartment } = this.#stationOfStack(stack);
    this.forwarder.stop(slot);
    if (this.isHere) this.forwarder.heed();
    if (this.#thread !== "lost" && this.forwarder.isServed(slot)) return false;
    compartment.renew();
    return true;
  }

  /** @internal the stack runs again */
  resume(stack: HostStack): void {
    this.forwarder.start(this.#stationOfStack(stack).slot);
  }

  /** Hosts that share an address choose local ports from ranges of their own: no two open the same connection. */
  #divideLocalPorts(host: Host): void {
    const sharers = this.#siblings(host.address);
    if (sharers.length < 2) return;
    const width = Math.floor((LOCAL_PORTS.last - LOCAL_PORTS.first + 1) / sharers.length);
    sharers.forEach((each, i) => {
      const first = LOCAL_PORTS.first + i * width;
      each.sysctl("ip_local_port_range", `${first} ${first + width - 1}`);
    });
  }

  #siblings(address: string): Host[] {
    const text = address.split("/")[0];
    return this.hosts.filter((host) => host.address === text);
  }

  #stationOf(host: Host): Station {
    const station = this.#stations.find((each) => each.host === host);
    if (station === undefined) throw optionError("host", host, `a host behind the ltran "${this.name}"`);
    return station;
  }

  #stationOfStack(stack: HostStack): Station {
    const station = this.#stations.find(({ host }) => host?.stacks.includes(stack) === true);
    if (station === undefined) throw new OribiError("ERR_ORIBI_STACK", `"${stack.name}" is not behind "${this.name}".`);
    return station;
  }
}

/** Linux's ip_local_port_range. */
const LOCAL_PORTS = { first: 32768, last: 60999 };

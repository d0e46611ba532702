// Makes the hosts of a network: a NIC, or a place behind an ltran; the stacks behind it; addresses and routes.
// Read first: network.ts, which keeps them; network-options.ts for what is asked for.

import { type SriovNic, UserVeth, type VethModule } from "../veth/index.ts";
import { parseCidr } from "./cidr.ts";
import { type CoreOptions, instantiateStack, type SharedMemory, type StackExports } from "./core.ts";
import { optionError } from "./errors.ts";
import { createGroup, enroll } from "./group.ts";
import { Host, type HostLink } from "./host.ts";
import { directionsOf, type HostLinks } from "./host-links.ts";
import { HostStack, shareQueues } from "./host-stack.ts";
import type { Cell, Ltrans } from "./ltrans.ts";
import type { Manager } from "./manager.ts";
import { checkPlace, type HostOptions, nicOptionsOf, stacksOf } from "./network-options.ts";
import { scanAddress } from "./posix/address.ts";
import type { Waiter } from "./posix/waiter.ts";
import { seedWords } from "./seed.ts";
import { type Membership, Stack, type StackPlace } from "./stack.ts";
import type { StackOptions } from "./stack-options.ts";
import { affinityOf } from "./threads/affinity.ts";

/** The network, as far as the making of hosts is concerned. */
export interface HostMakerNetwork {
  readonly seed: number | string;
  readonly veth: VethModule;
  readonly core: CoreOptions;
  readonly hosts: readonly Host[];
  readonly nics: readonly SriovNic[];
  readonly ltrans: Ltrans;
  readonly links: HostLinks;
  readonly manager: Manager;
  readonly waiter: Waiter;
  now(): number;
  /** A stack has started or stopped running in this thread. */
  moved(): void;
}

/** Makes hosts, and sets their stacks up again after a crash. */
export class HostMaker {
  readonly #network: HostMakerNetwork;
  #layer: StackExports | undefined;

  constructor(network: HostMakerNetwork) {
    this.#network = network;
  }

  /** An instance that lays things out in the network's memory; made when it is first wanted. */
  get layer(): StackExports {
    const { veth, core } = this.#network;
    return (this.#layer ??= instantiateStack(veth.memory as SharedMemory, veth.exports, core));
  }

  /** @throws {OribiError} ERR_ORIBI_OPTION for options that cannot be, ERR_ORIBI_MEMORY when the 4 GiB are full */
  make(name: string, options: HostOptions): { host: Host; cell: Cell | undefined } {
    const { links, manager, ltrans, waiter } = this.#network;
    parseCidr("address", options.address);
    const stacks = stacksOf(options);
    checkPlace(options, stacks);
    if (options.link !== undefined) directionsOf(options.link);
    const cpus = affinityOf(options, stacks);
    const cell = this.#cell(name, options);
    const nic = cell?.compartment.nic ?? this.#nic(name, { ...options, queues: options.queues ?? stacks }, stacks);
    const text = options.address.split("/")[0] as string;
    const shared = stacks === 1 ? undefined : this.#group(nic, stacks, options.stack ?? {});
    const owner = {
      prepare: (each: HostStack) => this.#prepare(each, options),
      trapped: (each: HostStack) => (cell === undefined ? manager.buryHere(each) : ltrans.lost(each)),
      moved: () => this.#network.moved(),
    };
    const made = shareQueues(nic.queues, stacks).map((queues, index) => {
      const membership = { group: shared?.base ?? 0, index, id: manager.registry.number() };
      const title = stacks === 1 ? name : `${name}#${index}`;
      const cores = cpus[index] as readonly number[];
      const place = { name: title, address: text, index, nic, queues, membership, cpus: cores };
      const stack = this.#stack(options, name, membership, cell?.compartment.veth ?? this.#network.veth);
      return new HostStack(place, stack, waiter, owner, cell?.isolation);
    });
    const setLink = (of: Host, link: HostLink): void => this.#setLink(of, link);
    const host = new Host(name, text, nic, made, shared, setLink, cell?.compartment.veth);
    for (const [key, value] of Object.entries(options.sysctl ?? {})) host.sysctl(key, value);
    for (const each of made) this.#prepare(each, options);
    if (options.link !== undefined) links.set(host, options.link);
    options.bridge?.plug(nic);
    return { host, cell };
  }

  /** Makes a stack of a host. All stacks of a host have one secret: any may take a SYN cookie. */
  #stack(options: HostOptions, host: string, membership: Membership, veth: VethModule): Stack {
    const { seed, core } = this.#network;
    const secret = seedWords(seed, `host ${host}`);
    const allocate = (bytes: number): number => veth.allocate(bytes);
    const memory = veth.memory as SharedMemory;
    const now = this.#network.now();
    return Stack.create(memory, veth.exports, allocate, options.stack ?? {}, secret, now, membership, core);
  }

  /** Gives a stack, new or made anew, its queues, its interface and its routes. */
  #prepare(each: HostStack, options: HostOptions): void {
    const { stack, nic, queues } = each;
    const { address, netmask } = parseCidr("address", options.address);
    enroll(stack.memory, each);
    this.#network.manager.start(each, options.stack?.forwarding === true);
    stack.addInterface({
      port: nic.handle,
      queue: queues.first,
      queues: queues.count,
      txQueue: queues.tx,
      mac: Uint8Array.from(nic.mac.split(":"), (byte) => parseInt(byte, 16)),
      address,
      netmask,
      mtu: nic.mtu,
      capabilities: nic.capabilities,
    });
    if (options.gateway !== undefined) this.#setGateway(each, options.gateway);
  }

  #group(nic: UserVeth, stacks: number, options: StackOptions): StackPlace {
    const { veth } = this.#network;
    const memory = veth.memory as SharedMemory;
    return createGroup(memory, this.layer, (bytes) => veth.allocate(bytes), nic, stacks, options);
  }

  #nic(name: string, options: HostOptions, stacks: number): UserVeth {
    const { veth, hosts, nics } = this.#network;
    const { port } = options;
    if (port === undefined) return UserVeth.create(veth, nicOptionsOf(name, options, stacks));
    const user = hosts.find(({ nic }) => nic === port);
    if (user !== undefined) throw optionError("port", port.name, `a NIC that host "${user.name}" does not have`);
    if (!nics.some(({ functions }) => functions.includes(port))) {
      throw optionError("port", port.name, "a function of a NIC of this network, as nic.vf(0)");
    }
    port.up = true;
    return port;
  }

  /** A memory of its own for a host behind an ltran. */
  #cell(name: string, options: HostOptions): Cell | undefined {
    const { veth, ltrans } = this.#network;
    const { ltran } = options;
    if (ltran === undefined) return undefined;
    if (!ltrans.all.includes(ltran)) throw optionError("ltran", ltran.name, "an ltran of this network");
    const index = UserVeth.takeIndex(veth);
    return ltrans.cell(ltran, { ...nicOptionsOf(name, options, 1), index }, options);
  }

  #setLink(host: Host, link: HostLink): void {
    if (host.veth !== undefined) throw optionError("link", link, "before another host: this one is behind an ltran");
    this.#network.links.set(host, link);
  }

  #setGateway({ stack }: HostStack, gateway: string): void {
    const address = scanAddress(gateway);
    if (address < 0 || stack.core.routeAdd(0, 0, address, 1) < 0) {
      throw optionError("gateway", gateway, "an IPv4 address on the host's own network");
    }
  }
}

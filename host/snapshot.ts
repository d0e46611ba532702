// Snapshots of a network in simulated time: what its memory, its clock and its captures hold, to come back to.
// Read first: DESIGN.md section 5; veth/datapath/snapshot.ts (the copying), assembly/extents.ts (what is copied).

import {
  EXTENT_BYTES,
  EXTENTS_BRIDGE_MAX,
  EXTENTS_LINK_MAX,
  EXTENTS_PORT_MAX,
  EXTENTS_STACK_MAX,
} from "../assembly/layout.ts";
import type { Link, SriovNic, UserVbridge, VethModule } from "../veth/index.ts";
import type { PcapngMark } from "../veth/pcapng.ts";
import type { NetworkCapture } from "./capture.ts";
import type { TurnClock, VirtualClock } from "./clock.ts";
import { OribiError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { HostStack } from "./host-stack.ts";

/** A network, as its snapshots see it. */
export interface SnapshotNetwork {
  readonly veth: VethModule & { free(address: number): void };
  readonly clock: VirtualClock;
  readonly turns: TurnClock;
  readonly hosts: readonly Host[];
  readonly bridges: readonly UserVbridge[];
  readonly nics: readonly SriovNic[];
  readonly ltrans: readonly unknown[];
  /** The running one. */
  readonly capture: () => NetworkCapture | undefined;
}

/** Space beyond what a snapshot needs now, so that the next one finds room in the same block. */
const SLACK = 1.25;

/**
 * A moment of a network, made by Network.snapshot(). It lies in the network's memory until it is released (or the
 * network is gone).
 */
export class Snapshot implements Disposable {
  /** @internal */
  readonly owner: Snapshots;
  /** The network's time then, microseconds. */
  micros = 0;
  /** Bytes that were copied. */
  bytes = 0;
  /** @internal address of the block, 0 = released */
  block = 0;
  /** @internal bytes that the block holds */
  room = 0;
  /** @internal what is not in memory */
  links: { link: Link; rules: Link["rules"] }[] = [];
  /** @internal */
  traps: HostStack["trap"][] = [];
  /** @internal */
  capture: { capture: NetworkCapture; mark: PcapngMark } | undefined;

  /** @internal use Network.snapshot() */
  constructor(owner: Snapshots) {
    this.owner = owner;
  }

  /** Gives its memory back; it cannot be restored any more. */
  release(): void {
    if (this.block !== 0) this.owner.free(this.block);
    this.block = 0;
    this.room = 0;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /** True when the network's memory held the same bytes at both moments; of one network only. */
  equals(other: Snapshot): boolean {
    if (other.owner !== this.owner || this.block === 0 || other.block === 0) return false;
    return this.micros === other.micros && this.owner.equal(this.block, other.block);
  }
}

/** Takes and restores the snapshots of one network. */
export class Snapshots {
  readonly #network: SnapshotNetwork;
  /** Where the extents are listed: address, bytes. */
  #list = 0;
  #listBytes = 0;

  constructor(network: SnapshotNetwork) {
    this.#network = network;
  }

  /** Takes a snapshot, into a block that is there already when `reuse` has one. */
  take(reuse: Snapshot | undefined): Snapshot {
    const { veth, clock, hosts } = this.#network;
    const capture = this.#network.capture();
    const snapshot = reuse ?? new Snapshot(this);
    if (snapshot.owner !== this) throw snapshotError("it is another network's: leave it out.");
    if (hosts.some((host) => host.stacks.some(({ isSharing }) => isSharing))) {
      throw snapshotError("what hosts with separate threads share with their applications cannot be kept.");
    }
    if (this.#network.ltrans.length > 0) throw snapshotError("an ltran and the memories behind it cannot be kept.");
    snapshot.capture = capture === undefined ? undefined : { capture, mark: capture.mark() };
    const count = this.#extents();
    const bytes = veth.exports.snapshotBytes(this.#list, count) >>> 0;
    if (bytes === 0) throw snapshotError("it would need more than 4 GiB: make the pools of the stacks smaller.");
    if (bytes > snapshot.room) {
      snapshot.release();
      const room = Math.ceil(bytes * SLACK);
      snapshot.block = veth.allocate(room);
      snapshot.room = room;
    }
    veth.exports.snapshotTake(snapshot.block, this.#list, count);
    snapshot.micros = clock.now();
    snapshot.bytes = bytes;
    snapshot.links.length = 0;
    this.#eachLink((link) => snapshot.links.push({ link, rules: link.rules }));
    snapshot.traps = hosts.flatMap((host) => host.stacks.map(({ trap }) => trap));
    return snapshot;
  }

  /** Comes back to a snapshot. @throws {OribiError} ERR_ORIBI_SNAPSHOT, and nothing has changed */
  restore(snapshot: Snapshot): void {
    const { veth, clock, turns, hosts } = this.#network;
    const capture = this.#network.capture();
    if (snapshot.owner !== this) throw snapshotError("it is another network's.");
    if (snapshot.block === 0) throw snapshotError("it has been released.");
    if (capture !== snapshot.capture?.capture) {
      const hint = "Close the capture that was started since, or take the snapshot while it runs.";
      throw snapshotError(`the network's capture is not the one of then. ${hint}`);
    }
    const count = this.#extents();
    if (veth.exports.snapshotRestore(snapshot.block, this.#list, count) !== 0) {
      throw snapshotError("hosts, bridges or links have been made or replaced since: restore it before that.");
    }
    if (snapshot.capture !== undefined) capture?.rewind(snapshot.capture.mark);
    clock.rewind(snapshot.micros);
    turns.end();
    for (const { link, rules } of snapshot.links) link.restored(rules);
    const stacks = hosts.flatMap((host) => host.stacks);
    stacks.forEach((each, i) => {
      if (each.trap !== snapshot.traps[i]) each.trap = snapshot.traps[i];
      // What the instance caches of its arena, the time above all, is read anew.
      each.stack.core.attach(each.stack.place.base);
    });
  }

  equal(a: number, b: number): boolean {
    return this.#network.veth.exports.snapshotEqual(a, b) !== 0;
  }

  free(block: number): void {
    this.#network.veth.free(block);
  }

  #eachLink(visit: (link: Link) => void): void {
    for (const { nic } of this.#network.hosts) {
      const { toWire, toHost } = nic.links;
      if (toWire !== undefined) visit(toWire);
      if (toHost !== undefined) visit(toHost);
    }
  }

  /** Lists what holds state now; returns how many extents. */
  #extents(): number {
    const { veth, hosts, bridges, nics } = this.#network;
    const { exports } = veth;
    this.#reserve();
    let at = this.#list;
    for (const { stacks, shared, nic } of hosts) {
      for (const { stack } of stacks) at += stack.core.extents(at) * EXTENT_BYTES;
      if (shared !== undefined) {
        new Uint32Array(veth.memory.buffer, at, 2).set([shared.base, shared.bytes]);
        at += EXTENT_BYTES;
      }
      at += exports.portExtents(nic.handle, at) * EXTENT_BYTES;
    }
    for (const { handle, uplink, functions } of nics) {
      at += exports.eswitchExtents(handle, at) * EXTENT_BYTES;
      const idle = functions.filter((port) => !hosts.some(({ nic }) => nic === port));
      for (const port of [uplink, ...idle]) at += exports.portExtents(port.handle, at) * EXTENT_BYTES;
    }
    for (const bridge of bridges) at += exports.bridgeExtents(bridge.handle, at) * EXTENT_BYTES;
    this.#eachLink((link) => (at += exports.linkExtents(link.handle, at) * EXTENT_BYTES));
    return (at - this.#list) / EXTENT_BYTES;
  }

  /** Makes sure that the list has room. */
  #reserve(): void {
    const { veth, hosts, bridges, nics } = this.#network;
    const stacks = hosts.reduce((sum, host) => sum + host.stacks.length, 0);
    const ports = nics.reduce((sum, { functions }) => sum + 1 + functions.length, 0);
    const each = 1 + EXTENTS_PORT_MAX + 2 * EXTENTS_LINK_MAX;
    const extents = stacks * EXTENTS_STACK_MAX + hosts.length * each + ports * EXTENTS_PORT_MAX + nics.length;
    const bytes = (extents + bridges.length * EXTENTS_BRIDGE_MAX + 1) * EXTENT_BYTES;
    if (bytes <= this.#listBytes) return;
    if (this.#list !== 0) veth.free(this.#list);
    this.#list = veth.allocate(bytes);
    this.#listBytes = bytes;
  }
}

function snapshotError(why: string): OribiError {
  return new OribiError("ERR_ORIBI_SNAPSHOT", `The snapshot cannot be used: ${why}`);
}

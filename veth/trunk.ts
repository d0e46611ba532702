// The trunk of a NIC that lies in a memory of its own, seen from the host: made, and made anew after a crash.
// Read first: veth/datapath/trunk.ts; ltran.ts for what is at its other end.

import { TRUNK_OUT_DROPS } from "../assembly/layout.ts";
import { readCounter, type VethModule } from "./module.ts";
import type { Port } from "./port.ts";

/** Two rings of bytes behind a port, for an ltran. */
export class Trunk {
  /** Where it lies in the memory of its port. */
  readonly handle: number;
  readonly size: number;
  readonly #module: VethModule;

  /** @param size bytes of each ring, a power of two from 4 KiB */
  constructor(module: VethModule, port: Port, size: number) {
    this.#module = module;
    this.size = size;
    this.handle = module.allocate(module.exports.trunkBytes(size) >>> 0);
    this.plug(port);
  }

  /** Makes it anew, empty, as the wire of a port that is plugged into nothing. */
  plug(port: Port): void {
    this.#module.exports.trunkInit(this.handle, this.size, port.handle);
  }

  /** Frames of the stack that found the ring full for too long. */
  get drops(): number {
    return readCounter(this.#module, this.handle + TRUNK_OUT_DROPS);
  }
}

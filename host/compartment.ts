// A memory of its own for a stack and its NIC, so that whatever becomes of it harms nobody else.
// Read first: DESIGN.md section 2 "One memory per arena = isolation"; ltran.ts for how frames come in and out.

import { type NicOptions, Trunk, UserVeth, type VethModule } from "../veth/index.ts";
import {
  type CoreOptions,
  createMemory,
  instantiateStack,
  instantiateVeth,
  Regions,
  type SharedMemory,
} from "./core.ts";

/** One stack's memory. Its NIC is behind a trunk, whose other end is an ltran's. */
export class Compartment {
  readonly memory: SharedMemory;
  readonly veth: VethModule;
  readonly nic: UserVeth;
  readonly trunk: Trunk;
  readonly #core: CoreOptions;

  /**
   * @param ring bytes of each ring of the trunk
   * @param wake rings the ltran
   */
  constructor(nic: NicOptions, ring: number, core: CoreOptions, wake: () => void) {
    this.#core = core;
    this.memory = createMemory(1);
    const regions = new Regions(this.memory);
    this.veth = {
      exports: instantiateVeth(this.memory, core, wake),
      memory: this.memory,
      allocate: (bytes) => regions.allocate(bytes),
      free: (address) => regions.free(address),
    };
    this.nic = UserVeth.create(this.veth, { ...nic, portRules: true });
    this.trunk = new Trunk(this.veth, this.nic, ring);
  }

  /** Makes NIC and trunk anew, whatever is in the memory now. Neither stack nor ltran may use them meanwhile. */
  renew(): void {
    // Each instantiation writes the constants of a module, which lie in the memory as well.
    instantiateStack(this.memory, instantiateVeth(this.memory, this.#core), this.#core);
    this.nic.renew();
    this.trunk.plug(this.nic);
  }
}

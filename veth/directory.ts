// The links of one network in one place, so that a driver can ask one question for all of them.
// Read first: veth/datapath/directory.ts; DESIGN.md section 5.

import { bytesAt, VethError, type VethModule } from "./module.ts";
import type { Link } from "./link.ts";
import { parseInteger } from "./options.ts";

/** Where a directory lies, as plain data: for workers. */
export interface DirectoryDescription {
  kind: "directory";
  handle: number;
  limit: number;
}

/** A list of links; one thread changes it, any thread polls. */
export class LinkDirectory {
  readonly handle: number;
  /** Links that fit. */
  readonly limit: number;
  readonly #module: VethModule;

  private constructor(module: VethModule, handle: number, limit: number) {
    this.#module = module;
    this.handle = handle;
    this.limit = limit;
  }

  static create(module: VethModule, { limit = 16368 }: { limit?: number } = {}): LinkDirectory {
    parseInteger("directory.limit", limit, 1, 1048576);
    const handle = module.allocate(module.exports.directoryBytes(limit));
    module.exports.directoryInit(handle);
    return new LinkDirectory(module, handle, limit);
  }

  static attach(module: VethModule, description: DirectoryDescription): LinkDirectory {
    return new LinkDirectory(module, description.handle, description.limit);
  }

  describe(): DirectoryDescription {
    return { kind: "directory", handle: this.handle, limit: this.limit };
  }

  /** @throws {VethError} ERR_ORIBI_DIRECTORY_FULL */
  add(link: Link): void {
    if (this.#module.exports.directoryAdd(this.handle, link.handle, this.limit) === 0) return;
    throw new VethError("ERR_ORIBI_DIRECTORY_FULL", `A network has at most ${this.limit} links.`);
  }

  /** @returns false when the link was not in it */
  remove(link: Link): boolean {
    return this.#module.exports.directoryRemove(this.handle, link.handle) === 0;
  }

  /** Moves what is due at `now`, microseconds, in every link. @returns frames moved */
  poll(now: number): number {
    return this.#module.exports.vethPoll(this.handle, now);
  }

  /** When poll() will have something to do, microseconds; Infinity = never. */
  get nextDeadline(): number {
    return this.#module.exports.vethNextDeadline(this.handle);
  }

  close(): void {
    if (this.#module.free === undefined) return;
    bytesAt(this.#module, this.handle, 4).fill(0);
    this.#module.free(this.handle);
  }
}

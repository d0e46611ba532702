// The listen shadow of a host with separate threads: one listening socket with a clone in each of its stacks, each with
// what its queue brings. Any thread may accept from it; a stack that was killed and started again is joined anew.
// Read first: DESIGN.md section 4 "Balancing"; host/shadow.ts, the same for stacks of one thread.

import {
  AF_INET,
  EAGAIN,
  ENETDOWN,
  PART_ESTABLISHED,
  SO_REUSEADDR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../../assembly/layout.ts";
import { OribiError } from "../errors.ts";
import { errnoName } from "../posix/constants.ts";
import type { Posix, SocketAddressResult } from "../posix/posix.ts";
import { socketOn } from "./connection.ts";
import type { Link } from "./link.ts";

export interface ClientListenOptions {
  /** 0: one that is free in all stacks. */
  port: number;
  /** Default: any address of the host. */
  address?: string;
  /** Connections that may wait, in each stack. Default 128. */
  backlog?: number;
  /** Called for each clone before it listens: for socket options. */
  prepare?: (fd: number) => void;
}

/** Made by HostClient.listen(). Its descriptors are the host's: other threads may accept from them, too. */
export class ClientListener implements Disposable {
  readonly port: number;
  readonly #link: Link;
  readonly #posix: Posix;
  readonly #options: ClientListenOptions;
  /** The clone of each stack; -1 while that does not run. */
  readonly #clones: number[];

  /** @internal */
  constructor(link: Link, posix: Posix, options: ClientListenOptions) {
    this.port = options.port;
    this.#link = link;
    this.#posix = posix;
    this.#options = options;
    this.#clones = Array.from({ length: link.stacks }, () => -1);
    for (let stack = 0; stack < link.stacks; stack++) {
      this.#clones[stack] = this.#open(stack);
      if (this.port !== 0) continue;
      const name: SocketAddressResult = {};
      this.#check("getsockname", stack, posix.getsockname(this.#clones[stack] as number, name));
      this.port = name.port as number;
    }
    if (this.descriptors.length > 0) return;
    throw new OribiError("ERR_ORIBI_LISTEN", `No stack of host "${link.place.name}" runs; net.restart() starts one.`);
  }

  /** Descriptors of the clones, for epoll and poll. */
  get descriptors(): number[] {
    return this.#clones.filter((fd) => fd >= 0);
  }

  /** Connections that wait. */
  get pending(): number {
    return this.descriptors.reduce((sum, fd) => sum + this.#waiting(fd), 0);
  }

  /**
   * Takes the connection that has waited longest in the stack with the fewest connections. Does not wait: epoll_wait
   * and poll do, on `descriptors`.
   * @param flags SOCK_NONBLOCK
   * @returns a descriptor, or a negative errno: -EAGAIN when no connection waits
   */
  accept(flags = 0, peer: SocketAddressResult | null = null): number {
    let best = -1;
    let fewest = Infinity;
    for (const [stack, fd] of this.#clones.entries()) {
      if (fd < 0 || this.#waiting(fd) === 0) continue;
      const established = this.#link.word(this.#link.place.parts[stack] as number, PART_ESTABLISHED);
      if (established >= fewest) continue;
      best = fd;
      fewest = established;
    }
    return best < 0 ? -EAGAIN : this.#posix.accept4(best, peer, flags);
  }

  /**
   * Listens also in stacks that were started again meanwhile. To be called now and then where stacks may crash.
   * @returns whether `descriptors` are others now
   * @throws {OribiError} ERR_ORIBI_LISTEN when a stack refuses
   */
  renew(): boolean {
    let hasChanged = false;
    for (const [stack, fd] of this.#clones.entries()) {
      if (fd >= 0 && this.#link.find(fd)) continue;
      const again = this.#open(stack);
      // Also with the same number it is another one: who watched the old one watches nothing.
      if (again >= 0 || fd >= 0) hasChanged = true;
      this.#clones[stack] = again;
    }
    return hasChanged;
  }

  /** Ends all clones; connections that wait are reset. */
  close(): void {
    for (const [stack, fd] of this.#clones.entries()) {
      if (fd >= 0) this.#posix.close(fd);
      this.#clones[stack] = -1;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Connections that wait in a clone and have their descriptors already. */
  #waiting(fd: number): number {
    const link = this.#link;
    return link.find(fd) ? link.core.clientWaiting(link.channel.at) >>> 0 : 0;
  }

  /** A clone in a stack; -1 when that does not run. */
  #open(stack: number): number {
    const { address = "0.0.0.0", backlog = 128, prepare } = this.#options;
    const fd = socketOn(this.#link, stack, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd === -ENETDOWN) return -1;
    this.#check("socket", stack, fd);
    try {
      this.#check("setsockopt", stack, this.#posix.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      prepare?.(fd);
      this.#check("bind", stack, this.#posix.bind(fd, { address, port: this.port }));
      this.#check("listen", stack, this.#posix.listen(fd, backlog));
    } catch (error) {
      this.#posix.close(fd);
      throw error;
    }
    return fd;
  }

  #check(call: string, stack: number, result: number): void {
    if (result >= 0) return;
    this.close();
    const where = `stack ${stack} of host "${this.#link.place.name}"`;
    throw new OribiError("ERR_ORIBI_LISTEN", `${call}() on ${where} failed with ${errnoName(result)}.`);
  }
}

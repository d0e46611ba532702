// The listen shadow: one listening socket of a host, with a clone in each of its stacks. RSS brings each clone its
// share of the connections; accept() takes from the stack with the fewest.
// Read first: DESIGN.md section 4 "Balancing"; assembly/steer/ports.ts, which knows that all stacks serve the port.

import { AF_INET, EAGAIN, SO_REUSEADDR, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "../assembly/layout.ts";
import { OribiError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { HostStack } from "./host-stack.ts";
import { errnoName } from "./posix/constants.ts";
import type { SocketAddressResult } from "./posix/posix.ts";

export interface ShadowOptions {
  /** 0: one that is free in all stacks. */
  port: number;
  /** Default: any address of the host. */
  address?: string;
  /** Connections that may wait, in each stack. Default 128. */
  backlog?: number;
  /** Called for each clone before it listens: for socket options. */
  prepare?: (stack: HostStack, fd: number) => void;
}

/** A connection, and the stack whose descriptor it has. */
export interface ShadowAccepted {
  stack: HostStack;
  fd: number;
}

/** Made by Host.listen(). */
export class ShadowListener implements Disposable {
  readonly port: number;
  readonly #clones: { stack: HostStack; fd: number }[] = [];

  /** @internal */
  constructor(host: Host, { port, address = "0.0.0.0", backlog = 128, prepare }: ShadowOptions) {
    this.port = port;
    for (const stack of host.stacks) {
      const { posix } = stack;
      const fd = this.#check("socket", stack, posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      this.#clones.push({ stack, fd });
      this.#check("setsockopt", stack, posix.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      prepare?.(stack, fd);
      this.#check("bind", stack, posix.bind(fd, { address, port: this.port }));
      if (this.port === 0) {
        const name: SocketAddressResult = {};
        this.#check("getsockname", stack, posix.getsockname(fd, name));
        this.port = name.port as number;
      }
      this.#check("listen", stack, posix.listen(fd, backlog));
    }
  }

  /** Connections that wait. */
  get pending(): number {
    return this.#clones.reduce((sum, { stack, fd }) => sum + Math.max(0, stack.stack.core.acceptPending(fd)), 0);
  }

  /**
   * Takes the connection that has waited longest in the stack with the fewest connections.
   * @param flags SOCK_NONBLOCK
   * @returns the connection, or a negative errno: -EAGAIN when none waits
   */
  accept(flags = 0, peer: SocketAddressResult | null = null): ShadowAccepted | number {
    let best: { stack: HostStack; fd: number } | undefined;
    let fewest = Infinity;
    for (const clone of this.#clones) {
      const { core } = clone.stack.stack;
      if (core.acceptPending(clone.fd) <= 0 || core.currEstab() >= fewest) continue;
      best = clone;
      fewest = core.currEstab();
    }
    if (best === undefined) return -EAGAIN;
    const fd = best.stack.posix.accept4(best.fd, peer, flags);
    return fd < 0 ? fd : { stack: best.stack, fd };
  }

  /** Ends all clones; connections that wait are reset. */
  close(): void {
    for (const { stack, fd } of this.#clones.splice(0)) stack.posix.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(call: string, { name }: HostStack, result: number): number {
    if (result >= 0) return result;
    this.close();
    throw new OribiError("ERR_ORIBI_LISTEN", `${call}() on stack "${name}" failed with ${errnoName(result)}.`);
  }
}

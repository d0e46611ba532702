// The flow director of a port seen from the host: rules that send a flow or a listening port to one queue.
// Read first: DPDK "Generic flow API". Results are those of the datapath: 0 or a negative errno.

import { IPPROTO_TCP, IPPROTO_UDP } from "../assembly/layout.ts";
import type { VethModule } from "./module.ts";
import { parseInteger, parseIpv4, parseWord } from "./options.ts";

export type FlowProtocol = "tcp" | "udp";

/** A flow as it is received: the source is the peer. Addresses as "10.0.0.1" or host-order numbers. */
export interface Flow {
  protocol: FlowProtocol;
  source: string | number;
  sourcePort: number;
  destination: string | number;
  destinationPort: number;
}

type Tuple = [protocol: number, source: number, destination: number, sourcePort: number, destinationPort: number];

/** The rules of one port. Any thread may change them while frames are flowing. */
export class Director {
  readonly #module: VethModule;
  readonly #handle: number;

  constructor(module: VethModule, handle: number) {
    this.#module = module;
    this.#handle = handle;
  }

  /** Rules in use, both kinds. */
  get count(): number {
    return this.#module.exports.ruleCount(this.#handle);
  }

  /** Sends a flow to a queue. @returns 0, -EEXIST, -ENOSPC, or -EINVAL for a queue that does not exist */
  add(flow: Flow, queue: number): number {
    return this.#module.exports.ruleAdd(this.#handle, ...tupleOf(flow), queue);
  }

  /** Removes a flow's rule. @returns 0 or -ENOENT */
  remove(flow: Flow): number {
    return this.#module.exports.ruleRemove(this.#handle, ...tupleOf(flow));
  }

  /** Sends what comes to a local port to a queue; a flow's own rule goes first. @returns as add() */
  listen(protocol: FlowProtocol, port: number, queue: number): number {
    return this.#module.exports.ruleListen(this.#handle, protocolOf(protocol), portOf("port", port), queue);
  }

  /** Removes the rule of a local port. @returns 0 or -ENOENT */
  unlisten(protocol: FlowProtocol, port: number): number {
    return this.#module.exports.ruleUnlisten(this.#handle, protocolOf(protocol), portOf("port", port));
  }

  /** The queue on which a flow arrives now: by these rules, then by RSS. */
  queueOf(flow: Flow): number {
    return this.#module.exports.queueOf(this.#handle, ...tupleOf(flow));
  }
}

function tupleOf(flow: Flow): Tuple {
  return [
    protocolOf(flow.protocol),
    parseIpv4("source", flow.source),
    parseIpv4("destination", flow.destination),
    portOf("sourcePort", flow.sourcePort),
    portOf("destinationPort", flow.destinationPort),
  ];
}

function protocolOf(protocol: FlowProtocol): number {
  return parseWord("protocol", protocol, ["tcp", "udp"]) === "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
}

function portOf(option: string, port: number): number {
  return parseInteger(option, port, 0, 65535);
}

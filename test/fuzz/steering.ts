// On which queue of a NIC a frame must arrive, and with which hash: an independent reader of hostile headers.
// Read first: Microsoft "RSS Hashing Functions"; DPDK "Generic flow API"; veth/director.ts.

import { RETA_SIZE } from "../../assembly/layout.ts";
import { toeplitz, type UserVeth } from "../../veth/index.ts";

export interface Steering {
  queue: number;
  /** 0: the frame has none. */
  hash: number;
}

/** The rules that a NIC was given: flow or "protocol:port" to queue. */
export type Rules = ReadonlyMap<string, number>;

/** A flow as a key of the rules; addresses and ports as numbers. */
export function flowKey(protocol: number, source: number, destination: number, ports: number): string {
  return [protocol, source, destination, ports >>> 0].join();
}

/** A listening port as a key of the rules. */
export function portKey(protocol: number, port: number): string {
  return `${protocol}:${port}`;
}

/** Where `frame` must go, with RSS over addresses and ports. */
export function steer(nic: UserVeth, rules: Rules, frame: Uint8Array): Steering {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const tagged = frame.length >= 18 && view.getUint16(12) === 0x8100;
  const ip = tagged ? 18 : 14;
  if (frame.length < ip + 20 || view.getUint16(ip - 2) !== 0x0800) return { queue: 0, hash: 0 };
  const header = (frame[ip]! & 15) * 4;
  if (frame[ip]! >> 4 !== 4 || header < 20 || frame.length < ip + header) return { queue: 0, hash: 0 };
  const protocol = frame[ip + 9]!;
  const l4 = ip + header;
  const end = ip + view.getUint16(ip + 2);
  const need = protocol === 6 ? 20 : protocol === 17 ? 8 : Infinity;
  const isWhole = (view.getUint16(ip + 6) & 0x3fff) === 0 && end <= frame.length && l4 + need <= end;
  const input = [...frame.subarray(ip + 12, ip + 20), ...(isWhole ? frame.subarray(l4, l4 + 4) : [])];
  const hash = toeplitz(nic.rss.key, input);
  const byHash = nic.rss.reta[hash % RETA_SIZE]!;
  if (!isWhole) return { queue: byHash, hash };
  const flow = flowKey(protocol, view.getUint32(ip + 12), view.getUint32(ip + 16), view.getUint32(l4));
  const queue = rules.get(flow) ?? rules.get(portKey(protocol, view.getUint16(l4 + 2))) ?? byHash;
  return { queue, hash };
}

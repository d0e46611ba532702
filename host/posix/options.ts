// The values of socket options: numbers, booleans, texts and C's structures to and from Linux's bytes.
// Read first: socket(7), ip(7), tcp(7).

import {
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MULTICAST_IF,
  IPPROTO_IP,
  IPPROTO_TCP,
  SO_LINGER,
  SO_RCVLOWAT,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  SOL_SOCKET,
  TCP_CONGESTION,
  TCP_INFO,
} from "../../assembly/layout.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { int, invalidType, long, millis, structure, toBytes, word } from "./arguments.ts";
import type { SocketExports } from "../stack-exports.ts";
import { ARGS_BYTES, type ContextCore, type PosixContext } from "./context.ts";
import type { TimeVal } from "./events.ts";
import { readTcpInfo, type TcpInfo } from "./tcp-info.ts";

/** struct linger. */
export interface Linger {
  l_onoff: number | boolean;
  /** Seconds. */
  l_linger: number;
}

/** struct ip_mreq and ip_mreqn: the group, and the interface by its address or its number (from 1, the loopback). */
export interface IpMreq {
  imr_multiaddr: string | number;
  imr_interface?: string | number;
  imr_ifindex?: number;
}

export type OptionValue = number | boolean | string | Uint8Array | Linger | TimeVal | IpMreq;

/** What getsockopt fills: bytes, or an object that receives the fields of the structure, or `value`. */
export type OptionResult =
  Uint8Array | Partial<Linger> | Partial<TimeVal> | Partial<TcpInfo> | { value?: number | string };

export interface OptionCalls {
  /** 0 or -errno. Timeouts may be given as numbers: milliseconds. */
  setsockopt: (fd: number, level: number, name: number, value: OptionValue) => number;
  /**
   * Without a result object: the value of an int option, or -errno. With bytes: how many were filled, or -errno. With
   * an object: 0 or -errno.
   */
  getsockopt: (fd: number, level: number, name: number, result?: OptionResult) => number;
}

type Shape = "int" | "linger" | "timeval" | "mreq" | "address" | "text" | "tcp_info";

function shapeOf(level: number, name: number): Shape {
  if (level === SOL_SOCKET) {
    if (name === SO_LINGER) return "linger";
    if (name === SO_RCVTIMEO || name === SO_SNDTIMEO) return "timeval";
  } else if (level === IPPROTO_IP) {
    if (name === IP_ADD_MEMBERSHIP || name === IP_DROP_MEMBERSHIP) return "mreq";
    if (name === IP_MULTICAST_IF) return "address";
  } else if (level === IPPROTO_TCP) {
    if (name === TCP_CONGESTION) return "text";
    if (name === TCP_INFO) return "tcp_info";
  }
  return "int";
}

/** Makes the calls for one stack. */
export function createOptions(
  context: PosixContext<ContextCore & Pick<SocketExports, "getsockopt" | "setsockopt">>,
): OptionCalls {
  const { core, args, argsAt } = context;
  const area = new Uint8Array(args.buffer, args.byteOffset, ARGS_BYTES);

  function setsockopt(fd: number, level: number, name: number, value: OptionValue): number {
    const length = encode(args, area, shapeOf(level, name), value);
    if (level === SOL_SOCKET && name === SO_RCVLOWAT) context.hasLowWater = true;
    return core.setsockopt(fd, level, name, argsAt, length);
  }

  function getsockopt(fd: number, level: number, name: number, result?: OptionResult): number {
    if (ArrayBuffer.isView(result) || result instanceof ArrayBuffer) {
      const bytes = toBytes(result, "result");
      const n = core.getsockopt(fd, level, name, argsAt, Math.min(bytes.length, ARGS_BYTES));
      if (n > 0) bytes.set(area.subarray(0, n));
      return n;
    }
    const shape = shapeOf(level, name);
    if (result === undefined && shape !== "int") invalidType("result", "an object for this option", result);
    const n = core.getsockopt(fd, level, name, argsAt, shape === "int" ? 4 : ARGS_BYTES);
    if (n < 0) return n;
    if (result === undefined) return args.getInt32(0, true);
    decode(args, area, shape, n, result as Record<string, unknown>);
    return 0;
  }

  return { setsockopt, getsockopt };
}

/** Writes a value into the argument area; returns its length in bytes. */
function encode(args: DataView, area: Uint8Array, shape: Shape, value: OptionValue): number {
  if (ArrayBuffer.isView(value)) {
    const bytes = toBytes(value, "value").subarray(0, ARGS_BYTES);
    area.set(bytes);
    return bytes.length;
  }
  switch (shape) {
    case "linger": {
      const { l_onoff, l_linger } = structure("value", value as Linger, "an object { l_onoff, l_linger }");
      args.setInt32(0, typeof l_onoff === "boolean" ? Number(l_onoff) : int("l_onoff", l_onoff), true);
      args.setInt32(4, int("l_linger", l_linger), true);
      return 8;
    }
    case "timeval": {
      const time = typeof value === "number" ? fromMillis(value) : (value as TimeVal);
      const { tv_sec, tv_usec } = structure("value", time, "an object { tv_sec, tv_usec }");
      args.setBigInt64(0, BigInt(long("tv_sec", tv_sec)), true);
      args.setBigInt64(8, BigInt(long("tv_usec", tv_usec)), true);
      return 16;
    }
    case "mreq": {
      const request = structure("value", value as IpMreq, "an object { imr_multiaddr, imr_interface }");
      args.setUint32(0, parseAddress(request.imr_multiaddr));
      args.setUint32(4, parseAddress(request.imr_interface));
      args.setInt32(8, int("imr_ifindex", request.imr_ifindex ?? 0), true);
      return 12;
    }
    case "address":
      if (typeof value === "object" && value !== null) {
        return encode(args, area, "mreq", { imr_multiaddr: 0, ...value });
      }
      if (typeof value !== "string" && typeof value !== "number") invalidType("value", "an address", value);
      args.setUint32(0, parseAddress(value));
      return 4;
    default:
      break;
  }
  if (typeof value === "string") return writeText(area, value);
  args.setInt32(0, typeof value === "boolean" ? Number(value) : word("value", value), true);
  return 4;
}

function writeText(area: Uint8Array, text: string): number {
  const bytes = new TextEncoder().encode(text).subarray(0, area.length);
  area.set(bytes);
  return bytes.length;
}

function fromMillis(value: number): TimeVal {
  const micros = Math.round(millis("value", value) * 1000);
  const seconds = Math.floor(micros / 1e6);
  return { tv_sec: seconds, tv_usec: micros - seconds * 1e6 };
}

/** Fills a result object from the argument area. */
function decode(args: DataView, area: Uint8Array, shape: Shape, length: number, result: Record<string, unknown>): void {
  switch (shape) {
    case "linger":
      result["l_onoff"] = args.getInt32(0, true);
      result["l_linger"] = args.getInt32(4, true);
      break;
    case "timeval":
      result["tv_sec"] = Number(args.getBigInt64(0, true));
      result["tv_usec"] = Number(args.getBigInt64(8, true));
      break;
    case "address":
      result["value"] = formatAddress(args.getUint32(0));
      break;
    case "text":
      result["value"] = new TextDecoder().decode(area.slice(0, length)).replace(/\0.*$/s, "");
      break;
    case "tcp_info":
      Object.assign(result, readTcpInfo(args, length));
      break;
    default:
      result["value"] = args.getInt32(0, true);
  }
}

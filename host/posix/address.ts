// IPv4 socket addresses: text and numbers, with small caches, since the same peers come again and again.
// Read first: POSIX inet_ntop(3), inet_pton(3).

import { AF_INET, AF_UNSPEC, EAFNOSUPPORT, EINVAL } from "../../assembly/layout.ts";
import { checkPort, int, invalidType, invalidValue, word } from "./arguments.ts";

/** struct sockaddr_in: `address` as text ("10.0.0.1") or as a number in host order. */
export interface SocketAddress {
  /** Default: AF_INET. */
  family?: number;
  /** Default: the wildcard, 0.0.0.0. */
  address?: string | number;
  /** Default: 0. */
  port?: number;
}

/** An address that a call fills in: any object will do. */
export interface SocketAddressResult {
  family?: number;
  address?: string;
  port?: number;
}

const TEXTS = 256;
const numbers = new Uint32Array(TEXTS);
const texts: string[] = new Array<string>(TEXTS).fill("0.0.0.0");
const PARSED_MAX = 1024;
const parsed = new Map<string, number>();
/** The text that was parsed last, mostly the same string object again. */
let lastText = "0.0.0.0";
let lastAddress = 0;

/** The text of an IPv4 address. */
export function formatAddress(address: number): string {
  const slot = (address ^ (address >>> 8)) & (TEXTS - 1);
  if (numbers[slot] !== address) {
    numbers[slot] = address;
    texts[slot] = `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
  }
  return texts[slot] as string;
}

/** Number of an IPv4 address written as four decimal parts; -1 when it is not one. */
export function scanAddress(text: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (parts === null) return -1;
  let address = 0;
  for (let i = 1; i <= 4; i++) {
    const part = parts[i] as string;
    // As inet_pton(3): decimal without leading zeros, at most 255.
    if ((part.length > 1 && part.startsWith("0")) || Number(part) > 255) return -1;
    address = address * 256 + Number(part);
  }
  return address;
}

/** The number of an address argument. @throws {TypeError} when it is none */
export function parseAddress(address: string | number | undefined): number {
  if (address === lastText) return lastAddress;
  if (typeof address === "string") {
    lastAddress = parsed.get(address) ?? parseAnew(address);
    lastText = address;
    return lastAddress;
  }
  if (address === undefined) return 0;
  if (typeof address !== "number") invalidType("address", "of type string or number", address);
  return word("address", address) >>> 0;
}

/** The address of a call that takes it in one piece or in two, all of it checked. */
export function socketAddress(where: SocketAddress | string | number, port?: number): SocketAddress {
  if (typeof where === "object" && where !== null) {
    if (where.family !== undefined) int("family", where.family);
    // The text of another family's address is for the call to refuse: -EAFNOSUPPORT.
    if (!isForeign(where) || typeof where.address !== "string") parseAddress(where.address);
    portOf(where);
    return where;
  }
  if (typeof where !== "string" && typeof where !== "number") {
    invalidType("address", "an object { address, port }, a string or a number", where);
  }
  parseAddress(where);
  return { address: where, port: checkPort(port) };
}

/** True for AF_INET, and for an address that names no family. */
export function isInternet(address: SocketAddress): boolean {
  return address.family === undefined || address.family === AF_INET;
}

function parseAnew(text: string): number {
  const address = scanAddress(text);
  if (address < 0) invalidValue("address", "must be an IPv4 address", text);
  if (parsed.size >= PARSED_MAX) parsed.clear();
  parsed.set(text, address);
  return address;
}

/** True for an address of another family than AF_INET. As in Linux AF_UNSPEC passes for it where data is sent. */
export function isForeign({ family }: SocketAddress): boolean {
  return family !== undefined && family !== AF_INET && family !== AF_UNSPEC;
}

/** The port of an address argument. */
export function portOf(address: SocketAddress): number {
  return address.port === undefined ? 0 : checkPort(address.port);
}

/** inet_pton(3): the address as a number in host order, -EINVAL for text that is none, -EAFNOSUPPORT. */
export function inet_pton(family: number, text: string): number {
  if (typeof text !== "string") invalidType("text", "of type string", text);
  if (int("family", family) !== AF_INET) return -EAFNOSUPPORT;
  const address = scanAddress(text);
  return address < 0 ? -EINVAL : address;
}

/** inet_ntop(3): the text of an address in host order. */
export function inet_ntop(family: number, address: number): string {
  if (int("family", family) !== AF_INET) invalidValue("family", "must be AF_INET", family);
  return formatAddress(word("address", address) >>> 0);
}

// Reads packetdrill scripts of one event for tests, and says which kind it must be.
// Read first: host/packetdrill/parse.ts.

import { expect } from "chai";

import { parseScript } from "../../host/packetdrill/parse.ts";
import type { PacketEvent, Script, ScriptEvent, SyscallEvent, TcpPacket } from "../../host/packetdrill/script.ts";

/** A script. */
export function parse(text: string, symbols?: Record<string, string>): Script {
  return parseScript(text, "test.pkt", symbols);
}

/** Its only event. */
export function event(text: string, symbols?: Record<string, string>): ScriptEvent {
  const { events } = parse(text, symbols);
  expect(events).to.have.lengthOf(1);
  return events[0]!;
}

/** The packet at time +0. */
export function packet(text: string, symbols?: Record<string, string>): PacketEvent {
  const read = event(`+0 ${text}`, symbols);
  if (read.type !== "packet") throw new Error(`${text} was read as a ${read.type}`);
  return read;
}

/** The TCP packet at time +0. */
export function tcp(text: string, symbols?: Record<string, string>): TcpPacket {
  const { transport } = packet(text, symbols);
  if (transport.protocol !== "tcp") throw new Error(`${text} was read as ${transport.protocol}`);
  return transport;
}

/** The system call that the only event is. */
export function call(text: string): SyscallEvent {
  const read = event(text);
  if (read.type !== "syscall") throw new Error(`${text} was read as a ${read.type}`);
  return read;
}

// Every list that one option makes: each kind with each length at each place in front of each end of the header, and
// what a reader of the RFCs makes of it. The stack must come to the same result.
// Read first: RFC 9293 3.1 and 3.2 (MUST-5 to MUST-7, MUST-68), RFC 7323 2.2 and 3.2, RFC 2018 2; RFC 791 3.1.

/** Bytes of options that a header of 15 words has room for. */
export const OPTIONS_MAX = 40;
/** Kinds of TCP options that the stack knows, and neighbours of theirs that it does not. */
export const TCP_KINDS = [0, 1, 2, 3, 4, 5, 6, 8, 9, 19, 30, 34, 69, 254, 255];
/** Types of IPv4 options: end, NOP, record route, timestamp, security, loose and strict source route, alert, others. */
export const IPV4_TYPES = [0, 1, 7, 68, 130, 131, 136, 137, 148, 2, 3, 82, 205, 254, 255];

/** One option behind NOPs; NOPs follow. */
export interface OptionCase {
  kind: number;
  /** What its length byte says. */
  length: number;
  /** Bytes in front of it. */
  at: number;
  /** Bytes of options in the header, a multiple of 4. */
  room: number;
  /** The bytes of the value. */
  fill: number;
}

/**
 * All cases of some kinds: lengths to one more than can be right, and 255; places up to the last byte.
 * @param stride every how many-th case is given
 */
export function* optionCases(kinds: readonly number[], fills: readonly number[], stride = 1): Generator<OptionCase> {
  const lengths = [...Array.from({ length: OPTIONS_MAX + 2 }, (_, i) => i), 127, 128, 255];
  let count = 0;
  for (const kind of kinds) {
    for (const length of lengths) {
      for (let room = 4; room <= OPTIONS_MAX; room += 4) {
        for (let at = 0; at < room; at++) {
          if (count++ % stride === 0) yield { kind, length, at, room, fill: fills[count % fills.length]! };
        }
      }
    }
  }
}

/** The bytes of a case; an option that does not fit is cut off by the end of the header. */
export function optionBytes({ kind, length, at, room, fill }: OptionCase): Uint8Array {
  const bytes = new Uint8Array(room).fill(1);
  bytes[at] = kind;
  if (kind < 2) return bytes;
  if (at + 1 < room) bytes[at + 1] = length;
  bytes.fill(fill, at + 2, Math.max(at + 2, Math.min(at + length, room)));
  return bytes;
}

/** What TCP options say to who receives them in a SYN. */
export interface SynOptions {
  mss: boolean;
  wscale: boolean;
  sackPermitted: boolean;
  /** TSval. */
  timestamps: number | undefined;
}

/** Reads the options of a SYN by the RFCs: bad lengths end the list, what has the wrong size is skipped. */
export function readSynOptions(bytes: Uint8Array): SynOptions {
  const seen: SynOptions = { mss: false, wscale: false, sackPermitted: false, timestamps: undefined };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length;) {
    const kind = bytes[at]!;
    if (kind === 0) break;
    const length = kind === 1 ? 1 : (bytes[at + 1] ?? 0);
    if (kind !== 1 && (length < 2 || at + length > bytes.length)) break;
    if (kind === 2 && length === 4) seen.mss = true;
    if (kind === 3 && length === 3) seen.wscale = true;
    if (kind === 4 && length === 2) seen.sackPermitted = true;
    if (kind === 8 && length === 10) seen.timestamps = view.getUint32(at + 2);
    at += length;
  }
  return seen;
}

/** What becomes of a datagram with IPv4 options: RFC 1122 3.2.1.8; source routes are refused. */
export function ipv4OptionsPass(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length;) {
    const type = bytes[at]!;
    if (type === 0) return true;
    const length = type === 1 ? 1 : (bytes[at + 1] ?? 0);
    if (type !== 1 && (length < 2 || at + length > bytes.length || type === 131 || type === 137)) return false;
    at += length;
  }
  return true;
}

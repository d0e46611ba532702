// Damages good frames: bits, bytes, lengths, and the fields and options that parsers branch on.
// Read first: RFC 791 and RFC 9293 section 3.1 for the fields.

/** Numbers from 0 to bound - 1. */
export type Random = (bound: number) => number;

const EXTREMES = [0, 1, 2, 5, 7, 8, 19, 20, 27, 28, 60, 127, 128, 254, 255];
/** Bytes that say how long, where or what something is: in Ethernet, IPv4, and behind a header without options. */
const TELLING = [12, 13, 14, 16, 17, 20, 21, 22, 23, 34, 35, 36, 37, 38, 39, 46, 47, 48, 49, 52, 53, 54, 55, 58];
/** Kinds of TCP options: those that are known, and some that are not. */
const KINDS = [0, 1, 2, 3, 4, 5, 8, 5, 8, 19, 29, 34, 254];
/** Lengths that the known kinds have. */
const LENGTHS: Record<number, number> = { 2: 4, 3: 3, 4: 2, 5: 10, 8: 10, 19: 18, 34: 10 };

/** A damaged copy of a frame; `other` lends bytes. */
export function mutate(good: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let frame: Uint8Array = good.slice();
  for (let n = random(4); n >= 0 && frame.length > 0; n--) frame = damage(frame, other, random);
  return frame;
}

function damage(frame: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = random(Math.min(frame.length, 90));
  switch (random(12)) {
    case 0:
      frame[at]! ^= 1 << random(8);
      return frame;
    case 1:
      frame[at] = random(256);
      return frame;
    case 2:
      frame[at] = EXTREMES[random(EXTREMES.length)]!;
      return frame;
    case 3:
    case 4: {
      const place = TELLING[random(TELLING.length)]!;
      if (place < frame.length) frame[place] = random(2) ? EXTREMES[random(EXTREMES.length)]! : random(256);
      return frame;
    }
    case 5:
      return frame.slice(0, random(frame.length + 1));
    case 6:
      return joined(frame, randomBytes(random(80), random));
    case 7:
      return joined(frame.subarray(0, at), other.subarray(at));
    case 8:
      return joined(frame.subarray(0, at), frame.subarray(at + random(8)));
    case 9:
      return lieAboutLength(frame, random);
    default:
      return isTcp(frame) ? otherOptions(frame, random) : frame;
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

function randomBytes(length: number, random: Random): Uint8Array {
  return Uint8Array.from({ length }, () => random(256));
}

/** True for a TCP segment behind a plain IPv4 header. */
export function isTcp(frame: Uint8Array): boolean {
  return frame.length >= 54 && frame[12] === 8 && frame[13] === 0 && frame[14] === 0x45 && frame[23] === 6;
}

/** Changes IPv4's total length, its header's length, or that of the transport. */
function lieAboutLength(frame: Uint8Array, random: Random): Uint8Array {
  if (frame.length < 47) return frame;
  const wrong = (right: number): number => Math.max(0, Math.min(65535, right + random(41) - 20));
  const total = (frame[16]! << 8) | frame[17]!;
  const length = random(4) === 0 ? random(65536) : wrong(total);
  switch (random(3)) {
    case 0:
      frame[16] = length >>> 8;
      frame[17] = length & 255;
      return frame;
    case 1:
      frame[14] = (frame[14]! & 0xf0) | random(16);
      return frame;
    default:
      frame[46] = (random(16) << 4) | (frame[46]! & 15);
      return frame;
  }
}

/** Gives a segment other options: right ones, ones whose lengths are wrong, or bytes. */
function otherOptions(frame: Uint8Array, random: Random): Uint8Array {
  const header = (frame[46]! >> 4) * 4;
  const payload = frame.subarray(34 + Math.max(20, Math.min(header, frame.length - 34)));
  const options = random(6) === 0 ? [...randomBytes(random(41), random)] : optionList(random);
  while (options.length % 4 !== 0) options.push(random(3));
  options.length = Math.min(options.length, 40);
  const whole = joined(frame.subarray(0, 54), Uint8Array.from(options), payload);
  whole[46] = ((5 + options.length / 4) << 4) | (whole[46]! & 15);
  const total = whole.length - 14;
  whole[16] = total >>> 8;
  whole[17] = total & 255;
  return whole;
}

function optionList(random: Random): number[] {
  const options: number[] = [];
  for (let n = random(5); n >= 0; n--) {
    const kind = KINDS[random(KINDS.length)]!;
    options.push(kind);
    if (kind < 2) continue;
    const blocks = kind === 5 ? random(4) * 8 : 0;
    const right = (LENGTHS[kind] ?? 4) + blocks;
    const length = random(5) === 0 ? random(256) : right;
    options.push(length);
    for (let i = 2; i < right; i++) options.push(random(4) === 0 ? EXTREMES[random(EXTREMES.length)]! : random(256));
  }
  return options;
}

/** Random bytes that look like a frame for the host. */
export function randomFrame(random: Random): Uint8Array {
  const frame = randomBytes(random(160), random);
  const head = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, random(2) * 6, 0x45];
  frame.set(head.slice(0, Math.min(frame.length, random(3) === 0 ? 14 : 15)));
  if (random(2) === 0 && frame.length > 34) frame.set([10, 0, 0, 2, 10, 0, 0, 1], 26);
  if (random(2) === 0 && frame.length > 34) frame[23] = [1, 2, 6, 17][random(4)]!;
  return frame;
}

// Makes a damaged frame's checksums right again, so that it gets past the first look.
// Read first: RFC 1071; RFC 791, 792, 2236, 768, 9293 for where each checksum lies.

/** Where the checksum is in the header of a protocol, by IPv4's number. */
const PLACES: Record<number, number> = { 1: 2, 2: 2, 6: 16, 17: 6 };

/** The sum of some bytes as 16-bit words, not folded. */
function sumOf(bytes: Uint8Array, from: number, end: number): number {
  let sum = 0;
  for (let at = from; at + 1 < end; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return (end - from) & 1 ? sum + (bytes[end - 1]! << 8) : sum;
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

function put(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value & 255;
}

/** Completes the checksums of the datagram that starts at `ip`, as far as it has any: the transport's if asked. */
export function seal(frame: Uint8Array, transport: boolean, ip = 14): void {
  if (frame.length < ip + 20 || (ip === 14 && (frame[12] !== 8 || frame[13] !== 0))) return;
  const headerBytes = (frame[ip]! & 15) * 4;
  const start = ip + headerBytes;
  if (headerBytes < 20 || start > frame.length) return;
  const end = Math.max(start, Math.min(ip + ((frame[ip + 2]! << 8) | frame[ip + 3]!), frame.length));
  const protocol = frame[ip + 9]!;
  const place = PLACES[protocol];
  if (transport && place !== undefined && end >= start + place + 2) {
    put(frame, start + place, 0);
    const pseudo = protocol < 6 ? 0 : sumOf(frame, ip + 12, ip + 20) + protocol + (end - start);
    put(frame, start + place, fold(pseudo + sumOf(frame, start, end)));
  }
  put(frame, ip + 10, 0);
  put(frame, ip + 10, fold(sumOf(frame, ip, start)));
}

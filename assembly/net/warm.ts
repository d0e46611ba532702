// Fetches what the frames of a burst will need, all of it at once, before the first of them is handled.
// With thousands of connections each frame meets a flow, a connection and a buffer that no cache holds. One frame after
// the other, the processor waits for memory three times a frame; here it waits three times a burst. WebAssembly has no
// prefetch instruction: a load whose value is used late does the same.

import { BURST_MAX, IPPROTO_TCP, KIND_TCP } from "../layout";
import { flowGuess, flowsAreMany } from "../flow";
import { Mbuf } from "../memory/mbuf";
import { Tcb } from "../tcp/tcb";
import { IPV4_BYTES, IPV4_DESTINATION, IPV4_PROTOCOL, IPV4_SOURCE } from "../wire/ipv4";
import { ETHER_BYTES } from "../wire/ethernet";

/** In shorter bursts there is too little to do at once. */
const FRAMES_MIN: u32 = 4;
/** Bytes that warmBurst() works with. */
export const WARM_BYTES: u32 = BURST_MAX * 4 + 8;
/** Ethertype and the first byte of a header without options, as they lie in memory. */
const IPV4_PLAIN: u32 = 0x450008;

/** `count` mbufs, at most BURST_MAX, stand at `frames`; `scratch`: WARM_BYTES that nobody else uses meanwhile. */
export function warmBurst(frames: usize, count: u32, scratch: usize): void {
  if (count < FRAMES_MIN || !flowsAreMany()) return;
  let found = scratch + 8;
  for (let i: u32 = 0; i < count; i++) {
    const object = guess(changetype<Mbuf>(load<u32>(frames + (usize(i) << 2))));
    store<u32>(found, u32(object));
    found += object == 0 ? 0 : 4;
  }
  let sum: u32 = 0;
  for (let at = scratch + 8; at < found; at += 4) {
    const t = changetype<Tcb>(load<u32>(at));
    // TIME-WAIT records are shorter.
    if (t.kind == KIND_TCP) sum += touch(changetype<usize>(t));
  }
  for (let at = scratch + 8; at < found; at += 4) {
    const t = changetype<Tcb>(load<u32>(at));
    if (t.kind == KIND_TCP && t.sndHead != 0) sum += load<u32>(t.sndHead);
  }
  store<u32>(scratch, sum);
}

/** The connection that a frame is for, by what it says of itself; 0 when it is no plain TCP segment. */
function guess(m: Mbuf): usize {
  if (m.dataLen < ETHER_BYTES + IPV4_BYTES + 4) return 0;
  const ip = usize(m.data) + ETHER_BYTES;
  if ((load<u32>(ip - 2) & 0xffffff) != IPV4_PLAIN || load<u8>(ip, IPV4_PROTOCOL) != IPPROTO_TCP) return 0;
  const ports = bswap<u32>(load<u32>(ip + IPV4_BYTES));
  const local = bswap<u32>(load<u32>(ip, IPV4_DESTINATION));
  return flowGuess(local, bswap<u32>(load<u32>(ip, IPV4_SOURCE)), rotl<u32>(ports, 16));
}

/** Reads a word of each cache line of a TCB. */
function touch(t: usize): u32 {
  return load<u32>(t, 64) + load<u32>(t, 128) + load<u32>(t, 192);
}

// Copies of small things without a call: memory.copy leaves Wasm for the engine's runtime, which costs more than
// the copy of a request.

/** Above this length memory.copy is quicker, bytes. */
const LOOP_MAX: u32 = 512;

/** Copies bytes; the ranges do not overlap. */
export function copyBytes(to: usize, from: usize, length: u32): void {
  if (length > LOOP_MAX) {
    memory.copy(to, from, length);
  } else if (length >= 16) {
    const last = length - 16;
    for (let i: u32 = 0; i < last; i += 16) v128.store(to + i, v128.load(from + i));
    v128.store(to + last, v128.load(from + last));
  } else if (length >= 8) {
    const last = length - 8;
    const tail = load<u64>(from + last);
    store<u64>(to, load<u64>(from));
    store<u64>(to + last, tail);
  } else {
    for (let i: u32 = 0; i < length; i++) store<u8>(to + i, load<u8>(from + i));
  }
}

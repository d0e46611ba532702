// A link's dice: xoshiro128**, whose state lies in the link's memory, so that one seed gives one history.
// Read first: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators" (2021).

/** Fills the four words of state at `state` from a 64-bit seed (SplitMix64). */
export function randomSeed(state: usize, seed: u64): void {
  for (let i: u32 = 0; i < 16; i += 8) {
    seed += 0x9e3779b97f4a7c15;
    let z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    store<u64>(state + i, z ^ (z >> 31));
  }
  // The generator has one state that it never leaves.
  if (load<u64>(state) == 0 && load<u64>(state, 8) == 0) store<u32>(state, 1);
}

/** The next 32 random bits. */
export function randomNext(state: usize): u32 {
  const s0 = load<u32>(state, 0);
  const s1 = load<u32>(state, 4);
  const s2 = load<u32>(state, 8) ^ s0;
  const s3 = load<u32>(state, 12) ^ s1;
  store<u32>(state, s0 ^ s3, 0);
  store<u32>(state, s1 ^ s2, 4);
  store<u32>(state, s2 ^ (s1 << 9), 8);
  store<u32>(state, rotl(s3, 11), 12);
  return rotl(s1 * 5, 7) * 9;
}

/** True with probability `p`, 0 to 1. Draws one number. */
export function randomChance(state: usize, p: f64): bool {
  return f64(randomNext(state)) < p * 4294967296;
}

/** A whole number from 0 to `bound` - 1. Draws one number. */
export function randomBelow(state: usize, bound: u32): u32 {
  return u32((u64(randomNext(state)) * u64(bound)) >> 32);
}

/** A number from -1 to 1, without its upper end. Draws one number. */
export function randomSigned(state: usize): f64 {
  return f64(randomNext(state)) / 2147483648 - 1;
}

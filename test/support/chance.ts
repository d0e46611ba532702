// Seeded chance for tests: the same seed, the same run. ORIBI_SEED replays one.

/** Numbers from 0 to bound - 1 (xorshift32, multiplied down). */
export function chance(seed: number): (bound: number) => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 0x100000000) * bound);
  };
}

/** The seed of a test: ORIBI_SEED if it is set. */
export function seedOf(fallback: number): number {
  const text = process.env.ORIBI_SEED;
  return text === undefined || text === "" ? fallback : Number(text) >>> 0;
}

// Seeds: one number or word gives every random choice of a network, each part its own stream.

/** Four words from a seed and the name of what they are for (a 128-bit mix of FNV-1a and MurmurHash3's finalizer). */
export function seedWords(seed: number | string, purpose: string): Uint32Array {
  const text = `${typeof seed}:${seed}/${purpose}`;
  const words = new Uint32Array(4);
  for (let lane = 0; lane < 4; lane++) {
    let hash = (0x811c9dc5 ^ Math.imul(lane + 1, 0x9e3779b9)) >>> 0;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) >>> 0;
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) >>> 0;
    words[lane] = (hash ^ (hash >>> 16)) >>> 0;
  }
  return words;
}

/** A small seeded generator for the host side (xorshift128): numbers in [0, 1). */
export function seededRandom(words: Uint32Array): () => number {
  let [a = 1, b = 2, c = 3, d = 4] = words;
  if ((a | b | c | d) === 0) d = 1;
  return () => {
    const t = a ^ (a << 11);
    a = b;
    b = c;
    c = d;
    d = (d ^ (d >>> 19) ^ t ^ (t >>> 8)) >>> 0;
    return d / 4294967296;
  };
}

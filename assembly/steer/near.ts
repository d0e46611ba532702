// The first bucket of a flow in its host's flow table: one that flows of other queues seldom use, so that threads do
// not take its cache line from one another; and near that of the flow before, as ports are given out one after another.
// Read first: table.ts; S. Woo and K. Park, "Scalable TCP Session Monitoring with Symmetric RSS" (2012).
//
// The symmetric RSS key repeats 16 bits, so that the hash depends on nothing but the exclusive or of all 16-bit words
// of addresses and ports, and each of its bits is a parity of some of these bits. As long as the redirection table goes
// round the queues, the lowest bits are the queue: they are the upper bits of the bucket here. With another key, or
// another table, the bucket says nothing of the queue, and is as good as any. It is no secret which flows share their
// first bucket; who makes many of them finds them spread over others by the secret hash.

/** The 16 bits that the symmetric key repeats (host/options and veth/rss: SYMMETRIC_RSS_KEY). */
const KEY: u32 = 0x6d5a;

/**
 * Bucket of a flow (host order; `ports` is local << 16 | remote) among `mask` + 1, in a host with so many stacks.
 * `spread` is any number that goes with the flow, for tables of more buckets than the folded words tell apart.
 */
export function nearBucket(local: u32, remote: u32, ports: u32, spread: u32, stacks: u32, mask: u32): u32 {
  const words = local ^ remote ^ ports;
  const folded = (words ^ (words >>> 16)) & 0xffff;
  const bits: u32 = 32 - clz<u32>(stacks - 1);
  let queue: u32 = 0;
  let key: u32 = KEY | (KEY << 16);
  for (let bit: u32 = 0; bit < bits; bit++) {
    key = rotr<u32>(key, 1);
    queue |= (popcnt<u32>(folded & key) & 1) << bit;
  }
  const lines = mask >>> bits;
  return (queue * (lines + 1)) | ((folded | (spread << 16)) & lines);
}

// rxBurst: what a stack takes from a queue of its NIC, on the stack's thread.
// Read first: DPDK rte_eth_rx_burst; receive.ts for how it came there.

import { RXQ_PACKETS, RXQ_RX_BYTES } from "../../assembly/layout";
import { Mbuf } from "../../assembly/memory/mbuf";
import { burstRingPop } from "../../assembly/memory/ring";
import { portAt, rxQueueAt } from "./port";
import { portPoll } from "./transmit";
import { trunkPoll } from "./trunk";

/** Takes up to `max` packets from an RX queue: their mbufs' addresses to `out`. The caller frees them. */
export function rxBurst(port: u32, queue: u32, out: usize, max: u32, now: f64): u32 {
  const p = portAt(port);
  if ((p.linkOut | p.linkIn) != 0) portPoll(p, now);
  if (p.trunk != 0) trunkPoll(p, now);
  const q = rxQueueAt(p, queue);
  const count = burstRingPop(q.ring, out, max);
  if (count == 0) return 0;
  let bytes: u64 = 0;
  for (let i: u32 = 0; i < count; i++) bytes += changetype<Mbuf>(load<u32>(out + usize(i) * 4)).pktLen;
  if (q.holder != 0) holdPackets(out, count, q.holder);
  const at = changetype<usize>(q);
  store<u64>(at, load<u64>(at, RXQ_PACKETS) + count, RXQ_PACKETS);
  store<u64>(at, load<u64>(at, RXQ_RX_BYTES) + bytes, RXQ_RX_BYTES);
  return count;
}

/** Writes on packets who holds them, for the audit after a crash. */
function holdPackets(packets: usize, count: u32, holder: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    for (let m = load<u32>(packets + usize(i) * 4); m != 0; m = changetype<Mbuf>(m).next) {
      changetype<Mbuf>(m).mark = holder;
    }
  }
}

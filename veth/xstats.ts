// The counters of a port as a plain object, with the names that DPDK's xstats have where they say the same.
// Read first: DPDK rte_eth_xstats_get_names; assembly/layout.ts for where they lie.

import {
  ESWITCH_HEADER,
  ESWITCH_UPLINK,
  FUNCTION_BYTES,
  FUNCTION_COUNTERS,
  FUNCTION_RX_GROUP,
  FUNCTION_RX_SWITCHED,
  FUNCTION_RX_UPLINK,
  FUNCTION_TX_DISABLED,
  FUNCTION_TX_GROUP,
  FUNCTION_TX_SPOOFED,
  FUNCTION_TX_SWITCHED,
  FUNCTION_TX_UPLINK,
  FUNCTION_TX_VLAN,
  PORT_DROP_DOWN,
  PORT_DROP_FILTERED,
  PORT_DROP_MISSED,
  PORT_DROP_NOMBUF,
  PORT_DROP_OVERSIZE,
  PORT_DROPS,
  PORT_ESWITCH,
  PORT_FUNCTION,
  PORT_IP_BAD,
  PORT_L4_BAD,
  PORT_QUEUES,
  PORT_RX_QUEUES,
  PORT_RX_SHORT,
  PORT_TX_COUNT,
  PORT_TX_QUEUES,
  RXQ_BYTES,
  RXQ_PACKETS,
  RXQ_RX_BYTES,
  TXQ_BYTES,
  TXQ_ERRORS,
  TXQ_NO_CARRIER,
  TXQ_OVERSIZE,
  TXQ_PACKETS,
  TXQ_PAUSES,
  TXQ_TSO_PACKETS,
  TXQ_TSO_SEGMENTS,
  TXQ_TX_BYTES,
} from "../assembly/layout.ts";
import { readCounter, readWord, type VethModule } from "./module.ts";
import type { Xstats } from "./port.ts";

const RX_PORT: Record<string, number> = {
  rx_missed_errors: PORT_DROP_MISSED,
  rx_mbuf_allocation_errors: PORT_DROP_NOMBUF,
  rx_oversize_errors: PORT_DROP_OVERSIZE,
  rx_filtered_packets: PORT_DROP_FILTERED,
  rx_down_packets: PORT_DROP_DOWN,
  rx_l4_checksum_errors: PORT_L4_BAD,
  rx_ip_checksum_errors: PORT_IP_BAD,
  rx_mbuf_shortages: PORT_RX_SHORT,
};
const TX_QUEUE: Record<string, number> = {
  packets: TXQ_PACKETS,
  bytes: TXQ_TX_BYTES,
  errors: TXQ_ERRORS,
  oversize_errors: TXQ_OVERSIZE,
  no_carrier_packets: TXQ_NO_CARRIER,
  pauses: TXQ_PAUSES,
  tso_packets: TXQ_TSO_PACKETS,
  tso_segments: TXQ_TSO_SEGMENTS,
};

/** What the switch inside a NIC counts of a function. */
const FUNCTION: Record<string, number> = {
  tx_spoofed_errors: FUNCTION_TX_SPOOFED,
  tx_vlan_errors: FUNCTION_TX_VLAN,
  tx_disabled_packets: FUNCTION_TX_DISABLED,
  tx_switched_packets: FUNCTION_TX_SWITCHED,
  tx_uplink_packets: FUNCTION_TX_UPLINK,
  tx_group_packets: FUNCTION_TX_GROUP,
  rx_switched_packets: FUNCTION_RX_SWITCHED,
  rx_uplink_packets: FUNCTION_RX_UPLINK,
  rx_group_packets: FUNCTION_RX_GROUP,
};

/** rx_* and tx_* of the port, rx_qN_* and tx_qN_* of each queue. Packets count when the host takes or gives them. */
export function readXstats(module: VethModule, handle: number): Xstats {
  const stats: Xstats = { rx_good_packets: 0, rx_good_bytes: 0, tx_good_packets: 0, tx_good_bytes: 0 };
  for (const [name, index] of Object.entries(RX_PORT)) {
    stats[name] = readCounter(module, handle + PORT_DROPS + index * 8);
  }
  for (const name of Object.keys(TX_QUEUE)) if (name !== "packets" && name !== "bytes") stats[`tx_${name}`] = 0;
  const rx = readWord(module, handle + PORT_RX_QUEUES);
  const tx = readWord(module, handle + PORT_TX_QUEUES);
  const add = (name: string, value: number): void => void (stats[name] = (stats[name] ?? 0) + value);
  const rxQueues = readWord(module, handle + PORT_QUEUES);
  for (let queue = 0; queue < readWord(module, handle + PORT_TX_COUNT); queue++) {
    if (queue < rxQueues) receive(queue);
    for (const [name, index] of Object.entries(TX_QUEUE)) {
      const value = readCounter(module, tx + queue * TXQ_BYTES + index * 8);
      if (name === "packets" || name === "bytes") {
        add(`tx_q${queue}_${name}`, value);
        add(`tx_good_${name}`, value);
      } else {
        add(`tx_${name}`, value);
      }
    }
  }
  const eswitch = readWord(module, handle + PORT_ESWITCH);
  const index = readWord(module, handle + PORT_FUNCTION);
  if (eswitch !== 0 && index !== ESWITCH_UPLINK) {
    const at = eswitch + ESWITCH_HEADER + index * FUNCTION_BYTES + FUNCTION_COUNTERS;
    for (const [name, counter] of Object.entries(FUNCTION)) stats[name] = readCounter(module, at + counter * 8);
  }
  return stats;

  function receive(queue: number): void {
    const packets = readCounter(module, rx + queue * RXQ_BYTES + RXQ_PACKETS);
    const bytes = readCounter(module, rx + queue * RXQ_BYTES + RXQ_RX_BYTES);
    add(`rx_q${queue}_packets`, packets);
    add(`rx_q${queue}_bytes`, bytes);
    add("rx_good_packets", packets);
    add("rx_good_bytes", bytes);
  }
}

/** A counter of all TX queues of a port, TXQ_*. */
export function readTxCounter(module: VethModule, handle: number, counter: number): number {
  const tx = readWord(module, handle + PORT_TX_QUEUES);
  let sum = 0;
  for (let queue = 0; queue < readWord(module, handle + PORT_TX_COUNT); queue++) {
    sum += readCounter(module, tx + queue * TXQ_BYTES + counter * 8);
  }
  return sum;
}

// What the stack imports from whatever plays the NIC: the Wasm import module "nic" (asc names it after this file).
// Read first: DPDK "Poll Mode Driver", rte_eth_rx_burst() and rte_eth_tx_burst().

/**
 * Fetches received packets of a queue: writes up to `max` mbuf addresses (u32) at `out`, returns how many.
 * The caller frees them. `now` in microseconds.
 */
export declare function rxBurst(port: u32, queue: u32, out: usize, max: u32, now: f64): u32;

/** Sends the `count` packets whose addresses (u32) stand at `packets`; returns how many the NIC took and will free. */
export declare function txBurst(port: u32, queue: u32, packets: usize, count: u32, now: f64): u32;

/**
 * Sends a flow (host order; the source is the peer) to one queue. 0 or a negative errno. A port without CAP_FLOW_RULES
 * is never asked for this, or for what follows.
 */
export declare function ruleAdd(port: u32, protocol: u32, sIp: u32, dIp: u32, sPort: u32, dPort: u32, queue: u32): i32;

/** Removes a flow's rule. 0 or a negative errno. */
export declare function ruleRemove(port: u32, protocol: u32, sIp: u32, dIp: u32, sPort: u32, dPort: u32): i32;

/** Sends what comes to a local port to one queue, unless a flow's rule says otherwise. 0 or a negative errno. */
export declare function ruleListen(port: u32, protocol: u32, localPort: u32, queue: u32): i32;

/** Removes the rule of a local port. 0 or a negative errno. */
export declare function ruleUnlisten(port: u32, protocol: u32, localPort: u32): i32;

/** The queue at which packets of a flow would arrive; addresses and ports in host order, as the packets carry them. */
export declare function queueOf(port: u32, protocol: u32, sIp: u32, dIp: u32, sPort: u32, dPort: u32): u32;

// Sysctls of Linux that scripts set and the stack has not: those that change nothing that can be seen here, and those
// whose usual value is what the stack does anyway.
// Read first: Linux Documentation/networking/ip-sysctl.rst.

/** They tune memory, timing below a millisecond, offloads, what is remembered of peers, or other protocols. */
export const IDLE_SYSCTLS: ReadonlySet<string> = new Set([
  "tcp_tso_win_divisor",
  "tcp_pacing_ss_ratio",
  "tcp_pacing_ca_ratio",
  "tcp_limit_output_bytes",
  "tcp_tso_rtt_log",
  "tcp_autocorking",
  "tcp_fack",
  "tcp_mem",
  "udp_mem",
  "tcp_max_orphans",
  "tcp_max_tw_buckets",
  "tcp_low_latency",
  "tcp_min_rtt_wlen",
  "tcp_backlog_ack_defer",
  "tcp_no_metrics_save",
  "tcp_no_ssthresh_metrics_save",
  "tcp_available_congestion_control",
  "tcp_allowed_congestion_control",
  "tcp_comp_sack_slack_ns",
  "rmem_max",
  "wmem_max",
  "rmem_default",
  "wmem_default",
  "optmem_max",
  "default_qdisc",
  "busy_poll",
  "busy_read",
  "route.flush",
  "icmp_ratemask",
  "icmp_echo_ignore_broadcasts",
  "ip_forward",
]);

/** Values that say what the stack does; any other would ask for something that it has not. */
const FIXED: Readonly<Record<string, readonly string[]>> = {
  tcp_adv_win_scale: ["1"],
  tcp_app_win: ["31"],
  tcp_retrans_collapse: ["0", "1"],
  tcp_l3mdev_accept: ["0"],
  tcp_reflect_tos: ["0"],
  tcp_plb_enabled: ["0"],
  tcp_ecn_option: ["0"],
  tcp_migrate_req: ["0"],
  tcp_early_demux: ["0", "1"],
  ip_early_demux: ["0", "1"],
  tcp_comp_sack_nr: ["0"],
  fwmark_reflect: ["0"],
  // HyStart watches for growing delays; trains of ACKs (1) do not end slow start here, and seldom do in Linux.
  "module.tcp_cubic.hystart": ["1"],
  "module.tcp_cubic.hystart_detect": ["2", "3"],
};

/** Names of interfaces and other protocols, whatever they say. */
const FOREIGN = /^(?:net\.ipv6\.|ipv6\.|conf\.|neigh\.|kernel\.|net\.mptcp\.|vm\.)|\.conf\./;

/** Does the stack behave so already, or is it none of its business? */
export function isFixedSysctl(name: string, value: string): boolean {
  if (FOREIGN.test(name)) return true;
  return Object.hasOwn(FIXED, name) && (FIXED[name] as readonly string[]).includes(value);
}

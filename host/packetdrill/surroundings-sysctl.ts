// Sysctls of Linux that scripts set and the stack has not: those that change nothing that can be seen here, those whose
// usual value is what the stack does anyway, and the others, of which people are told that they do nothing.
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

/** What else Linux 6.18 knows under net.core and net.ipv4, and older kernels did: none of it does anything here. */
const OTHERS_OF_LINUX: ReadonlySet<string> = new Set(
  [
    "bpf_jit_enable bpf_jit_harden bpf_jit_kallsyms bpf_jit_limit dev_weight dev_weight_rx_bias",
    "dev_weight_tx_bias devconf_inherit_init_net fb_tunnels_only_for_init_net flow_limit_cpu_bitmap",
    "flow_limit_table_len gro_normal_batch high_order_alloc_disable max_skb_frags mem_pcpu_rsv message_burst",
    "message_cost netdev_budget netdev_budget_usecs netdev_max_backlog netdev_rss_key netdev_tstamp_prequeue",
    "netdev_unregister_timeout_secs rps_default_mask rps_sock_flow_entries skb_defer_max tstamp_allow_data",
    "txrehash warnings xfrm_acq_expires xfrm_aevent_etime xfrm_aevent_rseqth xfrm_larval_drop",
    "cipso_cache_bucket_size cipso_cache_enable cipso_rbm_optfmt cipso_rbm_strictvalid fib_multipath_hash_fields",
    "fib_multipath_hash_policy fib_multipath_hash_seed fib_multipath_use_neigh fib_notify_on_flag_change",
    "fib_sync_mem fwmark_reflect icmp_echo_enable_probe icmp_errors_use_inbound_ifaddr",
    "icmp_ignore_bogus_error_responses icmp_msgs_burst igmp_link_local_mcast_reports igmp_max_memberships",
    "igmp_max_msf igmp_qrv inet_peer_maxttl inet_peer_minttl inet_peer_threshold ip_autobind_reuse ip_dynaddr",
    "ip_early_demux ip_forward_update_priority ip_forward_use_pmtu ip_local_reserved_ports ip_nonlocal_bind",
    "ip_unprivileged_port_start ipfrag_high_thresh ipfrag_low_thresh ipfrag_max_dist ipfrag_secret_interval",
    "nexthop_compat_mode ping_group_range raw_l3mdev_accept route.error_burst route.error_cost",
    "route.gc_elasticity route.gc_interval route.gc_min_interval route.gc_min_interval_ms route.gc_thresh",
    "route.gc_timeout route.max_size route.min_adv_mss route.min_pmtu route.mtu_expires route.redirect_load",
    "route.redirect_number route.redirect_silence tcp_adv_win_scale tcp_app_win tcp_available_ulp",
    "tcp_child_ehash_entries tcp_comp_sack_delay_ns tcp_comp_sack_nr tcp_early_demux tcp_ecn_option",
    "tcp_ecn_option_beacon tcp_ehash_entries tcp_fwmark_accept tcp_l3mdev_accept tcp_migrate_req",
    "tcp_pingpong_thresh tcp_plb_cong_thresh tcp_plb_enabled tcp_plb_idle_rehash_rounds tcp_plb_rehash_rounds",
    "tcp_plb_suspend_rto_sec tcp_reflect_tos tcp_retrans_collapse udp_child_hash_entries udp_early_demux",
    "udp_hash_entries udp_l3mdev_accept udp_rmem_min udp_wmem_min xfrm4_gc_thresh",
    "tcp_tw_recycle tcp_thin_dupack tcp_max_ssthresh tcp_abc tcp_frto_response tcp_cookie_size tcp_dma_copybreak",
    "tcp_rcvbuf_low_rtt",
  ].flatMap((line) => line.split(" ")),
);

/** Values that say what the stack does; any other asks for something that it has not. */
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
const FOREIGN =
  /^(?:net\.(?!ipv4\.|core\.)|ipv6\.|conf\.|neigh\.|(?:kernel|vm|fs|dev|debug|user|abi|sunrpc)\.)|\.conf\./;

/** Does the stack behave so already, or is it none of its business? */
export function isFixedSysctl(name: string, value: string): boolean {
  if (FOREIGN.test(name)) return true;
  return Object.hasOwn(FIXED, name) && (FIXED[name] as readonly string[]).includes(value);
}

/** Does Linux have this, where the stack does nothing about it? */
export function isLinuxSysctl(name: string): boolean {
  return OTHERS_OF_LINUX.has(name) || name.startsWith("module.");
}

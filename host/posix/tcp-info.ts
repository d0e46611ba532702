// struct tcp_info as Linux lays it out (include/uapi/linux/tcp.h), read as far as the core has filled it.

const FIELDS = [
  ["tcpi_state", 1],
  ["tcpi_ca_state", 1],
  ["tcpi_retransmits", 1],
  ["tcpi_probes", 1],
  ["tcpi_backoff", 1],
  ["tcpi_options", 1],
  ["tcpi_wscale", 1], // snd_wscale in the low, rcv_wscale in the high four bits
  ["tcpi_app_limited", 1], // tcpi_delivery_rate_app_limited in the low bit, tcpi_fastopen_client_fail in the next two
  ["tcpi_rto", 4],
  ["tcpi_ato", 4],
  ["tcpi_snd_mss", 4],
  ["tcpi_rcv_mss", 4],
  ["tcpi_unacked", 4],
  ["tcpi_sacked", 4],
  ["tcpi_lost", 4],
  ["tcpi_retrans", 4],
  ["tcpi_fackets", 4],
  ["tcpi_last_data_sent", 4],
  ["tcpi_last_ack_sent", 4],
  ["tcpi_last_data_recv", 4],
  ["tcpi_last_ack_recv", 4],
  ["tcpi_pmtu", 4],
  ["tcpi_rcv_ssthresh", 4],
  ["tcpi_rtt", 4],
  ["tcpi_rttvar", 4],
  ["tcpi_snd_ssthresh", 4],
  ["tcpi_snd_cwnd", 4],
  ["tcpi_advmss", 4],
  ["tcpi_reordering", 4],
  ["tcpi_rcv_rtt", 4],
  ["tcpi_rcv_space", 4],
  ["tcpi_total_retrans", 4],
  ["tcpi_pacing_rate", 8],
  ["tcpi_max_pacing_rate", 8],
  ["tcpi_bytes_acked", 8],
  ["tcpi_bytes_received", 8],
  ["tcpi_segs_out", 4],
  ["tcpi_segs_in", 4],
  ["tcpi_notsent_bytes", 4],
  ["tcpi_min_rtt", 4],
  ["tcpi_data_segs_in", 4],
  ["tcpi_data_segs_out", 4],
  ["tcpi_delivery_rate", 8],
  ["tcpi_busy_time", 8],
  ["tcpi_rwnd_limited", 8],
  ["tcpi_sndbuf_limited", 8],
  ["tcpi_delivered", 4],
  ["tcpi_delivered_ce", 4],
  ["tcpi_bytes_sent", 8],
  ["tcpi_bytes_retrans", 8],
  ["tcpi_dsack_dups", 4],
  ["tcpi_reord_seen", 4],
  ["tcpi_rcv_ooopack", 4],
  ["tcpi_snd_wnd", 4],
  ["tcpi_rcv_wnd", 4],
  ["tcpi_rehash", 4],
  ["tcpi_total_rto", 2],
  ["tcpi_total_rto_recoveries", 2],
  ["tcpi_total_rto_time", 4],
] as const;

/** The fields of struct tcp_info; times in microseconds or milliseconds as tcp(7) has them. */
export type TcpInfo = Record<(typeof FIELDS)[number][0] | BitField, number>;
type BitField = "tcpi_snd_wscale" | "tcpi_rcv_wscale" | "tcpi_delivery_rate_app_limited" | "tcpi_fastopen_client_fail";

/** Reads the first `length` bytes of the structure at the start of `view`. */
export function readTcpInfo(view: DataView, length: number): Partial<TcpInfo> {
  const info: Partial<TcpInfo> = {};
  let at = 0;
  for (const [name, bytes] of FIELDS) {
    if (at + bytes > length) break;
    if (bytes === 1) info[name] = view.getUint8(at);
    else if (bytes === 2) info[name] = view.getUint16(at, true);
    else if (bytes === 4) info[name] = view.getUint32(at, true);
    else info[name] = Number(view.getBigUint64(at, true));
    at += bytes;
  }
  if (info.tcpi_wscale !== undefined) {
    info.tcpi_snd_wscale = info.tcpi_wscale & 15;
    info.tcpi_rcv_wscale = info.tcpi_wscale >> 4;
  }
  if (info.tcpi_app_limited !== undefined) {
    info.tcpi_delivery_rate_app_limited = info.tcpi_app_limited & 1;
    info.tcpi_fastopen_client_fail = (info.tcpi_app_limited >> 1) & 3;
  }
  return info;
}

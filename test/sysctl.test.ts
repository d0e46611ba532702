// Tunables by Linux's names and in Linux's forms.
// Read first: Linux Documentation/networking/ip-sysctl.rst; host/sysctl.ts.

import { expect } from "chai";
import { createNetwork, sysctlNames, type Host } from "../host/index.ts";

function host(): Host {
  return createNetwork({ time: "virtual" }).host("one", { address: "10.0.0.1/24" });
}

describe("sysctl: names and forms", () => {
  it("has Linux's defaults", () => {
    const h = host();
    const defaults = {
      tcp_fastopen: 1,
      tcp_fastopen_blackhole_timeout_sec: 0,
      tcp_syn_linear_timeouts: 4,
      tcp_notsent_lowat: 4294967295,
      tcp_mtu_probing: 0,
      tcp_base_mss: 1024,
      tcp_mtu_probe_floor: 48,
      tcp_probe_interval: 600,
      tcp_probe_threshold: 8,
      tcp_frto: 2,
      tcp_dsack: 1,
      tcp_reordering: 3,
      tcp_max_reordering: 300,
      tcp_retries1: 3,
      tcp_retries2: 15,
      tcp_rto_max_ms: 120000,
      tcp_rto_min_us: 200000,
      tcp_invalid_ratelimit: 500,
      tcp_challenge_ack_limit: 2147483647,
      tcp_ecn_fallback: 1,
      tcp_thin_linear_timeouts: 0,
      tcp_stdurg: 0,
      tcp_rfc1337: 0,
      tcp_shrink_window: 0,
      tcp_workaround_signed_windows: 0,
      tcp_fin_timeout: 60,
      tcp_keepalive_time: 7200,
      ip_no_pmtu_disc: 0,
      ip_default_ttl: 64,
    };
    for (const [name, value] of Object.entries(defaults)) expect(h.sysctl(`net.ipv4.${name}`), name).to.equal(value);
  });

  it("takes hexadecimal text, other units, several numbers, and -1 where Linux does", () => {
    const h = host();
    expect(h.sysctl("net.ipv4.tcp_fastopen", "0x602")).to.equal(0x602);
    expect(h.sysctl("tcp_rto_min_us", 1500)).to.equal(2000); // a whole millisecond is the least step
    expect(h.sysctl("tcp_rto_min_us", 5000)).to.equal(5000);
    expect(h.sysctl("tcp_notsent_lowat", "-1")).to.equal(4294967295);
    expect(h.sysctl("tcp_notsent_lowat", 4294967295)).to.equal(4294967295);
    expect(h.sysctl("tcp_fin_timeout", 5)).to.equal(5);
    h.sysctl("net/ipv4/tcp_rmem", "4096 540000 15728640");
    expect(h.sysctl("tcp_rmem")).to.equal("0 540000 15728640");
    expect(h.sysctl("tcp_orphan_retries", 0)).to.equal(8);
  });

  it("reads and writes keys of Fast Open as Linux writes them", () => {
    const h = host();
    expect(h.sysctl("tcp_fastopen_key")).to.match(/^([\da-f]{8}-){3}[\da-f]{8}$/);
    const key = "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4";
    expect(h.sysctl("net.ipv4.tcp_fastopen_key", key)).to.equal(key);
    const both = `${key},00000000-00000000-00000000-00000001`;
    expect(h.sysctl("net.ipv4.tcp_fastopen_key", both)).to.equal(both);
    for (const bad of ["", "a1a1a1a1", `${key}-1`, `${both},${key}`, "x1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"]) {
      expect(() => h.sysctl("tcp_fastopen_key", bad), bad).to.throw("four hexadecimal words");
    }
    expect(h.sysctl("tcp_fastopen_key")).to.equal(both);
  });

  it("refuses what cannot be, and names that are not known", () => {
    const h = host();
    for (const value of ["", "many", -1, 1.5, 2 ** 31]) {
      expect(() => h.sysctl("tcp_retries2", value), String(value)).to.throw("an integer from 0");
    }
    expect(() => h.sysctl("tcp_magic", 1)).to.throw('There is no sysctl "tcp_magic"');
    expect(sysctlNames()).to.include.members(["tcp_fastopen_key", "tcp_rto_min_us", "tcp_rmem", "icmp_msgs_per_sec"]);
    expect(sysctlNames()).to.not.include("tcp_fastopen_keys");
  });
});

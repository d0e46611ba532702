// The shell commands of packetdrill scripts: what each means to the stack; none is run.
// Read first: host/packetdrill/shell.ts, host/packetdrill/shell/effects.ts.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

import { interpretShell, STANDARD_SETTINGS } from "../host/packetdrill/shell.ts";
import type { ShellEffect } from "../host/packetdrill/shell.ts";
import { chance, seedOf } from "./support/chance.ts";

/** Effects of a command; files are those given, by path, in the folder /scripts. */
function effects(command: string, files: Record<string, string> = {}, variables = {}): ShellEffect[] {
  return interpretShell(command, { directory: "/scripts/tcp", variables, read: (path) => files[path] });
}

/** Settings as `name=value`, other effects by their kind. */
function brief(list: readonly ShellEffect[]): string[] {
  return list.map((effect) => (effect.kind === "sysctl" ? `${effect.name}=${effect.value}` : effect.kind));
}

const sysctl = (name: string, value: string) => ({ kind: "sysctl", name, value });

describe("shell commands of packetdrill scripts: settings", () => {
  const settings: [command: string, ...expected: string[]][] = [
    ["sysctl -q net.ipv4.tcp_ecn=2", "net.ipv4.tcp_ecn=2"],
    ["sysctl -q -w -e net.ipv4.tcp_ecn=2 a.b=1", "net.ipv4.tcp_ecn=2", "a.b=1"],
    ["/sbin/sysctl -qw net/ipv4/tcp_ecn=0", "net.ipv4.tcp_ecn=0"],
    ["sudo sysctl -w a=1", "a=1"],
    ['sysctl -w a="1  2 3"', "a=1 2 3"],
    ['sysctl -w "a = 1 2"', "a=1 2"],
    ["sysctl -w a = 5", "a=5"],
    ["sysctl -q a='4096 $((1+1))'", "a=4096 $((1+1))"],
    ['sysctl -q a="4096 540000 $((15*1024*1024))"', "a=4096 540000 15728640"],
    ["sysctl -q a=1 # why\nsysctl -q b=2", "a=1", "b=2"],
    ["sysctl -q a=1; sysctl -q b=2 && sysctl -q c=3", "a=1", "b=2", "c=3"],
    ["sysctl -q a=1 > /dev/null 2>&1", "a=1"],
    ["sysctl -q \\\n  a=1 \\\n  b=2", "a=1", "b=2"],
    ["echo 5 > /proc/sys/net/ipv4/tcp_sack", "net.ipv4.tcp_sack=5"],
    ["echo 1 2 3 >/proc/sys/net/ipv4/tcp_rmem 2>/dev/null", "net.ipv4.tcp_rmem=1 2 3"],
    ['echo -n "cubic" | tee /proc/sys/net/ipv4/tcp_congestion_control', "net.ipv4.tcp_congestion_control=cubic"],
    ["echo 3 > /sys/module/tcp_cubic/parameters/hystart_detect", "module.tcp_cubic.hystart_detect=3"],
    ["./set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0", "net.ipv4.tcp_timestamps=0"],
    ['../common/set_sysctls.py \\\n\t/proc/sys/a/b=1 \\\n\t/proc/sys/c="4 5"', "a.b=1", "c=4 5"],
    ["python3 ../common/set_sysctls.py /proc/sys/a=1", "a=1"],
    ["A=5; sysctl -q a=$A b=${A} c=${B:-7} d=$((A * 2))", "a=5", "b=5", "c=7", "d=10"],
    ["export A=3 && sysctl -q a=$A", "a=3"],
    ["sysctl net.ipv4.tcp_ecn", "ignored"],
    ["sysctl -p /etc/sysctl.conf", "refused"],
    ["cat x > /proc/sys/net/ipv4/tcp_ecn", "refused"],
    ["./set_sysctls.py what", "refused"],
  ];
  for (const [command, ...expected] of settings) {
    it(command.replaceAll("\n", " / "), () => {
      const found = brief(effects(command)).filter((name) => expected.includes("ignored") || name !== "ignored");
      expect(found).to.deep.equal(expected);
    });
  }

  it("takes variables from outside", () => {
    expect(effects("sysctl -q a=$PORT", {}, { PORT: "8080" })).to.deep.equal([sysctl("a", "8080")]);
  });

  const arithmetic: [text: string, value: string][] = [
    ["15*1024*1024", "15728640"],
    ["1 + 2 * 3 - 4 / 2 % 2", "7"],
    ["(1 + 2) * -3", "-9"],
    ["0x10 + 010", "24"],
    ["1 << 4 | 1 ^ 3 & 2", "19"],
    ["5 > 3 && 2 >= 2 || 0", "1"],
    ["!5 + ~0", "-1"],
    ["1 ? 2 : 3", "2"],
    ["N * $N", "49"],
    ["MISSING", "0"],
    ["9223372036854775807 + 1", "-9223372036854775808"],
  ];
  for (const [text, value] of arithmetic) {
    it(`computes $((${text}))`, () => {
      expect(effects(`sysctl -q a=$((${text}))`, {}, { N: "7" })).to.deep.equal([sysctl("a", value)]);
    });
  }
});

describe("shell commands of packetdrill scripts: included files", () => {
  it("reads those that are there, with the script's folder as theirs", () => {
    const files = {
      "/scripts/common/defaults.sh": "#!/bin/bash\n# settings\nsysctl -q a=1\n. ./more.sh\nip tcp_metrics flush all\n",
      "/scripts/tcp/more.sh": "sysctl -q b=2",
    };
    for (const form of ["../common/defaults.sh", ". ../common/defaults.sh", "source ../common/defaults.sh"]) {
      expect(brief(effects(`${form}\nsysctl -q c=3`, files)), form).to.deep.equal([
        "a=1",
        "b=2",
        "flush-metrics",
        "c=3",
      ]);
    }
    expect(brief(effects("bash ../common/defaults.sh", files))).to.deep.equal(["a=1", "b=2", "flush-metrics"]);
  });

  it("puts the standard settings in the place of defaults.sh when it is not there", () => {
    const found = effects("../common/defaults.sh\nsysctl -q net.ipv4.tcp_ecn=1");
    const standard = Object.entries(STANDARD_SETTINGS).map(([name, value]) => sysctl(name, value));
    expect(found).to.deep.equal([...standard, { kind: "flush-metrics" }, sysctl("net.ipv4.tcp_ecn", "1")]);
    expect(STANDARD_SETTINGS["net.ipv4.tcp_rmem"]).to.equal("4096 540000 15728640");
    expect(STANDARD_SETTINGS["net.ipv4.tcp_wmem"]).to.equal("4096 262144 4194304");
  });

  it("ignores the script that restores settings, and refuses others that are not there", () => {
    expect(brief(effects("/tmp/sysctl_restore_${PPID}.sh"))).to.deep.equal(["ignored"]);
    expect(brief(effects("./setup.sh"))).to.deep.equal(["refused"]);
    expect(brief(effects("./setup.sh", { "/scripts/tcp/setup.sh": "#!/usr/bin/env python3\nx = 1" }))).to.deep.equal([
      "refused",
    ]);
  });

  it("does not read files in one another for ever", () => {
    const found = effects("./a.sh", { "/scripts/tcp/a.sh": "./b.sh", "/scripts/tcp/b.sh": "./a.sh" });
    expect(brief(found)).to.deep.equal(["refused"]);
    const many = "./a.sh\n".repeat(50);
    expect(effects("./a.sh", { "/scripts/tcp/a.sh": `${many}sysctl -q a=1` }).length).to.be.below(20_000);
  });

  it("reads real files by default", () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-"));
    try {
      writeFileSync(join(folder, "defaults.sh"), "sysctl -q a=1\n");
      expect(interpretShell("./defaults.sh", { directory: folder })).to.deep.equal([sysctl("a", "1")]);
      expect(brief(interpretShell("./other.sh", { directory: folder }))).to.deep.equal(["refused"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("shell commands of packetdrill scripts: the network", () => {
  const commands: [command: string, ...expected: object[]][] = [
    [
      "ip route change 192.168.0.0/16 via 192.168.0.2 dev tun0 initcwnd 10 initrwnd 20 rto_min lock 5ms",
      {
        kind: "route",
        action: "change",
        destination: "192.168.0.0/16",
        initcwnd: 10,
        initrwnd: 20,
        rtoMinMicros: 5000,
      },
    ],
    [
      "ip route replace default dev tun0 advmss 600 mtu lock 640 quickack 1 congctl reno features ecn",
      {
        kind: "route",
        action: "replace",
        destination: "default",
        advmss: 600,
        mtu: 640,
        mtuLocked: true,
        quickack: true,
        congestionControl: "reno",
        ecn: true,
      },
    ],
    [
      "ip ro change 1.1.1.1 mtu 1400 rtt 200 rttvar 1s",
      { kind: "route", action: "change", destination: "1.1.1.1", mtu: 1400, rttMicros: 200_000, rttvarMicros: 1e6 },
    ],
    ["ip route show", { kind: "ignored", what: "ip route show" }],
    ["ip -6 route add ::1 dev lo", { kind: "ignored", what: "ip -6 route add ::1 dev lo" }],
    ["ip route flush cache", { kind: "flush-metrics" }],
    ["ip tcp_metrics flush all > /dev/null 2>&1", { kind: "flush-metrics" }],
    ["ip link set dev tun0 mtu 1200", { kind: "link", device: "tun0", mtu: 1200 }],
    ["ip link set tun0 down", { kind: "link", device: "tun0", up: false }],
    ["ifconfig tun0 mtu 1200 up", { kind: "link", device: "tun0", mtu: 1200, up: true }],
    ["tc qdisc add dev tun0 root pfifo", { kind: "qdisc-limit", limit: undefined }],
    ["tc qdisc replace dev tun0 root pfifo limit 0", { kind: "qdisc-limit", limit: 0 }],
    [
      "tc qdisc delete dev tun0 root 2>/dev/null ; tc qdisc add dev tun0 root pfifo limit 100p",
      { kind: "qdisc-limit", limit: undefined },
      { kind: "qdisc-limit", limit: 100 },
    ],
    ["ethtool -K tun0 tso off gso off", { kind: "ignored", what: "ethtool -K tun0 tso off gso off" }],
    ...[
      "iptables -t raw -A OUTPUT -j NOTRACK",
      "iptables -F",
      "iptables -D INPUT -j DROP",
      "nft flush ruleset",
      "ip neigh add 192.168.0.2 lladdr 2:0:0:0:0:2 dev tun0",
      "ip rule add from all lookup main",
      "ip link add dummy0 type dummy",
      "tc filter add dev tun0 parent 1: protocol ip u32 match u32 0 0",
      "tc qdisc add dev tun0 clsact",
      "ip link set dev tun0 gso_max_size 65536",
    ].map((command): [string, ...object[]] => {
      const says = { kind: "no-effect", what: command };
      return command.startsWith("ip link set") ? [command, says, { kind: "link", device: "tun0" }] : [command, says];
    }),
  ];
  for (const [command, ...expected] of commands) {
    it(command, () => expect(effects(command)).to.deep.equal(expected));
  }

  const refused: [command: string, why: RegExp][] = [
    ["tc qdisc add dev tun0 root netem delay 10ms", /only fifos/],
    ["tc qdisc add dev tun0 root bfifo limit 3000", /in bytes/],
    ["ip route change 1.1.1.1 initcwnd many", /initcwnd needs a number/],
    ["ip addr add 1.2.3.4/24 dev tun0", /not interpreted/],
    ["ip link set tun0 mtu big", /needs a number/],
    ["iptables -A INPUT -j DROP", /cannot be filtered/],
    ["frobnicate tun0", /no command that is interpreted/],
  ];
  for (const [command, why] of refused) {
    it(`refuses ${command}`, () => {
      const [effect, ...more] = effects(command);
      expect(more).to.be.empty;
      expect(effect).to.include({ kind: "refused", what: command });
      expect(effect).to.have.property("why").that.matches(why);
    });
  }
});

describe("shell commands of packetdrill scripts: counters", () => {
  const counter = (name: string, relation: string, value: number, since = "seen") => ({
    kind: "assert-counter",
    name,
    relation,
    value,
    since,
  });
  const seen = { kind: "counters-seen" };
  const commands: [command: string, ...expected: object[]][] = [
    ["nstat -n", { kind: "ignored", what: "nstat -n" }, seen],
    ["nstat > /dev/null", { kind: "ignored", what: "nstat" }, seen],
    ['nstat | grep TcpExtBeyondWindow | grep -q " 3 "', counter("TcpExtBeyondWindow", "==", 3), seen],
    ['nstat -s | grep TcpExtBeyondWindow| grep -q " 4 "', counter("TcpExtBeyondWindow", "==", 4)],
    ["nstat | grep TcpExtOutOfWindowIcmps > /dev/null", counter("TcpExtOutOfWindowIcmps", ">", 0), seen],
    ['nstat -as TcpExtA | grep -q "5"', counter("TcpExtA", "==", 5, "start")],
    ["/usr/sbin/nstat -s | grep -qE '^TcpExtA +12 '", counter("TcpExtA", "==", 12)],
    ["nstat -saz | grep -q 'TcpExtA[[:space:]]*0'", counter("TcpExtA", "==", 0, "start")],
  ];
  for (const [command, ...expected] of commands) {
    it(command, () => expect(effects(command)).to.deep.equal(expected));
  }

  for (const command of [
    "nstat -s | grep -v TcpExtA",
    "nstat -s | awk '{print $2}'",
    "nstat -s | grep A | grep B",
    "nstat -s | grep 5",
    "nstat -sz | grep -q TcpExtA",
    "nstat -s | grep -c TcpExtA",
    'ss -tin | grep -q "cwnd:10"',
    'grep " 0A " /proc/net/tcp | grep ":1F90"',
    "! nstat | grep -q TcpExtA",
  ]) {
    it(`refuses ${command}`, () => expect(brief(effects(command))).to.include("refused"));
  }
});

describe("shell commands of packetdrill scripts: lists and statuses", () => {
  const commands: [command: string, ...expected: string[]][] = [
    ["true", ""],
    ["false", "exit 1"],
    ["exit 3; sysctl -q a=1", "exit 3"],
    ["exit", ""],
    ["false; true", ""],
    ["false && sysctl -q a=1", "exit 1"],
    ["false || sysctl -q a=1", "a=1"],
    ["true && false || sysctl -q a=1", "a=1"],
    ["true || sysctl -q a=1", ""],
    ["true || sysctl -q a=1 && sysctl -q b=2", "b=2"],
    ["! false", ""],
    ["! true", "exit 1"],
    ["nstat -s | grep -q A || exit 1", "assert-counter"],
    ["sleep 0.2", "sleep"],
    ["dd if=/dev/zero of=/tmp/x bs=1k count=2 status=none", "file"],
    ["", ""],
    ["# nothing", ""],
    ["\n\n ; \n", ""],
    ["modprobe tcp_dctcp", "ignored"],
  ];
  for (const [command, ...expected] of commands) {
    it(command.replaceAll("\n", " / ") || "(nothing)", () => {
      const found = effects(command).map((effect) =>
        effect.kind === "exit" ? `exit ${effect.status}` : brief([effect])[0],
      );
      expect(found).to.deep.equal(expected.filter(Boolean));
    });
  }

  it("says how long, and how many bytes", () => {
    expect(effects("sleep 0.2; sleep 5ms; usleep 30")).to.deep.equal([
      { kind: "sleep", micros: 200_000 },
      { kind: "sleep", micros: 5000 },
      { kind: "sleep", micros: 30 },
    ]);
    expect(effects("/bin/dd bs=1k count=2 if=/dev/zero of=/tmp/x")).to.deep.equal([
      { kind: "file", path: "/tmp/x", bytes: 2048 },
    ]);
  });

  for (const command of [
    "for i in 1 2; do sysctl -q a=$i; done",
    "if true; then sysctl -q a=1; fi",
    "sysctl -q a=$(cat /etc/hostname)",
    "sysctl -q a=`hostname`",
    "sysctl -q a=${X%y}",
    "sysctl -q a=$((1/0))",
    "sysctl -q a=$((x y))",
    "( sysctl -q a=1 )",
    "f() { true; }",
    "sleep 5 &",
    "cat <<EOF\nEOF",
    "sysctl -q 'a=1",
    'sysctl -q "a=1',
    "| true",
    "true &&",
    "true >",
    "python -c 'print(1)'",
    "perl x.pl",
    "sleep forever",
    "rm -rf / && reboot",
  ]) {
    it(`refuses ${command.replaceAll("\n", " / ")}, and sets nothing`, () => {
      const found = brief(effects(command));
      expect(found).to.include("refused");
      expect(found.filter((name) => name.startsWith("a="))).to.be.empty;
    });
  }
});

describe("shell commands of packetdrill scripts: damaged ones", () => {
  const seed = seedOf(20_260_303);
  const words = [
    ...["sysctl", "-q", "a=1", "echo", ">", "/proc/sys/a", "|", "&", "&&", "||", ";", "\n", "'", '"', "`", "$", "$(("],
    ...["))", "(", ")", "{", "}", "ip", "route", "change", "mtu", "nstat", "grep", "2>&1", "${A}", "\\", "#", "!"],
    ...["exit", "for", "tc", "qdisc", "./defaults.sh", "="],
  ];

  it(`are interpreted or refused, and never throw (seed ${seed})`, () => {
    const next = chance(seed);
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      let command = "";
      for (let length = next(12); length >= 0; length--)
        command += words[next(words.length)]! + (next(3) > 0 ? " " : "");
      if (brief(effects(command)).includes("refused")) refused++;
    }
    expect(refused).to.be.above(1000);
  });

  it("take time in proportion to their length", () => {
    const start = process.hrtime.bigint();
    for (const piece of ["a ", "'", '"', '"$', "\\", "; ", "$((", "$((1+", "a|", "a=1 ", "${", "\n", "!", "$((1)) "]) {
      effects(piece.repeat(20_000));
    }
    effects(`sysctl -q a=$((${"(".repeat(10_000)}1))`);
    effects(`sysctl -q a=$((${"-".repeat(10_000)}1))`);
    expect(Number(process.hrtime.bigint() - start) / 1e9).to.be.below(10);
  });
});

// The matching rules of the packetdrill runner: for each a script that passes, and one that fails with the right words.
// Read first: host/packetdrill/runner.ts, outbound.ts; Cardwell et al. (USENIX ATC 2013), section 3.

import { expect } from "chai";
import { runScript, type ScriptOptions, type ScriptResult } from "../host/index.ts";
import { isLinuxSysctl } from "../host/packetdrill/surroundings-sysctl.ts";
import { sysctlNames } from "../host/sysctl.ts";

/** A listener and a connection, without timestamps, at 0.010 s. */
const CONNECTED = `
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
   +0 > S. 0:0(0) ack 1 <...>
 +.01 < . 1:1(0) ack 1 win 257
   +0 accept(3, ..., ...) = 4
`;

function run(text: string, options: ScriptOptions = {}): ScriptResult {
  return runScript(text, "test.pkt", options);
}

/** Runs events behind a handshake. */
function connected(events: string, options: ScriptOptions = {}): ScriptResult {
  return run(`${CONNECTED}${events}\n`, options);
}

function passes(result: ScriptResult): void {
  const { status, line, message, actual = "", wire } = result;
  expect(status, [`${line}: ${message}`, actual, ...wire].join("\n")).to.equal("ok");
}

function fails(result: ScriptResult, message: RegExp | string): void {
  expect(result.status, result.message).to.equal("failed");
  if (typeof message === "string") expect(result.message).to.include(message);
  else expect(result.message).to.match(message);
}

function refuses(result: ScriptResult, message: string): void {
  expect(result.status, result.message).to.equal("refused");
  expect(result.message).to.include(message);
}

describe("packetdrill: outbound packets", () => {
  it("lets several segments of equal size meet one line; flags are those of the last", () => {
    passes(connected("+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1"));
    passes(connected("+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2001(2000) ack 1\n+0 > P. 2001:2501(500) ack 1"));
    fails(connected("+0 write(4, ..., 3000) = 3000\n+0 > . 1:3001(3000) ack 1"), "flags: expected ., got P.");
    fails(connected("+0 write(4, ..., 3000) = 3000\n+0 > P. 1:1501(1500) ack 1"), "payload: expected 1500 bytes");
    fails(
      connected("+0 write(4, ..., 1000) = 1000\n+0 > P. 1:3001(3000) ack 1"),
      "the rest of the packet did not come",
    );
  });

  it("compares sequence and acknowledgment numbers", () => {
    passes(connected("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1"));
    fails(connected("+0 write(4, ..., 10) = 10\n+0 > P. 2:12(10) ack 1"), "sequence number: expected 2, got 1");
    fails(connected("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 2"), "ack: expected 2, got 1");
  });

  it("is strict about PSH", () => {
    fails(connected("+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1"), "flags: expected ., got P.");
  });

  it("is strict about options and their order, unless they are <...>", () => {
    const syn = (options: string): ScriptResult =>
      run(CONNECTED.replace("ack 1 <...>", `ack 1 ${options}`).replace("1 win 257", "1 win 257"));
    passes(syn("<mss 1460,nop,nop,sackOK,nop,wscale 7>"));
    fails(syn("<mss 1460,sackOK,nop,nop,nop,wscale 7>"), "TCP options: expected <mss 1460,sackOK");
    fails(syn("<mss 1460>"), "TCP options");
    fails(syn(""), "TCP options: expected <>");
  });

  it("looks at the window where it is written only", () => {
    const reply = (window: string): ScriptResult =>
      connected(`+0 < P. 1:101(100) ack 1 win 257\n+0 > . 1:1(0) ack 101${window}`);
    passes(reply(""));
    fails(reply(" win 1"), "window: expected 1, got");
  });

  it("fails at a packet that comes before the one that is expected, and not at those behind the last", () => {
    fails(
      connected("+0 write(4, ..., 10) = 10\n+0 write(4, ..., 10) = 10\n+1 > P. 11:21(10) ack 1"),
      "sequence number: expected 11, got 1",
    );
    passes(connected("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+0 close(4) = 0"));
  });

  it("says what came in the place of a packet that did not", () => {
    const result = connected("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.01 > F. 11:11(0) ack 1");
    fails(result, /did not come by 0\.024 s/);
    expect(result.line).to.equal(11);
    expect(result.actual).to.match(/^at 0\.\d+ s: P\. 1:11\(10\) ack 1/);
    expect(result.wire.at(-1)).to.include("> P. 1:11(10)");
  });

  it("ignores what belongs to no socket of the script", () => {
    passes(
      run(`0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
        +0 bind(3, ..., {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("0.0.0.0")}) = 0
        +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
        +0...0.01 connect(4, ..., ...) = -1 ECONNREFUSED
        +0 > S 0:0(0) <...>
        +.01 < R. 0:0(0) ack 1 win 0`),
    );
  });
});

describe("packetdrill: time", () => {
  const ack = (time: string): ScriptResult => connected(`+.1 < P. 1:1(0) ack 1 win 257\n${time} write(4, ..., 9) = 9`);

  it("takes 4 ms for the least tolerance, more where an option says so", () => {
    // A delayed ACK comes after 40 ms.
    const delayed = (time: string, options: ScriptOptions = {}): ScriptResult =>
      connected(
        `+0 setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0
         +0 < P. 1:101(100) ack 1 win 257
         ${time} > . 1:1(0) ack 101`,
        options,
      );
    passes(delayed("+.04"));
    passes(delayed("+.0365"));
    fails(delayed("+.02"), /did not come by 0\.034 s/);
    fails(delayed("+.05"), /should come at 0\.060 s \(give or take 0\.00625 s\), it came at 0\.050 s/);
    passes(delayed("+.02", { options: { tolerance_usecs: "30000" } }));
    passes(delayed("+.03~+.05"));
    fails(delayed("+.06~+.08"), "should come at 0.070 s to 0.090 s");
    passes(delayed("*"));
  });

  it("takes 12.5 % of the time since the event before where that is more", () => {
    const text = (time: string): string => `+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1\n${time} > P. 1:10(9) ack 1`;
    // The retransmission is due 210 ms after the data.
    passes(connected(text("+.21")));
    passes(connected(text("+.2")));
    fails(connected(text("+.15")), "did not come");
  });

  it("takes absolute times, whose first is when the script starts", () => {
    passes(run("5 socket(..., SOCK_STREAM, 0) = 3\n5.5 close(3) = 0"));
    expect(run("5 socket(..., SOCK_STREAM, 0) = 3\n5.5 close(3) = 0").micros).to.equal(500_000);
  });

  it("lets relative times count from the event before, however long that took", () => {
    passes(ack("+.1"));
    expect(ack("+.1").micros).to.equal(210_000);
  });
});

describe("packetdrill: calls", () => {
  it("compares results and errno", () => {
    passes(run("0 read(7, ..., 10) = -1 EBADF (Bad file descriptor)"));
    fails(run("0 read(7, ..., 10) = 10"), "read: expected 10, got -1 EBADF");
    fails(run("0 read(7, ..., 10) = -1 EINVAL"), "read: expected -1 EINVAL, got -1 EBADF");
    fails(connected("+0 write(4, ..., 10) = 9"), "write: expected 9, got 10");
    passes(run("0 read(7, ..., 10) = ?"));
  });

  it("lets the events behind a call that blocks go on, and checks when it returns", () => {
    passes(connected("+0...0.1 read(4, ..., 10) = 10\n+.1 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11"));
    fails(
      connected("+0...0.2 read(4, ..., 10) = 10\n+.1 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11"),
      "read should return at 0.210 s, it returned at 0.110 s",
    );
    fails(connected("+0...0.1 read(4, ..., 10) = 10\n+.3 < P. 1:11(10) ack 1 win 257"), "read still blocks at");
    fails(connected("+0 read(4, ..., 10) = 10"), "read blocks; a call that may block is written with its end");
  });

  it("waits for a call that blocks before it makes the next", () => {
    passes(
      connected(`+0...0.1 read(4, ..., 10) = 10
        +.1 < P. 1:11(10) ack 1 win 257
        +0 > . 1:1(0) ack 11
        +0 ioctl(4, SIOCINQ, [0]) = 0`),
    );
  });

  it("compares what options, structures and lists come back with", () => {
    passes(connected("+0 getsockopt(4, SOL_SOCKET, SO_TYPE, [SOCK_STREAM], [4]) = 0"));
    fails(
      connected("+0 getsockopt(4, SOL_SOCKET, SO_TYPE, [SOCK_DGRAM], [4]) = 0"),
      "the option: expected SOCK_DGRAM (2)",
    );
    passes(connected('+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, "cubic", [16]) = 0'));
    fails(connected('+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, "reno", [16]) = 0'), 'expected "reno", got "cubic"');
    passes(connected("+0 ioctl(4, SIOCINQ, [0]) = 0"));
    fails(connected("+0 ioctl(4, SIOCINQ, [1]) = 0"), "ioctl: expected 1, got 0");
    fails(connected("+0 poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1"), "revents of fd 0: expected 0, got 4");
    passes(connected('+0 getpeername(4, {sa_family=AF_INET, sin_addr=inet_addr("192.0.2.1")}, [16]) = 0'));
    fails(
      connected('+0 getpeername(4, {sa_family=AF_INET, sin_addr=inet_addr("192.0.2.2")}, [16]) = 0'),
      "sin_addr: expected",
    );
  });

  it("refuses calls, names and options that are not there", () => {
    refuses(run("0 fork() = 0"), "fork() is not supported");
    refuses(run("0 socket(AF_NONE, SOCK_STREAM, 0) = 3"), "AF_NONE is not known");
    refuses(connected("+0 setsockopt(4, SOL_TCP, TCP_REPAIR, [1], 4) = 0"), "no socket option TCP_REPAIR");
  });
});

describe("packetdrill: timestamps", () => {
  const answered = (value: number, echo: number, options = "--tcp_ts_tick_usecs=1000\n"): ScriptResult =>
    run(`${options}
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 700 ecr 0>
   +0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 700>
  +.1 < . 1:1(0) ack 1 win 32792 <nop,nop,TS val 800 ecr 100>
   +0 accept(3, ..., ...) = 4
  +.1 write(4, ..., 10) = 10
   +0 > P. 1:11(10) ack 1 <nop,nop,TS val ${value} ecr ${echo}>`);

  it("compares values by the time since the first, and echoes, when a tick is given", () => {
    passes(answered(300, 800));
    fails(answered(500, 800), "timestamp: expected 500, got 300");
    // 12.5 % of the script's time so far.
    passes(answered(320, 800));
    fails(answered(300, 700), "TCP options: expected <nop,nop,TS val 300 ecr 700>");
  });

  it("does not without", () => {
    passes(answered(5, 7, ""));
  });
});

describe("packetdrill: IP fields and ICMP", () => {
  it("compares ECN bits, TOS and TTL where they are written", () => {
    passes(connected("+0 write(4, ..., 10) = 10\n+0 > [noecn] P. 1:11(10) ack 1"));
    fails(connected("+0 write(4, ..., 10) = 10\n+0 > [ect0] P. 1:11(10) ack 1"), "ECN bits: expected ect0, got noecn");
    passes(connected("+0 write(4, ..., 10) = 10\n+0 > [ttl 64] P. 1:11(10) ack 1"));
    fails(connected("+0 write(4, ..., 10) = 10\n+0 > [ttl 63] P. 1:11(10) ack 1"), "TTL: expected 63, got 64");
    fails(connected("+0 write(4, ..., 10) = 10\n+0 > [tos 0x10] P. 1:11(10) ack 1"), "TOS: expected 0x10, got 0x0");
  });

  it("compares type and code of ICMP", () => {
    passes(run("0 < udp (100)\n+0 > icmp unreachable port_unreachable"));
    fails(run("0 < udp (100)\n+0 > icmp unreachable host_unreachable"), "ICMP code: expected 1, got 3");
    fails(run("0 < udp (100)\n+0 > udp (100)"), "kind of packet: expected udp, got icmp");
  });
});

describe("packetdrill: code and shell", () => {
  it("runs code at the end over what TCP_INFO said on the way", () => {
    passes(
      connected(`+0 %{ before = tcpi_bytes_received }%
        +0 < P. 1:101(100) ack 1 win 257
        +0 > . 1:1(0) ack 101
        +0 %{ assert before == 0 and tcpi_bytes_received == 100, (before, tcpi_bytes_received) }%`),
    );
    fails(connected("+0 %{ assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd }%"), /assert.*tcpi_snd_cwnd/);
    // A script that fails before never comes to its code.
    fails(connected("+0 %{ assert False }%\n+0 > F. 1:1(0) ack 1"), "did not come");
  });

  it("carries sysctls out at their time", () => {
    const timed = "0 `sysctl -q net.ipv4.tcp_timestamps=0`\n+0 socket(..., SOCK_STREAM, 0) = 3\n";
    const connect = "+0...1 connect(3, ..., ...) = ?\n+0 > S 0:0(0) <mss 1460,nop,nop,sackOK,nop,wscale 7>\n";
    passes(run(`${timed}${connect}+1 < R. 0:0(0) ack 1 win 0`));
  });

  it("says of each setting of Linux that does nothing here that it is ignored, once, and goes on", () => {
    const set = [
      "sysctl -q net.ipv4.tcp_ecn_option=2 net.ipv4.tcp_ecn_option=2 net.ipv4.tcp_reflect_tos=1",
      "sysctl -q net.core.netdev_budget=600 net.ipv4.conf.all.rp_filter=0 net.netfilter.nf_conntrack_max=1000",
      "sysctl -q net.ipv4.tcp_comp_sack_nr=0 fs.file-max=100000",
      "ip route add 192.0.2.1 via 192.168.0.2 dev tun0 initcwnd 20 quickack 1",
      "iptables -t raw -A OUTPUT -j NOTRACK",
    ].join("\n");
    const result = run(`\`${set}\`\n0 socket(..., SOCK_STREAM, 0) = 3`);
    passes(result);
    expect(result.ignored).to.deep.equal([
      "sysctl net.ipv4.tcp_ecn_option=2",
      "sysctl net.ipv4.tcp_reflect_tos=1",
      "sysctl net.core.netdev_budget=600",
      "ip route ... quickack",
      "iptables -t raw -A OUTPUT -j NOTRACK",
    ]);
  });

  it("has settings of its own for none of those that it ignores", () => {
    expect(sysctlNames().filter((name) => isLinuxSysctl(name))).to.deep.equal([]);
  });

  it("refuses Accurate ECN by name: it is not answered with the classic one", () => {
    for (const value of [3, 4, 5]) {
      refuses(run(`\`sysctl -q net.ipv4.tcp_ecn=${value}\`\n0 socket(..., SOCK_STREAM, 0) = 3`), "Accurate ECN");
    }
    passes(run("`sysctl -q net.ipv4.tcp_ecn=2`\n0 socket(..., SOCK_STREAM, 0) = 3"));
  });

  it("knows the code of ICMP errors that the harness of the public collections gives", () => {
    passes(
      run(`0 socket(..., SOCK_STREAM, 0) = 3
        +0...0.1 connect(3, ..., ...) = -1 EHOSTUNREACH (No route to host)
        +0 > S 0:0(0) <...>
        +.1 < icmp unreachable CODE [0:0(0)]`),
    );
  });

  it("refuses settings that Linux has not, and starts every script anew", () => {
    refuses(run("`sysctl -q net.ipv4.tcp_no_such_thing=1`\n0 socket(..., SOCK_STREAM, 0) = 3"), "no such tunable");
    passes(run("`sysctl -q net.ipv4.tcp_timestamps=0`\n0 socket(..., SOCK_STREAM, 0) = 3"));
    passes(
      run(`0 socket(..., SOCK_STREAM, 0) = 3
        +0...1 connect(3, ..., ...) = ?
        +0 > S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>
        +1 < R. 0:0(0) ack 1 win 0`),
    );
  });

  it("asks counters by Linux's names", () => {
    const counted = (wanted: number): ScriptResult =>
      connected(`+0 \`nstat -n\`
        +0 write(4, ..., 10) = 10
        +0 > P. 1:11(10) ack 1
        *  > P. 1:11(10) ack 1
        +0 \`nstat | grep TcpRetransSegs | grep -q " ${wanted} "\``);
    passes(counted(1));
    fails(counted(2), "TcpRetransSegs: expected 2, got 1");
  });
});

describe("packetdrill: what cannot be run", () => {
  it("fails for what is not the language, with the place", () => {
    const result = run("0 socket(..., SOCK_STREAM, IPPROTO_TCP = 3");
    fails(result, 'expected ")"');
    expect(result.line).to.equal(1);
    expect(result.expected).to.include("^");
  });

  it("refuses IPv6 and what is not supported, and fails for an option that cannot be", () => {
    refuses(run("--ip_version=ipv6\n0 socket(..., SOCK_STREAM, 0) = 3"), "Oribi speaks IPv4");
    refuses(run("--wire_client\n0 socket(..., SOCK_STREAM, 0) = 3"), "over a wire");
    fails(run("--mtu=10\n0 socket(..., SOCK_STREAM, 0) = 3"), "expected a number from 68 to 65535");
  });

  it("takes options of the command line before those of the script", () => {
    const text = "--remote_ip=198.51.100.7\n0 socket(..., SOCK_DGRAM, 0) = 3\n+0 connect(3, ..., ...) = 0\n";
    const named = (address: string): string =>
      `${text}+0 getpeername(3, {sa_family=AF_INET, sin_addr=inet_addr("${address}")}, [16]) = 0`;
    passes(run(named("198.51.100.7")));
    passes(run(named("203.0.113.9"), { options: { remote_ip: "203.0.113.9" } }));
  });

  it("lets words stand for others", () => {
    passes(run("0 close(NUMBER) = -1 EBADF", { define: { NUMBER: "9" } }));
  });
});

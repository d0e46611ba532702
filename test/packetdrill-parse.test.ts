// Reading packetdrill scripts: times and packets in every form, and the tree that they become.
// Read first: host/packetdrill/script.ts (the tree), host/packetdrill/parse.ts.

import { expect } from "chai";

import type { ScriptEvent } from "../host/packetdrill/script.ts";
import { EVERYTHING, SERVER } from "./support/packetdrill-samples.ts";
import { call, event, packet, parse, tcp } from "./support/packetdrill.ts";

describe("packetdrill scripts: a whole script", () => {
  const script = parse(EVERYTHING);

  it("has its options, its set-up, its events and what tidies up", () => {
    expect(script.options.map(({ name, value }) => `${name}=${value}`)).to.deep.equal([
      "mss=1000",
      "tolerance_usecs=10000",
      "send_omit_free=",
      "remote_ip=192.0.2.1",
    ]);
    expect(script.init).to.have.lengthOf(1);
    expect(script.init[0]!.command).to.match(/^\.\/defaults\.sh\nsysctl .* # a comment of the shell$/s);
    expect(script.events).to.have.lengthOf(27);
    expect(script.cleanup.map(({ command }) => command)).to.deep.equal(["/tmp/sysctl_restore_${PPID}.sh"]);
  });

  it("knows where everything stands", () => {
    const lines = EVERYTHING.split("\n");
    expect(script.options[1]).to.include({ line: 5, column: 1 });
    expect(script.init[0]).to.include({ line: 8, column: 1 });
    for (const { line, column, text } of script.events) {
      expect(lines[line - 1]!.slice(column - 1), `line ${line}`).to.satisfy((rest: string) =>
        rest.startsWith(text.split("\n")[0]!),
      );
    }
  });

  it("keeps an event's lines without what stands behind it", () => {
    const [first, second] = parse("0 close(3) = 0 // done\n\n+0 < icmp redirect /* what */\n").events;
    expect(first!.text).to.equal("0 close(3) = 0");
    expect(second!.text).to.equal("+0 < icmp redirect");
    expect(script.events.find((read) => read.type === "code")!.text).to.match(/^\+0 %\{\nassert .*\n\}%$/);
  });

  it("reads Windows' line ends and a byte order mark like any blank", () => {
    const windows = `\uFEFF${EVERYTHING.replaceAll("\n", "\r\n")}`;
    const strip = (read: ScriptEvent) => ({ ...read, text: "", column: 0, code: "" });
    expect(parse(windows).events.map(strip)).to.deep.equal(script.events.map(strip));
  });

  it("is fast: a thousand small scripts in well under five seconds", () => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < 1000; i++) parse(SERVER);
    expect(Number(process.hrtime.bigint() - start) / 1e9).to.be.below(5);
  });
});

describe("packetdrill scripts: times", () => {
  const times: [written: string, read: object][] = [
    ["0", { kind: "absolute", at: 0 }],
    ["0.1", { kind: "absolute", at: 100_000 }],
    [".25", { kind: "absolute", at: 250_000 }],
    ["12.000001", { kind: "absolute", at: 12_000_001 }],
    ["+0", { kind: "relative", after: 0 }],
    ["+.1", { kind: "relative", after: 100_000 }],
    ["+ 1.5", { kind: "relative", after: 1_500_000 }],
    ["*", { kind: "any" }],
    ["0~0.2", { kind: "range", from: 0, to: 200_000, relative: false }],
    ["+0~+.2", { kind: "range", from: 0, to: 200_000, relative: true }],
    ["+.02 ~ +1.1", { kind: "range", from: 20_000, to: 1_100_000, relative: true }],
  ];
  for (const [written, read] of times) {
    it(`reads ${written}`, () => expect(event(`${written} > . 1:1(0) ack 1`).time).to.deep.equal(read));
  }

  const ends: [written: string, end: object][] = [
    ["0...0.2", { at: 200_000, relative: false }],
    ["1.5...1.75", { at: 1_750_000, relative: false }],
    ["0.1...+0.2", { at: 200_000, relative: true }],
    ["+0...0.2", { at: 200_000, relative: true }],
    ["+0...+0.2", { at: 200_000, relative: true }],
    ["+0....2", { at: 200_000, relative: true }],
    ["+.002 ... 0.004", { at: 2000, relative: true }],
    ["+.01...0.020", { at: 10_000, relative: true }],
  ];
  for (const [written, end] of ends) {
    it(`reads a call that blocks: ${written}`, () => {
      expect(call(`${written} accept(3, ..., ...) = 4`).end).to.deep.equal(end);
    });
  }

  it("gives calls that do not block no end", () => {
    expect(call("+0 close(3) = 0")).to.not.have.property("end");
  });
});

describe("packetdrill scripts: TCP packets", () => {
  const flags: [written: string, bits: number][] = [
    ["S", 2],
    ["S.", 18],
    [".", 16],
    ["-", 0],
    ["F.", 17],
    ["FP.", 25],
    [".PF", 25],
    ["R", 4],
    ["PU.", 56],
    ["SEW", 194],
    ["SEWA", 450],
    ["EC.", 208],
    [".5", 16 | (5 << 6)],
  ];
  for (const [written, bits] of flags) {
    it(`reads the flags ${written}`, () => expect(tcp(`< ${written} 1:1(0)`).flags).to.equal(bits));
  }

  it("reads everything between the flags and the options", () => {
    const read = packet("< [ce] 40000 > 8080 PU. 1:1001(1000) ack 7 win 257 urg 3");
    expect(read.direction).to.equal("in");
    expect(read.ip).to.deep.equal({ ecn: "ce" });
    expect(read.transport).to.deep.equal({
      protocol: "tcp",
      ports: { source: 40000, destination: 8080 },
      flags: 56,
      sequence: 1,
      sequenceEnd: 1001,
      payload: 1000,
      ack: 7,
      window: 257,
      urgent: 3,
      options: [],
    });
  });

  it("leaves out what is not written", () => {
    const read = tcp("> . 1:1(0)");
    expect(read).to.not.have.any.keys("ack", "window", "urgent", "ports");
  });

  it("takes sequence numbers that wrap", () => {
    expect(tcp("< . 4294967295:1(2) ack 0 win 0")).to.include({ sequence: 0xffffffff, sequenceEnd: 1, payload: 2 });
  });

  it("tells no options from any options", () => {
    expect(tcp("> . 1:1(0) ack 1").options).to.deep.equal([]);
    expect(tcp("> . 1:1(0) ack 1 <>").options).to.deep.equal([]);
    expect(tcp("> . 1:1(0) ack 1 <...>").options).to.equal(undefined);
    expect(tcp("> . 1:1(0) ack 1 < ... >").options).to.equal(undefined);
  });

  const options: [written: string, read: object][] = [
    ["mss 1460", { kind: "mss", mss: 1460 }],
    ["nop", { kind: "nop" }],
    ["eol", { kind: "eol" }],
    ["wscale 14", { kind: "wscale", shift: 14 }],
    ["sackOK", { kind: "sackOK" }],
    ["sack 1:2", { kind: "sack", blocks: [[1, 2]] }],
    [
      "sack 10:20 30:40  50:60",
      {
        kind: "sack",
        blocks: [
          [10, 20],
          [30, 40],
          [50, 60],
        ],
      },
    ],
    ["TS val 100 ecr 4294967295", { kind: "timestamp", value: 100, echo: 0xffffffff }],
    ["TS val * ecr *", { kind: "timestamp", value: -1, echo: -1 }],
    ["FO", { kind: "fastopen", cookie: new Uint8Array(), experimental: false }],
    ["FO 01abCD", { kind: "fastopen", cookie: Uint8Array.of(1, 0xab, 0xcd), experimental: false }],
    ["FO 87654321", { kind: "fastopen", cookie: Uint8Array.of(0x87, 0x65, 0x43, 0x21), experimental: false }],
    ["FOEXP", { kind: "fastopen", cookie: new Uint8Array(), experimental: true }],
    ["FOEXP 0xff", { kind: "fastopen", cookie: Uint8Array.of(255), experimental: true }],
    ["unknown 253", { kind: "unknown", number: 253, data: new Uint8Array() }],
    ["unknown 253 0x1234", { kind: "unknown", number: 253, data: Uint8Array.of(0x12, 0x34) }],
    ["exp 0xbeef", { kind: "unknown", number: 254, data: Uint8Array.of(0xbe, 0xef) }],
    ["exp 253 f989", { kind: "unknown", number: 253, data: Uint8Array.of(0xf9, 0x89) }],
    ["md5 000102", { kind: "refused", name: "md5", text: "md5 000102" }],
    ["md5 valid", { kind: "refused", name: "md5", text: "md5 valid" }],
    ["ECN e1b 1 ceb 0 e0b 1", { kind: "refused", name: "ECN", text: "ECN e1b 1 ceb 0 e0b 1" }],
    [
      "mpcapable v1 flags[flag_h] key[ckey,skey]",
      { kind: "refused", name: "mpcapable", text: "mpcapable v1 flags[flag_h] key[ckey,skey]" },
    ],
  ];
  for (const [written, read] of options) {
    it(`reads the option ${written}`, () => {
      expect(tcp(`> . 1:1(0) ack 1 <${written}>`).options).to.deep.equal([read]);
      expect(tcp(`> . 1:1(0) ack 1 < nop , ${written} , nop >`).options).to.deep.equal([
        { kind: "nop" },
        read,
        { kind: "nop" },
      ]);
    });
  }
});

describe("packetdrill scripts: IP, UDP, ICMP, fragments", () => {
  it("reads fields of IP in brackets and in parentheses, several at once", () => {
    expect(packet("> [noecn] . 1:1(0)").ip).to.deep.equal({ ecn: "noecn" });
    expect(packet("> [ect0, tos 0x10 , ttl 63] . 1:1(0)").ip).to.deep.equal({ ecn: "ect0", tos: 16, ttl: 63 });
    expect(packet("> (tos 0xff, ttl 1) . 1:1(0)").ip).to.deep.equal({ tos: 255, ttl: 1 });
    expect(packet("> [ect01] (ttl 64) . 1:1(0)").ip).to.deep.equal({ ecn: "ect01", ttl: 64 });
    expect(packet("> . 1:1(0)").ip).to.deep.equal({});
  });

  const others: [written: string, transport: object][] = [
    ["> udp (100)", { protocol: "udp", payload: 100 }],
    ["> udp(0)", { protocol: "udp", payload: 0 }],
    ["> udp length 8", { protocol: "udp", payload: 8 }],
    ["> udp 53 > 4000 (8)", { protocol: "udp", ports: { source: 53, destination: 4000 }, payload: 8 }],
    ["> 53 > 4000 udp (8)", { protocol: "udp", ports: { source: 53, destination: 4000 }, payload: 8 }],
    ["< icmp unreachable", { protocol: "icmp", icmpType: 3, icmpCode: 0 }],
    ["< icmp unreachable host_unreachable", { protocol: "icmp", icmpType: 3, icmpCode: 1 }],
    ["< icmp unreachable admin_prohibited", { protocol: "icmp", icmpType: 3, icmpCode: 13 }],
    ["< icmp unreachable code_255", { protocol: "icmp", icmpType: 3, icmpCode: 255 }],
    ["< icmp type_255 code_7", { protocol: "icmp", icmpType: 255, icmpCode: 7 }],
    ["< icmp time_exceeded exceeded_in_transit", { protocol: "icmp", icmpType: 11, icmpCode: 0 }],
    ["< icmp parameter_problem", { protocol: "icmp", icmpType: 12, icmpCode: 0 }],
    ["< icmp redirect redirect_host", { protocol: "icmp", icmpType: 5, icmpCode: 1 }],
    [
      "> icmp echo_reply id 1 seq 2 (56)",
      { protocol: "icmp", icmpType: 0, icmpCode: 0, id: 1, sequence: 2, payload: 56 },
    ],
    [
      "< icmp unreachable frag_needed mtu 840 [0:1000(1000)]",
      {
        protocol: "icmp",
        icmpType: 3,
        icmpCode: 4,
        mtu: 840,
        quoted: { protocol: "tcp", sequence: 0, sequenceEnd: 1000, payload: 1000 },
      },
    ],
    [
      "< icmp unreachable [udp (100)]",
      { protocol: "icmp", icmpType: 3, icmpCode: 0, quoted: { protocol: "udp", payload: 100 } },
    ],
    [
      "< [1:1001(1000)] icmp source_quench",
      {
        protocol: "icmp",
        icmpType: 4,
        icmpCode: 0,
        quoted: { protocol: "tcp", sequence: 1, sequenceEnd: 1001, payload: 1000 },
      },
    ],
    ["< fragment id 7 offset 0 more (1480)", { protocol: "fragment", id: 7, offset: 0, more: true, payload: 1480 }],
    ["< fragment id 7 offset 1480 (20)", { protocol: "fragment", id: 7, offset: 1480, more: false, payload: 20 }],
  ];
  for (const [written, transport] of others) {
    it(`reads ${written}`, () => expect(packet(written).transport).to.deep.equal(transport));
  }

  it("ends an ICMP packet where the next event begins", () => {
    expect(parse("+0 < icmp redirect\n0.5 < icmp type_3\n.6 close(3) = 0\n").events).to.have.lengthOf(3);
  });
});

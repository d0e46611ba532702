// Reading packetdrill scripts: every form of the language, and the tree that it becomes.
// Read first: host/packetdrill/script.ts (the tree), host/packetdrill/parse.ts.

import { expect } from "chai";

import { parseScript } from "../host/packetdrill/parse.ts";
import type { PacketEvent, Script, ScriptEvent, SyscallEvent, TcpPacket, Value } from "../host/packetdrill/script.ts";
import { EVERYTHING, SERVER } from "./support/packetdrill-samples.ts";

function parse(text: string, symbols?: Record<string, string>): Script {
  return parseScript(text, "test.pkt", symbols);
}

function event(text: string, symbols?: Record<string, string>): ScriptEvent {
  const { events } = parse(text, symbols);
  expect(events).to.have.lengthOf(1);
  return events[0]!;
}

function packet(text: string, symbols?: Record<string, string>): PacketEvent {
  const read = event(`+0 ${text}`, symbols);
  if (read.type !== "packet") throw new Error(`${text} was read as a ${read.type}`);
  return read;
}

function tcp(text: string, symbols?: Record<string, string>): TcpPacket {
  const { transport } = packet(text, symbols);
  if (transport.protocol !== "tcp") throw new Error(`${text} was read as ${transport.protocol}`);
  return transport;
}

function call(text: string): SyscallEvent {
  const read = event(text);
  if (read.type !== "syscall") throw new Error(`${text} was read as a ${read.type}`);
  return read;
}

/** A value as the only argument of a call. */
function value(text: string): Value {
  const { arguments: values } = call(`+0 f(${text}) = 0`);
  expect(values).to.have.lengthOf(1);
  return values[0]!;
}

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

describe("packetdrill scripts: system calls", () => {
  const values: [written: string, read: Value][] = [
    ["...", { kind: "any" }],
    ["5", { kind: "integer", value: 5 }],
    ["-1", { kind: "integer", value: -1 }],
    ["0x7fffffff", { kind: "integer", value: 0x7fffffff }],
    ["0644", { kind: "integer", value: 0o644 }],
    ["0", { kind: "integer", value: 0 }],
    ["NULL", { kind: "symbols", names: ["NULL"] }],
    ["O_RDWR|O_NONBLOCK", { kind: "symbols", names: ["O_RDWR", "O_NONBLOCK"] }],
    ["A | B |\n 4 | 0x10", { kind: "symbols", names: ["A", "B", 4, 16] }],
    ['"abc"', { kind: "string", value: "abc" }],
    [String.raw`"a\"\\\n\x41\101 // no"`, { kind: "string", value: 'a"\\\nAA // no' }],
    ['"GET /"...', { kind: "string", value: "GET /", prefix: true }],
    ["[]", { kind: "list", items: [] }],
    ["[1]", { kind: "list", items: [{ kind: "integer", value: 1 }] }],
    ["[A|B, ...]", { kind: "list", items: [{ kind: "symbols", names: ["A", "B"] }, { kind: "any" }] }],
    [
      "{..., 100}",
      {
        kind: "struct",
        members: [
          { name: "", value: { kind: "any" } },
          { name: "", value: { kind: "integer", value: 100 } },
        ],
      },
    ],
    [
      "{ fd = 4 , events = 0 }",
      {
        kind: "struct",
        members: [
          { name: "fd", value: { kind: "integer", value: 4 } },
          { name: "events", value: { kind: "integer", value: 0 } },
        ],
      },
    ],
    [
      "{msg_name(...)=..., msg_iov(2)=[], msg_control ( 48 ) = 1}",
      {
        kind: "struct",
        members: [
          { name: "msg_name", value: { kind: "any" } },
          { name: "msg_iov", count: 2, value: { kind: "list", items: [] } },
          { name: "msg_control", count: 48, value: { kind: "integer", value: 1 } },
        ],
      },
    ],
    ["htons(80)", { kind: "call", name: "htons", arguments: [{ kind: "integer", value: 80 }] }],
    [
      '{sin_addr = inet_addr("1.2.3.4")}',
      {
        kind: "struct",
        members: [
          {
            name: "sin_addr",
            value: { kind: "call", name: "inet_addr", arguments: [{ kind: "string", value: "1.2.3.4" }] },
          },
        ],
      },
    ],
  ];
  for (const [written, read] of values) {
    it(`reads the value ${written.replaceAll("\n", " ")}`, () => expect(value(written)).to.deep.equal(read));
  }

  const results: [written: string, read: object][] = [
    ["= 0", { result: { kind: "integer", value: 0 } }],
    ["= -1", { result: { kind: "integer", value: -1 } }],
    ["= -1 EAGAIN", { result: { kind: "integer", value: -1 }, errno: "EAGAIN" }],
    [
      "= -1 EAGAIN (Resource temporarily unavailable)",
      { result: { kind: "integer", value: -1 }, errno: "EAGAIN", note: "Resource temporarily unavailable" },
    ],
    [
      "= -1 E2BIG(it's (too) long)",
      { result: { kind: "integer", value: -1 }, errno: "E2BIG", note: "it's (too) long" },
    ],
    ["= -1 (Invalid Argument)", { result: { kind: "integer", value: -1 }, note: "Invalid Argument" }],
    ["= 0x2 (flags O_RDWR)", { result: { kind: "integer", value: 2 }, note: "flags O_RDWR" }],
    ["= ...", { result: { kind: "any" } }],
    ["= ?", {}],
    ["", {}],
  ];
  for (const [written, read] of results) {
    it(`reads the result "${written}"`, () => {
      const { result, errno, note } = call(`+0 f(1) ${written}\n`);
      expect({ result, errno, note }).to.deep.equal({ result: undefined, errno: undefined, note: undefined, ...read });
      // what follows is the next event, whatever the result was
      expect(parse(`+0 f(1) ${written}\n0.1 g() = 0`).events).to.have.lengthOf(2);
    });
  }

  it("takes calls without arguments", () => expect(call("+0 fork() = 0").arguments).to.deep.equal([]));
});

describe("packetdrill scripts: shell, code, symbols", () => {
  it("keeps commands as they are, over several lines, before, between and after the events", () => {
    const script = parse("`a\nb`\n--mss=5\n`c`\n0 `d \\`e\\``\n+0 close(3) = 0\n`f`\n`g`");
    expect(script.init.map(({ command, line }) => [command, line])).to.deep.equal([
      ["a\nb", 1],
      ["c", 4],
    ]);
    expect(script.options).to.have.lengthOf(1);
    expect(script.events[0]).to.include({ type: "shell", command: "d `e`", line: 5 });
    expect(script.cleanup.map(({ command }) => command)).to.deep.equal(["f", "g"]);
  });

  it("keeps code without the blanks at its ends, and knows its line", () => {
    expect(event("+0 %{ assert a }%")).to.include({ code: "assert a", codeLine: 1 });
    expect(event("\n+0\n%{ \nassert a, '%d' % a\n}%")).to.include({ code: "\nassert a, '%d' % a", codeLine: 3 });
    expect(parse("+0 %{ a }%  // why\n+0 %{ b }%").events).to.have.lengthOf(2);
  });

  it("puts symbols in the place of whole words of any kind", () => {
    const symbols = { COOKIE: "3021b9d889017eeb", LEN: "1000", CALL: "close", LEVEL: "SOL_IP|4", TEXT: '"a b"' };
    expect(tcp("> . 1:1001(LEN) <FO COOKIE>", symbols)).to.deep.include({
      payload: 1000,
      options: [
        {
          kind: "fastopen",
          cookie: Uint8Array.of(0x30, 0x21, 0xb9, 0xd8, 0x89, 0x01, 0x7e, 0xeb),
          experimental: false,
        },
      ],
    });
    expect(event("+0 CALL(LEVEL, TEXT, LENGTH) = LEN", symbols)).to.deep.include({
      name: "close",
      arguments: [
        { kind: "symbols", names: ["SOL_IP", 4] },
        { kind: "string", value: "a b" },
        { kind: "symbols", names: ["LENGTH"] },
      ],
      result: { kind: "integer", value: 1000 },
    });
  });

  it("leaves strings, comments, commands and code alone", () => {
    const script = parse('`A`\n0 f("A") = A // A\n+0 %{ A }%\n+0 `A`\n`A`', { A: "1" });
    expect(script.init[0]!.command).to.equal("A");
    expect(script.events[0]).to.deep.include({ arguments: [{ kind: "string", value: "A" }] });
    expect(script.events[0]).to.deep.include({ result: { kind: "integer", value: 1 } });
    expect(script.events[1]).to.include({ code: "A" });
    expect(script.events[2]).to.include({ command: "A" });
  });

  it("takes definitions from the script, and those from outside before them", () => {
    const text = '--define=A=1\n-D B=2\n--define=C="x y"\n0 f(A, B, C) = 0';
    const of = (script: Script) => script.events[0]!;
    const [one, two, nine] = [1, 2, 9].map((number) => ({ kind: "integer", value: number }));
    expect(of(parse(text))).to.deep.include({ arguments: [one, two, { kind: "string", value: "x y" }] });
    expect(of(parse(text, { A: "9" }))).to.deep.include({ arguments: [nine, two, { kind: "string", value: "x y" }] });
  });

  it("shows lines as they were written, whatever the symbols make of them", () => {
    const [first, second] = parse("0 f(LONG) = X\n+0 f(2) = X", { LONG: "1, 2, 3", X: "-1 EAGAIN" }).events;
    expect(first).to.include({ text: "0 f(LONG) = X", line: 1, column: 1, errno: "EAGAIN" });
    expect(second).to.include({ text: "+0 f(2) = X", line: 2, column: 1 });
  });

  it("is fast: a thousand small scripts in well under five seconds", () => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < 1000; i++) parse(SERVER);
    expect(Number(process.hrtime.bigint() - start) / 1e9).to.be.below(5);
  });
});

// Packetdrill scripts that cannot be read: the place, what stands there, what should; and nothing but ScriptErrors.
// Read first: host/packetdrill/script-error.ts.

import { expect } from "chai";

import { OribiError } from "../host/errors.ts";
import { parseScript } from "../host/packetdrill/parse.ts";
import { ScriptError } from "../host/packetdrill/script-error.ts";
import { chance, seedOf } from "./support/chance.ts";
import { EVERYTHING, SERVER } from "./support/packetdrill-samples.ts";

function failure(text: string, symbols?: Record<string, string>): ScriptError {
  try {
    parseScript(text, "test.pkt", symbols);
  } catch (error) {
    if (error instanceof ScriptError) return error;
    throw error;
  }
  throw new Error(`This was read, and should not have been: ${text}`);
}

describe("packetdrill scripts: what is not the language", () => {
  const wrong: [what: string, text: string, line: number, column: number, found: string, expected: RegExp][] = [
    ["nothing", "", 1, 1, "the end of the script", /an event/],
    ["options only", "--mss=1\n// x\n", 3, 1, "the end of the script", /an event/],
    ["no time", "socket(1) = 3", 1, 1, '"socket"', /an event: a time such as \+0/],
    ["no time in the middle", "0 f() = 0\nclose(4) = 0", 2, 1, '"close"', /the time of the next event/],
    ["a time and nothing", "0 f() = 0\n+0", 2, 3, "the end of the script", /a packet .* a system call/],
    ["a time that is none", "+x f() = 0", 1, 2, '"x"', /a time in seconds/],
    ["a time with a unit", "+10ms f() = 0", 1, 2, '"10ms"', /a time in seconds/],
    ["half a range", "+0~.2 > . 1:1(0)", 1, 4, '".2"', /"\+" at the end of the range/],
    ["a range backwards", "+.2~+.1 > . 1:1(0)", 1, 6, '".1"', /behind its start/],
    ["an end before the start", "+.2...0.1 f() = 0", 1, 7, '"0.1"', /not lie before the start/],
    ["an end of a packet", "+0...0.1 > . 1:1(0)", 1, 1, '"+"', /a system call behind a time with an end/],
    ["an end of a range", "0~1...2 f() = 0", 1, 4, '"..."', /not a range or \*/],
    ["no arguments", "+0 close = 0", 1, 10, '"="', /"\(" and the arguments of close/],
    ["an argument too few", "+0 f(1,) = 0", 1, 8, '")"', /an argument/],
    ["a call that does not end", "+0 f(1 = 0", 1, 8, '"="', /"\)" or a "," after an argument/],
    ["no result", "+0 f(1) =", 1, 10, "the end of the script", /the result of f/],
    ["a struct that does not end", "+0 f({a=1, b=2) = 0", 1, 15, '")"', /"\}" or a ","/],
    ["no value of a member", "+0 f({a=}) = 0", 1, 9, '"}"', /the value of a/],
    ["numbers too large", "+0 f(9007199254740993) = 0", 1, 6, '"9007199254740993"', /2\^53/],
    ["a list in an or", "+0 f(A|[1]) = 0", 1, 11, '")"', /both sides of \|/],
    ["a string that does not end", '+0 f("abc) = 0\n', 1, 6, '"\\""', /ends the string/],
    ["a comment that does not end", "0 f() = 0 /* x", 1, 11, '"/*"', /"\*\/"/],
    ["a command that does not end", "`abc\n0 f() = 0", 1, 1, '"`"', /second back quote/],
    ["code that does not end", "0 %{ assert x }", 1, 3, '"%{"', /"\}%"/],
    ["a note that does not end", "0 f() = 0 (x", 1, 11, '"("', /"\)" that ends the note/],
    ["a command without a time in between", "0 f() = 0\n`a`\n+0 f() = 0", 3, 1, '"+"', /the end of the script/],
    ["flags that there are not", "+0 > X. 1:1(0)", 1, 6, '"X."', /TCP flags/],
    ["flags twice", "+0 > SS 1:1(0)", 1, 6, '"SS"', /each once/],
    ["no sequence numbers", "+0 > S. ack 1", 1, 9, '"ack"', /sequence numbers and bytes/],
    ["lengths that contradict", "+0 > . 1:1001(999)", 1, 8, '"1"', /1000 bytes of payload/],
    ["a sequence number too large", "+0 > . 4294967296:0(0)", 1, 8, '"4294967296"', /at most 4294967295/],
    ["a window too large", "+0 < . 1:1(0) win 65536", 1, 19, '"65536"', /at most 65535/],
    ["no window", "+0 < . 1:1(0) win <mss 5>", 1, 19, '"<"', /a window/],
    ["an option that there is not", "+0 < S 0:0(0) <mss 5,wscal 7>", 1, 22, '"wscal"', /a TCP option .*wscale/],
    ["no comma between options", "+0 < S 0:0(0) <nop nop>", 1, 20, '"nop"', /">" or a "," after a TCP option/],
    ["a timestamp without echo", "+0 < S 0:0(0) <TS val 5>", 1, 24, '">"', /"ecr"/],
    ["a block with one edge", "+0 < . 1:1(0) <sack 5>", 1, 22, '">"', /between the edges/],
    ["a cookie that is no cookie", "+0 < S 0:0(0) <FO MY_COOKIE>", 1, 19, '"MY_COOKIE"', /-D MY_COOKIE=/],
    ["half a byte of cookie", "+0 < S 0:0(0) <FO abc>", 1, 19, '"abc"', /even number/],
    ["an option longer than all", `+0 < . 1:1(0) <FO ${"ab".repeat(39)}>`, 1, 19, `"${"ab".repeat(20)}"`, /38 bytes/],
    ["an unknown ICMP type", "+0 < icmp unreachble", 1, 11, '"unreachble"', /a type of ICMP: .*unreachable/],
    ["an unknown ICMP code", "+0 < icmp unreachable why", 1, 23, '"why"', /a code of ICMP: .*net_unreachable.*code_N/],
    ["a code too large", "+0 < icmp redirect code_256", 1, 20, '"code_256"', /255/],
    ["a quote without ICMP", "+0 < [1:2(1)] . 1:1(0)", 1, 15, '"."', /"icmp" behind a quoted packet/],
    ["an unknown field of IP", "+0 < [ect2] . 1:1(0)", 1, 7, '"ect2"', /a field of IP/],
    ["a TOS too large", "+0 < [tos 256] . 1:1(0)", 1, 11, '"256"', /at most 255/],
    ["no length of UDP", "+0 > udp", 1, 9, "the end of the script", /bytes of payload/],
    ["a fragment between units", "+0 < fragment id 1 offset 7 (8)", 1, 27, '"7"', /multiple of 8/],
    ["rubbish behind a packet", "+0 > . 1:1(0) ack 1 wni 5", 1, 21, '"wni"', /the time of the next event/],
    ["a definition without a value", "-D A\n0 f() = 0", 2, 1, '"0"', /NAME=VALUE/],
  ];
  for (const [what, text, line, column, found, expected] of wrong) {
    it(`${what}: ${text.slice(0, 40).replaceAll("\n", " ")}`, () => {
      const error = failure(text);
      expect(error.code).to.equal("ERR_ORIBI_SCRIPT");
      expect(error.message).to.equal(`test.pkt:${line}:${column}: found ${found}; expected ${error.expected}.`);
      expect(error.expected).to.match(expected);
    });
  }

  it("is an OribiError that shows the line with a caret", () => {
    const error = failure("0 f() = 0\n\t+0 < S 0:0(0) <mss 5,wscal 7>\r\n+0 f() = 0");
    expect(error).to.be.instanceOf(OribiError);
    expect(error).to.include({ name: "ScriptError", file: "test.pkt", line: 2, column: 23, found: '"wscal"' });
    expect(error.source).to.equal("\t+0 < S 0:0(0) <mss 5,wscal 7>");
    expect(error.excerpt()).to.equal(" +0 < S 0:0(0) <mss 5,wscal 7>\n                      ^");
  });

  it("shows the part of a long line where it happened", () => {
    const error = failure(`0 f(${"1, ".repeat(1000)}) = 0`);
    const [line = "", caret = ""] = error.excerpt().split("\n");
    expect(line.length).to.be.below(120);
    expect(line[caret.indexOf("^")]).to.equal(")");
  });

  it("names the place in the script as it was written when symbols were replaced", () => {
    const symbols = { LONG: "1, 2, 3, 4", BAD: "wscal 7" };
    expect(failure("0 f(LONG, LONG) = 0\n+0 f(LONG, }) = 0", symbols)).to.include({ line: 2, column: 12 });
    expect(failure("0 f(LONG) = 0\n+0 < S 0:0(0) <nop,BAD>", symbols)).to.include({ line: 2, column: 20 });
  });

  it("does not fill the stack with lists in lists", () => {
    expect(failure(`0 f(${"[".repeat(100_000)}`).expected).to.match(/no more than 24/);
    expect(failure(`0 f(${"{a=".repeat(100_000)}`).expected).to.match(/no more than 24/);
    expect(failure(`0 f(${"g(".repeat(100_000)}`).expected).to.match(/no more than 24/);
  });
});

describe("packetdrill scripts: what is refused by name", () => {
  const refused: [text: string, what: RegExp][] = [
    ["+0 < ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0)", /encapsulation/],
    ["+0 < ipv6 2::2222 > 1::1111: gre: . 1:1(0)", /IPv6/],
    ["+0 < gre: . 1:1(0)", /GRE/],
    ["+0 > sctp: INIT[flgs=0]", /SCTP/],
    ["+0 > [flowlabel 0x1] . 1:1(0)", /flow labels/],
    ["+0 < icmp packet_too_big mtu 1400", /ICMPv6/],
    ["+0 < P. 1:21(20) ack 1 win 257 {rep ipv4 version_ihl 0x35}", /changing bytes/],
    ["+0 > S 0:0(0) <...> sock(3)", /sock\(N\)/],
    ["0 f() = 0\n#ifdef Linux\n#endif", /preprocessor/],
  ];
  for (const [text, what] of refused) {
    it(text.replaceAll("\n", " "), () => {
      const error = failure(text);
      expect(error.code).to.equal("ERR_ORIBI_SCRIPT_REFUSED");
      expect(error.message)
        .to.match(what)
        .and.match(/^test\.pkt:\d+:\d+: not supported: /);
    });
  }
});

describe("packetdrill scripts: damaged ones", () => {
  const seed = seedOf(20_260_301);
  const pieces = [
    ...'`%{}()[]<>"\\|=,:;~*+-.#/0x',
    "...",
    "%{",
    "}%",
    "/*",
    "*/",
    "//",
    "--",
    "\n",
    "\0",
    "é",
    "sack ",
    "TS",
  ];

  /** A script with some bytes removed, doubled, replaced or swapped for others' pieces. */
  function damage(text: string, next: (bound: number) => number): string {
    let damaged = text;
    for (let i = 1 + next(4); i > 0; i--) {
      const at = next(damaged.length + 1);
      const length = next(4) === 0 ? next(40) : next(3);
      const kept = damaged.slice(at + length);
      const inserted = [pieces[next(pieces.length)]!, text.slice(at, at + next(60)), "", "((((", "9".repeat(next(30))];
      damaged = damaged.slice(0, at) + inserted[next(inserted.length)]! + kept;
    }
    return damaged;
  }

  it(`are read or refused with a ScriptError whose place exists (seed ${seed})`, () => {
    const next = chance(seed);
    let failures = 0;
    for (let i = 0; i < 4000; i++) {
      const text = damage(next(2) === 0 ? SERVER : EVERYTHING, next);
      try {
        parseScript(text, "x.pkt", next(2) === 0 ? { S: "S", win: "5", mss: '"', nop: "`a`" } : {});
      } catch (error) {
        if (!(error instanceof ScriptError))
          throw new Error(`Not a ScriptError for ${JSON.stringify(text)}`, { cause: error });
        const lines = text.split("\n");
        expect(error.line, text).to.be.within(1, lines.length);
        expect(error.column, text).to.be.within(1, lines[error.line - 1]!.length + 1);
        failures++;
      }
    }
    expect(failures).to.be.above(1000);
  });

  it("take time in proportion to their length", () => {
    const monsters = [
      '"\\'.repeat(100_000),
      `0 f(${'"\\"'.repeat(70_000)}`,
      "/*".repeat(100_000),
      "# \n".repeat(70_000),
      `0 f() = 0 ${"(".repeat(200_000)}`,
      `0 > . 1:1(0) <${"nop,".repeat(50_000)}`,
      `0 > . 1:1(0) <sack ${"1:2 ".repeat(50_000)}`,
      `0 f({${"a ".repeat(100_000)}`,
      `0 f({a${" ".repeat(200_000)}`,
      `0 f(${"A|".repeat(100_000)}`,
      `--define=A${"`".repeat(200_001)}`,
      "--a\n".repeat(50_000),
      " ".repeat(200_000),
      "+0 f() = 0\n".repeat(20_000),
    ];
    const start = process.hrtime.bigint();
    for (const text of monsters) {
      try {
        parseScript(text, "x.pkt", { A: "B" });
      } catch (error) {
        expect(error, text.slice(0, 20)).to.be.instanceOf(ScriptError);
      }
    }
    expect(Number(process.hrtime.bigint() - start) / 1e9).to.be.below(10);
  });
});

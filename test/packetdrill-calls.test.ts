// Reading packetdrill scripts: system calls, shell commands, code and symbols, and the tree that they become.
// Read first: host/packetdrill/script.ts (the tree), host/packetdrill/parse-value.ts.

import { expect } from "chai";

import type { Script, Value } from "../host/packetdrill/script.ts";
import { call, event, parse, tcp } from "./support/packetdrill.ts";

/** A value as the only argument of a call. */
function value(text: string): Value {
  const { arguments: values } = call(`+0 f(${text}) = 0`);
  expect(values).to.have.lengthOf(1);
  return values[0]!;
}

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
});

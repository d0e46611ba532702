// The Python of packetdrill scripts: values as CPython has them, asserts that say what was wrong, bounded time.
// Read first: host/packetdrill/python.ts; test/support/python-values.ts, CPython's own answers.

import { expect } from "chai";

import { OribiError } from "../host/errors.ts";
import { PythonError, runPython } from "../host/packetdrill/python.ts";
import type { PythonNames, PythonVariables } from "../host/packetdrill/python.ts";
import { chance, seedOf } from "./support/chance.ts";
import { PYTHON_VALUES } from "./support/python-values.ts";

const NAMES = { tcpi_rtt: 20123, tcpi_big: 1n << 63n, tcpi_zero: 0, tcpi_snd_cwnd: 10, TCP_CA_Open: 0, name: "tun0" };
const PLACE = { file: "x.pkt", line: 40 };

/** What code prints. */
function output(code: string, names: PythonNames = NAMES, variables?: PythonVariables): string {
  let text = "";
  runPython(code, names, (piece) => (text += piece), PLACE, variables);
  return text;
}

function failure(code: string, names: PythonNames = NAMES): PythonError {
  try {
    output(code, names);
  } catch (error) {
    if (error instanceof PythonError) return error;
    throw error;
  }
  throw new Error(`This did not fail: ${code}`);
}

describe("Python of packetdrill scripts: values, against CPython's", () => {
  for (const [expression, repr] of PYTHON_VALUES) {
    it(expression, () => expect(output(`print(repr(${expression}))`)).to.equal(`${repr}\n`));
  }
});

describe("Python of packetdrill scripts: statements", () => {
  const printed: [code: string, text: string][] = [
    ["assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd", ""],
    ["assert tcpi_snd_cwnd == 10, 'cwnd=%d' % tcpi_snd_cwnd; print 'ok'", "ok\n"],
    ["assert 1\nassert 2; assert 3;\n\n# comment\nprint(1)", "1\n"],
    ["assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd; \\\n   assert tcpi_rtt == 20123; \\\n   print(2)", "2\n"],
    ["print(3);\\", "3\n"],
    ["print(4) \\\n", "4\n"],
    ["assert (1 +\n   2  # inside\n ) == 3; print(5)", "5\n"],
    ["\n   assert 1\n   print(6)\n", "6\n"],
    ["assert 1\n   print(7)", "7\n"],
    ["assert 1\r\nprint(8)\r\n", "8\n"],
    ["print()", "\n"],
    ["print", "\n"],
    ["print 1, 'a', 2.5", "1 a 2.5\n"],
    ["print ('%d' % 1)", "1\n"],
    ["print ('a'), 'b'", "a b\n"],
    ["print ('%d') % 5", "5\n"],
    ["print(1, 2, sep='-', end='!')", "1-2!"],
    ["print((1, 2))", "(1, 2)\n"],
    ["a = 5; b = a * 2; print(a + b)", "15\n"],
    ["a = b = 3; print(a, b)", "3 3\n"],
    ["a, b = 1, 2; a, b = b, a; print(a, b)", "2 1\n"],
    ["a = 5\na += 2\na *= 3\na //= 2\na **= 2\na -= 1\na <<= 1\nprint(a)", "198\n"],
    ["s = 'a'; s += 'b'; print(s)", "ab\n"],
    ["if tcpi_zero: print(1)\nelse: print(2)", "2\n"],
    ["if tcpi_zero:\n  print(1)\nelif tcpi_rtt > 5:\n  print(2)\n  print(3)\nelse:\n  print(4)\nprint(5)", "2\n3\n5\n"],
    ["if 1:\n  if 0:\n    print(1)\n  else:\n    pass\n  print(2)", "2\n"],
    ["pass", ""],
    ["tcpi_rtt = 1; print(tcpi_rtt)", "1\n"],
    ["1 + 1", ""],
    ["", ""],
    ["# only a comment", ""],
  ];
  for (const [code, text] of printed) {
    it(code.replaceAll("\n", " / ").trim() || "(nothing)", () => expect(output(code)).to.equal(text));
  }

  it("keeps what earlier code assigned, but lets names win over it", () => {
    const variables: PythonVariables = new Map();
    output("INFINITE = 0x7fffffff; tcpi_rtt = 5; x = tcpi_snd_cwnd", NAMES, variables);
    expect(output("print(INFINITE, tcpi_rtt, x)", NAMES, variables)).to.equal("2147483647 20123 10\n");
    expect(failure("print(INFINITE)").reason).to.equal("NameError: name 'INFINITE' is not defined");
  });

  it("keeps integers of 64 bits exact, and tells floats from ints", () => {
    const names = { a: 18446744073709551615n, b: 2.5, c: 3, d: "x" };
    expect(output("print(a - 1, b, c, c / 2, d)", names)).to.equal("18446744073709551614 2.5 3 1.5 x\n");
  });

  it("does not take properties of objects for names or functions", () => {
    expect(failure("toString").reason).to.match(/NameError/);
    expect(failure("constructor()").kind).to.equal("refused");
    expect(failure("__proto__").reason).to.match(/NameError/);
  });
});

describe("Python of packetdrill scripts: failures", () => {
  it("says which assert failed, with its message and the values of its names", () => {
    const error = failure("assert tcpi_rtt\nassert tcpi_snd_cwnd == TCP_CA_Open + 7, 'cwnd=%d' % tcpi_snd_cwnd");
    expect(error).to.be.instanceOf(OribiError);
    expect(error).to.include({ code: "ERR_ORIBI_PYTHON", kind: "assert", file: "x.pkt", line: 41 });
    expect(error.condition).to.equal("tcpi_snd_cwnd == TCP_CA_Open + 7");
    expect(error.values).to.deep.equal({ tcpi_snd_cwnd: "10", TCP_CA_Open: "0" });
    expect(error.message).to.equal(
      "x.pkt:41: assertion failed: tcpi_snd_cwnd == TCP_CA_Open + 7 (cwnd=10); tcpi_snd_cwnd = 10, TCP_CA_Open = 0",
    );
  });

  it("shows no value of a name that was never looked up, and every kind of value", () => {
    expect(failure("assert 0 and nothing").values).to.deep.equal({});
    expect(failure("assert name == 'lo'").values).to.deep.equal({ name: "'tun0'" });
    expect(failure("assert abs(tcpi_rtt - 5) < (tcpi_zero if 1 else tcpi_big)").values).to.have.all.keys(
      "tcpi_rtt",
      "tcpi_zero",
      "tcpi_big",
    );
  });

  it("says a condition over several lines on one", () => {
    expect(failure("assert (tcpi_rtt ==\n   5)").condition).to.equal("(tcpi_rtt == 5)");
    expect(failure("assert tcpi_rtt \\\n  == 5").condition).to.equal("tcpi_rtt == 5");
  });

  const mistakes: [code: string, line: number, reason: RegExp][] = [
    ["assert tcpi_nothing == 1", 40, /NameError: name 'tcpi_nothing' is not defined/],
    ["\n\nprint(1 / 0)", 42, /ZeroDivisionError/],
    ["1 // 0", 40, /ZeroDivisionError/],
    ["1.5 % 0", 40, /ZeroDivisionError/],
    ["0 ** -1", 40, /ZeroDivisionError/],
    ["1 + 'a'", 40, /TypeError: unsupported operand type\(s\) for \+: 'int' and 'str'/],
    ["1 < 'a'", 40, /TypeError: '<' not supported between instances of 'int' and 'str'/],
    ["-'a'", 40, /TypeError: bad operand type for unary -: 'str'/],
    ["1 in 5", 40, /TypeError: argument of type 'int' is not iterable/],
    ["(1, 2)[2]", 40, /IndexError/],
    ["5[0]", 40, /TypeError: 'int' object is not subscriptable/],
    ["'%d' % 'a'", 40, /TypeError: %d format: a number is required/],
    ["'%d %d' % 1", 40, /TypeError: not enough arguments/],
    ["'%d' % (1, 2)", 40, /TypeError: not all arguments converted/],
    ["'%' % 1", 40, /ValueError: incomplete format/],
    ["int('x')", 40, /ValueError: invalid literal for int/],
    ["a, b = 1", 40, /ValueError: 2 values expected/],
    ["1 << -1", 40, /ValueError: negative shift count/],
    ["assert", 40, /SyntaxError: expected an expression, found the end of the line/],
    ["assert 1 1", 40, /SyntaxError: expected the end of the statement, found '1'/],
    ["x = = 5", 40, /SyntaxError/],
    ["(1", 40, /SyntaxError: expected '\)'/],
    ["'abc", 40, /SyntaxError: a string does not end/],
    ["1\n  2\n3", 42, /SyntaxError|unindent/],
    ["if 1:\nprint(1)", 41, /SyntaxError: expected an indented block/],
    ["if 1:\n   a = 1\n  b = 2", 42, /unindent does not match/],
    ["a $ b", 40, /SyntaxError: "\$" is not Python/],
    ["0x", 40, /SyntaxError/],
    ["1 = 2", 40, /assigning to anything but names/],
  ];
  for (const [code, line, reason] of mistakes) {
    it(code.replaceAll("\n", " / "), () => {
      const error = failure(code);
      expect(error.reason).to.match(reason);
      expect(error.line).to.equal(line);
    });
  }

  const refused = [
    "import sys",
    "for i in (1, 2): pass",
    "while 1: pass",
    "def f(): pass",
    "lambda: 1",
    "[x for x in (1,)]",
    "{1: 2}",
    "open('/etc/passwd')",
    "__import__('os')",
    "''.__class__",
    "(1).real",
    "'a'.encode()",
    "x = y[0] = 1",
    "print(1, file=2)",
    "b'abc'",
    "9 ** 9 ** 9",
    "1 << 1000000",
    "'a' * 10000000",
    "(-1) ** 0.5",
    "(".repeat(200) + "1" + ")".repeat(200),
    "-".repeat(1000) + "1",
    "1" + "+1".repeat(5000),
    "1" + " and 1".repeat(5000),
  ];
  for (const code of refused) {
    it(`refuses ${code.slice(0, 40)}`, () => expect(failure(code).kind).to.equal("refused"));
  }
});

describe("Python of packetdrill scripts: damaged code", () => {
  const seed = seedOf(20_260_302);
  const words = [
    ...["assert", "print", "if", "else", "elif", "and", "or", "not", "in", "is", "tcpi_rtt", "abs", "len"],
    ...["1", "2.5", "0x1f", "'a'", '"%d"', "f'{x}'", "(", ")", "[", "]", ",", ";", ":", "=", "==", "<", "**", "//"],
    ...["%", "+", "-", ".", "\\", "\n", "\n  ", "#", "'''", "{"],
  ];

  it(`fails with nothing but PythonErrors, and soon (seed ${seed})`, () => {
    const next = chance(seed);
    const start = process.hrtime.bigint();
    let failures = 0;
    for (let i = 0; i < 20_000; i++) {
      let code = "";
      for (let length = next(14); length >= 0; length--) code += words[next(words.length)]! + (next(3) > 0 ? " " : "");
      try {
        output(code);
      } catch (error) {
        if (!(error instanceof PythonError)) throw new Error(`For ${JSON.stringify(code)}`, { cause: error });
        failures++;
      }
    }
    expect(failures).to.be.above(1000);
    expect(Number(process.hrtime.bigint() - start) / 1e9).to.be.below(20);
  });
});

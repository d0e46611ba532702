// The frame of the command line: values, options, help, tables, the progress line, and the program itself.
// Read first: host/cli/command.ts.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

import { commandHelp, defineCommand, wrap } from "../host/cli/command.ts";
import { CliError } from "../host/cli/errors.ts";
import { formatBytes, formatCount, formatMicros, formatRate, formatRatio, formatShare } from "../host/cli/format.ts";
import { wantsColor } from "../host/cli/io.ts";
import type { Output } from "../host/cli/io.ts";
import { parseArguments } from "../host/cli/options.ts";
import { Progress } from "../host/cli/progress.ts";
import { editDistance, nearest } from "../host/cli/suggest.ts";
import { clip, formatTable, textWidth } from "../host/cli/table.ts";
import * as units from "../host/cli/units.ts";
import { PcapngWriter } from "../veth/pcapng.ts";
import { fakeTransfer } from "./support/fake-transfer.ts";

const OPTIONS = {
  loss: { form: "SHARE", description: "frames lost", default: "1%", parse: units.share },
  delay: { form: "TIME", description: "one way", parse: units.micros, short: "d" },
  json: { description: "print JSON", short: "j" },
  "congestion-control": { form: "NAME", description: "how", parse: units.oneOf("cubic", "newreno") },
} as const;
const SHAPE = { name: "demo", options: OPTIONS };

/** What an action throws, as the program would print it. */
function errorOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).to.be.instanceOf(CliError);
    return (error as CliError).toText("oribi");
  }
  return expect.fail("nothing was thrown");
}

describe("command line: values", () => {
  const good: [name: string, parse: (text: string) => unknown, values: Record<string, unknown>][] = [
    ["shares", units.share, { "1%": 0.01, "0.01": 0.01, "100%": 1, "0": 0, "0.5 %": 0.005, "1e-3": 0.001, ".5": 0.5 }],
    [
      "durations",
      units.micros,
      {
        "20ms": 20_000,
        "1.5s": 1_500_000,
        "100us": 100,
        "100µs": 100,
        "250ns": 0.25,
        "2min": 120e6,
        "1h": 3600e6,
        "0": 0,
        "3 MS": 3000,
      },
    ],
    [
      "sizes",
      units.bytes,
      {
        "1MiB": 1_048_576,
        "64KB": 64_000,
        "1MB": 1e6,
        "1500": 1500,
        "10B": 10,
        "1.5kb": 1500,
        "2gib": 2 ** 31,
        "1_000": 1000,
      },
    ],
    [
      "rates",
      units.bitsPerSecond,
      {
        "100Mbit": 100e6,
        "1Gbit/s": 1e9,
        "8MB/s": 64e6,
        "1MiB/s": 8 * 2 ** 20,
        "56kbps": 56_000,
        "10Mb/s": 10e6,
        "9600bit": 9600,
        "1.5Gbps": 1.5e9,
        "2MBps": 16e6,
        "0": 0,
      },
    ],
    ["counts", units.count(), { "0": 0, "10000": 10_000, "10_000": 10_000, "10k": 10_000, "1M": 1e6, "2e3": 2000 }],
    ["lists", units.listOf(units.count(1)), { "1,2, 3": [1, 2, 3], "4k": [4000] }],
    ["words", units.oneOf("cubic", "newreno"), { cubic: "cubic", NewReno: "newreno" }],
  ];
  for (const [name, parse, values] of good) {
    it(`reads ${name}`, () => {
      for (const [text, value] of Object.entries(values)) expect(parse(text), text).to.deep.equal(value);
    });
  }

  const bad: [name: string, parse: (text: string) => unknown, texts: string[], expected: string][] = [
    ["shares", units.share, ["", "x", "101%", "1", "1.5", "-1%", "1 ms", "NaN", "1%%"], "a share from 0% to 100%"],
    ["durations", units.micros, ["", "ms", "20", "-5ms", "3 parsecs", "1,5s", "0x10s"], "a duration with its unit"],
    ["sizes", units.bytes, ["", "64K", "-1MB", "1MBit", "big", "1e999"], "a size, such as 1500"],
    ["rates", units.bitsPerSecond, ["", "100", "-1Mbit", "8MB", "1Mbyte", "mb/s", "fast"], "a rate, such as 100Mbit"],
    ["counts", units.count(1, 64), ["", "0", "65", "1.5", "-3", "many", "1k"], "a whole number from 1 to 64"],
    ["words", units.oneOf("cubic", "newreno"), ["", "cubicle!", "reno2"], '"cubic" or "newreno"'],
  ];
  for (const [name, parse, texts, expected] of bad) {
    it(`refuses what are no ${name}, and says what would be`, () => {
      for (const text of texts) {
        expect(
          errorOf(() => parse(text)),
          text,
        ).to.contain(`expected ${expected}`);
      }
    });
  }

  it("guesses what was meant", () => {
    expect(errorOf(() => units.share("5"))).to.contain("for 5 per cent write 5%");
    expect(errorOf(() => units.share("1"))).to.contain("for 1 per cent write 1%, for all of them 100%");
    expect(errorOf(() => units.micros("20"))).to.contain("did you mean 20ms?");
    expect(errorOf(() => units.bytes("64k"))).to.contain("64K: write 64KB (thousands) or 64KiB (1,024s)");
    expect(errorOf(() => units.bitsPerSecond("100"))).to.contain("did you mean 100Mbit?");
    expect(errorOf(() => units.oneOf("cubic", "newreno")("cubik"))).to.contain("did you mean cubic?");
  });

  it("reads any seed: numbers as numbers, and words that differ for texts that differ", () => {
    expect(units.seed("7").value).to.equal(7);
    expect(units.seed("4294967295").value).to.equal(4294967295);
    for (const text of ["4294967296", "007", "-1", "1.5", "a failing friday", ""]) {
      expect(units.seed(text).value, text).to.equal(text);
    }
    const all = Array.from({ length: 2000 }, (_, index) => units.seed(String(index)).words);
    expect(new Set(all.flat()).size).to.be.above(7990);
    for (const word of all.flat()) expect(word).to.be.within(0, 2 ** 32 - 1);
    expect(units.seed("7")).to.deep.equal(units.seed("7"));
  });

  it("wants files that are there, and folders for those that are to be", () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-cli-"));
    try {
      const file = join(folder, "a");
      expect(units.writableFile(file)).to.equal(file);
      expect(errorOf(() => units.readableFile(file))).to.contain(`there is no file "${file}"`);
      writeFileSync(file, "x");
      expect(units.readableFile(file)).to.equal(file);
      expect(units.writableFile(file)).to.equal(file);
      expect(errorOf(() => units.readableFile(folder))).to.contain("is a folder");
      expect(errorOf(() => units.writableFile(folder))).to.contain("is a folder");
      expect(errorOf(() => units.writableFile(join(folder, "b", "c")))).to.contain("there is no folder");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("command line: options", () => {
  it("reads values, flags, short names, defaults and what was given", () => {
    const { options, given, operands } = parseArguments(SHAPE, ["-d", "20ms", "--json"]);
    // Types are part of what must hold: these lines do not compile if the table loses them.
    const loss: number = options.loss;
    const delay: number | undefined = options.delay;
    const json: boolean = options.json;
    const control: "cubic" | "newreno" | undefined = options["congestion-control"];
    expect([loss, delay, json, control]).to.deep.equal([0.01, 20_000, true, undefined]);
    expect([...given].sort()).to.deep.equal(["delay", "json"]);
    expect(operands).to.deep.equal([]);
  });

  it("takes --name=value and --name value, and the last of several", () => {
    expect(parseArguments(SHAPE, ["--loss=2%"]).options.loss).to.equal(0.02);
    expect(parseArguments(SHAPE, ["--loss", "2%", "--loss", "3%"]).options.loss).to.equal(0.03);
    expect(parseArguments(SHAPE, []).options.json).to.equal(false);
  });

  it("says what was wrong, what was expected, what to do", () => {
    const wrong = (...args: string[]): string => errorOf(() => parseArguments(SHAPE, args));
    expect(wrong("--loss", "lots")).to.equal(
      'oribi: --loss is "lots"\n  expected a share from 0% to 100%, such as 1% or 0.01\n',
    );
    expect(wrong("--lots", "1%"))
      .to.contain('--lots is no option of "oribi demo"')
      .and.to.contain("did you mean --loss?");
    expect(wrong("--frobnicate")).to.contain("see: oribi demo --help").and.to.not.contain("did you mean");
    expect(wrong("-x")).to.contain('-x is no option of "oribi demo"');
    expect(wrong("--loss")).to.contain("--loss has no value").and.to.contain("expected --loss SHARE: frames lost");
    expect(wrong("--loss", "--json")).to.contain("--loss has no value before --json");
    expect(wrong("--json=yes")).to.contain('--json takes no value, but has "yes"');
    expect(wrong("--loss", "-5%")).to.contain('--loss is "-5%"');
    expect(wrong("1%")).to.contain('"1%" is one argument too many').and.to.contain("expected options only");
    expect(wrong("delay")).to.contain("did you mean --delay?");
  });

  it("counts operands", () => {
    const script = { ...SHAPE, operands: ["SCRIPT"] };
    expect(parseArguments(script, ["a"]).operands).to.deep.equal(["a"]);
    expect(errorOf(() => parseArguments(script, ["a", "b"]))).to.contain('"b" is one argument too many');
    expect(parseArguments({ ...SHAPE, operands: ["SCRIPT..."] }, ["a", "b", "--", "-c"]).operands).to.deep.equal([
      "a",
      "b",
      "-c",
    ]);
  });

  it("finds the name that was meant, and none where none is near", () => {
    expect(editDistance("demo", "demo")).to.equal(0);
    expect(editDistance("dmeo", "demo")).to.equal(1);
    expect(editDistance("", "demo")).to.equal(4);
    expect(nearest("siumlate", ["demo", "simulate"])).to.equal("simulate");
    expect(nearest("cong", ["loss", "congestion-control"])).to.equal("congestion-control");
    expect(nearest("xyz", ["demo", "simulate"])).to.be.undefined;
  });

  it("prints help no wider than the terminal", () => {
    const command = defineCommand({
      ...SHAPE,
      summary: "send a file",
      usage: "It sends a file over a link that is as bad as one likes, and checks that every byte arrived. ".repeat(3),
      examples: [["oribi demo --loss 1%", "a bad link"]],
      run: () => Promise.resolve(0),
    });
    for (const columns of [60, 80, 120]) {
      const help = commandHelp(command, columns);
      expect(Math.max(...help.split("\n").map(textWidth)), `${columns} columns`).to.be.at.most(columns);
      expect(help)
        .to.contain("--loss SHARE")
        .and.to.contain("frames lost (default 1%)")
        .and.to.contain("-d, --delay TIME");
    }
    expect(wrap("a bb ccc dddd", 6)).to.equal("a bb\nccc\ndddd");
    expect(wrap("unbreakable", 3)).to.equal("unbreakable");
  });
});

describe("command line: figures and tables", () => {
  it("writes figures as people read them", () => {
    expect([0, 999, 1_048_576, 3e9].map(formatBytes)).to.deep.equal(["0 B", "999 B", "1.05 MB", "3.00 GB"]);
    expect(formatRate(94_200_000)).to.equal("94.2 Mbit/s");
    expect([0.85, 1234, 2.5e6, 125e6, 11_220e6].map(formatMicros)).to.deep.equal([
      "850 ns",
      "1.23 ms",
      "2.50 s",
      "2 min 5 s",
      "3 h 7 min",
    ]);
    expect(formatCount(1_234_567)).to.equal("1,234,567");
    expect([0.4512, 8.14, 22, 1234, Infinity].map(formatRatio)).to.deep.equal(["0.45x", "8.1x", "22x", "1,234x", "–"]);
    expect(formatShare(0.0123)).to.equal("1.23 %");
  });

  it("aligns numbers to the right, their units to the left, text to the left", () => {
    const rows = [
      ["request/response", { value: "115,000", unit: "/s" }, { ratio: 8.1 }],
      ["bulk", { value: "1.7", unit: "GB/s" }, { ratio: 120 }],
      ["missing"],
    ];
    expect(formatTable(["what", { title: "figure", align: "right" }, "ratio"], rows)).to.equal(
      [
        "what                    figure  ratio",
        "────────────────  ────────────  ─────",
        "request/response  115,000 /s     8.1x",
        "bulk                  1.7 GB/s   120x",
        "missing",
        "",
      ].join("\n"),
    );
    expect(
      formatTable(
        ["n", "m"],
        [
          [5, "12%"],
          [1234, ""],
        ],
        { indent: 2 },
      ),
    ).to.equal("     n    m\n  ────  ───\n     5  12%\n  1234\n");
  });

  it("colours ratios by what they should reach, and only when asked", () => {
    const rows = [[{ ratio: 9, least: 8 }], [{ ratio: 7, least: 8 }]];
    expect(formatTable(["ratio"], rows, { color: true }))
      .to.contain("\x1b[32m9.0x\x1b[0m")
      .and.to.contain("\x1b[31m7.0x\x1b[0m");
    expect(formatTable(["ratio"], rows)).to.not.contain("\x1b");
  });

  it("colours terminals only, and none where NO_COLOR is set", () => {
    expect(wantsColor(true, {})).to.be.true;
    expect(wantsColor(false, {})).to.be.false;
    expect(wantsColor(true, { NO_COLOR: "1" })).to.be.false;
    expect(wantsColor(true, { NO_COLOR: "" })).to.be.true;
    expect(wantsColor(true, { TERM: "dumb" })).to.be.false;
    expect(wantsColor(false, { FORCE_COLOR: "1" })).to.be.true;
    expect(wantsColor(true, { FORCE_COLOR: "1", NO_COLOR: "1" })).to.be.false;
  });

  it("knows how wide text looks", () => {
    const widths: [string, number][] = [
      ["abc", 3],
      ["größe", 5],
      ["e\u0301", 1],
      ["漢字", 4],
      ["한글", 4],
      ["🚀", 2],
      ["a\u200bb", 2],
      ["\x1b[32mok\x1b[0m", 2],
      ["█▏─…", 4],
      ["", 0],
    ];
    for (const [text, width] of widths) expect(textWidth(text), JSON.stringify(text)).to.equal(width);
    const table = formatTable(
      ["name", "n"],
      [
        ["漢字", 1],
        ["abc", 22],
      ],
    );
    expect(new Set(table.trimEnd().split("\n").map(textWidth)).size).to.equal(1);
  });

  it("clips text to a width, never through a wide character", () => {
    expect(clip("abcdef", 6)).to.equal("abcdef");
    expect(clip("abcdef", 5)).to.equal("abcd…");
    expect(clip("漢字漢字", 4)).to.equal("漢…");
    expect(clip("abc", 0)).to.equal("");
  });
});

describe("command line: the progress line", () => {
  /** A terminal that remembers what was written, with a clock that is set by hand. */
  function terminal(columns = 100, isTTY = true): { output: Output; writes: string[]; clock: { millis: number } } {
    const writes: string[] = [];
    const output = { write: (text: string) => writes.push(text), isTTY, columns, color: false };
    return { output, writes, clock: { millis: 0 } };
  }
  const plain = (text: string): string => text.replaceAll(/\x1b\[[?0-9]*[A-Za-z]|\r/g, "");

  it("shows share, amount, rate and what is left", () => {
    const { output, writes, clock } = terminal(120);
    const progress = new Progress(output, { label: "sending", total: 10e6, unit: "bytes", now: () => clock.millis });
    for (let step = 1; step <= 20; step++) {
      clock.millis += 100;
      progress.update(step * 250_000, "2 retransmissions");
    }
    expect(plain(writes.at(-1)!)).to.equal(
      "sending ▕████████████            ▏ 50%  5.00 MB of 10.0 MB · 2.50 MB/s · 2.00 s left · 2 retransmissions",
    );
  });

  it("counts without a total", () => {
    const { output, writes, clock } = terminal();
    const progress = new Progress(output, { label: "seeds", now: () => clock.millis });
    clock.millis = 500;
    progress.update(1500);
    expect(plain(writes.at(-1)!)).to.equal("seeds  1,500 · 3,000/s");
  });

  it("is silent in a pipe", () => {
    const { output, writes } = terminal(80, false);
    {
      using progress = new Progress(output, { label: "seeds", total: 5 });
      for (let done = 0; done <= 5; done++) progress.update(done);
    }
    expect(writes).to.deep.equal([]);
  });

  it("fits every width, and draws no more than ten times a second", () => {
    for (let columns = 2; columns <= 120; columns++) {
      const { output, writes, clock } = terminal(columns);
      const progress = new Progress(output, { label: "sending", total: 1000, now: () => clock.millis });
      for (let done = 0; done <= 1000; done++) {
        clock.millis += 1;
        progress.update(done, "a long note about what is being done right now");
      }
      expect(writes.length, `${columns} columns`).to.be.within(1, 11);
      for (const write of writes) expect(textWidth(plain(write))).to.be.below(columns);
    }
  });

  it("draws in one write that leaves the cursor as it was, and takes the line away", () => {
    const { output, writes, clock } = terminal();
    const progress = new Progress(output, { label: "sending", total: 10, now: () => clock.millis });
    progress.update(1);
    progress.update(2);
    expect(writes).to.have.lengthOf(1);
    for (const write of writes) {
      expect(write.startsWith("\x1b[?25l\r")).to.be.true;
      expect(write.endsWith("\x1b[K\x1b[?25h")).to.be.true;
    }
    progress.print(output, "a result");
    expect(writes.slice(1)).to.deep.equal(["\r\x1b[K", "a result\n"]);
    progress.update(3);
    progress.finish();
    progress.update(4);
    expect(writes).to.have.lengthOf(5);
    expect(writes.at(-1)).to.equal("\r\x1b[K");
  });
});

describe("command line: the program", () => {
  const main = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));
  function oribi(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const env = { ...process.env, NO_COLOR: "1" };
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env });
    return { status, stdout, stderr };
  }

  it("lists its commands, with and without --help", () => {
    for (const args of [[], ["--help"], ["-h"], ["help"]]) {
      const { status, stdout, stderr } = oribi(...args);
      expect([status, stderr], args.join(" ")).to.deep.equal([0, ""]);
      for (const name of ["demo", "simulate", "packetdrill", "bench", "doctor"]) {
        expect(stdout).to.match(new RegExp(`^  ${name} +\\S`, "m"));
      }
    }
  });

  it("has help for a command, whatever else is on the line", () => {
    for (const args of [
      ["doctor", "--help"],
      ["help", "doctor"],
      ["doctor", "--bogus", "-h"],
    ]) {
      const { status, stdout } = oribi(...args);
      expect(status).to.equal(0);
      expect(stdout).to.contain("usage: oribi doctor [options]").and.to.contain("--json");
    }
  });

  for (const work of [
    ["torture", "--model", "shared", "--verbose"],
    ["torture", "--model", "separate", "--verbose"],
    ["soak", "--time", "300d"],
  ]) {
    it(`ends ${work.slice(0, 3).join(" ")} at Ctrl-C, whatever threads and timers still go on`, async function () {
      this.timeout(15_000); // what a thread or a timer holds up lasts for 30 s
      const child = spawn(process.execPath, [main, ...work], { stdio: ["ignore", "pipe", "pipe"] });
      if (work[0] === "torture") await once(child.stdout, "data");
      else await new Promise((resolve) => setTimeout(resolve, 1500));
      child.kill("SIGINT");
      expect(await once(child, "exit")).to.deep.equal([130, null]);
    });
  }

  it("draws a connection of a capture, lists them, and says what is wrong with others", async () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-plot-"));
    try {
      const { frames } = fakeTransfer({ bytes: 50_000, seed: 6, loss: 0.02 });
      const file = join(folder, "run.pcapng");
      const writer = PcapngWriter.toFile(file);
      const ids = new Map(["client", "server"].map((name) => [name, writer.addInterface({ name })]));
      for (const { timeMicros, data, interface: port } of frames) writer.packet(ids.get(port!.name)!, timeMicros, data);
      await writer.close();
      expect(oribi("plot", file, "--list").stdout).to.match(/^ +0 +10\.0\.0\.2:49152 +10\.0\.0\.1:50080 +50\.0 KB/m);
      const drawn = oribi("plot", file);
      expect([drawn.status, drawn.stderr]).to.deep.equal([0, ""]);
      expect(readFileSync(join(folder, "run.html"), "utf8")).to.match(/^<!doctype html>/);
      expect(JSON.parse(oribi("plot", file, "--side", "server", "--json").stdout)).to.have.nested.property(
        "totals.bytes",
        0,
      );
      writeFileSync(join(folder, "bad.pcapng"), "no capture");
      for (const [args, words] of [
        [["plot"], "no capture is named"],
        [["plot", file, "--connection", "3"], "the capture has no such connection; it has 1"],
        [["plot", file, "--at", "eth0"], 'no port "eth0" saw the connection'],
        [["plot", join(folder, "bad.pcapng")], "expected a whole pcapng file"],
        [["plot", file, "--out", join(folder, "no/where.html")], "there is no folder"],
      ] as const) {
        const { status, stderr } = oribi(...args);
        expect(status, args.join(" ")).to.equal(2);
        expect(stderr)
          .to.contain(words)
          .and.to.not.match(/^ +at /m);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("tells what the system refuses while it works in words, without a stack", () => {
    const { status, stderr } = oribi("simulate", "--seed", "1", "--out", "/dev/null");
    expect(status).to.equal(2);
    expect(stderr)
      .to.contain("is no folder")
      .and.to.not.match(/^ +at /m);
  });

  it("prints the package's version", () => {
    expect(oribi("--version").stdout).to.match(/^\d+\.\d+\.\d+\S*\n$/);
  });

  it("ends with status 2, and words on stderr only, for what it does not understand", () => {
    const cases: [args: string[], words: string[]][] = [
      [["dmeo"], ['oribi: there is no command "dmeo"', "did you mean: oribi demo?"]],
      [["--verison"], ["oribi: --verison is no option of oribi itself", "did you mean: oribi --version?"]],
      [
        ["frobnicate"],
        [
          "expected a command: demo, simulate, plot, packetdrill, explore, soak, torture, bench, doctor",
          "see: oribi --help",
        ],
      ],
      [["help", "dokter"], ["did you mean: oribi doctor?"]],
      [
        ["doctor", "--jsno"],
        ['oribi doctor: --jsno is no option of "oribi doctor"', "did you mean --json?"],
      ],
      [["doctor", "all"], ['"all" is one argument too many']],
      [["constructor"], ['there is no command "constructor"']],
    ];
    for (const [args, words] of cases) {
      const { status, stdout, stderr } = oribi(...args);
      expect([status, stdout], args.join(" ")).to.deep.equal([2, ""]);
      for (const each of words) expect(stderr).to.contain(each);
      expect(stderr).to.not.contain("    at ");
    }
  });

  it("examines the machine, as a table and as JSON", () => {
    const table = oribi("doctor");
    expect([table.status, table.stderr]).to.deep.equal([0, ""]);
    expect(table.stdout).to.contain("Oribi runs here.");
    const { status, stdout } = oribi("doctor", "--json");
    expect(status).to.equal(0);
    const findings = JSON.parse(stdout) as { name: string; need: string; present: boolean; detail: string }[];
    expect(findings.find((each) => each.name === "Node.js")?.detail).to.equal(process.versions.node);
    const needed = findings.filter((each) => each.need === "required");
    expect(needed.map((each) => each.present)).to.deep.equal([true, true, true, true, true]);
    for (const { name } of findings) expect(table.stdout).to.contain(name);
  });
});

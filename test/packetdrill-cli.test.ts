// `oribi packetdrill` as a person at a terminal, or a CI job, sees it.
// Read first: host/cli/packetdrill.ts.

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { readPcapng } from "../host/index.ts";

const program = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

function oribi(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, "packetdrill", ...args], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe("oribi packetdrill", () => {
  let folder = "";
  const path = (name: string): string => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "oribi-packetdrill-"));
    writeFileSync(path("good.pkt"), "0 socket(..., SOCK_STREAM, 0) = 3\n+1 close(3) = 0\n");
    writeFileSync(path("refused.pkt"), "--ip_version=ipv6\n0 socket(..., SOCK_STREAM, 0) = 3\n");
  });

  after(() => rmSync(folder, { recursive: true }));

  it("runs files and folders; refused scripts do not fail the run", async () => {
    const { status, stdout, stderr } = await oribi(folder);
    expect(stderr).to.equal("");
    expect(stdout).to.match(/^ok {6}\S*good\.pkt$/m);
    expect(stdout).to.match(/^refused .*refused\.pkt:1\n +--ip_version=ipv6 is not supported/m);
    expect(stdout).to.match(/^2 scripts: 1 ok, 0 failed, 1 refused; 1\.00 s of virtual time in /m);
    expect(status).to.equal(0);
  });

  it("says once what scripts asked for and does nothing here", async () => {
    for (const name of ["a.txt", "b.txt"]) {
      writeFileSync(path(name), "`sysctl -q net.ipv4.tcp_ecn_option=2`\n0 socket(..., SOCK_STREAM, 0) = 3\n");
    }
    const { status, stdout } = await oribi(path("a.txt"), path("b.txt"));
    expect(stdout.match(/^ignored, .*$/gm)).to.deep.equal([
      "ignored, as it does nothing here: sysctl net.ipv4.tcp_ecn_option=2",
    ]);
    expect(status).to.equal(0);
  });

  it("ends with status 1 when a script fails or cannot be read, and goes on with the others", async () => {
    writeFileSync(path("bad.txt"), "0 socket(..., SOCK_STREAM, 0) = 3\n+1 close(4) = 0\n");
    writeFileSync(path("broken.txt"), "0 socket(..., SOCK_STREAM = 3\n");
    const { status, stdout } = await oribi(path("bad.txt"), path("broken.txt"), path("good.pkt"), "--jobs", "2");
    expect(stdout).to.match(/^not ok {2}\S*bad\.txt:2\n +close: expected 0, got -1 EBADF/m);
    expect(stdout).to.match(/^not ok {2}\S*broken\.txt:1\n +found "="; expected/m);
    expect(stdout).to.include("3 scripts: 1 ok, 2 failed, 0 refused");
    expect(status).to.equal(1);
  });

  it("ends with status 1 when a script has an option that nobody knows, or a wrong value", async () => {
    writeFileSync(path("unknown.txt"), "--toleranc_usecs=5\n0 socket(..., SOCK_STREAM, 0) = 3\n");
    writeFileSync(path("value.txt"), "--mtu=many\n0 socket(..., SOCK_STREAM, 0) = 3\n");
    const { status, stdout } = await oribi(path("unknown.txt"), path("value.txt"));
    expect(stdout).to.include("the option --toleranc_usecs is not known");
    expect(stdout).to.include("--mtu=many: expected a number from 68 to 65535");
    expect(stdout).to.include("2 scripts: 0 ok, 2 failed, 0 refused");
    expect(status).to.equal(1);
  });

  it("writes captures of scripts that have one name in different folders to different files", async () => {
    for (const folder of ["x", "y"]) {
      mkdirSync(path(folder));
      writeFileSync(join(path(folder), "same.pkt"), "0 socket(..., SOCK_STREAM, 0) = 3\n");
    }
    const out = path("named");
    const { status } = await oribi(path("x"), path("y"), path("good.pkt"), "--pcap", out);
    expect(status).to.equal(0);
    expect(readdirSync(out).sort()).to.deep.equal(["good.pcapng", "x-same.pcapng", "y-same.pcapng"]);
  });

  it("prints JSON, takes definitions and options, writes captures", async () => {
    writeFileSync(path("udp.pkt"), "0 < udp (SIZE)\n+0 > icmp unreachable port_unreachable\n");
    const out = path("captures");
    const { status, stdout } = await oribi(path("udp.pkt"), "-D", "SIZE=100", "-D", "OTHER=1", "--json", "--pcap", out);
    const report = JSON.parse(stdout) as { scripts: number; ok: number; results: { file: string; status: string }[] };
    expect(report).to.include({ scripts: 1, ok: 1, failed: 0, refused: 0 });
    expect(report.results[0]).to.include({ file: path("udp.pkt"), status: "ok" });
    const captured = [...readPcapng(readFileSync(join(out, "udp.pcapng")))];
    expect(captured.map((packet) => packet.data.length)).to.deep.equal([14 + 128, 14 + 20 + 8 + 128]);
    expect(status).to.equal(0);
  });

  it("lists the packets with --verbose", async () => {
    const { stdout } = await oribi(path("udp.pkt"), "-D", "SIZE=100", "-v");
    expect(stdout).to.match(/^ {4}script {2}1: 0 < udp \(SIZE\)$/m);
    expect(stdout).to.match(/^ {6}wire {2}0\.000 s < udp \(100\)\n +0\.000 s > icmp type 3 code 3$/m);
  });

  it("says what it wants", async () => {
    const cases: [args: string[], words: string][] = [
      [[], "no script is named"],
      [[path("nowhere")], "no such file"],
      [[path("good.pkt"), "-D", "SIZE"], "expected NAME=VALUE"],
      [[path("good.pkt"), "--local_ip", "nowhere"], "--local_ip=nowhere: expected an IPv4 address"],
      [[path("good.pkt"), "--pcap", path("good.pkt")], "is no folder"],
      [[path("good.pkt"), "--pcap", path("no/such")], "cannot be used: ENOENT"],
    ];
    for (const [args, words] of cases) {
      const { status, stderr } = await oribi(...args);
      expect(stderr, args.join(" ")).to.include(words);
      expect(stderr).to.not.match(/^ +at /m);
      expect(status).to.equal(2);
    }
  });
});

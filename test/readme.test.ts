// The README stays true: its programs run as they stand, and its commands name scripts and commands that exist.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const README = readFileSync(`${ROOT}README.md`, "utf8");

/** Programs of the README by file name: blocks of JavaScript whose first line names the file. */
function programs(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = "", body = ""] of README.matchAll(/```js\n\/\/ (\S+)\n(.*?)```/gs)) found.set(name, body);
  return found;
}

describe("the README", () => {
  const folder = `${ROOT}dist/.readme-${process.pid}/`;

  before(() => {
    mkdirSync(folder, { recursive: true });
    for (const [name, body] of programs()) writeFileSync(folder + name, body);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function run(name: string): string {
    return execFileSync(process.execPath, [folder + name], { encoding: "utf8", timeout: 60_000 });
  }

  it("has programs that import what a test can run", () => {
    expect([...programs().keys()]).to.include.members([
      "hello.mjs",
      "threads.mjs",
      "echo.mjs",
      "caller.mjs",
      "separate.mjs",
      "apart.mjs",
    ]);
    expect(README.match(/```js\n/g)).to.have.length(programs().size);
  });

  it("has its commands in blocks, and its blocks closed", () => {
    let block: string | undefined;
    const commands: [line: string, block: string | undefined][] = [];
    for (const line of README.split("\n")) {
      const fence = /^(`{3,})(\w*)$/.exec(line);
      if (fence === null) {
        if (/^(npx|npm|node) /.test(line)) commands.push([line, block]);
        continue;
      }
      expect(fence[1], "the fence").to.equal("```");
      if (block !== undefined) expect(fence[2], "a block that is not closed").to.equal("");
      block = block === undefined ? fence[2] : undefined;
    }
    expect(block, "the last block").to.equal(undefined);
    expect(commands.length).to.be.above(8);
    for (const [line, where] of commands) expect(where, line).to.equal("sh");
  });

  it("says hello over a bad link", () => {
    expect(run("hello.mjs")).to.match(/^hello over a bad link \(\d+\.\d ms of virtual time\)\n$/);
  });

  it("moves two hosts to threads of their own", () => {
    expect(run("threads.mjs")).to.equal("1000 round trips between two threads\n");
  });

  it("has any thread use a host with separate threads", () => {
    expect(run("separate.mjs")).to.equal("ONE\nTWO\nTHREE\n");
  });

  it("keeps a mad stack apart from the others", () => {
    expect(run("apart.mjs")).to.equal("CoreTrap of a stack that is down\nfrom exclusive to sane\nfrom sane to mad\n");
  });

  it("names scripts and commands that there are", () => {
    const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as { scripts: Record<string, string> };
    const used = [...README.matchAll(/npm run ([a-z]+)/g)].map(([, name = ""]) => name);
    expect(Object.keys(scripts)).to.include.members([...used, "start", "test"]);
    const help = execFileSync(process.execPath, [`${ROOT}dist/host/cli/main.js`, "--help"], { encoding: "utf8" });
    for (const [, name = ""] of README.matchAll(/npx oribi ([a-z]+)/g)) expect(help).to.include(name);
  });
});

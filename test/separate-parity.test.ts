// Parity of the thread models: the tests of the POSIX layer and of epoll, the oracle's included, run once more with
// hosts whose calls go by way of what business threads and stacks share.
// Read first: test/support/two-hosts.ts; DESIGN.md section 4.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FILES = ["bind", "close", "connect", "datagram", "message", "options", "poll", "stream", "view"];

/** What differs by design, and why. */
const DIFFERENT: Readonly<Record<string, string>> = {
  "need a destination": "that no route leads to a destination is the socket's error, told by the next call",
  "drop what a full receive buffer cannot hold": "datagrams wait in a send buffer, which is full before the peer's is",
  "says ENOSPC when the watches are used up": "there is a watch for every descriptor of every epoll",
};

describe("the separate model beside the shared one", function () {
  this.timeout(120_000);

  function run(files: string[], ...more: string[]): { passed: number; failed: number } {
    const tests = files.map((name) => `${ROOT}dist/test/${name}.test.js`);
    const mocha = `${ROOT}node_modules/mocha/bin/mocha.js`;
    const env = { ...process.env, ORIBI_THREADS: "separate" };
    const output = execFileSync(process.execPath, [mocha, "--reporter", "json", ...more, ...tests], {
      ...{ cwd: ROOT, env, encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"] },
    } as const);
    const { stats } = JSON.parse(output.slice(output.indexOf("{"))) as { stats: { passes: number; failures: number } };
    return { passed: stats.passes, failed: stats.failures };
  }

  it("passes the tests of POSIX calls, but for what differs by design", () => {
    const files = FILES.map((name) => `posix-${name}`);
    const { passed, failed } = run([...files, "epoll"], "--invert", "--grep", Object.keys(DIFFERENT).join("|"));
    expect(failed).to.equal(0);
    expect(passed).to.be.above(150);
  });

  it("tells epoll's truth as the oracle knows it", () => {
    expect(run(["epoll-oracle"])).to.deep.equal({ passed: 41, failed: 0 });
  });
});

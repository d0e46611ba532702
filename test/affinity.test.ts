// Threads that are kept on cores: what the kernel says of them afterwards. Read first: host/threads/affinity.ts.

import { expect } from "chai";
import { availableParallelism } from "node:os";
import type { OribiError } from "../host/index.ts";
import { createNetwork, type HostOptions } from "../host/index.ts";
import { affinityIsMissing } from "../host/threads/affinity.ts";

const APPS = new URL("./fixtures/thread-apps.js", import.meta.url);

async function coresOf(options: Partial<HostOptions>): Promise<string[]> {
  await using net = createNetwork();
  const host = net.host("a", { address: "10.0.0.1/24", ...options });
  return await Promise.all(host.stacks.map((stack) => net.spawn<string>(stack, APPS, { name: "allowedCores" })));
}

/** The error of making a host with these options. */
async function refusal(options: Partial<HostOptions>): Promise<OribiError> {
  await using net = createNetwork();
  try {
    net.host("a", { address: "10.0.0.1/24", ...options });
  } catch (error) {
    return error as OribiError;
  }
  throw new Error("The host was made.");
}

describe("affinity", function () {
  this.timeout(20_000);

  it("refuses what no machine has", async () => {
    for (const cpus of [[], [-1], [0.5], 1, ["0"]]) {
      const { code, message } = await refusal({ cpus: cpus as number[] });
      expect(code).to.equal("ERR_ORIBI_OPTION");
      expect(message).to.contain("expected a list of cores");
    }
    expect((await refusal({ numa: -1 })).message).to.contain("a node's number");
  });

  describe("on this machine", () => {
    before(function () {
      const missing = affinityIsMissing();
      if (missing === undefined) return;
      console.log(`      skipped: threads cannot be kept on cores here: ${missing}`);
      this.skip();
    });

    it("keeps the threads of a host's stacks on the cores that are given, in turn", async () => {
      const all = (await coresOf({}))[0] as string;
      const first = Number.parseInt(all);
      expect(await coresOf({ cpus: [first] })).to.deep.equal([String(first)]);
      if (availableParallelism() < 2) return;
      const last = Number(all.split(/[-,]/).at(-1));
      const cores = await coresOf({ stacks: 3, cpus: [first, last] });
      expect(cores).to.deep.equal([first, last, first].map(String));
    });

    it("says so when the process may not use a core", async () => {
      const { code, message } = await refusal({ cpus: [8191] });
      expect(code).to.equal("ERR_ORIBI_AFFINITY");
      expect(message).to.match(/^This process may not use core 8191\. It may use \d/);
    });

    it("takes a NUMA node, which does nothing where there is only one", async () => {
      expect(await coresOf({ numa: 0 })).to.deep.equal(await coresOf({}));
    });
  });
});

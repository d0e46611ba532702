// A short soak, and that it would notice. `npx oribi soak` runs thirty simulated days.
// Read first: host/simulate/soak.ts.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { createNetwork, type Host } from "../host/index.ts";
import { Dice } from "../host/simulate/dice.ts";
import { SimulationFailure } from "../host/simulate/failure.ts";
import { soak, SoakFailure, type SoakFigures } from "../host/simulate/soak.ts";
import { connectPair, Echo, Pinger } from "../host/simulate/steady.ts";
import { seedOf } from "./support/chance.ts";

const HOURS = 8;

describe("a soak", function () {
  this.timeout(60_000);
  const seed = seedOf(20_260_501);

  it(`of ${HOURS} simulated hours loses nothing and keeps nothing (seed ${seed})`, async () => {
    const hours: SoakFigures[] = [];
    const figures = await soak({ seed, hours: HOURS, onHour: (soFar) => hours.push(soFar) });
    expect(hours).to.have.length(HOURS);
    expect(figures).to.deep.equal(hours.at(-1));
    expect(figures.connections).to.be.above(3 * HOURS - 1);
    expect(figures.bytes).to.be.above(100_000);
    expect(figures.exchanges).to.be.above(100 * HOURS);
    expect(figures.datagramsAnswered).to.be.above(figures.datagrams / 2);
    expect(figures.datagramsUndetected).to.be.below(figures.datagrams / 500);
    expect(figures.keepalives).to.be.above(10 * HOURS);
    expect(figures.retransmissions).to.be.above(0);
  });

  it("is the same for the same seed, another for another", async () => {
    const run = (of: number): Promise<SoakFigures> => soak({ seed: of, hours: 2 });
    const first = await run(seed + 1);
    expect(await run(seed + 1)).to.deep.equal(first);
    expect(await run(seed + 2)).to.not.deep.equal(first);
  });

  it("says in which hour it failed", () => {
    const failure = new SoakFailure(5, new SimulationFailure("leak", "pool tcb 1, not 0"));
    expect(failure).to.include({ kind: "leak", hour: 5, message: "hour 5: pool tcb 1, not 0" });
  });
});

describe("what goes on all through a soak", () => {
  function world(): { network: ReturnType<typeof createNetwork>; hosts: [Host, Host] } {
    const network = createNetwork({ seed: 1, time: "virtual" });
    const bridge = network.bridge("lan");
    const hosts: [Host, Host] = [
      network.host("a", { bridge, address: "10.0.0.1/24" }),
      network.host("b", { bridge, address: "10.0.0.2/24" }),
    ];
    return { network, hosts };
  }
  const often = { pause: [1000, 2000], bytes: [10, 5000] } as const;

  it("asks and is answered, and is still when it is told to be", async () => {
    const { network, hosts } = world();
    const pair = connectPair(network, hosts, 7000, {});
    const echo = new Echo("echo", pair, new Dice(1, "echo"), network.now(), often);
    const pinger = new Pinger(hosts, 7, new Dice(1, "pings"), network.now());
    const live = (micros: number): void => {
      for (const end = network.now() + micros; network.now() < end;) {
        if (network.step() + echo.run(network.now()) + pinger.run(network.now()) > 0) continue;
        network.jump(Math.min(end, network.nextDeadline(), echo.nextDue(), pinger.nextDue()));
      }
    };
    live(20e6);
    expect(echo.done).to.be.above(5000);
    expect(pinger.done).to.equal(pinger.sent).and.to.be.above(0);
    echo.isPaused = pinger.isPaused = true;
    const { done } = echo;
    live(1e6);
    expect(echo.done).to.be.at.most(done + 1);
    await network.close();
  });

  it("takes for lost what two flipped bits hide from the checksum, and nothing else", async () => {
    for (const [flips, words] of [
      [
        [
          [1000, 4],
          [3000, 4],
        ],
        undefined,
      ],
      [[[1000, 4], [3000, 4], ...Array.from({ length: 20 }, (_, i) => [2000 + i, 255])], "that nobody sent"],
    ] as const) {
      const { network, hosts } = world();
      const pinger = new Pinger(hosts, 7, new Dice(1, "pings"), network.now());
      // An echo that damages what it sends back.
      const { send } = hosts[1].posix;
      hosts[1].posix.send = (fd, bytes, flags) => {
        const damaged = Buffer.from(bytes as Buffer);
        if (damaged.length > 3001) for (const [at = 0, bits = 0] of flips) damaged[at]! ^= bits;
        return send(fd, damaged, flags);
      };
      const live = (): void => {
        while (network.now() < 600e6) {
          if (network.step() + pinger.run(network.now()) === 0)
            network.jump(Math.min(network.nextDeadline(), pinger.nextDue()));
        }
      };
      if (words === undefined) {
        live();
        expect(pinger.undetected).to.be.above(0);
        expect(pinger.done + pinger.undetected).to.equal(pinger.sent);
      } else {
        expect(live).to.throw(SimulationFailure, words);
      }
      await network.close();
    }
  });

  it("notices answers that are wrong, and connections that end", async () => {
    const { network, hosts } = world();
    const pair = connectPair(network, hosts, 7000, {});
    const echo = new Echo("echo", pair, new Dice(1, "echo"), network.now(), often);
    const live = (): void => {
      for (let i = 0; i < 10_000; i++) if (network.step() + echo.run(network.now()) === 0) network.advance(10);
    };
    hosts[1].posix.send(pair.fds[1], Buffer.from("what nobody asked for"));
    expect(live).to.throw(SimulationFailure, "the answer is not the question");
    hosts[1].posix.close(pair.fds[1]);
    expect(live).to.throw(SimulationFailure, /echo: .* gave|has ended/);
    await network.close();
  });
});

describe("oribi soak", function () {
  this.timeout(60_000);

  function oribi(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const main = fileURLToPath(new URL("../host/cli/main.js", import.meta.url));
    const env = { ...process.env, NO_COLOR: "1" };
    return spawnSync(process.execPath, [main, "soak", ...args], { encoding: "utf8", env });
  }

  it("prints a line, or JSON", async () => {
    const { status, stdout, stderr } = oribi("--time", "1h", "--seed", "3");
    expect([status, stderr]).to.deep.equal([0, ""]);
    expect(stdout).to.match(/^seed 3: 0\.0 days in [\d.]+ s, an audit every hour, 0 failed, \d+ connections with /);
    const figures = JSON.parse(oribi("--time", "1h", "--seed", "3", "--json").stdout) as SoakFigures;
    expect(figures).to.deep.include(await soak({ seed: 3, hours: 1 }));
  });

  it("captures the hour that is asked for", async () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-soak-"));
    const path = join(folder, "hour.pcapng");
    await soak({ seed: 3, hours: 2, capture: { hour: 1, path } });
    expect(existsSync(path)).to.equal(true);
    rmSync(folder, { recursive: true });
  });

  it("refuses what is no time", () => {
    const { status, stderr } = oribi("--time", "30");
    expect(status).to.equal(2);
    expect(stderr).to.contain("whole days or hours, such as 30d or 12h");
  });
});

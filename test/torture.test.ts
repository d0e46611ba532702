// A short torture of both thread models, that its decisions are the seed's, and that it notices what is wrong.
// `npx oribi torture --kills 1000` is the long one. Read first: host/torture/run.ts.

import { expect } from "chai";
import { Board, FOUND, SERVER } from "../host/torture/board.ts";
import { BYTES_MAX, KEYS, randomTable, startOf, wrongByte } from "../host/torture/pattern.ts";
import { describe as inWords, Plan, type PlanOptions } from "../host/torture/plan.ts";
import { torture } from "../host/torture/run.ts";
import { seedOf } from "./support/chance.ts";

const SIZES = { stacks: 2, threads: 2, connections: 40 };

describe("a torture", function () {
  this.timeout(120_000);
  const seed = seedOf(3);

  for (const [model, kills] of [
    ["shared", 4],
    ["separate", 6],
  ] as const) {
    it(`of the ${model} model loses nothing over ${kills} kills (seed ${seed})`, async () => {
      const steps: string[] = [];
      const options = { ...SIZES, seed, model, kills, millis: 60_000 };
      const figures = await torture({ ...options, onStep: (_, step) => steps.push(step) });
      expect(figures.kills).to.be.within(kills, kills + 1);
      expect(figures.restarts).to.equal(figures.kills);
      expect(figures.audits).to.be.above(kills / 2);
      expect(figures.completed).to.be.above(10);
      expect(figures.bytes).to.be.above(10_000);
      expect(figures.disconnects).to.be.above(5);
      const plan = new Plan(options);
      expect(steps, "the same decisions for the same seed").to.deep.equal(steps.map(() => inWords(plan.next())));
    });
  }
});

describe("what a torture decides", () => {
  const decisions = (options: Partial<PlanOptions>): string[] => {
    const plan = new Plan({ ...SIZES, seed: 1, model: "separate", ...options });
    return [JSON.stringify(plan.settings), ...Array.from({ length: 200 }, () => inWords(plan.next()))];
  };

  it("comes from the seed alone", () => {
    expect(decisions({})).to.deep.equal(decisions({}));
    expect(decisions({})).to.not.deep.equal(decisions({ seed: 2 }));
    expect(decisions({})).to.not.deep.equal(decisions({ model: "shared" }));
  });

  it("ends everybody in every way, listeners as well, and moves both tables", () => {
    const text = [1, 2, 3, 4, 5, 6].flatMap((seed) => decisions({ seed })).join("\n");
    for (const how of ["kill", "trap", "hang"]) expect(text).to.match(new RegExp(`${how} (server|client) stack [01]`));
    for (const how of ["kill", "throw", "exit"]) {
      expect(text).to.match(new RegExp(`${how} (server|client) thread [01]`));
    }
    for (const way of ["shutdown(SHUT_RDWR)", "shutdown(SHUT_RD)", "connect(AF_UNSPEC)"]) {
      for (const thread of [0, 1]) expect(text).to.contain(`${way} by server thread ${thread}, and listen() again`);
    }
    expect(text).to.contain("RETA entries of the server").and.to.contain("RETA entries of the client");
  });
});

describe("what a torture sees", () => {
  it("is every byte in the wrong place, of another connection, or of the other direction", () => {
    const table = Buffer.from(randomTable());
    const from = startOf(1000, false);
    const received = Buffer.from(table.subarray(from, from + 5000));
    expect(wrongByte(table, from, received, 5000)).to.equal(-1);
    expect(wrongByte(table, from + 1, received, 5000)).to.be.within(0, 3);
    expect(wrongByte(table, startOf(1000, true), received, 5000)).to.be.within(0, 3);
    received[4999]! ^= 1;
    expect(wrongByte(table, from, received, 5000)).to.equal(4999);
    expect(table.length).to.be.above(startOf(KEYS, true) + BYTES_MAX);
  });

  it("stands on the board, also when there is no room for all of it", () => {
    const board = Board.create(4, 2);
    expect(board.found()).to.deep.equal([]);
    board.report("first");
    for (let i = 0; i < 2000; i++) board.report(`more ${i}`);
    expect(board.found()[0]).to.equal("first");
    expect(board.get(FOUND)).to.be.above(16384);
    expect(board.client(1)).to.be.above(board.tick(SERVER, 0));
    expect(board.served(0, 0)).to.equal(board.client(4));
    expect(board.idOf(board.client(3))).to.equal(3);
  });
});

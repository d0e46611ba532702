// Words that several threads write are loaded and stored atomically, wherever a thread is about to sleep, or wins an
// exchange: a plain load may be carried out before the thread has announced itself, and then a wake-up is lost.
// Read first: the memory models of WebAssembly threads and of ECMA-262; doorbell.test.ts, which tries the orders.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Written by business threads, by any thread, or by whoever owns a thread: plain for nobody. */
const SHARED = [
  ...["CHANNEL_CONSUMED", "CHANNEL_TX", "CHANNEL_SIGNALLED", "CHANNEL_WANT_SPACE", "CHANNEL_WATCHERS"],
  ...["CHANNEL_RX_WAITERS", "CHANNEL_RX_SEQUENCE", "CHANNEL_TX_WAITERS", "CHANNEL_TX_SEQUENCE", "CHANNEL_POLLERS"],
  ...["PART_SCAN", "SEAT_STATUS", "SEAT_SLEEPING", "SEAT_WAITS", "SEAT_WINDOW"],
  ...["READY_USED", "READY_TURN", "READY_TURNS", "READY_SEQUENCE", "READY_WAITERS", "READY_POLLERS", "READY_WATCHERS"],
  ...["SHARE_POLL_SEQUENCE", "SHARE_POLL_WAITERS", "WATCH_MASK", "DOORBELL_SEQUENCE", "DOORBELL_SLEEPING"],
  ...["RXQ_DOORBELL", "MEMBER_DOORBELL", "RING_HEAD", "TRUNK_OUT_TAIL", "TRUNK_IN_HEAD"],
];
/** Written by the stack alone, which may read them plainly; business threads may not. */
const OF_STACK = ["CHANNEL_STATE", "CHANNEL_KIND", "CHANNEL_PRODUCED", "CHANNEL_DRAINED", "CHANNEL_GENERATION"];
/** A ring before anybody else knows of it, or while nobody else may use it; a head that its one producer writes. */
const ALONE = /(Init|Repair|Recover|^spscPush)$/;

/** Plain accesses to these words in a file: "file: line". */
function plain(file: string, words: readonly string[]): string[] {
  const found: string[] = [];
  let within = "";
  readFileSync(`${ROOT}${file}`, "utf8")
    .split("\n")
    .forEach((line, index) => {
      within = /^(?:export )?function (\w+)/.exec(line)?.[1] ?? within;
      if (ALONE.test(within)) return;
      const isFound = [...line.matchAll(/(?<!atomic\.)\b(?:load|store)<\w+>\(/g)].some((match) => {
        const given = argumentsOf(line, match.index + match[0].length);
        return words.some((word) => new RegExp(`\\b${word}\\b`).test(given));
      });
      if (isFound) found.push(`${file}:${index + 1}: ${line.trim()}`);
    });
  return found;
}

/** The text from there to the parenthesis that closes. */
function argumentsOf(line: string, from: number): string {
  let end = from;
  for (let depth = 1; end < line.length && depth > 0; end++) {
    if (line[end] === "(") depth++;
    else if (line[end] === ")") depth--;
  }
  return line.slice(from, end);
}

function filesOf(folder: string): string[] {
  return readdirSync(`${ROOT}${folder}`)
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${folder}/${name}`);
}

describe("words that several threads write", () => {
  it("are loaded and stored atomically", () => {
    const all = ["assembly/share", "assembly/memory", "assembly/steer", "veth/datapath"].flatMap((folder) =>
      filesOf(folder).flatMap((file) => plain(file, SHARED)),
    );
    expect(all.join("\n")).to.equal("");
  });

  it("are so for business threads where the stack writes alone, too", () => {
    const files = ["channel", "client", "client-epoll", "client-receive", "client-send"];
    expect(files.flatMap((name) => plain(`assembly/share/${name}.ts`, OF_STACK)).join("\n")).to.equal("");
  });

  it("are found where they are not", () => {
    // The stack reads plainly what it has written itself.
    expect(plain("assembly/share/publish.ts", OF_STACK)).to.have.length.above(0);
  });
});

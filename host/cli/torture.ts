// `oribi torture`: kills stacks and business threads under thousands of connections, and audits after each kill.
// Read first: host/torture/run.ts.

import { torture, TortureFailure, type TortureFigures } from "../torture/run.ts";
import { STACKS_MAX, THREADS_MAX } from "../torture/board.ts";
import { defineCommand } from "./command.ts";
import { EXIT_FAILURE, EXIT_INTERRUPTED } from "./errors.ts";
import { formatBytes, formatCount } from "./format.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { count, oneOf } from "./units.ts";

const SEED_MAX = 2 ** 32 - 1;
const KILLS_MAX = 10_000_000;
const MINUTES_MAX = 60 * 24 * 30;
const MODELS = { shared: ["shared"], separate: ["separate"], both: ["shared", "separate"] } as const;
const parseModel: (text: string) => keyof typeof MODELS = oneOf("shared", "separate", "both");

export const command = defineCommand({
  name: "torture",
  summary: "kill stacks and threads under thousands of connections, and count what is lost: nothing",
  usage:
    "Two hosts with several stacks each, on real threads, in both thread models in turn. Their threads hold " +
    "connections and check every byte and answers of epoll_wait, while stacks and business threads are ended in the " +
    "middle of whatever they do (terminate, trap, hang, error, exit) and come back, redirection tables move, " +
    "connections are broken off and begun again with the same descriptor, and listeners end and listen again. " +
    "After each kill the manager's audit must find nothing lost; connections whose two ends live must deliver every " +
    "byte. The seed gives every decision, and --verbose shows them; when a thread gets to feel one is the machine's " +
    "choice. The status is 1 when a promise is broken: the seed and the step are named.",
  options: {
    seed: { form: "X", description: "gives every decision", default: "1", parse: count(0, SEED_MAX) },
    minutes: { form: "M", description: "how long; default 1, without end with --kills", parse: count(1, MINUTES_MAX) },
    kills: { form: "N", description: "end after so many kills", parse: count(1, KILLS_MAX) },
    model: { form: "MODEL", description: "shared, separate, both (in turn)", default: "both", parse: parseModel },
    stacks: { form: "N", description: "stacks of each host", default: "2", parse: count(1, STACKS_MAX) },
    threads: {
      form: "N",
      description: "business threads of each host, in the separate model",
      default: "2",
      parse: count(1, THREADS_MAX),
    },
    connections: { form: "N", description: "connections at one time", default: "2000", parse: count(1, 100_000) },
    debug: { description: "use the debug build of the core: slower, but a trap names its line" },
    verbose: { description: "print every decision", short: "v" },
    json: { description: "print the figures as JSON" },
  },
  examples: [
    ["oribi torture --seed 1 --kills 1000", "a thousand kills in a row, half in each model"],
    ["oribi torture --minutes 30 --model separate --stacks 4 --threads 4", "half an hour of one model"],
  ],
  async run({ options }, io) {
    const { seed, stacks, threads, connections, debug, verbose, json } = options;
    const models = MODELS[options.model];
    const kills = Math.ceil((options.kills ?? Infinity) / models.length);
    const minutes = options.minutes ?? (options.kills === undefined ? 1 : Infinity);
    const { signal } = io;
    const all: TortureFigures[] = [];
    using progress = new Progress(io.stderr, {
      label: "kills",
      ...(kills === Infinity ? {} : { total: kills * models.length }),
    });
    for (const model of models) {
      if (signal.aborted) break;
      const before = all.reduce((sum, figures) => sum + figures.kills, 0);
      const onStep = (figures: TortureFigures, step: string): void => {
        if (verbose) progress.print(io.stdout, `${model} ${step}`);
        progress.update(before + figures.kills, `${model}, ${formatBytes(figures.bytes)} verified`);
      };
      const millis = (minutes * 60_000) / models.length;
      try {
        all.push(
          await torture({ ...{ seed, model, stacks, threads, connections, kills, millis, debug, signal, onStep } }),
        );
      } catch (error) {
        if (!(error instanceof TortureFailure)) throw error;
        progress.finish();
        return failed(error, seed, model, json, io);
      }
    }
    progress.finish();
    if (json) io.stdout.write(`${JSON.stringify({ seed, runs: all, total: total(all) }, null, 2)}\n`);
    else io.stdout.write(`${all.map((figures) => text(figures)).join("")}${totalLine(seed, total(all))}\n`);
    if (signal.aborted) io.stderr.write("oribi torture: interrupted: what is still open was not checked\n");
    return signal.aborted ? EXIT_INTERRUPTED : 0;
  },
});

function failed({ message }: TortureFailure, seed: number, model: string, json: boolean, io: Io): number {
  const failure = { seed, model, message };
  io.stdout.write(
    json ? `${JSON.stringify({ seed, failure }, null, 2)}\n` : `seed ${seed}, ${model} model, failed at ${message}\n`,
  );
  return EXIT_FAILURE;
}

type Total = Record<
  "kills" | "restarts" | "audits" | "connected" | "completed" | "broken" | "bytes" | "seconds",
  number
>;

function total(all: readonly TortureFigures[]): Total {
  const sum: Total = { kills: 0, restarts: 0, audits: 0, connected: 0, completed: 0, broken: 0, bytes: 0, seconds: 0 };
  for (const figures of all) for (const name of Object.keys(sum) as (keyof Total)[]) sum[name] += figures[name];
  return sum;
}

function text(figures: TortureFigures): string {
  const { model, kills, stackKills, threadKills, hows, restarts, retaMoves, audits } = figures;
  const { connected, completed, broken, bytes, datagrams, epollChecks, orphans } = figures;
  const { disconnects, relistens, peeks } = figures;
  const how = Object.entries(hows).map(([name, times]) => `${formatCount(times)} ${name}`);
  const of = threadKills === 0 ? "" : ` (${formatCount(stackKills)} stacks, ${formatCount(threadKills)} threads)`;
  return [
    `${model}: ${formatCount(kills)} kills${of}, ${formatCount(restarts)} restarts, ` +
      `${formatCount(retaMoves)} moves of RETA`,
    `  ${how.join(", ")}`,
    `  ${formatCount(connected)} connections: ${formatCount(completed)} delivered every byte, ${formatCount(broken)} ` +
      `ends told of a kill; ${formatBytes(bytes)} and ${formatCount(datagrams)} datagrams verified`,
    `  ${formatCount(disconnects)} disconnects and new connections of the same descriptor, ${formatCount(relistens)} ` +
      `listeners ended and begun again, ${formatCount(peeks)} peeks beside other threads right`,
    `  ${formatCount(audits)} audits: 0 mbufs, chunks, TCBs, rules, queues, turns, send buffers lost; ` +
      `${formatCount(epollChecks)} epoll answers true; ${formatCount(orphans)} descriptors of killed threads closed\n`,
  ].join("\n");
}

function totalLine(seed: number, { kills, restarts, bytes, completed, audits, seconds }: Total): string {
  return [
    `total, seed ${seed}: ${formatCount(kills)} kills, ${formatCount(restarts)} restarts`,
    `${formatBytes(bytes)} verified on ${formatCount(completed)} whole connections`,
    `${formatCount(audits)} audits clean, 0 violations, ${seconds.toFixed(1)} s`,
  ].join(", ");
}

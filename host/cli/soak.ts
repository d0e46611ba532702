// `oribi soak`: days of simulated time on one network, with a stock-taking every hour.
// Read first: host/simulate/soak.ts.

import { join, resolve } from "node:path";
import { soak, SoakFailure, type SoakFigures } from "../simulate/soak.ts";
import { defineCommand } from "./command.ts";
import { CliError, EXIT_FAILURE, EXIT_INTERRUPTED } from "./errors.ts";
import { formatBytes, formatCount } from "./format.ts";
import type { Io } from "./io.ts";
import { Progress } from "./progress.ts";
import { count, word } from "./units.ts";

const SEED_MAX = 2 ** 32 - 1;

export const command = defineCommand({
  name: "soak",
  summary: "let two hosts talk for simulated days over wires that change",
  usage:
    "Bulk transfers, connections that come and go in every way, questions and answers, connections that are idle but " +
    "for keepalives, datagrams and fragments, while the wires change every ten simulated minutes and are cut now and " +
    "then. Every byte is checked; every simulated hour the wires are mended and all must have been given back. " +
    "A seed that fails is run again to that hour, which is captured in oribi-soak-SEED.pcapng; the status is 1 then.",
  options: {
    time: { form: "TIME", description: "how long, as 30d or 12h", default: "30d", parse: hours },
    seed: { form: "X", description: "gives every choice", default: "1", parse: count(0, SEED_MAX) },
    out: { form: "FOLDER", description: "where the capture is written", default: ".", parse: word },
    debug: { description: "use the debug build of the core: slower, but a trap names its line" },
    json: { description: "print the figures as JSON" },
  },
  examples: [
    ["oribi soak", "thirty days"],
    ["oribi soak --time 6h --seed 7", "a shorter one, another one"],
  ],
  async run({ options }, io) {
    const { time, seed, out, debug, json } = options;
    const { signal } = io;
    const startMillis = performance.now();
    using progress = new Progress(io.stderr, { label: "hours", total: time });
    const onHour = (figures: SoakFigures): void =>
      progress.update(figures.hours, `${formatCount(figures.frames)} frames`);
    try {
      const figures = await soak({ seed, hours: time, debug, signal, onHour });
      progress.finish();
      const seconds = (performance.now() - startMillis) / 1000;
      io.stdout.write(
        json ? `${JSON.stringify({ seed, ...figures, seconds }, null, 2)}\n` : line(seed, figures, seconds),
      );
      return signal.aborted ? EXIT_INTERRUPTED : 0;
    } catch (error) {
      if (!(error instanceof SoakFailure)) throw error;
      progress.finish();
      return failed(error, { seed, out, debug, json }, io);
    }
  },
});

/** Runs a soak again up to the hour that failed, with a capture of that hour. */
async function failed(
  failure: SoakFailure,
  { seed, out, debug, json }: { seed: number; out: string; debug: boolean; json: boolean },
  io: Io,
): Promise<number> {
  const { hour, kind, message } = failure;
  const path = resolve(join(out, `oribi-soak-${seed}.pcapng`));
  await soak({ seed, hours: hour + 1, debug, capture: { hour, path } }).catch((error: unknown) => {
    if (!(error instanceof SoakFailure)) throw error;
  });
  const text = `seed ${seed} failed: ${kind}: ${message}\ncapture: ${path}\n`;
  io.stdout.write(
    json ? `${JSON.stringify({ seed, failure: { hour, kind, message }, capture: path }, null, 2)}\n` : text,
  );
  return EXIT_FAILURE;
}

/** Simulated hours: "30d", "12h". */
function hours(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,5})(d|h)$/.exec(text.trim()) ?? [];
  const value = Number(number) * (unit === "d" ? 24 : 1);
  if (value >= 1 && value <= 10 * 365 * 24) return value;
  throw new CliError("", { expected: "whole days or hours, such as 30d or 12h, ten years at most" });
}

function line(seed: number, figures: SoakFigures, seconds: number): string {
  const { connections, bytes, exchanges, datagrams, datagramsAnswered, frames, retransmissions } = figures;
  const { fragments, keepalives } = figures;
  return [
    `seed ${seed}: ${(figures.hours / 24).toFixed(1)} days in ${seconds.toFixed(1)} s, an audit every hour, 0 failed`,
    `${formatCount(connections)} connections with ${formatBytes(bytes)}, ${formatCount(exchanges)} exchanges`,
    `${formatCount(datagramsAnswered)} of ${formatCount(datagrams)} datagrams answered`,
    `${formatCount(frames)} frames, ${formatCount(retransmissions)} retransmissions`,
    `${formatCount(fragments)} fragments`,
    `${formatCount(keepalives)} keepalive probes\n`,
  ].join(", ");
}

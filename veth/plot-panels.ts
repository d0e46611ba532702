// The panels below the sequence numbers of a plot: bytes in flight, rates, and what TCP_INFO told of the sender.
// Read first: plot-series.ts, where the figures come from; plot-svg.ts, which puts the panels into the picture.

import { bandPath, gridX, stepPath, thinSteps } from "./plot-marks.ts";
import type { Extent, Step } from "./plot-marks.ts";
import { GRID } from "./plot-scale.ts";
import type { TimeSequence } from "./plot-sequence.ts";
import { inFlight } from "./plot-series.ts";
import type { Rates } from "./plot-series.ts";

/** What TCP_INFO said of the sender at one moment (tcp(7), struct tcp_info). */
export interface TcpInfoSample {
  /** On the clock of the capture, microseconds. */
  timeMicros: number;
  /** tcpi_snd_cwnd times tcpi_snd_mss. */
  cwndBytes: number;
  /** tcpi_snd_ssthresh times tcpi_snd_mss; Infinity: none yet. */
  ssthreshBytes: number;
  /** tcpi_rtt, smoothed; 0: not known yet. */
  rttMicros: number;
  /** tcpi_unacked less what is SACKed and lost, plus what is retransmitted, times tcpi_snd_mss. */
  flightBytes: number;
}

/** One panel. */
export interface Panel {
  id: string;
  caption: string;
  /** What its axis counts: bytes, bits per second, or microseconds. */
  quantity: "bytes" | "rate" | "time";
  /** Value at its upper edge. */
  high: number;
  /** On the grid. */
  svg: string;
}

const FLOOR: readonly Step[] = [{ x: 0, y: 0 }];
/** Room above the highest value. */
const ROOM = 1.08;

/** The panels of a plot. `rates` are those of the whole connection. */
export function panelsOf(
  sequence: TimeSequence,
  extent: Extent,
  rates: Rates,
  samples: readonly TcpInfoSample[],
): Panel[] {
  const own = samples.map((sample) => ({ ...sample, timeMicros: sample.timeMicros - sequence.startMicros }));
  const during = own.filter(({ timeMicros }) => timeMicros >= 0 && timeMicros <= extent.spanMicros);
  const panels = [flightPanel(sequence, extent)];
  if (during.length > 0) panels.push(congestionPanel(during, extent), rttPanel(during, extent));
  return [...panels, ratePanel(rates, extent)];
}

function flightPanel(sequence: TimeSequence, extent: Extent): Panel {
  const flight = inFlight(sequence);
  const high = flight.reduce((most, { bytes }) => Math.max(most, bytes), 1) * ROOM;
  const points = flight.map(({ timeMicros, bytes }) => ({ timeMicros, value: bytes }));
  const kept = [...FLOOR, ...stepsOf(points, high, extent)];
  const endX = kept.at(-1)?.x ?? 0;
  const svg = path("area flight", bandPath(FLOOR, kept, endX)) + path("line flight", stepPath(kept, endX));
  return { id: "flight", caption: "in flight: sent, not yet acknowledged", quantity: "bytes", high, svg };
}

function ratePanel(rates: Rates, extent: Extent): Panel {
  const high = Math.max(1, ...rates.sent, ...rates.delivered) * ROOM;
  const steps = (values: readonly number[]): Step[] =>
    values.map((value, index) => ({ x: gridX(extent, index * rates.intervalMicros), y: gridHeight(value, high) }));
  const delivered = steps(rates.delivered);
  const svg =
    path("area delivered", bandPath(FLOOR, delivered, GRID)) +
    path("line delivered", stepPath(delivered, GRID)) +
    path("line sentrate", stepPath(steps(rates.sent), GRID));
  return { id: "rate", caption: "rate: delivered (area) and sent (line)", quantity: "rate", high, svg };
}

function congestionPanel(samples: readonly TcpInfoSample[], extent: Extent): Panel {
  const known = samples.flatMap(({ ssthreshBytes }) => (Number.isFinite(ssthreshBytes) ? [ssthreshBytes] : []));
  const highest = samples.reduce((most, each) => Math.max(most, each.cwndBytes, each.flightBytes), 1);
  // A threshold far above what was ever used says no more than that it is there.
  const high = Math.max(highest, ...known.filter((value) => value < highest * 2)) * ROOM;
  const line = (name: string, value: (sample: TcpInfoSample) => number): string => {
    const points = samples.map((sample) => ({
      timeMicros: sample.timeMicros,
      value: Math.min(value(sample), high * 2),
    }));
    const steps = stepsOf(points, high, extent);
    return path(`line ${name}`, stepPath(steps, steps.at(-1)?.x ?? 0));
  };
  const svg =
    line("infoflight", (sample) => sample.flightBytes) +
    line("ssthresh", (sample) => sample.ssthreshBytes) +
    line("cwnd", (sample) => sample.cwndBytes);
  return { id: "cwnd", caption: "TCP_INFO: cwnd, ssthresh (dashed), flight (thin)", quantity: "bytes", high, svg };
}

function rttPanel(samples: readonly TcpInfoSample[], extent: Extent): Panel {
  const known = samples.filter(({ rttMicros }) => rttMicros > 0);
  const high = known.reduce((most, { rttMicros }) => Math.max(most, rttMicros), 1) * ROOM;
  const points = known.map(({ timeMicros, rttMicros }) => ({ timeMicros, value: rttMicros }));
  const steps = stepsOf(points, high, extent);
  const svg = path("line rtt", stepPath(steps, steps.at(-1)?.x ?? 0));
  return { id: "rtt", caption: "TCP_INFO: smoothed round trip time", quantity: "time", high, svg };
}

function stepsOf(points: readonly { timeMicros: number; value: number }[], high: number, extent: Extent): Step[] {
  return thinSteps(points.map((each) => ({ x: gridX(extent, each.timeMicros), y: gridHeight(each.value, high) })));
}

function gridHeight(value: number, high: number): number {
  return Math.round((value / high) * GRID);
}

function path(className: string, data: string): string {
  return data === "" ? "" : `<path class="${className}" d="${data}"/>`;
}

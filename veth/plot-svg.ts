// Draws the model of a time-sequence plot as SVG: layers of marks, lines of the receiver, events, rates below.
// Read first: Jacobson's and Shepard's time-sequence plots (tcptrace manual, "Time Sequence Graphs").

import { arrange, axesSvg, bottomOf, eventsSvg } from "./plot-axes.ts";
import type { Layout, View } from "./plot-axes.ts";
import {
  bandPath,
  bar,
  barPath,
  extentOf,
  gridX,
  gridY,
  segmentBars,
  stepPath,
  thinBars,
  thinSteps,
} from "./plot-marks.ts";
import type { Bar, Extent, Step } from "./plot-marks.ts";
import { panelsOf } from "./plot-panels.ts";
import type { Panel, TcpInfoSample } from "./plot-panels.ts";
import { GRID } from "./plot-scale.ts";
import type { SegmentKind, SentSegment, TimeSequence } from "./plot-sequence.ts";
import { closedWindows, ratesOf } from "./plot-series.ts";
import type { Rates } from "./plot-series.ts";

/** Size of the picture where no script fits it to its window. */
const WIDTH = 1200;
const HEIGHT = 748;
/** A panel more takes so much more. */
const PANEL_HEIGHT = 126;
/** Intervals of the lower panel. */
const RATE_INTERVALS = 180;

/** A kind of mark that can be shown and hidden. */
export interface Layer {
  id: string;
  label: string;
  /** Shown beside the label; undefined for lines. */
  count: number | undefined;
  /** How the legend shows it. */
  swatch: "line" | "area" | "dot" | "ring";
  svg: string;
}

/** All that the page needs to place marks again after a zoom. */
export interface Drawing {
  extent: Extent;
  rates: Rates;
  /** The whole connection. */
  view: View;
  layout: Layout;
  panels: Panel[];
  layers: Layer[];
  svg: string;
}

/** Draws a model. The SVG stands alone but for the style classes that the page defines. */
export function drawSequence(sequence: TimeSequence, samples: readonly TcpInfoSample[] = []): Drawing {
  const extent = extentOf(sequence);
  const rates = ratesOf(sequence, extent.spanMicros, RATE_INTERVALS);
  const panels = panelsOf(sequence, extent, rates, samples);
  const { spanMicros: toMicros, low, high } = extent;
  const view: View = { fromMicros: 0, toMicros, low, high };
  const layers = layersOf(sequence, extent);
  const scales = panels.map(({ id, quantity, high: most }) => ({ id, quantity, high: most }));
  const layout = arrange(WIDTH, HEIGHT + (panels.length - 2) * PANEL_HEIGHT, scales);
  const { width, height, left, top, plotWidth, plotHeight } = layout;
  const svg = [
    `<svg id="plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="sequence numbers against time">`,
    frame(layout, "seq", top, plotHeight),
    ...layout.panels.map((panel) => frame(layout, panel.id, panel.top, panel.height)),
    ...layout.panels.map((panel, i) => caption(layout, panel.id, panel.top, panels[i]?.caption ?? "")),
    `<g id="axes">${axesSvg(layout, view)}</g>`,
    open(layout, "seq", top, plotHeight),
    ...layers.map((each) => `<g id="layer-${each.id}">${each.svg}</g>`),
    "</svg>",
    ...layout.panels.map(
      (panel, i) => open(layout, panel.id, panel.top, panel.height) + (panels[i]?.svg ?? "") + "</svg>",
    ),
    `<g id="events">${eventsSvg(layout, view, sequence.controls)}</g>`,
    `<g id="pointer"></g><rect id="box" class="box" visibility="hidden"/>`,
    `<rect id="catch" x="${left}" y="${top}" width="${plotWidth}" height="${bottomOf(layout) - top}" fill="none"/>`,
    "</svg>",
  ];
  return { extent, rates, view, layout, panels, layers, svg: svg.join("\n") };
}

function frame({ left, plotWidth }: Layout, id: string, y: number, height: number): string {
  const size = `x="${left}" y="${y}" width="${plotWidth}" height="${height}"`;
  return `<rect id="frame-${id}" class="panel" ${size} rx="3"/>`;
}

function caption({ left }: Layout, id: string, y: number, words: string): string {
  return `<text id="caption-${id}" x="${left}" y="${y - 9}">${words}</text>`;
}

/** Opens the drawing of a panel: within it everything lies on the grid, whatever part of it is shown. */
function open({ left, plotWidth }: Layout, id: string, y: number, height: number): string {
  const box = `viewBox="0 0 ${GRID} ${GRID}" preserveAspectRatio="none"`;
  return `<svg id="${id}" x="${left}" y="${y}" width="${plotWidth}" height="${height}" ${box}>`;
}

function layersOf(sequence: TimeSequence, extent: Extent): Layer[] {
  const { segments, sacks, totals } = sequence;
  const of = (...kinds: SegmentKind[]): SentSegment[] => segments.filter((segment) => kinds.includes(segment.kind));
  const sackBars = (duplicate: boolean): Bar[] =>
    sacks.filter((s) => s.duplicate === duplicate).map((s) => bar(extent, s.timeMicros, s.start, s.end));
  const lost = segments.filter((segment) => segment.lost);
  const lines = receiverLines(sequence, extent);
  const layers: (Layer | undefined)[] = [
    layer("closed", "window closed", totals.zeroWindows, "area", closedBands(sequence, extent)),
    lines.window,
    marks("sack", "SACK", sackBars(false), false),
    marks("new", "sent", segmentBars(extent, of("new")), false),
    lines.ack,
    marks("late", "out of order", segmentBars(extent, of("outOfOrder")), false),
    marks("probe", "probe, keep-alive", segmentBars(extent, of("windowProbe", "keepAlive")), true),
    marks("dsack", "D-SACK", sackBars(true), true),
    rings("lost", "lost on the way", segmentBars(extent, lost)),
    marks("again", "retransmission", segmentBars(extent, of("retransmission")), true),
  ];
  return layers.filter((each) => each !== undefined);
}

function layer(
  id: string,
  label: string,
  count: number | undefined,
  swatch: Layer["swatch"],
  svg: string,
): Layer | undefined {
  return svg === "" ? undefined : { id, label, count, swatch, svg };
}

/** A layer of bars; with `dots` each also has a dot, so that it is seen however small. */
function marks(id: string, label: string, bars: Bar[], dots: boolean): Layer | undefined {
  const path = barPath(thinBars(bars));
  if (path === "") return undefined;
  const dot = dots ? `<path class="dot ${id}" d="${path}"/>` : "";
  return layer(id, label, bars.length, dots ? "dot" : "area", `<path class="bar ${id}" d="${path}"/>${dot}`);
}

/** A layer of rings around the middle of bars: what is missing. */
function rings(id: string, label: string, bars: Bar[]): Layer | undefined {
  const middles = bars.map(({ x, low, high }) => ({ x, low: (low + high) >> 1, high: (low + high) >> 1 }));
  const path = barPath(thinBars(middles));
  if (path === "") return undefined;
  return layer(id, label, bars.length, "ring", `<path class="dot ${id}" d="${path}"/><path class="hole" d="${path}"/>`);
}

function receiverLines(
  sequence: TimeSequence,
  extent: Extent,
): { ack?: Layer | undefined; window?: Layer | undefined } {
  const steps = (value: (ack: { ack: number; window: number }) => number): Step[] =>
    thinSteps(sequence.acks.map((each) => ({ x: gridX(extent, each.timeMicros), y: gridY(extent, value(each)) })));
  const acks = steps((each) => each.ack);
  const edges = steps((each) => each.ack + each.window);
  const endX = gridX(extent, sequence.durationMicros);
  const band = bandPath(acks, edges, endX);
  const unscaled = sequence.windowShift < 0 ? "receive window (scale unknown)" : "receive window";
  return {
    ack: layer("ack", "acknowledged", undefined, "line", path("line ack", stepPath(acks, endX))),
    window: layer(
      "window",
      unscaled,
      undefined,
      "line",
      path("band", band) + path("line window", stepPath(edges, endX)),
    ),
  };
}

function closedBands(sequence: TimeSequence, extent: Extent): string {
  const bands = closedWindows(sequence).map(({ fromMicros, toMicros }) => {
    const x = gridX(extent, fromMicros);
    return `M${x} 0h${Math.max(1, gridX(extent, toMicros) - x)}V${GRID}H${x}z`;
  });
  return path("closed", bands.join(""));
}

function path(className: string, data: string): string {
  return data === "" ? "" : `<path class="${className}" d="${data}"/>`;
}

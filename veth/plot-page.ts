// Writes the page around a plot: title, figures, legend, picture, script; one HTML file with no outside resource.
// Read first: plot-svg.ts (the picture), plot-script.ts (what moves).

import { amount, bytesUnit, GRID, rateUnit, threeDigits, timeUnit } from "./plot-scale.ts";
import { plotScript } from "./plot-script.ts";
import { escapeText } from "./plot-html.ts";
import { addressText } from "./plot-segment.ts";
import type { SentSegment, TimeSequence } from "./plot-sequence.ts";
import type { TcpInfoSample } from "./plot-panels.ts";
import { listOfRetransmissions, resentOf } from "./plot-resent.ts";
import { readingsOf } from "./plot-series.ts";
import { PLOT_STYLE } from "./plot-style.ts";
import { drawSequence } from "./plot-svg.ts";
import type { Drawing, Layer } from "./plot-svg.ts";

/** Moments whose values the page can show under the pointer. */
const READINGS_MAX = 2000;
/** Marks of which the page can tell the details; all are drawn, however many. */
const MARKS_MAX = 2000;

export interface PageOptions {
  /** The heading; default: the two ends of the connection. */
  title?: string;
  /** A line below the heading, for example the impairments of the link and the seed. */
  note?: string;
  /** Said in large if given: why the capture does not hold the whole connection, and how to get more of it. */
  truncated?: string;
  /** What TCP_INFO told of the sender while it was captured; then the page has panels for it. */
  info?: readonly TcpInfoSample[];
}

/** The page of a plot: HTML text that needs nothing else. The same model gives the same text. */
export function plotPage(sequence: TimeSequence, options: PageOptions = {}): string {
  const drawing = drawSequence(sequence, options.info);
  const from = endpointText(sequence.sender);
  const to = endpointText(sequence.receiver);
  const title = options.title ?? `${from} → ${to}`;
  const note = [options.title === undefined ? "" : `${from} → ${to}`, options.note ?? ""].filter((text) => text !== "");
  return [
    "<!doctype html>",
    `<html lang="en">`,
    "<head>",
    `<meta charset="utf-8">`,
    `<meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<title>${escapeText(title)} · time-sequence plot</title>`,
    `<style>${PLOT_STYLE}</style>`,
    "</head>",
    "<body>",
    "<main>",
    `<h1>${escapeText(title).replace(" → ", "<span>→</span>")}</h1>`,
    `<p class="note">${escapeText([...note, portNote(sequence)].join(" · "))}</p>`,
    options.truncated === undefined ? "" : `<p class="truncated">${escapeText(options.truncated)}</p>`,
    figures(sequence),
    `<figure tabindex="0" aria-label="${LABEL}">`,
    `<div class="tools">${legend(drawing.layers)}${NAVIGATION}</div>`,
    drawing.svg,
    `<div id="tip"></div>`,
    HINT,
    "</figure>",
    listOfRetransmissions(sequence),
    "</main>",
    `<script>${plotScript(pageData(sequence, drawing))}</script>`,
    "</body>",
    "</html>",
    "",
  ].join("\n");
}

const NAVIGATION = [
  `<div class="go"><span id="place"></span>`,
  `<button type="button" id="previous" title="previous retransmission (p)">◀</button>`,
  `<button type="button" id="next" title="next retransmission (n)">▶</button>`,
  `<button type="button" id="in" title="zoom in (+)">+</button>`,
  `<button type="button" id="out" title="zoom out (-)">−</button>`,
  `<button type="button" id="all" title="the whole connection (Escape)">whole</button></div>`,
].join("");

const LABEL =
  "the plot: arrow keys move it, plus and minus zoom, n and p go from one retransmission to the next, Escape shows all";

const HINT = [
  `<p class="hint">drag or wheel: zoom in time, sequence numbers follow · alt-drag: zoom both · shift-wheel: zoom`,
  ` sequence numbers · shift-drag: move · arrows, + and −: the same by keys · n, p: next, previous retransmission ·`,
  ` double-click or Escape: the whole</p>`,
].join("");

function endpointText(end: { address: number; port: number }): string {
  return `${addressText(end.address)}:${end.port}`;
}

function portNote(sequence: TimeSequence): string {
  const where = sequence.port === "" ? "" : `, seen at ${sequence.port}`;
  return `TCP sequence numbers against time${where}`;
}

/** The row of figures below the title; what did not happen is left out. */
function figures(sequence: TimeSequence): string {
  const { totals, durationMicros } = sequence;
  const share = totals.segments === 0 ? 0 : (100 * totals.retransmissions) / totals.segments;
  const list: [name: string, value: string, remark?: string][] = [
    ["transferred", amount(totals.bytes, bytesUnit(totals.bytes))],
    ["duration", amount(durationMicros, timeUnit(durationMicros))],
    ["goodput", totals.goodputBits > 0 ? amount(totals.goodputBits, rateUnit(totals.goodputBits)) : "–"],
    ["packets", totals.packets.toLocaleString("en")],
    ["retransmissions", totals.retransmissions.toLocaleString("en"), share > 0 ? `${threeDigits(share)} %` : undefined],
  ];
  if (totals.rttMicros !== undefined) list.push(["median RTT", amount(totals.rttMicros, timeUnit(totals.rttMicros))]);
  const counts: [string, number][] = [
    ["lost on the way", totals.lost],
    ["out of order", totals.outOfOrder],
    ["duplicate ACKs", totals.duplicateAcks],
    ["D-SACKs", totals.duplicateSacks],
    ["zero windows", totals.zeroWindows],
    ["damaged", totals.damaged],
  ];
  for (const [name, count] of counts) if (count > 0) list.push([name, count.toLocaleString("en")]);
  const items = list.map(([name, value, remark]) => {
    const small = remark === undefined ? "" : ` <small>${escapeText(remark)}</small>`;
    return `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}${small}</dd></div>`;
  });
  return `<dl>${items.join("")}</dl>`;
}

function legend(layers: readonly Layer[]): string {
  // The lines that everything else is read against come first.
  const order = ["new", "ack", "window"];
  const rank = (layer: Layer): number => (order.includes(layer.id) ? order.indexOf(layer.id) : order.length);
  const buttons = layers
    .toSorted((a, b) => rank(a) - rank(b))
    .map(({ id, label, count, swatch }) => {
      const look = swatch === "ring" ? "" : ` style="background: var(--${id})"`;
      const amountText = count === undefined ? "" : ` <small>${count.toLocaleString("en")}</small>`;
      const button = `<button type="button" data-layer="${id}" aria-pressed="true">`;
      return `${button}<i class="${swatch}"${look}></i>${escapeText(label)}${amountText}</button>`;
    });
  return `<div class="legend">${buttons.join("")}</div>`;
}

/** What the script works with. Numbers are rounded: a millionth of the picture is not seen. */
function pageData(sequence: TimeSequence, drawing: Drawing): object {
  const { rates, view, extent } = drawing;
  const readings = readingsOf(sequence, READINGS_MAX).map((each) => [
    round(each.timeMicros, extent.spanMicros),
    each.sent,
    each.ack,
    each.edge,
    each.number,
  ]);
  return {
    grid: GRID,
    layout: drawing.layout,
    whole: view,
    events: sequence.controls.map(({ timeMicros, label, from }) => ({ timeMicros, label, from })),
    rates: { intervalMicros: rates.intervalMicros, delivered: rates.delivered.map(Math.round) },
    readings,
    marks: detailedMarks(sequence, extent.spanMicros),
    resent: resentOf(sequence).map(({ number, timeMicros, start, end, lost }) => [
      round(timeMicros, extent.spanMicros),
      start,
      end,
      lost ? "lost" : "again",
      lost ? "retransmission · lost on the way" : "retransmission",
      number,
    ]),
  };
}

/** [time, start, end, layer, words] of the marks worth a word; evenly chosen when there are too many. */
function detailedMarks(sequence: TimeSequence, spanMicros: number): unknown[] {
  const list: unknown[] = [];
  for (const segment of sequence.segments) {
    if (segment.kind === "new" && !segment.lost && segment.comments.length === 0) continue;
    const { timeMicros, start, end } = segment;
    list.push([round(timeMicros, spanMicros), start, end, layerOf(segment), segmentWords(segment), segment.number]);
  }
  for (const { timeMicros, start, end, duplicate } of sequence.sacks) {
    if (duplicate) list.push([round(timeMicros, spanMicros), start, end, "dsack", "D-SACK: arrived twice"]);
  }
  const step = Math.max(1, list.length / MARKS_MAX);
  return step === 1 ? list : Array.from({ length: MARKS_MAX }, (_, index) => list[Math.floor(index * step)]);
}

function layerOf(segment: SentSegment): string {
  if (segment.lost) return "lost";
  const layers = { new: "new", retransmission: "again", outOfOrder: "late", keepAlive: "probe", windowProbe: "probe" };
  return layers[segment.kind];
}

function segmentWords(segment: SentSegment): string {
  const names = {
    new: "segment",
    retransmission: "retransmission",
    outOfOrder: "out of order",
    keepAlive: "keep-alive",
    windowProbe: "window probe",
  };
  const words = [names[segment.kind], segment.lost ? "lost on the way" : "", ...segment.comments];
  return escapeText(words.filter((word) => word !== "").join(" · "));
}

function round(micros: number, spanMicros: number): number {
  const step = 10 ** Math.floor(Math.log10(spanMicros) - 6);
  return Number((Math.round(micros / step) * step).toPrecision(9));
}

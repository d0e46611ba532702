// Axes and events of a plot as SVG text: drawn here for the whole connection, and by the page's script when zoomed.
// Read first: plot-scale.ts. The functions are embedded in the page as text: they may use nothing but each other,
// plot-scale.ts and their arguments.

import { bytesUnit, rateUnit, ticks, tickText, timeUnit } from "./plot-scale.ts";
import type { Unit } from "./plot-scale.ts";

/** What the axis of a panel shows. */
export interface PanelScale {
  id: string;
  quantity: "bytes" | "rate" | "time";
  high: number;
}

/** Geometry in SVG units. */
export interface Layout {
  width: number;
  height: number;
  left: number;
  plotWidth: number;
  eventsTop: number;
  /** Of the panel of sequence numbers. */
  top: number;
  plotHeight: number;
  /** The panels below it. */
  panels: (PanelScale & { top: number; height: number })[];
}

/** The part of the connection that is shown. */
export interface View {
  fromMicros: number;
  toMicros: number;
  /** Sequence numbers. */
  low: number;
  high: number;
}

/** Shares out a picture's room: the sequence numbers get what the panels below them, all of one height, leave. */
export function arrange(width: number, height: number, scales: readonly PanelScale[]): Layout {
  const top = 48;
  const gap = 34;
  const axis = 42;
  const left = width < 640 ? 50 : 74;
  const free = Math.max(150 + scales.length * 44, height - top - axis - scales.length * gap);
  const lower = Math.floor(Math.max(44, Math.min(90, (free * 0.5) / Math.max(1, scales.length))));
  const plotHeight = Math.floor(free - lower * scales.length);
  const panels = scales.map((scale, i) => ({
    ...scale,
    top: top + plotHeight + gap + i * (lower + gap),
    height: lower,
  }));
  const whole = top + plotHeight + scales.length * (lower + gap) + axis;
  return { width, height: whole, left, plotWidth: width - left - 16, eventsTop: 2, top, plotHeight, panels };
}

/** Where the lowest panel ends. */
export function bottomOf(layout: Layout): number {
  const last = layout.panels[layout.panels.length - 1];
  return last === undefined ? layout.top + layout.plotHeight : last.top + last.height;
}

/** A SYN, FIN or RST. */
export interface Event {
  timeMicros: number;
  label: string;
  from: "sender" | "receiver";
}

/** Grid lines and labels of all panels. */
export function axesSvg(layout: Layout, view: View): string {
  const { left, top, plotWidth, plotHeight, panels, width } = layout;
  const span = view.toMicros - view.fromMicros;
  const time = timeUnit(span);
  const times = ticks(view.fromMicros, view.toMicros, Math.max(2, Math.round(plotWidth / 105)));
  const step = times.length > 1 ? times[1]! - times[0]! : span;
  const bottom = bottomOf(layout);
  let svg = "";
  for (const micros of times) {
    const x = (left + ((micros - view.fromMicros) / span) * plotWidth).toFixed(1);
    const lower = panels.map((panel) => `M${x} ${panel.top}v${panel.height}`).join("");
    svg += `<path class="grid" d="M${x} ${top}v${plotHeight}${lower}"/>`;
    svg += `<text x="${x}" y="${bottom + 17}" text-anchor="middle">${tickText(micros, step, time)}</text>`;
  }
  svg += `<text class="unit" x="${width - 18}" y="${bottom + 34}" text-anchor="end">time, ${time.name}</text>`;
  const lines = Math.max(3, Math.round(plotHeight / 50));
  svg += axisSvg(layout, top, plotHeight, view.low, view.high, lines, bytesUnit(Math.max(view.high, -view.low)));
  const units = { bytes: bytesUnit, rate: rateUnit, time: timeUnit };
  for (const panel of panels) {
    svg += axisSvg(layout, panel.top, panel.height, 0, panel.high, 3, units[panel.quantity](panel.high));
  }
  return svg;
}

/** The vertical axis of one panel. */
export function axisSvg(
  layout: Layout,
  top: number,
  height: number,
  low: number,
  high: number,
  count: number,
  unit: Unit,
): string {
  const values = ticks(low, high, count);
  const step = values.length > 1 ? values[1]! - values[0]! : high - low;
  let svg = `<text class="unit" x="${layout.left - 8}" y="${top - 9}" text-anchor="end">${unit.name}</text>`;
  for (const value of values) {
    const y = top + height - ((value - low) / (high - low)) * height;
    const text = tickText(value, step, unit);
    svg += `<path class="grid" d="M${layout.left} ${y.toFixed(1)}h${layout.plotWidth}"/>`;
    svg += `<text x="${layout.left - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end">${text}</text>`;
  }
  return svg;
}

/** A hairline for each event, and its name above: the sender's in the upper row, the receiver's in the lower. */
export function eventsSvg(layout: Layout, view: View, events: readonly Event[]): string {
  const letterWidth = 6.4;
  const free = { sender: 0, receiver: 0 };
  let svg = "";
  for (const { timeMicros, label, from } of events) {
    const share = (timeMicros - view.fromMicros) / (view.toMicros - view.fromMicros);
    if (share < 0 || share > 1) continue;
    const x = layout.left + share * layout.plotWidth;
    const y = layout.eventsTop + (from === "sender" ? 12 : 28);
    const text = from === "sender" ? `${label} →` : `← ${label}`;
    const width = text.length * letterWidth + 4;
    const start = Math.min(x - 3, layout.left + layout.plotWidth - width);
    const name = label === "RST" ? "event rst" : "event";
    svg += `<path class="${name}" d="M${x.toFixed(1)} ${y + 4}V${layout.top + layout.plotHeight}"/>`;
    // A name that would run into the one before is left out; its line is drawn all the same.
    if (start < free[from]) continue;
    free[from] = start + width + 4;
    svg += `<text class="${name}" x="${start.toFixed(1)}" y="${y}">${text}</text>`;
  }
  return svg;
}

/** The functions above, as the page's script gets them. */
export const AXES_FUNCTIONS: readonly ((...args: never[]) => unknown)[] = [
  arrange,
  bottomOf,
  axesSvg,
  axisSvg,
  eventsSvg,
];

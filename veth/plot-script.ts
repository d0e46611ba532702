// The script of a plot page: values under the pointer, zooming, hiding layers. The page is whole without it.
// Read first: plot-axes.ts, whose functions the script shares; MDN "WheelEvent" and "viewBox".

import { AXES_FUNCTIONS } from "./plot-axes.ts";
import { SCALE_FUNCTIONS } from "./plot-scale.ts";

/** The body of the script; `DATA` is the object that plot-page.ts writes before it. */
const BODY = `
const byId = (id) => document.getElementById(id);
const { layout, whole, events, readings, marks, rates, grid } = DATA;
let view = { ...whole };
const plot = byId("plot"), seq = byId("seq"), flight = byId("flight"), rate = byId("rate");
const tip = byId("tip"), box = byId("box");

function draw() {
  const spanX = whole.toMicros - whole.fromMicros, spanY = whole.high - whole.low;
  const x = ((view.fromMicros - whole.fromMicros) / spanX) * grid;
  const width = ((view.toMicros - view.fromMicros) / spanX) * grid;
  const y = ((whole.high - view.high) / spanY) * grid, height = ((view.high - view.low) / spanY) * grid;
  seq.setAttribute("viewBox", [x, y, width, height].join(" "));
  for (const lower of [flight, rate]) lower.setAttribute("viewBox", [x, 0, width, grid].join(" "));
  byId("axes").innerHTML = axesSvg(layout, view);
  byId("events").innerHTML = eventsSvg(layout, view, events);
}

function look(fromMicros, toMicros, low, high) {
  const spanX = Math.max((whole.toMicros - whole.fromMicros) / 4000, Math.min(toMicros - fromMicros, whole.toMicros));
  const spanY = Math.max((whole.high - whole.low) / 4000, Math.min(high - low, whole.high - whole.low));
  const x = Math.min(Math.max(fromMicros, 0), whole.toMicros - spanX);
  const y = Math.min(Math.max(low, whole.low), whole.high - spanY);
  view = { ...view, fromMicros: x, toMicros: x + spanX, low: y, high: y + spanY };
  draw();
  show();
}

let last;
function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const x = clamp(point.x, layout.left, layout.left + layout.plotWidth);
  const y = clamp(point.y, layout.top, layout.top + layout.plotHeight);
  const timeMicros = view.fromMicros + ((x - layout.left) / layout.plotWidth) * (view.toMicros - view.fromMicros);
  const sequence = view.high - ((y - layout.top) / layout.plotHeight) * (view.high - view.low);
  return { x, y, timeMicros, sequence, inside: point.y <= layout.top + layout.plotHeight + 4 };
}

const shareOf = (micros) => (micros - view.fromMicros) / (view.toMicros - view.fromMicros);
const toX = (micros) => layout.left + shareOf(micros) * layout.plotWidth;
const toY = (value) => layout.top + ((view.high - value) / (view.high - view.low)) * layout.plotHeight;
const exact = (value) => Math.round(value).toLocaleString("en");
function timeOf(micros) {
  const unit = timeUnit(view.toMicros - view.fromMicros);
  return (micros / unit.size).toFixed(3) + " " + unit.name;
}

/** The sequence numbers in use between two times, with a little room. */
function valuesBetween(fromMicros, toMicros) {
  const inside = readings.filter(([timeMicros]) => timeMicros >= fromMicros && timeMicros <= toMicros);
  const low = Math.min(readingAt(fromMicros)[2], ...inside.map((each) => each[2]));
  const high = Math.max(readingAt(toMicros)[1], ...inside.map((each) => each[1]));
  const room = Math.max(1, high - low) * 0.08;
  return [low - room, high + room];
}

function readingAt(timeMicros) {
  let low = 0, high = readings.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (readings[middle][0] <= timeMicros) low = middle + 1; else high = middle;
  }
  return readings[Math.max(0, low - 1)];
}

function markNear(at) {
  let best, nearest = 12 * 12;
  for (const mark of marks) {
    const dx = toX(mark[0]) - at.x;
    if (dx > 12 || dx < -12 || document.body.dataset["hide" + mark[3]]) continue;
    const dy = at.y - Math.min(Math.max(at.y, toY(mark[2])), toY(mark[1]));
    if (dx * dx + dy * dy < nearest) { nearest = dx * dx + dy * dy; best = mark; }
  }
  return best;
}

function show() {
  if (!last) return;
  const at = place(last), mark = at.inside ? markNear(at) : undefined;
  const micros = mark ? mark[0] : at.timeMicros, reading = readingAt(micros);
  const row = (name, value) => "<tr><td>" + name + "</td><td>" + value + "</td></tr>";
  const slot = Math.min(rates.delivered.length - 1, Math.max(0, Math.floor(micros / rates.intervalMicros)));
  let html = mark ? "<p>" + mark[4] + "</p>" : "";
  html += "<table>" + row("time", timeOf(micros));
  if (mark) html += row("sequence", exact(mark[1]) + " – " + exact(mark[2]));
  if (reading) {
    const [, sent, ack, edge] = reading;
    html += row("sent", exact(sent)) + row("acknowledged", exact(ack)) + row("in flight", exact(sent - ack) + " B");
    html += row("window", exact(edge - ack) + " B");
  }
  html += row("delivered", amount(rates.delivered[slot], rateUnit(rates.delivered[slot]))) + "</table>";
  tip.innerHTML = html;
  const x = mark ? toX(mark[0]) : at.x;
  const bottom = layout.rateTop + layout.lowerHeight;
  byId("pointer").innerHTML = '<path d="M' + x + " " + layout.top + "V" + bottom + '"/>' +
    (mark ? '<circle cx="' + x + '" cy="' + toY((mark[1] + mark[2]) / 2) + '" r="7"/>' : "");
  const frame = tip.parentElement.getBoundingClientRect();
  const px = last.clientX - frame.left, py = last.clientY - frame.top;
  tip.style.left = (px + tip.offsetWidth + 30 > frame.width ? px - tip.offsetWidth - 16 : px + 16) + "px";
  tip.style.top = Math.max(8, Math.min(py + 14, frame.height - tip.offsetHeight - 8)) + "px";
  tip.style.visibility = "visible";
}

let drag;
const area = byId("catch");
area.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  drag = { from: place(event), view, pan: event.shiftKey };
  area.setPointerCapture(event.pointerId);
});
area.addEventListener("pointermove", (event) => {
  last = event;
  if (drag) {
    const at = place(event);
    if (drag.pan) {
      const dx = ((drag.from.x - at.x) / layout.plotWidth) * (view.toMicros - view.fromMicros);
      const dy = ((at.y - drag.from.y) / layout.plotHeight) * (view.high - view.low);
      const { fromMicros, toMicros, low, high } = drag.view;
      look(fromMicros + dx, toMicros + dx, low + dy, high + dy);
      return;
    }
    box.setAttribute("x", Math.min(at.x, drag.from.x));
    box.setAttribute("y", Math.min(at.y, drag.from.y));
    box.setAttribute("width", Math.abs(at.x - drag.from.x));
    box.setAttribute("height", Math.abs(at.y - drag.from.y));
    box.setAttribute("visibility", "visible");
  }
  show();
});
area.addEventListener("pointerup", (event) => {
  const start = drag, at = place(event);
  drag = undefined;
  box.setAttribute("visibility", "hidden");
  if (!start || start.pan || Math.abs(at.x - start.from.x) < 6) return;
  const times = [at.timeMicros, start.from.timeMicros].sort((a, b) => a - b);
  const flat = Math.abs(at.y - start.from.y) < 12;
  const values = flat ? valuesBetween(times[0], times[1]) : [at.sequence, start.from.sequence].sort((a, b) => a - b);
  look(times[0], times[1], values[0], values[1]);
});
area.addEventListener("pointercancel", () => { drag = undefined; box.setAttribute("visibility", "hidden"); });
area.addEventListener("pointerleave", () => {
  last = undefined;
  tip.style.visibility = "hidden";
  byId("pointer").innerHTML = "";
});
area.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = place(event), factor = Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.004);
  const zoom = (center, edge) => center + (edge - center) * factor;
  last = event;
  look(zoom(at.timeMicros, view.fromMicros), zoom(at.timeMicros, view.toMicros),
    zoom(at.sequence, view.low), zoom(at.sequence, view.high));
}, { passive: false });
area.addEventListener("dblclick", () => look(whole.fromMicros, whole.toMicros, whole.low, whole.high));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") look(whole.fromMicros, whole.toMicros, whole.low, whole.high);
});
for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const hide = button.getAttribute("aria-pressed") === "true", id = button.dataset.layer;
    button.setAttribute("aria-pressed", String(!hide));
    byId("layer-" + id).style.display = hide ? "none" : "";
    if (hide) document.body.dataset["hide" + id] = "1"; else delete document.body.dataset["hide" + id];
  });
}
`;

/** The whole script for a page; `data` must be plain JSON data. */
export function plotScript(data: unknown): string {
  const shared = [...SCALE_FUNCTIONS, ...AXES_FUNCTIONS].map(String).join("\n");
  return `"use strict";\n{\nconst DATA = ${scriptJson(data)};\n${shared}\n${BODY}}\n`;
}

/** JSON that cannot end the script element it stands in. */
function scriptJson(data: unknown): string {
  return JSON.stringify(data).replaceAll("<", "\\u003c");
}

// The script of a plot page: values under the pointer, zooming, hiding layers. The page is whole without it.
// Read first: plot-axes.ts, whose functions the script shares; MDN "WheelEvent" and "viewBox".

import { AXES_FUNCTIONS } from "./plot-axes.ts";
import { SCALE_FUNCTIONS } from "./plot-scale.ts";

/** The body of the script; `DATA` is the object that plot-page.ts writes before it. */
const BODY = `
const byId = (id) => document.getElementById(id);
const { whole, events, readings, marks, resent, rates, grid } = DATA;
let layout = DATA.layout, view = { ...whole };
const plot = byId("plot"), tip = byId("tip"), box = byId("box"), area = byId("catch"), figure = tip.parentElement;
/** Were the sequence numbers chosen by hand? Otherwise they follow the times. */
let free = false;
/** The retransmission that was gone to; -1: none. */
let selected = -1;

function put(id, values) {
  for (const name of Object.keys(values)) byId(id).setAttribute(name, values[name]);
}

/** Fits the picture to the window: as wide as there is room, as high as leaves the time axis in sight. */
function fit() {
  const style = getComputedStyle(figure);
  const width = Math.round(figure.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
  if (width < 100) return;
  const above = plot.getBoundingClientRect().top + scrollY;
  layout = arrange(width, Math.round(innerHeight - above - 36), DATA.layout.panels);
  const { left, plotWidth, top, plotHeight } = layout;
  plot.setAttribute("viewBox", [0, 0, layout.width, layout.height].join(" "));
  put("frame-seq", { x: left, width: plotWidth, y: top, height: plotHeight });
  put("seq", { x: left, width: plotWidth, y: top, height: plotHeight });
  for (const panel of layout.panels) {
    put("frame-" + panel.id, { x: left, width: plotWidth, y: panel.top, height: panel.height });
    put(panel.id, { x: left, width: plotWidth, y: panel.top, height: panel.height });
    put("caption-" + panel.id, { x: left, y: panel.top - 9 });
  }
  put("catch", { x: left, width: plotWidth, y: top, height: bottomOf(layout) - top });
  draw();
}

let isDrawing = false;
/** Draws in the next frame, once, however many events ask for it. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => { isDrawing = false; drawNow(); show(); });
}

function drawNow() {
  const spanX = whole.toMicros - whole.fromMicros, spanY = whole.high - whole.low;
  const x = ((view.fromMicros - whole.fromMicros) / spanX) * grid;
  const width = ((view.toMicros - view.fromMicros) / spanX) * grid;
  const y = ((whole.high - view.high) / spanY) * grid, height = ((view.high - view.low) / spanY) * grid;
  byId("seq").setAttribute("viewBox", [x, y, width, height].join(" "));
  for (const { id } of layout.panels) byId(id).setAttribute("viewBox", [x, 0, width, grid].join(" "));
  byId("axes").innerHTML = axesSvg(layout, view);
  byId("events").innerHTML = eventsSvg(layout, view, events);
}

/** Shows these times; and these sequence numbers, or those in use between them. */
function look(fromMicros, toMicros, low, high) {
  const all = whole.toMicros - whole.fromMicros;
  const spanX = Math.max(all / 4000, Math.min(toMicros - fromMicros, all));
  const wanted = fromMicros + (toMicros - fromMicros - spanX) / 2;
  const x = Math.min(Math.max(wanted, whole.fromMicros), whole.toMicros - spanX);
  free = low !== undefined;
  if (!free) [low, high] = spanX === all ? [whole.low, whole.high] : valuesBetween(x, x + spanX);
  const spanY = Math.max((whole.high - whole.low) / 20000, Math.min(high - low, whole.high - whole.low));
  const y = Math.min(Math.max(low + (high - low - spanY) / 2, whole.low), whole.high - spanY);
  view = { fromMicros: x, toMicros: x + spanX, low: y, high: y + spanY };
  draw();
}

/** Zooms in time around a moment; what is shown of the sequence numbers stays if it was chosen by hand. */
function zoomTime(center, factor) {
  const from = center + (view.fromMicros - center) * factor, to = center + (view.toMicros - center) * factor;
  if (free) look(from, to, view.low, view.high); else look(from, to);
}

function zoomValues(center, factor) {
  look(view.fromMicros, view.toMicros, center + (view.low - center) * factor, center + (view.high - center) * factor);
}

function move(shareX, shareY) {
  const dx = shareX * (view.toMicros - view.fromMicros), dy = shareY * (view.high - view.low);
  if (free || shareY !== 0) look(view.fromMicros + dx, view.toMicros + dx, view.low + dy, view.high + dy);
  else look(view.fromMicros + dx, view.toMicros + dx);
}

const showAll = () => { selected = -1; look(whole.fromMicros, whole.toMicros); };

/** Goes to a retransmission, near enough to see it among its neighbours. */
function goTo(index) {
  if (resent.length === 0) return;
  selected = (index + resent.length) % resent.length;
  const [micros] = resent[selected];
  const span = Math.min(view.toMicros - view.fromMicros, (whole.toMicros - whole.fromMicros) / 12);
  last = undefined;
  look(micros - span / 2, micros + span / 2);
}

/** The next from where one looks, when none was gone to. */
function step(by) {
  if (selected >= 0) return goTo(selected + by);
  const middle = (view.fromMicros + view.toMicros) / 2, isWhole = view.toMicros - view.fromMicros >= whole.toMicros;
  const after = resent.findIndex(([micros]) => micros > middle);
  if (by > 0) goTo(isWhole || after < 0 ? 0 : after);
  else goTo(isWhole || after <= 0 ? -1 : after - 1);
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
  let low = readingAt(fromMicros)[2], high = readingAt(toMicros)[1];
  for (let i = indexAt(fromMicros); i < readings.length && readings[i][0] <= toMicros; i++) {
    low = Math.min(low, readings[i][2]);
    high = Math.max(high, readings[i][1]);
  }
  for (const [micros, start, end] of resent) {
    if (micros < fromMicros || micros > toMicros) continue;
    low = Math.min(low, start);
    high = Math.max(high, end);
  }
  const room = Math.max(1, high - low) * 0.08;
  return [low - room, high + room];
}

/** The first reading after a time. */
function indexAt(timeMicros) {
  let low = 0, high = readings.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (readings[middle][0] <= timeMicros) low = middle + 1; else high = middle;
  }
  return low;
}

const readingAt = (timeMicros) => readings[Math.max(0, indexAt(timeMicros) - 1)];

function markNear(at) {
  let best, nearest = 12 * 12;
  for (const list of [marks, resent]) for (const mark of list) {
    const dx = toX(mark[0]) - at.x;
    if (dx > 12 || dx < -12 || document.body.dataset["hide" + mark[3]]) continue;
    const dy = at.y - Math.min(Math.max(at.y, toY(mark[2])), toY(mark[1]));
    if (dx * dx + dy * dy < nearest) { nearest = dx * dx + dy * dy; best = mark; }
  }
  return best;
}

function show() {
  byId("place").textContent = resent.length === 0 ? "" :
    (selected < 0 ? "–" : String(selected + 1)) + " of " + exact(resent.length);
  const pointed = last ? place(last) : undefined;
  const mark = pointed ? (pointed.inside ? markNear(pointed) : undefined) : resent[selected];
  if (!pointed && !mark) return hide();
  const at = pointed || { x: toX(mark[0]), y: toY((mark[1] + mark[2]) / 2), timeMicros: mark[0] };
  const micros = mark ? mark[0] : at.timeMicros, reading = readingAt(micros);
  const row = (name, value) => "<tr><td>" + name + "</td><td>" + value + "</td></tr>";
  const slot = Math.min(rates.delivered.length - 1, Math.max(0, Math.floor(micros / rates.intervalMicros)));
  let html = mark ? "<p>" + mark[4] + "</p>" : "";
  html += "<table>" + row("time", timeOf(micros));
  if (mark) html += (mark[5] ? row("packet", mark[5]) : "") + row("sequence", exact(mark[1]) + " – " + exact(mark[2]));
  if (reading) {
    const [, sent, ack, edge, number] = reading;
    if (!mark) html += row("packet", number + (micros > reading[0] ? " was the last" : ""));
    html += row("sent", exact(sent)) + row("acknowledged", exact(ack)) + row("in flight", exact(sent - ack) + " B");
    html += row("window", exact(edge - ack) + " B");
  }
  html += row("delivered", amount(rates.delivered[slot], rateUnit(rates.delivered[slot]))) + "</table>";
  tip.innerHTML = html;
  const x = mark ? toX(mark[0]) : at.x;
  byId("pointer").innerHTML = '<path d="M' + x + " " + layout.top + "V" + bottomOf(layout) + '"/>' +
    (mark ? '<circle cx="' + x + '" cy="' + toY((mark[1] + mark[2]) / 2) + '" r="7"/>' : "");
  const onScreen = new DOMPoint(at.x, at.y).matrixTransform(plot.getScreenCTM());
  const frame = figure.getBoundingClientRect();
  const px = (last ? last.clientX : onScreen.x) - frame.left, py = (last ? last.clientY : onScreen.y) - frame.top;
  const right = px + tip.offsetWidth + 30 > frame.width ? px - tip.offsetWidth - 16 : px + 16;
  tip.style.left = Math.max(0, right) + "px";
  tip.style.top = Math.max(8, Math.min(py + 14, frame.height - tip.offsetHeight - 8)) + "px";
  tip.style.visibility = "visible";
}

function hide() {
  tip.style.visibility = "hidden";
  byId("pointer").innerHTML = "";
}

let drag;
area.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  drag = { from: place(event), view, pan: event.shiftKey, both: event.altKey || event.ctrlKey, free };
  area.setPointerCapture(event.pointerId);
});
area.addEventListener("pointermove", (event) => {
  last = event;
  if (drag && drag.pan) {
    const point = place(event);
    const dx = ((drag.from.x - point.x) / layout.plotWidth) * (view.toMicros - view.fromMicros);
    const dy = ((point.y - drag.from.y) / layout.plotHeight) * (view.high - view.low);
    const { fromMicros, toMicros, low, high } = drag.view;
    look(fromMicros + dx, toMicros + dx, low + dy, high + dy);
    return;
  }
  if (drag) {
    const point = place(event);
    const y = drag.both ? Math.min(point.y, drag.from.y) : layout.top;
    const height = drag.both ? Math.abs(point.y - drag.from.y) : layout.plotHeight;
    const x = Math.min(point.x, drag.from.x), width = Math.abs(point.x - drag.from.x);
    put("box", { x, width, y, height, visibility: "visible" });
  }
  draw();
});
area.addEventListener("pointerup", (event) => {
  const start = drag, point = place(event);
  drag = undefined;
  box.setAttribute("visibility", "hidden");
  if (!start || start.pan || Math.abs(point.x - start.from.x) < 6) return;
  selected = -1;
  const times = [point.timeMicros, start.from.timeMicros].sort((a, b) => a - b);
  const values = start.both ? [point.sequence, start.from.sequence].sort((a, b) => a - b) : [];
  look(times[0], times[1], values[0], values[1]);
});
area.addEventListener("pointercancel", () => { drag = undefined; box.setAttribute("visibility", "hidden"); });
area.addEventListener("pointerleave", () => { last = undefined; draw(); });
area.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = place(event), way = event.deltaY || event.deltaX;
  const factor = Math.exp(Math.max(-60, Math.min(60, way)) * 0.004);
  last = event;
  if (event.shiftKey) zoomValues(at.sequence, factor); else zoomTime(at.timeMicros, factor);
}, { passive: false });
area.addEventListener("dblclick", showAll);

const middleOf = (from, to) => (from + to) / 2;
const KEYS = {
  ArrowLeft: () => move(-0.15, 0), ArrowRight: () => move(0.15, 0),
  ArrowUp: () => move(0, 0.15), ArrowDown: () => move(0, -0.15),
  "+": () => zoomTime(middleOf(view.fromMicros, view.toMicros), 0.7), "=": () => KEYS["+"](),
  "-": () => zoomTime(middleOf(view.fromMicros, view.toMicros), 1 / 0.7),
  n: () => step(1), p: () => step(-1), Escape: showAll, Home: showAll,
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  // Outside the plot arrows scroll the page.
  const at = document.activeElement, isUpright = event.key === "ArrowUp" || event.key === "ArrowDown";
  if (event.key.startsWith("Arrow") && at !== figure && (isUpright || at !== document.body)) return;
  event.preventDefault();
  KEYS[event.key]();
});
for (const [id, key] of [["previous", "p"], ["next", "n"], ["in", "+"], ["out", "-"], ["all", "Escape"]]) {
  byId(id).addEventListener("click", () => KEYS[key]());
}
if (byId("list")) byId("list").addEventListener("click", (event) => {
  const index = event.target.dataset.resent;
  if (index === undefined) return;
  goTo(Number(index));
  figure.scrollIntoView({ block: "nearest" });
});
for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const hidden = button.getAttribute("aria-pressed") === "true", id = button.dataset.layer;
    button.setAttribute("aria-pressed", String(!hidden));
    byId("layer-" + id).style.display = hidden ? "none" : "";
    if (hidden) document.body.dataset["hide" + id] = "1"; else delete document.body.dataset["hide" + id];
  });
}
addEventListener("resize", fit);
fit();
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

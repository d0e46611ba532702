// The list of retransmissions below a plot: packet numbers as Wireshark has them, times, bytes.
// Read first: plot-sequence.ts; plot-script.ts, which goes to them.

import { escapeText } from "./plot-html.ts";
import { amount, bytesUnit } from "./plot-scale.ts";
import type { SentSegment, TimeSequence } from "./plot-sequence.ts";

/** Retransmissions that the page's script can go to. */
const RESENT_MAX = 20_000;
/** Retransmissions in the list. */
const LISTED_MAX = 1000;

/** The first retransmissions, as many as the page can hold. */
export function resentOf(sequence: TimeSequence): SentSegment[] {
  return sequence.segments.filter(({ kind }) => kind === "retransmission").slice(0, RESENT_MAX);
}

/** The list as HTML, folded; empty when nothing was sent again. */
export function listOfRetransmissions(sequence: TimeSequence): string {
  const all = sequence.totals.retransmissions;
  if (all === 0) return "";
  const listed = resentOf(sequence).slice(0, LISTED_MAX);
  const count = all === 1 ? "1 retransmission" : `${all.toLocaleString("en")} retransmissions`;
  const most = all > listed.length ? `, the first ${listed.length.toLocaleString("en")} of them` : "";
  const heads = ["packet", "time, s", "sequence numbers", "size", "what became of it"];
  return [
    `<details><summary>${count}${most}</summary>`,
    `<div class="list"><table id="list">`,
    `<thead><tr>${heads.map((head) => `<th>${head}</th>`).join("")}</tr></thead><tbody>`,
    ...listed.map(row),
    "</tbody></table></div></details>",
  ].join("\n");
}

function row({ number, timeMicros, start, end, lost, comments }: SentSegment, index: number): string {
  const bytes = end - start;
  const words = [lost ? "lost on the way" : "", ...comments].filter((text) => text !== "").join(" · ");
  const cells = [
    `<button type="button" data-resent="${index}">${number}</button>`,
    (timeMicros / 1e6).toFixed(6),
    `${start.toLocaleString("en")} – ${end.toLocaleString("en")}`,
    amount(bytes, bytesUnit(bytes)),
    escapeText(words),
  ];
  return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
}

// The style of a plot page: colours for light and for dark, told apart by colour-blind eyes too.
// Read first: the CSS Color Adjustment module, prefers-color-scheme; Okabe and Ito, "Color Universal Design".

export const PLOT_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --panel: #fbfcfd; --edge: #dfe3e8; --grid: #e9ecf0;
  --text: #1d2733; --soft: #66727f;
  --new: #2f6fd6; --ack: #12946c; --window: #c98a11; --band: rgba(201, 138, 17, .09);
  --again: #d92d20; --lost: #e8710a; --sack: #9a5bd0; --dsack: #d6278c; --late: #0f9bc4; --probe: #7a5a35;
  --closed: rgba(217, 45, 32, .10); --delivered: rgba(18, 148, 108, .22); --flight: rgba(47, 111, 214, .15);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10151b; --card: #171d25; --panel: #131920; --edge: #2b3541; --grid: #222b35;
    --text: #e4e9ef; --soft: #93a0ae;
    --new: #6ea8ff; --ack: #35c796; --window: #e0ab45; --band: rgba(224, 171, 69, .09);
    --again: #ff5a4f; --lost: #ff9d42; --sack: #bb8aec; --dsack: #ff6bb9; --late: #4cc3e6; --probe: #c9a77c;
    --closed: rgba(255, 90, 79, .14); --delivered: rgba(53, 199, 150, .22); --flight: rgba(110, 168, 255, .17);
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 16px 20px 24px; background: var(--page); color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1720px; margin: 0 auto; }
h1 { margin: 0 0 2px; font-size: 21px; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere; }
h1 span { color: var(--soft); font-weight: 400; padding: 0 .3em; }
.note { margin: 0 0 10px; color: var(--soft); overflow-wrap: anywhere; }
.truncated { margin: 0 0 10px; padding: 7px 12px; border-radius: 8px; background: var(--closed); font-weight: 600; }
dl { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 10px; }
dl div { background: var(--card); border: 1px solid var(--edge); border-radius: 9px; padding: 4px 12px 5px; }
dt { color: var(--soft); font-size: 12px; }
dd { margin: 0; font-size: 15px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
dd small { color: var(--soft); font-size: 12px; font-weight: 400; }
figure { position: relative; margin: 0; background: var(--card); border: 1px solid var(--edge); border-radius: 12px;
  padding: 10px 14px 4px; }
figure:focus-visible { outline: 2px solid var(--new); }
.tools { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 12px; }
.go { display: flex; align-items: center; gap: 4px; }
.go span { color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; padding-right: 4px; }
.go button { border: 1px solid var(--edge); border-radius: 6px; padding: 2px 9px; background: var(--panel);
  color: inherit; font: inherit; font-size: 13px; cursor: pointer; }
.go button:hover, #list button:hover { background: var(--grid); }
details { margin: 12px 0 0; background: var(--card); border: 1px solid var(--edge); border-radius: 12px;
  padding: 8px 14px; }
summary { cursor: pointer; font-weight: 600; } .list { max-height: 380px; overflow: auto; }
#list { border-collapse: collapse; margin-top: 8px; font-size: 13px; font-variant-numeric: tabular-nums; }
#list th { text-align: left; color: var(--soft); font-weight: 500; } #list td, #list th { padding: 1px 18px 1px 0; }
#list td { white-space: nowrap; } #list td:last-child { white-space: normal; }
#list button { border: 0; border-radius: 5px; padding: 1px 7px; background: none; color: var(--new); font: inherit;
  cursor: pointer; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 6px; margin: 0 0 6px; padding: 0 4px; }
.legend button { display: inline-flex; align-items: center; gap: 7px; border: 0; border-radius: 6px; padding: 3px 8px;
  background: none; color: inherit; font: inherit; font-size: 13px; cursor: pointer; }
.legend button:hover { background: var(--grid); }
.legend button[aria-pressed="false"] { opacity: .4; text-decoration: line-through; }
.legend i { width: 14px; height: 10px; border-radius: 3px; }
.legend i.line { height: 3px; border-radius: 2px; }
.legend i.dot { width: 10px; border-radius: 50%; }
.legend i.ring { width: 10px; border-radius: 50%; border: 2.5px solid var(--lost); background: none; }
.legend small { color: var(--soft); font-variant-numeric: tabular-nums; }
#plot { display: block; width: 100%; height: auto; user-select: none; touch-action: pan-y; }
#plot text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
#plot text.unit { font-weight: 600; }
#plot text.event { font-size: 11px; font-weight: 600; fill: var(--text); }
#plot text.event.rst { fill: var(--again); }
.panel { fill: var(--panel); stroke: var(--edge); }
.grid { stroke: var(--grid); fill: none; }
path.event { stroke: var(--soft); stroke-dasharray: 2 4; fill: none; opacity: .6; }
path.event.rst { stroke: var(--again); }
#plot svg path { vector-effect: non-scaling-stroke; }
.bar { fill: none; stroke-width: 2; stroke-linecap: round; }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.dot { fill: none; stroke-width: 6; stroke-linecap: round; }
.bar.new { stroke: var(--new); } .line.ack { stroke: var(--ack); } .line.window { stroke: var(--window); }
.band { fill: var(--band); } .closed { fill: var(--closed); }
.bar.sack { stroke: var(--sack); opacity: .38; } .bar.late { stroke: var(--late); }
.bar.again, .dot.again { stroke: var(--again); } .bar.dsack, .dot.dsack { stroke: var(--dsack); }
.bar.probe, .dot.probe { stroke: var(--probe); }
.dot.lost { stroke: var(--lost); stroke-width: 9; } .hole { stroke: var(--panel);
  fill: none; stroke-width: 4.5; stroke-linecap: round; }
.area.flight { fill: var(--flight); } .line.flight { stroke: var(--new); stroke-width: 1.2; }
.area.delivered { fill: var(--delivered); } .line.delivered { stroke: var(--ack); stroke-width: 1.2; }
.line.sentrate { stroke: var(--new); stroke-width: 1; opacity: .8; }
.line.cwnd { stroke: var(--new); stroke-width: 1.6; } .line.ssthresh { stroke: var(--again); stroke-dasharray: 5 4; }
.line.infoflight { stroke: var(--soft); stroke-width: .8; } .line.rtt { stroke: var(--sack); }
#catch { pointer-events: all; cursor: crosshair; }
.box { fill: var(--new); fill-opacity: .12; stroke: var(--new); }
#pointer path { stroke: var(--soft); fill: none; } #pointer circle { fill: none; stroke: var(--text); stroke-width: 2; }
#tip { position: absolute; pointer-events: none; visibility: hidden; min-width: 170px; padding: 8px 11px;
  background: var(--card); border: 1px solid var(--edge); border-radius: 8px; font-size: 12.5px;
  box-shadow: 0 4px 18px rgba(0, 0, 0, .16); }
#tip table { border-collapse: collapse; } #tip td { padding: 0 0 0 14px; text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
#tip td:first-child { padding: 0; text-align: left; color: var(--soft); }
#tip p { margin: 0 0 4px; max-width: 300px; font-weight: 600; }
.hint { margin: 2px 4px 2px; color: var(--soft); font-size: 12px; text-align: right; }
@media (max-width: 640px) {
  body { padding: 10px 8px 16px; } h1 { font-size: 17px; } figure { padding: 8px 6px 4px; border-radius: 8px; }
  dl { gap: 5px; } dl div { padding: 2px 8px 3px; } dt { font-size: 11px; } dd { font-size: 13px; }
  .legend button { padding: 2px 5px; font-size: 12px; gap: 5px; } .hint { text-align: left; }
}
@media print { .hint, #tip { display: none; } body { padding: 0; } }
`;

// Tables of text: aligned columns, numbers to the right, as wide as they look on a terminal.
// Read first: Unicode Standard Annex 11 (East Asian Width) for how wide a character looks.

import { formatRatio } from "./format.ts";

/** A column. */
export interface Column {
  title: string;
  /** Default: "right" if every cell is a number, a ratio or empty, otherwise "left". */
  align?: "left" | "right";
}

/** How many times one figure is another; printed as "8.1x" and coloured by whether it reaches `least`. */
export interface RatioCell {
  ratio: number;
  /** What it should at least be; without it the ratio has no colour. */
  least?: number;
}

/** Text, a number with its unit ("12.3 MB/s" as value and unit, aligned apart), a ratio, or nothing. */
export type Cell = string | number | { value: string | number; unit: string } | RatioCell | undefined;

export interface TableOptions {
  /** Default false. */
  color?: boolean;
  /** Blanks before each line; default 0. */
  indent?: number;
}

const BOLD = "\x1b[1m";
const DIM = "\x1b[2m";
const GREEN = "\x1b[32m";
const RED = "\x1b[31m";
const RESET = "\x1b[0m";
const ANSI = /\x1b\[[0-9;?]*[A-Za-z]/g;

/** A table as text, each line ended. Rows with fewer cells than columns are filled up. */
export function formatTable(
  columns: readonly (string | Column)[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
): string {
  const { color = false, indent = 0 } = options;
  const heads = columns.map((column) => (typeof column === "string" ? { title: column } : column));
  const texts = heads.map((_, index) => cellTexts(rows.map((row) => row[index])));
  const widths = heads.map((head, index) => Math.max(textWidth(head.title), ...texts[index]!.map(textWidth)));
  const right = heads.map((head, index) => (head.align ?? alignment(rows.map((row) => row[index]))) === "right");
  const line = (cells: readonly string[], style: (cell: string, index: number) => string): string => {
    const padded = cells.map((cell, index) => {
      const space = " ".repeat(Math.max(0, widths[index]! - textWidth(cell)));
      const last = index === cells.length - 1;
      return right[index] ? space + style(cell, index) : style(cell, index) + (last ? "" : space);
    });
    return `${" ".repeat(indent)}${padded.join("  ")}`.trimEnd();
  };
  const paint = (text: string, code: string): string => (color && text !== "" ? `${code}${text}${RESET}` : text);
  const lines = [
    line(
      heads.map((head) => head.title),
      (cell) => paint(cell, BOLD),
    ),
    paint(
      line(
        widths.map((width) => "─".repeat(width)),
        (cell) => cell,
      ),
      DIM,
    ),
    ...rows.map((row, at) =>
      line(
        heads.map((_, index) => texts[index]![at]!),
        (cell, index) => paint(cell, ratioColor(row[index])),
      ),
    ),
  ];
  return lines.map((each) => `${each}\n`).join("");
}

/** Columns that text takes on a terminal: none for marks and escape sequences, two for wide characters. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text.replaceAll(ANSI, "")) width += characterWidth(character.codePointAt(0)!);
  return width;
}

/** The beginning of a text that is at most `columns` wide; "…" at its end where something was cut off. */
export function clip(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let clipped = "";
  let width = 0;
  for (const character of text) {
    width += characterWidth(character.codePointAt(0)!);
    if (width > columns - 1) break;
    clipped += character;
  }
  return columns > 0 ? `${clipped}…` : "";
}

/** Ranges that are two columns wide (UAX 11: W and F), and the emoji. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x231a, 0x231b],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
];

function characterWidth(code: number): number {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return 0;
  if (code < 0x300) return 1;
  // Combining marks, joiners and variation selectors lie on the character before.
  if (/^[\p{Mn}\p{Me}\p{Cf}]$/u.test(String.fromCodePoint(code))) return 0;
  return WIDE.some(([first, last]) => code >= first && code <= last) ? 2 : 1;
}

/** The texts of a column's cells; units are set apart so that the numbers before them end in one place. */
function cellTexts(cells: readonly Cell[]): string[] {
  const units = cells.map((cell) => (typeof cell === "object" && "unit" in cell ? cell.unit : ""));
  const unitWidth = Math.max(0, ...units.map(textWidth));
  return cells.map((cell, index) => {
    if (cell === undefined) return "";
    if (typeof cell !== "object") return String(cell);
    if ("ratio" in cell) return formatRatio(cell.ratio);
    return `${cell.value} ${units[index]}${" ".repeat(unitWidth - textWidth(units[index]!))}`;
  });
}

function alignment(cells: readonly Cell[]): "left" | "right" {
  const text = cells.some((cell) => typeof cell === "string" && cell !== "" && !/^[-+]?[\d.,]+ ?[%x]?$/.test(cell));
  return text || cells.length === 0 ? "left" : "right";
}

function ratioColor(cell: Cell): string {
  if (typeof cell !== "object" || !("ratio" in cell) || cell.least === undefined) return "";
  return cell.ratio >= cell.least ? GREEN : RED;
}

// -D NAME=VALUE: puts values in the place of symbols before a script is read, and remembers where things stood.
// Read first: lexer.ts, which reads the outcome.

/** A text in which symbols have been replaced. */
export interface Expansion {
  text: string;
  /** The offset in the original text of what stands at an offset of this one. */
  origin(offset: number): number;
}

/** A run of the new text: from `start` on, offsets differ from the original's by `shift`, unless `fixed`. */
interface Run {
  start: number;
  original: number;
  fixed: boolean;
}

const WORD = /[A-Za-z0-9_]+/y;

/**
 * Replaces whole words that are symbols; strings, comments, shell commands and code stay as they are.
 * @param from offset to start at: what stands before is kept
 */
export function expandSymbols(text: string, from: number, symbols: ReadonlyMap<string, string>): Expansion {
  if (symbols.size === 0) return { text, origin: (offset) => offset };
  const runs: Run[] = [{ start: 0, original: 0, fixed: false }];
  const pieces: string[] = [];
  let length = 0;
  let kept = 0;
  for (let at = from; at < text.length;) {
    WORD.lastIndex = at;
    const word = WORD.exec(text)?.[0];
    if (word === undefined) {
      at = afterOpaque(text, at);
      continue;
    }
    const value = symbols.get(word);
    if (value !== undefined) {
      pieces.push(text.slice(kept, at), value);
      length += at - kept;
      runs.push({ start: length, original: at, fixed: true });
      length += value.length;
      kept = at + word.length;
      runs.push({ start: length, original: kept, fixed: false });
    }
    at += word.length;
  }
  pieces.push(text.slice(kept));
  return { text: pieces.join(""), origin: (offset) => originOf(runs, offset) };
}

/** The offset behind the string, comment, command or code that opens at `at`, or behind one character. */
function afterOpaque(text: string, at: number): number {
  const two = text.slice(at, at + 2);
  if (two === "//") return endOf(text, "\n", at + 2);
  if (two === "/*") return endOf(text, "*/", at + 2);
  if (two === "%{") return endOf(text, "}%", at + 2);
  const quote = two[0];
  if (quote === "#") return endOf(text, "\n", at + 1);
  if (quote !== '"' && quote !== "`") return at + 1;
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === quote || (quote === '"' && text[i] === "\n")) return i + 1;
  }
  return text.length;
}

function endOf(text: string, close: string, from: number): number {
  const at = text.indexOf(close, from);
  return at < 0 ? text.length : at + close.length;
}

function originOf(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (runs[middle]!.start <= offset) low = middle;
    else high = middle - 1;
  }
  const run = runs[low]!;
  return run.fixed ? run.original : run.original + (offset - run.start);
}

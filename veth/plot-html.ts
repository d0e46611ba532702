// Text in the HTML of a plot page.

const NAMES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text as HTML that shows it, in elements and in attributes with double quotes. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (character) => NAMES[character] as string);
}

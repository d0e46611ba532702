// The packets of a script beside those that came: what a person looks at when it failed.
// Read first: format.ts; runner.ts.

import { formatMicros } from "./clock.ts";
import { formatPacket } from "./format.ts";
import type { Runner } from "./runner.ts";
import type { PacketEvent, Script } from "./script.ts";

export interface Listing {
  /** The packets of the script, a line each, as it writes them. */
  script: readonly string[];
  /** Those that crossed the wire, with the script's time. */
  wire: readonly string[];
}

/** Both lists. */
export function listing(script: Script | undefined, runner: Runner | undefined): Listing {
  const packets = (script?.events ?? []).filter((event): event is PacketEvent => event.type === "packet");
  const wire = (runner?.seen ?? []).map(({ packet, connection }) => {
    const sign = packet.direction === "in" ? "<" : ">";
    const time = formatMicros((runner as Runner).toScript(packet.micros));
    return `${time} ${sign} ${formatPacket(packet, connection)}`;
  });
  return { script: packets.map((event) => `${event.line}: ${oneLine(event.text)}`), wire };
}

/** The text of an event, its line breaks and runs of blanks as one blank. */
function oneLine(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}

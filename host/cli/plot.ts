// `oribi plot`: the time-sequence plot of a TCP connection in a pcapng file, as a page for a browser.
// Read first: veth/plot.ts.

import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { PcapngError, readPcapng } from "../../veth/pcapng.ts";
import { connections, plotPage, timeSequence } from "../../veth/plot.ts";
import type { Connection, Frame } from "../../veth/plot.ts";
import { formatAddress } from "../posix/address.ts";
import { defineCommand } from "./command.ts";
import { CliError } from "./errors.ts";
import { formatBytes, formatCount, formatMicros } from "./format.ts";
import type { Output } from "./io.ts";
import { formatTable } from "./table.ts";
import { count, oneOf, readableFile, word, writableFile } from "./units.ts";

const options = {
  connection: { form: "N", description: "its number in the list (default: that with most bytes)", parse: count(0) },
  side: {
    form: "END",
    description: "the end whose data is shown, client or server (default: the one that sent more)",
    parse: oneOf("client", "server"),
  },
  at: { form: "NAME", description: "the interface to look from (default: the one next to that end)", parse: word },
  out: { form: "FILE", description: "the page (default: beside the capture, as .html)", parse: writableFile },
  list: { description: "list the connections of the capture and draw nothing" },
  json: { description: "print the list, or the totals of what was drawn, as JSON" },
};

export const command = defineCommand({
  name: "plot",
  summary: "draw a TCP connection out of a pcapng file",
  usage:
    "Reads a capture, of Oribi or of any program that writes pcapng, and draws the sequence numbers of one TCP " +
    "connection against time: what was sent, acknowledged, selectively acknowledged, sent again, lost, with the " +
    "receiver's window, the bytes in flight and the rates. The page needs nothing else; packets have Wireshark's " +
    "numbers.",
  options,
  operands: ["FILE"],
  examples: [
    ["oribi plot run.pcapng --list", "which connections there are"],
    ["oribi plot run.pcapng --connection 3 --side server", "one of them, in run.html"],
  ],
  run({ options: given, operands }, { stdout }) {
    const [name] = operands;
    if (name === undefined) throw new CliError("no capture is named", { expected: "a pcapng file" });
    const frames = framesOf(readableFile(name), name);
    if (given.list) {
      const found = connections(frames);
      stdout.write(given.json ? `${JSON.stringify(found, null, 2)}\n` : listText(found, stdout));
      return Promise.resolve(0);
    }
    const out = given.out ?? writableFile(`${name.replace(/\.pcapng$/i, "")}.html`);
    const { connection, side, at } = given;
    const sequence = attempt(() =>
      timeSequence(frames, {
        ...(connection === undefined ? {} : { connection }),
        ...(side === undefined ? {} : { side }),
        ...(at === undefined ? {} : { port: at }),
      }),
    );
    writeFileSync(out, plotPage(sequence, { note: basename(name) }));
    const { bytes, retransmissions, packets } = sequence.totals;
    const resent = `${formatCount(retransmissions)} sent again`;
    const figures = `${formatBytes(bytes)}, ${formatCount(packets)} packets, ${resent}`;
    stdout.write(
      given.json ? `${JSON.stringify({ out, totals: sequence.totals }, null, 2)}\n` : `${out}: ${figures}\n`,
    );
    return Promise.resolve(0);
  },
});

function framesOf(path: string, name: string): Frame[] {
  try {
    return [...readPcapng(readFileSync(path))];
  } catch (error) {
    if (!(error instanceof PcapngError)) throw error;
    throw new CliError(`"${name}" cannot be read: ${error.message}`, {
      expected: "a whole pcapng file",
      hint: "a pcap file becomes one with: editcap -F pcapng OLD NEW",
      cause: error,
    });
  }
}

function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CliError(error.message, { hint: "see: oribi plot FILE --list", cause: error });
  }
}

function listText(found: readonly Connection[], output: Output): string {
  const heads = ["number", "client", "server", "from client", "from server", "sent again", "took", "ended"];
  const end = ({ address, port }: Connection["client"]): string => `${formatAddress(address)}:${port}`;
  const rows = found.map((each) => [
    String(each.index),
    end(each.client),
    end(each.server),
    formatBytes(each.bytesFromClient),
    formatBytes(each.bytesFromServer),
    formatCount(each.retransmissions),
    formatMicros(each.durationMicros),
    each.end,
  ]);
  return found.length === 0 ? "no TCP connection\n" : formatTable(heads, rows, { color: output.color });
}

// A scenario in words: what a person wants to know about a seed before reading its capture.

import type { LinkOptions } from "../../veth/index.ts";
import type { ClockPlan, ConnectionPlan, EndPlan, Scenario } from "./scenario.ts";

/** The lines that tell about a scenario. */
export function describeScenario(scenario: Scenario): string[] {
  const { clock, crowd, cuts } = scenario;
  const lines = [`clock: ${describeClock(clock)}`, `applications learn what is ready by: ${scenario.drive}`];
  if (crowd !== undefined) lines.push(`one listener for all: ${fields(crowd)}`);
  scenario.hosts.forEach(({ stack: _stack, sysctl = {}, offloads = {}, ...rest }, i) => {
    const host = "ab".charAt(i);
    const { toWire, toHost } = scenario.links[i as 0 | 1];
    lines.push(
      `host ${host}: ${fields(rest)}, offloads ${fields(offloads) || "none"}`,
      `  sysctl ${fields(sysctl, true)}`,
      `  to the wire ${describeLink(toWire)}`,
      `  to the host ${describeLink(toHost)}`,
    );
  });
  for (const { host, atMicros, micros } of cuts) {
    lines.push(`the wire of host ${"ab".charAt(host)} is cut after ${seconds(atMicros)} for ${seconds(micros)}`);
  }
  scenario.connections.forEach((plan, i) => lines.push(...describeConnection(plan, i)));
  return lines;
}

function describeClock(clock: ClockPlan): string {
  if (clock.kind === "time") return clock.startMicros === 0 ? "starts at 0" : `starts at ${seconds(clock.startMicros)}`;
  const whose = clock.end === 0 ? "client" : "server";
  const distance = clock.kind === "sequence" ? `${clock.distance} bytes` : `${clock.distance} ms`;
  return `the ${clock.kind} of the first connection's ${whose} wrap after ${distance}`;
}

function describeLink({ buffers: _buffers, ...rules }: LinkOptions): string {
  return fields(rules) || "passes everything";
}

function describeConnection(plan: ConnectionPlan, index: number): string[] {
  const [from, to] = plan.client === 0 ? ["a", "b"] : ["b", "a"];
  const { abort } = plan;
  const lines = [
    `connection ${index}: ${from}:${plan.clientPort} to ${to}:${plan.serverPort} after ${seconds(plan.openMicros)}`,
    `  client ${describeEnd(plan.ends[0])}`,
    `  server ${describeEnd(plan.ends[1])}`,
  ];
  if (abort !== undefined) {
    const when = `after ${abort.afterBytes} bytes or ${seconds(abort.afterMicros)}`;
    lines.push(`  the ${abort.end === 0 ? "client" : "server"} breaks it off by "${abort.how}" ${when}`);
  }
  return lines;
}

function describeEnd({ offset: _offset, bytes, order, ending, options, ...rest }: EndPlan): string {
  const how = fields(rest);
  const set = fields(options, true);
  return `sends ${bytes} bytes, ends ${order} by ${ending}; ${how}${set === "" ? "" : `; ${set}`}`;
}

/** Names and values; what is off is left out unless `all`. */
function fields(object: object, all = false): string {
  const shown = Object.entries(object).filter(
    ([, value]) => all || (value !== 0 && value !== false && value !== Infinity),
  );
  return shown.map(([name, value]) => `${name} ${show(value)}`).join(", ");
}

function show(value: unknown): string {
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return typeof value === "object" && value !== null ? `(${fields(value)})` : String(value);
}

function seconds(micros: number): string {
  return `${micros / 1e6} s`;
}

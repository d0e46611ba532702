// Commands about the network: ip(8), tc(8), ifconfig(8), ethtool(8).
// Read first: ip-route(8), ip-tcp_metrics(8), tc-pfifo(8); effects.ts.

import type { LinkEffect, RouteEffect, ShellEffect, Status } from "./effects.ts";

type Refuse = (why: string) => Status;
type Metric = (effect: RouteEffect, word: string, locked: boolean) => void;

const MICROS: Record<string, number> = {
  us: 1,
  usecs: 1,
  usec: 1,
  ms: 1000,
  msec: 1000,
  msecs: 1000,
  s: 1e6,
  "": 1000,
};
const ROUTE_ACTIONS = ["add", "change", "replace", "append", "del", "delete"] as const;
const SHOWS = new Set(["show", "list", "ls", "get", "monitor", "save"]);
/** Words of a route that take a value and say where it leads: there is one interface. */
const ROUTE_SKIPPED = new Set(
  "via dev proto scope src table metric preference tos dsfield type nexthop weight pref encap realms expires".split(
    " ",
  ),
);

/** Queueing disciplines that change what comes when, or whether. */
const SHAPES = new Set(
  "netem tbf htb hfsc cbq cake etf taprio red gred choke pie fq_pie codel policer plug".split(" "),
);

const METRICS: Readonly<Record<string, Metric>> = {
  initcwnd: (effect, word) => void (effect.initcwnd = Number(word)),
  initrwnd: (effect, word) => void (effect.initrwnd = Number(word)),
  advmss: (effect, word) => void (effect.advmss = Number(word)),
  cwnd: (effect, word) => void (effect.cwnd = Number(word)),
  ssthresh: (effect, word) => void (effect.ssthresh = Number(word)),
  window: (effect, word) => void (effect.window = Number(word)),
  reordering: (effect, word) => void (effect.reordering = Number(word)),
  hoplimit: (effect, word) => void (effect.hoplimit = Number(word)),
  quickack: (effect, word) => void (effect.quickack = word !== "0"),
  fastopen_no_cookie: (effect, word) => void (effect.fastopenNoCookie = word !== "0"),
  rto_min: (effect, word) => void (effect.rtoMinMicros = microsOf(word)),
  rtt: (effect, word) => void (effect.rttMicros = microsOf(word)),
  rttvar: (effect, word) => void (effect.rttvarMicros = microsOf(word)),
  congctl: (effect, word) => void (effect.congestionControl = word),
  features: (effect, word) => void (effect.ecn = word.split(",").includes("ecn")),
  mtu: (effect, word, locked) => {
    effect.mtu = Number(word);
    if (locked) effect.mtuLocked = true;
  },
};

/** Microseconds of `5ms`, `200us`, `1s`; a number alone counts milliseconds. NaN for anything else. */
export function microsOf(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?|\.\d+)([a-z]*)$/.exec(text) ?? [];
  return Math.round(Number(number ?? NaN) * (MICROS[unit] ?? NaN));
}

export function runIp(words: readonly string[], effects: ShellEffect[], refuse: Refuse): Status {
  const flags = words.slice(1).filter((word) => word.startsWith("-"));
  const [object = "", action = "show", ...rest] = words.slice(1).filter((word) => !word.startsWith("-"));
  const ignored = (): Status => {
    effects.push({ kind: "ignored", what: words.join(" ") });
    return 0;
  };
  const noEffect = (): Status => {
    effects.push({ kind: "no-effect", what: words.join(" ") });
    return 0;
  };
  if (flags.some((flag) => flag === "-6" || flag.includes("inet6"))) return ignored();
  if (/^(?:tcp_?metrics|tcpm\w*)$/.test(object)) {
    if (/^(?:flush|del|delete|fl|f)$/.test(action)) effects.push({ kind: "flush-metrics" });
    else return ignored();
    return 0;
  }
  if (/^(?:r|ro|rou|rout|route)$/.test(object)) {
    if (action === "flush" && rest[0] === "cache") effects.push({ kind: "flush-metrics" });
    else if (SHOWS.has(action)) return ignored();
    else return runRoute(action, rest, effects, refuse);
    return 0;
  }
  if (/^(?:l|li|lin|link)$/.test(object)) {
    if (SHOWS.has(action)) return ignored();
    return action === "set" ? runLink(rest, effects, refuse) : noEffect();
  }
  if (SHOWS.has(action)) return ignored();
  // A further address would be one to bind and to answer for; other tables and worlds have nothing to do with a stack.
  if (!/^a(?:d|dd|ddr|ddress)?$/.test(object) || !/^(?:a|add|change|replace)$/.test(action)) return noEffect();
  return refuse(`"ip ${object}" is not interpreted: routes' metrics, links and tcp_metrics are`);
}

function runRoute(action: string, words: readonly string[], effects: ShellEffect[], refuse: Refuse): Status {
  const known = ROUTE_ACTIONS.find((name) => name === action || (action.length > 2 && name.startsWith(action)));
  if (known === undefined) return refuse(`"ip route ${action}" is not interpreted`);
  const effect: RouteEffect = { kind: "route", action: known === "delete" ? "del" : known, destination: "" };
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const metric = Object.hasOwn(METRICS, word) ? METRICS[word] : undefined;
    if (metric !== undefined) {
      const locked = words[i + 1] === "lock";
      i += locked ? 2 : 1;
      metric(effect, words[i] ?? "", locked);
    } else if (ROUTE_SKIPPED.has(word)) i++;
    else if (word !== "onlink" && word !== "to" && word !== "unicast") effect.destination ||= word;
  }
  const wrong = Object.entries(effect).find(([, value]) => Number.isNaN(value));
  if (wrong !== undefined) return refuse(`${wrong[0]} needs a number`);
  effects.push(effect);
  return 0;
}

function runLink(words: readonly string[], effects: ShellEffect[], refuse: Refuse): Status {
  const effect: LinkEffect = { kind: "link", device: "" };
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "mtu") effect.mtu = Number(words[++i]);
    else if (word === "up" || word === "down") effect.up = word === "up";
    else if (word === "dev") effect.device = words[++i] ?? "";
    else if (word === "txqueuelen" || word === "qlen" || word === "address") i++;
    else if (i === 0) effect.device = word;
    else {
      effects.push({ kind: "no-effect", what: `ip link set ${words.join(" ")}` });
      break;
    }
  }
  return link(effect, effects, refuse);
}

function link(effect: LinkEffect, effects: ShellEffect[], refuse: Refuse): Status {
  if (effect.mtu !== undefined && !Number.isInteger(effect.mtu)) return refuse("mtu needs a number of bytes");
  effects.push(effect);
  return 0;
}

/** `ifconfig tun0 mtu 1200`, `ifconfig tun0 down`. */
export function runIfconfig(words: readonly string[], effects: ShellEffect[], refuse: Refuse): Status {
  const [, device = "", ...rest] = words;
  if (rest.length === 0) {
    effects.push({ kind: "ignored", what: words.join(" ") });
    return 0;
  }
  const effect: LinkEffect = { kind: "link", device };
  for (let i = 0; i < rest.length; i++) {
    if (rest[i] === "mtu") effect.mtu = Number(rest[++i]);
    else if (rest[i] === "up" || rest[i] === "down") effect.up = rest[i] === "up";
    else return refuse(`"ifconfig ... ${rest[i]}" is not interpreted: mtu, up and down are`);
  }
  return link(effect, effects, refuse);
}

/** tc(8): a first-in-first-out queue with a limit means something; queues that only order frames do not. */
export function runTc(words: readonly string[], effects: ShellEffect[], refuse: Refuse): Status {
  const [object = "", action = "show", ...rest] = words.slice(1).filter((word) => !/^-\w/.test(word));
  const noEffect = (): Status => {
    effects.push({ kind: "no-effect", what: words.join(" ") });
    return 0;
  };
  if (!/^(?:qdisc|qd)$/.test(object)) return noEffect();
  if (SHOWS.has(action)) {
    effects.push({ kind: "ignored", what: words.join(" ") });
    return 0;
  }
  if (/^del(?:ete)?$/.test(action)) {
    effects.push({ kind: "qdisc-limit", limit: undefined });
    return 0;
  }
  const discipline = rest.find((word) => /^(?:[pb]fifo|pfifo_fast|pfifo_head_drop|fq|fq_codel|noqueue|mq)$/.test(word));
  if (discipline === undefined) {
    // What delays, drops or limits the rate would be seen; what orders, marks or counts is not.
    if (rest.some((word) => SHAPES.has(word))) return refuse("of queueing disciplines, only fifos are interpreted");
    return noEffect();
  }
  const at = rest.indexOf("limit");
  const limit = at < 0 ? undefined : Number.parseInt(rest[at + 1] ?? "", 10);
  if (Number.isNaN(limit)) return refuse("limit needs a number");
  if (limit !== undefined && discipline === "bfifo" && limit > 0) return refuse("a limit in bytes is not interpreted");
  effects.push({ kind: "qdisc-limit", limit });
  return 0;
}

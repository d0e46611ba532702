// Options of NICs, bridges and links: units, defaults, and errors that say what was wrong and what was expected.

import { expect } from "chai";
import {
  BRIDGE_DEFAULTS,
  CAPTURE_DEFAULTS,
  Capture,
  LINK_DEFAULTS,
  NIC_DEFAULTS,
  OFFLOAD_DEFAULTS,
  OptionError,
} from "../veth/index.ts";
import { parseDuration, parseProbability, parseRate, parseSize } from "../veth/options.ts";
import { Lab } from "./support/nics.ts";

describe("option units", () => {
  const cases: [parse: (value: string | number) => number, given: string | number, want: number][] = [
    [(v) => parseDuration("d", v), "20ms", 20000],
    [(v) => parseDuration("d", v), "300us", 300],
    [(v) => parseDuration("d", v), "1.5 s", 1.5e6],
    [(v) => parseDuration("d", v), "2min", 120e6],
    [(v) => parseDuration("d", v), 12.5, 12.5],
    [(v) => parseProbability("p", v), "1%", 0.01],
    [(v) => parseProbability("p", v), "0.25", 0.25],
    [(v) => parseProbability("p", v), 1, 1],
    [(v) => parseRate("r", v), "10Mbit", 10e6],
    [(v) => parseRate("r", v), "1.5gbit", 1.5e9],
    [(v) => parseRate("r", v), "64kbit/s", 64000],
    [(v) => parseRate("r", v), "10Mbps", 10e6],
    [(v) => parseRate("r", v), "8MB/s", 64e6],
    [(v) => parseRate("r", v), "0", 0],
    [(v) => parseRate("r", v), 8, 8],
    [(v) => parseSize("s", v), "64KiB", 65536],
    [(v) => parseSize("s", v), "1MB", 1e6],
    [(v) => parseSize("s", v), 1500, 1500],
  ];
  for (const [parse, given, want] of cases) {
    it(`${JSON.stringify(given)} is ${want}`, () => expect(parse(given)).to.equal(want));
  }

  const wrong: [parse: () => number, message: string][] = [
    [
      () => parseDuration("delay", "20 parsecs"),
      'The option "delay" must be a number (microseconds), or a string with a duration with its unit',
    ],
    [() => parseDuration("delay", "20"), 'not "20": did you mean 20ms?'],
    [() => parseDuration("delay", -1), "not -1."],
    [() => parseDuration("delay", Infinity), "not Infinity."],
    [() => parseProbability("loss", "150%"), 'a share from 0% to 100%, such as 1% or 0.01, not "150%".'],
    [() => parseProbability("loss", "1"), 'not "1": for 1 per cent write 1%, for all of them 100%'],
    [() => parseProbability("loss", "5"), 'not "5": for 5 per cent write 5%'],
    [() => parseProbability("loss", 1.5), "not 1.5."],
    [() => parseProbability("loss", NaN), "not NaN."],
    [() => parseRate("rate", "fast"), 'not "fast".'],
    [() => parseRate("rate", "10"), 'not "10": did you mean 10Mbit?'],
    [() => parseRate("rate", "1mb/s"), 'not "1mb/s".'],
    [() => parseSize("size", "1 lightyear"), 'The option "size" must be a number (bytes), or a string with a size'],
    [() => parseSize("size", "64k"), "64K: write 64KB (thousands) or 64KiB (1,024s)"],
  ];
  for (const [parse, message] of wrong) {
    it(`refuses: ${message}`, () =>
      expect(parse).to.throw(OptionError, message).with.property("code", "ERR_ORIBI_OPTION"));
  }
});

describe("NIC options", () => {
  const lab = new Lab();

  it("has defaults that nobody can change", () => {
    for (const defaults of [NIC_DEFAULTS, OFFLOAD_DEFAULTS, LINK_DEFAULTS, BRIDGE_DEFAULTS, CAPTURE_DEFAULTS]) {
      expect(Object.isFrozen(defaults)).to.be.true;
    }
    const nic = lab.nic({ mtu: undefined });
    expect([nic.mtu, nic.queues, nic.ringSize, nic.flowControl, nic.up]).to.deep.equal([1500, 1, 1024, true, true]);
  });

  it("numbers ports in turn, and makes their addresses from the numbers", () => {
    const fresh = new Lab();
    const nics = [fresh.nic(), fresh.nic(), fresh.nic({ index: 300 }), fresh.nic()];
    expect(nics.map((nic) => nic.index)).to.deep.equal([0, 1, 300, 301]);
    expect(nics.map((nic) => nic.name)).to.deep.equal(["veth0", "veth1", "veth300", "veth301"]);
    expect(nics[2]!.mac).to.equal("02:00:00:00:01:2c");
  });

  const refused: [options: object, message: string][] = [
    [{ queues: 0 }, 'The option "nic.queues" must be a whole number from 1 to 64, not 0.'],
    [{ queues: 65 }, '"nic.queues"'],
    [{ queues: 1.5 }, '"nic.queues"'],
    [{ ringSize: 1000 }, 'The option "nic.ringSize" must be a power of two from 16 to 32768, not 1000.'],
    [{ ringSize: 8 }, '"nic.ringSize"'],
    [{ ringSize: 1024, mbufs: 1000 }, '"nic.mbufs" must be a whole number from 1024'],
    [{ queues: 64, ringSize: 32768 }, 'The option "nic.mbufs" must be smaller: that makes'],
    [{ mtu: 67 }, '"nic.mtu" must be a whole number from 68 to 65535'],
    [
      { mac: "02:00:00:00:00" },
      'The option "nic.mac" must be a MAC address as "02:00:00:00:00:01", not "02:00:00:00:00".',
    ],
    [{ mac: "01:00:5e:00:00:01" }, "an address of one station"],
    [{ rssKey: [1, 2, 3] }, '"symmetric" or a key of 40 bytes'],
    [{ rssKey: "symetric" }, "a key of 40 bytes"],
    [{ rssTypes: ["sctp"] }, '"nic.rssTypes"'],
    [{ queue: 4 }, 'The option "nic.queue" must be one of'],
    [{ offloads: { tsoo: true } }, '"nic.offloads.tsoo"'],
    [{ offloads: { tso: 1 } }, '"nic.offloads.tso" must be true or false'],
  ];
  for (const [options, message] of refused) {
    it(`refuses ${JSON.stringify(options)}`, () => expect(() => lab.nic(options)).to.throw(OptionError, message));
  }
});

describe("bridge, link and capture options", () => {
  const lab = new Lab();
  const nic = lab.nic();

  it("refuses what cannot be, and changes nothing", () => {
    expect(() => lab.bridge({ entries: 1000 })).to.throw(OptionError, '"bridge.entries" must be a power of two');
    expect(() => lab.bridge({ aging: "30 days" })).to.throw(OptionError, '"bridge.aging"');
    expect(() => Capture.create(lab, { size: 100000 })).to.throw(OptionError, "a power of two from 64KiB to 1GiB");
    expect(() => nic.setLink("toWire", { loss: 2 })).to.throw(OptionError, '"link.loss"');
    expect(nic.links.toWire).to.be.undefined;
    const link = nic.setLink("toWire", { loss: "1%", delay: "20ms" });
    const wrong: [object, string][] = [
      [{ losss: 1 }, '"link.losss" must be one of'],
      [{ gilbert: { p: 1, q: 1 } }, '"link.gilbert.q"'],
      [{ gilbert: { p: 2, r: 1 } }, '"link.gilbert.p"'],
      [{ gilbert: { p: 1 } }, '"link.gilbert.r" must be given'],
      [{ gilbert: 5 }, 'The option "link.gilbert" must be an object with p, r, lossGood, lossBad, not 5.'],
      [{ queue: { frames: 3 } }, '"link.queue.frames"'],
      [{ queue: -5 }, 'The option "link.queue" must be a whole number from 0 to 1048576, not -5.'],
      [{ queue: 1.5 }, '"link.queue"'],
      [{ queue: true }, 'The option "link.queue" must be an object with packets, bytes, not true.'],
      [{ queue: "20" }, '"link.queue"'],
      [{ queue: [20] }, '"link.queue"'],
      [{ distribution: "pareto" }, 'must be "uniform" or "normal", not "pareto"'],
      [{ dropFrames: [64] }, '"link.dropFrames" must be a whole number from 0 to 63, not 64.'],
      [{ reorderGap: 0 }, '"link.reorderGap"'],
    ];
    for (const [options, message] of wrong) {
      expect(() => link.set(options), JSON.stringify(options)).to.throw(OptionError, message);
    }
    expect(() => nic.setLink("toHost", { buffers: 1048576 * 4 })).to.throw(OptionError, '"link.buffers"');
    const jumbo = lab.nic({ mtu: 65535 });
    expect(() => jumbo.setLink("toHost", { buffers: 1048576 })).to.throw(OptionError, "must be smaller");
    expect(() => link.seed(0.5)).to.throw(OptionError, '"link.seed"');
    expect(link.rules).to.include({ loss: "1%", delay: "20ms", jitter: 0 });
  });
});

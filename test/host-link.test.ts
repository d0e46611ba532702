// The `link` option of a host, and Host.setLink(): rules for both directions or for each its own, whole or not at all.
// Read first: host/host-links.ts.

import { expect } from "chai";
import { createNetwork, type HostLink, type Network } from "../host/index.ts";
import { OptionError } from "../veth/index.ts";

describe("the link of a host", () => {
  let net: Network;
  beforeEach(() => (net = createNetwork({ seed: 1, time: "virtual" })));
  afterEach(() => net.close());

  const make = (link: HostLink): ReturnType<Network["host"]> => net.host("a", { address: "10.0.0.1/24", link });

  it("takes rules for both directions, or for each its own", () => {
    const both = make({ loss: "1%" }).nic.links;
    expect([both.toWire?.rules.loss, both.toHost?.rules.loss]).to.deep.equal(["1%", "1%"]);
    const one = net.host("b", { address: "10.0.0.2/24", link: { toWire: { loss: 0.5 } } }).nic.links;
    expect([one.toWire?.rules.loss, one.toHost]).to.deep.equal([0.5, undefined]);
  });

  const refused: [link: unknown, message: string][] = [
    [{ loss: 0.1, toWire: { delay: 5 } }, '"link.loss" must be inside toWire or toHost, where one of them is given'],
    [{ toHost: { delay: 5 }, rate: "1Mbit" }, '"link.rate" must be inside toWire or toHost'],
    [{ toWire: { delay: 5 }, toHost: { loss: "1" } }, '"link.loss"'],
    [{ toWire: 5 }, 'The option "link" must be an object with'],
    [{ loss: "1" }, "for 1 per cent write 1%"],
    [{ queue: -5 }, '"link.queue"'],
    [{ buffers: 0 }, '"link.buffers"'],
    [{ seed: 0.5 }, '"link.seed"'],
    [20, 'The option "link" must be an object with'],
    [null, 'The option "link" must be an object with'],
  ];
  for (const [link, message] of refused) {
    it(`refuses ${JSON.stringify(link)} before anything is made or changed`, () => {
      expect(() => make(link as HostLink)).to.throw(OptionError, message);
      const host = make({ toWire: { loss: 0.25 } });
      expect(() => host.setLink(link as HostLink)).to.throw(OptionError, message);
      expect(host.nic.links.toHost).to.equal(undefined);
      expect(host.nic.links.toWire?.rules).to.include({ loss: 0.25, delay: 0 });
    });
  }
});

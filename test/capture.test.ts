// Network.capture(): which frames it writes, at which NICs, under which names.
// Read first: host/capture.ts.

import { expect } from "chai";
import { AF_INET, createNetwork, readPcapng, SOCK_STREAM } from "../host/index.ts";
import type { Host, Network, NetworkCaptureOptions } from "../host/index.ts";
import { OptionError } from "../veth/index.ts";
import { needTshark, tsharkFields } from "./support/tshark.ts";

const BYTES = 60_000;

interface Run {
  bytes: Uint8Array;
  /** "host direction" of each frame. */
  places: string[];
  /** Frames that are in the file more than once. */
  repeated: number;
  /** Frames that the hosts have sent, and received. */
  sent: number;
  received: number;
  lost: number;
}

function plugged(net: Network): Host[] {
  const lan = net.bridge("lan");
  return ["a", "b", "c"].map((name, i) => net.host(name, { bridge: lan, address: `10.0.0.${i + 1}/24` }));
}

/** Carries BYTES from the first host to the second, in virtual time. */
async function run(options: NetworkCaptureOptions = {}, setUp = plugged): Promise<Run> {
  const net = createNetwork({ seed: 3, time: "virtual" });
  const hosts = setUp(net);
  const capture = net.capture("memory", options);
  const [from, to] = [hosts[0]!.posix, hosts[1]!.posix];
  const listener = to.socket(AF_INET, SOCK_STREAM, 0);
  to.bind(listener, { port: 80 });
  to.listen(listener, 1);
  const fd = from.socket(AF_INET, SOCK_STREAM, 0);
  from.connect(fd, { address: hosts[1]!.address, port: 80 });
  const peer = to.accept(listener);
  const chunk = Buffer.alloc(6000, "x");
  for (let received = 0; received < BYTES;) {
    from.send(fd, chunk);
    for (let got = 0; got < chunk.length; received += chunk.length) got += to.recv(peer, Buffer.alloc(6000), 0x100);
  }
  from.close(fd);
  to.close(peer);
  net.advance("5s");
  const sum = (name: string): number => hosts.reduce((total, host) => total + (host.xstats()[name] ?? 0), 0);
  const [sent, received] = [sum("tx_good_packets"), sum("rx_good_packets")];
  const lost = hosts.reduce((total, host) => total + (host.nic.links.toWire?.counters().listed ?? 0), 0);
  await net.close();
  const packets = [...readPcapng(capture.bytes())];
  const seen = packets.map(({ data }) => Buffer.from(data).toString("latin1"));
  return {
    bytes: capture.bytes(),
    places: packets.map((packet) => `${packet.interface.name} ${packet.direction}`),
    repeated: seen.length - new Set(seen).size,
    sent,
    received,
    lost,
  };
}

describe("a capture of a network", () => {
  it("has each frame once, where it leaves its sender", async () => {
    const { places, repeated, sent } = await run();
    expect(places.length).to.equal(sent);
    expect(new Set(places)).to.deep.equal(new Set(["a outbound", "b outbound", "c outbound"]));
    expect(repeated).to.equal(0);
  });

  it("has each frame at every NIC that it passes, by name, when asked for both", async () => {
    const { places, sent, received } = await run({ at: "both" });
    expect(places.length).to.equal(sent + received);
    expect(places).to.include.members(["a outbound", "b inbound", "b outbound", "a inbound", "c inbound"]);
  });

  it("has frames that the link then loses", async () => {
    const lossy = (net: Network): Host[] => {
      const hosts = plugged(net);
      hosts[0]!.setLink({ toWire: { dropFrames: [4, 9] } });
      return hosts;
    };
    const { places, sent, lost } = await run({}, lossy);
    expect(lost).to.equal(2);
    expect(places.length).to.equal(sent);
  });

  it("has both directions of the NICs that are named, and nothing twice when both ends are", async () => {
    const one = await run({ hosts: ["b"] });
    expect(new Set(one.places)).to.deep.equal(new Set(["b inbound", "b outbound"]));
    const two = await run({ hosts: ["a", "b"] });
    // The third host's announcement of its address is heard by both.
    expect(two.places.filter((place) => place.endsWith("inbound"))).to.deep.equal(["a inbound", "b inbound"]);
    expect(two.repeated).to.equal(1);
  });

  it("has what goes through an ltran once", async () => {
    const isolated = (net: Network): Host[] => {
      const lan = net.bridge("lan");
      const ltran = net.ltran("lt", { bridge: lan });
      return [
        net.host("a", { ltran, address: "10.0.0.1/24" }),
        net.host("b", { bridge: lan, address: "10.0.0.2/24" }),
        net.host("c", { ltran, address: "10.0.0.3/24" }),
      ];
    };
    const { places, repeated } = await run({}, isolated);
    expect(new Set(places)).to.deep.equal(new Set(["a outbound", "b outbound", "c outbound"]));
    expect(repeated).to.equal(0);
    expect(new Set((await run({ at: "both" }, isolated)).places)).to.include.members(["lt inbound", "lt outbound"]);
  });

  it("refuses options that it does not know", async () => {
    const net = createNetwork({ time: "virtual" });
    expect(() => net.capture("memory", { at: "receiver" as "both" })).to.throw(OptionError, '"sender" or "both"');
    expect(() => net.capture("memory", { host: ["a"] } as object)).to.throw(OptionError, '"capture.host"');
    await net.capture("memory").close();
    await net.close();
  });

  describe("in the eyes of tshark", () => {
    before(needTshark);

    const faults = async (options: NetworkCaptureOptions): Promise<string[]> => {
      const fields = ["tcp.analysis.retransmission", "tcp.analysis.duplicate_ack", "tcp.analysis.out_of_order"];
      return tsharkFields((await run(options)).bytes, fields).flatMap((packet) =>
        Object.values(packet).filter(Boolean),
      );
    };

    it("shows a clean link as a clean one", async () => {
      expect(await faults({})).to.deep.equal([]);
      expect(await faults({ hosts: ["a"] })).to.deep.equal([]);
      // What it looks like when frames are there twice.
      expect(await faults({ at: "both" })).to.not.be.empty;
    });
  });
});

// The flow director: exact flows first, then listening ports, then RSS; rules come and go while frames are flowing.
// Read first: veth/datapath/director.ts.

import { expect } from "chai";
import { EEXIST, EINVAL, ENOENT, ENOSPC } from "../assembly/layout.ts";
import { type Flow, OptionError, type UserVeth } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { ether, ipv4, ipText, tcp, udp } from "./support/frames.ts";
import { Lab, receiveAll } from "./support/nics.ts";

const FLOW: Flow = {
  protocol: "tcp",
  source: "10.0.0.9",
  sourcePort: 40000,
  destination: "10.0.0.1",
  destinationPort: 80,
};

/** The queue on which a packet of the flow really arrives. */
function arrival(from: UserVeth, nic: UserVeth, flow: Flow): number {
  const ports = { from: flow.sourcePort, to: flow.destinationPort };
  const body = flow.protocol === "tcp" ? tcp(ports, "data") : udp(ports, "data");
  from.send(ether({ to: nic.mac, from: from.mac }, ipv4({ from: flow.source, to: flow.destination }, body)).bytes(), 0);
  const packets = Array.from({ length: nic.queues }, (_, queue) => receiveAll(nic, 0, queue)).flat();
  expect(packets).to.have.length(1);
  return packets[0]!.queue;
}

describe("the flow director", () => {
  it("sends a flow to its queue, a port to its queue, and asks the flow's rule first", () => {
    const [from, nic] = new Lab().pair({}, { queues: 8 });
    const { director } = nic;
    const byRss = arrival(from, nic, FLOW);
    const [one, two] = [(byRss + 1) % 8, (byRss + 2) % 8];

    expect(director.listen("tcp", 80, one)).to.equal(0);
    expect(arrival(from, nic, FLOW)).to.equal(one);
    expect(director.add(FLOW, two)).to.equal(0);
    expect(arrival(from, nic, FLOW)).to.equal(two);
    expect(director.count).to.equal(2);
    expect(arrival(from, nic, { ...FLOW, sourcePort: 40001 })).to.equal(one);
    for (const other of [{ protocol: "udp" as const }, { destinationPort: 81 }]) {
      expect(arrival(from, nic, { ...FLOW, ...other })).to.equal(director.queueOf({ ...FLOW, ...other }));
    }
    expect(director.unlisten("tcp", 80)).to.equal(0);
    expect(arrival(from, nic, FLOW)).to.equal(two);
    expect(director.remove(FLOW)).to.equal(0);
    expect(arrival(from, nic, FLOW)).to.equal(byRss);
    expect(director.count).to.equal(0);
  });

  it("tells a duplicate, a missing rule, a queue that does not exist, and a full table", () => {
    const { director } = new Lab().nic({ queues: 2, rules: 4 });
    expect(director.add(FLOW, 1)).to.equal(0);
    expect(director.add(FLOW, 0)).to.equal(-EEXIST);
    expect(director.queueOf(FLOW)).to.equal(1);
    expect(director.add({ ...FLOW, sourcePort: 1 }, 2)).to.equal(-EINVAL);
    expect(director.remove({ ...FLOW, sourcePort: 1 })).to.equal(-ENOENT);
    expect(director.unlisten("udp", 80)).to.equal(-ENOENT);
    expect(director.listen("tcp", 80, 0)).to.equal(0);
    expect(director.listen("tcp", 80, 0)).to.equal(-EEXIST);
    expect(director.listen("udp", 80, 0)).to.equal(0);
    expect(director.listen("udp", 81, 0)).to.equal(0);
    expect(director.listen("udp", 82, 0)).to.equal(-ENOSPC);
    expect(director.remove(FLOW)).to.equal(0);
    expect(director.listen("udp", 82, 0)).to.equal(0);
    expect(director.count).to.equal(4);
    expect(() => director.listen("tcp", 70000, 0)).to.throw(OptionError, '"port"');
    expect(() => director.add({ ...FLOW, source: "10.0.0" }, 0)).to.throw(OptionError, '"source"');
  });

  it("holds as many rules as it says, and finds each", () => {
    const { director } = new Lab().nic({ queues: 64, rules: 1000 });
    const flow = (i: number): Flow => ({ ...FLOW, sourcePort: 1 + i, source: ipText(0x0a000000 + (i % 7)) });
    for (let i = 0; i < 1000; i++) expect(director.add(flow(i), i % 64)).to.equal(0);
    expect(director.add(flow(1000), 0)).to.equal(-ENOSPC);
    for (let i = 0; i < 1000; i++) expect(director.queueOf(flow(i))).to.equal(i % 64);
  });

  it("does what a Map does, through thousands of random changes", () => {
    const seed = seedOf(0xd1ec);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const { director } = new Lab().nic({ queues: 64, rules: 40 });
    const model = new Map<string, number>();
    const flowOf = (key: string): Flow => {
      const [source, sourcePort, protocol] = key.split(" ");
      return { ...FLOW, source: source!, sourcePort: Number(sourcePort), protocol: protocol as "tcp" | "udp" };
    };
    for (let i = 0; i < 20000; i++) {
      const key = `10.0.0.${random(5)} ${random(10)} ${random(2) === 0 ? "tcp" : "udp"}`;
      const queue = random(64);
      if (random(2) === 0) {
        const want = model.has(key) ? -EEXIST : model.size === 40 ? -ENOSPC : 0;
        expect(director.add(flowOf(key), queue)).to.equal(want);
        if (want === 0) model.set(key, queue);
      } else {
        expect(director.remove(flowOf(key))).to.equal(model.delete(key) ? 0 : -ENOENT);
      }
      expect(director.count).to.equal(model.size);
      if (i % 100 === 0) for (const [k, q] of model) expect(director.queueOf(flowOf(k))).to.equal(q);
    }
  });

  it("leaves fragments and other protocols to RSS", () => {
    const [from, nic] = new Lab().pair({}, { queues: 4 });
    nic.rss.setTypes([]);
    nic.director.listen("tcp", 80, 3);
    const header = { from: FLOW.source, to: FLOW.destination };
    const send = (layer: ReturnType<typeof ipv4>): number => {
      from.send(ether({ to: nic.mac, from: from.mac }, layer).bytes(), 0);
      return [0, 1, 2, 3].findIndex((queue) => receiveAll(nic, 0, queue).length > 0);
    };
    expect(send(ipv4(header, tcp({ to: 80 })))).to.equal(3);
    expect(send(ipv4({ ...header, mf: true }, tcp({ to: 80 }, "01234567")))).to.equal(0);
    expect(send(ipv4({ ...header, protocol: 132 }, tcp({ to: 80 }).bytes()))).to.equal(0);
  });
});

// TCP's header where packetdrill scripts cannot look: checksums of segments in and out, padding.
// Read first: RFC 9293 section 3.1; RFC 1071.

import { expect } from "chai";
import { HOST, ipv4, PEER, tcp } from "./support/frames.ts";
import { stackHarness } from "./support/harness.ts";
import { listenOn, opened, TcpPeer } from "./support/tcp-peer.ts";

const OPTIONS = { mss: 1000, sackPermitted: true, timestamps: [5, 0] as [number, number], wscale: 7 };

describe("TCP's header (RFC 9293 3.1)", () => {
  it("has a right checksum in every segment", () => {
    const h = stackHarness();
    const { peer, fd } = opened(h);
    let bytes = 0;
    // The harness takes every frame apart, and a wrong checksum is an error.
    for (let length = 1; length <= 1000; length += 37) {
      h.ok(h.send(fd, new Uint8Array(length).fill(length)));
      for (const { payload } of peer.packets()) bytes += payload.length;
      peer.say(".", { seq: 1, ack: 1 + bytes });
    }
    expect(bytes).to.be.greaterThan(10_000);
  });

  it("drops and counts a segment with a wrong checksum", () => {
    const h = stackHarness();
    const { peer, fd } = opened(h);
    const fields = {
      from: peer.port,
      to: peer.local,
      seq: peer.iss + 1,
      ack: ((peer.irs ?? 0) + 1) >>> 0,
      flags: "PA",
    };
    const addresses = { from: PEER.address, to: HOST.address };
    h.receive(ipv4(addresses, tcp({ ...fields, checksum: 0x1234 }, "0123456789")));
    h.receive(ipv4({ ...addresses, under: { from: 1, to: 2 } }, tcp(fields, "0123456789")));
    expect(peer.heard(), "no answer").to.deep.equal([]);
    expect(h.counter("TCP_IN_CSUM_ERRORS")).to.equal(2);
    h.receive(ipv4(addresses, tcp(fields, "0123456789")));
    expect(h.read(fd)).to.have.lengthOf(10);
  });

  it("has no octets of padding that are not zero", () => {
    const h = stackHarness();
    listenOn(h);
    const peer = new TcpPeer(h);
    peer.say("S", { options: OPTIONS });
    // The harness takes every header apart, and what follows its options must be zero.
    const [synAck] = peer.packets();
    expect(synAck?.tcp?.options).to.include({ mss: 1460, sackPermitted: true }).and.have.property("timestamps");
    peer.say(".", { seq: 1, ack: 1, options: { timestamps: [6, 0] } });
    peer.say(".", { seq: 11, ack: 1, options: { timestamps: [7, 0] }, data: "0123456789" });
    expect(peer.packets().at(-1)?.tcp?.options.sack).to.have.lengthOf(1);
  });
});

// connect(AF_UNSPEC) on TCP: reset, forgotten, usable again.
// Read first: connect(2); assembly/tcp/disconnect.ts.

import { expect } from "chai";
import * as layout from "../assembly/layout.ts";
import { ip, pattern, PEER } from "./support/frames.ts";
import { errnoName, stackHarness } from "./support/harness.ts";
import { connectTo, listenOn, opened, TcpPeer } from "./support/tcp-peer.ts";

const { SOL_SOCKET, SO_ERROR } = layout;

describe("connect(AF_UNSPEC)", () => {
  it("resets an established connection and forgets all of it", () => {
    const h = stackHarness();
    const { peer, fd } = opened(h);
    peer.say("P.", { seq: 1, ack: 1, data: "unread" });
    h.send(fd, pattern(100));
    peer.heard();
    expect(h.core.disconnect(fd)).to.equal(0);
    peer.hears("R. 101:101(0) ack 7");
    expect(errnoName(h.core.getpeername(fd))).to.equal("ENOTCONN");
    expect(h.option(fd, SOL_SOCKET, SO_ERROR)).to.equal(104);
    expect(h.read(fd)).to.equal("ENOTCONN");
    expect(errnoName(h.send(fd, "x"))).to.equal("EPIPE");
    expect(h.events(fd) & layout.EPOLLHUP).to.equal(layout.EPOLLHUP);
    peer.say(".", { seq: 7, ack: 101 });
    peer.hears("R 101:101(0)");
  });

  it("lets the socket connect, and be connected, again", () => {
    const h = stackHarness();
    const { fd } = opened(h);
    h.core.disconnect(fd);
    h.sent();
    const peer = new TcpPeer(h, { port: 9000 });
    expect(errnoName(connectTo(h, peer, fd))).to.equal("EINPROGRESS");
    expect(peer.local).to.not.equal(80);
    peer.hears("S 0:0(0)");
    peer.say("S.", { ack: 1, options: { mss: 1000 } });
    peer.hears(". 1:1(0) ack 1");
    h.send(fd, "again");
    peer.hears("P. 1:6(5) ack 1");
    peer.say("P.", { seq: 1, ack: 6, data: "yes" });
    expect(Buffer.from(h.read(fd) as Uint8Array).toString()).to.equal("yes");
  });

  it("gives a connection attempt up without a segment", () => {
    const h = stackHarness();
    const peer = new TcpPeer(h, { port: 9000 });
    const fd = h.tcp({ bind: ":1234" });
    connectTo(h, peer, fd);
    peer.hears("S 0:0(0)");
    h.core.disconnect(fd);
    h.advance(10_000);
    peer.hears();
    expect(errnoName(h.core.connect(fd, ip(PEER.address), 9000))).to.equal("EINPROGRESS");
    expect(h.name(fd)).to.equal("10.0.0.1:1234");
  });

  it("stops a listener, whose port stays its own", () => {
    const h = stackHarness();
    const fd = listenOn(h);
    const peer = new TcpPeer(h);
    peer.say("S", { options: { mss: 1000 } });
    peer.heard();
    peer.say(".", { seq: 1, ack: 1 });
    h.core.disconnect(fd);
    peer.hears("R. 1:1(0) ack 1");
    expect(errnoName(TcpPeer.accept(h, fd))).to.equal("EINVAL");
    peer.irs = 0;
    peer.say("S", { seq: 5000 });
    expect(peer.heard()).to.deep.equal(["R. 0:0(0) ack 5001"]);
    h.ok(h.core.listen(fd, 5));
    const next = new TcpPeer(h, { port: 5001 });
    next.say("S", { options: { mss: 1000 } });
    next.hears("S. 0:0(0) ack 1");
    h.core.close(fd);
    expect(h.pools()).to.deep.equal({});
  });

  it("says nothing for a closed socket, and in states whose peer has closed too", () => {
    const h = stackHarness();
    const fd = h.tcp();
    expect(h.core.disconnect(fd)).to.equal(0);
    const { peer, fd: last } = opened(h);
    peer.say("F.", { seq: 1, ack: 1 });
    h.core.shutdown(last, layout.SHUT_WR);
    peer.heard();
    h.core.disconnect(last);
    peer.hears();
  });

  it("happens to a listener by shutdown(SHUT_RD) too (Linux)", () => {
    const h = stackHarness();
    const fd = listenOn(h);
    h.ok(h.core.shutdown(fd, layout.SHUT_RD));
    const peer = new TcpPeer(h);
    peer.say("S");
    peer.hears("R. 0:0(0) ack 1");
  });
});

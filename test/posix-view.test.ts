// Fewer copies: buffers in the network's memory, and received bytes in place.

import { expect } from "chai";
import { EAGAIN, EBADF, EOPNOTSUPP, MSG_PEEK, SOCK_NONBLOCK } from "../host/posix/constants.ts";
import { connected, datagramSocket, freshPort, ok, refused, settle } from "./support/sockets.ts";
import { twoHosts } from "./support/two-hosts.ts";

describe("sockets with fewer copies", () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);

  it("sends from and receives into buffers of the network's memory", () => {
    const hosts = twoHosts();
    const pair = connected(hosts, SOCK_NONBLOCK);
    const source = hosts.network.buffer(bytes.length);
    source.set(bytes);
    const target = hosts.network.buffer(bytes.length);
    let sent = 0;
    let received = 0;
    for (let i = 0; i < 1000 && received < bytes.length; i++) {
      if (sent < bytes.length) sent += Math.max(0, hosts.client.send(pair.client, source.subarray(sent)));
      settle(hosts);
      const n = hosts.server.recv(pair.server, target.subarray(received));
      if (n > 0) received += n;
    }
    expect(received).to.equal(bytes.length);
    expect(Buffer.compare(target, bytes)).to.equal(0);
  });

  it("shows received bytes in place, as often as asked, until they are done", () => {
    const hosts = twoHosts();
    const { server, client } = hosts;
    const pair = connected(hosts, SOCK_NONBLOCK);
    refused(server.recv_view(pair.server) as number, EAGAIN);
    ok(client.send(pair.client, Buffer.from("in place")));
    settle(hosts);
    for (let i = 0; i < 2; i++) {
      const view = server.recv_view(pair.server) as Uint8Array;
      expect(Buffer.from(view).toString()).to.equal("in place");
    }
    expect(server.recv_done(pair.server, 3)).to.equal(5);
    expect(server.recv(pair.server, Buffer.alloc(9), MSG_PEEK)).to.equal(5);
    expect(Buffer.from(server.recv_view(pair.server) as Uint8Array).toString()).to.equal("place");
    expect(server.recv_done(pair.server, 5)).to.equal(0);
    ok(client.close(pair.client));
    settle(hosts);
    expect((server.recv_view(pair.server) as Uint8Array).length).to.equal(0);
  });

  it("refuses what is no stream", () => {
    const { server } = twoHosts();
    refused(server.recv_view(datagramSocket(server, freshPort())) as number, EOPNOTSUPP);
    refused(server.recv_view(99) as number, EBADF);
  });
});

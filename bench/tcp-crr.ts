// Connect, one byte, close: the server sends the byte and closes first, as HTTP/1.0 did, so that TIME-WAIT is its own.
// Read first: netperf's TCP_CRR; RFC 6191 for the ports that come round again while TIME-WAIT lasts.

import { AF_INET, EAGAIN, EINPROGRESS, SOCK_NONBLOCK, SOCK_STREAM } from "../host/index.ts";
import { compare } from "./compare.ts";
import { netConnections } from "./node-net.ts";
import { fail, listen, pair, SERVER_ADDRESS, type Pair } from "./pair.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

const CONNECTIONS = 1024;
/** The kernel is slower: a batch as long as ours would not fit a short run. */
const PEER_CONNECTIONS = 128;
const PORT = 7;

export const tcpCrr: Row = {
  name: "tcp_crr",
  title: "TCP connect, 1 B from the server, close, one after the other, both ends in one thread",
  unit: "op/s",
  bound: { atLeast: 25, aim: 40 },
  measure,
};

async function measure(options: RunOptions): Promise<Measured> {
  await using hosts = pair();
  await using peer = await netConnections(PEER_CONNECTIONS);
  const measured = await compare(
    { name: "oribi", amount: CONNECTIONS, batch: connections(hosts) },
    { name: "node:net", amount: PEER_CONNECTIONS, batch: () => peer.run(), isAsync: true },
    options,
  );
  const { timeWaits, timeWaitReused, timeWaitOverflow } = hosts.server.counters().tcp;
  return { ...measured, note: `TIME-WAIT ${timeWaits} (${timeWaitReused} reused, ${timeWaitOverflow} cut short)` };
}

/** A batch of connections, one after the other. */
function connections({ network, client, server }: Pair): () => void {
  const { socket, connect, recv, close } = client.posix;
  const { accept4, send, close: end } = server.posix;
  const listener = listen(server.posix, PORT);
  const byte = new Uint8Array(1).fill(1);
  const buffer = new Uint8Array(64);
  return () => {
    for (let i = 0; i < CONNECTIONS; i++) {
      const fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      let n = connect(fd, SERVER_ADDRESS, PORT);
      if (n !== -EINPROGRESS) fail("A connection was not begun", n);
      let served: number;
      do network.step();
      while ((served = accept4(listener, null, SOCK_NONBLOCK)) === -EAGAIN);
      if ((n = send(served, byte)) !== 1) fail("The byte was not sent", n);
      end(served);
      do network.step();
      while ((n = recv(fd, buffer)) === -EAGAIN);
      if (n !== 1) fail("The byte did not come", n);
      while ((n = recv(fd, buffer)) === -EAGAIN) network.step();
      if (n !== 0) fail("The end did not come", n);
      close(fd);
      network.step();
    }
    network.settle();
    const open = client.pools().tcb?.used;
    if (open !== 0) throw new Error(`${open} connections of the client are left.`);
  };
}

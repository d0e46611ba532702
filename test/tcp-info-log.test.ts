// TcpInfoLog: TCP_INFO of a connection over time, on the clock of captures.
// Read first: host/tcp-info-log.ts.

import { expect } from "chai";
import { AF_INET, createNetwork, SOCK_STREAM, TcpInfoLog } from "../host/index.ts";

describe("a log of TCP_INFO", () => {
  it("tells how the congestion window opens, what is in flight, and the round trip time", async () => {
    const net = createNetwork({ seed: 5, time: "virtual" });
    const bridge = net.bridge("lan");
    const [a, b] = ["a", "b"].map((name, i) =>
      net.host(name, { bridge, address: `10.0.0.${i + 1}/24`, link: { delay: "10ms" } }),
    );
    const listener = b!.posix.socket(AF_INET, SOCK_STREAM, 0);
    b!.posix.bind(listener, { port: 80 });
    b!.posix.listen(listener, 1);
    const fd = a!.posix.socket(AF_INET, SOCK_STREAM, 0);
    a!.posix.connect(fd, { address: "10.0.0.2", port: 80 });
    const log = new TcpInfoLog(a!.posix, fd, { every: "5ms" });
    expect(a!.posix.send(fd, Buffer.alloc(60_000))).to.equal(60_000);
    const start = net.now();
    net.runUntil(() => (log.sample(net.now()), net.now() > start + 200_000), { timeout: "1s" });
    const { samples } = log;
    const times = samples.map(({ timeMicros }) => timeMicros);
    expect(times).to.deep.equal(times.toSorted((x, y) => x - y));
    for (const [i, time] of times.entries()) expect(time - (times[i - 1] ?? -Infinity)).to.be.at.least(5000);
    // RFC 6928: ten segments at first; then more.
    expect(samples[0]!.cwndBytes).to.equal(14_480);
    expect(samples.at(-1)!.cwndBytes).to.be.above(28_000);
    expect(samples[0]!.ssthreshBytes).to.equal(Infinity);
    expect(Math.max(...samples.map((each) => each.flightBytes))).to.be.within(14_480, 60_000);
    expect(samples.at(-1)).to.include({ flightBytes: 0 });
    // Both links delay both ways.
    for (const each of samples) expect(each.rttMicros).to.be.within(40_000, 60_000);
    a!.posix.close(fd);
    const { length } = samples;
    log.sample(net.now() + 1e6); // of a descriptor that is closed there is nothing to tell
    expect(samples).to.have.lengthOf(length);
    await net.close();
  });
});

// What the stack sends, seen by tshark: no malformed frame, no bad checksum, and the meaning that was meant.

import { expect } from "chai";
import { IP_ADD_MEMBERSHIP, IPPROTO_IP } from "../assembly/layout.ts";
import { arpReply, arpRequest, echo, ether, ipv4, pattern, udp } from "./support/frames.ts";
import { stackHarness } from "./support/harness.ts";
import { needTshark, tsharkFaults, tsharkFields } from "./support/tshark.ts";

describe("frames of the stack in tshark", function () {
  this.timeout(60_000);
  before(needTshark);

  it("are well-formed: ARP, UDP, fragments, ICMP, IGMP, with checksums that a NIC or the stack completes", () => {
    const h = stackHarness({ resolved: false });
    const fd = h.udp({ bind: ":7" });
    h.send(fd, "asks first", "10.0.0.2:9");
    h.poll();
    h.receive(arpReply());
    h.receive(arpRequest());
    h.send(fd, pattern(5000), "10.0.0.2:9");
    h.ok(h.setOption(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, Uint8Array.of(239, 1, 2, 3, 0, 0, 0, 0)));
    h.send(fd, "group", "239.1.2.3:7");
    h.core.close(fd);
    h.receive(ipv4(echo(pattern(1000))));
    h.receive(ipv4(udp({ to: 9 }, "nobody")));
    h.receive(ipv4({ protocol: 99 }, "unknown"));
    h.receive(ether(ipv4({ options: [7, 1, 4, 0] }, udp({ to: 9 }, "bad option"))));
    h.advance(20_000);
    const capture = h.pcapng();
    // The frame with the bad option is ours to send, not the stack's.
    expect(tsharkFaults(capture).filter((fault) => !/[Oo]ption/.test(fault))).to.deep.equal([]);
    const seen = tsharkFields(capture, ["arp.opcode", "udp.length", "icmp.type", "igmp.type"]);
    const values = (field: string): string[] => [
      ...new Set(seen.map((row) => row[field] ?? "").filter((text) => text !== "")),
    ];
    expect(values("arp.opcode").sort()).to.deep.equal(["1", "2"]);
    expect(values("udp.length")).to.include("5008");
    expect(
      values("icmp.type")
        .map(Number)
        .sort((a, b) => a - b),
    ).to.include.members([0, 3, 8, 12]);
    expect(values("igmp.type").map(Number)).to.include.members([0x16, 0x17]);
  });
});

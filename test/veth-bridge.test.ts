// The bridge: learning, flooding, aging, moving, VLANs. Frames are told apart by a number.
// Read first: IEEE 802.1Q clause 8; veth/datapath/bridge.ts.

import { expect } from "chai";
import { TX_VLAN_INSERT, RX_VLAN_STRIPPED } from "../assembly/layout.ts";
import { OptionError, UserVbridge, type UserVeth, VethError, type VlanOptions } from "../veth/index.ts";
import { chance, seedOf } from "./support/chance.ts";
import { BROADCAST_MAC } from "./support/frames.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";

/** A bridge with so many ports, all promiscuous: what the bridge sends them is what they show. */
function setup(
  ports: number,
  options: Parameters<Lab["bridge"]>[0] = {},
): { lab: Lab; bridge: UserVbridge; nics: UserVeth[] } {
  const lab = new Lab();
  const bridge = lab.bridge(options);
  const nics = Array.from({ length: ports }, () => lab.nic({ promiscuous: true }));
  for (const nic of nics) bridge.plug(nic);
  return { lab, bridge, nics };
}

/** Which NICs got something, by their place; and nobody got anything twice. */
function reached(nics: readonly UserVeth[]): number[] {
  return nics.flatMap((nic, place) => {
    const got = receiveAll(nic).length;
    expect(got).to.be.at.most(1);
    return got === 1 ? [place] : [];
  });
}

describe("the bridge", () => {
  it("floods what it does not know, learns where it came from, and then sends it there alone", () => {
    const { bridge, nics } = setup(4);
    const [a, b] = nics as [UserVeth, UserVeth];
    a.send(numbered(a.mac, b.mac, 1), 0);
    expect(reached(nics)).to.deep.equal([1, 2, 3]);
    b.send(numbered(b.mac, a.mac, 2), 0);
    expect(reached(nics)).to.deep.equal([0]);
    a.send(numbered(a.mac, b.mac, 3), 0);
    expect(reached(nics)).to.deep.equal([1]);
    expect(bridge.counters()).to.include({ flooded: 1, forwarded: 2, learned: 2, moved: 0 });
    expect(bridge.table().map(({ mac, vlan, slot }) => `${mac} ${vlan} ${slot}`)).to.have.members([
      `${a.mac} 0 0`,
      `${b.mac} 0 1`,
    ]);
  });

  it("floods broadcast and multicast, and never learns a group address or none", () => {
    const { bridge, nics } = setup(3);
    for (const [from, to] of [
      [nics[0]!.mac, BROADCAST_MAC],
      [nics[0]!.mac, "01:00:5e:00:00:01"],
      ["01:00:5e:00:00:01", BROADCAST_MAC],
      ["00:00:00:00:00:00", BROADCAST_MAC],
      [nics[0]!.mac, "00:00:00:00:00:00"],
    ] as const) {
      nics[0]!.send(numbered(from, to, 1), 0);
      expect(reached(nics)).to.deep.equal([1, 2]);
    }
    expect(bridge.table()).to.have.length(1);
  });

  it("never sends a frame back out of the port it came from", () => {
    const { bridge, nics } = setup(3);
    const behind = "02:aa:00:00:00:01";
    nics[0]!.send(numbered(behind, BROADCAST_MAC, 1), 0);
    reached(nics);
    nics[0]!.send(numbered(nics[0]!.mac, behind, 2), 0);
    expect(reached(nics)).to.deep.equal([]);
    nics[0]!.send(numbered(nics[0]!.mac, nics[0]!.mac, 3), 0);
    expect(reached(nics)).to.deep.equal([]);
    expect(bridge.counters().hairpins).to.equal(2);
  });

  it("follows an address that moves, within a burst too", () => {
    const { lab, bridge, nics } = setup(3);
    const [a, b, c] = nics as [UserVeth, UserVeth, UserVeth];
    const rover = "02:aa:00:00:00:02";
    b.send(numbered(rover, BROADCAST_MAC, 1), 0);
    reached(nics);
    a.send(numbered(a.mac, rover, 2), 0);
    expect(reached(nics)).to.deep.equal([1]);
    c.send(numbered(rover, BROADCAST_MAC, 3), 0);
    reached(nics);
    a.send(numbered(a.mac, rover, 4), 0);
    expect(reached(nics)).to.deep.equal([2]);
    expect(bridge.counters().moved).to.equal(1);
    // The rover comes to port a in the middle of a burst from there.
    const burst = [numbered(a.mac, rover, 5), numbered(rover, BROADCAST_MAC, 6), numbered(a.mac, rover, 7)];
    expect(
      lab.txBurst(
        a,
        burst.map((frame) => lab.packet([frame])),
      ),
    ).to.equal(3);
    expect(receiveAll(c).map(({ data }) => numberOf(data))).to.deep.equal([5, 6]);
    expect(receiveAll(b).map(({ data }) => numberOf(data))).to.deep.equal([6]);
  });

  it("forgets an address that is not seen for the aging time, not one that is; 0 = never", () => {
    const SECOND = 1e6;
    for (const [aging, isForgotten] of [
      ["300s", true],
      [0, false],
    ] as const) {
      const { nics } = setup(3, { aging });
      const [a, b] = nics as [UserVeth, UserVeth];
      b.send(numbered(b.mac, BROADCAST_MAC, 0), 0);
      reached(nics);
      a.send(numbered(a.mac, b.mac, 1), 299 * SECOND);
      expect(reached(nics)).to.deep.equal([1]);
      b.send(numbered(b.mac, a.mac, 2), 299.5 * SECOND);
      expect(reached(nics)).to.deep.equal([0]);
      a.send(numbered(a.mac, b.mac, 3), 599 * SECOND);
      expect(reached(nics)).to.deep.equal([1]);
      a.send(numbered(a.mac, b.mac, 4), 599.6 * SECOND);
      expect(reached(nics)).to.deep.equal(isForgotten ? [1, 2] : [1]);
      b.send(numbered(b.mac, a.mac, 5), 599.7 * SECOND);
      reached(nics);
      a.send(numbered(a.mac, b.mac, 6), 599.8 * SECOND);
      expect(reached(nics)).to.deep.equal([1]);
    }
  });

  it("ages in real time as well: microseconds since 1970", () => {
    const { nics } = setup(3);
    const [a, b] = nics as [UserVeth, UserVeth];
    const now = 1.79e15;
    b.send(numbered(b.mac, BROADCAST_MAC, 0), now);
    reached(nics);
    a.send(numbered(a.mac, b.mac, 1), now + 299e6);
    expect(reached(nics)).to.deep.equal([1]);
    a.send(numbered(a.mac, b.mac, 1), now + 301e6);
    expect(reached(nics)).to.deep.equal([1, 2]);
  });

  it("floods and counts when its table is full, and learns again when addresses have aged out", () => {
    const { bridge, nics } = setup(2, { entries: 8, aging: "10s" });
    const [a, b] = nics as [UserVeth, UserVeth];
    const station = (i: number): string => `02:bb:00:00:00:${i.toString(16).padStart(2, "0")}`;
    for (let i = 0; i < 20; i++) a.send(numbered(station(i), BROADCAST_MAC, i), 0);
    expect(receiveAll(b)).to.have.length(20);
    expect(bridge.counters()).to.include({ learned: 8, tableFull: 12 });
    expect(bridge.table()).to.have.length(8);
    for (let i = 0; i < 20; i++) b.send(numbered(b.mac, station(i), i), 1e6);
    expect(receiveAll(a)).to.have.length(20);
    b.send(numbered(b.mac, BROADCAST_MAC, 0), 11e6);
    expect(bridge.counters().learned).to.equal(9);
  });

  it("forgets what is behind a port that is unplugged, and a new port starts clean", () => {
    const { bridge, nics } = setup(3);
    const [a, b, c] = nics as [UserVeth, UserVeth, UserVeth];
    b.send(numbered(b.mac, BROADCAST_MAC, 0), 0);
    a.send(numbered(a.mac, b.mac, 1), 0);
    for (const nic of nics) receiveAll(nic);
    expect(bridge.unplug(b)).to.be.true;
    expect(bridge.unplug(b)).to.be.false;
    expect(bridge.slotOf(b)).to.equal(-1);
    a.send(numbered(a.mac, b.mac, 2), 0);
    expect(reached(nics)).to.deep.equal([2]);
    expect(bridge.plug(b)).to.equal(1);
    a.send(numbered(a.mac, b.mac, 3), 0);
    expect(reached(nics)).to.deep.equal([1, 2]);
    bridge.flush();
    expect(bridge.table()).to.deep.equal([]);
    c.send(numbered(c.mac, a.mac, 4), 0);
    expect(reached(nics)).to.deep.equal([0, 1]);
  });

  it("has as many ports as it says, and says so when they are all in use", () => {
    const { lab, bridge } = setup(4, { ports: 4 });
    expect(() => bridge.plug(lab.nic()))
      .to.throw(VethError, "has 4 ports, all in use")
      .with.property("code", "ERR_ORIBI_BRIDGE_FULL");
    const again = UserVbridge.attach(lab, structuredClone(bridge.describe()));
    expect(again.counters()).to.deep.equal(bridge.counters());
  });

  it("delivers like a model of a switch does, through random traffic", () => {
    const seed = seedOf(0xb1d);
    console.log(`      seed ${seed}`);
    const random = chance(seed);
    const { nics } = setup(6, { aging: "1s" });
    const places = new Map<string, { place: number; seen: number }>();
    const station = (): string => `02:cc:00:00:00:0${random(9)}`;
    let now = 0;
    for (let i = 0; i < 5000; i++) {
      now += random(8) * 50000;
      const place = random(6);
      const [from, to] = [station(), random(8) === 0 ? BROADCAST_MAC : station()];
      nics[place]!.send(numbered(from, to, i), now);
      places.set(from, { place, seen: now });
      const known = places.get(to);
      const fresh = known !== undefined && now - known.seen <= 1e6;
      const all = [0, 1, 2, 3, 4, 5].filter((other) => other !== place);
      const want = !fresh ? all : known.place === place ? [] : [known.place];
      expect(reached(nics), `frame ${i} from port ${place}, ${from} to ${to}`).to.deep.equal(want);
    }
  });
});

describe("VLANs on the bridge", () => {
  const tag = (frame: Uint8Array, tci: number): Uint8Array =>
    Uint8Array.from([...frame.slice(0, 12), 0x81, 0, tci >> 8, tci & 255, ...frame.slice(12)]);
  const tciOf = (frame: Uint8Array): number | undefined =>
    frame[12] === 0x81 && frame[13] === 0 ? new DataView(frame.buffer).getUint16(14) : undefined;

  /** What each NIC got: "number" or "number/tci". */
  function shown(nics: readonly UserVeth[]): string[] {
    return nics.map((nic) =>
      receiveAll(nic)
        .map(({ data }) => {
          const tci = tciOf(data);
          const inner = tci === undefined ? data : Uint8Array.from([...data.slice(0, 12), ...data.slice(16)]);
          return tci === undefined ? `${numberOf(inner)}` : `${numberOf(inner)}/${tci}`;
        })
        .join(" "),
    );
  }

  function vlans(...ports: VlanOptions[]): ReturnType<typeof setup> {
    const made = setup(ports.length, { vlanAware: true });
    ports.forEach((vlan, place) => made.bridge.setVlan(made.nics[place]!, vlan));
    return made;
  }

  it("keeps access ports apart, and puts tags on a trunk", () => {
    const { nics, bridge } = vlans({ access: 10 }, { access: 20 }, { access: 10 }, { pvid: 0, tagged: [10, 20] });
    const [a, b, , trunk] = nics as [UserVeth, UserVeth, UserVeth, UserVeth];
    a.send(numbered(a.mac, BROADCAST_MAC, 1), 0);
    expect(shown(nics)).to.deep.equal(["", "", "1", "1/10"]);
    b.send(numbered(b.mac, BROADCAST_MAC, 2), 0);
    expect(shown(nics)).to.deep.equal(["", "", "", "2/20"]);
    trunk.send(tag(numbered(trunk.mac, BROADCAST_MAC, 3), 20), 0);
    expect(shown(nics)).to.deep.equal(["", "3", "", ""]);
    // To a known address, with a priority in the tag.
    trunk.send(tag(numbered(trunk.mac, a.mac, 4), 0xa000 | 10), 0);
    expect(shown(nics)).to.deep.equal(["4", "", "", ""]);
    // The same address in another VLAN is another entry.
    trunk.send(tag(numbered(trunk.mac, a.mac, 5), 20), 0);
    expect(shown(nics)).to.deep.equal(["", "5", "", ""]);
    expect(bridge.vlanOf(trunk)).to.deep.equal({ pvid: 0, untagged: 0, tagged: [10, 20] });
    expect(bridge.table().map(({ mac, vlan }) => `${mac} ${vlan}`)).to.include.members([
      `${trunk.mac} 10`,
      `${trunk.mac} 20`,
    ]);
  });

  it("drops and counts a frame of a VLAN that the port is not in", () => {
    const { nics, bridge } = vlans({ access: 10 }, { access: 10 }, { pvid: 0, tagged: [10] });
    const [a, , trunk] = nics as [UserVeth, UserVeth, UserVeth];
    trunk.send(numbered(trunk.mac, BROADCAST_MAC, 1), 0);
    trunk.send(tag(numbered(trunk.mac, BROADCAST_MAC, 2), 30), 0);
    a.send(tag(numbered(a.mac, BROADCAST_MAC, 3), 20), 0);
    expect(shown(nics)).to.deep.equal(["", "", ""]);
    expect(bridge.counters().vlanDrops).to.equal(3);
    // A tag with the port's own VLAN is taken, a priority tag counts as none.
    a.send(tag(numbered(a.mac, BROADCAST_MAC, 4), 10), 0);
    expect(shown(nics)).to.deep.equal(["", "4", "4/10"]);
    a.send(tag(numbered(a.mac, BROADCAST_MAC, 5), 0xe000), 0);
    expect(shown(nics)).to.deep.equal(["", "5", "5/57354"]);
  });

  it("carries a native VLAN without a tag on a trunk", () => {
    const { nics } = vlans({ access: 5 }, { pvid: 5, tagged: [6] });
    nics[0]!.send(numbered(nics[0]!.mac, BROADCAST_MAC, 1), 0);
    expect(shown(nics)).to.deep.equal(["", "1"]);
    nics[1]!.send(numbered(nics[1]!.mac, BROADCAST_MAC, 2), 0);
    expect(shown(nics)).to.deep.equal(["2", ""]);
  });

  it("changes at run time", () => {
    const { nics, bridge } = vlans({ access: 10 }, { access: 10 });
    const send = (): string[] => {
      nics[0]!.send(numbered(nics[0]!.mac, nics[1]!.mac, 1), 0);
      return shown(nics);
    };
    expect(send()).to.deep.equal(["", "1"]);
    bridge.setVlan(nics[1]!, { access: 11 });
    expect(send()).to.deep.equal(["", ""]);
    bridge.setVlan(nics[1]!, { pvid: 11, tagged: [10] });
    expect(send()).to.deep.equal(["", "1/10"]);
    expect(() => bridge.setVlan(nics[1]!, { access: 4095 })).to.throw(OptionError, '"vlan.access"');
    expect(() => bridge.setVlan(nics[1]!, { access: 1, pvid: 2 })).to.throw(OptionError, "alone");
  });

  it("passes tags as they are when it is not VLAN-aware", () => {
    const { nics } = setup(2);
    nics[0]!.send(tag(numbered(nics[0]!.mac, BROADCAST_MAC, 1), 77), 0);
    expect(shown(nics)).to.deep.equal(["", "1/77"]);
  });

  it("meets NICs that strip and insert tags", () => {
    const lab = new Lab();
    const vlan = { offloads: { vlan: true } };
    const [a, b] = lab.pair(vlan, vlan);
    for (const length of [18, 46, 64, 300, 1500]) {
      const frame = numbered(a.mac, b.mac, length, length);
      lab.txBurst(a, [lab.packet([frame], { flags: TX_VLAN_INSERT, vlanTci: 0x6123 })]);
      a.send(tag(frame, 0x0fff), 0);
      a.send(frame, 0);
      const got = receiveAll(b);
      expect(got.map((packet) => packet.vlanTci)).to.deep.equal([0x6123, 0x0fff, 0]);
      expect(got.map((packet) => packet.flags & RX_VLAN_STRIPPED)).to.deep.equal([
        RX_VLAN_STRIPPED,
        RX_VLAN_STRIPPED,
        0,
      ]);
      for (const packet of got) expect([...packet.data]).to.deep.equal([...frame]);
    }
    const [c, d] = lab.pair(vlan, {});
    lab.txBurst(c, [
      lab.packet([numbered(c.mac, d.mac, 9, 20), new Uint8Array(500)], { flags: TX_VLAN_INSERT, vlanTci: 5 }),
    ]);
    const [packet] = receiveAll(d);
    expect([packet!.data.length, tciOf(packet!.data), packet!.flags]).to.deep.equal([524, 5, 0]);
    d.send(numbered(d.mac, c.mac, 1), 0, { flags: TX_VLAN_INSERT, vlanTci: 5 });
    expect(d.xstats().tx_errors).to.equal(1);
  });
});

// A NIC split into VFs: what its own switch does with frames, addresses and VLANs.
// Read first: veth/datapath/eswitch.ts; Linux ip-link(8) "vf".

import { expect } from "chai";
import { ethStats, type PfOptions, SriovNic, type UserVeth } from "../veth/index.ts";
import { TX_IP_CSUM, TX_L4_CSUM, TX_TSO } from "../assembly/layout.ts";
import { ether, ipv4, tcp } from "./support/frames.ts";
import { Lab, numbered, numberOf, receiveAll } from "./support/nics.ts";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const STRANGER = "02:aa:00:00:00:99";

interface Wired {
  lab: Lab;
  nic: SriovNic;
  /** Another NIC of the network. */
  peer: UserVeth;
}

/** A NIC with three VFs on a bridge, and another NIC there that takes every frame. */
function wired(options: Partial<PfOptions> = {}): Wired {
  const lab = new Lab();
  const bridge = lab.bridge({ vlanAware: false });
  const nic = SriovNic.create(lab, "pf0", { vfs: 3, ...options });
  const peer = lab.nic({ name: "peer", promiscuous: true });
  bridge.plug(nic.uplink);
  bridge.plug(peer);
  return { lab, nic, peer };
}

function numbers(port: UserVeth): number[] {
  return receiveAll(port).map(({ data }) => numberOf(data));
}

/** The frame with an 802.1Q tag. */
function tagged(frame: Uint8Array, tci: number): Uint8Array {
  return Uint8Array.of(...frame.subarray(0, 12), 0x81, 0, tci >> 8, tci & 255, ...frame.subarray(12));
}

function tciOf(frame: Uint8Array): number {
  return frame[12] === 0x81 && frame[13] === 0 ? ((frame[14] as number) << 8) | (frame[15] as number) : -1;
}

describe("a NIC split into VFs", () => {
  it("gives each function a name, an address and queues of its own", () => {
    const { nic } = wired({ queues: 2 });
    expect(nic.functions.map(({ name }) => name)).to.deep.equal(["pf0.pf", "pf0.vf0", "pf0.vf1", "pf0.vf2"]);
    expect(new Set(nic.functions.map(({ mac }) => mac)).size).to.equal(4);
    expect(nic.functions.map(({ queues }) => queues)).to.deep.equal([2, 2, 2, 2]);
    expect(nic.vfInfo(1)).to.deep.equal({
      vf: 1,
      mac: nic.vf(1).mac,
      vlan: 0,
      qos: 0,
      spoofcheck: true,
      trust: false,
      state: "enable",
    });
  });

  it("switches frames between functions by address, without the network", () => {
    const { nic, peer } = wired();
    const [a, b] = [nic.vf(0), nic.vf(1)];
    expect(a.send(numbered(a.mac, b.mac, 1), 0)).to.equal(true);
    a.send(numbered(a.mac, nic.pf.mac, 2), 0);
    nic.pf.send(numbered(nic.pf.mac, a.mac, 3), 0);
    expect(numbers(b)).to.deep.equal([1]);
    expect(numbers(nic.pf)).to.deep.equal([2]);
    expect(numbers(a)).to.deep.equal([3]);
    expect(numbers(nic.vf(2))).to.deep.equal([]);
    expect(numbers(peer)).to.deep.equal([]);
    expect(a.xstats()).to.include({ tx_switched_packets: 2, rx_switched_packets: 1, tx_uplink_packets: 0 });
  });

  it("sends what it does not know to the network, and takes from there what is for a function", () => {
    const { nic, peer } = wired();
    const a = nic.vf(0);
    a.send(numbered(a.mac, peer.mac, 1), 0);
    expect(numbers(peer)).to.deep.equal([1]);
    peer.send(numbered(peer.mac, a.mac, 2), 0);
    expect(numbers(a)).to.deep.equal([2]);
    expect(a.xstats()).to.include({ tx_uplink_packets: 1, rx_uplink_packets: 1 });
    peer.send(numbered(peer.mac, STRANGER, 3), 0);
    expect(nic.unknown).to.equal(1);
    expect(nic.functions.flatMap(numbers)).to.deep.equal([]);
  });

  it("brings broadcasts and multicasts to all other functions and the network, once", () => {
    const { nic, peer } = wired();
    const a = nic.vf(0);
    a.send(numbered(a.mac, BROADCAST, 1), 0);
    a.send(numbered(a.mac, "01:00:5e:00:00:01", 2), 0);
    expect(numbers(a)).to.deep.equal([]);
    for (const port of [nic.pf, nic.vf(1), nic.vf(2), peer]) expect(numbers(port), port.name).to.deep.equal([1, 2]);
    peer.send(numbered(peer.mac, BROADCAST, 3), 0);
    for (const port of nic.functions) expect(numbers(port), port.name).to.deep.equal([3]);
    expect(numbers(peer)).to.deep.equal([]);
    expect(a.xstats()).to.include({ tx_group_packets: 2, rx_group_packets: 1 });
  });

  it("drops what a VF sends with another's address, until spoofcheck is off", () => {
    const { nic, peer } = wired();
    const [a, b] = [nic.vf(0), nic.vf(1)];
    a.send(numbered(b.mac, peer.mac, 1), 0);
    a.send(numbered(STRANGER, b.mac, 2), 0);
    a.send(numbered(STRANGER, BROADCAST, 3), 0);
    expect([...numbers(peer), ...numbers(b)]).to.deep.equal([]);
    expect(a.xstats().tx_spoofed_errors).to.equal(3);
    expect(nic.stats(0)).to.deep.include({ opackets: 3, oerrors: 3 });
    nic.setVf(0, { spoofcheck: false });
    a.send(numbered(STRANGER, b.mac, 4), 0);
    expect(numbers(b)).to.deep.equal([4]);
    expect(nic.vfInfo(0).spoofcheck).to.equal(false);
  });

  it("keeps VLANs of VFs apart, without the VFs seeing a tag", () => {
    const { nic, peer } = wired();
    const [a, b, c] = [nic.vf(0), nic.vf(1), nic.vf(2)];
    nic.setVf(0, { vlan: 10, qos: 5 });
    nic.setVf(1, { vlan: 10 });
    nic.setVf(2, { vlan: 20 });
    a.send(numbered(a.mac, b.mac, 1), 0);
    expect(numbers(b), "same VLAN").to.deep.equal([1]);
    // In another VLAN the address is not known here: the frame goes out, where a router may be.
    a.send(numbered(a.mac, c.mac, 2), 0);
    expect(numbers(c)).to.deep.equal([]);
    const [out] = receiveAll(peer);
    expect(tciOf(out!.data)).to.equal((5 << 13) | 10);
    a.send(numbered(a.mac, BROADCAST, 3), 0);
    expect(numbers(b)).to.deep.equal([3]);
    expect(numbers(c)).to.deep.equal([]);
    expect(tciOf(receiveAll(peer)[0]!.data)).to.equal((5 << 13) | 10);
    // From the network: with the tag of its VLAN, or not at all.
    peer.send(tagged(numbered(peer.mac, a.mac, 4), 10), 0);
    peer.send(tagged(numbered(peer.mac, a.mac, 5), 20), 0);
    peer.send(numbered(peer.mac, a.mac, 6), 0);
    expect(numbers(a)).to.deep.equal([4]);
    expect(nic.unknown).to.equal(2);
    a.send(tagged(numbered(a.mac, b.mac, 7), 10), 0);
    expect(numbers(b)).to.deep.equal([]);
    expect(a.xstats().tx_vlan_errors).to.equal(1);
    // The trusted PF sees what is tagged as it is.
    peer.send(tagged(numbered(peer.mac, nic.pf.mac, 8), 20), 0);
    expect(tciOf(receiveAll(nic.pf).at(-1)!.data)).to.equal(20);
  });

  it("lets only a trusted VF use tags, and be promiscuous", () => {
    const { nic, peer } = wired();
    const a = nic.vf(0);
    a.promiscuous = true;
    peer.send(numbered(peer.mac, STRANGER, 1), 0);
    peer.send(tagged(numbered(peer.mac, a.mac, 2), 7), 0);
    a.send(tagged(numbered(a.mac, peer.mac, 3), 7), 0);
    expect([...numbers(a), ...numbers(peer)]).to.deep.equal([]);
    nic.setVf(0, { trust: true });
    peer.send(numbered(peer.mac, STRANGER, 4), 0);
    peer.send(tagged(numbered(peer.mac, a.mac, 5), 7), 0);
    a.send(tagged(numbered(a.mac, peer.mac, 6), 7), 0);
    expect(receiveAll(a).map(({ data }) => tciOf(data))).to.deep.equal([-1, 7]);
    expect(receiveAll(peer).map(({ data }) => tciOf(data))).to.deep.equal([7]);
  });

  it("switches a VF off and on", () => {
    const { nic, peer } = wired();
    const a = nic.vf(0);
    nic.setVf(0, { state: "disable" });
    a.send(numbered(a.mac, peer.mac, 1), 0);
    peer.send(numbered(peer.mac, a.mac, 2), 0);
    expect([...numbers(peer), ...numbers(a)]).to.deep.equal([]);
    expect(a.xstats().tx_disabled_packets).to.equal(1);
    nic.setVf(0, { state: "enable" });
    peer.send(numbered(peer.mac, a.mac, 3), 0);
    expect(numbers(a)).to.deep.equal([3]);
  });

  it("gives a VF another address", () => {
    const { nic, peer } = wired();
    const mac = "02:aa:00:00:00:07";
    nic.setVf(1, { mac });
    peer.send(numbered(peer.mac, mac, 1), 0);
    nic.vf(1).send(numbered(mac, peer.mac, 2), 0);
    expect(numbers(nic.vf(1))).to.deep.equal([1]);
    expect(numbers(peer)).to.deep.equal([2]);
    expect(() => nic.setVf(2, { mac })).to.throw(/is the address of pf0\.vf1 already/);
  });

  it("stops a sender whose receiver has no room, and nobody else", () => {
    const { nic, peer } = wired({ ringSize: 16 });
    const [a, b, c] = [nic.vf(0), nic.vf(1), nic.vf(2)];
    for (let i = 0; i < 16; i++) expect(a.send(numbered(a.mac, b.mac, i), 0)).to.equal(true);
    expect(a.send(numbered(a.mac, b.mac, 16), 0), "no room").to.equal(false);
    expect(c.send(numbered(c.mac, a.mac, 17), 0)).to.equal(true);
    expect(peer.send(numbered(peer.mac, c.mac, 18), 0)).to.equal(true);
    expect(numbers(b)).to.have.length(16);
    b.flowControl = a.flowControl = false;
    for (let i = 0; i < 20; i++) a.send(numbered(a.mac, b.mac, i), 0);
    expect(nic.stats(1)).to.include({ ipackets: 16, imissed: 4 });
  });

  it("lets a large packet pass whole between functions, and cuts it for the network", () => {
    const { lab, nic, peer } = wired({ offloads: { tso: true, lro: true } });
    const [a, b] = [nic.vf(0), nic.vf(1)];
    const large = (to: string): Uint8Array =>
      ether({ from: a.mac, to }, ipv4(tcp({ from: 1, to: 2, flags: "A", checksum: 0 }, new Uint8Array(4000)))).bytes();
    const options = { flags: TX_TSO | TX_L4_CSUM | TX_IP_CSUM, mss: 1000 };
    a.send(large(b.mac), 0, options);
    expect(receiveAll(b).map(({ mss }) => mss)).to.deep.equal([1000]);
    a.send(large(peer.mac), 0, options);
    expect(receiveAll(peer)).to.have.length(4);
    expect(lab.exports.rxMbufsInUse(b.handle, 0)).to.equal(0);
  });

  it("counts as rte_eth_stats does", () => {
    const { nic, peer } = wired();
    peer.send(numbered(peer.mac, nic.vf(2).mac, 1, 100), 0);
    numbers(nic.vf(2));
    const zero = { opackets: 0, obytes: 0, imissed: 0, ierrors: 0, oerrors: 0, rx_nombuf: 0 };
    expect(nic.stats(2)).to.deep.equal({ ipackets: 1, ibytes: 100, ...zero });
    expect(ethStats(nic.vf(2).xstats())).to.deep.equal(nic.stats(2));
  });

  it("says what is wrong with its options", () => {
    const { nic, lab } = wired();
    expect(() => SriovNic.create(lab, "x", { vfs: 0 })).to.throw(/nic\.vfs/);
    expect(() => SriovNic.create(lab, "x", { vfs: 64 })).to.throw(/whole number from 1 to 63/);
    expect(() => nic.vf(3)).to.throw(/whole number from 0 to 2/);
    expect(() => nic.setVf(0, { vlan: 4095 })).to.throw(/vf\.vlan/);
    expect(() => nic.setVf(0, { qos: 3 })).to.throw(/vf\.qos/);
    expect(() => nic.setVf(0, { mac: BROADCAST })).to.throw(/not a group/);
    expect(() => nic.setVf(0, { speed: 1 } as object)).to.throw(/vf\.speed/);
    expect(() => lab.bridge().plug(nic.vf(0))).to.throw(/plugged in already/);
  });

  it("brings nothing to a function that is closed", () => {
    const { nic, peer } = wired();
    const [a, b] = [nic.vf(0), nic.vf(1)];
    const { mac } = a;
    a.close();
    b.send(numbered(b.mac, mac, 1), 0);
    b.send(numbered(b.mac, BROADCAST, 2), 0);
    peer.send(numbered(peer.mac, mac, 3), 0);
    expect(numbers(peer)).to.deep.equal([1, 2]);
    expect(numbers(nic.vf(2))).to.deep.equal([2]);
    expect(nic.unknown).to.equal(1);
  });

  it("gives its memory back", () => {
    const { nic, lab, peer } = wired();
    const before = lab.regions.usedBytes;
    const other = SriovNic.create(lab, "pf1", { vfs: 2 });
    other.close();
    other.close();
    expect(lab.regions.usedBytes).to.equal(before);
    nic.close();
    peer.send(numbered(peer.mac, BROADCAST, 1), 0);
    expect(lab.regions.usedBytes).to.be.below(before);
  });
});

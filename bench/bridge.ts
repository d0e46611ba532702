// The NICs' raw datapath: 64-byte frames through NIC, RSS, bridge and NIC, in bursts, without any stack.
// Read first: DPDK testpmd, "io" forwarding, which this is; veth/datapath/transmit.ts.
//
// Two bridges with two NICs each. What NIC 1 receives from bridge A, NIC 2 sends unchanged over bridge B; what NIC 3
// receives there, NIC 0 sends over bridge A again. So the same frames go round, and the mbufs with them.

import { BURST_MAX } from "../assembly/layout.ts";
import { createMemory, instantiateVeth, Regions } from "../host/core.ts";
import { UserVbridge, UserVeth, type NicOptions, type VethModule } from "../veth/index.ts";
import { compareToBudget } from "./compare.ts";
import type { Measured, Row, RunOptions } from "./row.ts";

const FRAME_BYTES = 64;
const QUEUES = 4;
/** Frames that go round. */
const FRAMES = 4 * BURST_MAX;
/** Times that all frames pass both bridges in a batch. */
const ROUNDS = 64;
const FROM = "02:00:00:00:00:0a";
const TO = "02:00:00:00:00:0b";
/** DESIGN.md section 6. */
const BUDGET = 10e6;

export const bridgePps: Row = {
  name: "bridge_pps",
  title: "64 B frame through NIC, RSS to 4 queues, bridge, NIC, in bursts, one core",
  unit: "frame/s",
  bound: { atLeast: 1, aim: 2 },
  measure,
};

async function measure(options: RunOptions): Promise<Measured> {
  const memory = createMemory();
  const regions = new Regions(memory);
  const module: VethModule = {
    exports: instantiateVeth(memory),
    memory,
    allocate: (bytes) => regions.allocate(bytes),
    free: (address) => regions.free(address),
  };
  const nic = (mac: string): UserVeth => UserVeth.create(module, { mac, ...NIC });
  const nics = [nic(FROM), nic(TO), nic(FROM), nic(TO)] as const;
  for (const [a, b] of [
    [nics[0], nics[1]],
    [nics[2], nics[3]],
  ] as const) {
    const bridge = UserVbridge.create(module);
    bridge.plug(a);
    bridge.plug(b);
    // The bridge learns where TO is; the NIC that has the other address drops the frame.
    b.send(datagram("02:00:00:00:00:0c", TO, 0), 0);
  }
  for (let i = 0; i < FRAMES; i++) nics[0].send(datagram(TO, FROM, i), 0);
  const list = regions.allocate(BURST_MAX * 4);
  let frames = 0;
  const batch = (): void => {
    frames = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const now = performance.now() * 1000;
      frames += forward(module, nics[1], nics[2], list, now);
      frames += forward(module, nics[3], nics[0], list, now);
    }
    if (frames !== 2 * ROUNDS * FRAMES) throw new Error(`${frames} frames came round, of ${2 * ROUNDS * FRAMES}.`);
  };
  return await compareToBudget({ name: "oribi", amount: 2 * ROUNDS * FRAMES, batch }, BUDGET, options);
}

const NIC: NicOptions = { queues: QUEUES, ringSize: 1024, offloads: { rxChecksum: false, txChecksum: false } };

/** Sends by one NIC what another has received: all its queues, burst by burst. Returns how many frames. */
function forward({ exports }: VethModule, from: UserVeth, to: UserVeth, list: number, now: number): number {
  const receiver = from.handle;
  const sender = to.handle;
  let frames = 0;
  for (let queue = 0; queue < QUEUES; queue++) {
    let n: number;
    while ((n = exports.rxBurst(receiver, queue, list, BURST_MAX, now)) > 0) {
      if (exports.txBurst(sender, queue, list, n, now) !== n) throw new Error("A frame was not taken.");
      frames += n;
    }
  }
  return frames;
}

/** A UDP datagram in a frame of 64 bytes (its checksum 0: none); `flow` makes the source port. */
function datagram(to: string, from: string, flow: number): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  frame.set([...macBytes(to), ...macBytes(from), 8, 0, 0x45, 0]);
  view.setUint16(16, FRAME_BYTES - 14);
  frame.set([64, 17], 22);
  frame.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  view.setUint16(34, 1024 + flow);
  view.setUint16(36, 7);
  view.setUint16(38, FRAME_BYTES - 34);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  view.setUint16(24, ~((sum & 0xffff) + (sum >>> 16)));
  return frame;
}

function macBytes(mac: string): number[] {
  return mac.split(":").map((byte) => parseInt(byte, 16));
}

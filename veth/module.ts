// What the TypeScript half needs of the Wasm half: an instance of veth.wasm, its memory, and regions in it.
// Read first: DESIGN.md section 3; veth/datapath/index.ts for what each export does.

/** A shared `WebAssembly.Memory`; `buffer` changes when it grows. */
export interface VethMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The exports of veth.wasm that are used here; addresses and counts may arrive signed. */
export interface VethExports {
  rxBurst(port: number, queue: number, out: number, max: number, now: number): number;
  txBurst(port: number, queue: number, packets: number, count: number, now: number): number;
  queueOf(
    port: number,
    protocol: number,
    sourceIp: number,
    destinationIp: number,
    sourcePort: number,
    destinationPort: number,
  ): number;
  rxPending(port: number, queue: number): number;
  rxInterrupt(port: number, queue: number, doorbell: number): void;
  rxMbufsInUse(port: number, queue: number): number;
  frameSend(
    port: number,
    queue: number,
    data: number,
    length: number,
    flags: number,
    mss: number,
    vlanTci: number,
    now: number,
  ): number;
  frameReceive(port: number, queue: number, target: number, max: number, now: number): number;
  portBytes(queues: number, ringSize: number, mbufs: number, rules: number, txQueues: number): number;
  portInit(base: number): void;
  portSetRssKey(port: number): void;
  portNextDue(port: number): number;
  rssHash(
    port: number,
    sourceIp: number,
    destinationIp: number,
    sourcePort: number,
    destinationPort: number,
    withPorts: number,
  ): number;
  ruleAdd(
    port: number,
    protocol: number,
    sourceIp: number,
    destinationIp: number,
    sourcePort: number,
    destinationPort: number,
    queue: number,
  ): number;
  ruleRemove(
    port: number,
    protocol: number,
    sourceIp: number,
    destinationIp: number,
    sourcePort: number,
    destinationPort: number,
  ): number;
  ruleListen(port: number, protocol: number, localPort: number, queue: number): number;
  ruleUnlisten(port: number, protocol: number, localPort: number): number;
  ruleCount(port: number): number;
  ruleRecover(port: number, dead: number): number;
  rulesOfQueue(port: number, queue: number, removes: number): number;
  identify(id: number): void;
  txQueueForget(port: number, queue: number): void;
  rxQueueRepair(port: number, queue: number): number;
  rxQueueGaps(port: number, queue: number): number;
  rxQueueDrain(port: number, queue: number, scratch: number): number;
  rxQueueOpen(port: number, queue: number, open: number): void;
  rxQueueIsOpen(port: number, queue: number): number;
  rxQueueHolder(port: number, queue: number, id: number): void;
  rxCachesForget(port: number, txQueue: number): void;
  softDrain(ring: number): number;
  poolSweep(
    port: number,
    queue: number,
    soft: number,
    softs: number,
    stride: number,
    bits: number,
    frees: number,
  ): number;
  bridgeRepair(base: number): number;
  captureRepair(base: number): number;
  linkRecover(base: number, dead: number): number;
  cableConnect(a: number, b: number): number;
  cableDisconnect(port: number): number;
  bridgeBytes(slots: number, entries: number): number;
  bridgeInit(base: number): void;
  bridgeAttach(bridge: number, port: number): number;
  bridgeDetach(bridge: number, port: number): number;
  bridgeSetVlan(bridge: number, slot: number, pvid: number, untagged: number): number;
  bridgeFlush(bridge: number): void;
  eswitchBytes(count: number): number;
  eswitchInit(base: number): void;
  eswitchExtents(base: number, at: number): number;
  trunkBytes(size: number): number;
  trunkInit(base: number, size: number, port: number): void;
  ltranBytes(slots: number, flows: number): number;
  ltranInit(base: number): void;
  ltranServe(base: number, slot: number, start: number): void;
  ltranTransmit(base: number, slot: number, most: number, now: number): number;
  ltranReceive(base: number, most: number, now: number): number;
  linkBytes(frames: number, frameBytes: number): number;
  linkInit(base: number, port: number, direction: number, frames: number, frameBytes: number): void;
  linkSeed(link: number, seedLow: number, seedHigh: number): void;
  linkApply(link: number, restart: number): void;
  linkAttach(link: number): void;
  linkDetach(link: number): number;
  linkPoll(link: number, now: number): number;
  linkNextDue(link: number): number;
  linkInFlight(link: number): number;
  directoryBytes(links: number): number;
  directoryInit(base: number): void;
  directoryAdd(directory: number, link: number, limit: number): number;
  directoryRemove(directory: number, link: number): number;
  vethPoll(directory: number, now: number): number;
  vethNextDeadline(directory: number): number;
  portExtents(port: number, at: number): number;
  bridgeExtents(bridge: number, at: number): number;
  linkExtents(link: number, at: number): number;
  snapshotBytes(list: number, count: number): number;
  snapshotTake(block: number, list: number, count: number): void;
  snapshotRestore(block: number, list: number, count: number): number;
  snapshotEqual(a: number, b: number): number;
  captureBytes(size: number): number;
  captureInit(base: number, size: number, snap: number): void;
  captureNext(capture: number): number;
  captureRelease(capture: number): void;
}

/** An instance of veth.wasm with its memory. Every thread has its own; the regions are common to all. */
export interface VethModule {
  readonly exports: VethExports;
  readonly memory: VethMemory;
  /** A zeroed region of at least `bytes` bytes, aligned to 64 KiB: its address. */
  allocate(bytes: number): number;
  /** Gives a region back; where it is missing, regions live as long as the memory. */
  free?(address: number): void;
}

const views = new WeakMap<VethMemory, DataView>();

/** A view of all of the memory, as large as it is now. */
export function viewOf(module: VethModule): DataView {
  const { memory } = module;
  let view = views.get(memory);
  if (view === undefined || view.buffer !== memory.buffer) {
    view = new DataView(memory.buffer);
    views.set(memory, view);
  }
  return view;
}

/** The u32 at an address. */
export function readWord(module: VethModule, address: number): number {
  return viewOf(module).getUint32(address, true);
}

export function writeWord(module: VethModule, address: number, value: number): void {
  viewOf(module).setUint32(address, value, true);
}

/** The u64 counter at an address, as a number: exact up to 2^53. */
export function readCounter(module: VethModule, address: number): number {
  return Number(viewOf(module).getBigUint64(address, true));
}

/** A live view of bytes; not for keeping over a growth of the memory. */
export function bytesAt(module: VethModule, address: number, length: number): Uint8Array {
  return new Uint8Array(module.memory.buffer, address, length);
}

/** An error of the NICs' control side, with a stable code. */
export class VethError extends Error {
  override readonly name = "VethError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

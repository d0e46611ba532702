// The separate model as a network sets it up: the share of a host, its stacks' threads, and what others attach to.
// Read first: DESIGN.md section 4; share.ts; client/client.ts.

import { THREAD_BEATS, THREAD_BYTES, THREAD_RUNNING, THREAD_STATE } from "../assembly/layout.ts";
import { HostClient } from "./client/client.ts";
import type { ClientPlace } from "./client/place.ts";
import { type Background, LOOK_MILLIS } from "./client/waiting.ts";
import { coreModules, type CoreOptions, type SharedMemory, type StackExports } from "./core.ts";
import { optionError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { HostStack } from "./host-stack.ts";
import type { HostOptions } from "./network-options.ts";
import { createShare, type ShareOptions, shareOptions } from "./share.ts";
import { ShareKeeper } from "./share-keeper.ts";
import type { MainThread } from "./threads/main-thread.ts";
import { POLL_MODES, type PollMode } from "./threads/thread-driver.ts";
import { SPAWN_DEFAULTS } from "./threads/threads.ts";

/** It is looked so often whether a business thread has died, milliseconds. */
const TEND_MILLIS = 250;
/** What the thread of a stack runs. */
const STACK_THREAD = new URL("./threads/stack-thread.js", import.meta.url);

/** What it needs of the network. */
export interface SeparateNetwork {
  readonly memory: SharedMemory;
  readonly core: CoreOptions;
  /** Any instance, to lay things out. */
  readonly layer: StackExports;
  /** process.hrtime.bigint() when the network's time was 0. */
  readonly epochNanos: bigint;
  /** The threads; undefined in simulated time, where the stacks are stepped with the network. */
  readonly main: MainThread | undefined;
  allocate(bytes: number): number;
  now(): number;
  step(): number;
  nextDeadline(): number;
  sleepUntil(time: number): void;
  spawn(stack: HostStack, module: URL, options: { poll: PollMode }): Promise<unknown>;
}

/**
 * What a host is to share with business threads; undefined: its threads are shared ones.
 * @throws {OribiError} ERR_ORIBI_OPTION
 */
export function separationOf(options: HostOptions): Required<ShareOptions> | undefined {
  const { threads = "shared", poll, share = {} } = options;
  if (poll !== undefined && !POLL_MODES.includes(poll)) {
    throw optionError("poll", poll, '"busy", "adaptive" or "lowPower"');
  }
  if (threads === "shared") return undefined;
  if (threads !== "separate") throw optionError("threads", threads, '"shared" or "separate"');
  return shareOptions(share);
}

/** Starts the threads of a host's stacks; they end with the network. */
export function separate(
  network: SeparateNetwork,
  host: Host,
  options: HostOptions,
  share: Required<ShareOptions>,
): void {
  const { memory, main, layer } = network;
  const allocate = (bytes: number): number => network.allocate(bytes);
  const blocks = host.stacks.map((stack) => main?.blockOf(stack) ?? ownBlock(memory, allocate(THREAD_BYTES)));
  const place = createShare(memory, layer, allocate, blocks, main?.bell ?? 0, options.stack ?? {}, share);
  const poll = options.poll ?? SPAWN_DEFAULTS.poll;
  const start = (at: HostStack): void => {
    at.stack.core.shareJoin(place.parts[at.index] as number);
    at.isSharing = main === undefined;
    // It ends with the network, or with a trap, which host.trap shows.
    if (main !== undefined) network.spawn(at, STACK_THREAD, { poll }).catch(() => undefined);
  };
  host.stacks.forEach(start);
  const client: ClientPlace = {
    kind: "oribi-host",
    name: host.name,
    address: host.address,
    memory,
    modules: coreModules(network.core),
    ...network.core,
    epochNanos: network.epochNanos,
    ...place,
    blocks,
    poll,
    callTimeout: share.callTimeout,
  };
  const background = backgroundOf(network);
  const keeper = new ShareKeeper(memory, layer, client, allocate);
  const timer = main === undefined ? undefined : setInterval(() => keeper.tend(main), TEND_MILLIS).unref();
  host.separate({
    place: client,
    keeper,
    attach: () => new HostClient(client, background),
    restart: start,
    close: () => clearInterval(timer),
  });
}

/** What goes on in this thread while a call on the host waits. */
function backgroundOf(network: SeparateNetwork): Background {
  const { main } = network;
  return {
    now: () => network.now(),
    step: () => network.step(),
    sleep: (isReady, until) => {
      if (main !== undefined) {
        main.sleep(until, LOOK_MILLIS, isReady);
        return true;
      }
      const next = Math.min(until, network.nextDeadline());
      if (next === Infinity) return false;
      network.sleepUntil(next);
      return true;
    },
  };
}

/** The block of a thread that is this one: always there. */
function ownBlock(memory: SharedMemory, at: number): number {
  const words = new Int32Array(memory.buffer, at, THREAD_BYTES / 4);
  words[THREAD_STATE / 4] = THREAD_RUNNING;
  words[THREAD_BEATS / 4] = 1;
  return at;
}

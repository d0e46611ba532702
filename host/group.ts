// Makes what the stacks of one host share, and says in it where each of them lies.
// Read first: assembly/steer/group.ts for what it is; the words of a group in assembly/layout.ts.

import {
  GROUP_FLOWS,
  GROUP_MEMBERS,
  GROUP_PORT,
  GROUP_QUEUELESS,
  GROUP_SOFT_SLOTS,
  GROUP_STACKS,
  MEMBER_ARENA,
  MEMBER_BYTES,
  MEMBER_POOL,
  MEMBER_QUEUE,
} from "../assembly/layout.ts";
import type { UserVeth } from "../veth/index.ts";
import { type HostStack, shareQueues } from "./host-stack.ts";
import type { SharedMemory } from "./regions.ts";
import type { StackExports } from "./stack-exports.ts";
import { STACK_DEFAULTS, type StackOptions } from "./stack-options.ts";

/**
 * Makes the group of a host with several stacks; none of them is alive yet.
 * @param core an instance that lays it out
 * @returns its address
 */
export function createGroup(
  memory: SharedMemory,
  core: Pick<StackExports, "groupBytes" | "groupInit">,
  allocate: (bytes: number) => number,
  nic: UserVeth,
  stacks: number,
  options: StackOptions,
): number {
  const { connections, timeWaits, sockets } = { ...STACK_DEFAULTS, ...options };
  const flows = stacks * (connections + timeWaits + sockets);
  // A stack that stands still holds no more of the others' packets than a ring of its own.
  const softSlots = nic.ringSize;
  const base = allocate(core.groupBytes(stacks, softSlots, flows) >>> 0);
  const words = new Uint32Array(memory.buffer, base, GROUP_MEMBERS / 4);
  words[GROUP_STACKS / 4] = stacks;
  words[GROUP_SOFT_SLOTS / 4] = softSlots;
  words[GROUP_FLOWS / 4] = flows;
  words[GROUP_PORT / 4] = nic.handle;
  let queueless = 0n;
  shareQueues(nic.queues, stacks).forEach(({ count }, index) => {
    if (count === 0) queueless |= 1n << BigInt(index);
  });
  new BigUint64Array(memory.buffer, base, GROUP_MEMBERS / 8)[GROUP_QUEUELESS / 8] = queueless;
  core.groupInit(base);
  return base;
}

/** Says where a stack of a group is; the others hand packets over to it when it is alive. */
export function enroll(memory: SharedMemory, { stack, queues, nic, membership }: HostStack): void {
  const { group, index } = membership;
  if (group === 0) return;
  const words = new Uint32Array(memory.buffer, group + GROUP_MEMBERS + index * MEMBER_BYTES, MEMBER_BYTES / 4);
  words[MEMBER_ARENA / 4] = stack.place.base;
  words[MEMBER_POOL / 4] = nic.poolAddress(queues.first);
  words[MEMBER_QUEUE / 4] = queues.first;
}

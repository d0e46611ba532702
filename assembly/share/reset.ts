// A stack that has died is made anew: what its part of the share held for business threads ends. It is done in two
// steps, since business threads go on meanwhile: first nobody begins anything any more, then, when nobody is in the
// middle of something, everything is given back.
// Read first: part.ts; look.ts, shut(); host/share-keeper.ts, which calls this.

import {
  CALL_ANSWERED,
  CALL_UNDER_WAY,
  CHANNEL_BYTES,
  CHANNEL_GENERATION,
  CHANNEL_KIND,
  CHANNEL_RX_SEQUENCE,
  CHANNEL_SIGNALLED,
  CHANNEL_STATE,
  CHANNEL_TX,
  CHANNEL_TX_BUFFER,
  CHANNEL_TX_SEQUENCE,
  CHANNEL_TX_SIZE,
  CHANNEL_WATCHERS,
  ENETDOWN,
  PART_CALLS,
  PART_CAPACITY,
  PART_CHANNELS,
  PART_INDEX,
  PART_SCAN,
  PART_SHARE,
  PART_SIGNALS,
  PART_SLOTS,
  SEAT_BYTES,
  SEAT_PART,
  SEAT_RESULT,
  SEAT_STATUS,
  SHARE_POLL_SEQUENCE,
  SHARE_SEATS,
  SHARE_SEAT_COUNT,
  TURN_STACK,
} from "../layout";
import { poolFree } from "../memory/pool";
import { mpscPop, mpscRecover } from "../memory/ring";
import { SLOT_BYTES, askedOf, poolOfBuffer } from "./part";
import { withdrawDead } from "./withdraw";

function channelAt(p: usize, fd: u32): usize {
  return usize(load<u32>(p, PART_CHANNELS)) + usize(fd) * CHANNEL_BYTES;
}

/**
 * Closes every descriptor of the part at `p`, whose stack does not run: calls on them end with -EBADF. Returns how many
 * business threads are in the middle of a send on one: the stack's memory is not to be used anew before that is 0.
 */
export function partClose(p: usize): u32 {
  const capacity = load<u32>(p, PART_CAPACITY);
  let held: u32 = 0;
  for (let fd: u32 = 0; fd < capacity; fd++) {
    const c = channelAt(p, fd);
    if (atomic.load<u32>(c, CHANNEL_KIND) != 0) {
      atomic.add<u32>(c, 1, CHANNEL_GENERATION);
      atomic.store<u32>(c, 0, CHANNEL_KIND);
      atomic.store<u32>(c, 0, CHANNEL_STATE);
      atomic.store<u64>(c, 0, CHANNEL_WATCHERS);
      withdrawDead(c);
      wakeAll(c + CHANNEL_RX_SEQUENCE);
      wakeAll(c + CHANNEL_TX_SEQUENCE);
    }
    const turn = u32(atomic.load<u64>(c, CHANNEL_TX) >> 32);
    held += u32(turn != 0 && turn != u32(TURN_STACK));
  }
  wakeAll(usize(load<u32>(p, PART_SHARE)) + SHARE_POLL_SEQUENCE);
  return held;
}

/** Gives back what the closed part at `p` has. */
export function partReset(p: usize): void {
  const capacity = load<u32>(p, PART_CAPACITY);
  partClose(p);
  ringEmpty(usize(load<u32>(p, PART_SIGNALS)));
  ringEmpty(usize(load<u32>(p, PART_CALLS)));
  for (let fd: u32 = 0; fd < capacity; fd++) {
    const c = channelAt(p, fd);
    atomic.store<u32>(c, 0, CHANNEL_SIGNALLED);
    const buffer = load<u32>(c, CHANNEL_TX_BUFFER);
    store<u32>(c, 0, CHANNEL_TX_BUFFER);
    store<u32>(c, 0, CHANNEL_TX_SIZE);
    atomic.store<u64>(c, u64(u32(atomic.load<u64>(c, CHANNEL_TX))), CHANNEL_TX);
    const pool = poolOfBuffer(p, buffer);
    if (pool === null) continue;
    store<u32>(buffer, 0, 4);
    poolFree(pool, buffer);
  }
  memory.fill(usize(load<u32>(p, PART_SLOTS)), 0, usize(capacity) * SLOT_BYTES);
  atomic.store<u32>(p, 1, PART_SCAN);
  partFail(p);
}

/** Empties a ring whose consumer has died, maybe in the middle of taking something. */
function ringEmpty(ring: usize): void {
  mpscRecover(ring);
  while (mpscPop(ring) != 0);
}

function wakeAll(sequence: usize): void {
  atomic.add<u32>(sequence, 1);
  atomic.notify(sequence, -1);
}

/** Ends calls that the dead stack of the part at `p` was to answer, or had begun with: they fail with -ENETDOWN. */
export function partFail(p: usize): void {
  const share = usize(load<u32>(p, PART_SHARE));
  const asked = askedOf(load<u32>(p, PART_INDEX));
  const count = load<u32>(share, SHARE_SEAT_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const seat = usize(load<u32>(share, SHARE_SEATS)) + usize(i) * SEAT_BYTES;
    const isUnderWay = load<u32>(seat, SEAT_PART) == u32(p) && atomic.load<u32>(seat, SEAT_STATUS) == CALL_UNDER_WAY;
    // One that nobody has begun with may still be taken back by its caller.
    if (!isUnderWay && atomic.cmpxchg<u32>(seat, asked, CALL_UNDER_WAY, SEAT_STATUS) != asked) continue;
    store<i32>(seat, -ENETDOWN, SEAT_RESULT);
    atomic.store<u32>(seat, CALL_ANSWERED, SEAT_STATUS);
    atomic.notify(seat + SEAT_STATUS, -1);
  }
}

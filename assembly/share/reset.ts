// A stack that has died is made anew: what its part of the share held for business threads ends.
// Read first: part.ts; look.ts, shut().

import {
  CALL_ANSWERED,
  CALL_UNDER_WAY,
  CHANNEL_GENERATION,
  CHANNEL_KIND,
  CHANNEL_RX_SEQUENCE,
  CHANNEL_STATE,
  CHANNEL_TX_BUFFER,
  CHANNEL_TX_SEQUENCE,
  CHANNEL_WATCHERS,
  CHANNEL_BYTES,
  ENETDOWN,
  PART_CAPACITY,
  PART_CHANNELS,
  PART_SCAN,
  PART_SHARE,
  PART_SLOTS,
  SEAT_BYTES,
  SEAT_PART,
  SEAT_RESULT,
  SEAT_STATUS,
  SHARE_POLL_SEQUENCE,
  SHARE_SEATS,
  SHARE_SEAT_COUNT,
} from "../layout";
import { poolFree } from "../memory/pool";
import { SLOT_BYTES, poolOfBuffer } from "./part";

/**
 * Ends everything in the part at `p`, whose stack does not run: its descriptors are closed, calls that it was busy with
 * fail with -ENETDOWN, whoever waits looks again.
 */
export function partReset(p: usize): void {
  const capacity = load<u32>(p, PART_CAPACITY);
  for (let fd: u32 = 0; fd < capacity; fd++) {
    const c = usize(load<u32>(p, PART_CHANNELS)) + usize(fd) * CHANNEL_BYTES;
    const buffer = load<u32>(c, CHANNEL_TX_BUFFER);
    const isClosed = atomic.load<u32>(c, CHANNEL_KIND) == 0;
    if (buffer == 0 && isClosed) continue;
    store<u32>(c, 0, CHANNEL_TX_BUFFER);
    const pool = poolOfBuffer(p, buffer);
    if (pool !== null) {
      store<u32>(buffer, 0, 4);
      poolFree(pool, buffer);
    }
    if (isClosed) continue;
    atomic.add<u32>(c, 1, CHANNEL_GENERATION);
    atomic.store<u32>(c, 0, CHANNEL_KIND);
    atomic.store<u32>(c, 0, CHANNEL_STATE);
    atomic.store<u64>(c, 0, CHANNEL_WATCHERS);
    wakeAll(c + CHANNEL_RX_SEQUENCE);
    wakeAll(c + CHANNEL_TX_SEQUENCE);
  }
  memory.fill(usize(load<u32>(p, PART_SLOTS)), 0, usize(capacity) * SLOT_BYTES);
  atomic.store<u32>(p, 1, PART_SCAN);
  const share = usize(load<u32>(p, PART_SHARE));
  failCalls(p, share);
  wakeAll(share + SHARE_POLL_SEQUENCE);
}

function wakeAll(sequence: usize): void {
  atomic.add<u32>(sequence, 1);
  atomic.notify(sequence, -1);
}

function failCalls(p: usize, share: usize): void {
  const count = load<u32>(share, SHARE_SEAT_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const seat = usize(load<u32>(share, SHARE_SEATS)) + usize(i) * SEAT_BYTES;
    if (load<u32>(seat, SEAT_PART) != u32(p) || atomic.load<u32>(seat, SEAT_STATUS) != CALL_UNDER_WAY) continue;
    store<i32>(seat, -ENETDOWN, SEAT_RESULT);
    atomic.store<u32>(seat, CALL_ANSWERED, SEAT_STATUS);
    atomic.notify(seat + SEAT_STATUS, -1);
  }
}

// Taking back what business threads were shown: before a socket loses its queue or its role (disconnect, the end of a
// listener, close), so that nobody comes to what is another's by then.
// Read first: client.ts for what a thread reads in which order; connect(2) "AF_UNSPEC"; test/separate-withdraw.test.ts,
// which tries every interleaving.
//
//   the stack:  STATE = 0; the position to send moves under whoever has the turn; CONSUMED = {all of it, next epoch};
//               only then queues are emptied and roles change; then what is true is shown
//   a reader:   CONSUMED, PRODUCED, KIND, where it lies; copies; exchanges CONSUMED as it was
//   a sender:   wins the turn, STATE, the epoch; copies; exchanges {position, turn} as it was
//
// An exchange that succeeds says that nothing was taken back since its thread began, so what was copied was still
// there. One that fails has copied in vain. Nobody waits for anybody, and whoever dies leaves nothing half done.

import {
  CHANNEL_CONSUMED,
  CHANNEL_DRAINED,
  CHANNEL_EPOCH_SHIFT,
  CHANNEL_PRODUCED,
  CHANNEL_RUNS,
  CHANNEL_RUN_COUNT,
  CHANNEL_STATE,
  CHANNEL_TX,
} from "../layout";
import { SLOT_ENDING, Slot } from "./part";

/** The position's bits of CHANNEL_CONSUMED. */
const POSITION: u64 = (u64(1) << CHANNEL_EPOCH_SHIFT) - 1;

/** Which epoch a CHANNEL_CONSUMED is of, from 1. */
export function epochOf(word: u64): u32 {
  return u32(word >> CHANNEL_EPOCH_SHIFT) + 1;
}

/** CHANNEL_CONSUMED `word` with another position in its lower 32 bits. */
export function consumedAt(word: u64, position: u32): u64 {
  return (word & ~(<u64>0xffffffff)) | position;
}

/** Takes back everything of a stream. What was sent and not taken yet is dropped: the connection is over. */
export function withdraw(c: usize, slot: Slot): void {
  withdrawState(c);
  slot.flags &= ~SLOT_ENDING;
  withdrawSent(c, slot);
  withdrawReceived(c, slot.published);
  received(slot);
}

/** Nothing may be sent, nothing has ended: who looks meanwhile waits, and is told when there is something to say. */
export function withdrawState(c: usize): void {
  atomic.store<u32>(c, 0, CHANNEL_STATE);
}

/** After withdrawReceived(): the stack's own notes of it. */
export function received(slot: Slot): void {
  slot.applied = slot.published;
  slot.runsLive = 0;
}

/**
 * Begins an epoch in which nothing up to position `published` can be taken. Returns the position up to which threads
 * had taken something before, as they say.
 */
export function withdrawReceived(c: usize, published: u32): u32 {
  const word = atomic.load<u64>(c, CHANNEL_CONSUMED);
  const end = (word + u64(published - u32(word))) & POSITION;
  const epoch = (word >> CHANNEL_EPOCH_SHIFT) + 1;
  return u32(atomic.xchg<u64>(c, end | (epoch << CHANNEL_EPOCH_SHIFT), CHANNEL_CONSUMED));
}

/** Drops what is in the send buffer, and what the thread is about to put there that has the turn. */
function withdrawSent(c: usize, slot: Slot): void {
  let tx = atomic.load<u64>(c, CHANNEL_TX);
  // Whoever takes the turn from now on finds that nothing may be sent; so this is tried a few times at most.
  while (tx >> 32 != 0) {
    const moved = (tx & ~(<u64>0xffffffff)) | u64(u32(tx) + 1);
    const seen = atomic.cmpxchg<u64>(c, tx, moved, CHANNEL_TX);
    if (seen == tx) {
      tx = moved;
      break;
    }
    tx = seen;
  }
  slot.drained = u32(tx);
  atomic.store<u32>(c, slot.drained, CHANNEL_DRAINED);
}

/** Where bytes lie is not known of any position up to `published`: the words were a listener's, or another life's. */
export function runsForget(c: usize, published: u32): void {
  for (let i: u32 = 0; i < u32(CHANNEL_RUN_COUNT); i++) {
    atomic.store<u64>(c + (usize(i) << 3), u64(published) << 32, CHANNEL_RUNS);
  }
}

/** The same for a channel whose stack has died, with its slot: what it has published last counts. */
export function withdrawDead(c: usize): void {
  withdrawReceived(c, u32(atomic.load<u64>(c, CHANNEL_PRODUCED)));
}

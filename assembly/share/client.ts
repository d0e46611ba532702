// The business thread's side of a channel, run by an instance of its own: nothing here waits, takes a lock that a dying
// thread could leave locked for good, or touches the stack. What all of it shares: signals, calls, short waits.
// Read first: client-receive.ts and client-send.ts, which move bytes.

import {
  CHANNEL_CONSUMED,
  CHANNEL_KIND,
  CHANNEL_SIGNALLED,
  KIND_TCP,
  PART_BELL,
  PART_CALLS,
  PART_CHANNELS,
  PART_INDEX,
  PART_SCAN,
  PART_SIGNALS,
  SEAT_PART,
  SEAT_STATUS,
} from "../layout";
import { doorbellRing } from "../memory/doorbell";
import { mpscPush } from "../memory/ring";
import { channelReadable, channelWritable } from "./channel";
import { askedOf } from "./part";
import { epochOf } from "./withdraw";

/** Has the stack look at a channel; `again` even when a signal is under way already. */
export function clientSignal(p: usize, c: usize, again: bool): void {
  if (atomic.xchg<u32>(c, 1, CHANNEL_SIGNALLED) != 0 && !again) return;
  const fd = (u32(c) - load<u32>(p, PART_CHANNELS)) >>> 8;
  if (!mpscPush(usize(load<u32>(p, PART_SIGNALS)), fd + 1)) atomic.store<u32>(p, 1, PART_SCAN);
  doorbellRing(load<u32>(p, PART_BELL));
}

/** Hands a call to the stack with part `p`: its seat has been filled in. False: too many callers. */
export function clientCall(p: usize, seat: usize, index: u32): bool {
  store<u32>(seat, u32(p), SEAT_PART);
  atomic.store<u32>(seat, askedOf(load<u32>(p, PART_INDEX)), SEAT_STATUS);
  if (!mpscPush(usize(load<u32>(p, PART_CALLS)), index + 1)) return false;
  doorbellRing(load<u32>(p, PART_BELL));
  return true;
}

/** Which epoch a channel is in now. */
export function clientEpochOf(c: usize): u32 {
  return epochOf(atomic.load<u64>(c, CHANNEL_CONSUMED));
}

/** Spins until a call on the channel need not wait, or epoch `epoch` is over; false: not in `rounds` rounds. */
export function clientSpin(c: usize, epoch: u32, sending: bool, rounds: u32): bool {
  for (let i: u32 = 0; i < rounds; i++) {
    if (sending ? channelWritable(c) : channelReadable(c)) return true;
    if (clientEpochOf(c) != epoch) return true;
  }
  return false;
}

/** Spins until a call is answered; false: not in so many rounds. */
export function clientSpinCall(seat: usize, answered: u32, rounds: u32): bool {
  for (let i: u32 = 0; i < rounds; i++) if (atomic.load<u32>(seat, SEAT_STATUS) == answered) return true;
  return false;
}

/** A kind that the calls of streams are for. */
export function clientIsStream(c: usize): bool {
  return atomic.load<u32>(c, CHANNEL_KIND) == KIND_TCP;
}

/** 1 when a call that receives or accepts on the channel need not wait. */
export function clientReadable(c: usize): bool {
  return channelReadable(c);
}

/** 1 when a call that sends need not wait. */
export function clientWritable(c: usize): bool {
  return channelWritable(c);
}

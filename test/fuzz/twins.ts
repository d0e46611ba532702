// Two stacks that live the same life, frame by frame and call by call, with different bytes behind every frame they
// receive. What they answer must be the same: otherwise one has looked at what is not part of a frame.

import { stackHarness, type HarnessOptions, type StackHarness } from "../support/harness.ts";
import type { RxOptions } from "../support/fake-nic.ts";

/** The twins did not do the same. */
export class TwinsDiffer extends Error {
  override readonly name = "TwinsDiffer";
}

export class Twins {
  readonly one: StackHarness;
  readonly two: StackHarness;
  /** Frames that each was given. */
  offered = 0;

  constructor(options: HarnessOptions) {
    this.one = stackHarness({ ...options, filler: 0x00 });
    this.two = stackHarness({ ...options, filler: 0xff });
  }

  /** Makes a call to both; returns what both gave. */
  call(action: (stack: StackHarness) => number): number {
    const [first, second] = [action(this.one), action(this.two)];
    if (first !== second) throw new TwinsDiffer(`A call gave ${first} and ${second}: ${action.toString()}`);
    return first;
  }

  /** Lets frames arrive in one burst and everything follow from them; returns the frames that left. */
  receive(frames: readonly Uint8Array[], options: readonly RxOptions[] = []): Uint8Array[] {
    this.offered += frames.length;
    for (const twin of [this.one, this.two]) {
      frames.forEach((frame, i) => twin.nic.deliver(1, frame, options[i]));
      twin.poll();
    }
    return this.sent();
  }

  /** Lets milliseconds pass; returns the frames that left. */
  advance(millis: number): Uint8Array[] {
    this.one.advance(millis);
    this.two.advance(millis);
    return this.sent();
  }

  /** The frames that have left since the last look. */
  sent(): Uint8Array[] {
    this.one.poll();
    this.two.poll();
    const [first, second] = [this.one.nic.take(1), this.two.nic.take(1)];
    for (const { nic } of [this.one, this.two]) nic.log.length = 0;
    const differs = first.findIndex((frame, i) => second[i] === undefined || Buffer.compare(frame, second[i]) !== 0);
    if (differs >= 0 || first.length !== second.length) {
      const [a, b] = [first[Math.max(differs, 0)], second[Math.max(differs, 0)]].map((frame) => hex(frame));
      throw new TwinsDiffer(`${first.length} and ${second.length} frames left; number ${differs}: ${a} and ${b}`);
    }
    return first;
  }
}

function hex(frame: Uint8Array | undefined): string {
  return frame === undefined ? "none" : Buffer.from(frame).toString("hex");
}

// A set of numbers kept as sorted, disjoint ranges: which sequence numbers a capture has shown so far.
// Read first: RFC 9293 section 3.4 (sequence space), from which the ranges come, unwrapped.

/** Half-open ranges [start, end) of integers; adding and asking cost a binary search. */
export class RangeSet {
  private readonly starts: number[] = [];
  private readonly ends: number[] = [];

  /** How many numbers of [start, end) are in the set. */
  overlap(start: number, end: number): number {
    let total = 0;
    for (let index = this.firstEndingAfter(start); index < this.starts.length; index++) {
      const from = Math.max(start, this.starts[index]!);
      const to = Math.min(end, this.ends[index]!);
      if (to <= from) break;
      total += to - from;
    }
    return total;
  }

  /** Puts [start, end) into the set; ranges that touch become one. */
  add(start: number, end: number): void {
    if (end <= start) return;
    const first = this.firstEndingAfter(start - 1);
    let from = start;
    let to = end;
    let index = first;
    while (index < this.starts.length && this.starts[index]! <= end) {
      from = Math.min(from, this.starts[index]!);
      to = Math.max(to, this.ends[index]!);
      index += 1;
    }
    this.starts.splice(first, index - first, from);
    this.ends.splice(first, index - first, to);
  }

  /** Index of the first range whose end is above `value`. */
  private firstEndingAfter(value: number): number {
    let low = 0;
    let high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ends[middle]! > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

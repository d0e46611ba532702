// Words that the threads of the demo's server share with the main thread: how many serve, whether they are to end, and
// what each queue's connections have asked for.

const READY = 0;
const STOP = 1;
const REQUESTS = 2;

/** The words, seen from any thread. */
export class Tally {
  readonly #words: Int32Array;

  /** @param buffer made by Tally.buffer() */
  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  /** Room for so many queues. */
  static buffer(queues: number): SharedArrayBuffer {
    return new SharedArrayBuffer((REQUESTS + queues) * Int32Array.BYTES_PER_ELEMENT);
  }

  /** Threads that serve. */
  get ready(): number {
    return Atomics.load(this.#words, READY);
  }

  /** This thread serves from now on. */
  begin(): void {
    Atomics.add(this.#words, READY, 1);
  }

  /** Are the threads to end? */
  get isStopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }

  /** Asks all threads to end. */
  stop(): void {
    Atomics.store(this.#words, STOP, 1);
  }

  /** A request of a queue's was answered. */
  count(queue: number): void {
    Atomics.add(this.#words, REQUESTS + queue, 1);
  }

  /** Requests that were answered, by queue. */
  requests(): number[] {
    return [...this.#words.subarray(REQUESTS)];
  }
}

// The descriptors of a script: its numbers are its own, ours are the stack's. Files and pipes, which the stack does not
// have, are played here as far as sendfile and splice need them.
// Read first: system-calls.ts.

/** Something that is no socket. */
export interface PlayedFile {
  kind: "file" | "pipe";
  /** Bytes that can be read; a file never ends. */
  bytes: number;
}

/** Descriptors that no call has opened are given to the stack as this one, which it does not know either. */
const UNKNOWN = -1;

export class Descriptors {
  readonly #live = new Map<number, number>();
  readonly #played = new Map<number, PlayedFile>();

  /** The stack's descriptor for the script's. */
  toLive(fd: number): number {
    return this.#live.get(fd) ?? UNKNOWN;
  }

  played(fd: number): PlayedFile | undefined {
    return this.#played.get(fd);
  }

  add(fd: number, live: number): void {
    this.#live.set(fd, live);
    this.#played.delete(fd);
  }

  play(fd: number, file: PlayedFile): void {
    this.#played.set(fd, file);
    this.#live.delete(fd);
  }

  /** The script's lowest free number, as open(2) gives it. */
  free(): number {
    let fd = 3;
    while (this.#live.has(fd) || this.#played.has(fd)) fd++;
    return fd;
  }

  remove(fd: number): void {
    this.#live.delete(fd);
    this.#played.delete(fd);
  }
}

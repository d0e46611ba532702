// Where commands write and how they hear of Ctrl-C. Nothing else in the program touches the process's streams.
// Read first: no-color.org; node:tty WriteStream.

/** A stream for text. */
export interface Output {
  write(text: string): unknown;
  /** Is it a terminal that a person watches? */
  readonly isTTY: boolean;
  /** Width, characters; 80 where there is no terminal. May change while a command runs. */
  readonly columns: number;
  /** May it be given colours? */
  readonly color: boolean;
}

/** What a command gets from its surroundings. */
export interface Io {
  /** For results. */
  stdout: Output;
  /** For progress, remarks and errors. */
  stderr: Output;
  /**
   * Aborted by Ctrl-C. A command that reads this must look at it often and end: until it is read, Ctrl-C ends the
   * program at once, afterwards only the second one does.
   */
  readonly signal: AbortSignal;
}

const COLUMNS_DEFAULT = 80;

/** The real surroundings: the process's streams, its environment and its signals. */
export function processIo(): Io {
  let controller: AbortController | undefined;
  return {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    get signal(): AbortSignal {
      if (controller === undefined) {
        const own = (controller = new AbortController());
        process.once("SIGINT", () => own.abort());
      }
      return controller.signal;
    },
  };
}

/** Colours are for terminals, unless NO_COLOR forbids or FORCE_COLOR asks (no-color.org). */
export function wantsColor(isTTY: boolean, env: NodeJS.ProcessEnv): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "" && env.FORCE_COLOR !== "0") return true;
  return isTTY && env.TERM !== "dumb";
}

function outputOf(stream: NodeJS.WriteStream): Output {
  // A reader that has read enough (`| head`) is no error.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit();
  });
  const isTTY = stream.isTTY === true;
  return {
    write: (text) => stream.write(text),
    isTTY,
    get columns() {
      return stream.columns > 0 ? stream.columns : COLUMNS_DEFAULT;
    },
    color: wantsColor(isTTY, process.env),
  };
}

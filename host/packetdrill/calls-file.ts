// open, pipe, sendfile, splice: the stack has sockets only, so files of zeros and pipes are played here.
// Read first: descriptors.ts; sendfile(2), splice(2).

import { EBADF, EINVAL, FIONREAD, SIOCATMARK } from "../../assembly/layout.ts";
import { argument, type Call, type CallContext, integer, integerOr } from "./call-context.ts";
import { bufferOf } from "./calls-transfer.ts";
import type { SyscallEvent } from "./script.ts";
import { itemsOf, toNumber } from "./values.ts";

/** What a pipe holds (Linux: 16 pages). */
const PIPE_BYTES = 65536;

export const fileCalls: readonly (readonly [string, Call])[] = [
  ["open", open],
  ["pipe", pipe],
  ["sendfile", sendfile],
  ["splice", splice],
];

/** Any file can be opened; it is full of zeros and has no end. */
function open({ descriptors }: CallContext, event: SyscallEvent): number {
  const { result } = event;
  const fd = result?.kind === "integer" && result.value >= 0 ? result.value : descriptors.free();
  descriptors.play(fd, { kind: "file", bytes: Infinity });
  return fd;
}

function pipe({ descriptors }: CallContext, event: SyscallEvent): number {
  const ends = itemsOf(argument(event, 0), event.line, "the ends of the pipe");
  const pipeOf = { kind: "pipe" as const, bytes: 0 };
  for (const end of ends) descriptors.play(toNumber(end, event.line, "an end of the pipe"), pipeOf);
  return 0;
}

function sendfile(context: CallContext, event: SyscallEvent): number {
  const file = context.descriptors.played(integer(event, 1));
  if (file === undefined) return -EBADF;
  if (file.kind !== "file") return -EINVAL;
  return context.posix.write(context.descriptors.toLive(integer(event, 0)), bufferOf(event, integer(event, 3)));
}

/** splice(from, offset, to, offset, bytes, flags), one of both a pipe. */
function splice({ descriptors, posix }: CallContext, event: SyscallEvent): number {
  const [from, to] = [integer(event, 0), integer(event, 2)];
  const length = integerOr(event, 4, 0);
  const [source, target] = [descriptors.played(from), descriptors.played(to)];
  if (target?.kind === "pipe" && source === undefined) {
    const fd = descriptors.toLive(from);
    // Nothing can be spliced across urgent data, and nobody waits for it (Linux: tcp_splice_read).
    if (posix.ioctl(fd, FIONREAD) === 0 && posix.ioctl(fd, SIOCATMARK) > 0) return 0;
    const got = posix.read(fd, bufferOf(event, Math.min(length, PIPE_BYTES - target.bytes)));
    if (got > 0) target.bytes += got;
    return got;
  }
  if (source?.kind !== "pipe" || target !== undefined) return -EINVAL;
  const sent = posix.write(descriptors.toLive(to), bufferOf(event, Math.min(length, source.bytes)));
  if (sent > 0) source.bytes -= sent;
  return sent;
}

// System calls: `connect(4, ..., ...) = -1 EINPROGRESS (Operation now in progress)`.
// Read first: SyscallEvent in script.ts.

import type { Scanner } from "./lexer.ts";
import { parseArguments, parseValue } from "./parse-value.ts";
import type { SyscallEvent } from "./script.ts";

const ERRNO = /E[A-Z0-9]+(?![A-Za-z0-9_])/y;

export type SyscallParts = Pick<SyscallEvent, "name" | "arguments" | "result" | "errno" | "note">;

/** Takes a call from its name on. */
export function parseSyscall(scanner: Scanner): SyscallParts {
  const name = scanner.word(
    "a packet (< or >), a system call, a shell command in back quotes, or %{ code }% behind the time",
  );
  if (!scanner.peek("(")) scanner.fail(`"(" and the arguments of ${name}`);
  const call: SyscallParts = { name, arguments: parseArguments(scanner) };
  if (!scanner.accept("=")) return call;
  if (scanner.accept("?")) return withNote(scanner, call);
  call.result = parseValue(scanner, `the result of ${name}, such as 0, -1 EAGAIN or ?`);
  const errno = scanner.match(ERRNO);
  if (errno !== undefined) call.errno = errno;
  return withNote(scanner, call);
}

function withNote(scanner: Scanner, call: SyscallParts): SyscallParts {
  const note = scanner.note();
  return note === undefined ? call : { ...call, note };
}

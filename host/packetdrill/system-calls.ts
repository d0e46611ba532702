// The system calls of scripts: arguments in, results out and compared, over the POSIX layer.
// Read first: script.ts (SyscallEvent); host/posix/posix.ts; values.ts.

import { errnoText, numberOf } from "./names.ts";
import { connectionCalls } from "./calls-connection.ts";
import { fileCalls } from "./calls-file.ts";
import { messageCalls } from "./calls-message.ts";
import { multiplexCalls } from "./calls-multiplex.ts";
import { optionCalls } from "./calls-option.ts";
import { transferCalls } from "./calls-transfer.ts";
import type { Call, CallContext } from "./call-context.ts";
import { ScriptFailure, ScriptRefusal } from "./failure.ts";
import type { SyscallEvent } from "./script.ts";
import { isAny, toNumber } from "./values.ts";

const CALLS: ReadonlyMap<string, Call> = new Map([
  ...connectionCalls,
  ...transferCalls,
  ...messageCalls,
  ...optionCalls,
  ...multiplexCalls,
  ...fileCalls,
]);

/**
 * Makes a call and compares what comes back: the result, errno, and whatever its arguments say about results.
 * @throws {ScriptFailure} when something differs, {ScriptRefusal} for calls that are not there
 */
export function makeCall(context: CallContext, event: SyscallEvent): void {
  const call = CALLS.get(event.name);
  if (call === undefined) throw new ScriptRefusal(event.line, `the system call ${event.name}() is not supported`);
  compareResult(event, call(context, event));
}

function compareResult(event: SyscallEvent, result: number): void {
  const { line, name } = event;
  if (event.result === undefined || isAny(event.result)) return;
  const expected = toNumber(event.result, line, "the result");
  const came = result < 0 ? -1 : result;
  const errno = event.errno === undefined ? undefined : numberOf(event.errno);
  if (event.errno !== undefined && errno === undefined) {
    throw new ScriptRefusal(line, `the error ${event.errno} is not known`);
  }
  const text = (value: number, error: string): string => (value < 0 ? `${value} ${error}` : String(value));
  if (expected !== came || (result < 0 && errno !== undefined && errno !== -result)) {
    const wanted = text(expected, event.errno ?? "");
    throw new ScriptFailure(line, `${name}: expected ${wanted.trim()}, got ${text(came, errnoText(-result))}`);
  }
}

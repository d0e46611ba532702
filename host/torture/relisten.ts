// Listeners that end and listen again under load, and looks at other threads' connections: what a stack has published
// to applications must not outlive the queue or the role that it belonged to.
// Read first: talker.ts; assembly/share/withdraw.ts, whose torture this is.

import { AF_UNSPEC, EINVAL, ENOTCONN, MSG_DONTWAIT, MSG_PEEK, SHUT_RD, SHUT_RDWR } from "../../assembly/layout.ts";
import { errnoName } from "../posix/constants.ts";
import type { Posix } from "../posix/posix.ts";
import * as at from "./board.ts";
import type { Board } from "./board.ts";
import { HEADER } from "./end.ts";
import { startOf, wrongByte } from "./pattern.ts";
import { BACKLOG } from "./role.ts";

/** How a listener is ended, in words; the place in this list is what COMMAND_RELISTEN adds. */
export const RELISTEN_WAYS = ["shutdown(SHUT_RDWR)", "shutdown(SHUT_RD)", "connect(AF_UNSPEC)"] as const;

/**
 * Ends the listener of a stack and has it listen again. Connections that waited are reset, and what comes in between:
 * that counts as a kill for those who judge how theirs have ended.
 * @param isAlone no other thread does the same to this listener
 */
export function relisten(
  board: Board,
  posix: Posix,
  thread: number,
  stack: number,
  way: number,
  isAlone: boolean,
): void {
  const fd = board.get(board.listener(stack)) - 1;
  if (fd < 0) return;
  const life = board.get(board.incarnation(at.SERVER, stack));
  board.add(at.KILLS);
  board.add(at.DOWN);
  Atomics.store(board.words, board.relistening(thread), 1);
  const ended =
    way === 2 ? posix.connect(fd, { family: AF_UNSPEC }) : posix.shutdown(fd, way === 0 ? SHUT_RDWR : SHUT_RD);
  const accepted = ended === 0 ? posix.accept(fd) : -1;
  listenAgain(board, posix, thread, stack);
  // Another thread may have had it listen again already; a stack that was killed meanwhile says anything.
  if (board.isEnding(at.SERVER, stack, life)) return;
  if (ended < 0 && ended !== -ENOTCONN) board.report(`${RELISTEN_WAYS[way]} of a listener failed: ${errnoName(ended)}`);
  if (accepted >= 0) posix.close(accepted);
  if (ended === 0 && isAlone && accepted !== -EINVAL) board.report(`a listener that has ended accepts: ${accepted}`);
  board.add(at.RELISTENS);
}

/** The second half, also for a thread whose predecessor died in between. */
export function listenAgain(board: Board, posix: Posix, thread: number, stack: number): void {
  const word = board.relistening(thread);
  if (board.get(word) === 0) return;
  const fd = board.get(board.listener(stack)) - 1;
  const life = board.get(board.incarnation(at.SERVER, stack));
  const result = fd < 0 ? 0 : posix.listen(fd, BACKLOG);
  if (result < 0 && !board.isEnding(at.SERVER, stack, life)) {
    board.report(`a listener of stack ${stack} cannot listen again: ${errnoName(result)}`);
  }
  board.add(at.KILLS);
  Atomics.store(board.words, word, 0);
  board.add(at.DOWN, -1);
}

/**
 * Peeks at a connection that another thread may be using, breaking off or closing meanwhile: what is found must be what
 * comes next on it, if it is still the same when that has been found.
 */
export function peekAt(board: Board, posix: Posix, place: number, side: number, buffer: Buffer): void {
  const word = (index: number): number => Atomics.load(board.words, place + index);
  const state = (): string => {
    const stack = word(at.AT_STACK);
    const lives = [board.get(board.incarnation(side, stack)), word(at.AT_INCARNATION)];
    if (lives[0] !== lives[1]) return "";
    return [
      lives[0],
      stack,
      ...[at.AT_STATE, at.AT_BUSY, at.AT_FD, at.AT_LIFE, at.AT_KEY, at.AT_RECEIVED].map(word),
    ].join();
  };
  const before = state();
  const fd = word(at.AT_FD) - 1;
  const received = word(at.AT_RECEIVED);
  if (
    before === "" ||
    fd < 0 ||
    word(at.AT_BUSY) !== 0 ||
    word(at.AT_STATE) === at.FREE ||
    word(at.AT_STATE) === at.CLOSING
  )
    return;
  if (side === at.SERVER && received < HEADER) return;
  Atomics.store(board.words, place + at.AT_PEEKED, word(at.AT_LIFE));
  const n = posix.recv(fd, buffer, MSG_DONTWAIT | MSG_PEEK);
  if (n <= 0 || state() !== before) return;
  const isDown = side === at.CLIENT;
  const from = isDown ? received : received - HEADER;
  const wrong = wrongByte(board.table, startOf(word(at.AT_KEY), isDown) + from, buffer, n);
  // Whoever uses it may just have begun with it.
  if (wrong >= 0 && state() === before) board.report(`side ${side} fd ${fd}: byte ${from + wrong} of a peek is wrong`);
  board.add(at.PEEKS);
}

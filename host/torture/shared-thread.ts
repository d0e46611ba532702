// The shared model's thread in a torture: stack and talker run to completion in it.
// Read first: talker.ts.

import { AF_INET, SO_KEEPALIVE, SO_REUSEADDR, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "../../assembly/layout.ts";
import type { WorkerHost } from "../threads/worker-host.ts";
import { Board, COMMAND_EXIT, COMMAND_THROW, SERVER } from "./board.ts";
import { BACKLOG, type Role } from "./role.ts";
import { Talker } from "./talker.ts";

/** Serves or talks until the torture ends. */
export default function run(host: WorkerHost, role: Role): void {
  const board = new Board(role.board);
  if (role.side === SERVER) listen(host, board, role.port);
  new Talker(board, host.posix, role, () => host.index).run(obey);
}

/** Every stack of the server listens on the one port; where the last application was ended, it listens still. */
function listen({ posix, index }: WorkerHost, board: Board, port: number): void {
  const word = board.listener(index);
  if (board.get(word) !== 0) return;
  const fd = posix.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  posix.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  posix.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  const bound = posix.bind(fd, { port });
  const result = bound < 0 ? bound : posix.listen(fd, BACKLOG);
  if (result < 0) board.report(`stack ${index} of the server cannot listen: ${result}`);
  Atomics.store(board.words, word, fd + 1);
}

/** What a thread may do to itself. */
export function obey(command: number): void {
  if (command === COMMAND_THROW) throw new Error("An error that nobody catches.");
  if (command === COMMAND_EXIT) process.exit(3);
  for (;;);
}

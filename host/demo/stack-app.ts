// The shared model of the demo: the application of one stack, in that stack's thread.
// Read first: service.ts; crew.ts, which starts it.

import type { WorkerHost } from "../threads/worker-host.ts";
import { openListeners, Service, type ServiceSetup } from "./service.ts";
import { openSource } from "./source.ts";
import { Tally } from "./tally.ts";

/** Serves what the stack's queue brings, until the threads are to end. */
export default function serve({ posix }: WorkerHost, { file, tally }: ServiceSetup): void {
  using source = openSource(file);
  new Service(posix, openListeners(posix, 1), source, new Tally(tally)).run();
}

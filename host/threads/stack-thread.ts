// What a stack thread runs in the separate model: a task that never ends. It serves its stack and the business threads
// until the network is closed.
// Read first: DESIGN.md section 4; assembly/share/beat.ts.

import type { WorkerHost } from "./worker-host.ts";

/** Serves the stack of this thread. Does not return: it ends with the StopError of a thread that is asked to end. */
export default function serve(host: WorkerHost): void {
  host.serve();
}

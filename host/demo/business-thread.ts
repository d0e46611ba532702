// The separate model of the demo: a business thread, which serves connections of all stacks, whichever come first.
// Read first: service.ts; crew.ts, which starts it.

import { workerData } from "node:worker_threads";
import { attachHost } from "../client/client.ts";
import type { ClientPlace } from "../client/place.ts";
import { type Listener, Service, type ServiceSetup } from "./service.ts";
import { openSource } from "./source.ts";
import { Tally } from "./tally.ts";

/** What a business thread is given. */
export interface BusinessSetup extends ServiceSetup {
  place: ClientPlace;
  /** The host's listeners: descriptors are good in every thread. */
  listeners: readonly Listener[];
}

const { place, listeners, file, tally } = workerData as BusinessSetup;
const { posix } = attachHost(place);
using source = openSource(file);
new Service(posix, listeners, source, new Tally(tally)).run();

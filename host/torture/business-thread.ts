// A business thread of a torture in the separate model.
// Read first: talker.ts.

import { workerData } from "node:worker_threads";
import { attachHost } from "../client/client.ts";
import type { ClientPlace } from "../client/place.ts";
import { Board } from "./board.ts";
import type { Role } from "./role.ts";
import { obey } from "./shared-thread.ts";
import { Talker } from "./talker.ts";

const { place, role } = workerData as { place: ClientPlace; role: Role };
const client = attachHost(place);
new Talker(new Board(role.board), client.posix, role, (fd) => fd % role.stacks).run(obey);

// What a NIC in a memory of its own imports: it cannot reach the doorbell of its ltran, which lies in another memory.

/** Wakes the ltran, when it sleeps. Called once for each burst. */
export declare function wake(): void;

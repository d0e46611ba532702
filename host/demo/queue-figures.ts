// What each queue of the demo's server has done between two moments: its NIC's counters, its stack's, its thread's.
// Read first: host/counters.ts, veth/xstats.ts, host/threads/activity.ts.

import type { Counters } from "../counters.ts";
import type { ThreadActivity } from "../threads/activity.ts";
import type { Xstats } from "../../veth/index.ts";
import type { Hosts } from "./hosts.ts";

/** A queue of the NIC, the stack that serves it, and the thread of that. */
export interface QueueFigures {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  /** Connections that the stack has accepted. */
  connections: number;
  /** Packets for another stack that came to this queue, and those that came to others and were this stack's. */
  handedOut: number;
  handedIn: number;
  /** Times that the thread slept, and those that a doorbell ended. */
  sleeps: number;
  wakeups: number;
  /** Share of the time that it slept, 0 to 1. */
  asleep: number;
}

interface Reading {
  micros: number;
  xstats: Xstats;
  counters: Counters[];
  activity: ThreadActivity[];
}

/** Counts from the moment when it is made. */
export class QueueMeter {
  readonly #hosts: Hosts;
  readonly #begun: Reading;

  constructor(hosts: Hosts) {
    this.#hosts = hosts;
    this.#begun = this.#read();
  }

  /** The figures of each queue so far. */
  figures(): QueueFigures[] {
    const [before, now] = [this.#begun, this.#read()];
    return this.#hosts.server.stacks.map((_, queue) => {
      const nic = (name: string): number => (now.xstats[name] ?? 0) - (before.xstats[name] ?? 0);
      const counted = (group: "tcp" | "steer", name: string): number =>
        (now.counters[queue]?.[group][name] ?? 0) - (before.counters[queue]?.[group][name] ?? 0);
      const done = (name: keyof ThreadActivity): number =>
        (now.activity[queue]?.[name] ?? 0) - (before.activity[queue]?.[name] ?? 0);
      return {
        rxPackets: nic(`rx_q${queue}_packets`),
        rxBytes: nic(`rx_q${queue}_bytes`),
        txPackets: nic(`tx_q${queue}_packets`),
        txBytes: nic(`tx_q${queue}_bytes`),
        connections: counted("tcp", "passiveOpens"),
        handedOut: counted("steer", "out"),
        handedIn: counted("steer", "in"),
        sleeps: done("sleeps"),
        wakeups: done("wakeups"),
        asleep: done("asleepMicros") / (now.micros - before.micros),
      };
    });
  }

  #read(): Reading {
    const { network, server } = this.#hosts;
    return {
      micros: network.now(),
      xstats: server.xstats(),
      counters: server.stacks.map((stack) => stack.counters()),
      activity: server.stacks.map((stack) => network.activity(stack)),
    };
  }
}

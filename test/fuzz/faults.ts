// What holds of a stack whatever has arrived: no byte outside of its arena was written, each frame was counted once.
// Read first: RFC 4293, 4022 and 4113 for what the counters mean.

import type { StackHarness } from "../support/harness.ts";

/** What is wrong with a stack that was offered so many frames: a sentence for each fault. */
export function faultsOf(stack: StackHarness, offered: number): string[] {
  const seen = stack.counter("ETH_IN_FRAMES");
  const lost = seen === offered ? [] : [`${offered} frames were offered, ETH_IN_FRAMES is ${seen}`];
  return [...lost, ...sumsThatDoNotHold(stack), ...stack.trespasses()];
}

/** The sums that hold whatever arrives: a sentence for each that does not. */
function sumsThatDoNotHold(stack: StackHarness): string[] {
  const sum = (names: string): number => names.split(" ").reduce((total, name) => total + stack.counter(name), 0);
  const equal: [whole: string, parts: string][] = [
    [
      "ETH_IN_FRAMES",
      "ETH_IN_ERRORS ETH_IN_UNKNOWN ETH_IN_OTHER_HOST IP_IN_RECEIVES ARP_IN_REQUESTS ARP_IN_REPLIES ARP_IN_ERRORS",
    ],
    [
      "IP_IN_RECEIVES IP_REASM_OKS",
      "IP_IN_HDR_ERRORS IP_IN_TRUNCATED IP_IN_ADDR_ERRORS IP_IN_DISCARDS " +
        "IP_IN_UNKNOWN_PROTOS IP_IN_DELIVERS IP_REASM_REQDS",
    ],
    ["IP_IN_DELIVERS", "UDP_IN_DATAGRAMS UDP_NO_PORTS UDP_IN_ERRORS ICMP_IN_MSGS IGMP_IN_MSGS TCP_IN_SEGS"],
  ];
  const less: [part: string, whole: string][] = [
    ["IP_IN_CSUM_ERRORS", "IP_IN_HDR_ERRORS"],
    ["UDP_IN_CSUM_ERRORS UDP_RCVBUF_ERRORS UDP_MEM_ERRORS", "UDP_IN_ERRORS"],
    ["ICMP_IN_CSUM_ERRORS", "ICMP_IN_ERRORS"],
    [
      "ICMP_IN_MSGS",
      "ICMP_IN_ERRORS ICMP_IN_ECHOS ICMP_IN_ECHO_REPS ICMP_IN_DEST_UNREACHS ICMP_IN_TIME_EXCDS ICMP_IN_OTHERS",
    ],
    ["IGMP_IN_ERRORS", "IGMP_IN_MSGS"],
    ["TCP_IN_CSUM_ERRORS", "TCP_IN_ERRS"],
    ["TCP_IN_ERRS", "TCP_IN_SEGS"],
    ["TCP_OUT_RSTS", "TCP_OUT_SEGS"],
    ["TCP_RETRANS_SEGS", "TCP_OUT_SEGS"],
  ];
  return [
    ...equal.filter(([whole, parts]) => sum(whole) !== sum(parts)).map(([a, b]) => `${a} is ${sum(a)}, ${b} ${sum(b)}`),
    ...less.filter(([part, whole]) => sum(part) > sum(whole)).map(([a, b]) => `${a} is ${sum(a)}, ${b} only ${sum(b)}`),
  ];
}

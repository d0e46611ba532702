// Appendix B of RFC 9293, rule by rule: what shows that the stack keeps it, or why nothing does.
// Read first: RFC 9293 appendix B; test/packetdrill/rfc9293/. Checked by rfc9293.test.ts.

/** What shows a rule: scripts of test/packetdrill/, tests of other files, or the reason why there is neither. */
export interface Evidence {
  scripts?: readonly string[];
  /** A test's file, without ".test.ts", and its title. */
  tests?: readonly (readonly [file: string, title: string])[];
  reason?: string;
}

/** A row of the appendix: its id, what it is about in a few words, the section that has it. */
export type Row = readonly [id: string, what: string, section: string, evidence: Evidence];

/** Scripts of the folder rfc9293. */
const shown = (...names: string[]): Evidence => ({ scripts: names.map((name) => `rfc9293/${name}`) });
/** Scripts of other folders. */
const by = (...scripts: string[]): Evidence => ({ scripts });
const test = (file: string, title: string): Evidence => ({ tests: [[file, title]] });
const because = (reason: string): Evidence => ({ reason });

const SOURCE_ROUTES: Evidence = {
  ...test("net-ipv4", "refuses source routes (${type})"),
  reason: "source routes are refused and never sent: they are a means of attacks (RFC 7126 4.3, 4.4; as Linux)",
};

/** The appendix, in its order. */
export const REQUIREMENTS: ReadonlyMap<string, readonly Row[]> = new Map<string, readonly Row[]>([
  [
    "PUSH flag",
    [
      ["MAY-16", "aggregate or queue un-pushed data", "3.9.1.2", shown("aggregate-writes", "nagle")],
      ["SHLD-27", "sender collapses successive PSH bits", "3.9.1.2", shown("push-collapsed")],
      ["MAY-15", "SEND call can specify PUSH", "3.9.1.2", because("not offered: BSD's calls have no such flag")],
      ["MUST-60", "if it cannot: must not buffer indefinitely", "3.9.1.2", shown("push-not-held-back")],
      ["MUST-61", "if it cannot: PSH in the last segment", "3.9.1.2", shown("push-last-segment")],
      ["MAY-17", "notify the receiver of PSH", "3.9.1.3", because("not offered: BSD's calls do not tell of PSH")],
      ["SHLD-28", "send segments of the maximum size when possible", "3.9.1.2", shown("segment-maximum-size")],
    ],
  ],
  [
    "Window",
    [
      ["MUST-1", "treat as an unsigned number", "3.1", shown("window-unsigned")],
      ["REC-1", "handle as a 32-bit number", "3.1", shown("window-32-bit")],
      ["SHLD-14", "must not shrink from the right", "3.8.6", shown("window-not-shrunk")],
      ["SHLD-15", "no new data when the window shrinks", "3.8.6", shown("window-shrunk-no-new-data")],
      ["SHLD-16", "retransmit old data within the window", "3.8.6", shown("window-shrunk-retransmit")],
      ["SHLD-17", "no timeout for data past the right edge", "3.8.6", shown("window-shrunk-no-timeout")],
      ["MUST-34", "robust against a shrinking window", "3.8.6", shown("window-shrunk-no-new-data")],
      ["MAY-8", "receiver's window closed indefinitely", "3.8.6.1", shown("window-kept-closed")],
      ["MUST-35", "use the standard probing logic", "3.8.6", shown("window-shrunk-no-timeout")],
      ["MUST-36", "sender probes a zero window", "3.8.6.1", shown("window-zero-probe")],
      ["SHLD-29", "first probe after RTO", "3.8.6.1", shown("window-zero-probe")],
      ["SHLD-30", "exponential backoff of probes", "3.8.6.1", shown("window-zero-probe-backoff")],
      ["MUST-37", "the window may stay zero indefinitely", "3.8.6.1", shown("window-zero-for-ever")],
      [
        "MAY-7",
        "retransmit old data beyond SND.UNA+SND.WND",
        "3.8.6",
        because("not done but for the first segment, which probes (as Linux)"),
      ],
      [
        "MUST-66",
        "RST and URG even with a zero window",
        "3.4",
        shown("window-zero-takes-reset", "window-zero-takes-urgent"),
      ],
    ],
  ],
  [
    "Urgent data",
    [
      ["MUST-30", "support the urgent pointer", "3.8.5", shown("urgent-received", "urgent-pointer-ahead")],
      ["MUST-62", "it points to the first octet that is not urgent", "3.8.5", shown("urgent-pointer")],
      ["MUST-31", "urgent data of any length", "3.8.5", shown("urgent-any-length")],
      ["MUST-32", "inform the application asynchronously", "3.8.5", shown("urgent-told", "urgent-pointer-ahead")],
      ["MUST-33", "the application learns how much is queued", "3.8.5", shown("urgent-how-much", "urgent-inline")],
      ["SHLD-13", "applications should not use it", "3.8.5", because("advice to applications")],
    ],
  ],
  [
    "TCP options",
    [
      ["MUST-4", "support the mandatory options", "3.2", shown("options-mandatory")],
      ["MUST-5", "receive options in any segment", "3.1", shown("options-any-segment", "mss-ignored-in-data")],
      ["MUST-6", "ignore unsupported options", "3.1", shown("options-unknown")],
      ["MUST-68", "options have lengths, except EOL and NOP", "3.1", shown("options-have-lengths")],
      ["MUST-7", "cope with illegal option lengths", "3.1", shown("options-illegal-length")],
      ["MUST-64", "options at any place, aligned or not", "3.2", shown("options-not-aligned")],
      ["MUST-14", "send and receive the MSS option", "3.7.1", shown("mss-sent-and-received")],
      ["SHLD-5", "IPv4: send it unless 536", "3.7.1", shown("mss-sent-and-received", "mss-from-mtu")],
      ["SHLD-5", "IPv6: send it unless 1220", "3.7.1", because("IPv6: the stack speaks IPv4")],
      ["MAY-3", "send it always", "3.7.1", shown("mss-default")],
      ["MUST-15", "IPv4: 536 without the option", "3.7.1", shown("mss-default")],
      ["MUST-15", "IPv6: 1220 without the option", "3.7.1", because("IPv6: the stack speaks IPv4")],
      ["MUST-16", "the effective send MSS", "3.7.1", shown("mss-effective")],
      ["SHLD-6", "MSS accounts for a varying MTU", "3.7.3", shown("mss-from-mtu")],
      ["MUST-65", "no MSS option outside of SYNs", "3.2", shown("mss-only-in-syn")],
      ["MUST-67", "MSS from what can be received", "3.7.1", shown("mss-from-mtu")],
      ["MUST-69", "padding is zero", "3.1", test("tcp-header", "has no octets of padding that are not zero")],
    ],
  ],
  [
    "TCP checksums",
    [
      [
        "MUST-2",
        "the sender computes the checksum",
        "3.1",
        test("tcp-header", "has a right checksum in every segment"),
      ],
      [
        "MUST-3",
        "the receiver checks it",
        "3.1",
        test("tcp-header", "drops and counts a segment with a wrong checksum"),
      ],
    ],
  ],
  [
    "ISN selection",
    [
      ["MUST-8", "a component that a clock drives", "3.4.1", test("tcp-isn", "grows with the time")],
      ["SHLD-1", "a component of a PRF", "3.4.1", test("tcp-isn", "starts elsewhere for each connection")],
      ["MUST-9", "not computable from the outside", "3.4.1", test("tcp-isn", "depends on the secret")],
    ],
  ],
  [
    "Opening connections",
    [
      ["MUST-10", "simultaneous open attempts", "3.5", shown("open-simultaneous", "open-self")],
      [
        "MUST-11",
        "SYN-RECEIVED remembers where it came from",
        "3.5",
        shown("syn-received-passive-reset", "syn-received-active-reset"),
      ],
      ["MUST-41", "passive OPEN leaves others alone", "3.9.1.1", shown("open-passive-twice")],
      ["MUST-42", "LISTEN beside a connection of the same port", "3.9.1.1", shown("open-listen-beside-active")],
      ["MUST-44", "ask IP for the source address of the SYN", "3.9.1.1", shown("open-source-address")],
      [
        "MUST-45",
        "otherwise the connection's own address",
        "3.9.1.1",
        { ...shown("open-local-address"), ...test("net-ipv4", "sends from the address of the interface") },
      ],
      ["MUST-46", "no OPEN to broadcast or multicast", "3.9.1.1", shown("open-to-multicast")],
      [
        "MUST-57",
        "silently discard segments to such addresses",
        "3.9.2.3",
        test("net-ipv4", "does not let TCP answer a broadcast (RFC 9293 MUST-57)"),
      ],
    ],
  ],
  [
    "Closing connections",
    [
      ["SHLD-2", "a RST may contain data", "3.5.3", shown("reset-with-data")],
      ["MUST-12", "tell closed from aborted", "3.6", shown("close-told-normal", "close-told-aborted")],
      ["MAY-1", "half-duplex close", "3.6.1", shown("close-unread")],
      ["SHLD-3", "RST tells that data was lost", "3.6.1", shown("close-unread", "close-late-data")],
      ["MUST-13", "TIME-WAIT for 2MSL", "3.6.1", shown("time-wait-lasts")],
      ["MAY-2", "accept a SYN in TIME-WAIT", "3.6.1", shown("time-wait-new-syn", "time-wait-old-syn")],
      [
        "SHLD-4",
        "timestamps shorten TIME-WAIT",
        "3.6.1",
        by("rfc6191/time-wait-timestamp", "rfc6191/time-wait-old-timestamp"),
      ],
    ],
  ],
  [
    "Retransmissions",
    [
      [
        "MUST-19",
        "exponential backoff, slow start, congestion avoidance",
        "3.8.2",
        by("rfc9293/rto-backoff", "rfc5681/slow-start", "rfc5681/congestion-avoidance", "rfc5681/timeout"),
      ],
      [
        "MAY-4",
        "retransmit with the same IP identity",
        "3.8.1",
        because("not done: of datagrams with DF the field says nothing (RFC 6864)"),
      ],
      ["MUST-18", "Karn's algorithm", "3.8.1", shown("rto-karn")],
    ],
  ],
  [
    "Generating ACKs",
    [
      ["MUST-58", "aggregate whenever possible", "3.10.7.4", shown("ack-queued-aggregated", "ack-on-reply")],
      ["SHLD-31", "queue segments out of order", "3.10.7.4", shown("ack-out-of-order", "fin-out-of-order")],
      ["MUST-59", "process all that is queued before an ACK", "3.10.7.4", shown("ack-queued-aggregated")],
      ["MAY-13", "ACK a segment out of order", "3.10.7.4", shown("ack-out-of-order")],
      ["SHLD-18", "delayed ACKs", "3.8.6.3", shown("ack-delayed")],
      ["MUST-40", "by less than 0.5 seconds", "3.8.6.3", shown("ack-delayed")],
      ["SHLD-19", "an ACK for every second full segment", "3.8.6.3", shown("ack-every-second")],
      ["MUST-39", "receiver avoids silly windows", "3.8.6.2.2", shown("sws-receiver")],
    ],
  ],
  [
    "Sending data",
    [
      ["MUST-49", "configurable TTL", "3.9.2", shown("ttl")],
      ["MUST-38", "sender avoids silly windows", "3.8.6.2.1", shown("sws-sender", "sws-sender-override")],
      ["SHLD-7", "Nagle algorithm", "3.7.4", shown("nagle")],
      ["MUST-17", "the application can disable it", "3.7.4", shown("nagle-off")],
    ],
  ],
  [
    "Connection failures",
    [
      [
        "MUST-20",
        "negative advice to IP at R1",
        "3.8.3",
        {
          ...test("net-arp", "PROBE: three questions without an answer, then the entry goes; packets flow meanwhile"),
          reason:
            "nothing waits for TCP's advice: a neighbour is probed whenever it is used and was not heard of lately",
        },
      ],
      ["MUST-20", "close the connection at R2", "3.8.3", shown("failure-r2")],
      ["MUST-21", "the application can set R2", "3.8.3", shown("failure-r2-application")],
      [
        "SHLD-9",
        "tell the application between R1 and R2",
        "3.8.3",
        because("TCP_INFO tells of retransmissions; there are no unasked reports (as Linux)"),
      ],
      ["SHLD-10", "R1 of 3 retransmissions at least", "3.8.3", because("there is no R1: see MUST-20")],
      ["SHLD-11", "R2 of 100 seconds at least", "3.8.3", shown("failure-r2-default")],
      ["MUST-22", "the same for SYNs", "3.8.3", shown("failure-syn", "icmp-hard-syn-sent")],
      ["MUST-23", "R2 of a SYN is 3 minutes at least", "3.8.3", shown("failure-syn-r2")],
    ],
  ],
  [
    "Keep-alive packets",
    [
      ["MAY-5", "send keep-alive packets", "3.8.4", shown("keepalive-on-off")],
      ["MUST-24", "the application can ask for them", "3.8.4", shown("keepalive-on-off")],
      ["MUST-25", "off by default", "3.8.4", shown("keepalive-on-off")],
      [
        "MUST-26",
        "only when idle for the interval",
        "3.8.4",
        shown("keepalive-idle-data", "keepalive-idle-ack", "keepalive-not-while-data-is-out"),
      ],
      ["MUST-27", "the interval is configurable", "3.8.4", shown("keepalive-idle-data")],
      ["MUST-28", "two hours at least by default", "3.8.4", shown("keepalive-default")],
      ["MUST-29", "tolerant of lost ACKs", "3.8.4", shown("keepalive-lost-acks")],
      ["SHLD-12", "without data", "3.8.4", shown("keepalive-lost-acks")],
      ["MAY-6", "configurable: with a garbage octet", "3.8.4", because("not offered (as Linux)")],
    ],
  ],
  [
    "IP options",
    [
      ["MUST-50", "ignore options that TCP does not understand", "3.9.2", test("net-ipv4", "skips ${what}")],
      ["MAY-10", "support of Timestamp", "3.9.2", because("skipped, not filled in")],
      ["MAY-11", "support of Record Route", "3.9.2", because("skipped, not filled in")],
      ["MUST-51", "the application can specify a source route", "3.9.2.1", SOURCE_ROUTES],
      ["MUST-52", "it overrides the one in a datagram", "3.9.2.1", SOURCE_ROUTES],
      ["MUST-53", "return route from a source route", "3.9.2.1", SOURCE_ROUTES],
      ["SHLD-24", "a later source route overrides", "3.9.2.1", SOURCE_ROUTES],
    ],
  ],
  [
    "Receiving ICMP messages from IP",
    [
      ["MUST-54", "act on ICMP messages", "3.9.2.2", shown("icmp-soft-told", "icmp-elsewhere")],
      ["SHLD-25", "unreachable (0, 1, 5): inform the application", "3.9.2.2", shown("icmp-soft-told")],
      ["MUST-56", "unreachable (0, 1, 5): do not abort", "3.9.2.2", shown("icmp-soft-survived")],
      [
        "SHLD-26",
        "unreachable (2 to 4): abort",
        "3.9.2.2",
        {
          ...shown("icmp-hard-syn-sent", "icmp-hard-synchronized"),
          reason: "while the connection opens; afterwards it lives on (RFC 5927 6.1; as Linux)",
        },
      ],
      ["MUST-55", "Source Quench: discard", "3.9.2.2", shown("icmp-source-quench")],
      ["MUST-56", "Time Exceeded: do not abort", "3.9.2.2", shown("icmp-soft-survived")],
      ["MUST-56", "Parameter Problem: do not abort", "3.9.2.2", shown("icmp-soft-survived")],
    ],
  ],
  [
    "Address validation",
    [
      ["MUST-46", "reject OPEN to an invalid address", "3.9.1.1", shown("open-to-multicast")],
      ["MUST-63", "reject a SYN from an invalid address", "3.9.2.3", shown("syn-from-multicast")],
      [
        "MUST-57",
        "silently discard a SYN to broadcast or multicast",
        "3.9.2.3",
        test("net-ipv4", "does not let TCP answer a broadcast (RFC 9293 MUST-57)"),
      ],
    ],
  ],
  [
    "TCP/ALP interface services",
    [
      ["MUST-47", "reports of soft errors", "3.9.1.8", shown("icmp-soft-told", "icmp-soft-is-the-reason")],
      ["SHLD-20", "the application can disable them", "3.9.1.8", shown("icmp-soft-survived")],
      ["MUST-48", "specify the Diffserv field", "3.9.1.9", shown("diffserv")],
      ["SHLD-22", "pass it unchanged to IP", "3.9.1.9", shown("diffserv")],
      ["SHLD-21", "change it during the connection", "3.9.1.9", shown("diffserv")],
      ["SHLD-23", "but applications generally should not", "3.9.2", because("advice to applications")],
      ["MAY-9", "pass the received Diffserv field up", "3.9.1.9", because("not offered for streams")],
      ["MAY-14", "FLUSH call", "3.9.1.7", because("not offered: BSD's calls have none")],
      ["MUST-43", "optional local address of OPEN", "3.9.1.1", shown("open-local-address")],
    ],
  ],
  [
    "RFC 5961 support",
    [
      [
        "MAY-12",
        "protection against data injection",
        "3.10.7.4",
        by("rfc5961/ack-too-old", "rfc9293/ack-acceptance-future"),
      ],
    ],
  ],
  [
    "Explicit congestion notification",
    [["SHLD-8", "support ECN", "3.8.2", by("rfc3168/passive", "rfc3168/active", "rfc3168/receiver", "rfc3168/sender")]],
  ],
  ["Alternative congestion control", [["MAY-18", "other conformant algorithms", "3.8.2", by("rfc9438/reduction")]]],
]);

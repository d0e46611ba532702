// Linux's counters, as nstat(8) names them, by those of the stack.
// Read first: host/counters.ts; Linux include/uapi/linux/snmp.h.

import type { Counters } from "../counters.ts";

type Source = readonly [group: keyof Counters, name: string];

const SOURCES: Readonly<Record<string, Source>> = {
  IpInReceives: ["ip", "inReceives"],
  IpInDelivers: ["ip", "inDelivers"],
  IpOutRequests: ["ip", "outRequests"],
  IpReasmOKs: ["ip", "reasmOks"],
  IpReasmFails: ["ip", "reasmFails"],
  IpReasmTimeout: ["ip", "reasmTimeout"],
  IpFragOKs: ["ip", "fragOks"],
  IpFragCreates: ["ip", "fragCreates"],
  IcmpInMsgs: ["icmp", "inMsgs"],
  IcmpInErrors: ["icmp", "inErrors"],
  IcmpOutMsgs: ["icmp", "outMsgs"],
  IcmpInDestUnreachs: ["icmp", "inDestUnreachs"],
  IcmpOutDestUnreachs: ["icmp", "outDestUnreachs"],
  UdpInDatagrams: ["udp", "inDatagrams"],
  UdpNoPorts: ["udp", "noPorts"],
  UdpInErrors: ["udp", "inErrors"],
  UdpOutDatagrams: ["udp", "outDatagrams"],
  TcpActiveOpens: ["tcp", "activeOpens"],
  TcpPassiveOpens: ["tcp", "passiveOpens"],
  TcpAttemptFails: ["tcp", "attemptFails"],
  TcpEstabResets: ["tcp", "estabResets"],
  TcpInSegs: ["tcp", "inSegs"],
  TcpOutSegs: ["tcp", "outSegs"],
  TcpRetransSegs: ["tcp", "retransSegs"],
  TcpInErrs: ["tcp", "inErrs"],
  TcpOutRsts: ["tcp", "outRsts"],
  TcpExtListenOverflows: ["tcp", "listenOverflows"],
  TcpExtListenDrops: ["tcp", "listenDrops"],
  TcpExtSyncookiesSent: ["tcp", "synCookiesSent"],
  TcpExtSyncookiesRecv: ["tcp", "synCookiesRecv"],
  TcpExtSyncookiesFailed: ["tcp", "synCookiesFailed"],
  TcpExtTCPTimeouts: ["tcp", "timeouts"],
  TcpExtTCPSpuriousRTOs: ["tcp", "spuriousRtos"],
  TcpExtTCPLossProbes: ["tcp", "tlpProbes"],
  TcpExtTCPFastRetrans: ["tcp", "fastRetrans"],
  TcpExtTCPLostRetransmit: ["tcp", "lostRetransmits"],
  TcpExtTCPSACKReneging: ["tcp", "sackReneging"],
  TcpExtTCPDSACKRecv: ["tcp", "dsackRecv"],
  TcpExtTCPDSACKOldSent: ["tcp", "dsackSent"],
  TcpExtBeyondWindow: ["tcp", "outOfWindow"],
  TcpExtPAWSEstab: ["tcp", "pawsRejected"],
  TcpExtPAWSOldAck: ["tcp", "pawsOldAcks"],
  TcpExtTCPChallengeACK: ["tcp", "challengeAcks"],
  TcpExtTCPAbortOnData: ["tcp", "abortOnData"],
  TcpExtTCPAbortOnClose: ["tcp", "abortOnClose"],
  TcpExtTCPAbortOnTimeout: ["tcp", "abortOnTimeout"],
  TcpExtTCPAbortOnLinger: ["tcp", "abortOnLinger"],
  TcpExtTCPOFOQueue: ["tcp", "ofoQueued"],
  TcpExtTCPOFODrop: ["tcp", "ofoDropped"],
  TcpExtDelayedACKs: ["tcp", "delayedAcks"],
  TcpExtTCPKeepAlive: ["tcp", "keepaliveProbes"],
  TcpExtTCPWinProbe: ["tcp", "persistProbes"],
  TcpExtTCPSynRetrans: ["tcp", "synRetrans"],
  TcpExtOutOfWindowIcmps: ["tcp", "outOfWindowIcmps"],
  TcpExtTCPFastOpenActive: ["tcp", "fastopenActive"],
  TcpExtTCPFastOpenActiveFail: ["tcp", "fastopenActiveFail"],
  TcpExtTCPFastOpenPassive: ["tcp", "fastopenPassive"],
  TcpExtTCPFastOpenPassiveFail: ["tcp", "fastopenPassiveFail"],
  TcpExtTCPFastOpenPassiveAltKey: ["tcp", "fastopenPassiveAltKey"],
  TcpExtTCPFastOpenListenOverflow: ["tcp", "fastopenListenOverflow"],
  TcpExtTCPFastOpenCookieReqd: ["tcp", "fastopenCookieRequests"],
  TcpExtTCPFastOpenBlackhole: ["tcp", "fastopenBlackhole"],
  TcpExtTCPMTUPSuccess: ["tcp", "mtuProbesGood"],
  TcpExtTCPMTUPFail: ["tcp", "mtuProbesFailed"],
  TcpExtTW: ["tcp", "timeWaits"],
  TcpExtTWRecycled: ["tcp", "timeWaitReused"],
};

/** A function from Linux's names to figures; NaN for a name that the stack has no counter for. */
export function linuxCounter(counters: Counters): (name: string) => number {
  return (name) => {
    const source = Object.hasOwn(SOURCES, name) ? SOURCES[name] : undefined;
    return source === undefined ? NaN : (counters[source[0]][source[1]] ?? NaN);
  };
}

// ICMP's types and codes by the names that packetdrill gives them.
// Read first: RFC 792; RFC 1122 section 3.2.2.1 and RFC 1812 section 5.2.7.1 for the later codes of type 3.

/** Types by name. `type_N` stands for any other. */
export const ICMP_TYPES: ReadonlyMap<string, number> = new Map([
  ["echo_reply", 0],
  ["unreachable", 3],
  ["dest_unreachable", 3],
  ["destination_unreachable", 3],
  ["source_quench", 4],
  ["redirect", 5],
  ["echo_request", 8],
  ["echo", 8],
  ["router_advertisement", 9],
  ["router_solicitation", 10],
  ["time_exceeded", 11],
  ["parameter_problem", 12],
  ["timestamp_request", 13],
  ["timestamp", 13],
  ["timestamp_reply", 14],
  ["information_request", 15],
  ["information_reply", 16],
  ["address_mask_request", 17],
  ["address_mask_reply", 18],
]);

const UNREACHABLE_CODES = new Map([
  ["net_unreachable", 0],
  ["host_unreachable", 1],
  ["protocol_unreachable", 2],
  ["port_unreachable", 3],
  ["frag_needed", 4],
  ["source_route_failed", 5],
  ["net_unknown", 6],
  ["host_unknown", 7],
  ["source_host_isolated", 8],
  ["net_prohibited", 9],
  ["host_prohibited", 10],
  ["net_unreachable_for_tos", 11],
  ["net_unreachable_for_service", 11],
  ["host_unreachable_for_tos", 12],
  ["host_unreachable_for_service", 12],
  ["packet_filtered", 13],
  ["admin_prohibited", 13],
  ["precedence_violation", 14],
  ["precedence_cutoff", 15],
]);

/** Codes by name for each type that has any. `code_N` stands for any other. */
export const ICMP_CODES: ReadonlyMap<number, ReadonlyMap<string, number>> = new Map([
  [3, UNREACHABLE_CODES],
  [
    5,
    new Map([
      ["redirect_net", 0],
      ["redirect_host", 1],
      ["redirect_net_for_tos", 2],
      ["redirect_host_for_tos", 3],
    ]),
  ],
  [
    11,
    new Map([
      ["exceeded_in_transit", 0],
      ["ttl_exceeded", 0],
      ["exceeded_in_reassembly", 1],
      ["fragment_reassembly", 1],
    ]),
  ],
  [
    12,
    new Map([
      ["pointer_error", 0],
      ["missing_option", 1],
      ["bad_length", 2],
    ]),
  ],
]);

/** Messages of ICMPv6 that scripts name: refused by name instead of being called unknown. */
export const ICMPV6_NAMES: ReadonlySet<string> = new Set([
  "packet_too_big",
  "no_route",
  "adm_prohibited",
  "not_neighbour",
  "addr_unreachable",
]);

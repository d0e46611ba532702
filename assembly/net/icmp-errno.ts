// What an ICMP error means to a socket: the errno, and whether it is fatal to a connection that it names.
// Read first: RFC 1122 sections 3.2.2.1 and 4.2.3.9; Linux net/ipv4/icmp.c, icmp_err_convert, whose table this is.

import {
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENONET,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
} from "../layout";
import { ICMP_PARAMETER_PROBLEM, ICMP_TIME_EXCEEDED, ICMP_UNREACHABLE } from "../wire/icmp";

/** The errno of an error message, positive; 0 for what is no error to a socket. */
export function icmpErrno(type: u32, code: u32): i32 {
  if (type == ICMP_TIME_EXCEEDED) return EHOSTUNREACH;
  if (type == ICMP_PARAMETER_PROBLEM) return EPROTO;
  if (type != ICMP_UNREACHABLE) return 0;
  switch (code) {
    case 0: // net unreachable
    case 6: // net unknown
    case 9: // net prohibited
    case 11: // net unreachable for the type of service
      return ENETUNREACH;
    case 2:
      return ENOPROTOOPT;
    case 3:
      return ECONNREFUSED;
    case 4:
      return EMSGSIZE;
    case 5: // source route failed
      return EOPNOTSUPP;
    case 7: // host unknown
      return EHOSTDOWN;
    case 8: // source host isolated
      return ENONET;
    default: // host unreachable, and whatever is prohibited
      return EHOSTUNREACH;
  }
}

/** Does the message end what it is about ("hard"), or may the condition pass ("soft")? */
export function icmpFatal(type: u32, code: u32): bool {
  if (type == ICMP_PARAMETER_PROBLEM) return true;
  if (type != ICMP_UNREACHABLE) return false;
  switch (code) {
    case 0:
    case 1:
    case 4:
    case 5:
    case 11:
    case 12:
      return false;
    default:
      return true;
  }
}

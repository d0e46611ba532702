// "10.0.0.1/24": an address with its prefix length, as people write it and as the core takes it.

import { optionError } from "./errors.ts";
import { scanAddress } from "./posix/address.ts";

/**
 * An address with its prefix length, as host-order numbers.
 * @throws {OribiError} ERR_ORIBI_OPTION, naming `option`
 */
export function parseCidr(option: string, text: string): { address: number; netmask: number } {
  const [host = "", prefix = "", ...rest] = String(text).split("/");
  const address = scanAddress(host);
  const bits = /^\d{1,2}$/.test(prefix) ? Number(prefix) : -1;
  if (address < 0 || bits < 0 || bits > 32 || rest.length > 0) {
    throw optionError(option, text, 'an IPv4 address with its prefix length, as "10.0.0.1/24"');
  }
  return { address, netmask: bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0 };
}

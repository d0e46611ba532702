// What the host uses of stack.wasm: its exports as typed functions. Addresses and ports are host-order numbers,
// pointers byte offsets in the memory; what is documented here as u32 arrives signed and wants `>>> 0`.
// Read first: assembly/index.ts and assembly/socket/calls.ts, where each call documents its errors.

/** The life of a stack and what configures it. */
export interface StackControlExports {
  /** Bytes of an arena for the options at `cfg` (CFG_*). u32. */
  arenaBytes: (cfg: number) => number;
  /** Makes a stack in the zeroed arena at `base` whose time is `now` (microseconds): 0 or a negative errno. */
  init: (base: number, cfg: number, now: number) => number;
  /** Uses the stack that another instance made at `base`. */
  attach: (base: number) => void;
  /** Makes the stack number `index` of the group at `group` (0: the only one of its host). */
  join: (group: number, index: number) => void;
  groupBytes: (stacks: number, softSlots: number, flows: number) => number;
  groupInit: (base: number) => void;
  /** As init(), in an arena where a stack was before. */
  renew: (base: number, cfg: number, now: number) => number;
  /** Takes a dead stack out of its host's tables and out of the NIC's rules; makes its pools free. */
  retireRules: () => number;
  retirePools: () => number;
  /**
   * Has this thread gather the mbufs that it frees, `mbufs` of them (0: none), before they go back to the pools of
   * `queues` RX queues from `pool` on; `caches`: UserVeth.cachesAddress().
   */
  rxCacheUse: (pool: number, queues: number, caches: number, mbufs: number) => void;
  /** To be called after each beat meanwhile. */
  rxCacheBeat: () => void;
  /** Gives back what it has gathered. */
  rxCacheSweep: () => void;
  /** Entries of stack `index` in its host's tables; addresses of the software queues (0: there are none). */
  flowEntries: (index: number) => number;
  portEntries: (index: number) => number;
  softQueue: (index: number) => number;
  softStride: () => number;
  /** One step at time `now` (microseconds): bursts in, timers, bursts out. Returns the work done, 0 for none. */
  poll: (now: number) => number;
  /** When the stack wants to be polled again, microseconds; Infinity: not before something arrives. */
  nextDeadline: () => number;
  /** Adds an interface from the options at `cfg` (IF_*): its index or a negative errno. */
  netifAdd: (cfg: number) => number;
  netifSetAddress: (index: number, address: number, mask: number) => number;
  /** Changes an interface's MTU: 0 or a negative errno. */
  netifSetMtu: (index: number, mtu: number) => number;
  /** What SYNs over an interface announce, bytes; 0: what its MTU allows. 0 or a negative errno. */
  netifSetAdvMss: (index: number, mss: number) => number;
  routeAdd: (destination: number, mask: number, gateway: number, netif: number) => number;
  /** Removes a route: 0 or a negative errno. */
  routeRemove: (destination: number, mask: number) => number;
  /** Adds a permanent ARP entry; the MAC as its first two (`high`) and last four bytes. */
  arpAdd: (address: number, macHigh: number, macLow: number) => number;
  /** Address of the exchange area (EXCHANGE_*). u32. */
  exchange: () => number;
  /** Address of MIB_COUNT counters of 64 bits. u32. */
  countersAt: () => number;
  sysctlGet: (index: number) => number;
  /** Connections in ESTABLISHED or CLOSE-WAIT. */
  currEstab: () => number;
  sysctlSet: (index: number, value: number) => unknown;
  /** Forgets the cookies and the troubles of TCP Fast Open servers. */
  fastopenForget: () => void;
}

/** The socket calls: never blocking, negative errno. */
export interface SocketExports {
  /** Tells the stack the time (microseconds) without a step. */
  setClock: (now: number) => void;
  socket: (domain: number, type: number, protocol: number) => number;
  bind: (fd: number, address: number, port: number) => number;
  listen: (fd: number, backlog: number) => number;
  /** The peer is left at EXCHANGE_ADDRESS. */
  accept: (fd: number, flags: number) => number;
  /** Connections that wait for accept(). */
  acceptPending: (fd: number) => number;
  connect: (fd: number, address: number, port: number) => number;
  disconnect: (fd: number) => number;
  shutdown: (fd: number, how: number) => number;
  close: (fd: number) => number;
  send: (fd: number, data: number, length: number, flags: number) => number;
  recv: (fd: number, data: number, length: number, flags: number) => number;
  sendto: (fd: number, data: number, length: number, flags: number, address: number, port: number) => number;
  sendtoWith: (
    fd: number,
    data: number,
    length: number,
    flags: number,
    address: number,
    port: number,
    ttl: number,
    tos: number,
  ) => number;
  /** The sender is left at EXCHANGE_ADDRESS. */
  recvfrom: (fd: number, data: number, length: number, flags: number) => number;
  /** The address to write to is left at EXCHANGE_ARGS. */
  sendReserve: (fd: number, want: number) => number;
  sendCommit: (fd: number, length: number, flags: number) => number;
  /** The address to read from is left at EXCHANGE_ARGS. */
  recvPeek: (fd: number) => number;
  recvConsume: (fd: number, length: number) => number;
  /** The address is left at EXCHANGE_ADDRESS. */
  getsockname: (fd: number) => number;
  getpeername: (fd: number) => number;
  getsockopt: (fd: number, level: number, name: number, value: number, length: number) => number;
  setsockopt: (fd: number, level: number, name: number, value: number, length: number) => number;
  fcntl: (fd: number, command: number, argument: number) => number;
  ioctl: (fd: number, request: number, argument: number) => number;
  waitLimit: (fd: number, sending: number) => number;
  lingerLimit: (fd: number) => number;
  finPending: (fd: number) => number;
  pollEvents: (fd: number) => number;
  /** The errno (positive) that the next call will report; it stays. */
  errorPending: (fd: number) => number;
  connectResult: (fd: number) => number;
  epollCreate: (flags: number) => number;
  epollCtl: (epfd: number, op: number, fd: number, events: number, dataLow: number, dataHigh: number) => number;
  epollWait: (epfd: number, out: number, max: number) => number;
  epollWaiting: (epfd: number, change: number) => number;
}

/** All of it. */
export interface StackExports extends StackControlExports, SocketExports {}

// The one place for constants and shared-memory layouts; imported by asc and by tsc.
// Offsets of structures that TypeScript reads are fixed here and asserted at compile time where the class is defined.
// Read first: DPDK "Mbuf Library" (programmer's guide) for the mbuf, RFC 9293 for the TCP names.

// ---- Memory map of one WebAssembly.Memory -------------------------------------------------------------------------
/** Bytes at the start of every memory kept for constant data segments; the first region starts here. */
export const REGIONS_BASE: i32 = 65536;
/** Alignment of regions (arenas, ports, bridges): one Wasm page. */
export const REGION_ALIGN: i32 = 65536;
/** Distance that keeps two hot words out of one another's (adjacent-line prefetched) cache lines, bytes. */
export const CACHE_SPREAD: i32 = 128;

// ---- mbuf (DPDK: struct rte_mbuf) ---------------------------------------------------------------------------------
/** Bytes of one mbuf element: header, headroom and data room. */
export const MBUF_BYTES: i32 = 2048;
/** Bytes of the mbuf header. */
export const MBUF_HEADER: i32 = 64;
/** Free bytes kept before the frame for headers that are put in front. */
export const MBUF_HEADROOM: i32 = 64;
/** Data bytes one mbuf holds after its headroom. */
export const MBUF_DATA_ROOM: i32 = MBUF_BYTES - MBUF_HEADER - MBUF_HEADROOM;
/** Largest burst that rxBurst or txBurst takes, packets. */
export const BURST_MAX: i32 = 64;
/** Largest packet that crosses a port as one descriptor: an IPv4 datagram of 65,535 bytes, Ethernet and VLAN header. */
export const PACKET_BYTES_MAX: i32 = 65535 + 18;

/** mbuf.olFlags: what the NIC found (RX) or must do (TX). */
export const RX_L4_GOOD: i32 = 1; // the NIC verified the TCP/UDP checksum
export const RX_L4_BAD: i32 = 2; // the NIC found it wrong
export const RX_IP_GOOD: i32 = 4;
export const RX_IP_BAD: i32 = 8;
export const RX_RSS_HASH: i32 = 16; // mbuf.rssHash is valid
export const RX_VLAN_STRIPPED: i32 = 32; // mbuf.vlanTci holds the tag that was removed
export const RX_LINK_MULTICAST: i32 = 64; // set by the stack: the frame was a broadcast or a multicast
export const RX_LOOPED: i32 = 128; // set by the stack: the packet comes from its own loopback
export const RX_COPY: i32 = 4096; // set by the stack: another stack of the host has the packet itself, and answers it
export const RX_HOP: i32 = 8192; // two bits from here: how often stacks of the host have handed the packet over
export const RX_LRO: i32 = 32768; // it stands for several packets of mbuf.tsoMss bytes of payload (RTE_MBUF_F_RX_LRO)
export const TX_L4_CSUM: i32 = 256; // compute the TCP/UDP checksum; the field holds the pseudo-header sum
export const TX_IP_CSUM: i32 = 512; // compute the IPv4 header checksum
export const TX_TSO: i32 = 1024; // segment into mbuf.tsoMss bytes of payload
export const TX_VLAN_INSERT: i32 = 2048; // insert mbuf.vlanTci

/** Capabilities of a port (DPDK: rte_eth_dev_info.tx_offload_capa and rx_offload_capa). */
export const CAP_TX_L4_CSUM: i32 = 1;
export const CAP_TX_IP_CSUM: i32 = 2;
export const CAP_TX_TSO: i32 = 4;
export const CAP_RX_CSUM: i32 = 8;
export const CAP_RX_LRO: i32 = 16; // accepts packets larger than the MTU as one descriptor
export const CAP_VLAN: i32 = 32; // strips and inserts 802.1Q tags
export const CAP_RSS_HASH: i32 = 64;
export const CAP_FLOW_RULES: i32 = 128; // has a flow director: ruleAdd() and its like
export const CAP_PORT_RULES: i32 = 256; // wants to be told (ruleListen) which local ports are served, also by one stack

// ---- Pools --------------------------------------------------------------------------------------------------------
/** Pool indices of a stack, in the order of its pool directory; names in POOL_NAMES on the host side. */
export const POOL_MBUF: i32 = 0;
export const POOL_TCB: i32 = 1;
export const POOL_FLIGHT: i32 = 2; // TCP state that only a busy connection needs
export const POOL_TXSEG: i32 = 3; // one record for each segment in flight
export const POOL_ISLAND: i32 = 4; // one record for each out-of-order range
export const POOL_CHUNK: i32 = 5; // 2 KiB byte chunks of socket queues
export const POOL_CHUNK_LARGE: i32 = 6; // 64 KiB byte chunks of bulk queues
export const POOL_SOCKET: i32 = 7; // UDP sockets, listeners, epoll instances
export const POOL_EPITEM: i32 = 8;
export const POOL_TIME_WAIT: i32 = 9;
export const POOL_REASSEMBLY: i32 = 10;
export const POOL_MBUF_L2: i32 = 11; // behind POOL_MBUF, for times of pressure (memory/tx-pool.ts)
export const POOL_COUNT: i32 = 12;

/** Bytes of a small and a large chunk, header included. */
export const CHUNK_BYTES: i32 = 2048;
export const CHUNK_LARGE_BYTES: i32 = 65536;
/** Bytes of the header of a chunk. */
export const CHUNK_HEADER: i32 = 16;

// ---- Options of a stack: an array of u32 given to arenaBytes() and init() -----------------------------------------
export const CFG_CONNECTIONS: i32 = 0; // TCBs
export const CFG_SOCKETS: i32 = 1; // UDP sockets, listeners, epoll instances
export const CFG_MBUFS: i32 = 2; // L1 transmit pool
export const CFG_CHUNKS: i32 = 3;
export const CFG_LARGE_CHUNKS: i32 = 4;
export const CFG_FLIGHTS: i32 = 5;
export const CFG_TXSEGS: i32 = 6;
export const CFG_ISLANDS: i32 = 7;
export const CFG_EPITEMS: i32 = 8;
export const CFG_TIME_WAITS: i32 = 9;
export const CFG_REASSEMBLIES: i32 = 10;
export const CFG_ARP_ENTRIES: i32 = 11; // a power of two
export const CFG_SECRET: i32 = 12; // four words: key of ISNs, ports, cookies and hashes
export const CFG_FLAGS: i32 = 16;
export const CFG_L2_MBUFS: i32 = 17; // L2 transmit pool
export const CFG_MBUF_LOW: i32 = 18; // free mbufs of L1 at which the L2 pool is created
export const CFG_MBUF_HIGH: i32 = 19; // and above which it may be dissolved
export const CFG_L2_LINGER: i32 = 20; // after so long, ms
export const CFG_MBUF_CACHE: i32 = 21; // the host's: mbufs of each cache (memory/rx-cache.ts)
export const CFG_WORDS: i32 = 32;

/** CFG_FLAGS */
export const STACK_FORWARDING: i32 = 1; // forward datagrams that are not for this host (a router)

// ---- Options of a network interface: an array of u32 given to netifAdd() ------------------------------------------
export const IF_PORT: i32 = 0; // address of the port (the NIC's handle)
export const IF_QUEUE: i32 = 1;
export const IF_MAC_HIGH: i32 = 2; // first two bytes of the MAC address
export const IF_MAC_LOW: i32 = 3; // last four bytes
export const IF_ADDRESS: i32 = 4; // IPv4, host order
export const IF_NETMASK: i32 = 5;
export const IF_MTU: i32 = 6;
export const IF_CAPS: i32 = 7; // CAP_*
export const IF_QUEUES: i32 = 8; // queues from IF_QUEUE on that this stack serves; 0 counts as 1
export const IF_FLAGS: i32 = 9; // IF_NO_RX
export const IF_TX_QUEUE: i32 = 10;
export const IF_WORDS: i32 = 16;
/** IF_FLAGS: the stack serves no queue of the NIC; what is for it comes by its software queue. */
export const IF_NO_RX: i32 = 1;
/** Most interfaces of one stack, the loopback included (index 0). */
export const NETIF_MAX: i32 = 16;

// ---- The exchange area: a part of each arena for arguments and results between host and core ----------------------
/** Bytes of the exchange area; its data part serves small sends and receives. */
export const EXCHANGE_BYTES: i32 = 131072;
/** Offset in the exchange area: socket address results {ip u32, port u32, flags u32, extra u32}. */
export const EXCHANGE_ADDRESS: i32 = 0;
/** Offset: what a received datagram brought besides (IP_PKTINFO, IP_RECVTTL, IP_RECVTOS), u32 each. */
export const EXCHANGE_DESTINATION: i32 = 16; // the address it was sent to
export const EXCHANGE_NETIF: i32 = 20; // number of the interface it came by, from 1
export const EXCHANGE_TTL: i32 = 24;
export const EXCHANGE_TOS: i32 = 28;
/** Offset: option values, configuration arrays, pointers. */
export const EXCHANGE_ARGS: i32 = 64;
/** Offset: epoll events, 16 bytes each {events u32, fd u32, dataLow u32, dataHigh u32}. */
export const EXCHANGE_EVENTS: i32 = 2048;
/** How many events fit. */
export const EXCHANGE_EVENTS_MAX: i32 = 1024;
/** Offset: payload of small sends and receives. */
export const EXCHANGE_DATA: i32 = 32768;
export const EXCHANGE_DATA_BYTES: i32 = EXCHANGE_BYTES - EXCHANGE_DATA;

// ---- Errno (Linux numbers); calls return them negated -------------------------------------------------------------
export const EPERM: i32 = 1;
export const ENOENT: i32 = 2;
export const EINTR: i32 = 4;
export const EIO: i32 = 5;
export const EBADF: i32 = 9;
export const EAGAIN: i32 = 11;
export const ENOMEM: i32 = 12;
export const EACCES: i32 = 13;
export const EFAULT: i32 = 14;
export const EBUSY: i32 = 16;
export const EEXIST: i32 = 17;
export const ENODEV: i32 = 19;
export const EINVAL: i32 = 22;
export const ENFILE: i32 = 23;
export const EMFILE: i32 = 24;
export const ENOTTY: i32 = 25;
export const EPIPE: i32 = 32;
export const EDOM: i32 = 33;
export const EDEADLK: i32 = 35;
export const ELOOP: i32 = 40;
export const ENONET: i32 = 64;
export const EPROTO: i32 = 71;
export const ENOTSOCK: i32 = 88;
export const EDESTADDRREQ: i32 = 89;
export const EMSGSIZE: i32 = 90;
export const EPROTOTYPE: i32 = 91;
export const ENOPROTOOPT: i32 = 92;
export const EPROTONOSUPPORT: i32 = 93;
export const ESOCKTNOSUPPORT: i32 = 94;
export const EOPNOTSUPP: i32 = 95;
export const EAFNOSUPPORT: i32 = 97;
export const EADDRINUSE: i32 = 98;
export const EADDRNOTAVAIL: i32 = 99;
export const ENETDOWN: i32 = 100;
export const ENETUNREACH: i32 = 101;
export const ECONNABORTED: i32 = 103;
export const ECONNRESET: i32 = 104;
export const ENOMSG: i32 = 42;
export const ENOBUFS: i32 = 105;
export const EISCONN: i32 = 106;
export const ENOTCONN: i32 = 107;
export const ETIMEDOUT: i32 = 110;
export const ECONNREFUSED: i32 = 111;
export const EHOSTDOWN: i32 = 112;
export const EHOSTUNREACH: i32 = 113;
export const EALREADY: i32 = 114;
export const EINPROGRESS: i32 = 115;

// ---- Sockets (Linux numbers) --------------------------------------------------------------------------------------
export const AF_INET: i32 = 2;
export const SOCK_STREAM: i32 = 1;
export const SOCK_DGRAM: i32 = 2;
export const SOCK_NONBLOCK: i32 = 0o4000;
export const SOCK_CLOEXEC: i32 = 0o2000000;
export const O_NONBLOCK: i32 = 0o4000;
export const F_GETFL: i32 = 3;
export const F_SETFL: i32 = 4;
export const FIONREAD: i32 = 0x541b;
export const SIOCINQ: i32 = 0x541b;
export const SIOCOUTQ: i32 = 0x5411;
export const SIOCOUTQNSD: i32 = 0x894b;
export const FIONBIO: i32 = 0x5421;
export const SIOCATMARK: i32 = 0x8905;
export const F_GETFD: i32 = 1;
export const F_SETFD: i32 = 2;
export const FD_CLOEXEC: i32 = 1;
export const AF_UNSPEC: i32 = 0;
export const IPPROTO_IP: i32 = 0;
export const IPPROTO_ICMP: i32 = 1;
export const IPPROTO_IGMP: i32 = 2;
export const IPPROTO_TCP: i32 = 6;
export const IPPROTO_UDP: i32 = 17;
export const SHUT_RD: i32 = 0;
export const SHUT_WR: i32 = 1;
export const SHUT_RDWR: i32 = 2;
export const INADDR_ANY: i32 = 0;
export const INADDR_BROADCAST: i32 = -1;
export const INADDR_LOOPBACK: i32 = 0x7f000001;

export const MSG_OOB: i32 = 1;
export const MSG_PEEK: i32 = 2;
export const MSG_DONTROUTE: i32 = 4;
export const MSG_CTRUNC: i32 = 8;
export const MSG_TRUNC: i32 = 0x20;
export const MSG_DONTWAIT: i32 = 0x40;
export const MSG_EOR: i32 = 0x80;
export const MSG_WAITALL: i32 = 0x100;
export const MSG_ERRQUEUE: i32 = 0x2000;
export const MSG_NOSIGNAL: i32 = 0x4000;
export const MSG_MORE: i32 = 0x8000;
/** Of the host alone: the same call goes on, so that nothing need leave before a packet is full. */
export const MSG_BATCH: i32 = 0x40000;
export const MSG_ZEROCOPY: i32 = 0x4000000;
export const MSG_FASTOPEN: i32 = 0x20000000;

export const SOL_SOCKET: i32 = 1;
export const SO_DEBUG: i32 = 1;
export const SO_REUSEADDR: i32 = 2;
export const SO_TYPE: i32 = 3;
export const SO_ERROR: i32 = 4;
export const SO_DONTROUTE: i32 = 5;
export const SO_BROADCAST: i32 = 6;
export const SO_SNDBUF: i32 = 7;
export const SO_RCVBUF: i32 = 8;
export const SO_KEEPALIVE: i32 = 9;
export const SO_OOBINLINE: i32 = 10;
export const SO_PRIORITY: i32 = 12;
export const SO_LINGER: i32 = 13;
export const SO_REUSEPORT: i32 = 15;
export const SO_RCVLOWAT: i32 = 18;
export const SO_SNDLOWAT: i32 = 19;
export const SO_RCVTIMEO: i32 = 20;
export const SO_SNDTIMEO: i32 = 21;
export const SO_TIMESTAMP: i32 = 29;
export const SO_ACCEPTCONN: i32 = 30;
export const SO_MARK: i32 = 36;
export const SO_TIMESTAMPING: i32 = 37;
export const SO_PROTOCOL: i32 = 38;
export const SO_DOMAIN: i32 = 39;
export const SO_INCOMING_CPU: i32 = 49;
export const SO_ZEROCOPY: i32 = 60;
/** Smallest buffers (Linux: SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF), bytes. */
export const SOCK_MIN_RCVBUF: i32 = 2304;
export const SOCK_MIN_SNDBUF: i32 = 4608;

export const TCP_NODELAY: i32 = 1;
export const TCP_MAXSEG: i32 = 2;
export const TCP_CORK: i32 = 3;
export const TCP_KEEPIDLE: i32 = 4;
export const TCP_KEEPINTVL: i32 = 5;
export const TCP_KEEPCNT: i32 = 6;
export const TCP_SYNCNT: i32 = 7;
export const TCP_LINGER2: i32 = 8;
export const TCP_DEFER_ACCEPT: i32 = 9;
export const TCP_WINDOW_CLAMP: i32 = 10;
export const TCP_INFO: i32 = 11;
export const TCP_QUICKACK: i32 = 12;
export const TCP_CONGESTION: i32 = 13;
export const TCP_USER_TIMEOUT: i32 = 18;
export const TCP_FASTOPEN: i32 = 23;
export const TCP_TIMESTAMP: i32 = 24;
export const TCP_NOTSENT_LOWAT: i32 = 25;
export const TCP_FASTOPEN_CONNECT: i32 = 30;
export const TCP_FASTOPEN_KEY: i32 = 33;
export const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
export const TCP_INQ: i32 = 36;
export const TCP_CM_INQ: i32 = 36;

export const IP_TOS: i32 = 1;
export const IP_TTL: i32 = 2;
export const IP_MTU_DISCOVER: i32 = 10;
export const IP_RECVERR: i32 = 11;
export const IP_MTU: i32 = 14;
export const IP_FREEBIND: i32 = 15;
export const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
export const IP_LOCAL_PORT_RANGE: i32 = 51;
export const IP_MULTICAST_IF: i32 = 32;
export const IP_MULTICAST_TTL: i32 = 33;
export const IP_MULTICAST_LOOP: i32 = 34;
export const IP_ADD_MEMBERSHIP: i32 = 35;
export const IP_DROP_MEMBERSHIP: i32 = 36;
export const IP_PMTUDISC_DONT: i32 = 0;
export const IP_PMTUDISC_WANT: i32 = 1;
export const IP_PMTUDISC_DO: i32 = 2;
export const IP_PMTUDISC_PROBE: i32 = 3;
export const IP_PMTUDISC_INTERFACE: i32 = 4;
export const IP_PMTUDISC_OMIT: i32 = 5;
export const IP_PKTINFO: i32 = 8;
export const IP_RECVTTL: i32 = 12;
export const IP_RECVTOS: i32 = 13;
/** Most groups that one socket may join (Linux: igmp_max_memberships). */
export const IP_MAX_MEMBERSHIPS: i32 = 20;

export const EPOLL_CTL_ADD: i32 = 1;
export const EPOLL_CTL_DEL: i32 = 2;
export const EPOLL_CTL_MOD: i32 = 3;
export const EPOLLIN: i32 = 0x001;
export const EPOLLPRI: i32 = 0x002;
export const EPOLLOUT: i32 = 0x004;
export const EPOLLERR: i32 = 0x008;
export const EPOLLHUP: i32 = 0x010;
export const EPOLLRDNORM: i32 = 0x040;
export const EPOLLRDBAND: i32 = 0x080;
export const EPOLLWRNORM: i32 = 0x100;
export const EPOLLWRBAND: i32 = 0x200;
export const EPOLLRDHUP: i32 = 0x2000;
export const EPOLLEXCLUSIVE: i32 = 1 << 28;
export const EPOLLWAKEUP: i32 = 1 << 29;
export const EPOLLONESHOT: i32 = 1 << 30;
export const EPOLLET: i32 = 1 << 31;
export const POLLNVAL: i32 = 0x020;

// ---- TCP states (RFC 9293 3.3.2), numbered as Linux does for TCP_INFO ---------------------------------------------
export const TCP_ESTABLISHED: i32 = 1;
export const TCP_SYN_SENT: i32 = 2;
export const TCP_SYN_RECEIVED: i32 = 3;
export const TCP_FIN_WAIT_1: i32 = 4;
export const TCP_FIN_WAIT_2: i32 = 5;
export const TCP_TIME_WAIT: i32 = 6;
export const TCP_CLOSED: i32 = 7;
export const TCP_CLOSE_WAIT: i32 = 8;
export const TCP_LAST_ACK: i32 = 9;
export const TCP_LISTEN: i32 = 10;
export const TCP_CLOSING: i32 = 11;

/** TCP header flags. */
export const FIN: i32 = 1;
export const SYN: i32 = 2;
export const RST: i32 = 4;
export const PSH: i32 = 8;
export const ACK: i32 = 16;
export const URG: i32 = 32;
export const ECE: i32 = 64;
export const CWR: i32 = 128;

// ---- Counters: u64 each, the index in the array; names follow RFC 4293, 4022, 4113 and Linux's netstat -s ---------
export const MIB_IP_IN_RECEIVES: i32 = 0;
export const MIB_IP_IN_HDR_ERRORS: i32 = 1;
export const MIB_IP_IN_ADDR_ERRORS: i32 = 2;
export const MIB_IP_FORW_DATAGRAMS: i32 = 3;
export const MIB_IP_IN_UNKNOWN_PROTOS: i32 = 4;
export const MIB_IP_IN_DISCARDS: i32 = 5;
export const MIB_IP_IN_DELIVERS: i32 = 6;
export const MIB_IP_OUT_REQUESTS: i32 = 7;
export const MIB_IP_OUT_DISCARDS: i32 = 8;
export const MIB_IP_OUT_NO_ROUTES: i32 = 9;
export const MIB_IP_REASM_TIMEOUT: i32 = 10;
export const MIB_IP_REASM_REQDS: i32 = 11;
export const MIB_IP_REASM_OKS: i32 = 12;
export const MIB_IP_REASM_FAILS: i32 = 13;
export const MIB_IP_FRAG_OKS: i32 = 14;
export const MIB_IP_FRAG_FAILS: i32 = 15;
export const MIB_IP_FRAG_CREATES: i32 = 16;
export const MIB_IP_IN_CSUM_ERRORS: i32 = 17;
export const MIB_IP_IN_TRUNCATED: i32 = 18;
export const MIB_ICMP_IN_MSGS: i32 = 19;
export const MIB_ICMP_IN_ERRORS: i32 = 20;
export const MIB_ICMP_IN_CSUM_ERRORS: i32 = 21;
export const MIB_ICMP_IN_DEST_UNREACHS: i32 = 22;
export const MIB_ICMP_IN_TIME_EXCDS: i32 = 23;
export const MIB_ICMP_IN_ECHOS: i32 = 24;
export const MIB_ICMP_IN_ECHO_REPS: i32 = 25;
export const MIB_ICMP_IN_OTHERS: i32 = 26;
export const MIB_ICMP_OUT_MSGS: i32 = 27;
export const MIB_ICMP_OUT_ERRORS: i32 = 28;
export const MIB_ICMP_OUT_DEST_UNREACHS: i32 = 29;
export const MIB_ICMP_OUT_TIME_EXCDS: i32 = 30;
export const MIB_ICMP_OUT_ECHOS: i32 = 31;
export const MIB_ICMP_OUT_ECHO_REPS: i32 = 32;
export const MIB_ICMP_OUT_RATE_LIMITED: i32 = 33;
export const MIB_IGMP_IN_MSGS: i32 = 34;
export const MIB_IGMP_IN_ERRORS: i32 = 35;
export const MIB_IGMP_OUT_REPORTS: i32 = 36;
export const MIB_IGMP_OUT_LEAVES: i32 = 37;
export const MIB_ARP_IN_REQUESTS: i32 = 38;
export const MIB_ARP_IN_REPLIES: i32 = 39;
export const MIB_ARP_IN_ERRORS: i32 = 40;
export const MIB_ARP_OUT_REQUESTS: i32 = 41;
export const MIB_ARP_OUT_REPLIES: i32 = 42;
export const MIB_ARP_OUT_PROBES: i32 = 43;
export const MIB_ARP_OUT_ANNOUNCEMENTS: i32 = 44;
export const MIB_ARP_CONFLICTS: i32 = 45;
export const MIB_ARP_PENDING_DROPS: i32 = 46;
export const MIB_ARP_FAILURES: i32 = 47;
export const MIB_ARP_EVICTIONS: i32 = 48;
export const MIB_ETH_IN_FRAMES: i32 = 49;
export const MIB_ETH_IN_BYTES: i32 = 50;
export const MIB_ETH_IN_ERRORS: i32 = 51;
export const MIB_ETH_IN_UNKNOWN: i32 = 52;
export const MIB_ETH_IN_OTHER_HOST: i32 = 53;
export const MIB_ETH_OUT_FRAMES: i32 = 54;
export const MIB_ETH_OUT_BYTES: i32 = 55;
export const MIB_ETH_OUT_ERRORS: i32 = 56;
export const MIB_ETH_OUT_QUEUE_DROPS: i32 = 57;
export const MIB_UDP_IN_DATAGRAMS: i32 = 58;
export const MIB_UDP_NO_PORTS: i32 = 59;
export const MIB_UDP_IN_ERRORS: i32 = 60;
export const MIB_UDP_IN_CSUM_ERRORS: i32 = 61;
export const MIB_UDP_RCVBUF_ERRORS: i32 = 62;
export const MIB_UDP_SNDBUF_ERRORS: i32 = 63;
export const MIB_UDP_OUT_DATAGRAMS: i32 = 64;
export const MIB_UDP_MEM_ERRORS: i32 = 65;
export const MIB_TCP_ACTIVE_OPENS: i32 = 66;
export const MIB_TCP_PASSIVE_OPENS: i32 = 67;
export const MIB_TCP_ATTEMPT_FAILS: i32 = 68;
export const MIB_TCP_ESTAB_RESETS: i32 = 69;
export const MIB_TCP_CURR_ESTAB: i32 = 70;
export const MIB_TCP_IN_SEGS: i32 = 71;
export const MIB_TCP_IN_ERRS: i32 = 72;
export const MIB_TCP_IN_CSUM_ERRORS: i32 = 73;
export const MIB_TCP_OUT_SEGS: i32 = 74;
export const MIB_TCP_OUT_RSTS: i32 = 75;
export const MIB_TCP_RETRANS_SEGS: i32 = 76;
export const MIB_TCP_FAST_RETRANS: i32 = 77;
export const MIB_TCP_LOST_RETRANSMITS: i32 = 78;
export const MIB_TCP_TIMEOUTS: i32 = 79;
export const MIB_TCP_SPURIOUS_RTOS: i32 = 80;
export const MIB_TCP_TLP_PROBES: i32 = 81;
export const MIB_TCP_LISTEN_OVERFLOWS: i32 = 82;
export const MIB_TCP_LISTEN_DROPS: i32 = 83;
export const MIB_TCP_SYN_COOKIES_SENT: i32 = 84;
export const MIB_TCP_SYN_COOKIES_RECV: i32 = 85;
export const MIB_TCP_SYN_COOKIES_FAILED: i32 = 86;
export const MIB_TCP_SYN_RETRANS: i32 = 87;
export const MIB_TCP_CHALLENGE_ACKS: i32 = 88;
export const MIB_TCP_CHALLENGE_LIMITED: i32 = 89;
export const MIB_TCP_PAWS_REJECTED: i32 = 90;
export const MIB_TCP_OUT_OF_WINDOW: i32 = 91;
export const MIB_TCP_OFO_QUEUED: i32 = 92;
export const MIB_TCP_OFO_DROPPED: i32 = 93;
export const MIB_TCP_OFO_PRUNED: i32 = 94;
export const MIB_TCP_DUP_SEGS: i32 = 95;
export const MIB_TCP_SACK_RECV: i32 = 96;
export const MIB_TCP_DSACK_RECV: i32 = 97;
export const MIB_TCP_DSACK_SENT: i32 = 98;
export const MIB_TCP_SACK_RENEGING: i32 = 99;
export const MIB_TCP_RCV_PRUNED: i32 = 100;
export const MIB_TCP_DELAYED_ACKS: i32 = 101;
export const MIB_TCP_PURE_ACKS: i32 = 102;
export const MIB_TCP_HEADER_PREDICTIONS: i32 = 103;
export const MIB_TCP_PERSIST_PROBES: i32 = 104;
export const MIB_TCP_KEEPALIVE_PROBES: i32 = 105;
export const MIB_TCP_TIME_WAITS: i32 = 106;
export const MIB_TCP_TIME_WAIT_REUSED: i32 = 107;
export const MIB_TCP_TIME_WAIT_OVERFLOW: i32 = 108;
export const MIB_TCP_TIME_WAIT_KILLED: i32 = 109;
export const MIB_TCP_MEM_ERRORS: i32 = 110;
export const MIB_TCP_ABORT_ON_TIMEOUT: i32 = 111;
export const MIB_TCP_ABORT_ON_CLOSE: i32 = 112;
export const MIB_TCP_ABORT_ON_DATA: i32 = 113;
export const MIB_TCP_ABORT_ON_LINGER: i32 = 114;
export const MIB_TCP_ECN_CE_RECEIVED: i32 = 115;
export const MIB_TCP_ECN_REDUCTIONS: i32 = 116;
export const MIB_TCP_PMTU_REDUCTIONS: i32 = 117;
export const MIB_TCP_FASTOPEN_ACTIVE: i32 = 118; // data in our SYN was acknowledged
export const MIB_TCP_FASTOPEN_ACTIVE_FAIL: i32 = 119;
export const MIB_TCP_FASTOPEN_PASSIVE: i32 = 120; // connections opened by a SYN alone
export const MIB_TCP_FASTOPEN_PASSIVE_FAIL: i32 = 121; // wrong cookies, no memory
export const MIB_TCP_FASTOPEN_PASSIVE_ALT_KEY: i32 = 122; // cookies made with the backup key
export const MIB_TCP_FASTOPEN_LISTEN_OVERFLOW: i32 = 123;
export const MIB_TCP_FASTOPEN_COOKIE_REQUESTS: i32 = 124;
export const MIB_TCP_FASTOPEN_BLACKHOLE: i32 = 125;
export const MIB_TCP_MTU_PROBES_GOOD: i32 = 126;
export const MIB_TCP_MTU_PROBES_FAILED: i32 = 127;
export const MIB_TCP_OUT_OF_WINDOW_ICMPS: i32 = 128; // ICMP errors about segments that are not in flight
export const MIB_STEER_OUT: i32 = 129; // packets handed to another stack of the host
export const MIB_STEER_IN: i32 = 130; // packets that other stacks of the host have handed over
export const MIB_STEER_COPIES: i32 = 131; // copies made for other stacks: ARP, IGMP, group datagrams
export const MIB_STEER_DROPS: i32 = 132; // no room in the software queue, or no mbuf for a copy
export const MIB_STEER_NO_ENTRY: i32 = 133; // flows that the host's table had no entry for
export const MIB_STEER_CLASHES: i32 = 134; // tuples that another stack of the host has
export const MIB_STEER_RULES: i32 = 135; // rules added to the NIC's flow director
export const MIB_MBUF_LOW_WATERMARK: i32 = 136; // times the L1 pool fell to its low watermark
export const MIB_MBUF_L2_CREATED: i32 = 137;
export const MIB_MBUF_L2_DISSOLVED: i32 = 138;
export const MIB_MBUF_L2_ALLOCS: i32 = 139; // mbufs that came from the L2 pool
export const MIB_MBUF_ALLOC_FAILURES: i32 = 140; // packets for which neither pool had an mbuf
export const MIB_MBUF_TX_WAITS: i32 = 141; // connections that waited for mbufs
export const MIB_MBUF_CACHE_SWEEPS: i32 = 142; // caches switched off and swept, for their pool was short
export const MIB_TCP_PAWS_OLD_ACKS: i32 = 143; // pure ACKs that newer segments overtook, dropped without an answer
export const MIB_TCP_MEMORY_WAITS: i32 = 144; // sends that found no memory: they waited, or were told EAGAIN
export const MIB_COUNT: i32 = 145;

// ---- Kinds of objects that the flow table, the timing wheel and descriptors point at (the byte at offset 16) ------
export const KIND_FREE: i32 = 0;
export const KIND_TCP: i32 = 1;
export const KIND_LISTENER: i32 = 2;
export const KIND_UDP: i32 = 3;
export const KIND_EPOLL: i32 = 4;
export const KIND_TIME_WAIT: i32 = 5;
export const KIND_TIMER_ARP: i32 = 6;
export const KIND_TIMER_REASSEMBLY: i32 = 7;
export const KIND_TIMER_IGMP: i32 = 8;
export const KIND_TIMER_MBUF: i32 = 9;

// ---- Tunables of a stack, named after Linux's sysctls; index in its array of u32, read and written at run time ----
export const SYSCTL_TCP_RMEM_DEFAULT: i32 = 0; // bytes
export const SYSCTL_TCP_RMEM_MAX: i32 = 1;
export const SYSCTL_TCP_WMEM_DEFAULT: i32 = 2;
export const SYSCTL_TCP_WMEM_MAX: i32 = 3;
export const SYSCTL_TCP_SACK: i32 = 4;
export const SYSCTL_TCP_TIMESTAMPS: i32 = 5;
export const SYSCTL_TCP_WINDOW_SCALING: i32 = 6;
export const SYSCTL_TCP_ECN: i32 = 7; // 0 off, 1 asked for and accepted, 2 accepted
export const SYSCTL_TCP_CONGESTION: i32 = 8; // CC_*
export const SYSCTL_TCP_SYN_RETRIES: i32 = 9;
export const SYSCTL_TCP_SYNACK_RETRIES: i32 = 10;
export const SYSCTL_TCP_RETRIES1: i32 = 11;
export const SYSCTL_TCP_RETRIES2: i32 = 12;
export const SYSCTL_TCP_ORPHAN_RETRIES: i32 = 13;
export const SYSCTL_TCP_FIN_TIMEOUT: i32 = 14; // ms
export const SYSCTL_TCP_TIME_WAIT: i32 = 15; // ms, 2 MSL
export const SYSCTL_TCP_KEEPALIVE_TIME: i32 = 16; // ms
export const SYSCTL_TCP_KEEPALIVE_INTVL: i32 = 17; // ms
export const SYSCTL_TCP_KEEPALIVE_PROBES: i32 = 18;
export const SYSCTL_TCP_SYNCOOKIES: i32 = 19; // 0 off, 1 on overflow, 2 always
export const SYSCTL_TCP_INIT_CWND: i32 = 20; // segments
export const SYSCTL_TCP_RTO_MIN: i32 = 21; // ms
export const SYSCTL_TCP_DELACK: i32 = 22; // ms
export const SYSCTL_TCP_CHALLENGE_ACK_LIMIT: i32 = 23; // per second
/** 1: RACK, 2: its reordering window does not adapt, 4: it waits even when dupThresh segments were SACKed. */
export const SYSCTL_TCP_RECOVERY: i32 = 24;
export const SYSCTL_TCP_EARLY_RETRANS: i32 = 25; // 3 and 4: TLP
export const SYSCTL_TCP_SLOW_START_AFTER_IDLE: i32 = 26;
export const SYSCTL_TCP_TW_REUSE: i32 = 27;
export const SYSCTL_TCP_ABORT_ON_OVERFLOW: i32 = 28;
export const SYSCTL_TCP_MAX_SYN_BACKLOG: i32 = 29;
export const SYSCTL_SOMAXCONN: i32 = 30;
export const SYSCTL_PORT_RANGE_LOW: i32 = 31;
export const SYSCTL_PORT_RANGE_HIGH: i32 = 32;
export const SYSCTL_IP_DEFAULT_TTL: i32 = 33;
export const SYSCTL_UDP_RMEM: i32 = 34; // bytes
export const SYSCTL_UDP_WMEM: i32 = 35;
export const SYSCTL_IPFRAG_TIME: i32 = 36; // ms
export const SYSCTL_ICMP_RATELIMIT: i32 = 37; // ICMP errors a second
export const SYSCTL_ARP_REACHABLE_TIME: i32 = 38; // ms
export const SYSCTL_ICMP_ECHO_IGNORE_ALL: i32 = 39;
export const SYSCTL_TCP_MTU_PROBING: i32 = 40; // 0 off, 1 after timeouts, 2 always
export const SYSCTL_TCP_MODERATE_RCVBUF: i32 = 41;
export const SYSCTL_TCP_MIN_SND_MSS: i32 = 42;
export const SYSCTL_TCP_FASTOPEN: i32 = 43; // TFO_*
export const SYSCTL_TCP_INIT_RTO: i32 = 44; // ms
export const SYSCTL_TCP_REORDERING: i32 = 45;
export const SYSCTL_TCP_MIN_TSO_SEGS: i32 = 50;
export const SYSCTL_TCP_RTO_MAX: i32 = 51; // ms
export const SYSCTL_TCP_SHRINK_WINDOW: i32 = 53;
export const SYSCTL_TCP_INVALID_RATELIMIT: i32 = 54; // ms
/** Words of tcp_fastopen_key: four of the key, four of the backup key. */
export const SYSCTL_TCP_FASTOPEN_KEY: i32 = 64;
export const SYSCTL_TCP_FASTOPEN_KEYS: i32 = 72; // 1, or 2 with a backup key
export const SYSCTL_TCP_FASTOPEN_BLACKHOLE_TIMEOUT_SEC: i32 = 73; // 0: middleboxes are trusted
export const SYSCTL_TCP_SYN_LINEAR_TIMEOUTS: i32 = 74; // SYN retransmissions before the timeout doubles
export const SYSCTL_TCP_NOTSENT_LOWAT: i32 = 75; // bytes
export const SYSCTL_TCP_BASE_MSS: i32 = 76; // bytes
export const SYSCTL_TCP_MTU_PROBE_FLOOR: i32 = 77; // bytes
export const SYSCTL_TCP_PROBE_INTERVAL: i32 = 78; // seconds
export const SYSCTL_TCP_PROBE_THRESHOLD: i32 = 79; // bytes
export const SYSCTL_TCP_FRTO: i32 = 80; // 0 off
export const SYSCTL_TCP_DSACK: i32 = 81;
export const SYSCTL_TCP_MAX_REORDERING: i32 = 82; // segments
export const SYSCTL_TCP_STDURG: i32 = 83; // 1: the urgent pointer as RFC 1122 has it
export const SYSCTL_TCP_RFC1337: i32 = 84; // 1: a reset does not end TIME-WAIT
export const SYSCTL_TCP_ECN_FALLBACK: i32 = 85; // 1: no ECN on a SYN that is sent again
export const SYSCTL_TCP_THIN_LINEAR_TIMEOUTS: i32 = 86; // 1: few segments in flight are sent again at even distances
export const SYSCTL_TCP_WORKAROUND_SIGNED_WINDOWS: i32 = 87; // 1: windows below 32,768 without scaling
export const SYSCTL_IP_NO_PMTU_DISC: i32 = 88; // 1: sockets begin with IP_PMTUDISC_DONT
export const SYSCTL_TCP_TW_REUSE_DELAY: i32 = 89; // ms
export const SYSCTL_COUNT: i32 = 128;

/** Bits of tcp_fastopen. */
export const TFO_CLIENT: i32 = 1;
export const TFO_SERVER: i32 = 2;
export const TFO_CLIENT_NO_COOKIE: i32 = 4; // data in the SYN without a cookie
export const TFO_SERVER_NO_COOKIE: i32 = 0x200; // data in the SYN is taken without a cookie
export const TFO_SERVER_ALL: i32 = 0x400; // every listener, without TCP_FASTOPEN

/** Congestion control algorithms. */
export const CC_RENO: i32 = 0;
export const CC_CUBIC: i32 = 1;

// ---- Groups: what the stacks of one host share (assembly/steer/group.ts). Words that the host fills in -------------
export const GROUP_STACKS: i32 = 4; // 2 to GROUP_STACKS_MAX
export const GROUP_SOFT_SLOTS: i32 = 8; // packets that wait in each software queue at most, a power of two
export const GROUP_FLOWS: i32 = 12; // flows that the table holds
export const GROUP_PORT: i32 = 16; // handle of the NIC
export const GROUP_QUEUELESS: i32 = 24; // u64, one bit for each stack: serves no queue of the NIC
export const GROUP_ALIVE: i32 = 32; // u64, one bit for each stack that runs
/** One member for each stack. */
export const GROUP_MEMBERS: i32 = 256;
export const MEMBER_BYTES: i32 = CACHE_SPREAD;
export const MEMBER_ARENA: i32 = 0; // address
export const MEMBER_DOORBELL: i32 = 4; // address of the doorbell of its thread
export const MEMBER_POOL: i32 = 8; // address of a shared pool of mbufs: for copies to other stacks
export const MEMBER_QUEUE: i32 = 12; // its first queue of the NIC
export const GROUP_STACKS_MAX: i32 = 64;

// ---- The registry of a network's stacks: one entry for each, by its number (host/registry.ts) -----------------------
export const REGISTRY_STACKS_MAX: i32 = 4096;
export const ENTRY_BYTES: i32 = 64;
export const ENTRY_STATE: i32 = 0; // STACK_*
export const ENTRY_STARTS: i32 = 4; // how often it was started
export const ENTRY_ARENA: i32 = 8; // address; STACK_NOW in it is the stack's heartbeat
export const ENTRY_PORT: i32 = 12; // handle of its NIC
export const ENTRY_QUEUE: i32 = 16; // first queue of the NIC
export const ENTRY_QUEUES: i32 = 20; // how many; 0: only the software queue
export const ENTRY_GROUP: i32 = 24; // address of what its host's stacks share, or 0
export const ENTRY_INDEX: i32 = 28; // which of its host's stacks it is
export const STACK_FREE: i32 = 0;
export const STACK_RUNNING: i32 = 1;
export const STACK_DEAD: i32 = 2; // its thread is gone, what it had is being taken back
export const STACK_RECLAIMED: i32 = 3; // nothing is left of it; it may be started again
/** Offset in an arena: time of the stack's latest beat, f64, microseconds. */
export const STACK_NOW: i32 = 8;
export const STACK_FLOW_TABLE: i32 = 36; // address: the mask of its slots, then from FLOW_SLOTS on the slots of 8 bytes
export const FLOW_SLOTS: i32 = 64;

// ---- NICs: a port's region (veth). The handle of a port is the region's address -----------------------------------
/** Words that the host fills in before portInit(); the rest of the header is the datapath's own. */
export const PORT_FLAGS: i32 = 4; // PORT_*
export const PORT_CAPS: i32 = 8; // CAP_*
export const PORT_MTU: i32 = 12;
export const PORT_MAC: i32 = 16; // six bytes in wire order, two zero bytes
export const PORT_INDEX: i32 = 24; // number of the port in its network, 0 to 65535
export const PORT_QUEUES: i32 = 28; // RX queues
export const PORT_RING: i32 = 32; // RX descriptors of each queue, a power of two
export const PORT_MBUFS: i32 = 36; // mbufs of each RX queue
export const PORT_RULES: i32 = 40; // flow-director rules that fit
export const PORT_RSS_TYPES: i32 = 44; // RSS_*
export const PORT_BRIDGE: i32 = 48; // address of the bridge it is plugged into, or 0
export const PORT_SLOT: i32 = 52; // which of the bridge's ports it is
export const PORT_PEER: i32 = 56; // the port at the cable's other end, or 0
export const PORT_CAPTURE: i32 = 60; // address of a capture ring, or 0
export const PORT_LINK_OUT: i32 = 64; // link from the host to the wire, or 0
export const PORT_LINK_IN: i32 = 68; // link from the wire to the host, or 0
export const PORT_RX_QUEUES: i32 = 72; // address of the first RX queue
export const PORT_TX_QUEUES: i32 = 76; // address of the first TX queue
export const PORT_DIRECTOR: i32 = 80; // address of the flow director
export const PORT_TX_COUNT: i32 = 104; // TX queues; 0: as many as RX queues
export const PORT_ESWITCH: i32 = 108; // address of the switch inside its NIC, or 0
export const PORT_FUNCTION: i32 = 112; // which function of that NIC it is, or ESWITCH_UPLINK
export const PORT_TRUNK: i32 = 116; // address of the trunk to an ltran, or 0
export const PORT_CACHES: i32 = 120; // address of the first cache of freed mbufs: one for each TX and RX queue
export const PORT_RSS_KEY: i32 = 128; // 40 bytes
export const PORT_RETA: i32 = 256; // 128 bytes: hash & 127 -> queue
export const PORT_DROPS: i32 = 384; // u64 each, PORT_DROP_*
export const PORT_HEADER: i32 = 512;
export const RSS_KEY_BYTES: i32 = 40;
export const RETA_SIZE: i32 = 128;
export const PORT_QUEUES_MAX: i32 = 64;

/** PORT_FLAGS */
export const PORT_PROMISCUOUS: i32 = 1;
export const PORT_FLOW_CONTROL: i32 = 2; // txBurst stops at a unicast frame whose destination has no room
export const PORT_UP: i32 = 4;

/** What PORT_RSS_TYPES may hold (DPDK: RTE_ETH_RSS_IPV4, RTE_ETH_RSS_NONFRAG_IPV4_TCP, ..._UDP). */
export const RSS_IPV4: i32 = 1;
export const RSS_TCP_IPV4: i32 = 2;
export const RSS_UDP_IPV4: i32 = 4;

/** Why a frame did not get into a port, PORT_DROPS. */
export const PORT_DROP_MISSED: i32 = 0; // ring full (DPDK: imissed)
export const PORT_DROP_NOMBUF: i32 = 1; // pool empty (DPDK: rx_nombuf)
export const PORT_DROP_OVERSIZE: i32 = 2; // longer than the MTU allows
export const PORT_DROP_FILTERED: i32 = 3; // another NIC's MAC address
export const PORT_DROP_DOWN: i32 = 4;
export const PORT_L4_BAD: i32 = 5; // not a drop: wrong TCP/UDP checksums seen by the NIC
export const PORT_IP_BAD: i32 = 6; // not a drop: wrong IPv4 header checksums
export const PORT_RX_SHORT: i32 = 7; // not a drop: packets, or bursts of them, that took a pool's last mbufs
export const PORT_DROP_COUNT: i32 = 8;

/** One RX queue: the senders' part, the consumer's counters, the pool. */
export const RXQ_BYTES: i32 = 384;
export const RXQ_RING: i32 = 0; // address of the descriptor ring
export const RXQ_DOORBELL: i32 = 20; // address of a doorbell to ring, or 0
export const RXQ_PACKETS: i32 = 128; // u64
export const RXQ_RX_BYTES: i32 = 136; // u64
export const RXQ_POOL: i32 = 256; // struct Pool
/** One TX queue: counters, u64 each, then its thread's scratch. */
export const TXQ_BYTES: i32 = 4736;
export const TXQ_PACKETS: i32 = 0;
export const TXQ_TX_BYTES: i32 = 1;
export const TXQ_ERRORS: i32 = 2; // malformed, or offload that the port does not offer
export const TXQ_OVERSIZE: i32 = 3;
export const TXQ_NO_CARRIER: i32 = 4;
export const TXQ_PAUSES: i32 = 5; // bursts that flow control cut short
export const TXQ_TSO_PACKETS: i32 = 6;
export const TXQ_TSO_SEGMENTS: i32 = 7;
export const TXQ_FORWARDED: i32 = 8; // frames that the bridge took, while the port is plugged in there
export const TXQ_FLOODED: i32 = 9;
export const TXQ_COUNT: i32 = 10;

/** A doorbell: a sleeping thread waits on the first word; the second is not 0 while it sleeps or is about to. */
export const DOORBELL_SEQUENCE: i32 = 0;
export const DOORBELL_SLEEPING: i32 = 4;
/** The block of a host that runs in a thread of its own: its doorbell, then these words. */
export const THREAD_STATE: i32 = 8; // THREAD_*: whose the stack is
export const THREAD_STOP: i32 = 12; // THREAD_ASKED, and the number of the safepoint it is to stand still for, shifted
export const THREAD_PARKED: i32 = 16; // the safepoint it stands still for, between two beats of its stack; THREAD_AWAY
export const THREAD_BEATS: i32 = 20; // goes up while the thread's event loop turns
export const THREAD_POLL: i32 = 24; // how it waits for work: index in POLL_MODES of host/threads/thread-driver.ts
export const THREAD_POLLS: i32 = 32; // f64, as the rest: beats of its stack (host/threads/activity.ts)
export const THREAD_SLEEPS: i32 = 40;
export const THREAD_WAKEUPS: i32 = 48; // sleeps that a doorbell ended
export const THREAD_ASLEEP_MICROS: i32 = 56; // in sleeps that have ended
export const THREAD_ASLEEP_SINCE: i32 = 64; // the network's time when this sleep began; 0: it is awake
export const THREAD_BYTES: i32 = CACHE_SPREAD;
/** THREAD_STOP: the thread is asked to end. */
export const THREAD_ASKED: i32 = 1;
export const THREAD_SAFEPOINT_SHIFT: i32 = 8;
/** THREAD_PARKED: the thread has not come to its stack yet, and stands still before it does if it is to. */
export const THREAD_AWAY: i32 = -1;
/** THREAD_STATE */
export const THREAD_RUNNING: i32 = 1;
export const THREAD_ENDED: i32 = 2; // the thread has let go of it: the main thread may take it
export const THREAD_TRAPPED: i32 = 3; // nobody's
/** A receiver that took nothing for so long no longer stops senders: its frames are dropped. */
export const PAUSE_MICROS_MAX: i32 = 1000000;

// ---- Bridges (veth) -----------------------------------------------------------------------------------------------
export const BRIDGE_FLAGS: i32 = 4; // BRIDGE_*
export const BRIDGE_AGING: i32 = 8; // milliseconds, 0 = never
export const BRIDGE_SLOTS: i32 = 12; // ports that fit
export const BRIDGE_ENTRIES: i32 = 16; // MAC addresses that fit, a power of two
export const BRIDGE_USED: i32 = 20; // slots below this one have been used
export const BRIDGE_SLOT_TABLE: i32 = 24; // address
export const BRIDGE_MAC_TABLE: i32 = 28; // address
export const BRIDGE_COUNTERS: i32 = 128; // u64 each, BRIDGE_*
export const BRIDGE_HEADER: i32 = 256;
export const BRIDGE_VLAN_AWARE: i32 = 1;
export const BRIDGE_FORWARDED: i32 = 0;
export const BRIDGE_FLOODED: i32 = 1; // frames, not copies
export const BRIDGE_LEARNED: i32 = 2;
export const BRIDGE_MOVED: i32 = 3; // addresses that changed their port
export const BRIDGE_TABLE_FULL: i32 = 4; // addresses that could not be learned
export const BRIDGE_VLAN_DROPS: i32 = 5;
export const BRIDGE_HAIRPINS: i32 = 6; // frames for an address behind the port they came from
export const BRIDGE_COUNTER_COUNT: i32 = 7;
/** One port of a bridge. */
export const SLOT_BYTES: i32 = 768;
export const SLOT_PORT: i32 = 0; // address of the port, or 0
export const SLOT_PVID: i32 = 4; // VLAN of untagged frames that come in, 0 = they are dropped
export const SLOT_UNTAGGED: i32 = 8; // VLAN that leaves without its tag, 0 = none
export const SLOT_TAGGED: i32 = 16; // 4,096 bits: VLANs that come and leave with a tag
export const SLOT_FORWARDED: i32 = 640; // u64: frames out of links; TXQ_* have others, BRIDGE_* those of gone ports
export const SLOT_FLOODED: i32 = 648; // u64, likewise
/** One learned address: {key u64, slot u32, last seen u32 in milliseconds}. */
export const MAC_ENTRY_BYTES: i32 = 16;

// ---- The switch inside a NIC whose PF is split into VFs (veth) ------------------------------------------------------
export const ESWITCH_COUNT: i32 = 4; // functions: the PF and its VFs
export const ESWITCH_PORT: i32 = 8; // the port that is plugged into the network
export const ESWITCH_UNKNOWN: i32 = 64; // u64: frames from the wire for nobody here
export const ESWITCH_HEADER: i32 = 128;
export const ESWITCH_UPLINK: i32 = 255; // PORT_FUNCTION of that port
/** One function: 0 is the PF, n + 1 is VF n. */
export const FUNCTION_BYTES: i32 = 192;
export const FUNCTION_PORT: i32 = 0; // address
export const FUNCTION_FLAGS: i32 = 4; // FUNCTION_*
export const FUNCTION_TCI: i32 = 8; // the tag that its frames have on the wire, 0 = they stay as they are
export const FUNCTION_MAC: i32 = 16; // six bytes in wire order, two zero bytes
export const FUNCTION_COUNTERS: i32 = 64; // u64 each, FUNCTION_*
export const FUNCTION_SPOOFCHECK: i32 = 1;
export const FUNCTION_TRUST: i32 = 2;
export const FUNCTION_DISABLED: i32 = 4;
export const FUNCTION_TX_SWITCHED: i32 = 0; // to another function
export const FUNCTION_TX_UPLINK: i32 = 1; // unicast to the network
export const FUNCTION_TX_GROUP: i32 = 2; // broadcast and multicast
export const FUNCTION_TX_SPOOFED: i32 = 3; // dropped: not its own source address
export const FUNCTION_TX_VLAN: i32 = 4; // dropped: a tag that it may not use
export const FUNCTION_TX_DISABLED: i32 = 5; // dropped: the function is switched off
export const FUNCTION_RX_SWITCHED: i32 = 6;
export const FUNCTION_RX_UPLINK: i32 = 7;
export const FUNCTION_RX_GROUP: i32 = 8;
export const FUNCTION_COUNTER_COUNT: i32 = 9;
export const VFS_MAX: i32 = 63;

// ---- The trunk between a NIC in a memory of its own and an ltran (veth) -----------------------------
/** Two rings of bytes: out, from the stack; in, to it. Positions count bytes modulo 2^32 and are multiples of 8. */
export const TRUNK_SIZE: i32 = 4; // bytes of each ring, a power of two
export const TRUNK_VERSION: i32 = 8; // changes after TRUNK_PORTS has
export const TRUNK_OUT_HEAD: i32 = 128; // the stack writes
export const TRUNK_OUT_TAIL: i32 = 256; // the ltran writes
export const TRUNK_IN_HEAD: i32 = 384; // the ltran writes
export const TRUNK_IN_TAIL: i32 = 512; // the stack writes
export const TRUNK_OUT_DROPS: i32 = 640; // u64: frames that found the ring out full for too long
export const TRUNK_PORTS: i32 = 1024; // bit sets of the local ports served: 65,536 of TCP, then as many of UDP
export const TRUNK_PORTS_BYTES: i32 = 16384;
export const TRUNK_RINGS: i32 = TRUNK_PORTS + TRUNK_PORTS_BYTES; // out, then in
/** A record: its length, a word of 0, the bytes of a frame, up to 7 bytes to the next multiple of 8. */
export const TRUNK_RECORD: i32 = 8;
export const TRUNK_SKIP: i32 = -1; // in place of a length: the next record is at the start of the ring

// ---- ltran: forwards frames between a NIC and stacks in memories of their own (veth) ----------------
export const LTRAN_PORT: i32 = 4; // handle of its NIC
export const LTRAN_SLOTS: i32 = 8; // stacks that fit
export const LTRAN_FLOWS: i32 = 12; // flows that fit, a power of two
export const LTRAN_BELL: i32 = 16; // address of the doorbell of the thread that it runs in, or 0
export const LTRAN_NEWS: i32 = 20; // how many trunks it has been told of
export const LTRAN_NOW: i32 = 48; // f64: time of its latest beat, microseconds
export const LTRAN_COUNTERS: i32 = 64; // u64 each, LTRAN_*
export const LTRAN_RX_UNKNOWN: i32 = 0; // frames for an address that no stack has
export const LTRAN_RX_DEAD: i32 = 1; // frames for a stack that does not run
export const LTRAN_FRAGMENT_MISSES: i32 = 2; // fragments of a shared address whose first part was not seen before
export const LTRAN_FLOW_EVICTIONS: i32 = 3; // flows that were forgotten for newer ones
export const LTRAN_COUNTER_COUNT: i32 = 4;
export const LTRAN_HEADER: i32 = 128;
/** One stack. */
export const STATION_BYTES: i32 = 256;
export const STATION_WANTED: i32 = 0; // number of the start of its stack that is to be served; 0: none
export const STATION_SERVED: i32 = 4; // the one that is served
export const STATION_REFUSED: i32 = 8; // the one that was cut off, because its memory held what cannot be
export const STATION_ADDRESS: i32 = 12; // IPv4, as it lies in a packet
export const STATION_MAC: i32 = 16; // six bytes in wire order, two zero bytes
export const STATION_SIZE: i32 = 24; // bytes of each ring of its trunk
export const STATION_OUT: i32 = 28; // address of the copy of the ring out
export const STATION_IN: i32 = 32; // address of what is copied to the ring in
export const STATION_PORTS: i32 = 36; // address of the copy of the bit sets of ports
export const STATION_OUT_HEAD: i32 = 40; // bytes before this have been copied here
export const STATION_OUT_TAIL: i32 = 44; // bytes before this have been forwarded
export const STATION_IN_HEAD: i32 = 48; // bytes before this are to be copied to the stack
export const STATION_IN_SENT: i32 = 52; // bytes before this have been
export const STATION_IN_TAIL: i32 = 56; // bytes before this the stack has taken
export const STATION_BLOCKED: i32 = 60; // not 0: what comes next out of the ring finds no room at its receiver
export const STATION_BELL: i32 = 64; // address of the doorbell of the thread that runs the stack, or 0
export const STATION_COUNTERS: i32 = 80; // u64 each, STATION_*
export const STATION_RX_PACKETS: i32 = 0;
export const STATION_RX_BYTES: i32 = 1;
export const STATION_RX_MISSED: i32 = 2; // frames that found the ring in full
export const STATION_TX_PACKETS: i32 = 3;
export const STATION_TX_BYTES: i32 = 4;
export const STATION_TX_SPOOFED: i32 = 5; // dropped: another's address
export const STATION_TX_LOCAL: i32 = 6; // frames for other stacks of the same ltran
export const STATION_VIOLATIONS: i32 = 7; // times that its memory held what cannot be
export const STATION_COUNTER_COUNT: i32 = 8;
export const STATIONS_MAX: i32 = 64;

// ---- Links (veth) -------------------------------------------------------------------------------------------------
/** Where the host writes rules for linkApply(); struct LinkRules. */
export const LINK_RULES: i32 = 256;
export const LINK_FRAMES: i32 = 88; // u64: frames judged since the lists were set
export const LINK_COUNTERS: i32 = 640; // u64 each, LINK_*
export const LINK_TO_WIRE: i32 = 0;
export const LINK_TO_HOST: i32 = 1;
export const RULES_FLAGS: i32 = 0; // RULE_*
export const RULES_REORDER_GAP: i32 = 4;
export const RULES_QUEUE_PACKETS: i32 = 8; // 0 = no limit
export const RULES_OVERHEAD: i32 = 12; // bytes that each frame takes beside its own when a rate is set
export const RULES_LOSS: i32 = 16; // f64 from here: probabilities, microseconds, bytes
export const RULES_GILBERT_P: i32 = 24;
export const RULES_GILBERT_R: i32 = 32;
export const RULES_LOSS_GOOD: i32 = 40;
export const RULES_LOSS_BAD: i32 = 48;
export const RULES_DELAY: i32 = 56;
export const RULES_JITTER: i32 = 64;
export const RULES_REORDER: i32 = 72;
export const RULES_DUPLICATE: i32 = 80;
export const RULES_CORRUPT: i32 = 88;
export const RULES_RATE: i32 = 96; // bytes per microsecond, 0 = no limit
export const RULES_QUEUE_BYTES: i32 = 104; // 0 = no limit
export const RULES_HOLD: i32 = 112; // longest time that a frame waits for others to overtake it
export const RULES_DROP_LIST: i32 = 120; // u64 each: bit k concerns frame k since the rules' start
export const RULES_DUPLICATE_LIST: i32 = 128;
export const RULES_SWAP_LIST: i32 = 136;
export const RULES_BYTES: i32 = 144;
export const RULE_PARTITION: i32 = 1;
export const RULE_ORDERED: i32 = 2; // jitter does not reorder
export const RULE_NORMAL: i32 = 4; // jitter is a standard deviation, else a bound
export const RULE_GILBERT: i32 = 8;
export const LINK_OFFERED: i32 = 0;
export const LINK_DELIVERED: i32 = 1; // duplicates included
export const LINK_BYTES: i32 = 2; // of delivered frames
export const LINK_LOST: i32 = 3; // loss and Gilbert-Elliott
export const LINK_PARTITIONED: i32 = 4;
export const LINK_LISTED: i32 = 5; // dropped by the list
export const LINK_QUEUE_DROPS: i32 = 6; // the queue before the rate limit was full
export const LINK_BUFFER_DROPS: i32 = 7; // no buffer for a frame under way
export const LINK_DUPLICATED: i32 = 8;
export const LINK_CORRUPTED: i32 = 9;
export const LINK_REORDERED: i32 = 10;
export const LINK_COUNTER_COUNT: i32 = 11;

// ---- Captures (veth) ----------------------------------------------------------------------------------------------
export const CAPTURE_SNAP: i32 = 8; // bytes kept of a frame
export const CAPTURE_RECEIVED: i32 = 16; // u64: frames put into the ring
export const CAPTURE_DROPPED: i32 = 24; // u64: frames that found it full
/** One record: header, then the bytes of the frame. */
export const RECORD_LENGTH: i32 = 4; // bytes kept
export const RECORD_ORIGINAL: i32 = 8; // bytes on the wire
export const RECORD_PORT: i32 = 12; // u16: PORT_INDEX
export const RECORD_DIRECTION: i32 = 14; // u8: CAPTURE_IN, CAPTURE_OUT
export const RECORD_QUEUE: i32 = 15; // u8
export const RECORD_NANOS: i32 = 16; // u64
export const RECORD_HEADER: i32 = 24;
export const CAPTURE_IN: i32 = 1; // as pcapng's epb_flags: 1 inbound, 2 outbound
export const CAPTURE_OUT: i32 = 2;

/** Negative result beside those above. */
export const ENOSPC: i32 = 28;

// ---- Snapshots: most extents {address u32, bytes u32} of one object's state ----------------------------------------
export const EXTENT_BYTES: i32 = 8;
export const EXTENTS_STACK_MAX: i32 = 3 + NETIF_MAX + POOL_COUNT;
export const EXTENTS_PORT_MAX: i32 = 1 + PORT_QUEUES_MAX;
export const EXTENTS_LINK_MAX: i32 = 4;
export const EXTENTS_BRIDGE_MAX: i32 = 2;

// ---- ARP: states of a neighbour and the rows that arpDump() writes ------------------------------------------------
export const ARP_INCOMPLETE: i32 = 1; // asked, no answer yet
export const ARP_REACHABLE: i32 = 2;
export const ARP_STALE: i32 = 3; // usable, to be confirmed on the next use
export const ARP_DELAY: i32 = 4; // used while stale: TCP may still confirm it
export const ARP_PROBE: i32 = 5; // asked again, by unicast
export const ARP_PERMANENT: i32 = 6;
/** One row: {address u32, macHigh u32 (first two bytes), macLow u32 (last four), state u8, netif u8, pending u16}. */
export const ARP_ROW_BYTES: i32 = 16;
/** State of an interface's address (RFC 5227), arpAddressState(). */
export const ADDRESS_NONE: i32 = 0;
export const ADDRESS_PROBING: i32 = 1;
export const ADDRESS_ASSIGNED: i32 = 2;
export const ADDRESS_CONFLICT: i32 = 3; // another host has it

// ---- The error queue of IP_RECVERR: what udpReceive(MSG_ERRQUEUE) leaves at EXCHANGE_ARGS (struct sock_extended_err
export const ERROR_ERRNO: i32 = 0;
export const ERROR_ORIGIN: i32 = 4; // SO_EE_ORIGIN_*
export const ERROR_TYPE: i32 = 8; // of the ICMP message
export const ERROR_CODE: i32 = 12;
export const ERROR_INFO: i32 = 16; // MTU of "fragmentation needed"
export const ERROR_OFFENDER: i32 = 20; // IPv4 address of the host that reported
/** When a send was where ERROR_INFO says, microseconds of the stack's clock (f64); 0 where that was not asked for. */
export const ERROR_MICROS: i32 = 28;
export const ERROR_DATA: i32 = 24; // last of the sends that a MSG_ZEROCOPY report is about; ERROR_INFO is the first
export const SO_EE_ORIGIN_LOCAL: i32 = 1;
export const SO_EE_ORIGIN_ICMP: i32 = 2;
export const SO_EE_ORIGIN_TIMESTAMPING: i32 = 4;
export const SO_EE_ORIGIN_ZEROCOPY: i32 = 5;
export const SO_EE_CODE_ZEROCOPY_COPIED: i32 = 1;
/** SO_TIMESTAMPING: which moments of a send are reported, whether with a stamp and a number, and what it is about. */
export const SOF_TIMESTAMPING_TX_SOFTWARE: i32 = 2;
export const SOF_TIMESTAMPING_SOFTWARE: i32 = 16;
export const SOF_TIMESTAMPING_OPT_ID: i32 = 128;
export const SOF_TIMESTAMPING_TX_SCHED: i32 = 256;
export const SOF_TIMESTAMPING_TX_ACK: i32 = 512;
export const SOF_TIMESTAMPING_OPT_TSONLY: i32 = 2048;
export const SCM_TIMESTAMPING: i32 = 37;
export const SCM_TSTAMP_SND: i32 = 0;
export const SCM_TSTAMP_SCHED: i32 = 1;
export const SCM_TSTAMP_ACK: i32 = 2;

// ---- Fields of an mbuf that the host reads (struct Mbuf) ----------------------------------------------------------
export const MBUF_NB_SEGS: i32 = 20; // u16
export const MBUF_PORT: i32 = 22; // u16
export const MBUF_RSS_HASH: i32 = 24;
export const MBUF_OL_FLAGS: i32 = 28;
export const MBUF_VLAN_TCI: i32 = 32; // u16
export const MBUF_QUEUE: i32 = 37; // u8
export const MBUF_TSO_MSS: i32 = 38; // u16

// ---- Shares: what business threads and the stacks of a host have in common in the separate model (assembly/share/) --
/** Header of a share; the host fills it in before shareInit(). */
export const SHARE_STACKS: i32 = 0;
export const SHARE_CAPACITY: i32 = 4; // descriptors of each stack
export const SHARE_SEATS: i32 = 8; // address of the first seat
export const SHARE_SEAT_COUNT: i32 = 12;
export const SHARE_EPOLLS: i32 = 16; // address of the first epoll
export const SHARE_EPOLL_COUNT: i32 = 20; // at most SHARE_EPOLLS_MAX
export const SHARE_EPOLL_BYTES: i32 = 24; // distance of epolls
/** Futex of poll(2), select(2) and all who wait for several descriptors: its sequence, and how many wait. */
export const SHARE_POLL_SEQUENCE: i32 = 32;
export const SHARE_POLL_WAITERS: i32 = 36;
export const SHARE_MAIN_BELL: i32 = 40; // address of the main thread's doorbell, rung along with the futex
export const SHARE_PARTS: i32 = 64; // addresses of the stacks' parts
export const SHARE_HEADER: i32 = SHARE_PARTS + GROUP_STACKS_MAX * 4;
export const SHARE_EPOLLS_MAX: i32 = 64;

/** One stack's part of a share. */
export const PART_SHARE: i32 = 0; // address of the share
export const PART_INDEX: i32 = 4; // which of the stacks
export const PART_BELL: i32 = 8; // address of its thread's block
export const PART_CAPACITY: i32 = 12;
export const PART_CHANNELS: i32 = 16; // address of the first channel
export const PART_SLOTS: i32 = 20; // address of the stack's own notes on them
export const PART_SIGNALS: i32 = 24; // MPSC ring: descriptors (plus 1) that want to be looked at
export const PART_CALLS: i32 = 28; // MPSC ring: seats (plus 1) that wait for an answer
export const PART_SCAN: i32 = 32; // not 0: signals were lost, look at every channel
export const PART_SMALL_BUFFERS: i32 = 40; // how many send buffers of each size
export const PART_LARGE_BUFFERS: i32 = 44;
export const PART_CALLS_MAX: i32 = 48; // calls that one beat answers at most
export const PART_ESTABLISHED: i32 = 52; // connections that the stack has, as of its last beat
export const PART_SMALL_POOL: i32 = 128; // struct Pool, shared
export const PART_LARGE_POOL: i32 = 256;
export const PART_COUNTERS: i32 = 384; // u64 each, PART_COUNT_*
export const PART_HEADER: i32 = 512;
export const PART_COUNT_CALLS: i32 = 0; // answered
export const PART_COUNT_CANCELLED: i32 = 1; // calls whose caller had given up
export const PART_COUNT_SIGNALS: i32 = 2;
export const PART_COUNT_WAKEUPS: i32 = 3; // sleepers woken
export const PART_COUNT_VIOLATIONS: i32 = 4; // words from business threads that could not be
export const PART_COUNT_BEATS: i32 = 5;
export const PART_COUNT_COUNT: i32 = 6;
/** Bytes of a send buffer of each size: powers of two. */
export const SEND_SMALL_BYTES: i32 = 4096;
export const SEND_LARGE_BYTES: i32 = 131072;

/** A channel: what is shared of one descriptor. First what the stack writes. */
export const CHANNEL_KIND: i32 = 0; // KIND_*; KIND_FREE: not open
export const CHANNEL_GENERATION: i32 = 4; // goes up when the descriptor is closed
export const CHANNEL_STATE: i32 = 8; // EPOLL bits and CHANNEL_* bits
export const CHANNEL_LOWAT: i32 = 12; // bytes that make it readable
/**
 * u64: {position behind the last byte (listener: connection) that may be taken u32, position that the stack is told of
 * by whoever consumes up to it u32}.
 */
export const CHANNEL_PRODUCED: i32 = 16;
export const CHANNEL_DRAINED: i32 = 24; // position behind the last byte that the stack has taken to send
export const CHANNEL_REMOTE_ADDRESS: i32 = 28;
export const CHANNEL_REMOTE_PORT: i32 = 32;
export const CHANNEL_RCV_TIMEOUT: i32 = 40; // f64, microseconds, 0: none, negative: at once
export const CHANNEL_SND_TIMEOUT: i32 = 48;
/** Runs {bias u32, end u32}: the byte at position p < end lies at address bias + p. A listener: 16 descriptors. */
export const CHANNEL_RUNS: i32 = 64;
export const CHANNEL_RUN_COUNT: i32 = 8;
export const CHANNEL_ACCEPT_COUNT: i32 = 16;
/** A datagram in several pieces: asked for with a call. */
export const RUN_SCATTERED: i32 = 1;
/** Then what business threads write. */
export const CHANNEL_TX: i32 = 128; // u64: {position behind the last byte to send u32, whose turn it is u32}
export const CHANNEL_TX_BUFFER: i32 = 136; // address of the send buffer, or 0
export const CHANNEL_TX_SIZE: i32 = 140;
export const CHANNEL_TX_MORE: i32 = 144; // MSG_MORE of the last send
export const CHANNEL_SIGNALLED: i32 = 148; // 1 while a signal is under way
export const CHANNEL_WANT_SPACE: i32 = 152; // somebody found no room
export const CHANNEL_FLAGS: i32 = 156; // O_NONBLOCK, SOCK_CLOEXEC
/**
 * u64: {position behind the last byte that was taken: 48 bits, of which all other words have the lower 32; epoch u16,
 * which goes up whenever the stack takes back what it has published}. It never comes back to what it was.
 */
export const CHANNEL_CONSUMED: i32 = 192;
export const CHANNEL_EPOCH_SHIFT: i32 = 48;
export const CHANNEL_RX_SEQUENCE: i32 = 200; // futex of readers, and how many wait
export const CHANNEL_RX_WAITERS: i32 = 204;
export const CHANNEL_TX_SEQUENCE: i32 = 208;
export const CHANNEL_TX_WAITERS: i32 = 212;
export const CHANNEL_POLLERS: i32 = 216; // who waits for it among others
export const CHANNEL_WATCHERS: i32 = 224; // u64: one bit for each epoll that watches it
export const CHANNEL_BYTES: i32 = 256;
/** CHANNEL_STATE beside EPOLL bits. */
export const CHANNEL_MAY_SEND: i32 = 1 << 16; // bytes to send are taken
export const CHANNEL_HAS_ROOM: i32 = 1 << 17; // writable as long as the send buffer has room
export const CHANNEL_ENDED: i32 = 1 << 18; // behind the last byte comes the end of the stream
export const CHANNEL_ASK: i32 = 1 << 19; // an error or the like: the stack must be asked
export const CHANNEL_CONNECTED: i32 = 1 << 20; // has a peer
export const CHANNEL_BY_CALL: i32 = 1 << 24; // datagrams whose errors must be told at once: they are sent by calls
export const CHANNEL_WANTS: i32 = 21; // three bits from here: ancillary data that recvmsg wants (CMSG_*)
/** Whose turn it is when it is the stack's own. */
export const TURN_STACK: i32 = -1;
/** Header of a datagram in a send buffer: {length u32, address u32, port u16, flags u16, ttl i16, tos i16}. */
export const SENT_HEADER: i32 = 16;
/** In the place of a length: the rest of the buffer is left out. */
export const SENT_SKIP: i32 = -1;

/** What the client's calls return beside an errno. */
export const CLIENT_ASK: i32 = -4001; // the stack must be asked
export const CLIENT_BUSY: i32 = -4002; // it is another thread's turn
export const CLIENT_NO_BUFFER: i32 = -4003; // no send buffer is left: send by a call
export const CLIENT_SCATTERED: i32 = -4004; // the datagram must be received by a call

/** A seat: one business thread. */
export const SEAT_STATE: i32 = 0; // SEAT_*
export const SEAT_THREAD: i32 = 4; // number of the operating system's thread, 0: not known
export const SEAT_STATUS: i32 = 8; // CALL_*; futex of the caller
export const SEAT_SLEEPING: i32 = 12; // the caller sleeps, or is about to
export const SEAT_CALL: i32 = 16; // which call
export const SEAT_RESULT: i32 = 20;
export const SEAT_TURN: i32 = 24; // what the thread writes where it takes its turn: {number from 1 u16, life u16}
export const SEAT_PART: i32 = 28; // address of the part of the stack that was asked last
export const SEAT_ARGUMENTS: i32 = 32; // 8 words
export const SEAT_WINDOW: i32 = 64; // odd while the thread has a send buffer in its hands that is in no channel
export const SEAT_WAITS: i32 = 68; // address of the count of sleepers that this thread is in, or 0
/** What recv_view() has shown last: {channel u32, unused u32, CHANNEL_CONSUMED then u64}, each channel in its place. */
export const SEAT_VIEWS: i32 = 128;
export const SEAT_VIEW_COUNT: i32 = 16;
export const SEAT_VIEW_BYTES: i32 = 16;
export const SEAT_EXCHANGE: i32 = 512; // an exchange area of its own
export const SEAT_BYTES: i32 = SEAT_EXCHANGE + EXCHANGE_BYTES;
export const SEAT_FREE: i32 = 0;
export const SEAT_TAKEN: i32 = 1;
export const CALL_IDLE: i32 = 0;
export const CALL_ASKED: i32 = 1; // and above it, from CALL_STACK on, which stack
export const CALL_STACK: i32 = 8; // shift: a stack takes only calls that are for it
export const CALL_UNDER_WAY: i32 = 2;
export const CALL_ANSWERED: i32 = 3;

/** Calls. */
export const CALL_SOCKET: i32 = 1;
export const CALL_BIND: i32 = 2;
export const CALL_LISTEN: i32 = 3;
export const CALL_CONNECT: i32 = 4;
export const CALL_DISCONNECT: i32 = 5;
export const CALL_SHUTDOWN: i32 = 6;
export const CALL_CLOSE: i32 = 7;
export const CALL_GETSOCKNAME: i32 = 8;
export const CALL_GETPEERNAME: i32 = 9;
export const CALL_GETSOCKOPT: i32 = 10;
export const CALL_SETSOCKOPT: i32 = 11;
export const CALL_IOCTL: i32 = 12;
export const CALL_SEND: i32 = 13;
export const CALL_RECV: i32 = 14;
export const CALL_SENDTO: i32 = 15;
export const CALL_RECVFROM: i32 = 16;
export const CALL_TAKE_ERROR: i32 = 17;
export const CALL_FIN_PENDING: i32 = 18;

/** An epoll of a share: header, two levels of bits, one entry for each descriptor. */
export const READY_USED: i32 = 0; // 1 while it is open
export const READY_TURN: i32 = 4; // seat that looks through it, or 0
export const READY_SEQUENCE: i32 = 8; // futex of epoll_wait
export const READY_WAITERS: i32 = 12;
export const READY_CURSOR: i32 = 16; // where the next look begins
export const READY_POLLERS: i32 = 20;
export const READY_WATCHERS: i32 = 24; // u64: epolls that watch it
export const READY_SLOTS: i32 = 32; // descriptors, those of epolls included
export const READY_ENTRIES: i32 = 36; // address of the entries
export const READY_GENERATION: i32 = 40;
export const READY_TURNS: i32 = 44; // goes up with each turn, so that a holder who goes on is seen to
export const READY_LEVELS: i32 = 48; // addresses of the two levels of bits
export const READY_FLAGS: i32 = 56; // SOCK_CLOEXEC
export const READY_HEADER: i32 = CACHE_SPREAD;
/** Entry {events u32, generation u32, data low u32, data high u32}: events 0 is none. */
export const WATCH_EVENTS: i32 = 0;
export const WATCH_GENERATION: i32 = 4;
export const WATCH_MASK: i32 = 8; // readiness bits that count; 0 when a one-shot watch has fired
export const WATCH_DATA: i32 = 16; // u64
export const WATCH_BYTES: i32 = 32;
/** In WATCH_EVENTS of every watch, since events may be none. */
export const WATCH_PRESENT: i32 = 1 << 27;

// Packetdrill scripts written for tests: between them they use every form of the language.
// Read first: host/packetdrill/script.ts.

/** Behind the options and the set-up: one event of every kind, with every form of time, value and option. */
export const EVERYTHING = String.raw`// Comments of all kinds
/* over
   lines */
--mss=1000  // with a comment behind
--tolerance_usecs = 10000
--send_omit_free
--remote_ip=192.0.2.1
${"`"}./defaults.sh
sysctl -q net.ipv4.tcp_rmem="4096 540000 $((15*1024*1024))"  # a comment of the shell${"`"}

0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, {sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("192.168.0.1")}, ...) = 0
+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
+0 setsockopt(3, SOL_TCP, TCP_FASTOPEN_KEY, "\xa1\x00\"", 16) = -1 (Invalid Argument)
+.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0~+.02 > [noecn] S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
+.002 ... 0.004 connect(4, ..., ...) = -1 EINPROGRESS (Operation now in progress)
* > . 1:1(0) ack 1 <...>
+.01 < [ect1, tos 0x10] 40000 > 8080 PU. 1:1001(1000) ack 1 win 257 urg 7 <nop,nop,TS val 200 ecr 100>
+0 > (ttl 63) . 1:1(0) ack 1001 <nop,nop,TS val * ecr 200,sack 1:1001 2001:3001>
+0 < S 5:6(1) win 10 <FO,FOEXP abcd,FO 0123456789abcdef,eol,md5 000102030405,unknown 253 0x12,ECN e1b 1 ceb 0>
+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 100) = 1
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT|EPOLLET, fd=4}) = 0
+0 recvmsg(4, {msg_name(...)=..., // the name
            msg_iov(2)=[{..., 100},{...,200}],
            msg_flags=MSG_ERRQUEUE|0x20,
            msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=8000}]}, 0) = 300
+0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)
+0 open("/tmp/x"..., O_CREAT, 0644) = ?
0.5~0.7 < icmp unreachable frag_needed mtu 1000 [5001:6001(1000)]
+0 < [1:2(1)] icmp time_exceeded code_1
+0 < icmp echo_request id 7 seq 8 (56)
+0 < icmp type_3 port_unreachable [udp (100)]
+0 > udp (1472)
+0 < 53 > 4000 udp(10)
+0 < fragment id 7 offset 1480 more (1480)
+0 %{
assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd
}%
1.5 ${"`"}ip link set dev tun0 mtu 1200${"`"}
2...2.25 accept(3, ..., ...) = 4

${"`"}/tmp/sysctl_restore_${"$"}{PPID}.sh${"`"}
`;

/** What a small server does, for tests that change one thing of it. */
export const SERVER = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 listen(3, 1) = 0
+.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
`;

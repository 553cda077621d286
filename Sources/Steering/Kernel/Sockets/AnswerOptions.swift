import CSteering
import Glibc

/// The options of a UDP socket that determine from which addresses and ports its server can reply.
struct AnswerOptions: Sendable, Hashable {
    /// Whether it receives the destination address of each datagram.
    let knowsAddress: Bool
    /// Whether it receives the destination port, too.
    let knowsPort: Bool
    /// Whether it can send from addresses that no interface has.
    let sendsFromAnywhere: Bool

    /// Reads the options of a socket; returns nil if the descriptor is closed.
    init?(_ descriptor: CInt) {
        func isSet(_ level: Int, _ names: CInt...) -> Bool {
            names.contains { name in
                var value: CInt = 0
                var size = socklen_t(MemoryLayout<CInt>.size)
                return getsockopt(descriptor, CInt(level), name, &value, &size) == 0 && value != 0
            }
        }
        guard fcntl(descriptor, F_GETFD) >= 0 else { return nil }
        let ipv4 = Int(IPPROTO_IP), ipv6 = Int(IPPROTO_IPV6)
        // The original destination includes the port; for a transparent proxy, it is the address that the client used.
        knowsPort = isSet(ipv4, CInt(IP_RECVORIGDSTADDR)) || isSet(ipv6, 74 /* IPV6_RECVORIGDSTADDR */)
        knowsAddress =
            knowsPort || isSet(ipv4, CInt(IP_PKTINFO))
            || isSet(ipv6, 49 /* IPV6_RECVPKTINFO */, 2 /* IPV6_2292PKTINFO */)
        sendsFromAnywhere =
            isSet(ipv4, CInt(IP_FREEBIND), CInt(IP_TRANSPARENT))
            || isSet(ipv6, 75 /* IPV6_TRANSPARENT */, 78 /* IPV6_FREEBIND */)
    }
}

extension AnswerOptions {
    /// Reads the options of a socket of another process; returns nil if the socket cannot be duplicated.
    init?(of inode: UInt32, in pid: pid_t) {
        guard let process = try? ProcessDescriptors(of: pid), let socket = try? process.socket(inode) else {
            return nil
        }
        self.init(socket.rawValue)
    }
}

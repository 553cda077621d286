import CSteering
import Glibc

/// What a UDP socket asks of the kernel, which tells from where its server can answer.
struct AnswerOptions: Sendable, Hashable {
    /// It asks which address a datagram was sent to.
    let knowsAddress: Bool
    /// It asks which port, too.
    let knowsPort: Bool
    /// It may send from addresses that no interface has.
    let sendsFromAnywhere: Bool

    /// Reads the options of a socket; nil where it is closed.
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
        // Original destinations; for transparent proxies they are what the client asked.
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
    /// Those of a socket that a process holds; nil where it may not be taken.
    init?(of inode: UInt32, in pid: pid_t) {
        guard let process = try? ProcessDescriptors(of: pid), let socket = try? process.socket(inode) else {
            return nil
        }
        self.init(socket.rawValue)
    }
}

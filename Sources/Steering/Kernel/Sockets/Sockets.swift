import CSteering
import Glibc

/// How a socket is made. See socket(7), ip(7), ipv6(7).
public struct SocketOptions: OptionSet, Sendable {
    /// The options' bits.
    public let rawValue: UInt
    /// Creates options from bits.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    /// SO_REUSEPORT: one of a group, over which the kernel spreads.
    public static let reusePort = SocketOptions(rawValue: 1 << 0)
    /// SO_REUSEADDR.
    public static let reuseAddress = SocketOptions(rawValue: 1 << 1)
    /// An IPv6 socket that receives IPv4 too. Otherwise IPV6_V6ONLY is set.
    public static let dualStack = SocketOptions(rawValue: 1 << 2)
    /// IP_FREEBIND: the address need not be local yet.
    public static let freeBind = SocketOptions(rawValue: 1 << 3)
    /// O_NONBLOCK.
    public static let nonblocking = SocketOptions(rawValue: 1 << 4)
}

extension OwnedDescriptor {
    /// A TCP socket that listens, close-on-exec.
    ///
    /// - Parameters:
    ///   - address: Where it is bound. For a socket that is steered to, a loopback address and port 0 do.
    ///   - options: How it is made.
    ///   - backlog: How many connections wait to be accepted; the kernel caps it at net.core.somaxconn.
    /// - Throws: `addressUnavailable`, `systemCall`.
    public static func listener(
        on address: SocketAddress, _ options: SocketOptions = [], backlog: Int = 4096
    ) throws(SteeringError) -> OwnedDescriptor {
        let socket = try bound(SOCK_STREAM, to: address, options)
        try systemCall("listen") { listen(socket.rawValue, CInt(clamping: backlog)) }
        return socket
    }

    /// A UDP socket that is bound and not connected, close-on-exec.
    ///
    /// - Throws: `addressUnavailable`, `systemCall`.
    public static func receiver(
        on address: SocketAddress, _ options: SocketOptions = []
    ) throws(SteeringError) -> OwnedDescriptor {
        try bound(SOCK_DGRAM, to: address, options)
    }

    /// Where the socket is bound (getsockname). Of an accepted connection: the address and port that the
    /// client asked for. An IPv4 address on a dual-stack socket is given as IPv4.
    public func localAddress() throws(SteeringError) -> SocketAddress {
        try SocketAddress.read("getsockname") { getsockname(rawValue, $0, $1) }.unmapped
    }

    /// Who is at the other end of a connected socket (getpeername).
    public func peerAddress() throws(SteeringError) -> SocketAddress {
        try SocketAddress.read("getpeername") { getpeername(rawValue, $0, $1) }.unmapped
    }

    private static func bound(
        _ kind: __socket_type, to address: SocketAddress, _ options: SocketOptions
    ) throws(SteeringError) -> OwnedDescriptor {
        let isIPv6 = address.address.family == .ipv6
        let flags = SOCK_CLOEXEC.rawValue | (options.contains(.nonblocking) ? SOCK_NONBLOCK.rawValue : 0)
        let made = OwnedDescriptor(
            owning: try systemCall("socket") {
                socket(isIPv6 ? AF_INET6 : AF_INET, CInt(kind.rawValue | flags), 0)
            })
        let descriptor = made.rawValue
        func set(_ name: CInt, level: CInt = SOL_SOCKET, _ value: Bool) throws(SteeringError) {
            try setOption(descriptor, name, level: level, value)
        }
        if options.contains(.reusePort) { try set(SO_REUSEPORT, true) }
        if options.contains(.reuseAddress) { try set(SO_REUSEADDR, true) }
        if options.contains(.freeBind) { try set(CInt(IP_FREEBIND), level: CInt(IPPROTO_IP), true) }
        if isIPv6 { try set(CInt(IPV6_V6ONLY), level: CInt(IPPROTO_IPV6), !options.contains(.dualStack)) }

        do throws(SteeringError) {
            try address.pass(to: "bind") { bind(descriptor, $0, $1) }
        } catch {
            throw SteeringError(
                .addressUnavailable,
                "a socket cannot be bound to \(address): \(describe(errno: error.errno)); choose a free local address and port",
                cause: error.cause)
        }
        return made
    }
}

extension OwnedDescriptor {
    /// Of a SO_REUSEPORT group the kernel gives this socket, before others, what arrives on a processor.
    func prefer(processor: Int) throws(SteeringError) {
        try setOption(rawValue, SO_INCOMING_CPU, CInt(processor))
    }
}

extension Spread {
    /// The sockets of a group on this machine.
    package func members(_ transport: TransportProtocol, workers: Int) -> [GroupMember] {
        members(transport, workers: workers, processors: sysconf(CInt(_SC_NPROCESSORS_ONLN)))
    }
}

func setOption(_ descriptor: CInt, _ name: CInt, level: CInt = SOL_SOCKET, _ value: Bool) throws(SteeringError) {
    try setOption(descriptor, name, level: level, value ? 1 : 0)
}

func setOption(_ descriptor: CInt, _ name: CInt, level: CInt = SOL_SOCKET, _ value: CInt) throws(SteeringError) {
    var number = value
    try systemCall("setsockopt") { setsockopt(descriptor, level, name, &number, socklen_t(MemoryLayout<CInt>.size)) }
}

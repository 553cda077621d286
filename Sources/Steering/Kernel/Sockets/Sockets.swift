import CSteering
import Glibc

/// Options for creating a socket. See socket(7), ip(7), ipv6(7).
public struct SocketOptions: OptionSet, Sendable {
    /// The option bits.
    public let rawValue: UInt
    /// Creates options from bits.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    /// SO_REUSEPORT: the socket joins a group over which the kernel spreads packets and connections.
    public static let reusePort = SocketOptions(rawValue: 1 << 0)
    /// SO_REUSEADDR.
    public static let reuseAddress = SocketOptions(rawValue: 1 << 1)
    /// An IPv6 socket that also receives IPv4. Without this option, IPV6_V6ONLY is set.
    public static let dualStack = SocketOptions(rawValue: 1 << 2)
    /// IP_FREEBIND: the address need not be local (yet).
    public static let freeBind = SocketOptions(rawValue: 1 << 3)
    /// O_NONBLOCK.
    public static let nonblocking = SocketOptions(rawValue: 1 << 4)
}

extension OwnedDescriptor {
    /// Creates a listening TCP socket, close-on-exec.
    ///
    /// - Parameters:
    ///   - address: The address and port to bind to. For a socket that is only steered to, a loopback address and port
    ///     0 suffice.
    ///   - options: The socket options.
    ///   - backlog: The maximum number of connections waiting to be accepted; the kernel caps it at net.core.somaxconn.
    /// - Throws: `addressUnavailable`, `systemCall`.
    public static func listener(
        on address: SocketAddress, _ options: SocketOptions = [], backlog: Int = 4096
    ) throws(SteeringError) -> OwnedDescriptor {
        let socket = try bound(SOCK_STREAM, to: address, options)
        try systemCall("listen") { listen(socket.rawValue, CInt(clamping: backlog)) }
        return socket
    }

    /// Creates a UDP socket that is bound and not connected, close-on-exec.
    ///
    /// - Parameters:
    ///   - address: The address and port to bind to.
    ///   - options: The socket options.
    /// - Throws: `addressUnavailable`, `systemCall`.
    public static func receiver(
        on address: SocketAddress, _ options: SocketOptions = []
    ) throws(SteeringError) -> OwnedDescriptor {
        try bound(SOCK_DGRAM, to: address, options)
    }

    /// Returns the local address of the socket (getsockname), an IPv4-mapped one as IPv4. For an accepted connection,
    /// this is the original destination: the address and port to which the client connected.
    ///
    /// - Throws: `systemCall`; `invalidAddress` for other families than IPv4 and IPv6.
    public func localAddress() throws(SteeringError) -> SocketAddress {
        try SocketAddress.read("getsockname") { getsockname(rawValue, $0, $1) }.unmapped
    }

    /// Returns the remote address of a connected socket (getpeername), an IPv4-mapped one as IPv4.
    ///
    /// - Throws: `systemCall`, with ENOTCONN if it is not connected; `invalidAddress` for other families than IPv4 and
    ///   IPv6.
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
    /// Makes the kernel prefer this member of a SO_REUSEPORT group for packets that a processor receives
    /// (SO_INCOMING_CPU).
    func prefer(processor: Int) throws(SteeringError) {
        try setOption(rawValue, SO_INCOMING_CPU, CInt(processor))
    }
}

extension LoadSpreading {
    /// Returns the sockets of a worker group on this machine.
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

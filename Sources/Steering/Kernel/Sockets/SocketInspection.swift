import CSteering
import Glibc

/// The kernel's identifier of a socket (SO_COOKIE), unique until the machine restarts.
public struct SocketCookie: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The number, which `ss -e` shows in hexadecimal.
    public let rawValue: UInt64

    init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Parses the output of `description`.
    package init?(_ text: some StringProtocol) {
        guard let number = UInt64(text, radix: 16) else { return nil }
        rawValue = number
    }

    /// Compares the numbers. Among sockets made on the same CPU, later ones have greater numbers.
    public static func < (left: SocketCookie, right: SocketCookie) -> Bool { left.rawValue < right.rawValue }

    /// The number in hexadecimal, as `ss -e` shows it.
    public var description: String { String(rawValue, radix: 16) }
}

/// A socket that the kernel can steer to, as its descriptor describes it.
package struct SteerableSocket: Sendable {
    package let cookie: SocketCookie
    package let transport: TransportProtocol
    /// The families of the packets that it can receive: both for a dual-stack socket.
    package let families: [IPFamily]
    package let localAddress: SocketAddress
    package let isReuseport: Bool

    /// Creates it from the facts that an inspection in another process has found.
    package init(
        _ cookie: SocketCookie, _ transport: TransportProtocol, _ families: [IPFamily], _ localAddress: SocketAddress,
        isReuseport: Bool
    ) {
        (self.cookie, self.transport, self.families) = (cookie, transport, families)
        (self.localAddress, self.isReuseport) = (localAddress, isReuseport)
    }

    /// Inspects a socket, which takes its lock: see ``LockingCalls``.
    ///
    /// - Throws: A code for the reason why it cannot be steered to: `unixSocket`, `unsupportedProtocol`,
    ///   `multipathTCP`, `udpLite`, `socketBoundToDevice`, `socketConnected`, `socketNotListening`, `socketNotBound`,
    ///   `notASocket`, `invalidDescriptor`; `systemCall`.
    package init(_ descriptor: CInt) throws(SteeringError) {
        let domain = try Self.option(descriptor, SO_DOMAIN)
        guard domain != AF_UNIX else { throw .notSteerable(.unixSocket, "a Unix domain socket", "TCP or UDP socket") }
        let kind = try Self.option(descriptor, CInt(SO_TYPE))
        let number = try Self.option(descriptor, SO_PROTOCOL)
        guard domain == AF_INET || domain == AF_INET6 else {
            throw .notSteerable(.unsupportedProtocol, "of address family \(domain)", "TCP or UDP socket")
        }
        // Check the type as well: raw sockets of these protocols exist.
        switch (number, kind) {
        case (CInt(IPPROTO_TCP), CInt(SOCK_STREAM.rawValue)): transport = .tcp
        case (CInt(IPPROTO_UDP), CInt(SOCK_DGRAM.rawValue)): transport = .udp
        case (262, _): throw .notSteerable(.multipathTCP, "a Multipath TCP socket", "plain TCP socket (IPPROTO_TCP)")
        case (CInt(IPPROTO_UDPLITE), _): throw .notSteerable(.udpLite, "a UDP-Lite socket", "plain UDP socket")
        default:
            throw .notSteerable(
                .unsupportedProtocol, "of type \(kind) and protocol \(number)", "TCP listener or a UDP socket")
        }

        try Self.refuseDevice(of: descriptor)
        let address = try Self.localAddress(descriptor)
        let connected = Self.isConnected(descriptor)
        switch transport {
        case .tcp:
            guard try Self.option(descriptor, SO_ACCEPTCONN) == 1 else {
                throw connected
                    ? .notSteerable(.socketConnected, "a connected TCP socket", "listening one")
                    : SteeringError(
                        .socketNotListening,
                        "the TCP socket does not listen, and only a listener accepts connections: call listen() first")
            }
        case .udp:
            guard !connected else {
                throw .notSteerable(.socketConnected, "a connected UDP socket", "bound one that is not connected")
            }
            guard address.port != 0 else {
                throw SteeringError(
                    .socketNotBound,
                    "the UDP socket is not bound, and the kernel steers only to bound ones: call bind() first")
            }
        }
        localAddress = address
        isReuseport = try Self.option(descriptor, SO_REUSEPORT) == 1
        let family: IPFamily = domain == AF_INET ? .ipv4 : .ipv6
        families = try Self.isDualStack(descriptor, family) ? IPFamily.allCases : [family]
        cookie = try Self.cookie(descriptor)
    }

    /// The record to store when it is registered.
    var registration: Registration {
        Registration(
            cookie: cookie, boundAddress: localAddress, isReuseport: isReuseport, isDualStack: families.count > 1,
            isStandby: false)
    }

    /// Whether an IPv6 socket receives IPv4, too.
    static func isDualStack(_ descriptor: CInt, _ family: IPFamily) throws(SteeringError) -> Bool {
        guard family == .ipv6 else { return false }
        return try option(descriptor, CInt(IPV6_V6ONLY), level: CInt(IPPROTO_IPV6)) == 0
    }

    /// Whether a TCP socket listens. Does not take its lock.
    package static func listens(_ descriptor: CInt) throws(SteeringError) -> Bool {
        try option(descriptor, SO_ACCEPTCONN) == 1
    }

    /// Returns a socket's cookie. Does not take its lock.
    package static func cookie(_ descriptor: CInt) throws(SteeringError) -> SocketCookie {
        var cookie: UInt64 = 0
        var size = socklen_t(MemoryLayout<UInt64>.size)
        try systemCall("getsockopt(SO_COOKIE)") { getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &size) }
        return SocketCookie(cookie)
    }

    /// Returns the cookie of the socket's network namespace; nil before Linux 5.14.
    static func namespaceCookie(_ descriptor: CInt) -> UInt64? {
        var cookie: UInt64 = 0
        return csteering_netns_cookie(descriptor, &cookie) == 0 ? cookie : nil
    }

    /// Refuses a socket that is bound to a device (SO_BINDTODEVICE).
    ///
    /// The kernel matches the device in its own lookup, which steering replaces: a steered packet reaches the socket
    /// from any device. TCP handshakes then fail, and a UDP socket answers where it should not.
    private static func refuseDevice(of descriptor: CInt) throws(SteeringError) {
        let index = UInt32(bitPattern: (try? option(descriptor, 62)) ?? 0)  // SO_BINDTOIFINDEX, Linux 5.0
        guard index != 0 else { return }
        let name = interfaceName(index) ?? "number \(index)"
        throw SteeringError(
            .socketBoundToDevice,
            "the socket is bound to the device \(name) (SO_BINDTODEVICE), which steering ignores: "
                + "do not set that, and give its bindings `--on \(name)`, or `on: \(name)` in a policy file")
    }

    private static func interfaceName(_ index: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func option(_ descriptor: CInt, _ name: CInt, level: CInt = SOL_SOCKET) throws(SteeringError) -> CInt
    {
        var value: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        do throws(SteeringError) {
            try systemCall("getsockopt") { getsockopt(descriptor, level, name, &value, &size) }
        } catch {
            switch error.errno {
            case EBADF:
                throw SteeringError(
                    .invalidDescriptor, "descriptor \(descriptor) is not open: register the socket before closing it",
                    cause: error.cause)
            case ENOTSOCK:
                throw SteeringError(
                    .notASocket, "descriptor \(descriptor) is not a socket: give a TCP listener or a bound UDP socket",
                    cause: error.cause)
            default: throw error
            }
        }
        return value
    }

    private static func localAddress(_ descriptor: CInt) throws(SteeringError) -> SocketAddress {
        try SocketAddress.read("getsockname") { getsockname(descriptor, $0, $1) }
    }

    private static func isConnected(_ descriptor: CInt) -> Bool {
        (try? SocketAddress.read("getpeername") { getpeername(descriptor, $0, $1) }) != nil
    }
}

extension SteeringError {
    static func notSteerable(_ code: Code, _ what: String, _ remedy: String) -> SteeringError {
        SteeringError(code, "the socket is \(what), which the kernel cannot steer to: register a \(remedy)")
    }

    static let foreignNamespace = SteeringError(
        .foreignNetworkNamespace,
        "the socket belongs to another network namespace, whose traffic this steering does not see: attach a steering there"
    )
}

import AddressPools
import Glibc

/// Why a socket cannot serve: one sentence with the remedy.
public struct ServerSocketError: Error, Sendable, CustomStringConvertible {
    /// The sentence.
    public let message: String
    /// The message.
    public var description: String { message }

    /// Of the call that failed; 0 for none.
    let errno: CInt

    init(_ message: String, errno: CInt = 0) {
        self.message = message
        self.errno = errno
    }
}

/// A socket that is bound for DNS; closed with its value.
public struct ServerSocket: ~Copyable, Sendable {
    /// Its number.
    public let descriptor: CInt

    private init(owning descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Gives the number away; whoever has it closes it.
    public consuming func release() -> CInt {
        let number = descriptor
        discard self
        return number
    }

    /// A UDP socket bound to an address, one of a group over which the kernel spreads (SO_REUSEPORT).
    ///
    /// - Parameters:
    ///   - address: the address.
    ///   - fromAnyAddress: whether answers leave from the address that was asked, and not from the one that is bound.
    ///     Sockets that are steered to need it; bound to no address in particular, all do. It costs a twentieth of a query.
    ///   - awaitingAddress: whether the address may be one that this machine does not have yet (IP_FREEBIND).
    /// - Throws: When the address cannot be bound: it is in use, not one of this machine, or the port needs a privilege.
    public static func datagrams(
        on address: SocketAddress, fromAnyAddress: Bool = true, awaitingAddress: Bool = false
    ) throws(ServerSocketError) -> ServerSocket {
        let socket = try bound(SOCK_DGRAM, to: address, awaitingAddress)
        try socket.prepareForDatagrams(fromAnyAddress: fromAnyAddress)
        return socket
    }

    /// A TCP socket that listens on an address.
    ///
    /// - Throws: As ``datagrams(on:fromAnyAddress:awaitingAddress:)``.
    public static func listener(
        on address: SocketAddress, awaitingAddress: Bool = false
    ) throws(ServerSocketError) -> ServerSocket {
        let socket = try bound(SOCK_STREAM, to: address, awaitingAddress)
        guard listen(socket.descriptor, 4_096) == 0 else { throw failure("cannot listen on \(address)") }
        return socket
    }

    /// Whether this machine has an address now: a socket can be bound to it.
    public static func canBind(to address: IPAddress) -> Bool {
        do throws(ServerSocketError) {
            _ = try bound(SOCK_DGRAM, to: SocketAddress(address, port: 0), false)
            return true
        } catch { return error.errno != EADDRNOTAVAIL }
    }

    /// Where it is bound.
    public var localAddress: SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return nil }
        let family = CInt(storage.ss_family)
        return withUnsafeBytes(of: &storage) { bytes in
            switch family {
            case AF_INET:
                let address = bytes.load(as: sockaddr_in.self)
                return SocketAddress(
                    IPAddress(ipv4: UInt32(bigEndian: address.sin_addr.s_addr)),
                    port: UInt16(bigEndian: address.sin_port))
            case AF_INET6:
                var address = bytes.load(as: sockaddr_in6.self)
                let bits = withUnsafeBytes(of: &address.sin6_addr) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }
                return SocketAddress(IPAddress(ipv6: bits), port: UInt16(bigEndian: address.sin6_port))
            default: return nil
            }
        }
    }

    private static func bound(
        _ kind: __socket_type, to address: SocketAddress, _ awaitingAddress: Bool
    ) throws(ServerSocketError) -> ServerSocket {
        let family = address.address.family == .ipv4 ? AF_INET : AF_INET6
        let number = Glibc.socket(family, CInt(kind.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw failure("no socket can be made for \(address)") }
        let socket = ServerSocket(owning: number)
        var on: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        setsockopt(number, SOL_SOCKET, kind == SOCK_DGRAM ? SO_REUSEPORT : SO_REUSEADDR, &on, size)
        if kind == SOCK_STREAM { setsockopt(number, SOL_SOCKET, SO_REUSEPORT, &on, size) }
        if family == AF_INET6 { setsockopt(number, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &on, size) }
        if awaitingAddress { setsockopt(number, CInt(IPPROTO_IP), CInt(IP_FREEBIND), &on, size) }
        let result: CInt
        if family == AF_INET {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = address.port.bigEndian
            name.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.address.bits).bigEndian
            result = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        } else {
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = address.port.bigEndian
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.address.bytes) }
            result = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(number, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        guard result == 0 else { throw failure("cannot listen on \(address)") }
        return socket
    }

    /// Room for bursts, and to be told where each query was sent to.
    private func prepareForDatagrams(fromAnyAddress: Bool) throws(ServerSocketError) {
        var on: CInt = 1, room: CInt = 4 << 20
        var patience = timeval(tv_sec: 0, tv_usec: 500_000)
        let size = socklen_t(MemoryLayout<CInt>.size)
        // As much as this user may have; the system's default holds 277 small packets.
        if setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &room, size) != 0 {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, size)
        }
        var isTold = !fromAnyAddress
        if fromAnyAddress {
            // Each family's is for sockets of that family; a dual-stack one takes both.
            let isIPv4 = setsockopt(descriptor, CInt(IPPROTO_IP), IP_PKTINFO, &on, size) == 0
            let isIPv6 = setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_RECVPKTINFO, &on, size) == 0
            isTold = isIPv4 || isIPv6
            // An IPv6 socket may otherwise send only from addresses that an interface has, and those of a prefix that is
            // routed to this machine no interface has. One option for both families.
            isTold = isTold && setsockopt(descriptor, CInt(IPPROTO_IP), CInt(IP_FREEBIND), &on, size) == 0
        }
        let waits =
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size)) == 0
        guard isTold, waits else { throw Self.failure("a socket cannot be prepared") }
    }

    private static func failure(_ what: String) -> ServerSocketError {
        let errno = Glibc.errno
        let reason = String(cString: strerror(errno))
        let remedy =
            switch errno {
            case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; use setcap, a service manager, or another port"
            case EADDRINUSE: "end the other program, or take another address or port"
            case EADDRNOTAVAIL: "take an address of this machine, or steer to a socket on 127.0.0.1"
            default: "see its limits and permissions"
            }
        return ServerSocketError("\(what) (\(reason)): \(remedy)", errno: errno)
    }
}

extension ServerSocket {
    /// The sockets that a service manager, or `steerd-run`, passed to this process ($LISTEN_FDS), sorted by kind.
    ///
    /// - Returns: Sockets for UDP and for TCP; none if none were passed.
    /// - Throws: When something passed is neither.
    public static func passed() throws(ServerSocketError) -> (datagrams: [CInt], listeners: [CInt]) {
        guard let count = environment("LISTEN_FDS").flatMap({ Int($0) }), count > 0,
            environment("LISTEN_PID") == String(getpid())
        else { return ([], []) }
        unsetenv("LISTEN_FDS")
        unsetenv("LISTEN_PID")
        unsetenv("LISTEN_FDNAMES")
        var datagrams: [CInt] = [], listeners: [CInt] = []
        for number in 3..<(3 + CInt(clamping: count)) {
            var kind: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            guard getsockopt(number, SOL_SOCKET, SO_TYPE, &kind, &size) == 0 else {
                throw ServerSocketError("descriptor \(number), which was passed to serve, is no socket: pass sockets")
            }
            _ = fcntl(number, F_SETFD, FD_CLOEXEC)
            if kind == CInt(SOCK_DGRAM.rawValue) { datagrams.append(number) } else { listeners.append(number) }
        }
        return (datagrams, listeners)
    }

    /// Takes over a UDP socket.
    ///
    /// - Parameters:
    ///   - number: its descriptor.
    ///   - fromAnyAddress: as in `datagrams`.
    public static func adoptDatagrams(
        _ number: CInt, fromAnyAddress: Bool = true
    ) throws(ServerSocketError) -> ServerSocket {
        let flags = fcntl(number, F_GETFL)
        _ = fcntl(number, F_SETFL, flags & ~O_NONBLOCK)
        let socket = ServerSocket(owning: number)
        try socket.prepareForDatagrams(fromAnyAddress: fromAnyAddress)
        return socket
    }

    private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

import AddressPools
import Glibc
import LinuxSockets

/// The reason why a socket cannot be used.
public struct ServerSocketError: Error, Sendable, CustomStringConvertible {
    /// One sentence: the problem and the remedy.
    public let message: String
    /// The message.
    public var description: String { message }

    /// The errno of the failed call; 0 if none failed.
    let errno: CInt

    init(_ message: String, errno: CInt = 0) {
        self.message = message
        self.errno = errno
    }
}

/// A bound DNS socket, which is closed with its value.
public struct ServerSocket: ~Copyable, Sendable {
    /// The file descriptor, owned by this value.
    public let descriptor: CInt

    private init(owning descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Gives up ownership of the descriptor.
    ///
    /// - Returns: The descriptor, which the caller must close.
    public consuming func release() -> CInt {
        let number = descriptor
        discard self
        return number
    }

    /// Returns a UDP socket bound to an address, with SO_REUSEPORT: the kernel spreads queries over all sockets of the
    /// address.
    ///
    /// The receive buffer is set to 4 MiB; without CAP_NET_ADMIN, to at most `net.core.rmem_max`.
    ///
    /// - Parameters:
    ///   - address: The address and port to bind; port 0 lets the kernel choose.
    ///   - fromAnyAddress: Whether answers leave from the address that the query was sent to instead of the bound one.
    ///     Required for sockets that are steered to, and for sockets bound to the unspecified address. Costs one
    ///     twentieth of the time of a query.
    ///   - awaitingAddress: Whether the machine may not have the address yet (IP_FREEBIND).
    /// - Returns: The socket, blocking, with a receive timeout of 500 ms.
    /// - Throws: ``ServerSocketError`` if the address is in use or is not one of this machine, if the port is below
    ///   1024 and CAP_NET_BIND_SERVICE is missing, or if a socket cannot be created or configured.
    public static func datagrams(
        on address: SocketAddress, fromAnyAddress: Bool = true, awaitingAddress: Bool = false
    ) throws(ServerSocketError) -> ServerSocket {
        let socket = try bound(SOCK_DGRAM, to: address, awaitingAddress)
        try socket.prepareForDatagrams(fromAnyAddress: fromAnyAddress)
        return socket
    }

    /// Returns a TCP socket that listens on an address, with SO_REUSEPORT and a backlog of 4,096.
    ///
    /// - Parameters:
    ///   - address: The address and port to bind; port 0 lets the kernel choose.
    ///   - awaitingAddress: Whether the machine may not have the address yet (IP_FREEBIND).
    /// - Returns: The listening socket, blocking.
    /// - Throws: ``ServerSocketError`` if the address is in use or is not one of this machine, if the port is below
    ///   1024 and CAP_NET_BIND_SERVICE is missing, or if a socket cannot be created.
    public static func listener(
        on address: SocketAddress, awaitingAddress: Bool = false
    ) throws(ServerSocketError) -> ServerSocket {
        let socket = try bound(SOCK_STREAM, to: address, awaitingAddress)
        guard listen(socket.descriptor, 4_096) == 0 else { throw failure("cannot listen on \(address)") }
        return socket
    }

    /// Returns whether the machine has an address now.
    ///
    /// Tries to bind a UDP socket to it; errors other than EADDRNOTAVAIL count as yes.
    ///
    /// - Parameter address: The address.
    /// - Returns: False if the address cannot be bound because the machine does not have it.
    public static func canBind(to address: IPAddress) -> Bool {
        do throws(ServerSocketError) {
            _ = try bound(SOCK_DGRAM, to: SocketAddress(address, port: 0), false)
            return true
        } catch { return error.errno != EADDRNOTAVAIL }
    }

    /// Returns whether another socket is bound to a UDP port: the kernel would give each socket a share of the queries.
    ///
    /// - Parameter address: The address and port; port 0 is free.
    /// - Returns: True if the port is in use, even if it can be shared (SO_REUSEPORT).
    public static func isInUse(_ address: SocketAddress) -> Bool {
        do throws(ServerSocketError) {
            _ = try bound(SOCK_DGRAM, to: address, true, shared: false)
            return false
        } catch { return error.errno == EADDRINUSE }
    }

    /// The address and port that the socket is bound to; nil if the kernel does not report them.
    public var localAddress: SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage) : nil
    }

    private static func bound(
        _ kind: __socket_type, to address: SocketAddress, _ awaitingAddress: Bool, shared: Bool = true
    ) throws(ServerSocketError) -> ServerSocket {
        let family = address.address.family == .ipv4 ? AF_INET : AF_INET6
        let number = Glibc.socket(family, CInt(kind.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw failure("cannot create a socket for \(address)") }
        let socket = ServerSocket(owning: number)
        var on: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        if shared { setsockopt(number, SOL_SOCKET, SO_REUSEPORT, &on, size) }
        if kind == SOCK_STREAM { setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &on, size) }
        if family == AF_INET6 { setsockopt(number, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &on, size) }
        if awaitingAddress { setsockopt(number, CInt(IPPROTO_IP), CInt(IP_FREEBIND), &on, size) }
        let (storage, length) = address.storage
        let result = withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, length) }
        }
        guard result == 0 else { throw failure("cannot listen on \(address)") }
        return socket
    }

    /// Enlarges the receive buffer, sets the receive timeout, and asks for the destination address of each query.
    private func prepareForDatagrams(fromAnyAddress: Bool) throws(ServerSocketError) {
        var on: CInt = 1, room: CInt = 4 << 20
        var patience = timeval(tv_sec: 0, tv_usec: 500_000)
        let size = socklen_t(MemoryLayout<CInt>.size)
        // As much as this user may have: the default holds 277 small packets.
        if setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &room, size) != 0 {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, size)
        }
        var isTold = !fromAnyAddress
        if fromAnyAddress {
            // Each option is for sockets of its family; dual-stack sockets take both.
            let isIPv4 = setsockopt(descriptor, CInt(IPPROTO_IP), IP_PKTINFO, &on, size) == 0
            let isIPv6 = setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_RECVPKTINFO, &on, size) == 0
            isTold = isIPv4 || isIPv6
            // Without it, an IPv6 socket sends only from addresses assigned to an interface, which those of a routed
            // prefix are not. The option covers both families.
            isTold = isTold && setsockopt(descriptor, CInt(IPPROTO_IP), CInt(IP_FREEBIND), &on, size) == 0
        }
        let waits =
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size)) == 0
        guard isTold, waits else { throw Self.failure("cannot prepare a socket") }
    }

    private static func failure(_ what: String) -> ServerSocketError {
        let errno = Glibc.errno
        let reason = String(cString: strerror(errno))
        let remedy =
            switch errno {
            case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; use setcap, a service manager, or another port"
            case EADDRINUSE: "stop the other program, or use another address or port"
            case EADDRNOTAVAIL: "use an address of this machine, or steer to a socket on 127.0.0.1"
            default: "check its limits and permissions"
            }
        return ServerSocketError("\(what) (\(reason)): \(remedy)", errno: errno)
    }
}

extension ServerSocket {
    /// Returns the sockets that a service manager or `steerd-run` passed to this process ($LISTEN_FDS).
    ///
    /// Sets close-on-exec on them, and unsets the variables, so that a second call returns none.
    ///
    /// - Returns: The descriptors by socket type, owned by the caller; none if none were passed. All types other than
    ///   UDP count as listeners.
    /// - Throws: ``ServerSocketError`` if a passed descriptor is not a socket, or the variables contradict each other or
    ///   the open descriptors.
    public static func passed() throws(ServerSocketError) -> (datagrams: [CInt], listeners: [CInt]) {
        let passed: [(descriptor: CInt, name: String?)]
        do throws(ListenDescriptors.Failure) { passed = try ListenDescriptors.all() } catch {
            switch error {
            case .nothingPassed: return ([], [])
            case .invalid(let problem):
                throw ServerSocketError(
                    "\(problem): unset the LISTEN_ variables, or start the process from a .socket unit")
            case .systemCall(let name, let errno):
                throw ServerSocketError("cannot take the passed sockets (\(name)): check its limits", errno: errno)
            }
        }
        ListenDescriptors.unsetEnvironment()
        var datagrams: [CInt] = [], listeners: [CInt] = []
        for (number, _) in passed {
            var kind: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            guard getsockopt(number, SOL_SOCKET, SO_TYPE, &kind, &size) == 0 else {
                throw ServerSocketError(
                    "descriptor \(number), which was passed to serve, is not a socket: pass sockets")
            }
            if kind == CInt(SOCK_DGRAM.rawValue) { datagrams.append(number) } else { listeners.append(number) }
        }
        return (datagrams, listeners)
    }

    /// Takes over a bound UDP socket, and makes it blocking.
    ///
    /// - Parameters:
    ///   - number: The descriptor. It is closed with the result, or if this throws.
    ///   - fromAnyAddress: As for ``datagrams(on:fromAnyAddress:awaitingAddress:)``.
    /// - Returns: The socket, with a receive timeout of 500 ms.
    /// - Throws: ``ServerSocketError`` if the socket cannot be configured.
    public static func adoptDatagrams(
        _ number: CInt, fromAnyAddress: Bool = true
    ) throws(ServerSocketError) -> ServerSocket {
        let flags = fcntl(number, F_GETFL)
        _ = fcntl(number, F_SETFL, flags & ~O_NONBLOCK)
        let socket = ServerSocket(owning: number)
        try socket.prepareForDatagrams(fromAnyAddress: fromAnyAddress)
        return socket
    }
}

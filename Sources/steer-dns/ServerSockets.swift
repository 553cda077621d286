import AddressPools
import Glibc
import SteeringDNS

/// The sockets of a server, bound here or passed to the process.
struct ServerSockets {
    /// One UDP socket per worker, and whether its answers leave from the address that the query was sent to.
    private(set) var datagrams: [(descriptor: CInt, isFromAnyAddress: Bool)] = []
    /// The listening TCP sockets.
    private(set) var listeners: [CInt] = []
    /// Bound addresses that this machine does not have yet.
    private(set) var awaited: [SocketAddress] = []
    /// Bound addresses that another process is bound to, too.
    private(set) var contested: [SocketAddress] = []
    /// The sockets as they are described in logs and output.
    private(set) var places: [String] = []

    /// Binds the sockets, or takes over those that were passed.
    ///
    /// - Parameters:
    ///   - addresses: The addresses to listen on; must be empty if sockets were passed.
    ///   - workers: The number of UDP workers per address.
    ///   - anyAddress: Whether queries may arrive for other addresses than the bound one, by steering. Always assumed
    ///     for passed sockets, and for those bound to loopback, as steered ones are, or to the unspecified address.
    /// - Throws: `ServerSocketError` or `CommandError`.
    init(listen addresses: [SocketAddress], workers: Int, anyAddress: Bool) throws {
        let passed = try ServerSocket.passed()
        if !passed.datagrams.isEmpty || !passed.listeners.isEmpty {
            guard addresses.isEmpty else {
                throw CommandError("sockets were passed, and --listen asks for others: leave one of them out")
            }
            // A reuseport group has a socket per worker; a single socket is shared by all workers.
            for number in passed.datagrams {
                let share = max(1, workers / passed.datagrams.count)
                datagrams.append((number, true))
                for _ in 1..<share { datagrams.append((fcntl(number, F_DUPFD_CLOEXEC, 0), true)) }
            }
            listeners = passed.listeners
            places = ["\(passed.datagrams.count) UDP and \(passed.listeners.count) TCP sockets that were passed"]
            return
        }
        guard !addresses.isEmpty else {
            throw CommandError(
                "there is no address to listen on: give --listen ADDRESS:PORT, such as --listen 127.0.0.1:5353")
        }
        for address in addresses {
            let isAwaited = !ServerSocket.canBind(to: address.address)
            if ServerSocket.isInUse(address) { contested.append(address) }
            let (bound, first, listener) = try Self.pair(on: address, isAwaited)
            if isAwaited { awaited.append(bound) }
            let isFromAnyAddress = anyAddress || bound.address.isLoopback || bound.address.bits == 0
            datagrams.append((first, isFromAnyAddress))
            listeners.append(listener)
            for _ in 1..<max(1, workers) {
                datagrams.append(
                    (
                        try ServerSocket.datagrams(on: bound, fromAnyAddress: false, awaitingAddress: isAwaited)
                            .release(), isFromAnyAddress
                    ))
            }
            places.append("\(bound)")
        }
    }

    /// Binds UDP and TCP sockets to one address. With port 0, the kernel chooses the port for UDP, and again, up to 100
    /// times, if it is taken for TCP.
    private static func pair(
        on address: SocketAddress, _ isAwaited: Bool
    ) throws -> (SocketAddress, CInt, CInt) {
        var attempts = 100
        while true {
            attempts -= 1
            let first = try ServerSocket.datagrams(
                on: address, fromAnyAddress: false, awaitingAddress: isAwaited)
            let bound = first.localAddress ?? address
            do {
                let listener = try ServerSocket.listener(on: bound, awaitingAddress: isAwaited)
                return (bound, first.release(), listener.release())
            } catch { if address.port != 0 || attempts == 0 { throw error } }
        }
    }
}

extension IPAddress {
    fileprivate var isLoopback: Bool { family == .ipv4 ? bits >> 24 == 127 : bits == 1 }
}

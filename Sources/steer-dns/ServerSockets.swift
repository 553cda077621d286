import AddressPools
import Glibc
import SteeringDNS

/// The sockets of a server: bound here, or passed.
struct ServerSockets {
    /// One for each worker, UDP; and whether answers leave from the address that was asked, whatever is bound.
    private(set) var datagrams: [(descriptor: CInt, isFromAnyAddress: Bool)] = []
    /// TCP.
    private(set) var listeners: [CInt] = []
    /// Addresses that this machine does not have yet.
    private(set) var awaited: [SocketAddress] = []
    /// What is said of them.
    private(set) var places: [String] = []

    /// - Parameters:
    ///   - workers: How many workers each address has.
    ///   - anyAddress: Whether sockets that are bound to an address may be asked at others, by steering. Those that are
    ///     bound to loopback, as steered ones are, or are passed, always may.
    init(listen addresses: [SocketAddress], workers: Int, anyAddress: Bool) throws {
        let passed = try ServerSocket.passed()
        if !passed.datagrams.isEmpty || !passed.listeners.isEmpty {
            guard addresses.isEmpty else {
                throw CommandError("sockets were passed, and --listen asks for others: leave one of them out")
            }
            // A group has a socket for each worker; one alone is read by all of them.
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
                "there is nowhere to listen: give --listen ADDRESS:PORT, such as --listen 127.0.0.1:5353")
        }
        for address in addresses {
            let isAwaited = !ServerSocket.canBind(to: address.address)
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

    /// Sockets for UDP and TCP on one address. Port 0 is the kernel's choice for UDP; taken for TCP, it chooses again.
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

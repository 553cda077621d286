import AddressPools
import Glibc
import SteeringDNS

/// The sockets of a server: bound here, or passed.
struct ServerSockets {
    /// One for each worker, UDP.
    private(set) var datagrams: [CInt] = []
    /// TCP.
    private(set) var listeners: [CInt] = []
    /// What is said of them.
    private(set) var places: [String] = []

    /// - Parameter workers: How many workers each address has.
    init(listen addresses: [SocketAddress], workers: Int) throws {
        let passed = try ServerSocket.passed()
        if !passed.datagrams.isEmpty || !passed.listeners.isEmpty {
            guard addresses.isEmpty else {
                throw CommandError("sockets were passed, and --listen asks for others: leave one of them out")
            }
            // A group has a socket for each worker; one alone is read by all of them.
            for number in passed.datagrams {
                let share = max(1, workers / passed.datagrams.count)
                datagrams.append(number)
                for _ in 1..<share { datagrams.append(fcntl(number, F_DUPFD_CLOEXEC, 0)) }
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
            let (bound, first, listener) = try Self.pair(on: address)
            datagrams.append(first)
            listeners.append(listener)
            for _ in 1..<max(1, workers) { datagrams.append(try ServerSocket.datagrams(on: bound).release()) }
            places.append("\(bound)")
        }
    }

    /// Sockets for UDP and TCP on one address. Port 0 is the kernel's choice for UDP; taken for TCP, it chooses again.
    private static func pair(on address: SocketAddress) throws -> (SocketAddress, CInt, CInt) {
        for attempt in 1... {
            let first = try ServerSocket.datagrams(on: address)
            let bound = first.localAddress ?? address
            do {
                let listener = try ServerSocket.listener(on: bound)
                return (bound, first.release(), listener.release())
            } catch { if address.port != 0 || attempt == 100 { throw error } }
        }
        fatalError("the attempts end")
    }
}

import Foundation
import MetricsHTTP

/// The limit on open files, which bounds the number of connections.
enum Descriptors {
    /// Descriptors besides sockets and connections: files being read, pipes, event queues.
    private static let others = 48
    /// Those without which the server cannot run: SwiftNIO ends the process where it cannot create an event queue.
    private static let fewest = 24

    /// Raises the limit, as far as this process may, to fit the given connections and sockets.
    ///
    /// - Parameters:
    ///   - connections: The number of connections wanted.
    ///   - sockets: The number of sockets.
    ///   - servesCounters: Whether to leave room for connections that read the counters.
    /// - Returns: The number of connections that fit, at least 1.
    /// - Throws: `CommandError` if the server cannot run with so few descriptors.
    static func room(for connections: Int, sockets: Int, servesCounters: Bool) throws -> Int {
        let others = Self.others + (servesCounters ? MetricsListener.places : 0)
        let resource = CInt(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return connections }
        let needed = rlim_t(connections + sockets + others)
        if limit.rlim_cur < needed {
            var raised = limit
            raised.rlim_cur = min(limit.rlim_max, needed)
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        guard limit.rlim_cur >= sockets + fewest else {
            throw CommandError(
                "this process may open \(limit.rlim_cur) files, and needs \(sockets + fewest) or more: raise LimitNOFILE, or ulimit -n"
            )
        }
        return min(connections, max(1, Int(clamping: limit.rlim_cur) - sockets - others))
    }
}

import Foundation
import MetricsHTTP

/// The limit on open files, which bounds the number of connections.
enum Descriptors {
    /// Descriptors besides sockets and connections: files being read, pipes, event queues.
    private static let others = 48

    /// Raises the limit, as far as this process may, to fit the given connections and sockets.
    ///
    /// - Parameters:
    ///   - connections: The number of connections wanted.
    ///   - sockets: The number of sockets.
    ///   - servesCounters: Whether to leave room for connections that read the counters.
    /// - Returns: The number of connections that fit, at least 1.
    static func room(for connections: Int, sockets: Int, servesCounters: Bool) -> Int {
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
        return min(connections, max(1, Int(clamping: limit.rlim_cur) - sockets - others))
    }
}

import Foundation
import MetricsHTTP

/// The limit of open files, which connections are counted against.
enum Descriptors {
    /// What a server has open besides its sockets and connections: files that it reads, pipes, event queues.
    private static let others = 48

    /// Raises the limit, as far as this process may, to what so many connections need beside so many sockets.
    ///
    /// - Parameter servesCounters: Whether those who read the counters need some, too.
    /// - Returns: How many connections there is room for.
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

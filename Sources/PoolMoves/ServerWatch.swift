import AddressPools
import Documents

/// Determines when servers have put a changed file in force.
package struct ServerWatch: Sendable {
    /// The addresses at which servers serve their counters; if empty, servers are assumed to need ``reload`` seconds.
    package let servers: [SocketAddress]
    /// The time that servers need to notice a change, in seconds, if none is queried.
    package let reload: Int
    /// Queries a server.
    private let times: @Sendable (SocketAddress) throws(DocumentError) -> ServerTimes

    package init(
        servers: [SocketAddress], reload: Int,
        times: @escaping @Sendable (SocketAddress) throws(DocumentError) -> ServerTimes = ServerTimes.query
    ) {
        self.servers = servers
        self.reload = reload
        self.times = times
    }

    /// Queries each server once.
    ///
    /// - Throws: ``DocumentError`` if a server cannot be queried, or does not have the pool.
    package func check(pool: String) throws(DocumentError) {
        for server in servers { _ = try since(of: pool, in: try times(server), server) }
    }

    /// Returns the time since which all servers answer by the current contents of a file.
    ///
    /// - Returns: Seconds since 1970; 0 if the file does not exist, nil while a server does not answer by it yet.
    /// - Throws: ``DocumentError`` if a server cannot be queried, or does not have the pool.
    package func inForce(_ file: String, pool: String) throws(DocumentError) -> Double? {
        guard let changed = DrainedFile.changed(file) else { return 0 }
        if servers.isEmpty { return changed + Double(reload) }
        var since = changed
        for server in servers {
            let times = try times(server)
            // File timestamps lag the clock slightly.
            guard times.read > changed + 0.1 else { return nil }
            since = max(since, try self.since(of: pool, in: times, server))
        }
        return since
    }

    private func since(
        of pool: String, in times: ServerTimes, _ server: SocketAddress
    ) throws(DocumentError) -> Double {
        guard let since = times.pools[pool] else {
            throw DocumentError("the server at \(server) has no pool \(pool): name the one that has this policy")
        }
        return since
    }
}

import AddressPools
import Documents
import SteeringDNS

/// A drained prefix, and when the last answer with one of its addresses expires.
package struct DrainStatus: Sendable {
    package let prefix: IPPrefix
    /// When it was drained, according to the file, in seconds since 1970.
    package let drained: Int
    /// When the last answer with it expires, in seconds since 1970; nil while a server may still give one.
    package let expiry: Int?

    /// Returns whether the last answer has expired at a time in seconds since 1970.
    package func hasExpired(at now: Double) -> Bool { expiry.map { Double($0) <= now } ?? false }
}

/// Determines when servers have put a changed file in force.
package struct ServerWatch: Sendable {
    /// The addresses at which servers serve their counters; if empty, servers are assumed to need ``reload`` seconds.
    package let servers: [SocketAddress]
    /// The time that servers need to notice a change, in seconds, if none is queried.
    package let reload: Int

    package init(servers: [SocketAddress], reload: Int) {
        self.servers = servers
        self.reload = reload
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
            let times = try ServerTimes(server)
            // File timestamps lag the clock slightly.
            guard times.read > changed + 0.1 else { return nil }
            guard let own = times.pools[pool] else {
                throw DocumentError("the server at \(server) has no pool \(pool): name the one that has this policy")
            }
            since = max(since, own)
        }
        return since
    }
}

extension DrainablePool {
    /// Returns the status of each drained prefix.
    package func status(_ watch: ServerWatch) throws(DocumentError) -> [DrainStatus] {
        let entries = try DrainedFile.entries(of: drainedFile)
        let inForce = entries.isEmpty ? nil : try watch.inForce(drainedFile, pool: name)
        return entries.map { entry in
            // Without servers to query, each line has its own time.
            let begin =
                watch.servers.isEmpty
                ? Double(entry.since + watch.reload) : inForce.map { max($0, Double(entry.since)) }
            return DrainStatus(
                prefix: entry.prefix, drained: entry.since, expiry: begin.map { Int($0.rounded(.up)) + Int(ttl) })
        }
    }
}

import AddressPools
import Documents
import SteeringDNS

/// Where answers can be that have an address of a drained prefix.
package struct DrainStatus: Sendable {
    package let prefix: IPPrefix
    /// Since when it is drained, by the file: seconds since 1970.
    package let drained: Int
    /// When the last answer with it expires; nil while a server may still give one.
    package let expiry: Int?

    package func hasExpired(at now: Double) -> Bool { expiry.map { Double($0) <= now } ?? false }
}

/// How it is known when servers have taken a changed file in force.
package struct ServerWatch: Sendable {
    /// Where they serve their counters; without any, it is a matter of time.
    package let servers: [SocketAddress]
    /// How many seconds servers need for it, at most, where none is asked.
    package let reload: Int

    package init(servers: [SocketAddress], reload: Int) {
        self.servers = servers
        self.reload = reload
    }

    /// Since when all servers answer by a file as it stands; nil while one does not.
    ///
    /// - Throws: When a server cannot be asked.
    package func inForce(_ file: String, pool: String) throws(DocumentError) -> Double? {
        guard let changed = DrainedFile.changed(file) else { return 0 }
        if servers.isEmpty { return changed + Double(reload) }
        var since = changed
        for server in servers {
            let times = try ServerTimes(server)
            // The file system's clock is a moment behind.
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
    /// Where each drained prefix is.
    package func status(_ watch: ServerWatch) throws(DocumentError) -> [DrainStatus] {
        let entries = try DrainedFile.entries(of: drainedFile)
        let inForce = entries.isEmpty ? nil : try watch.inForce(drainedFile, pool: name)
        return entries.map { entry in
            // Without servers, each line has its own time.
            let begin =
                watch.servers.isEmpty
                ? Double(entry.since + watch.reload) : inForce.map { max($0, Double(entry.since)) }
            return DrainStatus(
                prefix: entry.prefix, drained: entry.since, expiry: begin.map { Int($0.rounded(.up)) + Int(ttl) })
        }
    }
}

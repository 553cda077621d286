import AddressPools
import Documents

/// A drained prefix, and when the last answer with one of its addresses expires.
package struct DrainStatus: Sendable, Equatable {
    package let prefix: IPPrefix
    /// When it was drained, according to the file, in seconds since 1970.
    package let drained: Int
    /// When the last answer with it expires, in seconds since 1970; nil while a server may still give one.
    package let expiry: Int?

    /// Returns whether the last answer has expired at a time in seconds since 1970.
    package func hasExpired(at now: Double) -> Bool { expiry.map { Double($0) <= now } ?? false }
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

    /// Returns the status of the drained prefixes that overlap some addresses.
    package func status(of pool: PrefixPool, _ watch: ServerWatch) throws(DocumentError) -> [DrainStatus] {
        try status(watch).filter { PrefixPool([$0.prefix]).overlaps(pool) }
    }

    /// Waits until the last answers with drained prefixes have expired.
    ///
    /// - Parameter waiting: Called before each pause, with the status so far.
    /// - Returns: The status then.
    package func awaitExpiry(
        of prefixes: PrefixPool, _ watch: ServerWatch, _ clock: some MoveClock, waiting: (DrainReport) -> Void
    ) throws(DocumentError) -> DrainReport {
        while true {
            let report = DrainReport(self, try status(of: prefixes, watch), at: clock.now)
            if report.hasExpired { return report }
            waiting(report)
            clock.sleep(.milliseconds(200))
        }
    }
}

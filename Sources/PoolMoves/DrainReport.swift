import AddressPools

/// The drained prefixes of a pool, and how much still comes to them if that was counted.
///
/// Its encoding is the JSON of `steer-dns drain` and `steer pool status`.
package struct DrainReport: Encodable, Sendable {
    package struct Part: Encodable, Sendable {
        package let prefix: String
        package let packets: UInt64
        /// Packets per second.
        package let rate: Double
    }

    package struct Drained: Encodable, Sendable {
        package let prefix, drained: String
        /// Nil while a server still answers with the prefix.
        package let expires: String?
        package let expired: Bool
        /// Nil unless packets were counted.
        package let mayUnbind: Bool?
        package let parts: [Part]?
    }

    /// What came to parts of drained prefixes.
    package struct Count: Sendable {
        let arrivals: [(part: IPPrefix, packets: UInt64)]
        /// The time that was counted, in seconds.
        let seconds: Double
        /// The packets that may come to a part of a quiet prefix in that time.
        let threshold: UInt64
    }

    package let pool: String
    /// The addresses that policies may answer with; nil unless packets were counted.
    package let answers: String?
    package let ttl: UInt32
    package let drained: [Drained]
    /// Whether all drained prefixes may be unbound; nil unless packets were counted.
    package let mayUnbind: Bool?

    /// The drained prefixes that may be unbound.
    package let quiet: PrefixPool
    /// The seconds until the last answer expires; nil while a server still answers with a drained prefix.
    package let secondsLeft: Int?

    private enum CodingKeys: CodingKey {
        case pool, answers, ttl, drained, mayUnbind
    }

    package init(_ pool: DrainablePool, _ status: [DrainStatus], at now: Double, _ count: Count? = nil) {
        self.pool = pool.name
        answers = count == nil ? nil : pool.answers.description
        ttl = pool.ttl
        drained = status.map { Self.drained($0, at: now, count) }
        mayUnbind = count == nil ? nil : drained.allSatisfy { $0.mayUnbind == true }
        quiet = PrefixPool(zip(status, drained).filter { $1.mayUnbind == true }.map { $0.0.prefix })
        let expiries = status.compactMap(\.expiry)
        secondsLeft = expiries.count < status.count ? nil : expiries.max().map { max(0, Int(Double($0) - now)) }
    }

    private static func drained(_ status: DrainStatus, at now: Double, _ count: Count?) -> Drained {
        let expired = status.hasExpired(at: now)
        let own = count?.arrivals.filter { status.prefix.contains($0.part) }
        return Drained(
            prefix: status.prefix.description, drained: DrainedFile.text(of: status.drained),
            expires: status.expiry.map(DrainedFile.text), expired: expired,
            mayUnbind: count.map { count in expired && own!.allSatisfy { $0.packets <= count.threshold } },
            parts: count.map { count in
                own!.map {
                    let rate = (Double($0.packets) / count.seconds * 10).rounded() / 10
                    return Part(prefix: $0.part.description, packets: $0.packets, rate: rate)
                }
            })
    }

    /// Whether the last answers with all of the drained prefixes have expired.
    package var hasExpired: Bool { drained.allSatisfy(\.expired) }
}

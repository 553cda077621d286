/// The times at which a server's data took effect, as its counters show them.
package struct ServerTimes: Sendable, Equatable {
    /// The metrics by which steer-dns reports them.
    package enum MetricName {
        package static let read = "steer_dns_policy_read_seconds"
        package static let pool = "steer_dns_pool_since_seconds"
    }

    /// When the server began to read the policy in force, in seconds since 1970.
    package let read: Double
    /// The time since which each pool has its current addresses, in seconds since 1970.
    package let pools: [String: Double]

    package init(read: Double, pools: [String: Double]) {
        self.read = read
        self.pools = pools
    }

    /// Finds the times in the counters of a server; nil if they do not include when it read its policy.
    ///
    /// All other lines are ignored, such as those of a response's head.
    package init?(metrics text: String) {
        var read: Double?
        var pools: [String: Double] = [:]
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            // Times after the year 9999 are not times.
            guard let sample = MetricSample(line), sample.value > 0, sample.value < 253_402_300_800 else { continue }
            switch sample.name {
            case MetricName.read: read = sample.value
            case MetricName.pool: if let pool = sample.labels["pool"] { pools[pool] = sample.value }
            default: break
            }
        }
        guard let read else { return nil }
        self.init(read: read, pools: pools)
    }
}

/// The result of one leak.
struct CatchmentTrial: Sendable {
    /// The time from its start to the alarm; `nil` if there was none in time.
    var secondsToDetect: Double?
    /// Whether the alarm was raised at B, where the leaked traffic arrived.
    var isAtB = false
    /// The time from the alarm to the last connection to the old prefix.
    var secondsToDrain: Double?
    var falseAlarms = 0
    /// The foreign share at B before the leak, during it, and one TTL after the alarm.
    var foreignBefore = 0.0, foreignLeaking = 0.0, foreignDrained = 0.0
}

/// The result of a simulation of leaks.
public struct CatchmentReport: Sendable, Encodable {
    /// The median and the maximum of some values.
    public struct Spread: Sendable, Encodable {
        /// The median, and the maximum.
        public let median: Double, worst: Double

        init?(_ figures: [Double]) {
            guard !figures.isEmpty else { return nil }
            let sorted = figures.sorted()
            let middle = sorted.count / 2
            median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
            worst = sorted.last!
        }
    }

    /// The leaks of one size.
    public struct Leak: Sendable, Encodable {
        /// The share of A's clients that the leak brought to B.
        public let leak: Double
        /// The number of leaks, of those detected in time, and of those detected at the wrong site.
        public let trials: Int, detected: Int, misattributed: Int
        /// The number of alarms shortly before a leak.
        public let falseAlarms: Int
        /// The time from the leak to the alarm, and from the alarm to the last connection to the old prefix.
        public let secondsToDetect: Spread?, secondsToDrain: Spread?
        /// Whether all connections to the old prefix came within the TTL.
        public let drainedWithinTTL: Bool
        /// The mean foreign share at B: before the leak, during it, and one TTL after the alarm.
        public let foreignShareBefore: Double, foreignShareLeaking: Double, foreignShareDrained: Double?

        init(_ leak: Double, _ trials: [CatchmentTrial], ttl: Int) {
            self.leak = leak
            self.trials = trials.count
            let seen = trials.filter { $0.secondsToDetect != nil }
            detected = seen.count
            misattributed = seen.count { !$0.isAtB }
            falseAlarms = trials.reduce(0) { $0 + $1.falseAlarms }
            secondsToDetect = Spread(seen.compactMap(\.secondsToDetect))
            secondsToDrain = Spread(seen.compactMap(\.secondsToDrain))
            drainedWithinTTL = seen.allSatisfy { $0.secondsToDrain! <= Double(ttl) }
            foreignShareBefore = Self.mean(trials.map(\.foreignBefore))
            foreignShareLeaking = Self.mean(trials.map(\.foreignLeaking))
            foreignShareDrained = seen.isEmpty ? nil : Self.mean(seen.map(\.foreignDrained))
        }

        private static func mean(_ figures: [Double]) -> Double {
            figures.isEmpty ? 0 : figures.reduce(0, +) / Double(figures.count)
        }
    }

    /// The parameters of the simulation.
    public let requestsPerSecond: Double, ttl: Int, baseline: Double, names: Int, resolvers: Int, seed: UInt64
    /// The parameters of detection, with intervals of one second.
    public let threshold: Double, slack: Double, learnSeconds: Int, limitSeconds: Int
    /// The time without a leak, and the number of alarms at both sites in that time.
    public let leaklessSeconds: Int, falseAlarms: Int
    /// The results by size of the leak.
    public let leaks: [Leak]

    init(_ parameters: Catchment.Parameters, falseAlarms: Int, leaks: [Leak]) {
        (requestsPerSecond, ttl, baseline) = (parameters.requestsPerSecond, parameters.ttl, parameters.baseline)
        (names, resolvers, seed) = (parameters.names, parameters.resolvers, parameters.seed)
        (threshold, slack) = (parameters.threshold, Cusum.slack)
        (learnSeconds, limitSeconds) = (parameters.learnSeconds, parameters.limitSeconds)
        leaklessSeconds = parameters.seconds
        self.falseAlarms = falseAlarms
        self.leaks = leaks
    }
}

/// What a leak led to.
struct CatchmentTrial: Sendable {
    /// From its begin to the alarm; nil if there was none in time.
    var secondsToDetect: Double?
    /// Whether the alarm was raised where the traffic arrived.
    var isAtB = false
    /// From the alarm to the last connection to the old prefix.
    var secondsToDrain: Double?
    var falseAlarms = 0
    /// The foreign share at B before the leak, in it, and a TTL after the alarm.
    var foreignBefore = 0.0, foreignLeaking = 0.0, foreignDrained = 0.0
}

/// What came of the simulation of leaks.
public struct CatchmentReport: Sendable, Encodable {
    /// The middle of some figures, and the worst.
    public struct Spread: Sendable, Encodable {
        /// The middle one, and the largest.
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
        /// The share of A's clients that arrived at B.
        public let leak: Double
        /// How many leaks there were, how many were seen in time, and how many of those were seen at the wrong site.
        public let trials: Int, detected: Int, misattributed: Int
        /// Alarms just before a leak.
        public let falseAlarms: Int
        /// From the leak to the alarm, and from the alarm to the last connection to the old prefix.
        public let secondsToDetect: Spread?, secondsToDrain: Spread?
        /// Whether none came later than the TTL.
        public let drainedWithinTTL: Bool
        /// The mean foreign share at B: before, while it leaked, and a TTL after the alarm.
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

    /// What was simulated.
    public let requestsPerSecond: Double, ttl: Int, baseline: Double, names: Int, resolvers: Int, seed: UInt64
    /// How the alarm is raised: by a sum over intervals of a second.
    public let threshold: Double, slack: Double, learnSeconds: Int, limitSeconds: Int
    /// How long there was no leak, and how many alarms, at both sites together, were raised all the same.
    public let leaklessSeconds: Int, falseAlarms: Int
    /// What came of the leaks, by size.
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

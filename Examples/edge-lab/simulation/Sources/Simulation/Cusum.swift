/// Says when a share has risen above what it was, as soon as that is more than chance.
///
/// The one-sided cumulative sum of E. S. Page ("Continuous Inspection Schemes", Biometrika 41, 1954): of each interval's
/// share it adds by how much more than half a standard deviation it lies above the mean, never falls below 0, and raises
/// the alarm at a threshold. A rise of d deviations takes about threshold / (d - 1/2) intervals to be seen. D. Siegmund's
/// approximation ("Sequential Analysis", Springer, 1985) gives the mean time between false alarms: 2 * 10^7 intervals for a
/// threshold of 15 and shares that are distributed normally.
public struct Cusum: Sendable {
    /// What was learnt: the mean of the shares, and their standard deviation.
    public let mean: Double, deviation: Double
    /// At what sum the alarm is raised.
    public let threshold: Double
    /// The sum so far.
    public private(set) var sum = 0.0

    /// What is within so many deviations of the mean never adds up.
    public static let slack = 0.5

    /// Learns.
    ///
    /// - Parameters:
    ///   - shares: the shares of intervals in which all was well.
    ///   - smallestDeviation: what the deviation is at least, since shares that were all 0 have none.
    ///   - threshold: at what sum the alarm is raised.
    public init(learning shares: [Double], smallestDeviation: Double, threshold: Double) {
        let count = Double(max(1, shares.count))
        let mean = shares.reduce(0, +) / count
        let variance = shares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / max(1, count - 1)
        self.mean = mean
        deviation = max(variance.squareRoot(), smallestDeviation)
        self.threshold = threshold
    }

    /// Takes an interval's share; true for an alarm, after which it begins anew.
    public mutating func add(_ share: Double) -> Bool {
        sum = max(0, sum + (share - mean) / deviation - Self.slack)
        guard sum >= threshold else { return false }
        sum = 0
        return true
    }
}

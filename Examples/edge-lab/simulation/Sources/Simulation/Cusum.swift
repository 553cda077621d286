/// Detects a significant rise of a share above its baseline.
///
/// The one-sided cumulative sum of E. S. Page ("Continuous Inspection Schemes", Biometrika 41, 1954): for each
/// interval, it adds the deviation of the share from the mean, in standard deviations, minus 1/2; it never falls below
/// 0, and raises the alarm at a threshold. Detecting a rise of d deviations takes about threshold / (d - 1/2)
/// intervals. D. Siegmund's approximation ("Sequential Analysis", Springer, 1985) gives a mean time between false
/// alarms of 2 * 10^7 intervals for a threshold of 15 and normally distributed shares.
public struct Cusum: Sendable {
    /// The baseline: the mean of the shares, and their standard deviation.
    public let mean: Double, deviation: Double
    /// The sum at which the alarm is raised.
    public let threshold: Double
    /// The current sum.
    public private(set) var sum = 0.0

    /// The deviation from the mean, in standard deviations, that is not added up.
    public static let slack = 0.5

    /// Learns a baseline.
    ///
    /// - Parameters:
    ///   - shares: The shares of normal intervals.
    ///   - smallestDeviation: The minimum of the deviation, which would be 0 if all shares were equal.
    ///   - threshold: The sum at which the alarm is raised.
    public init(learning shares: [Double], smallestDeviation: Double, threshold: Double) {
        let count = Double(max(1, shares.count))
        let mean = shares.reduce(0, +) / count
        let variance = shares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / max(1, count - 1)
        self.mean = mean
        deviation = max(variance.squareRoot(), smallestDeviation)
        self.threshold = threshold
    }

    /// Adds the share of an interval.
    ///
    /// Returns `true` for an alarm, which resets the sum.
    public mutating func add(_ share: Double) -> Bool {
        sum = max(0, sum + (share - mean) / deviation - Self.slack)
        guard sum >= threshold else { return false }
        sum = 0
        return true
    }
}

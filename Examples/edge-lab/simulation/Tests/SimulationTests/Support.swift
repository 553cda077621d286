import AddressPools
import Foundation
import SteeringDNS

@testable import Simulation

/// Returns the statistic of Pearson's chi-squared test.
func chiSquare(_ counts: [Int], _ probabilities: [Double]) -> Double {
    let total = Double(counts.reduce(0, +))
    return zip(counts, probabilities).reduce(0) { sum, pair in
        let expected = total * pair.1
        return sum + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
    }
}

/// Returns whether the chi-squared statistic of counts is within six standard deviations of its mean.
///
/// It is outside with a probability of 10^-7 or less, and the seeds are fixed.
func fits(_ counts: [Int], _ probabilities: [Double]) -> Bool {
    let freedom = Double(counts.count - 1)
    return abs(chiSquare(counts, probabilities) - freedom) < 6 * (2 * freedom).squareRoot()
}

/// Returns the data of a policy with one pool, read with the code of steer-dns.
func serving(pool: String, select: String = "random", ttl: Int = 60) throws -> ServedData {
    try PolicyFolder().serving(
        """
        pools:
          web: [\(pool)]
        names:
          zones: [example.com.zone]
          policies:
            - { name: default, pool: web, select: \(select), ttl: \(ttl) }
        """)
}

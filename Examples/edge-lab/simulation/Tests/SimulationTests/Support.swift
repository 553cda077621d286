import AddressPools
import Foundation
import SteeringDNS

@testable import Simulation

/// The sum of Pearson's test: how far counts are from what probabilities want.
func chiSquare(_ counts: [Int], _ probabilities: [Double]) -> Double {
    let total = Double(counts.reduce(0, +))
    return zip(counts, probabilities).reduce(0) { sum, pair in
        let expected = total * pair.1
        return sum + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
    }
}

/// Whether counts are as random as they should be: six standard deviations on either side. Outside with a probability of
/// 10^-7 or less, for a seed that is always the same.
func fits(_ counts: [Int], _ probabilities: [Double]) -> Bool {
    let freedom = Double(counts.count - 1)
    return abs(chiSquare(counts, probabilities) - freedom) < 6 * (2 * freedom).squareRoot()
}

/// What a policy with one pool serves, read as steer-dns reads it.
func serving(pool: String, select: String = "random", ttl: Int = 60) throws -> Serving {
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

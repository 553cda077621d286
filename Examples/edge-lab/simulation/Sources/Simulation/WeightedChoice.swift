import SteeringDNS

/// Draws numbers with given weights in constant time.
///
/// Uses the alias method (A. J. Walker, 1977) in the version of M. D. Vose ("A Linear Algorithm for Generating Random
/// Numbers with a Given Distribution", IEEE Transactions on Software Engineering 17 (9), 1991).
struct WeightedChoice: Sendable {
    /// The fraction of each place below which it yields its own number, and above which its alias.
    private var bounds: [Double]
    private var aliases: [Int32]

    /// Prepares draws from `0..<weights.count`.
    ///
    /// - Precondition: The sum of the weights is positive.
    init(_ weights: [Double]) {
        let sum = weights.reduce(0, +)
        precondition(sum > 0)
        bounds = weights.map { $0 / sum * Double(weights.count) }
        aliases = Array(0..<Int32(weights.count))
        // Fill up places with too little weight from the excess of others.
        var small = bounds.indices.filter { bounds[$0] < 1 }
        var large = bounds.indices.filter { bounds[$0] >= 1 }
        while let needy = small.popLast(), let donor = large.last {
            aliases[needy] = Int32(donor)
            bounds[donor] -= 1 - bounds[needy]
            if bounds[donor] < 1 {
                large.removeLast()
                small.append(donor)
            }
        }
        // The remaining places are full except for rounding errors; each is its own alias.
    }

    @inline(__always)
    func next(using generator: inout FastGenerator) -> Int {
        let product = generator.next().multipliedFullWidth(by: UInt64(bounds.count))
        let place = Int(product.high)
        // The low bits of the product are uniformly distributed, too.
        return Double(product.low >> 11) * 0x1p-53 < bounds[place] ? place : Int(aliases[place])
    }
}

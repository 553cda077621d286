import SteeringDNS

/// Draws numbers with given weights, each in the same time, however many there are: the alias method (A. J. Walker, 1977) as
/// M. D. Vose builds it ("A Linear Algorithm for Generating Random Numbers with a Given Distribution", IEEE Transactions
/// on Software Engineering 17 (9), 1991).
struct WeightedChoice: Sendable {
    /// Below this fraction, a place is its own number, above it its alias.
    private var bounds: [Double]
    private var aliases: [Int32]

    /// - Precondition: at least one weight, and a positive sum.
    init(_ weights: [Double]) {
        let sum = weights.reduce(0, +)
        precondition(sum > 0)
        bounds = weights.map { $0 / sum * Double(weights.count) }
        aliases = Array(0..<Int32(weights.count))
        // What a place has too little of is filled up with another's excess.
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
        // What remains is full but for rounding: it is its own alias.
    }

    @inline(__always)
    func next(using generator: inout FastGenerator) -> Int {
        let product = generator.next().multipliedFullWidth(by: UInt64(bounds.count))
        let place = Int(product.high)
        // The rest of the bits are as random as the first.
        return Double(product.low >> 11) * 0x1p-53 < bounds[place] ? place : Int(aliases[place])
    }
}

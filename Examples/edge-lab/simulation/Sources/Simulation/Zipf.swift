import Glibc
import SteeringDNS

/// The Zipf distribution of ranks from 1 to a count, where rank k has a probability proportional to 1 / k^exponent.
///
/// It models the popularity of names.
///
/// Uses rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone
/// discrete distributions", ACM Transactions on Modeling and Computer Simulation 6 (3), 1996): it inverts the
/// continuous distribution of the same shape, rounds to the nearest rank, and rejects a few results so that the
/// distribution is exact. It needs no memory, regardless of the count.
public struct Zipf: Sendable {
    /// The number of ranks.
    public let count: Int
    /// The exponent; 0 for a uniform distribution.
    public let exponent: Double

    /// The area under the hat function at the start of rank 1, and at the end of the last rank.
    private let areaBegin: Double, areaEnd: Double
    /// The maximum distance below a rank at which a position is accepted without a test.
    private let squeeze: Double

    /// Creates a distribution.
    ///
    /// - Precondition: `count` is at least 1, and `exponent` is not negative.
    public init(count: Int, exponent: Double) {
        precondition(count >= 1 && exponent >= 0)
        self.count = count
        self.exponent = exponent
        areaBegin = Self.area(1.5, exponent) - 1
        areaEnd = Self.area(Double(count) + 0.5, exponent)
        squeeze = 2 - Self.position(Self.area(2.5, exponent) - Self.weight(2, exponent), exponent)
    }

    /// Returns a random rank.
    @inline(__always)
    public func next(using generator: inout FastGenerator) -> Int {
        while true {
            let area = areaEnd + generator.nextFraction() * (areaBegin - areaEnd)
            let position = Self.position(area, exponent)
            let rank = min(max((position + 0.5).rounded(.down), 1), Double(count))
            if rank - position <= squeeze || area >= Self.area(rank + 0.5, exponent) - Self.weight(rank, exponent) {
                return Int(rank)
            }
        }
    }

    /// Returns the exact probability of each rank, starting with rank 1.
    public func probabilities() -> [Double] {
        var weights = (1...count).map { Self.weight(Double($0), exponent) }
        // Sum from the smallest to reduce rounding errors.
        let sum = weights.reversed().reduce(0, +)
        for index in weights.indices { weights[index] /= sum }
        return weights
    }

    @inline(__always)
    private static func weight(_ position: Double, _ exponent: Double) -> Double {
        exponent == 1 ? 1 / position : pow(position, -exponent)
    }

    /// Returns the area under the curve of weights from 1 to a position.
    @inline(__always)
    private static func area(_ position: Double, _ exponent: Double) -> Double {
        // The general expression, in which expm1 keeps precision near 1, is undefined for an exponent of 1.
        if exponent == 1 { return log(position) }
        return expm1((1 - exponent) * log(position)) / (1 - exponent)
    }

    /// Returns the position that bounds an area: the inverse of ``area(_:_:)``.
    @inline(__always)
    private static func position(_ area: Double, _ exponent: Double) -> Double {
        if exponent == 1 { return exp(area) }
        return exp(log1p(max(area * (1 - exponent), -1)) / (1 - exponent))
    }
}

extension FastGenerator {
    /// Returns a uniformly distributed number in 0..<1.
    @inline(__always)
    mutating func nextFraction() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Returns an exponentially distributed interval with a mean of 1: the time to the next event of a Poisson process.
    mutating func nextInterval() -> Double { -log1p(-nextFraction()) }
}

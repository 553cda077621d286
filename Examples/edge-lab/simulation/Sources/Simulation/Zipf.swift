import Glibc
import SteeringDNS

/// Ranks from 1 to a count, the rank k with a probability in proportion to 1 / k^exponent: how popular names are.
///
/// Rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
/// distributions", ACM Transactions on Modeling and Computer Simulation 6 (3), 1996): the continuous distribution of the
/// same shape is inverted, and its number rounded to the nearest rank; a few are rejected, so that the result is exact.
/// It takes no memory, whatever the count.
public struct Zipf: Sendable {
    /// How many ranks there are.
    public let count: Int
    /// How much less popular the later ranks are; 0 for all alike.
    public let exponent: Double

    /// The area under the hat's curve from where rank 1 begins, and to where the last rank ends.
    private let areaBegin: Double, areaEnd: Double
    /// No number that is at most this much below its rank need be tested.
    private let squeeze: Double

    /// - Precondition: at least one rank, and no negative exponent.
    public init(count: Int, exponent: Double) {
        precondition(count >= 1 && exponent >= 0)
        self.count = count
        self.exponent = exponent
        areaBegin = Self.area(1.5, exponent) - 1
        areaEnd = Self.area(Double(count) + 0.5, exponent)
        squeeze = 2 - Self.position(Self.area(2.5, exponent) - Self.weight(2, exponent), exponent)
    }

    /// A rank, drawn at random.
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

    /// The exact probability of each rank; that of rank 1 comes first.
    public func probabilities() -> [Double] {
        var weights = (1...count).map { Self.weight(Double($0), exponent) }
        // From the smallest, so that little is lost.
        let sum = weights.reversed().reduce(0, +)
        for index in weights.indices { weights[index] /= sum }
        return weights
    }

    @inline(__always)
    private static func weight(_ position: Double, _ exponent: Double) -> Double {
        exponent == 1 ? 1 / position : pow(position, -exponent)
    }

    /// The area under the curve of weights from 1 to a position.
    @inline(__always)
    private static func area(_ position: Double, _ exponent: Double) -> Double {
        // The general expression loses its digits near 1, and has no value at 1.
        if exponent == 1 { return log(position) }
        return expm1((1 - exponent) * log(position)) / (1 - exponent)
    }

    /// The position up to which there is that area.
    @inline(__always)
    private static func position(_ area: Double, _ exponent: Double) -> Double {
        if exponent == 1 { return exp(area) }
        return exp(log1p(max(area * (1 - exponent), -1)) / (1 - exponent))
    }
}

extension FastGenerator {
    /// A number from 0 up to, not including, 1.
    @inline(__always)
    mutating func nextFraction() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// The time to the next of events that come at random, in units of the mean.
    mutating func nextInterval() -> Double { -log1p(-nextFraction()) }
}

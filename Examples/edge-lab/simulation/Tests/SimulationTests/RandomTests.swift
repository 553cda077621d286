import Foundation
import SteeringDNS
import Testing

@testable import Simulation

/// Random draws follow their distributions.
@Suite struct RandomTests {
    private func counts(_ zipf: Zipf, _ draws: Int, seed: UInt64) -> [Int] {
        var generator = FastGenerator(seed: seed)
        var counts = [Int](repeating: 0, count: zipf.count)
        for _ in 0..<draws { counts[zipf.next(using: &generator) - 1] += 1 }
        return counts
    }

    @Test(
        "ranks have the exact probabilities of Zipf's law",
        arguments: [(1, 1.0), (2, 1.0), (1_000, 1.0), (1_000, 0.7), (1_000, 1.3), (300, 2.0), (500, 0.0)])
    func zipf(count: Int, exponent: Double) {
        let zipf = Zipf(count: count, exponent: exponent)
        let weights = (1...count).map { pow(Double($0), -exponent) }
        let sum = weights.reduce(0, +)
        #expect(
            zip(zipf.probabilities(), weights).allSatisfy { abs($0 - $1 / sum) < 1e-12 },
            "the probabilities are what is written in the definition")
        let counts = counts(zipf, 2_000_000, seed: 3)
        #expect(count == 1 ? counts == [2_000_000] : fits(counts, weights.map { $0 / sum }))
    }

    @Test("an exponent that is off by a hundredth is seen")
    func offZipf() {
        let counts = counts(Zipf(count: 1_000, exponent: 1.01), 2_000_000, seed: 3)
        #expect(!fits(counts, Zipf(count: 1_000, exponent: 1).probabilities()))
    }

    @Test("all of 20 million ranks can come, and none beyond")
    func manyRanks() {
        let zipf = Zipf(count: 20_000_000, exponent: 1)
        var generator = FastGenerator(seed: 5)
        // Ranks in intervals between powers of two, which are about equally likely: the tail gets its share.
        let bounds = (0...20).map { $0 == 20 ? 20_000_001 : 1 << $0 } + [20_000_001]
        var inPart = [Int](repeating: 0, count: 20)
        for _ in 0..<1_000_000 {
            let rank = zipf.next(using: &generator)
            #expect((1...20_000_000).contains(rank))
            inPart[min(19, Int.bitWidth - 1 - rank.leadingZeroBitCount)] += 1
        }
        let probabilities = zipf.probabilities()
        let expected = (0..<20).map { part in
            probabilities[(bounds[part] - 1)..<(bounds[part + 1] - 1)].reduce(0, +)
        }
        #expect(fits(inPart, expected))
    }

    @Test(
        "choices have their weights, whatever these are",
        arguments: [[1.0], [1, 1, 1], [5, 0.1, 3, 0.5, 90, 2], (1...60).map { 1 / Double($0) }])
    func weights(weights: [Double]) {
        let choice = WeightedChoice(weights)
        var generator = FastGenerator(seed: 11)
        var counts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<1_000_000 { counts[choice.next(using: &generator)] += 1 }
        let sum = weights.reduce(0, +)
        #expect(weights.count == 1 ? counts == [1_000_000] : fits(counts, weights.map { $0 / sum }))
    }

    @Test("a choice of weight 0 never comes")
    func zeroWeight() {
        let choice = WeightedChoice([0, 1, 0, 2])
        var generator = FastGenerator(seed: 1)
        #expect((0..<100_000).allSatisfy { _ in choice.next(using: &generator) % 2 == 1 })
    }
}

import AddressPools
import Testing

@testable import SteeringDNS

/// Every address of a pool is as likely as every other.
@Suite struct UniformityTests {
    /// How far the counts are from even: with n places, a sum whose mean is n - 1 and whose variance is 2 (n - 1).
    private func chiSquare(_ counts: [Int]) -> Double {
        let expected = Double(counts.reduce(0, +)) / Double(counts.count)
        return counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
    }

    /// Six standard deviations on either side: outside with a probability of 10^-7 above (256 places; less with more), and
    /// far less below.
    private func isEven(_ counts: [Int]) -> Bool {
        let freedom = Double(counts.count - 1)
        return abs(chiSquare(counts) - freedom) < 6 * (2 * freedom).squareRoot()
    }

    /// A pool of the first addresses of 192.0.2.0/24.
    private func hosts(_ count: Int) -> PrefixPool {
        PrefixPool((0..<count).map { IPPrefix(masking: IPAddress(ipv4: 0xC000_0200 + UInt32($0)), length: 32) })
    }

    private func draws(
        _ prefixes: [String], _ family: IPFamily, count: Int, using generator: inout FastGenerator
    ) throws -> [Int] {
        let pool = PrefixPool(try prefixes.map { try IPPrefix($0) })
        let policies = AddressPolicies(
            policies: [AddressPolicy(name: "default", outcome: .pool("web", .random, ttl: 60))], pools: [("web", pool)],
            names: .empty, classes: NameClasses(), listNames: [], site: nil)
        var counts = [Int](repeating: 0, count: Int(pool.count))
        for _ in 0..<count {
            let address = policies.draw(
                family, from: 0, .random, name: { 0 }, client: IPAddress(ipv4: 0), using: &generator)
            counts[Int(pool.index(of: try #require(address))!)] += 1
        }
        return counts
    }

    @Test(
        "a million draws of a seeded generator are even",
        arguments: [
            ["192.0.2.0/24"], ["198.18.0.0/20"], ["2001:db8::/116"],
            ["192.0.2.0/24", "198.51.100.0/25", "203.0.113.1/32"],
        ])
    func seeded(prefixes: [String]) throws {
        var generator = FastGenerator(seed: 7)
        let family: IPFamily = prefixes[0].contains(":") ? .ipv6 : .ipv4
        #expect(isEven(try draws(prefixes, family, count: 1_000_000, using: &generator)))
    }

    @Test("of several distinct addresses each sequence is as likely as every other", arguments: [4, 5, 7, 256])
    func distinct(size: Int) throws {
        var generator = FastGenerator(seed: 11)
        let pool = hosts(size)
        // With few addresses each sequence of three is counted; with many each pair of the first and the third.
        var counts = [Int](repeating: 0, count: size <= 7 ? size * (size - 1) * (size - 2) : size * size)
        for _ in 0..<400_000 {
            var draws = DistinctDraws(3, of: pool, from: .generator(FastGenerator(seed: generator.next())))
            var drawn: [Int] = []
            while let address = draws.next() { drawn.append(Int(address.bits & 255)) }
            try #require(Set(drawn).count == 3)
            if size <= 7 {
                let second = drawn[1] - (drawn[1] > drawn[0] ? 1 : 0)
                let third = drawn[2] - (drawn[2] > drawn[0] ? 1 : 0) - (drawn[2] > drawn[1] ? 1 : 0)
                counts[(drawn[0] * (size - 1) + second) * (size - 2) + third] += 1
            } else {
                counts[drawn[0] * size + drawn[2]] += 1
            }
        }
        // An address is never drawn twice.
        if size > 7 { counts = counts.indices.filter { $0 / size != $0 % size }.map { counts[$0] } }
        #expect(isEven(counts))
    }

    @Test("all addresses of a small pool are drawn, and those of a great one are far apart")
    func distinctEnds() throws {
        for size in 1...20 {
            let pool = hosts(size)
            var draws = DistinctDraws(16, of: pool, from: .generator(FastGenerator(seed: 5)))
            var drawn: Set<IPAddress> = []
            var count = 0
            while let address = draws.next() {
                drawn.insert(address)
                count += 1
            }
            #expect(count == min(16, size) && drawn.count == count && drawn.allSatisfy(pool.contains))
        }
        var draws = DistinctDraws(16, of: try PrefixPool("::/0"), from: .generator(FastGenerator(seed: 5)))
        var high: Set<UInt128> = []
        while let address = draws.next() { high.insert(address.bits >> 120) }
        #expect(high.count > 12)
    }

    @Test("a million draws of the system's are even, over new seeds", arguments: ["192.0.2.0/24", "198.18.0.0/20"])
    func system(prefix: String) throws {
        var generator = FastGenerator()
        #expect(isEven(try draws([prefix], .ipv4, count: 1_000_000, using: &generator)))
        // Across the place where it takes a seed.
        #expect(isEven(try draws([prefix], .ipv4, count: 100_000, using: &generator)))
    }

    @Test("an uneven draw is seen")
    func uneven() {
        var counts = [Int](repeating: 4_000, count: 256)
        for index in counts.indices { counts[index] += index % 7 * 34 - 102 }
        #expect(isEven(counts))
        // As by a remainder of 2^16 by 255: one place twice as often.
        counts[0] *= 2
        #expect(!isEven(counts))
        // Too even to be chance.
        #expect(!isEven([Int](repeating: 4_000, count: 256)))
    }
}

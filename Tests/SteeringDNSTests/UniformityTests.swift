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

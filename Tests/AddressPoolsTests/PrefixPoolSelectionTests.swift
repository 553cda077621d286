import AddressPools
import Testing

/// Several prefixes of different sizes and both families, 256 addresses in all.
private func pool256() throws -> PrefixPool {
    let pool = try PrefixPool(
        "10.0.0.0/25", "10.0.1.0/26", "192.0.2.7/32", "192.0.2.9/32", "2001:db8::/123", "2001:db8:1::/124",
        "2001:db8:2::/125", "2001:db8:3::/126", "2001:db8:4::/127")
    try #require(pool.count == 256 && pool.prefixes.count == 9)
    return pool
}

/// 4,096 addresses in 4 prefixes.
private func pool4096() throws -> PrefixPool {
    let pool = try PrefixPool("10.0.0.0/21", "10.1.0.0/22", "192.0.2.0/23", "2001:db8::/119")
    try #require(pool.count == 4_096 && pool.prefixes.count == 4)
    return pool
}

/// 1,000 addresses: a size that is no power of two, so that some draws must be rejected.
private func pool1000() throws -> PrefixPool {
    let pool = try PrefixPool(
        "10.0.0.0/23", "10.0.2.0/24", "10.0.3.0/25", "2001:db8::/122", "2001:db8:1::/123", "2001:db8:2::/125")
    try #require(pool.count == 1_000)
    return pool
}

private func counts(of pool: PrefixPool, draws: Int, _ draw: () -> IPAddress?) throws -> [Int] {
    var counts = [Int](repeating: 0, count: Int(pool.count))
    for _ in 0..<draws {
        // Not `#require` on each: a million of them take longer than the draws.
        guard let address = draw(), let index = pool.index(of: address) else {
            Issue.record("a draw is not in the pool")
            break
        }
        counts[Int(index)] += 1
    }
    return counts
}

@Suite struct PrefixPoolSelectionTests {
    static let pools: [@Sendable () throws -> PrefixPool] = [pool256, pool1000, pool4096]

    @Test("seeded draws are uniform over addresses, not over prefixes", arguments: [0, 1, 2])
    func seeded(index: Int) throws {
        let pool = try Self.pools[index]()
        var generator = SplitMix64(seed: 11)
        let counts = try counts(of: pool, draws: 1_000_000) { pool.randomAddress(using: &generator) }
        let result = ChiSquare(counts: counts)
        #expect(result.isUniform, "\(result)")
    }

    @Test("draws from the system's randomness are uniform over addresses", arguments: [0, 1, 2])
    func system(index: Int) throws {
        let pool = try Self.pools[index]()
        let counts = try counts(of: pool, draws: 1_000_000) { pool.randomAddress() }
        let result = ChiSquare(counts: counts)
        #expect(result.isUniform, "\(result)")
    }

    @Test("hashes spread evenly give addresses spread evenly", arguments: [0, 1, 2]) func hashed(index: Int) throws {
        let pool = try Self.pools[index]()
        var generator = SplitMix64(seed: 12)
        let counts = try counts(of: pool, draws: 250_000) {
            pool.address(forHash: UInt128(generator.next()) << 64 | UInt128(generator.next()))
        }
        let result = ChiSquare(counts: counts)
        #expect(result.isUniform, "\(result)")
    }

    @Test("the uniformity test fails for a biased draw") func biased() throws {
        var generator = SplitMix64(seed: 13)
        // 4,096 is not a multiple of 1,000: the first 96 results are a quarter likelier than the rest.
        let pool = try pool1000()
        let modulo = try counts(of: pool, draws: 1_000_000) {
            try? pool.address(at: UInt128(generator.next() % 4_096 % 1_000))
        }
        #expect(!ChiSquare(counts: modulo).isUniform)

        // A milder bias: 65,536 = 65 * 1,000 + 536, so the first 536 results have 66 chances and the rest 65.
        let mild = try counts(of: pool, draws: 1_000_000) {
            try? pool.address(at: UInt128(generator.next() % 65_536 % 1_000))
        }
        let fair = try counts(of: pool, draws: 1_000_000) { pool.randomAddress(using: &generator) }
        #expect(ChiSquare(counts: mild).statistic > ChiSquare(counts: fair).statistic)

        // Drawing a prefix first and an address in it second favors the addresses of small prefixes.
        let uneven = try pool256()
        let byPrefix = try counts(of: uneven, draws: 100_000) {
            PrefixPool([uneven.prefixes.randomElement(using: &generator)!]).randomAddress(using: &generator)
        }
        #expect(!ChiSquare(counts: byPrefix).isUniform)
    }

    @Test("the critical value is the tabulated one") func criticalValue() {
        // Quantiles of chi-square at 1 - 10^-6.
        #expect(abs(ChiSquare(counts: [Int](repeating: 1, count: 256)).critical - 377.1) < 1)
        #expect(abs(ChiSquare(counts: [Int](repeating: 1, count: 101)).critical - 181.7) < 2)
    }

    @Test("a random number that would bias the draw is rejected") func rejection() throws {
        // 2^64 mod 3 is 1: of the numbers with a product low word below 1, only 0 itself must be drawn again.
        let pool = try PrefixPool("10.0.0.0/31", "10.0.0.2/32")
        var generator = ScriptedGenerator(0, 0, .max)
        #expect(try pool.randomAddress(using: &generator) == IPAddress("10.0.0.2"))
        #expect(generator.used == 3)
    }

    @Test(
        "every host bit of an IPv6 prefix is drawn as often set as not",
        arguments: ["2001:db8::/44", "2001:db8::/64", "::/0"])
    func bitBalance(text: String) throws {
        let prefix = try IPPrefix(text)
        let pool = PrefixPool([prefix])
        var generator = SplitMix64(seed: 14)
        let draws = 100_000
        var set = [Int](repeating: 0, count: 128 - prefix.length)
        for _ in 0..<draws {
            guard let address = pool.randomAddress(using: &generator), prefix.contains(address) else {
                Issue.record("a draw is not in the pool")
                break
            }
            for bit in set.indices where address.bits >> bit & 1 == 1 { set[bit] += 1 }
        }
        // Six standard deviations of a fair coin.
        let tolerance = Int(3 * Double(draws).squareRoot())
        #expect(set.allSatisfy { abs($0 - draws / 2) < tolerance }, "\(set)")
    }

    @Test("a large pool that is no power of two is drawn by size") func largeUneven() throws {
        // 3 parts of 2^68, of which the second prefix has one.
        let pool = try PrefixPool("2001:db8::/59", "2001:db8:1::/60")
        try #require(pool.count == UInt128(3) << 68)
        let second = pool.prefixes[1]
        var generator = SplitMix64(seed: 15)
        var inSecond = 0
        for _ in 0..<300_000 {
            guard let address = pool.randomAddress(using: &generator) else { break }
            if !pool.contains(address) { Issue.record("\(address) is not in the pool") }
            if second.contains(address) { inSecond += 1 }
        }
        #expect(abs(inSecond - 100_000) < 6 * 259)
    }

    @Test("a large pool is drawn to its last address and not beyond") func largeEnds() throws {
        let pool = try PrefixPool("2001:db8::/59", "2001:db8:1::/60")
        // The last index is 2^69 + 2^68 - 1: the low word, then the high one.
        var last = ScriptedGenerator(.max, 0x2F, 0, 0)
        #expect(pool.randomAddress(using: &last) == pool.prefixes[1].last)
        var beyond = ScriptedGenerator(0, 0x30, 5, 0)
        #expect(try pool.randomAddress(using: &beyond) == IPAddress("2001:db8::5"))
        #expect(beyond.used == 4)
    }

    @Test("a pool beyond 2^128 addresses is drawn to its last address") func everything() throws {
        let pool = try PrefixPool("0.0.0.0/0", "::/0")
        // Two words, then the 129th bit. Index 2^128 + 2^32 - 1 is the very last address.
        var last = ScriptedGenerator(0xFFFF_FFFF, 0, 1)
        #expect(pool.randomAddress(using: &last) == IPAddress(ipv6: .max))
        var first = ScriptedGenerator(0, 0, 0)
        #expect(pool.randomAddress(using: &first) == IPAddress(ipv4: 0))
        // One beyond the last is drawn again.
        var beyond = ScriptedGenerator(1 << 32, 0, 1, 5, 0, 0)
        #expect(pool.randomAddress(using: &beyond) == IPAddress(ipv4: 5))
        // More addresses than hashes: the largest hash falls just short of the last address.
        #expect(pool.address(forHash: .max) == IPAddress(ipv6: .max - 1))
        #expect(pool.address(forHash: 0) == IPAddress(ipv4: 0))
        #expect(try PrefixPool("::/0").address(forHash: 7) == IPAddress(ipv6: 7))
        var generator = SplitMix64(seed: 16)
        for _ in 0..<1_000 { #expect(pool.randomAddress(using: &generator)?.family == .ipv6) }
    }

    @Test("a hash always gives the same address, and the extremes give the ends") func hashes() throws {
        let pool = try pool256()
        #expect(pool.address(forHash: 0) == pool.prefixes[0].first)
        #expect(pool.address(forHash: .max) == pool.prefixes[8].last)
        #expect(pool.address(forHash: 1 << 127) == (try pool.address(at: 128)))
        #expect(pool.address(forHash: UInt128(UInt64.max)) == pool.prefixes[0].first)
        #expect(pool.address(forHash: 0x1234_5678 << 96) == (try pool256().address(forHash: 0x1234_5678 << 96)))
    }

    @Test("a seeded draw is the same on every run and platform") func reproducible() throws {
        var generator = SplitMix64(seed: 0)
        let pool = try PrefixPool("192.0.2.0/24", "2001:db8::/120")
        let drawn = (0..<4).map { _ in pool.randomAddress(using: &generator)!.description }
        #expect(drawn == ["2001:db8::c4", "192.0.2.220", "192.0.2.13", "2001:db8::f1"])
    }

    @Test("a pool of one address gives it, an empty pool gives none") func smallest() throws {
        let one = try PrefixPool("192.0.2.1/32")
        var generator = SplitMix64(seed: 17)
        for _ in 0..<100 { #expect(one.randomAddress(using: &generator) == one.prefixes[0].first) }
        #expect(PrefixPool().randomAddress() == nil && PrefixPool().randomAddress(using: &generator) == nil)
        #expect(PrefixPool().address(forHash: 1) == nil)
    }
}

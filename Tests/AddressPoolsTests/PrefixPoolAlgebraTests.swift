import AddressPools
import Testing

/// The addresses that the model tests use: small stretches at both ends of each family, where arithmetic overflows.
private let universe: [IPPrefix] = [
    IPPrefix(masking: IPAddress(ipv4: 0), length: 27),
    IPPrefix(masking: IPAddress(ipv4: .max), length: 27),
    IPPrefix(masking: IPAddress(ipv6: 0), length: 123),
    IPPrefix(masking: IPAddress(ipv6: .max), length: 123),
]
private let universeAddresses = universe.flatMap { prefix in PrefixPool([prefix]).addresses }

private func randomPool(using generator: inout SplitMix64) -> (PrefixPool, Set<IPAddress>) {
    var prefixes: [IPPrefix] = []
    for _ in 0..<Int.random(in: 0...8, using: &generator) {
        let address = universeAddresses.randomElement(using: &generator)!
        let width = address.family.bitWidth
        prefixes.append(IPPrefix(masking: address, length: Int.random(in: (width - 5)...width, using: &generator)))
    }
    return (
        PrefixPool(prefixes), Set(universeAddresses.filter { address in prefixes.contains { $0.contains(address) } })
    )
}

/// Whether no prefix touches or contains the next and no two halves are left apart.
private func isCanonical(_ pool: PrefixPool) -> Bool {
    zip(pool.prefixes, pool.prefixes.dropFirst()).allSatisfy { left, right in
        left < right && !left.overlaps(right) && (left.parent != right.parent || left.length != right.length)
    }
}

@Suite struct PrefixPoolAlgebraTests {
    @Test("set operations agree with sets of addresses") func model() throws {
        var generator = SplitMix64(seed: 9)
        for _ in 0..<1_500 {
            let (a, modelA) = randomPool(using: &generator)
            let (b, modelB) = randomPool(using: &generator)
            #expect(Array(a.addresses) == modelA.sorted())
            #expect(a.count == UInt128(modelA.count))
            #expect(universeAddresses.allSatisfy { a.contains($0) == modelA.contains($0) })

            #expect(Set(a.union(b).addresses) == modelA.union(modelB))
            #expect(Set(a.intersection(b).addresses) == modelA.intersection(modelB))
            #expect(Set(a.subtracting(b).addresses) == modelA.subtracting(modelB))
            #expect(a.overlaps(b) == !modelA.isDisjoint(with: modelB))
            #expect((a == b) == (modelA == modelB))
            for prefix in b.prefixes {
                #expect(a.contains(prefix) == PrefixPool([prefix]).addresses.allSatisfy { modelA.contains($0) })
            }
            for family in IPFamily.allCases {
                #expect(Set(a.restricted(to: family).addresses) == modelA.filter { $0.family == family })
            }
            let results = [a, a.union(b), a.intersection(b), a.subtracting(b), a.restricted(to: .ipv6)]
            #expect(results.allSatisfy(isCanonical))
            // Rebuilding from single addresses must give the very same value.
            for pool in results {
                #expect(PrefixPool(pool.addresses.map { IPPrefix(masking: $0, length: $0.family.bitWidth) }) == pool)
            }
        }
    }

    @Test("set operations hold for everything there is") func everything() throws {
        let all = try PrefixPool("0.0.0.0/0", "::/0")
        let some = try PrefixPool("10.0.0.0/8", "2001:db8::/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
        let rest = all.subtracting(some)
        #expect(all.union(some) == all && all.intersection(some) == some && all.overlaps(some))
        #expect(!rest.overlaps(some) && rest.union(some) == all && rest.intersection(some).isEmpty)
        #expect(all.subtracting(all).isEmpty && some.subtracting(all).isEmpty)
        #expect(rest.prefixes.count == 8 + 32 + 127 - 1)
        // 2^128 + 2^32 less the three, written so that no step exceeds the type.
        let expected: UInt128 = .max - (1 << 96) + (1 << 32) - (1 << 24)
        #expect(rest.count == expected)
        #expect(try all.subtracting(PrefixPool("0.0.0.0/0")) == PrefixPool("::/0"))
    }

    @Test("narrowing keeps the start of each prefix") func narrowing() throws {
        #expect(try PrefixPool("192.0.0.0/20").narrowed(by: 4) == PrefixPool("192.0.0.0/24"))
        #expect(
            try PrefixPool("10.0.0.0/8", "2001:db8::/44").narrowed(by: 1) == PrefixPool("10.0.0.0/9", "2001:db8::/45"))
        #expect(try PrefixPool("10.0.0.0/8", "::/0").narrowed(by: 0) == PrefixPool("10.0.0.0/8", "::/0"))
        #expect(try PrefixPool("::/0").narrowed(by: 128) == PrefixPool("::/128"))
        #expect(try PrefixPool().narrowed(by: 1_000).isEmpty)
        for bits in [9, 129, Int.max, -1, Int.min] {
            #expect(code { try PrefixPool("10.0.0.0/24", "::/0").narrowed(by: bits) } == .invalidPrefixLength)
        }
    }

    @Test("parts cover a pool exactly, in order, in equal sizes") func splitting() throws {
        var generator = SplitMix64(seed: 10)
        for _ in 0..<400 {
            let (pool, model) = randomPool(using: &generator)
            if pool.isEmpty { continue }
            let count = Int.random(in: 1...model.count, using: &generator)
            let parts = try pool.split(into: count)
            #expect(parts.count == count)
            #expect(parts.flatMap { Array($0.addresses) } == model.sorted())
            #expect(
                Set(parts.map(\.count)).isSubset(of: [pool.count / UInt128(count), pool.count / UInt128(count) + 1]))
            #expect(zip(parts, parts.dropFirst()).allSatisfy { $0.count >= $1.count })
            #expect(parts.allSatisfy(isCanonical))
        }
    }

    @Test("a power of two parts of a prefix are prefixes") func splittingEvenly() throws {
        let parts = try PrefixPool("192.0.0.0/20").split(into: 16)
        #expect(parts.map(\.description) == (0..<16).map { "192.0.\($0).0/24" })
        #expect(try PrefixPool("::/0").split(into: 2).map(\.description) == ["::/1", "8000::/1"])
    }

    @Test("pools of 2^128 addresses and more are split without overflow", arguments: [1, 2, 3, 7, 255, 1_000])
    func splittingEverything(count: Int) throws {
        for pool in try [PrefixPool("::/0"), PrefixPool("10.0.0.0/8", "::/0"), PrefixPool("0.0.0.0/0", "::/0")] {
            let parts = try pool.split(into: count)
            #expect(parts.count == count)
            #expect(parts.reduce(PrefixPool()) { $0.union($1) } == pool)
            #expect(zip(parts, parts.dropFirst()).allSatisfy { !$0.overlaps($1) })
            if count > 1 {
                #expect(parts[0].count - parts[count - 1].count <= 1)
                // What wraps around at 2^128 is exactly what the pool has beyond it.
                #expect(parts.reduce(0) { $0 &+ $1.count } == pool.restricted(to: .ipv4).count)
            }
        }
    }

    @Test("a number of parts that leaves some empty is refused") func splittingTooFar() throws {
        let pool = try PrefixPool("192.0.2.0/30")
        for count in [0, -1, 5, Int.max, Int.min] {
            #expect(code { try pool.split(into: count) } == .invalidPartCount)
        }
        #expect(code { try PrefixPool().split(into: 1) } == .emptyPool)
        #expect(
            try pool.split(into: 4).map(\.description) == [
                "192.0.2.0/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32",
            ])
    }
}

import AddressPools

/// Distinct addresses of one family of a pool, one after the other: each sequence of them is equally likely.
///
/// A Fisher-Yates shuffle of the pool's indices that keeps only the places that it has changed, so drawing neither
/// allocates nor depends on the size of the pool.
struct DistinctDraws {
    /// Where the indices come from.
    enum Source {
        case generator(FastGenerator)
        /// Ascending, from the first address.
        case first
    }

    private let pool: PrefixPool
    private let size: UInt128
    private let count: Int
    private var source: Source
    private var drawn = 0
    private var moved = InlineArray<16, Moved>(repeating: Moved(place: 0, index: 0))

    /// A place of the shuffled sequence that no longer holds its own index.
    private struct Moved {
        var place: UInt128
        var index: UInt128
    }

    /// - Parameter count: The number of addresses, at most ``AddressPolicy/maximumAnswers``. A smaller pool gives all.
    init(_ count: Int, of pool: PrefixPool, from source: Source) {
        self.pool = pool
        size = pool.count
        self.count = Int(min(UInt128(count), size))
        self.source = source
    }

    mutating func next() -> IPAddress? {
        guard drawn < count else { return nil }
        let place = UInt128(drawn) + offset(below: size - UInt128(drawn))
        let index = self.index(at: place)
        moved[drawn] = Moved(place: place, index: self.index(at: UInt128(drawn)))
        drawn += 1
        return try? pool.address(at: index)
    }

    /// Returns the index at a place: the latest that was moved there, otherwise the place's own.
    private func index(at place: UInt128) -> UInt128 {
        var number = drawn
        while number > 0 {
            number -= 1
            if moved[number].place == place { return moved[number].index }
        }
        return place
    }

    private mutating func offset(below bound: UInt128) -> UInt128 {
        guard case .generator(var generator) = source else { return 0 }
        defer { source = .generator(generator) }
        return generator.number(below: bound)
    }
}

extension FastGenerator {
    /// Returns a uniformly distributed number less than a bound, which must not be 0, by Lemire's method in 128 bits.
    fileprivate mutating func number(below bound: UInt128) -> UInt128 {
        var product = wide().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = wide().multipliedFullWidth(by: bound) }
        }
        return product.high
    }

    private mutating func wide() -> UInt128 { UInt128(next()) << 64 | UInt128(next()) }
}

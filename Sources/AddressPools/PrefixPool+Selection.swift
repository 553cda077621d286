extension PrefixPool {
    /// An address drawn at random, every address of the pool with the same probability.
    ///
    /// The draw is over addresses, not over prefixes: in a pool of a /24 and a /25 the /24 is drawn twice as often.
    /// It is exactly uniform if the generator is. With a generator that is a value of a known type it takes some
    /// nanoseconds besides the generator's own time, and for a given sequence of random numbers the addresses are
    /// always the same.
    ///
    /// - Parameter generator: the source of randomness.
    /// - Returns: an address, or nil if the pool is empty.
    @inlinable
    public func randomAddress(using generator: inout some RandomNumberGenerator) -> IPAddress? {
        if isEmpty { return nil }
        return address(at: size.randomIndex(using: &generator))
    }

    /// An address drawn from the system's randomness, every address of the pool with the same probability.
    ///
    /// Asking the system takes much longer than the draw itself; where that matters, use ``randomAddress(using:)``.
    ///
    /// - Returns: an address, or nil if the pool is empty.
    public func randomAddress() -> IPAddress? {
        var generator = SystemRandomNumberGenerator()
        return randomAddress(using: &generator)
    }

    /// The address that belongs to a hash: the same hash and the same pool always give the same address.
    ///
    /// The hash is taken as a fraction of 2^128 and the address is the one at that fraction of the pool, so hashes
    /// spread evenly over 128 bits give addresses spread evenly over the pool. The high bits decide: put a hash of 64
    /// bits into the high half, since numbers below 2^64 all give the first address of an ordinary pool. A pool with
    /// other addresses gives other addresses for most hashes.
    ///
    /// - Parameter hash: any number, spread over all 128 bits.
    /// - Returns: an address, or nil if the pool is empty.
    public func address(forHash hash: UInt128) -> IPAddress? {
        if isEmpty { return nil }
        let product = hash.multipliedFullWidth(by: size.low).high
        guard size.carry else { return address(at: Size(low: product)) }
        // The carry stands for 2^128, and 2^128 times the fraction is the hash itself.
        let (low, carry) = hash.addingReportingOverflow(product)
        return address(at: Size(carry: carry, low: low))
    }
}

extension PrefixPool.Size {
    /// An index below the size, all with the same probability. The size must not be 0.
    @inlinable
    func randomIndex(using generator: inout some RandomNumberGenerator) -> PrefixPool.Size {
        if !carry, let small = UInt64(exactly: low) {
            return PrefixPool.Size(low: UInt128(small.randomBelow(using: &generator)))
        }
        // Sizes above 2^64 - 1. Nearly all are powers of two (one IPv6 prefix), where the first try is always taken.
        // Any other takes fewer than two tries on average, each of which covers the size's own bits and no more.
        let topIndex = low &- 1
        let reachesCarry = carry && low != 0
        let mask = carry ? UInt128.max : UInt128.lowBits(128 - topIndex.leadingZeroBitCount)
        while true {
            let lowHalf = UInt128(generator.next())
            let highHalf = mask >> 64 == 0 ? 0 : UInt128(generator.next()) << 64
            let candidate = (highHalf | lowHalf) & mask
            if !reachesCarry {
                if candidate <= topIndex { return PrefixPool.Size(low: candidate) }
            } else if generator.next() & 1 == 0 {
                // The 129th bit is 0: every value of the others is below 2^128, hence below the size.
                return PrefixPool.Size(low: candidate)
            } else if candidate <= topIndex {
                return PrefixPool.Size(carry: true, low: candidate)
            }
        }
    }
}

extension UInt64 {
    /// A number below this one, all with the same probability. This one must not be 0.
    ///
    /// Algorithm 5 of Daniel Lemire, "Fast Random Integer Generation in an Interval", ACM Transactions on Modeling and
    /// Computer Simulation 29 (1), 2019, https://doi.org/10.1145/3230636: one multiplication, and a division only with
    /// probability (this number) / 2^64. The standard library's `next(upperBound:)` may be the same today, but does not
    /// promise that the same random numbers will give the same draw tomorrow.
    @inlinable
    func randomBelow(using generator: inout some RandomNumberGenerator) -> UInt64 {
        var product = generator.next().multipliedFullWidth(by: self)
        if product.low < self {
            // 2^64 mod self: this many of the low words would make some results likelier than others.
            let threshold = (0 &- self) % self
            while product.low < threshold {
                product = generator.next().multipliedFullWidth(by: self)
            }
        }
        return product.high
    }
}

extension PrefixPool {
    /// Returns a random address of the pool, uniformly distributed.
    ///
    /// The draw is over addresses, not prefixes: in a pool of a /24 and a /25, the /24 is drawn from twice as often.
    /// It is exactly uniform if the generator is. The same random numbers always give the same addresses. Specialized
    /// for a concrete generator type, a draw takes a few nanoseconds plus the time of the generator.
    ///
    /// - Parameter generator: The random number generator to use.
    /// - Returns: An address, or `nil` if the pool is empty.
    @inlinable
    public func randomAddress(using generator: inout some RandomNumberGenerator) -> IPAddress? {
        if isEmpty { return nil }
        return address(at: size.randomIndex(using: &generator))
    }

    /// Returns a random address of the pool, uniformly distributed, using the system's generator.
    ///
    /// The system's generator takes much longer than the draw itself; where that matters, use
    /// ``randomAddress(using:)``.
    ///
    /// - Returns: An address, or `nil` if the pool is empty.
    public func randomAddress() -> IPAddress? {
        var generator = SystemRandomNumberGenerator()
        return randomAddress(using: &generator)
    }

    /// Returns the address for a hash; the same hash and pool always give the same address.
    ///
    /// The address is at index `hash` / 2^128 × size, so uniformly distributed hashes give uniformly distributed
    /// addresses. The high bits decide: put a 64-bit hash into the high half, since all numbers below 2^64 give the
    /// first address of an ordinary pool. Changing the pool changes the addresses of most hashes.
    ///
    /// - Parameter hash: A hash that uses all 128 bits.
    /// - Returns: An address, or `nil` if the pool is empty.
    public func address(forHash hash: UInt128) -> IPAddress? {
        if isEmpty { return nil }
        let product = hash.multipliedFullWidth(by: size.low).high
        guard size.carry else { return address(at: Size(low: product)) }
        // The carry is worth 2^128, and 2^128 × hash / 2^128 is the hash itself.
        let (low, carry) = hash.addingReportingOverflow(product)
        return address(at: Size(carry: carry, low: low))
    }
}

extension PrefixPool.Size {
    /// Returns a uniformly distributed index less than the size, which must not be 0.
    @inlinable
    func randomIndex(using generator: inout some RandomNumberGenerator) -> PrefixPool.Size {
        if !carry, let small = UInt64(exactly: low) {
            return PrefixPool.Size(low: UInt128(small.randomBelow(using: &generator)))
        }
        // Rejection sampling for sizes above 2^64 - 1. Nearly all of them are powers of two (one IPv6 prefix), where
        // the first candidate is always accepted. Others take fewer than two on average, each with only as many bits as
        // the size has.
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
                // The 129th bit is 0, so the candidate is less than 2^128 and thus less than the size.
                return PrefixPool.Size(low: candidate)
            } else if candidate <= topIndex {
                return PrefixPool.Size(carry: true, low: candidate)
            }
        }
    }
}

extension UInt64 {
    /// Returns a uniformly distributed number less than this one, which must not be 0.
    ///
    /// Algorithm 5 of Daniel Lemire, "Fast Random Integer Generation in an Interval", ACM Transactions on Modeling and
    /// Computer Simulation 29 (1), 2019, https://doi.org/10.1145/3230636: one multiplication, and a division only with
    /// probability (this number) / 2^64. The standard library's `next(upperBound:)` does not guarantee that future
    /// versions draw the same result from the same random numbers.
    @inlinable
    func randomBelow(using generator: inout some RandomNumberGenerator) -> UInt64 {
        var product = generator.next().multipliedFullWidth(by: self)
        if product.low < self {
            // 2^64 mod self: accepting low words below this would bias the result.
            let threshold = (0 &- self) % self
            while product.low < threshold {
                product = generator.next().multipliedFullWidth(by: self)
            }
        }
        return product.high
    }
}

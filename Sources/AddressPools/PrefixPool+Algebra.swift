extension PrefixPool {
    /// Whether the two pools share an address.
    public func overlaps(_ other: PrefixPool) -> Bool {
        var (left, right) = (prefixes[...], other.prefixes[...])
        while let a = left.first, let b = right.first {
            if a.overlaps(b) { return true }
            if a < b { left.removeFirst() } else { right.removeFirst() }
        }
        return false
    }

    /// The addresses that are in either pool.
    public func union(_ other: PrefixPool) -> PrefixPool {
        PrefixPool(prefixes + other.prefixes)
    }

    /// The addresses that are in both pools.
    public func intersection(_ other: PrefixPool) -> PrefixPool {
        var common: [IPPrefix] = []
        var (left, right) = (prefixes[...], other.prefixes[...])
        while let a = left.first, let b = right.first {
            if a.contains(b) {
                common.append(b)
                right.removeFirst()
            } else if b.contains(a) {
                common.append(a)
                left.removeFirst()
            } else if a < b {
                left.removeFirst()
            } else {
                right.removeFirst()
            }
        }
        return PrefixPool(sorted: common)
    }

    /// The addresses of this pool that are not in the other.
    public func subtracting(_ other: PrefixPool) -> PrefixPool {
        var kept: [IPPrefix] = []
        var holes = other.prefixes[...]
        for prefix in prefixes {
            while let hole = holes.first, hole < prefix, !hole.contains(prefix) { holes.removeFirst() }
            if let hole = holes.first, hole.contains(prefix) { continue }

            // From here on every hole that overlaps lies inside the prefix, and they come in ascending order.
            var next: UInt128? = prefix.first.bits
            while let hole = holes.first, prefix.contains(hole), let start = next {
                if hole.first.bits > start {
                    PrefixPool.append(prefix.family, from: start, through: hole.first.bits - 1, to: &kept)
                }
                next = hole.last == prefix.last ? nil : hole.last.bits + 1
                holes.removeFirst()
            }
            if let start = next {
                PrefixPool.append(prefix.family, from: start, through: prefix.last.bits, to: &kept)
            }
        }
        return PrefixPool(sorted: kept)
    }

    /// The addresses of this pool that belong to one family.
    public func restricted(to family: IPFamily) -> PrefixPool {
        PrefixPool(sorted: prefixes.filter { $0.family == family })
    }

    /// A smaller pool: the first 1/2^`bits` of each prefix, so that by 4 a /20 becomes the /24 at its start.
    ///
    /// This acts on ``prefixes``, the canonical ones: two neighboring /24 given by hand are one /23, narrowed as such.
    ///
    /// - Parameter bits: how many bits longer every prefix becomes, 0 or more.
    /// - Throws: ``AddressError/Code/invalidPrefixLength`` when `bits` is negative, or when a prefix has fewer than
    ///   2^`bits` addresses. An empty pool stays empty and is not an error.
    public func narrowed(by bits: Int) throws(AddressError) -> PrefixPool {
        guard bits >= 0 else {
            throw AddressError(
                .invalidPrefixLength, "a pool cannot be narrowed by \(bits) bits: use 0 or a positive number")
        }
        var narrowed: [IPPrefix] = []
        for prefix in prefixes {
            let room = prefix.family.bitWidth - prefix.length
            guard bits <= room else {
                throw AddressError(
                    .invalidPrefixLength,
                    "\(prefix) cannot be narrowed by \(bits) bits, since \(prefix.family) prefixes end at "
                        + "/\(prefix.family.bitWidth): use at most \(room)")
            }
            narrowed.append(IPPrefix(canonical: prefix.address, length: prefix.length + bits))
        }
        return PrefixPool(sorted: narrowed)
    }

    /// Cuts the pool into parts that hold each of its addresses exactly once, in ascending order.
    ///
    /// The parts are equal; when the number of addresses is not a multiple of `parts`, the first ones have one more.
    ///
    /// - Parameter parts: how many parts, from 1 to the number of addresses.
    /// - Throws: ``AddressError/Code/emptyPool`` for a pool without addresses, ``AddressError/Code/invalidPartCount``
    ///   when `parts` is below 1 or above the number of addresses. A number that is not a power of two is not an
    ///   error.
    public func split(into parts: Int) throws(AddressError) -> [PrefixPool] {
        guard let last = prefixes.last else {
            throw AddressError(.emptyPool, "an empty pool cannot be split: add a prefix to it")
        }
        guard parts >= 1, UInt128(parts) <= count else {
            throw AddressError(
                .invalidPartCount,
                "a pool of \(count) addresses cannot be split into \(parts) parts: use 1 to \(count)")
        }
        // Alone because it is the one part that may have 2^128 addresses or more; every other fits its count.
        if parts == 1 { return [self] }

        let (quotient, remainder) = size.divided(by: UInt128(parts))
        var result: [PrefixPool] = []
        var position = 0
        var next = prefixes[0].first.bits
        for part in 0..<parts {
            var wanted = UInt128(part) < remainder ? quotient + 1 : quotient
            var slices: [IPPrefix] = []
            while wanted > 0 {
                let prefix = prefixes[position]
                // Less one on both sides: what remains of ::/0 may be 2^128 addresses, which is not a number here.
                let end = wanted - 1 < prefix.last.bits - next ? next + (wanted - 1) : prefix.last.bits
                PrefixPool.append(prefix.family, from: next, through: end, to: &slices)
                wanted -= end - next + 1
                if end < prefix.last.bits {
                    next = end + 1
                } else if prefix != last {
                    position += 1
                    next = prefixes[position].first.bits
                }
            }
            result.append(PrefixPool(sorted: slices))
        }
        return result
    }

    /// Appends the fewest prefixes that hold exactly the addresses from `first` through `last`.
    private static func append(
        _ family: IPFamily, from first: UInt128, through last: UInt128, to prefixes: inout [IPPrefix]
    ) {
        var start = first
        while true {
            // The largest block that begins at the start is as long as the start has zeros at its end...
            let aligned = start.trailingZeroBitCount
            // ...and must not pass the last address.
            let remaining = last - start
            let fitting = remaining == .max ? 128 : 127 - (remaining + 1).leadingZeroBitCount
            let bits = min(aligned, fitting)
            let address = IPAddress(family: family, bits: start)
            prefixes.append(IPPrefix(canonical: address, length: family.bitWidth - bits))
            let end = start | .lowBits(bits)
            if end == last { return }
            start = end + 1
        }
    }
}

extension PrefixPool.Size {
    /// The quotient, which must be below 2^128, and the remainder.
    fileprivate func divided(by divisor: UInt128) -> (quotient: UInt128, remainder: UInt128) {
        let (quotient, remainder) = low.quotientAndRemainder(dividingBy: divisor)
        guard carry else { return (quotient, remainder) }
        // 2^128 is one more than UInt128.max. The remainders are below a number of parts, an Int, so their sum fits.
        let top = UInt128.max.quotientAndRemainder(dividingBy: divisor)
        let rest = (top.remainder + 1 + remainder).quotientAndRemainder(dividingBy: divisor)
        return (top.quotient + quotient + rest.quotient, rest.remainder)
    }
}

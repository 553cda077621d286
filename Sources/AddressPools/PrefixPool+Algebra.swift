extension PrefixPool {
    /// Returns whether the two pools share an address.
    public func overlaps(_ other: PrefixPool) -> Bool {
        var (left, right) = (prefixes[...], other.prefixes[...])
        while let a = left.first, let b = right.first {
            if a.overlaps(b) { return true }
            if a < b { left.removeFirst() } else { right.removeFirst() }
        }
        return false
    }

    /// Returns the addresses that at least one of the pools contains.
    public func union(_ other: PrefixPool) -> PrefixPool {
        PrefixPool(prefixes + other.prefixes)
    }

    /// Returns the addresses that both pools contain.
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

    /// Returns the addresses of this pool that `other` does not contain.
    public func subtracting(_ other: PrefixPool) -> PrefixPool {
        var kept: [IPPrefix] = []
        var holes = other.prefixes[...]
        for prefix in prefixes {
            while let hole = holes.first, hole < prefix, !hole.contains(prefix) { holes.removeFirst() }
            if let hole = holes.first, hole.contains(prefix) { continue }

            // The remaining holes that overlap the prefix lie inside it, in ascending order.
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

    /// Returns the addresses of one family.
    public func restricted(to family: IPFamily) -> PrefixPool {
        PrefixPool(sorted: prefixes.filter { $0.family == family })
    }

    /// Returns a smaller pool: the first 1/2^`bits` of each prefix.
    ///
    /// Narrowing by 4 turns a /20 into the /24 at its start.
    ///
    /// Operates on the canonical ``prefixes``: two /24 given separately that form a /23 are narrowed as that /23.
    ///
    /// - Parameter bits: The number of bits to add to the length of each prefix, 0 or more.
    /// - Returns: The narrowed pool; empty for an empty pool.
    /// - Throws: ``AddressError/Code/invalidPrefixLength`` if `bits` is negative, or if a prefix has fewer than
    ///   2^`bits` addresses.
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

    /// Splits the pool into disjoint parts that together have all of its addresses, in ascending order.
    ///
    /// The parts are of equal size; if the number of addresses is not a multiple of `parts`, the first ones have one
    /// address more.
    ///
    /// - Parameter parts: The number of parts, from 1 to the number of addresses; not necessarily a power of two.
    /// - Returns: The parts, in ascending order.
    /// - Throws: ``AddressError/Code/emptyPool`` for a pool without addresses, ``AddressError/Code/invalidPartCount``
    ///   if `parts` is less than 1 or greater than the number of addresses.
    public func split(into parts: Int) throws(AddressError) -> [PrefixPool] {
        guard let last = prefixes.last else {
            throw AddressError(.emptyPool, "an empty pool cannot be split: add a prefix to it")
        }
        guard parts >= 1, UInt128(parts) <= count else {
            throw AddressError(
                .invalidPartCount,
                "a pool of \(count) addresses cannot be split into \(parts) parts: use 1 to \(count)")
        }
        // Only a single part can have 2^128 addresses or more; the size of any other fits in UInt128.
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
                // Both sides are reduced by 1, since the rest of ::/0 can be 2^128 addresses, which UInt128 cannot
                // hold.
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

    /// Appends the fewest prefixes that cover exactly the addresses from `first` through `last`.
    private static func append(
        _ family: IPFamily, from first: UInt128, through last: UInt128, to prefixes: inout [IPPrefix]
    ) {
        var start = first
        while true {
            // The alignment of the start limits the size of the block...
            let aligned = start.trailingZeroBitCount
            // ...and so does the last address.
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
    /// Returns the quotient, which must be less than 2^128, and the remainder.
    fileprivate func divided(by divisor: UInt128) -> (quotient: UInt128, remainder: UInt128) {
        let (quotient, remainder) = low.quotientAndRemainder(dividingBy: divisor)
        guard carry else { return (quotient, remainder) }
        // 2^128 is UInt128.max + 1. The divisor is a number of parts, an Int, so the sum of remainders cannot overflow.
        let top = UInt128.max.quotientAndRemainder(dividingBy: divisor)
        let rest = (top.remainder + 1 + remainder).quotientAndRemainder(dividingBy: divisor)
        return (top.quotient + quotient + rest.quotient, rest.remainder)
    }
}

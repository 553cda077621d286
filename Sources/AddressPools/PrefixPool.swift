/// A set of addresses of one or both families, given as prefixes.
///
/// The set is stored in one canonical form: prefixes in ascending order, none inside another, and the two halves of a
/// prefix always merged. So equal sets compare equal and print the same.
///
/// Addresses are ordered, IPv4 first, and each has an index. Selection by index, by hash or at random therefore treats
/// all addresses alike, regardless of the sizes of the prefixes.
///
/// A pool with all of IPv6 has 2^128 addresses or more, which `UInt128` cannot count. Such a pool works like any other,
/// except that ``count`` saturates at `UInt128.max`, and addresses beyond the first 2^128 have no index (there are some
/// only if IPv4 addresses precede `::/0`).
public struct PrefixPool: Sendable {
    /// The prefixes in canonical form: ascending, disjoint, and as few as possible.
    public let prefixes: [IPPrefix]
    /// The index of each prefix's first address, padded with `UInt128.max` to 2^`searchDepth` elements.
    ///
    /// An index fits: `::/0` sorts last, so it starts at 2^32 at most.
    @usableFromInline
    let starts: [UInt128]
    /// The number of bits of a position in ``prefixes``.
    @usableFromInline
    let searchDepth: Int
    /// The number of addresses.
    @usableFromInline
    let size: Size

    /// A number from 0 to 2^128 + 2^32, the number of all IPv6 and IPv4 addresses.
    @usableFromInline
    struct Size: Sendable {
        /// Whether 2^128 must be added to `low`.
        @usableFromInline
        let carry: Bool
        @usableFromInline
        let low: UInt128

        @inlinable
        init(carry: Bool = false, low: UInt128) {
            self.carry = carry
            self.low = low
        }
    }

    /// Creates the union of `prefixes`, which may overlap, repeat and come in any order.
    public init(_ prefixes: some Sequence<IPPrefix>) {
        self.init(sorted: prefixes.sorted())
    }

    /// Creates a pool without addresses.
    public init() {
        self.init(sorted: [])
    }

    /// Creates the union of the given prefixes, as in `try PrefixPool("192.0.2.0/24", "2001:db8::/44")`.
    ///
    /// - Parameter texts: Prefixes as ``IPPrefix/init(_:)`` parses them, in any order; they may overlap and repeat.
    /// - Throws: The error of ``IPPrefix/init(_:)`` for the first text that is not a prefix.
    public init(_ texts: String...) throws(AddressError) {
        try self.init(parsing: texts)
    }

    /// Creates the union of a list of prefixes, such as one from a file.
    ///
    /// - Parameter texts: Prefixes as ``IPPrefix/init(_:)`` parses them, in any order; they may overlap and repeat. An
    ///   empty list makes an empty pool.
    /// - Throws: The error of ``IPPrefix/init(_:)`` for the first text that is not a prefix.
    public init(parsing texts: some Sequence<String>) throws(AddressError) {
        var prefixes: [IPPrefix] = []
        for text in texts { prefixes.append(try IPPrefix(text)) }
        self.init(prefixes)
    }

    /// Creates a pool from prefixes in ascending order, which may overlap.
    init(sorted: [IPPrefix]) {
        prefixes = PrefixPool.aggregated(sorted)
        var starts: [UInt128] = []
        starts.reserveCapacity(prefixes.count)
        var size = Size(low: 0)
        for prefix in prefixes {
            starts.append(size.low)
            let (sum, carry) = size.low.addingReportingOverflow(prefix.hostMask)
            // The host mask is the count minus 1, so adding the 1 may carry instead; both additions cannot.
            let (low, secondCarry) = sum.addingReportingOverflow(1)
            size = Size(carry: carry || secondCarry, low: low)
        }
        searchDepth = Int.bitWidth - max(prefixes.count - 1, 0).leadingZeroBitCount
        self.starts = starts + repeatElement(UInt128.max, count: (1 << searchDepth) - starts.count)
        self.size = size
    }

    /// Returns the fewest prefixes with the same addresses as `sorted`.
    private static func aggregated(_ sorted: [IPPrefix]) -> [IPPrefix] {
        var result: [IPPrefix] = []
        result.reserveCapacity(sorted.count)
        for prefix in sorted {
            if let last = result.last, last.contains(prefix) { continue }
            var joined = prefix
            // Two halves merge into their parent, which may be a half in turn.
            while let last = result.last, last.length == joined.length,
                let parent = last.parent, parent.contains(joined)
            {
                result.removeLast()
                joined = parent
            }
            result.append(joined)
        }
        return result
    }
}

// MARK: - Queries

extension PrefixPool {
    /// Whether the pool is empty.
    @inlinable
    public var isEmpty: Bool { prefixes.isEmpty }

    /// The number of addresses, saturating at `UInt128.max`, which only a pool with `::/0` exceeds.
    public var count: UInt128 {
        size.carry ? .max : size.low
    }

    /// Returns whether the pool contains `address`, in time logarithmic in the number of prefixes.
    public func contains(_ address: IPAddress) -> Bool {
        position(ofPrefixHolding: address) != nil
    }

    /// Returns whether the pool contains every address of `prefix`, in time logarithmic in the number of prefixes.
    public func contains(_ prefix: IPPrefix) -> Bool {
        // Halves are always merged, so a prefix that the pool contains lies within one of the pool's prefixes.
        guard let position = position(ofPrefixHolding: prefix.address) else { return false }
        return prefixes[position].contains(prefix)
    }

    /// Returns the address with the given index in ascending order, IPv4 first.
    ///
    /// - Parameter index: A number less than the number of addresses. If the pool contains all of IPv6, every index is
    ///   valid.
    /// - Returns: The address.
    /// - Throws: ``AddressError/Code/emptyPool`` for a pool without addresses, ``AddressError/Code/indexOutOfRange``
    ///   for an index that is too large.
    public func address(at index: UInt128) throws(AddressError) -> IPAddress {
        if isEmpty {
            throw AddressError(.emptyPool, "an empty pool has no address to give: add a prefix to it")
        }
        guard size.carry || index < size.low else {
            throw AddressError(
                .indexOutOfRange,
                "the pool has \(size.low) addresses and no address \(index): use an index from 0 to \(size.low - 1)")
        }
        return address(at: Size(low: index))
    }

    /// Returns the index of `address` in ascending order, IPv4 first, or `nil` if the pool does not contain it.
    ///
    /// Also `nil` where the index would be 2^128 or more: for the last addresses of a pool of `::/0` and IPv4.
    public func index(of address: IPAddress) -> UInt128? {
        guard let position = position(ofPrefixHolding: address) else { return nil }
        let (index, overflow) = starts[position].addingReportingOverflow(address.bits - prefixes[position].address.bits)
        return overflow ? nil : index
    }

    /// Returns the address at an index, which the caller guarantees to be less than `size`.
    @inlinable
    func address(at index: Size) -> IPAddress {
        let last = prefixes.count - 1
        var position = 0
        if index.carry {
            position = last
        } else {
            // Find the last prefix that starts at or below the index, one bit of its position at a time. Using the
            // result of the comparison as a number avoids branches, which random indices would mispredict half of the
            // time at a higher cost than all comparisons together.
            var bit = searchDepth
            while bit > 0 {
                bit &-= 1
                position |= (starts[position | (1 &<< bit)] <= index.low ? 1 : 0) &<< bit
            }
            // For an index of UInt128.max the search ends in the padding.
            position = min(position, last)
        }
        let first = prefixes[position].address
        // Wraps only if the index has a carry; the prefix is ::/0 then, and the result is correct.
        return IPAddress(family: first.family, bits: first.bits &+ (index.low &- starts[position]))
    }

    /// Returns the position in ``prefixes`` of the prefix that contains `address`.
    private func position(ofPrefixHolding address: IPAddress) -> Int? {
        var low = 0
        var high = prefixes.count
        while low < high {
            let middle = (low + high) / 2
            if prefixes[middle].address <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 && prefixes[low - 1].contains(address) ? low - 1 : nil
    }
}

extension PrefixPool: Hashable, CustomStringConvertible {
    /// Returns whether the two pools have the same addresses.
    public static func == (left: PrefixPool, right: PrefixPool) -> Bool {
        left.prefixes == right.prefixes
    }

    /// Hashes the set of addresses.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(prefixes)
    }

    /// The prefixes separated by `, `; empty for an empty pool.
    public var description: String {
        prefixes.map(\.description).joined(separator: ", ")
    }
}

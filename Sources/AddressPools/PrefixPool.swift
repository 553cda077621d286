/// A set of addresses, of either or both families, given as prefixes.
///
/// The set is kept in one canonical form: prefixes sorted, none inside another, and every two halves of a prefix joined
/// into it. So equal sets are equal values, and two pools printed alike are alike.
///
/// The addresses have an order, ascending with IPv4 first, and each has an index in it. A selection by index, by hash
/// or at random therefore treats all addresses alike, whatever the sizes of the prefixes they came in.
///
/// A pool that holds all of IPv6 has 2^128 addresses or more, which `UInt128` cannot count. Such a pool works like any
/// other; only ``count`` stops at `UInt128.max`, and the addresses from index 2^128 on (there are some only when IPv4
/// addresses come before `::/0`) have no index.
public struct PrefixPool: Sendable {
    /// The prefixes in canonical form: ascending, disjoint, and as few as possible.
    public let prefixes: [IPPrefix]
    /// For each prefix, the index of its first address: at most 2^32 whenever `::/0` is there, since it comes last.
    /// Padded with `UInt128.max` to 2^`searchDepth` elements.
    @usableFromInline
    let starts: [UInt128]
    /// The number of bits in the position of a prefix.
    @usableFromInline
    let searchDepth: Int
    /// The number of addresses.
    @usableFromInline
    let size: Size

    /// A number from 0 to 2^128 + 2^32, the size of everything.
    @usableFromInline
    struct Size: Sendable {
        /// Whether 2^128 is to be added to `low`.
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

    /// Makes the pool of all addresses in any of `prefixes`, in any order; they may overlap and repeat.
    public init(_ prefixes: some Sequence<IPPrefix>) {
        self.init(sorted: prefixes.sorted())
    }

    /// Makes a pool without addresses.
    public init() {
        self.init(sorted: [])
    }

    /// Makes the pool of all addresses in any of the prefixes, as in `try PrefixPool("192.0.2.0/24", "2001:db8::/44")`.
    ///
    /// - Parameter texts: prefixes as ``IPPrefix/init(_:)`` reads them, in any order; they may overlap and repeat.
    /// - Throws: what ``IPPrefix/init(_:)`` throws for the first text that is not a prefix.
    public init(_ texts: String...) throws(AddressError) {
        try self.init(parsing: texts)
    }

    /// Makes the pool of all addresses in any of the prefixes of a list, such as one from a file.
    ///
    /// - Parameter texts: prefixes as ``IPPrefix/init(_:)`` reads them, in any order; they may overlap and repeat.
    /// - Throws: what ``IPPrefix/init(_:)`` throws for the first text that is not a prefix. An empty list is not an
    ///   error.
    public init(parsing texts: some Sequence<String>) throws(AddressError) {
        var prefixes: [IPPrefix] = []
        for text in texts { prefixes.append(try IPPrefix(text)) }
        self.init(prefixes)
    }

    /// Makes a pool from prefixes in ascending order, which may still overlap.
    init(sorted: [IPPrefix]) {
        prefixes = PrefixPool.aggregated(sorted)
        var starts: [UInt128] = []
        starts.reserveCapacity(prefixes.count)
        var size = Size(low: 0)
        for prefix in prefixes {
            starts.append(size.low)
            let (sum, carry) = size.low.addingReportingOverflow(prefix.hostMask)
            // The host mask is one less than the count, so the one may carry as well; both cannot.
            let (low, secondCarry) = sum.addingReportingOverflow(1)
            size = Size(carry: carry || secondCarry, low: low)
        }
        searchDepth = Int.bitWidth - max(prefixes.count - 1, 0).leadingZeroBitCount
        self.starts = starts + repeatElement(UInt128.max, count: (1 << searchDepth) - starts.count)
        self.size = size
    }

    /// The fewest prefixes that hold the same addresses as `sorted`.
    private static func aggregated(_ sorted: [IPPrefix]) -> [IPPrefix] {
        var result: [IPPrefix] = []
        result.reserveCapacity(sorted.count)
        for prefix in sorted {
            if let last = result.last, last.contains(prefix) { continue }
            var joined = prefix
            // A prefix that completes a pair becomes the pair's parent, which may complete another pair.
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

// MARK: - Asking

extension PrefixPool {
    /// Whether the pool has no addresses.
    @inlinable
    public var isEmpty: Bool { prefixes.isEmpty }

    /// The number of addresses, or `UInt128.max` if that is less than the number, which only a pool with `::/0` has.
    public var count: UInt128 {
        size.carry ? .max : size.low
    }

    /// Whether the pool holds `address`. Takes time logarithmic in the number of prefixes.
    public func contains(_ address: IPAddress) -> Bool {
        position(ofPrefixHolding: address) != nil
    }

    /// Whether the pool holds every address of `prefix`. Takes time logarithmic in the number of prefixes.
    public func contains(_ prefix: IPPrefix) -> Bool {
        // Halves are always joined, so what the pool holds whole lies in one of its prefixes.
        guard let position = position(ofPrefixHolding: prefix.address) else { return false }
        return prefixes[position].contains(prefix)
    }

    /// The address with the given index in ascending order, IPv4 first.
    ///
    /// - Parameter index: 0 up to, not including, the number of addresses. With all of IPv6 in the pool every index
    ///   is valid.
    /// - Throws: ``AddressError/Code/emptyPool`` for a pool without addresses, ``AddressError/Code/indexOutOfRange``.
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

    /// The index of `address` in ascending order, IPv4 first, or nil when the pool does not hold it.
    ///
    /// Also nil for an index of 2^128 or more, which only the last addresses of a pool of `::/0` and IPv4 have.
    public func index(of address: IPAddress) -> UInt128? {
        guard let position = position(ofPrefixHolding: address) else { return nil }
        let (index, overflow) = starts[position].addingReportingOverflow(address.bits - prefixes[position].address.bits)
        return overflow ? nil : index
    }

    /// The address with an index below `size`, which the caller guarantees.
    @inlinable
    func address(at index: Size) -> IPAddress {
        let last = prefixes.count - 1
        var position = 0
        if index.carry {
            position = last
        } else {
            // Finds the last prefix that starts at or below the index, one bit of its position after the other. Adding
            // the comparison as a number keeps branches out of the loop: for random indices they would be mispredicted
            // half of the time, and that costs more than all the comparisons.
            var bit = searchDepth
            while bit > 0 {
                bit &-= 1
                position |= (starts[position | (1 &<< bit)] <= index.low ? 1 : 0) &<< bit
            }
            // An index of UInt128.max is not below the padding either.
            position = min(position, last)
        }
        let first = prefixes[position].address
        // Wraps only for an index with a carry, and then to the right number: the prefix is ::/0.
        return IPAddress(family: first.family, bits: first.bits &+ (index.low &- starts[position]))
    }

    /// The position in ``prefixes`` of the one that holds `address`.
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
    /// Whether the two pools hold the same addresses.
    public static func == (left: PrefixPool, right: PrefixPool) -> Bool {
        left.prefixes == right.prefixes
    }

    /// Hashes the set of addresses.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(prefixes)
    }

    /// The prefixes joined by a comma and a space; empty for an empty pool.
    public var description: String {
        prefixes.map(\.description).joined(separator: ", ")
    }
}

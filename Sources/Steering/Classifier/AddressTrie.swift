import CSteering

/// A trie over the address whose nodes take as many bits as pays: a skip where all prefixes agree, a
/// branch sized by their number elsewhere (level and path compression, Nilsson and Karlsson, "IP-Address
/// Lookup Using LC-Tries", 1999).
///
/// The lower half of an IPv6 address has tries of its own: the program reads it only where one is.
struct AddressTrie {
    /// A prefix, its bits on top, and the leaf for its addresses.
    struct Item {
        var key: UInt128
        var length: Int
        var leaf: UInt32
    }

    /// In the prefixes' natural order.
    private let items: [Item]
    private let depth: Int

    init(_ family: IPFamily, _ prefixes: some Sequence<(prefix: IPPrefix, leaf: UInt32)>) {
        items = prefixes.filter { $0.prefix.family == family }.map {
            Item(key: $0.prefix.address.bits << UInt128(128 - family.bitWidth), length: $0.prefix.length, leaf: $0.leaf)
        }
        depth = Int(family == .ipv4 ? STEERING_IPV4_DEPTH : STEERING_IPV6_DEPTH)
    }

    /// Fills the root, an entry for each value of the first 16 bits, and writes the nodes below it.
    func write(root: inout ArraySlice<UInt32>, _ writer: inout TableWriter) {
        fill(&root, with: items[...], taken: 0, bits: Int(STEERING_ROOT_BITS), steps: depth, &writer)
    }

    /// Nodes do not take bits of both halves of an IPv6 address.
    private static let half = 64

    /// The entry for the addresses under `taken` bits, which `items` share and all exceed: a node, or the
    /// cell that leads to the lower half.
    private func entry(
        _ items: ArraySlice<Item>, taken: Int, steps: Int, inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32 {
        guard taken == Self.half else {
            return node(items, taken: taken, steps: steps, inherited: inherited, &writer)
        }
        let lower = node(items, taken: taken, steps: depth, inherited: inherited, &writer)
        return Self.isFinal(lower) ? lower : cell(kind: STEERING_LOWER, writer.row([lower]))
    }

    /// Whether no node follows.
    private static func isFinal(_ entry: UInt32) -> Bool { entry == 0 || entry & STEERING_LEAF != 0 }

    private func node(
        _ items: ArraySlice<Item>, taken: Int, steps: Int, inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32 {
        guard let first = items.first, let last = items.last, !writer.isFull else { return inherited }
        // The first item is the shortest of those whose further bits are all zero, so none ends earlier.
        let end = taken < Self.half ? Self.half : 2 * Self.half
        let common = min((first.key ^ last.key).leadingZeroBitCount, first.length, end) - taken
        let longest = min(items.reduce(0) { max($0, $1.length) }, end) - taken
        let needed = (longest + steps - 1) / steps

        if common >= max(3, needed) {
            let bits = min(common, Int(STEERING_MAX_SKIP))
            var inside = inherited
            var rest = items
            if first.length == taken + bits {
                inside = first.leaf
                rest = items.dropFirst()
            }
            let then = entry(rest, taken: taken + bits, steps: steps - 1, inherited: inside, &writer)
            if then == inherited { return inherited }
            return writer.skip(first.key.bits(bits, after: taken), bits: bits, then: then, otherwise: inherited)
        }

        // Some entries an item: the fewer items share an entry, the fewer nodes follow.
        let wanted = Int.bitWidth - (items.count - 1).leadingZeroBitCount + 2
        let bits = min(longest, max(needed, min(wanted, 12)))
        var entries = [UInt32](repeating: inherited, count: 1 << bits)[...]
        fill(&entries, with: items, taken: taken, bits: bits, steps: steps - 1, &writer)
        if entries.allSatisfy({ $0 == entries[0] && Self.isFinal($0) }) { return entries[0] }
        return writer.branch(Array(entries), bits: bits)
    }

    /// Fills the entries of a branch. A prefix comes before those it contains, so each entry holds what
    /// it inherits when the longer prefixes below it are reached.
    private func fill(
        _ entries: inout ArraySlice<UInt32>, with items: ArraySlice<Item>, taken: Int, bits: Int, steps: Int,
        _ writer: inout TableWriter
    ) {
        var at = items.startIndex
        while at < items.endIndex {
            let item = items[at]
            let slot = entries.startIndex + Int(item.key.bits(bits, after: taken))
            if item.length <= taken + bits {
                for covered in slot..<slot + 1 << (taken + bits - item.length) { entries[covered] = item.leaf }
                at += 1
            } else {
                var end = at + 1
                while end < items.endIndex, items[end].length > taken + bits,
                    (items[end].key ^ item.key).leadingZeroBitCount >= taken + bits
                { end += 1 }
                entries[slot] = entry(
                    items[at..<end], taken: taken + bits, steps: steps, inherited: entries[slot], &writer)
                at = end
            }
        }
    }
}

extension UInt128 {
    /// The `count` bits (at most 32) behind the first `taken`.
    fileprivate func bits(_ count: Int, after taken: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: (self << UInt128(taken)) >> UInt128(128 - count))
    }
}

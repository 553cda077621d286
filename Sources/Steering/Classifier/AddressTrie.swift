import CSteering

/// A trie over the address whose nodes take as many bits as pays: a skip where all prefixes agree, a
/// branch sized by their number elsewhere (level and path compression, Nilsson and Karlsson, "IP-Address
/// Lookup Using LC-Tries", 1999).
///
/// The lower half of an IPv6 address has tries of its own: the program reads it only where one is.
struct AddressTrie {
    /// In natural order, of both families.
    private let prefixes: [PortRows.NamedPrefix]
    /// For each row.
    private let leaves: [UInt32]
    /// Nodes on a path, at most.
    private let depth: Int
    private let family: Range<Int>

    init(_ family: IPFamily, _ prefixes: [PortRows.NamedPrefix], leaves: [UInt32]) {
        self.prefixes = prefixes
        self.leaves = leaves
        depth = Int(family == .ipv4 ? STEERING_IPV4_DEPTH : STEERING_IPV6_DEPTH)
        let firstIPv6 = prefixes.partitioningIndex { $0.family == .ipv6 }
        self.family = family == .ipv4 ? 0..<firstIPv6 : firstIPv6..<prefixes.count
    }

    /// Fills the root, an entry for each value of the first 16 bits, and writes the nodes below it.
    func write(root: Int, _ writer: inout TableWriter) {
        fill(from: root, with: family, taken: 0, bits: Int(STEERING_ROOT_BITS), steps: depth, &writer)
    }

    /// Nodes do not take bits of both halves of an IPv6 address.
    private static let half = 64

    /// The entry for the addresses under `taken` bits, which `items` share and all exceed: a node, or the
    /// cell that leads to the lower half.
    private func entry(
        _ items: Range<Int>, taken: Int, steps: Int, inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32 {
        guard taken == Self.half else {
            return node(items, taken: taken, steps: steps, inherited: inherited, &writer)
        }
        let lower = node(items, taken: taken, steps: depth, inherited: inherited, &writer)
        let isFinal = lower == 0 || lower & STEERING_LEAF != 0
        return isFinal ? lower : cell(kind: STEERING_LOWER, writer.row([lower][...]))
    }

    private func node(
        _ items: Range<Int>, taken: Int, steps: Int, inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32 {
        guard !items.isEmpty, !writer.isFull else { return inherited }
        if items.count == 1, let skip = skip(to: prefixes[items.lowerBound], taken, inherited, &writer) { return skip }
        // The first item is the shortest of those whose further bits are all zero, so none ends earlier.
        let first = prefixes[items.lowerBound], last = prefixes[items.upperBound - 1]
        let end = taken < Self.half ? Self.half : 2 * Self.half
        let common = min((first.key ^ last.key).leadingZeroBitCount, Int(first.length), end) - taken
        var longest = 0
        for item in items { longest = max(longest, Int(prefixes[item].length)) }
        longest = min(longest, end) - taken
        let needed = (longest + steps - 1) / steps

        if common >= max(3, needed) {
            let bits = min(common, Int(STEERING_MAX_SKIP))
            var inside = inherited
            var rest = items
            if Int(first.length) == taken + bits {
                inside = leaves[Int(first.row)]
                rest = rest.dropFirst()
            }
            let then = entry(rest, taken: taken + bits, steps: steps - 1, inherited: inside, &writer)
            if then == inherited { return inherited }
            return writer.skip(first.key.bits(bits, after: taken), bits: bits, then: then, otherwise: inherited)
        }

        // Some entries an item: the fewer items share an entry, the fewer nodes follow.
        let wanted = Int.bitWidth - (items.count - 1).leadingZeroBitCount + 2
        let bits = min(longest, max(needed, min(wanted, 12)))
        guard let branch = writer.branch(bits: bits, filledWith: inherited) else { return inherited }
        fill(from: branch.place, with: items, taken: taken, bits: bits, steps: steps - 1, &writer)
        return writer.finish(branch)
    }

    /// The entry for a single prefix that one skip leads to: the usual case, in short.
    private func skip(
        to item: PortRows.NamedPrefix, _ taken: Int, _ inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32? {
        let bits = Int(item.length) - taken
        let end = taken < Self.half ? Self.half : 2 * Self.half
        guard bits >= 3, bits <= Int(STEERING_MAX_SKIP), Int(item.length) <= end else { return nil }
        let leaf = leaves[Int(item.row)]
        if leaf == inherited { return inherited }
        return writer.skip(item.key.bits(bits, after: taken), bits: bits, then: leaf, otherwise: inherited)
    }

    /// Fills the entries of a branch. A prefix comes before those it contains, so each entry holds what
    /// it inherits when the longer prefixes below it are reached.
    private func fill(
        from place: Int, with items: Range<Int>, taken: Int, bits: Int, steps: Int, _ writer: inout TableWriter
    ) {
        var at = items.lowerBound
        while at < items.upperBound, !writer.isFull {
            let item = prefixes[at]
            let slot = place + Int(item.key.bits(bits, after: taken))
            let below = taken + bits
            if item.length <= below {
                let leaf = leaves[Int(item.row)]
                for covered in slot..<slot + 1 << (below - Int(item.length)) { writer.words[covered] = leaf }
                at += 1
            } else {
                var end = at + 1
                while end < items.upperBound, prefixes[end].length > below,
                    (prefixes[end].key ^ item.key).leadingZeroBitCount >= below
                { end += 1 }
                let inherited = writer.words[slot]
                writer.words[slot] = entry(at..<end, taken: below, steps: steps, inherited: inherited, &writer)
                at = end
            }
        }
    }
}

extension UInt128 {
    /// The `count` bits (at most 32) behind the first `taken`.
    fileprivate func bits(_ count: Int, after taken: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: (self &<< UInt128(taken)) &>> UInt128(128 - count))
    }
}

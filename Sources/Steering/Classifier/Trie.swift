import CSteering

/// A trie over a key: an address, a port, or an interface index.
///
/// Entries skip bits on which all prefixes below agree, and nodes consume as many bits as is worthwhile (level and path
/// compression, Nilsson and Karlsson, "IP-Address Lookup Using LC-Tries", 1999). The second 64 bits of a key have tries
/// of their own, so the program reads these bits only where there is one.
struct Trie {
    /// In ascending order, each prefix before those that it contains.
    let prefixes: [NamedPrefix]
    /// The leaf of each row.
    let leaves: [UInt32]
    /// If set, nodes end at multiples of this many bits, and equal nodes are shared; if nil, sizes are chosen by cost.
    var stride: Int?

    typealias NamedPrefix = PortRows.NamedPrefix

    private static let half = 64
    /// The number of prefixes beyond which larger nodes no longer fit into the nearer CPU caches.
    private static let large = 4096

    // MARK: - From a root

    /// Fills a root, with an entry for each value of the first 16 bits, and writes the nodes below it.
    ///
    /// Returns the leaf for addresses that their entry does not fit.
    func writeRoot(_ items: Range<Int>, _ root: Root, _ writer: inout TableWriter) -> UInt32 {
        let everywhere = items.first.flatMap { prefixes[$0].length == 0 ? leaf($0) : nil } ?? 0
        let fresh = TrieEntry(everywhere).bits
        for slot in 0..<RootSlot.count { writer.words[root.word(of: slot)] = fresh }
        fill(items, Taking(root, otherwise: everywhere), &writer, place: root.word)
        return everywhere
    }

    /// Refills a root slot with the items that begin in it; items shorter than 16 bits must not have changed.
    func rewriteRoot(_ items: Range<Int>, _ slot: RootSlot, _ root: Root, _ writer: inout TableWriter) {
        let container = prefixes.containers(of: slot).last
        writer.words[root.word(of: slot.number)] = TrieEntry(container.map { leaves[Int($0.row)] } ?? 0).bits
        let own = items.drop { prefixes[$0].length < RootSlot.bits }
        fill(
            own.startIndex..<own.endIndex, Taking(root, otherwise: writer.leaf(at: root.otherwise)), &writer,
            place: root.word)
    }

    /// Writes a trie without a root and returns its number.
    ///
    /// `taken` is the number of key bits before the trie, and `inherited` the leaf for keys without a prefix.
    func write(
        _ items: Range<Int>, after taken: Int = 0, inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32 {
        let first = Taking(bits: 0, after: taken, steps: Int(STEERING_DEPTH), otherwise: inherited)
        return writer.trie(entry(items, first, inherited: inherited, &writer), otherwise: inherited)
    }

    /// Returns the first entry of a trie without a root.
    func entry(inherited: UInt32, _ writer: inout TableWriter) -> TrieEntry {
        let first = Taking(bits: 0, after: 0, steps: Int(STEERING_DEPTH), otherwise: inherited)
        return entry(prefixes.indices, first, inherited: inherited, &writer)
    }

    // MARK: - Entries and nodes

    /// How an entry is reached: by a node that consumes `bits` bits `after` those before it.
    ///
    /// At most `steps` nodes may follow, and `otherwise` is the leaf for keys that the entry does not fit.
    private struct Taking {
        let bits: Int
        let after: Int
        let steps: Int
        let otherwise: UInt32

        var end: Int { after + bits }

        init(bits: Int, after: Int, steps: Int, otherwise: UInt32) {
            (self.bits, self.after, self.steps, self.otherwise) = (bits, after, steps, otherwise)
        }

        init(_ root: Root, otherwise: UInt32) {
            self.init(bits: RootSlot.bits, after: 0, steps: root.depth, otherwise: otherwise)
        }
    }

    private func leaf(_ item: Int) -> UInt32 { leaves[Int(prefixes[item].row)] }

    /// Returns the entry for keys that agree with `items` in the bits consumed so far; all items are longer than these.
    private func entry(
        _ items: Range<Int>, _ taking: Taking, inherited: UInt32, _ writer: inout TableWriter
    ) -> TrieEntry {
        guard !items.isEmpty, !writer.isFull else { return TrieEntry(inherited) }
        let taken = taking.end
        if taken == Self.half, taking.bits > 0 { return TrieEntry(lower(items, inherited: inherited, &writer)) }

        let skipped = inherited == taking.otherwise ? min(common(items, after: taken), Int(STEERING_MAX_SKIP)) : 0
        guard skipped > 0 else {
            return TrieEntry(node(items, after: taken, steps: taking.steps, inherited: inherited, &writer))
        }
        // No item is shorter than the skipped bits: it would sort before the first one.
        let first = prefixes[items.lowerBound]
        var inside = inherited, rest = items
        if Int(first.length) == taken + skipped {
            inside = leaf(items.lowerBound)
            rest = rest.dropFirst()
        }
        let word: UInt32
        if rest.isEmpty {
            word = inside
        } else if taken + skipped == Self.half {
            word = lower(rest, inherited: inside, &writer)
        } else {
            word = node(rest, after: taken + skipped, steps: taking.steps, inherited: inside, &writer)
        }
        if word == inherited { return TrieEntry(inherited) }
        return TrieEntry(word, skipping: skipped, of: first.bits(after: taken))
    }

    /// Returns the cell that refers to a trie over the second half of the key.
    private func lower(_ items: Range<Int>, inherited: UInt32, _ writer: inout TableWriter) -> UInt32 {
        cell(kind: STEERING_LOWER, write(items, after: Self.half, inherited: inherited, &writer))
    }

    /// The number of further bits that all items share, within this half of the key.
    private func common(_ items: Range<Int>, after taken: Int) -> Int {
        let first = prefixes[items.lowerBound], last = prefixes[items.upperBound - 1]
        let end = taken < Self.half ? Self.half : 2 * Self.half
        return min((first.key ^ last.key).leadingZeroBitCount, Int(first.length), end) - taken
    }

    /// Returns the word of a node for items longer than `taken`, or the inherited leaf if all of them have it.
    private func node(
        _ items: Range<Int>, after taken: Int, steps: Int, inherited: UInt32, _ writer: inout TableWriter
    ) -> UInt32 {
        let end = taken < Self.half ? Self.half : 2 * Self.half
        var longest = 0
        for item in items { longest = max(longest, Int(prefixes[item].length)) }
        longest = min(longest, end) - taken
        let bits = bits(items, after: taken, longest: longest, steps: steps)
        guard let node = writer.node(bits: bits, otherwise: inherited) else { return inherited }
        let taking = Taking(bits: bits, after: taken, steps: steps - 1, otherwise: inherited)
        fill(items, taking, &writer) { node.entries.lowerBound + $0 }
        return stride == nil ? writer.finish(node) : writer.share(node)
    }

    private func bits(_ items: Range<Int>, after taken: Int, longest: Int, steps: Int) -> Int {
        if let stride { return stride - taken % stride }
        // At least the bits that the remaining nodes cannot consume, at 8 bits each (2 KiB).
        let needed = max(1, longest - 8 * (steps - 1))
        // An entry skips the shared bits, and a node of one bit is enough to hold it.
        if common(items, after: taken) >= max(3, needed) { return 1 }
        // Several entries per item, so that few items share an entry and need a further node. In large tries one per
        // item: the nodes saved would gain less than larger nodes lose in cache misses.
        let spare = prefixes.count > Self.large ? 0 : items.count > 4 ? 1 : 2
        let wanted = Int.bitWidth - (items.count - 1).leadingZeroBitCount + spare
        return min(longest, max(needed, min(wanted, 12)))
    }

    /// Fills entries with items.
    ///
    /// A prefix comes before those that it contains, so when the longer prefixes below an entry are reached, it holds
    /// the leaf that they inherit.
    private func fill(
        _ items: Range<Int>, _ taking: Taking, _ writer: inout TableWriter, place: (Int) -> Int
    ) {
        var at = items.lowerBound
        while at < items.upperBound, !writer.isFull {
            let item = prefixes[at]
            let slot = Int(item.bits(after: taking.after) >> UInt64(64 - taking.bits))
            if item.length <= taking.end {
                let entry = TrieEntry(leaf(at)).bits
                let covered = slot..<slot + 1 << (taking.end - Int(item.length))
                for slot in covered { writer.words[place(slot)] = entry }
                at += 1
            } else {
                var end = at + 1
                while end < items.upperBound, prefixes[end].length > taking.end,
                    (prefixes[end].key ^ item.key).leadingZeroBitCount >= taking.end
                { end += 1 }
                let inherited = TrieEntry(bits: writer.words[place(slot)]).word
                let entry = entry(at..<end, taking, inherited: inherited, &writer)
                if !writer.isFull { writer.words[place(slot)] = entry.bits }
                at = end
            }
        }
    }
}

extension PortRows.NamedPrefix {
    /// The 64 bits behind the first `taken`.
    fileprivate func bits(after taken: Int) -> UInt64 { UInt64(truncatingIfNeeded: (key &<< UInt128(taken)) &>> 64) }
}

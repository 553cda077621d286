import CSteering

/// A row as tries over the port, for policies whose cross product would be too large.
///
/// Equal nodes are written once, so rows that differ in a few ports share the rest.
struct PortTrie {
    private static let stride = 4

    private let row: PortRow

    init(_ row: PortRow) { self.row = row }

    /// Writes a trie for TCP and, 16 bytes behind it, one for UDP.
    ///
    /// - Parameters:
    ///   - writer: The tables to append to.
    ///   - leaf: Returns the leaf for a cell.
    /// - Returns: The number of the TCP trie.
    func write(_ writer: inout TableWriter, leaf: (UInt32) -> UInt32) -> UInt32 {
        let tcp = Self.entry(row.tcp, &writer, leaf)
        let udp = row.udp == row.tcp ? tcp : Self.entry(row.udp, &writer, leaf)
        let number = writer.trie(tcp.entry, otherwise: tcp.otherwise)
        _ = writer.trie(udp.entry, otherwise: udp.otherwise)
        return number
    }

    private static func entry(
        _ spans: [PortRow.Span], _ writer: inout TableWriter, _ leaf: (UInt32) -> UInt32
    ) -> (entry: TrieEntry, otherwise: UInt32) {
        // The cell of the widest span is the default; the other spans are exceptions to it.
        func size(_ index: Int) -> Int { PortRow.end(of: index, in: spans) - Int(spans[index].start) }
        let widest = spans.indices.max { size($0) < size($1) }!
        let otherwise = leaf(spans[widest].cell)

        var prefixes: [Trie.NamedPrefix] = [], leaves: [UInt32] = []
        for (index, span) in spans.enumerated() where span.cell != spans[widest].cell {
            var start = Int(span.start)
            let end = PortRow.end(of: index, in: spans)
            while start < end {
                // The largest aligned block of ports that begins here.
                let bits = min(start == 0 ? 16 : start.trailingZeroBitCount, (end - start).floorLog2)
                prefixes.append(
                    Trie.NamedPrefix(
                        key: UInt128(start) << 112, family: .ipv4, length: UInt8(16 - bits), row: UInt32(leaves.count)))
                start += 1 << bits
            }
            leaves.append(leaf(span.cell))
        }
        let trie = Trie(prefixes: prefixes, leaves: leaves, stride: stride)
        return (trie.entry(inherited: otherwise, &writer), otherwise)
    }
}

extension Int {
    fileprivate var floorLog2: Int { Self.bitWidth - 1 - leadingZeroBitCount }
}

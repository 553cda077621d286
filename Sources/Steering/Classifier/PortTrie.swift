import CSteering

/// Rows as tries over the port, for policies whose cross product would be too large. Equal subtrees are
/// written once, so rows that differ in a few ports share the rest.
struct PortTrie {
    private var nodes: [TableWriter.Branch] = []
    private var index = NumberIndex()

    /// The word at which a row begins: two entries, TCP and UDP.
    mutating func row(_ row: PortRow, _ writer: inout TableWriter) -> UInt32 {
        let tcp = entry(row.tcp[...], from: 0, bits: 16, &writer)
        let udp = row.udp == row.tcp ? tcp : entry(row.udp[...], from: 0, bits: 16, &writer)
        return writer.row([tcp, udp][...])
    }

    /// The entry for 2^bits ports from `start` on, of which `spans` has the first one's and all that follow.
    private mutating func entry(
        _ spans: ArraySlice<PortRow.Span>, from start: Int, bits: Int, _ writer: inout TableWriter
    ) -> UInt32 {
        let end = start + 1 << bits
        var rest = spans
        if writer.isFull { return 0 }
        if rest.count < 2 || rest[rest.startIndex + 1].start >= end { return rest[rest.startIndex].cell }

        let stride = 16 / Int(STEERING_PORT_DEPTH)
        let below = bits - stride
        let entries = (0..<1 << stride).map { index in
            let start = start + index << below
            while rest.count > 1, rest[rest.startIndex + 1].start <= start { rest = rest.dropFirst() }
            return entry(rest, from: start, bits: below, &writer)
        }
        let hash = entries.reduce(UInt64(0)) { $0.mixed(with: UInt64($1)) }
        let node = index.place(hash: hash, next: nodes.count) { writer.words[nodes[$0].places].elementsEqual(entries) }
        if node == nodes.count {
            guard let branch = writer.branch(entries, bits: stride) else { return 0 }
            nodes.append(branch)
        }
        return nodes[node].entry
    }
}

import CSteering

/// Rows laid out as tables: what is in `steering_abi.h`, written; and kept, so that a few entries can be written again.
struct TableLayout {
    /// Nil when rows are tries over the port.
    private var classes: PortClasses?
    /// What stands for each row in the trie of a family.
    private var leaves: [IPFamily: Leaves] = [:]
    private var writer = TableWriter()
    /// Rows whose ports are known.
    private var knownRows: Int
    /// How many words the tables had when they were laid out as a whole.
    private let cleanCount: Int

    private struct Leaves {
        var ofRow: [UInt32] = []
        /// Whether a prefix of the family has had the row.
        var isKnown: [Bool] = []
    }

    var tables: Tables { Tables(words: writer.words) }

    /// Rows in the first form that has room for them.
    ///
    /// - Throws: `tablesTooLarge`.
    static func fitting(
        _ rows: PortRows, _ forms: [Tables.Form], _ interfaceIndices: [InterfaceName: UInt32], bindings: Int
    ) throws(SteeringError) -> TableLayout {
        let classes = PortClasses(rows.rows)
        for form in forms where form == .sparse || classes != nil {
            if let layout = TableLayout(rows, form == .sparse ? nil : classes, interfaceIndices, bindings: bindings) {
                return layout
            }
        }
        throw .tablesTooLarge(TableSize.allCases.last!.bytes)
    }

    /// Nil when there is no room.
    private init?(
        _ rows: PortRows, _ classes: PortClasses?, _ interfaceIndices: [InterfaceName: UInt32], bindings: Int
    ) {
        self.classes = classes
        var writer = TableWriter(), leaves: [IPFamily: Leaves] = [:]
        Self.writePorts(rows.rows, classes, &writer)
        for family in IPFamily.allCases {
            let items = rows.prefixes.items(of: family), root = Root(family)
            leaves[family] = Leaves()
            Self.add(items, rows, classes, interfaceIndices, family, to: &leaves[family]!, &writer)
            let trie = Trie(prefixes: rows.prefixes, leaves: leaves[family]!.ofRow)
            writer.set(trie.writeRoot(items, root, &writer), at: root.otherwise)
        }
        guard !writer.isFull else { return nil }
        self.leaves = leaves
        self.writer = writer
        knownRows = rows.rows.count
        cleanCount = writer.words.count
        writeCounts(rows, bindings)
    }

    /// Writes some entries of roots again, for rows of which those of the prefixes below have changed, and some may
    /// have been added; there are no chains. What stood below them stays where it is, unused.
    ///
    /// Returns false, and is spoilt, when the tables must be laid out as a whole: a row tells ports apart that have
    /// one class, or what is unused has come to be as much as what is used.
    mutating func rewrite(_ slots: [RootSlot], _ rows: PortRows, bindings: Int) -> Bool {
        guard admitPorts(of: rows) else { return false }
        for slot in slots {
            let family = slot.family, items = rows.prefixes.items(in: slot)
            Self.add(items, rows, classes, [:], family, to: &leaves[family]!, &writer)
            let trie = Trie(prefixes: rows.prefixes, leaves: leaves[family]!.ofRow)
            trie.rewriteRoot(items, slot, Root(family), &writer)
        }
        writeCounts(rows, bindings)
        return !writer.isFull && writer.words.count <= 2 * cleanCount
    }

    /// Makes the ports of rows that were added known; false where classes would have to be split.
    private mutating func admitPorts(of rows: PortRows) -> Bool {
        let added = rows.rows[knownRows...]
        knownRows = rows.rows.count
        if classes == nil, !added.isEmpty { Self.writePorts(added, nil, &writer) }
        return classes == nil || added.allSatisfy { classes!.append($0) }
    }

    private mutating func writeCounts(_ rows: PortRows, _ bindings: Int) {
        let counts = [writer.words.count * 8, bindings, rows.rows.count, classes?.count ?? 0, writer.nodes]
        for (index, count) in counts.enumerated() {
            writer.set(UInt32(count), at: Int(STEERING_OTHERWISE_IPV6_AT) + 4 + index * 4)
        }
    }

    /// Writes what stands for the rows of some prefixes.
    private static func add(
        _ items: Range<Int>, _ rows: PortRows, _ classes: PortClasses?, _ interfaceIndices: [InterfaceName: UInt32],
        _ family: IPFamily, to leaves: inout Leaves, _ writer: inout TableWriter
    ) {
        let added = rows.rows.count - leaves.ofRow.count
        leaves.ofRow += repeatElement(0, count: added)
        leaves.isKnown += repeatElement(false, count: added)
        var secondStage = SecondStage(rows.chainTable, interfaceIndices, family)
        for item in items {
            let number = Int(rows.prefixes[item].row)
            guard !leaves.isKnown[number] else { continue }
            leaves.isKnown[number] = true
            leaves.ofRow[number] = leaf(rows.rows[number], number, classes, &secondStage, &writer)
        }
    }

    private static func leaf(
        _ row: PortRow, _ number: Int, _ classes: PortClasses?, _ secondStage: inout SecondStage,
        _ writer: inout TableWriter
    ) -> UInt32 {
        secondStage.compile(row, &writer)
        if let classes {
            let cells = classes.cells(ofRow: number)
            // Many policies bind the same ports everywhere: then the address decides alone.
            if cells.dropFirst().allSatisfy({ $0 == cells.last }) { return secondStage.leaf(cells.last!) }
            return cell(kind: STEERING_ROW, writer.row(cells.map(secondStage.leaf)))
        }
        if let only = row.onlyCell { return secondStage.leaf(only) }
        return cell(kind: STEERING_BY_PORT, PortTrie(row).write(&writer, leaf: secondStage.leaf))
    }

    /// The class of every port. Without classes: 1 where any row names the port.
    private static func writePorts(_ rows: some Sequence<PortRow>, _ classes: PortClasses?, _ writer: inout TableWriter)
    {
        guard let classes else {
            for (number, transport) in TransportProtocol.allCases.enumerated() {
                // How many more rows name the port than the one before.
                var change = [Int](repeating: 0, count: 65_537)
                for row in rows {
                    let spans = row.spans(transport)
                    for (index, span) in spans.enumerated() where span.cell != 0 {
                        change[Int(span.start)] += 1
                        change[PortRow.end(of: index, in: spans)] -= 1
                    }
                }
                var naming = 0
                for port in 0..<65_536 {
                    naming += change[port]
                    if naming > 0 { writer.set(port: port, of: number, class: 1) }
                }
            }
            return
        }
        for (transport, pieces) in classes.pieces.enumerated() {
            for (index, piece) in pieces.enumerated() where piece.portClass != 0 {
                let end = index + 1 < pieces.count ? pieces[index + 1].start : 65_536
                for port in piece.start..<end { writer.set(port: port, of: transport, class: piece.portClass) }
            }
        }
    }
}

/// Where the trie over the destination begins.
struct Root {
    /// In bytes: its entries, and the leaf for addresses that theirs does not fit.
    let place: Int
    let otherwise: Int
    /// Nodes on a path below.
    let depth: Int

    init(_ family: IPFamily) {
        let numbers =
            family == .ipv4
            ? (STEERING_ROOT_IPV4_AT, STEERING_OTHERWISE_IPV4_AT, STEERING_IPV4_DEPTH)
            : (STEERING_ROOT_IPV6_AT, STEERING_OTHERWISE_IPV6_AT, STEERING_DEPTH)
        (place, otherwise, depth) = (Int(numbers.0), Int(numbers.1), Int(numbers.2))
    }

    /// The place of an entry among the words of the tables; entries are in network order.
    func word(of slot: Int) -> Int { place / 8 + Int(UInt16(slot).byteSwapped) }
}

import CSteering

/// Rows laid out as the tables of `steering_abi.h`, kept so that a few root slots can be rewritten.
struct TableLayout {
    /// Nil if rows are tries over the port.
    private var classes: PortClasses?
    /// The leaf for each row, by family.
    private var leaves: [IPFamily: Leaves] = [:]
    private var writer = TableWriter()
    /// The number of rows whose ports are in the tables.
    private var knownRows: Int
    /// The size of the tables in words when they were last laid out completely.
    private let cleanCount: Int

    private struct Leaves {
        var ofRow: [UInt32] = []
        /// Whether the leaf has been written, since a prefix of the family has the row.
        var isKnown: [Bool] = []
    }

    var tables: Tables { Tables(words: writer.words) }

    /// Lays out rows in the first form that has room for them.
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

    /// Fails if there is no room.
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

    /// Rewrites root slots whose prefixes have changed, or returns false if the tables must be laid out anew.
    ///
    /// Rows may have been added, and there must be no chains. The nodes that were below these slots stay in the tables,
    /// unused. The tables must be laid out anew if a new row tells apart ports of one class, if there is no room, or if
    /// they have more than doubled in size. After false this value must not be used any more.
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

    /// Adds the ports of new rows to the tables, or returns false if a class would have to be split.
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

    /// Writes the leaves for the rows of some prefixes.
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
            // The row is the same on all bound ports, as in many policies: the address alone decides.
            if cells.dropFirst().allSatisfy({ $0 == cells.last }) { return secondStage.leaf(cells.last!) }
            return cell(kind: STEERING_ROW, writer.row(cells.map(secondStage.leaf)))
        }
        if let only = row.onlyCell { return secondStage.leaf(only) }
        return cell(kind: STEERING_BY_PORT, PortTrie(row).write(&writer, leaf: secondStage.leaf))
    }

    /// Writes the class of every port or, without classes, 1 for every port that is bound in some row.
    private static func writePorts(_ rows: some Sequence<PortRow>, _ classes: PortClasses?, _ writer: inout TableWriter)
    {
        guard let classes else {
            for (number, transport) in TransportProtocol.allCases.enumerated() {
                // The change, from one port to the next, in the number of rows that have a cell for it.
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

/// The root of the trie over the destination address.
struct Root {
    /// Byte offsets: of the root's entries, and of the leaf for addresses that their entry does not fit.
    let place: Int
    let otherwise: Int
    /// The maximum number of nodes on a path below the root.
    let depth: Int

    init(_ family: IPFamily) {
        let numbers =
            family == .ipv4
            ? (STEERING_ROOT_IPV4_AT, STEERING_OTHERWISE_IPV4_AT, STEERING_IPV4_DEPTH)
            : (STEERING_ROOT_IPV6_AT, STEERING_OTHERWISE_IPV6_AT, STEERING_DEPTH)
        (place, otherwise, depth) = (Int(numbers.0), Int(numbers.1), Int(numbers.2))
    }

    /// The index of an entry in the words of the tables; entries are in network byte order.
    func word(of slot: Int) -> Int { place / 8 + Int(UInt16(slot).byteSwapped) }
}

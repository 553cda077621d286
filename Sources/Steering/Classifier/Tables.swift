import CSteering

/// A policy compiled into the words that the program reads.
package struct Tables: Sendable {
    /// The first page.
    package let first: ArraySlice<UInt32>
    /// Nodes and rows that do not fit into it: whole pages.
    package let further: ArraySlice<UInt32>

    package var isLarge: Bool { !further.isEmpty }
    /// Further pages.
    package var furtherPages: Int { further.count / TableWriter.pageWords }

    /// How the tables are laid out. They mean the same.
    package enum Form: Sendable, CaseIterable {
        /// A cross product in one page.
        case small
        /// A cross product with further pages.
        case large
        /// Rows as tries over the port, with further pages.
        case sparse
    }

    /// Compiles a policy into the first form that has room for it.
    ///
    /// - Parameters:
    ///   - forms: Those to try; tests force one.
    ///   - number: A label's number in the data plane.
    /// - Throws: `conflictingBindings`, `tablesTooLarge`.
    package init(
        _ policy: Policy, forms: [Form] = Form.allCases, number: (Label) -> UInt32
    ) throws(SteeringError) {
        let records = policy.records
        let labels = records.labels.values.map { label in
            cell(
                kind: policy[label].withoutSocket == .refuse ? STEERING_LABEL_OR_REFUSE : STEERING_LABEL_OR_PASS,
                number(label) * UInt32(STEERING_DESTINATIONS_PER_LABEL))
        }
        let rows = try PortRows(records) { outcome in
            switch outcome {
            case PolicyRecord.refuse: cell(kind: STEERING_REFUSE, 0)
            case PolicyRecord.pass: cell(kind: STEERING_PASS, 0)
            default: labels[Int(outcome)]
            }
        }
        let classes = PortClasses(rows.rows)
        for form in forms where form == .sparse || classes != nil {
            if let tables = Tables(rows, form == .sparse ? nil : classes, large: form != .small, bindings: policy.count)
            {
                self = tables
                return
            }
        }
        throw .tablesTooLarge(Int(STEERING_MAX_PAGES) * 4 * TableWriter.pageWords)
    }

    /// Nil when the tables have no room in the form that is asked for.
    private init?(_ rows: PortRows, _ classes: PortClasses?, large: Bool, bindings: Int) {
        var writer = TableWriter(large: large)
        Self.writePorts(rows.rows, classes, into: &writer.words)
        let leaves = Self.leaves(rows.rows, classes, &writer)
        for (family, root) in [(IPFamily.ipv4, Int(STEERING_ROOT_IPV4_AT)), (.ipv6, Int(STEERING_ROOT_IPV6_AT))] {
            AddressTrie(family, rows.prefixes, leaves: leaves).write(root: root, &writer)
        }
        guard !writer.isFull else { return nil }

        let header = Int(STEERING_HEADER_AT)
        writer.words[header + 1] = UInt32(
            large ? writer.words.count - TableWriter.pageWords + Int(STEERING_NODES_AT) : writer.words.count)
        writer.words[header + 2] = UInt32(bindings)
        writer.words[header + 3] = UInt32(rows.rows.count)
        writer.words[header + 4] = UInt32(classes?.count ?? 0)
        (first, further) = writer.pages()
    }

    /// For each row the leaf that stands for it in the address trie.
    private static func leaves(
        _ rows: [PortRow], _ classes: PortClasses?, _ writer: inout TableWriter
    ) -> [UInt32] {
        if let classes {
            return rows.indices.map { row in
                let cells = classes.cells(ofRow: row)
                // Many policies bind the same ports everywhere: then the address decides alone.
                if cells.dropFirst().allSatisfy({ $0 == cells.last }) { return cells.last! }
                return cell(kind: STEERING_ROW, writer.row(cells))
            }
        }
        var tries = PortTrie()
        return rows.map { row in
            if let cell = row.onlyCell { return cell }
            return cell(kind: STEERING_TREE, tries.row(row, &writer))
        }
    }

    /// The class of every port, two to a word. Without classes: 1 where any row names the port.
    private static func writePorts(_ rows: [PortRow], _ classes: PortClasses?, into words: inout [UInt32]) {
        func set(_ transport: Int, _ port: Int, _ portClass: Int) {
            let index = transport << 16 | port
            words[Int(STEERING_PORTS_AT) + index / 2] |= UInt32(portClass) << UInt32(index % 2 * 16)
        }
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
                    if naming > 0 { set(number, port, 1) }
                }
            }
            return
        }
        for (transport, pieces) in classes.pieces.enumerated() {
            for (index, piece) in pieces.enumerated() where piece.portClass != 0 {
                let end = index + 1 < pieces.count ? pieces[index + 1].start : 65_536
                for port in piece.start..<end { set(transport, port, piece.portClass) }
            }
        }
    }
}

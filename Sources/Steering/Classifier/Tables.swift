import CSteering

/// A policy compiled into the words that the program reads.
package struct Tables: Sendable {
    /// The first page.
    package let first: [UInt32]
    /// Nodes and rows that do not fit into it: whole pages.
    package let further: [UInt32]

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
        func cell(_ outcome: Outcome) -> UInt32 {
            switch outcome {
            case .label(let label):
                Steering.cell(
                    kind: policy[label].withoutSocket == .refuse ? STEERING_LABEL_OR_REFUSE : STEERING_LABEL_OR_PASS,
                    number(label) * UInt32(STEERING_DESTINATIONS_PER_LABEL))
            case .refuse: Steering.cell(kind: STEERING_REFUSE, 0)
            case .pass: Steering.cell(kind: STEERING_PASS, 0)
            }
        }
        let rows = try PortRows(policy.bindings, cell: cell)
        let classes = PortClasses(rows.rows)
        for form in forms where form == .sparse || classes != nil {
            if let tables = Tables(rows, form == .sparse ? nil : classes, large: form != .small, policy) {
                self = tables
                return
            }
        }
        throw .tablesTooLarge(Int(STEERING_MAX_PAGES) * 4 * TableWriter.pageWords)
    }

    /// Nil when the tables have no room in the form that is asked for.
    private init?(_ rows: PortRows, _ classes: PortClasses?, large: Bool, _ policy: Policy) {
        var writer = TableWriter(large: large)
        let leaves = Self.leaves(rows.rows, classes, &writer)

        var first = [UInt32](repeating: 0, count: TableWriter.pageWords)
        Self.writePorts(rows.rows, classes, into: &first)
        let prefixes = rows.prefixes.lazy.map { (prefix: $0.prefix, leaf: leaves[$0.row]) }
        for (family, start) in [(IPFamily.ipv4, Int(STEERING_ROOT_IPV4_AT)), (.ipv6, Int(STEERING_ROOT_IPV6_AT))] {
            AddressTrie(family, prefixes).write(root: &first[start..<start + 1 << Int(STEERING_ROOT_BITS)], &writer)
        }
        guard !writer.isFull else { return nil }

        if large {
            let pages = (writer.words.count + TableWriter.pageWords - 1) / TableWriter.pageWords
            further = writer.words + [UInt32](repeating: 0, count: pages * TableWriter.pageWords - writer.words.count)
        } else {
            first.replaceSubrange(
                Int(STEERING_NODES_AT)..<Int(STEERING_NODES_AT) + writer.words.count, with: writer.words)
            further = []
        }
        let header = Int(STEERING_HEADER_AT)
        first[header + 1] = UInt32(Int(STEERING_NODES_AT) + writer.words.count)
        first[header + 2] = UInt32(policy.bindings.count)
        first[header + 3] = UInt32(rows.rows.count)
        first[header + 4] = UInt32(classes?.count ?? 0)
        self.first = first
    }

    /// For each row the leaf that stands for it in the address trie.
    private static func leaves(
        _ rows: [PortRow], _ classes: PortClasses?, _ writer: inout TableWriter
    ) -> [UInt32] {
        if let classes {
            return classes.rows.map { cells in
                // Many policies bind the same ports everywhere: then the address decides alone.
                if cells.dropFirst().allSatisfy({ $0 == cells.last }) { return cells.last! }
                return cell(kind: STEERING_ROW, writer.row(cells))
            }
        }
        var tries = PortTrie()
        return rows.map { row in
            if row.spans[0] == row.spans[1], row.spans[0].count == 1 { return row.spans[0][0].cell }
            return cell(kind: STEERING_TREE, tries.row(row, &writer))
        }
    }

    /// The class of every port, two to a word. Without classes: 1 where any row names the port.
    private static func writePorts(_ rows: [PortRow], _ classes: PortClasses?, into first: inout [UInt32]) {
        func set(_ transport: Int, _ port: Int, _ portClass: Int) {
            let index = transport << 16 | port
            first[Int(STEERING_PORTS_AT) + index / 2] |= UInt32(portClass) << UInt32(index % 2 * 16)
        }
        guard let classes else {
            for transport in 0...1 {
                var bound = [Bool](repeating: false, count: 65_536)
                for row in rows {
                    let spans = row.spans[transport]
                    for (index, span) in spans.enumerated() where span.cell != 0 {
                        let end = index + 1 < spans.count ? spans[index + 1].start : 65_536
                        for port in span.start..<end { bound[port] = true }
                    }
                }
                for port in bound.indices where bound[port] { set(transport, port, 1) }
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

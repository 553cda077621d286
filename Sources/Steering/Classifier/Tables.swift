import CSteering

/// A policy compiled into the bytes that the program reads: a half, as far as it is in use.
package struct Tables: Sendable {
    /// In units of 8 bytes. The first is the generation's, which is not the policy's.
    package let words: [UInt64]
    /// What has room for them.
    package let size: TableSize

    /// How rows are laid out. They mean the same.
    package enum Form: Sendable, CaseIterable {
        /// A cross product of rows and port classes.
        case dense
        /// Rows as tries over the port.
        case sparse
    }

    /// Compiles a policy into the first form that has room for it.
    ///
    /// - Parameters:
    ///   - forms: Those to try; tests force one.
    ///   - interfaceIndices: Of all that bindings name.
    ///   - number: A label's number in the data plane.
    /// - Throws: `conflictingBindings`, `tablesTooLarge`.
    package init(
        _ policy: Policy, forms: [Form] = Form.allCases, interfaceIndices: [InterfaceName: UInt32] = [:],
        number: (Label) -> UInt32
    ) throws(SteeringError) {
        let records = policy.records
        let labels = records.labels.values.map { label in
            cell(
                kind: policy[label].withoutSocket == .refuse ? STEERING_LABEL_OR_REFUSE : STEERING_LABEL_OR_PASS,
                number(label) * UInt32(STEERING_DESTINATIONS_PER_LABEL))
        }
        let rows = try PortRows(records) { outcome in
            switch outcome {
            case PolicyRecord.refuse: cell(kind: STEERING_VERDICT, 0)
            case PolicyRecord.pass: cell(kind: STEERING_VERDICT, 1)
            default: labels[Int(outcome)]
            }
        }
        self = try Self.laidOut(rows, forms, interfaceIndices, bindings: policy.count)
    }

    /// Compiles a policy so that a packet's cell is a verdict with the number of the binding that decides, among
    /// the policy's bindings. Of two that overlap, have equal precedence and mean the same it is either.
    ///
    /// - Throws: `tablesTooLarge`.
    init(
        tellingBindingsOf policy: Policy, interfaceIndices: [InterfaceName: UInt32]
    ) throws(SteeringError) {
        let numbered = policy.records.withNumbersAsOutcomes
        let chains = Chains(numbered.conditions.values, keepsNeedless: true)
        let rows = try PortRows(numbered, chains, mayConflict: true, condition: { $0 }) {
            cell(kind: STEERING_VERDICT, $0)
        }
        self = try Self.laidOut(rows, Form.allCases, interfaceIndices, bindings: policy.count)
    }

    private static func laidOut(
        _ rows: PortRows, _ forms: [Form], _ interfaceIndices: [InterfaceName: UInt32], bindings: Int
    ) throws(SteeringError) -> Tables {
        let classes = PortClasses(rows.rows)
        for form in forms where form == .sparse || classes != nil {
            if let tables = Tables(rows, form == .sparse ? nil : classes, interfaceIndices, bindings: bindings) {
                return tables
            }
        }
        throw .tablesTooLarge(TableSize.allCases.last!.bytes)
    }

    /// Nil when there is no room.
    private init?(
        _ rows: PortRows, _ classes: PortClasses?, _ interfaceIndices: [InterfaceName: UInt32], bindings: Int
    ) {
        var writer = TableWriter()
        Self.writePorts(rows.rows, classes, &writer)
        let firstIPv6 = rows.prefixes.partitioningIndex { $0.family == .ipv6 }
        for family in IPFamily.allCases {
            let items = family == .ipv4 ? 0..<firstIPv6 : firstIPv6..<rows.prefixes.count
            var secondStage = SecondStage(rows.chainTable, interfaceIndices, family)
            let leaves = Self.leaves(rows, items, classes, &secondStage, &writer)
            let trie = Trie(prefixes: rows.prefixes, leaves: leaves)
            let (root, depth, otherwise) =
                family == .ipv4
                ? (STEERING_ROOT_IPV4_AT, STEERING_IPV4_DEPTH, STEERING_OTHERWISE_IPV4_AT)
                : (STEERING_ROOT_IPV6_AT, STEERING_DEPTH, STEERING_OTHERWISE_IPV6_AT)
            let leaf = trie.writeRoot(items, at: Int(root), depth: Int(depth), &writer)
            writer.set(leaf, at: Int(otherwise))
        }
        guard !writer.isFull else { return nil }

        let counts = [writer.words.count * 8, bindings, rows.rows.count, classes?.count ?? 0, writer.nodes]
        for (index, count) in counts.enumerated() {
            writer.set(UInt32(count), at: Int(STEERING_OTHERWISE_IPV6_AT) + 4 + index * 4)
        }
        let bytes = writer.words.count * 8
        words = writer.words
        size = TableSize.allCases.first { $0.bytes >= bytes }!
    }

    /// For each row the leaf that stands for it in the trie of a family.
    private static func leaves(
        _ rows: PortRows, _ items: Range<Int>, _ classes: PortClasses?, _ secondStage: inout SecondStage,
        _ writer: inout TableWriter
    ) -> [UInt32] {
        var isUsed = [Bool](repeating: false, count: rows.rows.count)
        for prefix in rows.prefixes[items] { isUsed[Int(prefix.row)] = true }
        return rows.rows.indices.map { number in
            guard isUsed[number] else { return 0 }
            let row = rows.rows[number]
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
    }

    /// The class of every port. Without classes: 1 where any row names the port.
    private static func writePorts(_ rows: [PortRow], _ classes: PortClasses?, _ writer: inout TableWriter) {
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

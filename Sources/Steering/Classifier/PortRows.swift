import CSteering

/// The distinct rows of a policy, and the row of each prefix.
struct PortRows {
    private(set) var rows: [PortRow] = [.empty]
    /// In ascending order, each prefix before those that it contains.
    private(set) var prefixes: [NamedPrefix] = []
    /// The chains, by number, that cells of kind `STEERING_BY_SOURCE` refer to.
    var chains: [Chain] { chainTable.list }
    private(set) var chainTable: Chains
    private var painter: Painter

    /// A prefix that bindings have.
    struct NamedPrefix {
        /// The prefix's bits in the most significant positions.
        let key: UInt128
        let family: IPFamily
        let length: UInt8
        /// The number of its row.
        var row: UInt32

        func contains(_ other: NamedPrefix) -> Bool {
            length <= other.length && family == other.family && (key ^ other.key).leadingZeroBitCount >= length
        }
    }

    /// Paints the rows of a policy, and drops unused chains.
    ///
    /// - Parameters:
    ///   - policy: The bindings.
    ///   - cell: Returns the cell of an outcome's number; never one of kind `STEERING_BY_SOURCE`.
    /// - Throws: `conflictingBindings`, `tablesTooLarge`.
    init(_ policy: PolicyRecords, cell: (UInt32) -> UInt32) throws(SteeringError) {
        try self.init(policy, Chains(policy.conditions.values), condition: { $0 }, cell: cell)
        chainTable.keepOnly(namedBy: &rows)
    }

    /// Paints the rows of a policy, adding to existing chains.
    ///
    /// - Parameters:
    ///   - policy: The bindings.
    ///   - chains: Chains that other rows use. Equal chains get equal numbers.
    ///   - mayConflict: Whether bindings of equal precedence may differ in outcome. Then one of them decides.
    ///   - condition: Returns a condition's number among the conditions of `chains`.
    ///   - cell: Returns the cell of an outcome's number; never one of kind `STEERING_BY_SOURCE`.
    /// - Throws: `conflictingBindings`, `tablesTooLarge`.
    init(
        _ policy: PolicyRecords, _ chains: Chains, mayConflict: Bool = false, condition: (UInt32) -> UInt32,
        cell: (UInt32) -> UInt32
    ) throws(SteeringError) {
        painter = Painter(chains, mayConflict)
        chainTable = chains
        prefixes = try paint(policy.records.indices, of: policy, in: [], condition: condition, cell: cell)
        rows = painter.rows
        chainTable = painter.chains
    }

    /// Repaints the rows of the prefixes that begin in a root slot.
    ///
    /// The policy must have the same port sets and labels, and no conditions. Rows may be added; existing rows keep
    /// their numbers. After an error this value must not be used any more.
    ///
    /// - Throws: `conflictingBindings`.
    mutating func repaint(
        _ slot: RootSlot, _ policy: PolicyRecords, cell: (UInt32) -> UInt32
    ) throws(SteeringError) {
        let containers = prefixes.containers(of: slot).filter { $0.slot != slot }
        let repainted = try paint(
            policy.records.items(in: slot), of: policy, in: containers, condition: { $0 }, cell: cell)
        prefixes.replaceSubrange(prefixes.items(in: slot), with: repainted)
        rows += painter.rows[rows.count...]
    }

    /// Returns the prefixes of some records with their rows, given the prefixes that contain them.
    private mutating func paint(
        _ records: Range<Int>, of policy: PolicyRecords, in containers: [NamedPrefix], condition: (UInt32) -> UInt32,
        cell: (UInt32) -> UInt32
    ) throws(SteeringError) -> [NamedPrefix] {
        var containers = containers, painted: [NamedPrefix] = []
        painted.reserveCapacity(records.count)
        try policy.forEachPrefix(of: records) { group throws(SteeringError) in
            let first = policy.records[group.lowerBound]
            var named = NamedPrefix(key: first.key, family: first.family, length: UInt8(first.length), row: 0)
            while let last = containers.last, !last.contains(named) { containers.removeLast() }
            named.row = try painter.row(
                of: policy, group, over: containers.last?.row ?? 0, condition: condition, cell: cell)
            painted.append(named)
            containers.append(named)
        }
        return painted
    }
}

/// Paints bindings over rows, each combination once: thousands of prefixes often have the same few bindings.
private struct Painter {
    private let mayConflict: Bool
    private(set) var rows: [PortRow] = [.empty]
    private(set) var chains: Chains
    private var rowIndex = NumberIndex()
    private var works: [(work: Work, row: UInt32)] = []
    private var workIndex = NumberIndex()
    private var groups: [[Part]: UInt64] = [:]

    /// A binding without its prefix, or a group of bindings, and the row below.
    private struct Work: Hashable {
        let match: UInt64
        let outcomeAndRow: UInt64

        init(_ record: PolicyRecord, over row: UInt32) {
            match = record.matchWithoutPrefix
            outcomeAndRow = UInt64(record.outcome) << 32 | UInt64(row)
        }

        init(group: UInt64, over row: UInt32) {
            match = ~group
            outcomeAndRow = UInt64(row)
        }
    }

    /// A binding of a group, without its prefix.
    private struct Part: Hashable {
        let match: UInt64
        let outcomeAndCondition: UInt64

        init(_ record: PolicyRecord) {
            match = record.matchWithoutPrefix
            outcomeAndCondition = UInt64(record.outcome) << 32 | UInt64(record.condition)
        }
    }

    init(_ chains: Chains, _ mayConflict: Bool) {
        self.mayConflict = mayConflict
        self.chains = chains
        _ = rowIndex.place(hash: PortRow.empty.hash, next: 0) { _ in false }
    }

    mutating func row(
        of policy: PolicyRecords, _ group: Range<Int>, over under: UInt32, condition: (UInt32) -> UInt32,
        cell: (UInt32) -> UInt32
    ) throws(SteeringError) -> UInt32 {
        let work: Work
        if group.count == 1, !policy.records[group.lowerBound].isConditional {
            work = Work(policy.records[group.lowerBound], over: under)
        } else {
            if !mayConflict { try policy.refuseConflict(in: group) }
            let parts = policy.records[group].map { Part($0) }
            let number = groups[parts] ?? UInt64(groups.count)
            groups[parts] = number
            work = Work(group: number, over: under)
        }
        let hash = UInt64(0).mixed(with: work.match).mixed(with: work.outcomeAndRow)
        let place = workIndex.place(hash: hash, next: works.count) { works[$0].work == work }
        if place == works.count {
            works.append((work, paint(policy, group, over: under, condition: condition, cell: cell)))
            if chains.isFull { throw .tablesTooLarge(TableSize.allCases.last!.bytes) }
        }
        return works[place].row
    }

    private mutating func paint(
        _ policy: PolicyRecords, _ group: Range<Int>, over under: UInt32, condition: (UInt32) -> UInt32,
        cell: (UInt32) -> UInt32
    ) -> UInt32 {
        func paint(_ record: PolicyRecord) -> PortRow.Paint {
            PortRow.Paint(
                ranges: policy.portSets.values[record.portSet].ranges, cell: cell(record.outcome),
                matchesTCP: record.matches(.tcp), matchesUDP: record.matches(.udp))
        }
        // Records are in descending precedence, so those with a condition come first.
        let records = policy.records[group]
        let conditional = records.prefix { $0.isConditional }
        let others = records[conditional.endIndex...]
        var result = rows[Int(under)]
        if others.count == 1 {
            result = result.overlaid(with: paint(others[others.startIndex]))
        } else if !others.isEmpty {
            result = result.overlaid(with: others.map(paint))
        }
        for record in conditional.reversed() {
            result = result.overlaid(with: paint(record), if: condition(record.condition), &chains)
        }
        let row = rowIndex.place(hash: result.hash, next: rows.count) { rows[$0] == result }
        if row == rows.count { rows.append(result) }
        return UInt32(row)
    }
}

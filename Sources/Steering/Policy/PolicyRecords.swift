/// The compact form in which a policy stores its bindings: sorted records, and the tables that their numbers refer to.
///
/// The form is canonical: the tables are sorted and hold only values that some record uses. So equal sets of bindings
/// compare equal as integers.
struct PolicyRecords: Hashable, Sendable {
    private(set) var records: [PolicyRecord] = []
    private(set) var portSets = NumberedTable<PortSet>()
    private(set) var labels = NumberedTable<Label>()
    private(set) var conditions = NumberedTable<Condition>()

    init() {}

    /// Callers guarantee that records and tables are sorted, and that some record uses each value.
    init(sorted records: [PolicyRecord], portSets: [PortSet], labels: [Label], conditions: [Condition]) {
        self.records = records
        self.portSets = NumberedTable(sorted: portSets)
        self.labels = NumberedTable(sorted: labels)
        self.conditions = NumberedTable(sorted: conditions)
        for record in records { count(record) }
    }

    var bindings: [Binding] { records.map(binding) }

    var bindingsOnInterfaces: [Binding] {
        records.lazy.filter(\.isConditional).map(binding).filter { $0.interface != nil }
    }

    func binding(_ record: PolicyRecord) -> Binding {
        Binding(
            checked: record.protocols, to: record.prefix, ports: portSets.values[record.portSet],
            record.isConditional ? conditions.values[Int(record.condition)] : nil, outcome(record.outcome))
    }

    func outcome(_ number: UInt32) -> Outcome {
        switch number {
        case PolicyRecord.refuse: .refuse
        case PolicyRecord.pass: .pass
        default: .label(labels.values[Int(number)])
        }
    }

    /// Calls a closure with the records of each prefix in turn, a prefix before those that it contains.
    func forEachPrefix(
        of items: Range<Int>? = nil, _ body: (Range<Int>) throws(SteeringError) -> Void
    ) throws(SteeringError) {
        let items = items ?? records.indices
        var start = items.lowerBound
        while start < items.upperBound {
            var end = start + 1
            while end < items.upperBound, records[end].hasPrefix(of: records[start]) { end += 1 }
            try body(start..<end)
            start = end
        }
    }

    // MARK: - Changes

    mutating func insert(contentsOf bindings: [Binding]) {
        // Numbers are assigned in order of appearance first, then replaced by those of the sorted tables.
        var portSetNumbers = Numbering(portSets), labelNumbers = Numbering(labels)
        var conditionNumbers = Numbering(conditions)
        var portCounts = portSets.values.map(\.count)
        records.reserveCapacity(records.count + bindings.count)
        for binding in bindings {
            let portSet = portSetNumbers.number(binding.ports)
            if portSet == portCounts.count { portCounts.append(binding.ports.count) }
            let outcome =
                switch binding.outcome {
                case .label(let label): labelNumbers.number(label)
                case .refuse: PolicyRecord.refuse
                case .pass: PolicyRecord.pass
                }
            records.append(
                PolicyRecord(
                    binding.protocols, binding.prefix, portSet: portSet, portCount: portCounts[Int(portSet)],
                    outcome: outcome,
                    binding.isConditional
                        ? (conditionNumbers.number(binding.condition), binding.condition) : nil))
        }
        precondition(portSetNumbers.values.count <= PolicyRecord.maximumPortSets, "too many distinct port sets")
        let sortedPortSets = portSetNumbers.sorted(), sortedLabels = labelNumbers.sorted()
        let sortedConditions = conditionNumbers.sorted()
        renumber(
            portSets: sortedPortSets.numbers, labels: sortedLabels.numbers, conditions: sortedConditions.numbers)
        records.sort()
        records.removeRepeats()
        portSets = sortedPortSets.table
        labels = sortedLabels.table
        conditions = sortedConditions.table
        for record in records { count(record) }
    }

    mutating func insert(_ binding: Binding) {
        renumber(portSets: portSets.insert(binding.ports))
        precondition(portSets.count <= PolicyRecord.maximumPortSets, "too many distinct port sets")
        if binding.isConditional { renumber(conditions: conditions.insert(binding.condition)) }
        if case .label(let label) = binding.outcome { renumber(labels: labels.insert(label)) }
        let record = self.record(binding)!
        let place = records.firstIndex(sorted: record)
        if place == records.endIndex || records[place] != record {
            records.insert(record, at: place)
            count(record)
        }
    }

    /// Removes a binding and returns whether there was one.
    mutating func remove(_ binding: Binding) -> Bool {
        guard let record = record(binding) else { return false }
        let place = records.firstIndex(sorted: record)
        guard place < records.endIndex, records[place] == record else { return false }
        records.remove(at: place)
        count(record, by: -1)
        renumber(portSets: portSets.removeIfUnused(record.portSet))
        if let label = record.label { renumber(labels: labels.removeIfUnused(label)) }
        if record.isConditional { renumber(conditions: conditions.removeIfUnused(Int(record.condition))) }
        return true
    }

    /// A copy in which the outcome of each record is the record's own index.
    ///
    /// The copy is not a valid policy; it is only to be compiled.
    var withNumbersAsOutcomes: PolicyRecords {
        var copy = self
        for (number, record) in records.enumerated() {
            copy.records[number] = record.renumbered(
                portSet: UInt32(record.portSet), outcome: UInt32(number), condition: record.condition)
        }
        return copy
    }

    /// The records with their numbers mapped to tables that contain all values of these.
    func renumbered(portSets: [UInt32], labels: [UInt32], conditions: [UInt32]) -> [PolicyRecord] {
        var copy = self
        copy.renumber(portSets: portSets, labels: labels, conditions: conditions)
        return copy.records
    }

    private mutating func renumber(
        portSets: [UInt32]? = nil, labels: [UInt32]? = nil, conditions: [UInt32]? = nil
    ) {
        guard portSets != nil || labels != nil || conditions != nil else { return }
        for index in records.indices {
            let record = records[index]
            var condition = record.condition
            if let conditions, record.isConditional { condition = conditions[Int(condition)] }
            records[index] = record.renumbered(
                portSet: portSets.map { $0[record.portSet] } ?? UInt32(record.portSet),
                outcome: labels.flatMap { labels in record.label.map { labels[$0] } } ?? record.outcome,
                condition: condition)
        }
    }

    private mutating func count(_ record: PolicyRecord, by step: Int = 1) {
        portSets.countUse(of: record.portSet, by: step)
        if let label = record.label { labels.countUse(of: label, by: step) }
        if record.isConditional { conditions.countUse(of: Int(record.condition), by: step) }
    }

    /// The binding's record; nil if a table lacks one of its values.
    private func record(_ binding: Binding) -> PolicyRecord? {
        let portSet = portSets.place(of: binding.ports)
        guard portSet.isThere else { return nil }
        var outcome = PolicyRecord.pass
        switch binding.outcome {
        case .label(let label):
            let place = labels.place(of: label)
            guard place.isThere else { return nil }
            outcome = UInt32(place.place)
        case .refuse: outcome = PolicyRecord.refuse
        case .pass: break
        }
        var condition: (UInt32, Condition)?
        if binding.isConditional {
            let place = conditions.place(of: binding.condition)
            guard place.isThere else { return nil }
            condition = (UInt32(place.place), binding.condition)
        }
        return PolicyRecord(
            binding.protocols, binding.prefix, portSet: UInt32(portSet.place), portCount: binding.ports.count,
            outcome: outcome, condition)
    }
}

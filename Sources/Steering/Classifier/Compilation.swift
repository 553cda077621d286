import CSteering

/// A policy compiled, and kept: one that differs from it in few bindings is made of its parts, by painting the rows
/// of the prefixes below some entries of the roots again, and writing these entries.
///
/// What is put in force are whole tables, in either case.
struct Compilation {
    private var records: PolicyRecords
    /// The cells of labels, by their numbers in the records.
    private let labels: [UInt32]
    private var rows: PortRows
    private var layout: TableLayout

    var tables: Tables { layout.tables }

    /// Compiles a policy into the first form that has room for it.
    ///
    /// - Parameters:
    ///   - forms: Those to try; tests force one.
    ///   - interfaceIndices: Of those that bindings name and that are there.
    ///   - number: A label's number in the data plane.
    /// - Throws: `conflictingBindings`, `tablesTooLarge`.
    init(
        _ policy: Policy, forms: [Tables.Form] = Tables.Form.allCases,
        interfaceIndices: [InterfaceName: UInt32] = [:], number: (Label) -> UInt32
    ) throws(SteeringError) {
        let labels = Self.labels(policy, number)
        records = policy.records
        self.labels = labels
        rows = try PortRows(records) { Self.cell($0, labels) }
        layout = try TableLayout.fitting(rows, forms, interfaceIndices, bindings: policy.count)
    }

    /// Makes this the compilation of another policy.
    ///
    /// Returns false when that is to be compiled as a whole: it has other labels or port sets, or conditions, or
    /// differs in prefixes shorter than 16 bits or all over the place. Then, and after an error, this is spoilt.
    ///
    /// - Throws: `conflictingBindings`.
    mutating func change(to policy: Policy, number: (Label) -> UInt32) throws(SteeringError) -> Bool {
        let new = policy.records, labels = labels
        guard Self.labels(policy, number) == labels, new.portSets.values == records.portSets.values,
            new.conditions.count + records.conditions.count == 0,
            let slots = RootSlot.between(records.records, new.records)
        else { return false }
        for slot in slots { try rows.repaint(slot, new) { Self.cell($0, labels) } }
        records = new
        return layout.rewrite(slots, rows, bindings: policy.count)
    }

    private static func labels(_ policy: Policy, _ number: (Label) -> UInt32) -> [UInt32] {
        policy.records.labels.values.map { label in
            Steering.cell(
                kind: policy[label].withoutSocket == .refuse ? STEERING_LABEL_OR_REFUSE : STEERING_LABEL_OR_PASS,
                number(label) * UInt32(STEERING_DESTINATIONS_PER_LABEL))
        }
    }

    /// What an outcome's number becomes.
    private static func cell(_ outcome: UInt32, _ labels: [UInt32]) -> UInt32 {
        switch outcome {
        case PolicyRecord.refuse: Steering.cell(kind: STEERING_VERDICT, 0)
        case PolicyRecord.pass: Steering.cell(kind: STEERING_VERDICT, 1)
        default: labels[Int(outcome)]
        }
    }
}

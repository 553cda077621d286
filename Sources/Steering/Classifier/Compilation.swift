import CSteering

/// A compiled policy, kept so that a similar policy can be compiled from it.
///
/// For a policy that differs in a few bindings only, the rows of prefixes below a few root slots are painted again, and
/// these slots are written again. The result is always a complete set of tables.
struct Compilation {
    private var records: PolicyRecords
    /// The cells of labels, by the labels' numbers in the records.
    private let labels: [UInt32]
    private var rows: PortRows
    private var layout: TableLayout

    var tables: Tables { layout.tables }

    /// Compiles a policy into the first form that has room for it.
    ///
    /// - Parameters:
    ///   - policy: The policy.
    ///   - forms: The forms to try. Tests force one.
    ///   - interfaceIndices: The indices of the interfaces that bindings name and that exist.
    ///   - number: Returns a label's number in the data plane.
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

    /// Turns this into the compilation of another policy, or returns false if that has to be compiled from scratch.
    ///
    /// It returns false if labels, their options or port sets differ, if either policy has conditions, if prefixes
    /// shorter than 16 bits differ, if there are differences below more than 32 root slots, or if the tables have to be
    /// laid out anew. After false or an error this value must not be used any more.
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

    /// Returns the cell of an outcome's number.
    private static func cell(_ outcome: UInt32, _ labels: [UInt32]) -> UInt32 {
        switch outcome {
        case PolicyRecord.refuse: Steering.cell(kind: STEERING_VERDICT, 0)
        case PolicyRecord.pass: Steering.cell(kind: STEERING_VERDICT, 1)
        default: labels[Int(outcome)]
        }
    }
}

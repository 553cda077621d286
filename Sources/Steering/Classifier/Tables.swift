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

    /// - Parameter words: No more than the largest size has room for.
    init(words: [UInt64]) {
        self.words = words
        size = TableSize.allCases.first { $0.bytes >= words.count * 8 }!
    }

    /// Compiles a policy, as ``Compilation`` does.
    package init(
        _ policy: Policy, interfaceIndices: [InterfaceName: UInt32] = [:], number: (Label) -> UInt32
    ) throws(SteeringError) {
        self = try Compilation(policy, interfaceIndices: interfaceIndices, number: number).tables
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
        self = try TableLayout.fitting(rows, Form.allCases, interfaceIndices, bindings: policy.count).tables
    }
}

/// How large a half of the tables is: the program comes in as many versions.
package enum TableSize: Int, Sendable, CaseIterable, Comparable {
    case smallest, small, large, largest

    package var bytes: Int { Int(STEERING_SMALLEST_TABLES) << (2 * rawValue) }

    /// As the object names it.
    var name: String { "\(bytes >> 20)m" }

    package static func < (left: TableSize, right: TableSize) -> Bool { left.rawValue < right.rawValue }
}

import CSteering

/// A policy compiled into the bytes that the program reads: the used part of a half.
package struct Tables: Sendable {
    /// Words of 8 bytes, the first of which is reserved for the generation.
    package let words: [UInt64]
    /// The smallest size that has room for the words.
    package let size: TableSize

    /// The layout of rows; both give the same results.
    package enum Form: Sendable, CaseIterable {
        /// A cross product of rows and port classes.
        case dense
        /// Tries over the port.
        case sparse
    }

    /// Wraps compiled words, which must fit into the largest size.
    init(words: [UInt64]) {
        self.words = words
        size = TableSize.allCases.first { $0.bytes >= words.count * 8 }!
    }

    /// Compiles a policy from scratch: see ``Compilation``.
    package init(
        _ policy: Policy, interfaceIndices: [InterfaceName: UInt32] = [:], number: (Label) -> UInt32
    ) throws(SteeringError) {
        self = try Compilation(policy, interfaceIndices: interfaceIndices, number: number).tables
    }

    /// Compiles a policy so that a packet's cell is a verdict with the index of the deciding binding in the policy.
    ///
    /// Where bindings of equal precedence and outcome overlap, it is the index of one of them.
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

/// The size of a half; the program exists in a version for each.
package enum TableSize: Int, Sendable, CaseIterable, Comparable {
    case smallest, small, large, largest

    package var bytes: Int { Int(STEERING_SMALLEST_TABLES) << (2 * rawValue) }

    /// The size in MiB, as in the names of the object file.
    var name: String { "\(bytes >> 20)m" }

    package static func < (left: TableSize, right: TableSize) -> Bool { left.rawValue < right.rawValue }
}

/// The differences between two policies: bindings, options, and traffic whose outcome changes.
public struct PolicyDifference: Sendable, Equatable {
    /// Bindings of the new policy only, in ascending order.
    public var added: [Binding] = []
    /// Bindings of the former policy only, in ascending order.
    public var removed: [Binding] = []
    /// The labels whose options differ.
    public var changedOptions: [Label: OptionsChange] = [:]
    /// Traffic whose outcome differs, by prefix in ascending order.
    ///
    /// Bindings that were added or removed cause none if others outrank them.
    public var handovers: [Handover] = []

    /// Whether the policies are equal.
    public var isEmpty: Bool { added.isEmpty && removed.isEmpty && changedOptions.isEmpty }

    /// The options of a label under both policies.
    public struct OptionsChange: Sendable, Hashable {
        /// The options under the former policy.
        public let before: LabelOptions
        /// The options under the new policy.
        public let after: LabelOptions
    }

    /// Packets whose outcome differs.
    ///
    /// One prefix may have several handovers, for different ports, sources and interfaces.
    public struct Handover: Sendable, Hashable, CustomStringConvertible {
        /// The protocols.
        public let protocols: ProtocolMatch
        /// The destination addresses, except those in a longer prefix of either policy.
        ///
        /// Such a prefix has handovers of its own, or none.
        public let prefix: IPPrefix
        /// The destination ports.
        public let ports: PortSet
        /// The source addresses: the longer source of the two bindings that decide before and after; nil if neither has
        /// one.
        ///
        /// Packets from these addresses for which other bindings decide are not included: they have handovers of their
        /// own, or none.
        public let source: IPPrefix?
        /// The interface on which the packets arrive, from the same two bindings; nil if neither has one.
        public let interface: InterfaceName?
        /// The outcome under the former policy; nil if no binding matched.
        public let before: Outcome?
        /// The outcome under the new policy; nil if no binding matches.
        public let after: Outcome?

        /// A description such as `tcp 192.0.2.0/24 80 from 198.51.100.0/24: label web -> not steered`.
        public var description: String {
            func text(_ outcome: Outcome?) -> String { outcome?.description ?? "not steered" }
            let condition = Condition(source: source, interface: interface)
            return "\(protocols) \(prefix) \(ports)\(condition): \(text(before)) -> \(text(after))"
        }
    }
}

extension Policy {
    /// Compares this policy with the one that it would replace.
    ///
    /// - Parameter former: The policy to be replaced.
    /// - Returns: The differences from `former` to this policy.
    /// - Throws: `conflictingBindings` if either policy has a conflict.
    public func difference(from former: Policy) throws(SteeringError) -> PolicyDifference {
        var difference = PolicyDifference()
        for label in Set(options.keys).union(former.options.keys) where self[label] != former[label] {
            difference.changedOptions[label] = .init(before: former[label], after: self[label])
        }
        (difference.added, difference.removed) = records.changes(from: former.records)
        difference.handovers = try Handovers(from: former.records, to: records).list
        return difference
    }
}

extension NumberedTable {
    /// Returns the values of both tables, and the index among them of each value of this table and of the other one.
    func union(_ other: NumberedTable) -> (values: [Value], own: [UInt32], others: [UInt32]) {
        var values: [Value] = [], own: [UInt32] = [], others: [UInt32] = []
        var (left, right) = (self.values[...], other.values[...])
        while let value = left.first ?? right.first {
            let next = right.first.map { Value.precedes($0, value) ? $0 : value } ?? value
            if left.first == next {
                own.append(UInt32(values.count))
                left.removeFirst()
            }
            if right.first == next {
                others.append(UInt32(values.count))
                right.removeFirst()
            }
            values.append(next)
        }
        return (values, own, others)
    }
}

extension PolicyRecords {
    /// Compares both in one pass, as if they shared their tables.
    fileprivate func changes(from former: PolicyRecords) -> (added: [Binding], removed: [Binding]) {
        let portSets = portSets.union(former.portSets), labels = labels.union(former.labels)
        let conditions = conditions.union(former.conditions)
        let own = renumbered(portSets: portSets.own, labels: labels.own, conditions: conditions.own)
        let others = former.renumbered(
            portSets: portSets.others, labels: labels.others, conditions: conditions.others)
        var added: [Binding] = [], removed: [Binding] = []
        var at = 0
        for (index, record) in own.enumerated() {
            while at < others.count, others[at] < record {
                removed.append(former.binding(former.records[at]))
                at += 1
            }
            if at < others.count, others[at] == record {
                at += 1
            } else {
                added.append(binding(records[index]))
            }
        }
        for record in former.records[at...] { removed.append(former.binding(record)) }
        return (added, removed)
    }
}

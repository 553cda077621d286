/// What a change of policy changes: bindings, options, and the traffic that changes hands.
public struct PolicyDifference: Sendable, Equatable {
    /// Bindings of the new policy only, in natural order.
    public var added: [Binding] = []
    /// Bindings of the former policy only, in natural order.
    public var removed: [Binding] = []
    /// Labels whose options differ.
    public var changedOptions: [Label: OptionsChange] = [:]
    /// Traffic whose outcome differs, in natural order of prefixes. Adding or removing bindings that others
    /// outrank gives none.
    public var handovers: [Handover] = []

    /// Whether the policies are equal.
    public var isEmpty: Bool { added.isEmpty && removed.isEmpty && changedOptions.isEmpty }

    /// A label's options under both policies.
    public struct OptionsChange: Sendable, Hashable {
        /// Under the former policy.
        public let before: LabelOptions
        /// Under the new one.
        public let after: LabelOptions
    }

    /// Packets whose outcome differs. Those of one prefix may have several handovers, for different ports, sources
    /// and interfaces.
    public struct Handover: Sendable, Hashable, CustomStringConvertible {
        /// The protocols.
        public let protocols: ProtocolMatch
        /// The destination addresses; without those in a longer prefix that a binding of either policy
        /// names: such a prefix has handovers of its own, or none.
        public let prefix: IPPrefix
        /// The destination ports.
        public let ports: PortSet
        /// Who sends them: of the two bindings that decide, before and after, the longer source; nil when neither
        /// has one. Packets from there for which another binding decides, before or after, are not among these:
        /// they have handovers of their own, or none.
        public let source: IPPrefix?
        /// The interface on which they arrive: of the same two bindings; nil when neither has one.
        public let interface: InterfaceName?
        /// What happened to the packets; nil when they were not steered.
        public let before: Outcome?
        /// What will happen to them; nil when they are not steered any more.
        public let after: Outcome?

        /// `tcp 192.0.2.0/24 80 from 198.51.100.0/24: label web -> not steered`.
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
    /// - Throws: `conflictingBindings`, when either has a conflict.
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
    /// The values of both tables, and the numbers among them that each one's have.
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
    /// One pass over both, as if they had one set of tables.
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

/// Packets that have one cell by one chain, and another cell by another chain.
struct ChainDifference: Hashable {
    /// What they satisfy. Not all that do: others satisfy an earlier link of either chain, whose difference, if
    /// any, is one of its own.
    let condition: Condition
    let before: UInt32
    let after: UInt32
}

extension Chains {
    /// How two different cells differ, chains or not; by descending precedence of the conditions.
    ///
    /// A link decides in each chain, or its end does. Packets for which the same two decide satisfy both
    /// conditions; and any two decide for some of those that satisfy both, or for none.
    func differences(from before: UInt32, to after: UInt32) -> [ChainDifference] {
        let old = links(of: before), own = links(of: after)
        let named = (old.links + own.links).map { conditions[Int($0.condition)] }
        if named.isEmpty { return [ChainDifference(condition: .none, before: before, after: after)] }

        // What satisfies two conditions has the source of one, and the interface of one.
        let sources = Set(named.map(\.source) + [nil]), interfaces = Set(named.map(\.interface) + [nil])
        var differences: [ChainDifference] = []
        for condition in sources.flatMap({ source in interfaces.map { Condition(source: source, interface: $0) } }) {
            let (former, first) = decider(for: condition, old), (new, second) = decider(for: condition, own)
            guard former.cell != new.cell, former.condition.intersection(new.condition) == condition else { continue }
            if isCovered(condition, by: old.links[..<first] + own.links[..<second]) { continue }
            differences.append(ChainDifference(condition: condition, before: former.cell, after: new.cell))
        }
        return differences.sorted { $0.condition < $1.condition }
    }

    /// What decides for packets that satisfy a condition, unless an earlier link does; how many are earlier.
    private func decider(
        for condition: Condition, _ chain: (links: [Chain], end: UInt32)
    ) -> ((condition: Condition, cell: UInt32), earlier: Int) {
        for (index, link) in chain.links.enumerated() where conditions[Int(link.condition)].contains(condition) {
            return ((conditions[Int(link.condition)], link.cell), index)
        }
        return ((.none, chain.end), chain.links.count)
    }

    /// Whether some link has each packet that satisfies a condition: its source is made up of theirs.
    private func isCovered(_ condition: Condition, by links: ArraySlice<Chain>) -> Bool {
        let sources = links.compactMap { link -> IPPrefix? in
            let other = conditions[Int(link.condition)]
            guard other.interface == nil || other.interface == condition.interface else { return nil }
            return condition.source.map { $0.contains(other.source!) } ?? true ? other.source : nil
        }
        guard let first = sources.first else { return false }
        return PrefixPool(sources).contains(condition.source ?? IPPrefix(masking: first.address, length: 0))
    }
}

/// Packets that go to one cell by one chain, and to a different cell by another chain.
struct ChainDifference: Hashable {
    /// The condition that these packets satisfy.
    ///
    /// Packets that also satisfy an earlier link of either chain are not included: their difference, if any, is
    /// separate.
    let condition: Condition
    let before: UInt32
    let after: UInt32
}

extension Chains {
    /// Returns how two different cells differ, chains or not, by descending precedence of the conditions.
    ///
    /// In each chain a link, or the end, decides. Packets for which a given pair decides satisfy both conditions. The
    /// pair decides for some of the packets that satisfy both, or for none if earlier links cover them.
    func differences(from before: UInt32, to after: UInt32) -> [ChainDifference] {
        let old = links(of: before), own = links(of: after)
        let named = (old.links + own.links).map { conditions[Int($0.condition)] }
        if named.isEmpty { return [ChainDifference(condition: .none, before: before, after: after)] }

        // The intersection of two conditions has the source of one and the interface of one.
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

    /// Returns the link or end that decides for packets that satisfy a condition and no earlier link, and the number of
    /// earlier links.
    private func decider(
        for condition: Condition, _ chain: (links: [Chain], end: UInt32)
    ) -> ((condition: Condition, cell: UInt32), earlier: Int) {
        for (index, link) in chain.links.enumerated() where conditions[Int(link.condition)].contains(condition) {
            return ((conditions[Int(link.condition)], link.cell), index)
        }
        return ((.none, chain.end), chain.links.count)
    }

    /// Returns whether each packet that satisfies a condition satisfies some link: the links' sources cover the
    /// condition's.
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

extension PolicyRecords {
    /// Throws `conflictingBindings` if two bindings of one prefix overlap, have equal precedence and differ in outcome.
    ///
    /// At equal precedence only equal conditions can overlap, since sources of equal length are equal or disjoint, and
    /// so are interfaces. So each precedence and condition gets its own sweep over the port ranges. The sweep remembers
    /// two earlier ranges: the one that reaches furthest, and the one that reaches furthest among those of any other
    /// outcome. A range that overlaps an earlier range of another outcome overlaps one of these two.
    func refuseConflict(in group: Range<Int>) throws(SteeringError) {
        guard group.count > 1 else { return }
        for transport in TransportProtocol.allCases {
            var claims: [Claim] = []
            for index in group where records[index].matches(transport) {
                let record = records[index]
                for range in portSets.values[record.portSet].ranges {
                    claims.append(
                        Claim(
                            place: Claim.Place(rank: record.rank, condition: record.condition), range: range,
                            outcome: record.outcome, index: index))
                }
            }
            claims.sort { $0.place == $1.place ? $0.range < $1.range : $0.place < $1.place }
            try refuseConflict(sweeping: claims)
        }
    }

    private func refuseConflict(sweeping claims: [Claim]) throws(SteeringError) {
        guard var furthest = claims.first else { return }
        var furthestOther: Claim?
        for next in claims.dropFirst() {
            if next.place != furthest.place {
                furthest = next
                furthestOther = nil
                continue
            }
            let rival = next.outcome == furthest.outcome ? furthestOther : furthest
            if let rival, rival.range.upper >= next.range.lower {
                throw .conflict(binding(records[rival.index]), binding(records[next.index]))
            }
            if next.range.upper >= furthest.range.upper {
                if next.outcome != furthest.outcome { furthestOther = furthest }
                furthest = next
            } else if next.outcome != furthest.outcome,
                furthestOther.map({ next.range.upper >= $0.range.upper }) ?? true
            {
                furthestOther = next
            }
        }
    }
}

/// A port range of a binding.
private struct Claim {
    struct Place: Comparable {
        let rank: UInt64
        let condition: UInt32

        static func < (left: Place, right: Place) -> Bool {
            left.rank == right.rank ? left.condition < right.condition : left.rank < right.rank
        }
    }

    let place: Place
    let range: PortRange
    let outcome: UInt32
    let index: Int
}

extension PolicyRecords {
    /// Throws when two of the bindings of one prefix have equal precedence, overlap, and differ in outcome.
    ///
    /// Of equal precedence only equal conditions overlap: sources of one length are equal or have nothing in
    /// common, and so are interfaces. A sweep over the port ranges of each precedence and condition in turn. It remembers the range that reaches
    /// furthest and the one that does among those of another outcome: whoever overlaps any earlier range
    /// of another outcome overlaps one of these two.
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

/// A range of ports that a binding claims.
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

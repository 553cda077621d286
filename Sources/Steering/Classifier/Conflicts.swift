extension PolicyRecords {
    /// Throws when two of the bindings of one prefix have equal precedence, overlap, and differ in outcome.
    ///
    /// A sweep over the port ranges of each precedence in turn. It remembers the range that reaches
    /// furthest and the one that does among those of another outcome: whoever overlaps any earlier range
    /// of another outcome overlaps one of these two.
    func refuseConflict(in group: Range<Int>) throws(SteeringError) {
        guard group.count > 1 else { return }
        for transport in TransportProtocol.allCases {
            var claims: [Claim] = []
            for index in group where records[index].matches(transport) {
                let record = records[index]
                for range in portSets.values[record.portSet].ranges {
                    claims.append(Claim(rank: record.rank, range: range, outcome: record.outcome, index: index))
                }
            }
            claims.sort { $0.rank == $1.rank ? $0.range < $1.range : $0.rank < $1.rank }
            try refuseConflict(sweeping: claims)
        }
    }

    private func refuseConflict(sweeping claims: [Claim]) throws(SteeringError) {
        guard var furthest = claims.first else { return }
        var furthestOther: Claim?
        for next in claims.dropFirst() {
            if next.rank != furthest.rank {
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
    let rank: UInt64
    let range: PortRange
    let outcome: UInt32
    let index: Int
}

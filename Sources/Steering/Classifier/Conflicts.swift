/// Throws when two bindings of one prefix have equal precedence, overlap, and differ in outcome.
///
/// A sweep over the port ranges of each precedence in turn. It remembers the range that reaches
/// furthest and the one that does among those of another outcome: whoever overlaps any earlier range
/// of another outcome overlaps one of these two.
func refuseConflict(in group: ArraySlice<Binding>) throws(SteeringError) {
    guard group.count > 1 else { return }
    for transport in TransportProtocol.allCases {
        var claims: [Claim] = []
        for binding in group where binding.protocols.contains(transport) {
            let precedence = binding.precedence
            for range in binding.ports.ranges { claims.append(Claim(precedence, range, binding)) }
        }
        claims.sort { ($0.precedence, $0.range) < ($1.precedence, $1.range) }
        for level in claims.runs(by: \Claim.precedence) { try refuseConflict(sweeping: level) }
    }
}

/// A range of ports that a binding claims.
private struct Claim {
    let precedence: Precedence
    let range: PortRange
    let binding: Binding

    init(_ precedence: Precedence, _ range: PortRange, _ binding: Binding) {
        self.precedence = precedence
        self.range = range
        self.binding = binding
    }
}

private func refuseConflict(sweeping level: ArraySlice<Claim>) throws(SteeringError) {
    guard var furthest = level.first else { return }
    var furthestOther: Claim?
    for next in level.dropFirst() {
        let rival = next.binding.outcome == furthest.binding.outcome ? furthestOther : furthest
        if let rival, rival.range.upper >= next.range.lower {
            throw .conflict(rival.binding, next.binding)
        }
        if next.range.upper >= furthest.range.upper {
            if next.binding.outcome != furthest.binding.outcome { furthestOther = furthest }
            furthest = next
        } else if next.binding.outcome != furthest.binding.outcome,
            furthestOther.map({ next.range.upper >= $0.range.upper }) ?? true
        {
            furthestOther = next
        }
    }
}

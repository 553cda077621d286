import CSteering

/// What happens on every port, for the addresses of one prefix: the outcome of its own bindings,
/// where they say nothing that of the next shorter prefix, and so on.
struct PortRow: Hashable {
    /// From a port up to the next span's: one cell.
    struct Span: Hashable {
        var start: Int
        var cell: UInt32
    }

    /// For TCP and UDP: spans from port 0 on, neighbours of different cells.
    private(set) var spans: [[Span]]

    /// The row of an address that no prefix covers.
    static let empty = PortRow(spans: [[Span(start: 0, cell: 0)], [Span(start: 0, cell: 0)]])

    /// This row with the bindings of one longer prefix on top.
    func overlaid(with group: ArraySlice<Binding>, cell: (Outcome) -> UInt32) -> PortRow {
        let descending = group.count == 1 ? Array(group) : group.sorted { $0.precedence > $1.precedence }
        return PortRow(
            spans: zip(TransportProtocol.allCases, spans).map { transport, spans in
                let own = descending.filter { $0.protocols.contains(transport) }
                return own.isEmpty ? spans : Self.paint(own, over: spans, cell: cell)
            })
    }

    /// Paints in descending precedence, each port once: `next` leads from a painted piece to the first
    /// unpainted one behind it, so that many nested ranges cost no more than as many disjoint ones.
    private static func paint(_ bindings: [Binding], over spans: [Span], cell: (Outcome) -> UInt32) -> [Span] {
        var starts = spans.map(\.start)
        for binding in bindings {
            for range in binding.ports.ranges {
                starts.append(Int(range.lower))
                if range.upper < UInt16.max { starts.append(Int(range.upper) + 1) }
            }
        }
        starts.sort()
        starts.removeRepeats()

        var cells: [UInt32] = []
        cells.reserveCapacity(starts.count)
        var span = 0
        for start in starts {
            if span + 1 < spans.count, spans[span + 1].start <= start { span += 1 }
            cells.append(spans[span].cell)
        }

        var next = Array(0...starts.count)
        func unpainted(from piece: Int) -> Int {
            var end = piece
            while next[end] != end { end = next[end] }
            var at = piece
            while next[at] != end { (next[at], at) = (end, next[at]) }
            return end
        }
        for binding in bindings {
            let painted = cell(binding.outcome)
            for range in binding.ports.ranges {
                let end = range.upper == UInt16.max ? starts.count : starts.firstIndex(sorted: Int(range.upper) + 1)
                var piece = unpainted(from: starts.firstIndex(sorted: Int(range.lower)))
                while piece < end {
                    cells[piece] = painted
                    next[piece] = piece + 1
                    piece = unpainted(from: piece)
                }
            }
        }
        return zip(starts, cells).reduce(into: []) { merged, piece in
            if merged.last?.cell != piece.1 { merged.append(Span(start: piece.0, cell: piece.1)) }
        }
    }
}

/// The distinct rows of a policy, and which prefix has which.
struct PortRows {
    private(set) var rows: [PortRow] = [.empty]
    /// In the prefixes' natural order, in which a prefix comes before those it contains.
    private(set) var prefixes: [(prefix: IPPrefix, row: Int)] = []

    /// - Throws: `conflictingBindings`.
    init(_ bindings: [Binding], cell: (Outcome) -> UInt32) throws(SteeringError) {
        var numbers: [PortRow: Int] = [.empty: 0]
        var overlays: [[OverlayPart]: Int] = [:]
        var results: [Overlaying: Int] = [:]
        var containers: [(prefix: IPPrefix, row: Int)] = []

        for group in bindings.runs(by: \.prefix) {
            try refuseConflict(in: group)
            let prefix = group[group.startIndex].prefix
            while let last = containers.last, !last.prefix.contains(prefix) { containers.removeLast() }
            let under = containers.last?.row ?? 0

            let parts = group.map { OverlayPart(protocols: $0.protocols, ports: $0.ports, outcome: $0.outcome) }
            let overlay = overlays[parts] ?? overlays.count
            overlays[parts] = overlay

            let overlaying = Overlaying(overlay: overlay, row: under)
            var row = results[overlaying]
            if row == nil {
                let result = rows[under].overlaid(with: group, cell: cell)
                row = numbers[result] ?? rows.count
                if row == rows.count {
                    rows.append(result)
                    numbers[result] = row
                }
                results[overlaying] = row
            }
            prefixes.append((prefix, row!))
            containers.append((prefix, row!))
        }
    }

    /// A binding without its prefix: thousands of prefixes often have the same few.
    private struct OverlayPart: Hashable {
        let protocols: ProtocolMatch
        let ports: PortSet
        let outcome: Outcome
    }

    private struct Overlaying: Hashable {
        let overlay: Int
        let row: Int
    }
}

/// The outcome on every port for the addresses of one prefix.
///
/// On each port, a binding of the prefix itself decides; if there is none, one of the next shorter prefix, and so on.
struct PortRow: Equatable {
    /// One cell from a port up to the start of the next span.
    struct Span: Equatable {
        var start: UInt32
        var cell: UInt32
    }

    /// Spans from port 0 on, adjacent ones with different cells.
    private(set) var tcp: [Span]
    private(set) var udp: [Span]

    /// The row of an address that no prefix contains.
    static let empty = PortRow(tcp: [Span(start: 0, cell: 0)], udp: [Span(start: 0, cell: 0)])

    /// The hash for ``NumberIndex``.
    var hash: UInt64 {
        var hash: UInt64 = 0
        for span in tcp { hash = hash.mixed(with: UInt64(span.start) << 32 | UInt64(span.cell)) }
        for span in udp { hash = hash.mixed(with: UInt64(span.start) << 32 | UInt64(span.cell)) }
        return hash.mixed(with: 1)
    }

    func spans(_ transport: TransportProtocol) -> [Span] { transport == .tcp ? tcp : udp }

    /// The row's cell if it has only one.
    var onlyCell: UInt32? { tcp.count == 1 && tcp == udp ? tcp[0].cell : nil }

    /// The first port behind a span.
    static func end(of index: Int, in spans: [Span]) -> Int {
        index + 1 < spans.count ? Int(spans[index + 1].start) : 65_536
    }

    /// Ports, and the cell to paint them with.
    struct Paint {
        let ranges: [PortRange]
        let cell: UInt32
        let matchesTCP: Bool
        let matchesUDP: Bool
    }

    /// This row with a single binding of a longer prefix on top: the usual case.
    func overlaid(with paint: Paint) -> PortRow {
        let painted = paint.matchesTCP ? Self.paint(paint, over: tcp) : tcp
        if paint.matchesTCP && paint.matchesUDP && tcp == udp { return PortRow(tcp: painted, udp: painted) }
        return PortRow(tcp: painted, udp: paint.matchesUDP ? Self.paint(paint, over: udp) : udp)
    }

    /// This row with the bindings of one longer prefix on top, given in descending precedence.
    func overlaid(with paints: [Paint]) -> PortRow {
        let own = paints.filter(\.matchesTCP)
        let tcp = own.isEmpty ? tcp : Self.paint(own, over: tcp)
        let other = paints.filter(\.matchesUDP)
        return PortRow(tcp: tcp, udp: other.isEmpty ? udp : Self.paint(other, over: udp))
    }

    /// This row with a conditional binding on top, where packets that do not satisfy the condition keep what is below.
    func overlaid(with paint: Paint, if condition: UInt32, _ chains: inout Chains) -> PortRow {
        let tcp = paint.matchesTCP ? Self.paint(paint, over: tcp, if: condition, &chains) : tcp
        if paint.matchesTCP && paint.matchesUDP && self.tcp == udp { return PortRow(tcp: tcp, udp: tcp) }
        return PortRow(tcp: tcp, udp: paint.matchesUDP ? Self.paint(paint, over: udp, if: condition, &chains) : udp)
    }

    /// Replaces all cells, different ones by different ones.
    mutating func replaceCells(_ replacement: (UInt32) -> UInt32) {
        for span in tcp.indices { tcp[span].cell = replacement(tcp[span].cell) }
        for span in udp.indices { udp[span].cell = replacement(udp[span].cell) }
    }

    private static func paint(
        _ paint: Paint, over spans: [Span], if condition: UInt32, _ chains: inout Chains
    ) -> [Span] {
        var merged: [Span] = []
        var ranges = paint.ranges[...]
        for (index, span) in spans.enumerated() {
            let end = end(of: index, in: spans)
            var start = Int(span.start)
            while start < end, let range = ranges.first, Int(range.lower) < end {
                if Int(range.lower) > start {
                    merged.extend(from: start, span.cell)
                    start = Int(range.lower)
                }
                merged.extend(from: start, chains.link(condition, paint.cell, over: span.cell))
                start = Int(range.upper) + 1
                // Otherwise the range continues in the next span.
                if start <= end { ranges.removeFirst() }
            }
            if start < end { merged.extend(from: start, span.cell) }
        }
        return merged
    }

    /// Paints in descending precedence, each port once.
    ///
    /// `next` leads from a painted piece to the first unpainted one behind it (union-find), so many nested ranges cost
    /// no more than as many disjoint ones.
    private static func paint(_ paints: [Paint], over spans: [Span]) -> [Span] {
        var starts = spans.map { Int($0.start) }
        for paint in paints {
            for range in paint.ranges {
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
        for paint in paints {
            for range in paint.ranges {
                let end = range.upper == UInt16.max ? starts.count : starts.firstIndex(sorted: Int(range.upper) + 1)
                var piece = unpainted(from: starts.firstIndex(sorted: Int(range.lower)))
                while piece < end {
                    cells[piece] = paint.cell
                    next[piece] = piece + 1
                    piece = unpainted(from: piece)
                }
            }
        }
        var merged: [Span] = []
        for (start, cell) in zip(starts, cells) { merged.extend(from: start, cell) }
        return merged
    }

    /// Paints a single binding in one pass over spans and ranges.
    private static func paint(_ paint: Paint, over spans: [Span]) -> [Span] {
        var merged: [Span] = []
        merged.reserveCapacity(spans.count + 2 * paint.ranges.count)
        var span = 0
        for range in paint.ranges {
            while span < spans.count, spans[span].start < range.lower {
                merged.extend(from: Int(spans[span].start), spans[span].cell)
                span += 1
            }
            merged.extend(from: Int(range.lower), paint.cell)
            while span < spans.count, spans[span].start <= range.upper { span += 1 }
            // What is below continues behind the range.
            if range.upper < UInt16.max, span == spans.count || spans[span].start > Int(range.upper) + 1 {
                merged.extend(from: Int(range.upper) + 1, spans[span - 1].cell)
            }
        }
        for rest in spans[span...] { merged.extend(from: Int(rest.start), rest.cell) }
        return merged
    }
}

extension [PortRow.Span] {
    /// Starts a span with a cell at a port, or continues the last span if it has that cell.
    fileprivate mutating func extend(from start: Int, _ cell: UInt32) {
        if last?.cell != cell { append(PortRow.Span(start: UInt32(start), cell: cell)) }
    }
}

/// Ports that no row tells apart form a class. Class 0 has those that no row names at all.
///
/// With the classes known, a row is one cell a class, and the outcome of a packet one access to the
/// cross product of row and class ("recursive flow classification", Gupta and McKeown, SIGCOMM 1999).
struct PortClasses {
    /// For TCP and UDP: where each piece begins, and its class.
    let pieces: [[(start: Int, portClass: Int)]]
    /// How many classes there are.
    let count: Int
    /// A row's cells, one for each class.
    let rows: [[UInt32]]

    /// Beyond this many cells the cross product is not worth computing.
    static let limit = 1 << 20

    /// Nil when the cross product is too large.
    init?(_ rows: [PortRow]) {
        let starts = Self.starts(of: rows)
        let pieceCount = starts[0].count + starts[1].count
        guard rows.count * pieceCount <= Self.limit else { return nil }

        // Each row splits the classes that it tells apart.
        var classes = [Int](repeating: 0, count: pieceCount)
        var count = 1
        var cells = [UInt32](repeating: 0, count: pieceCount)
        for row in rows {
            Self.spread(row, over: starts, into: &cells)
            var split: [Pair: Int] = [Pair(portClass: 0, cell: 0): 0]
            for piece in 0..<pieceCount {
                let pair = Pair(portClass: classes[piece], cell: cells[piece])
                let portClass = split[pair] ?? split.count
                split[pair] = portClass
                classes[piece] = portClass
            }
            count = split.count
        }

        guard count <= 1 << 16 else { return nil }
        self.count = count
        self.rows = rows.map { row in
            Self.spread(row, over: starts, into: &cells)
            var byClass = [UInt32](repeating: 0, count: count)
            for piece in 0..<pieceCount { byClass[classes[piece]] = cells[piece] }
            return byClass
        }
        pieces = [
            zip(starts[0], classes).map { ($0, $1) },
            zip(starts[1], classes.dropFirst(starts[0].count)).map { ($0, $1) },
        ]
    }

    private struct Pair: Hashable {
        let portClass: Int
        let cell: UInt32
    }

    /// For each protocol: every port at which some row's outcome changes.
    static func starts(of rows: [PortRow]) -> [[Int]] {
        (0...1).map { transport in
            var starts = rows.flatMap { $0.spans[transport].map(\.start) }
            starts.sort()
            starts.removeRepeats()
            return starts
        }
    }

    private static func spread(_ row: PortRow, over starts: [[Int]], into cells: inout [UInt32]) {
        var piece = 0
        for (spans, starts) in zip(row.spans, starts) {
            var span = 0
            for start in starts {
                if span + 1 < spans.count, spans[span + 1].start <= start { span += 1 }
                cells[piece] = spans[span].cell
                piece += 1
            }
        }
    }
}

/// The classes of ports: ports in one class have the same cell in every row.
///
/// Class 0 contains the ports that are bound in no row. Given the classes, a row is one cell for each class, and
/// finding the outcome of a packet takes one access to the cross product of rows and classes ("recursive flow
/// classification", Gupta and McKeown, SIGCOMM 1999).
struct PortClasses {
    /// For TCP, then UDP: the first port and the class of each piece, a run of ports that no row tells apart.
    let pieces: [[(start: Int, portClass: Int)]]
    /// The number of classes.
    private(set) var count = 1
    /// The cells of all rows, one for each class.
    private var cells: [UInt32] = []

    /// The number of cells beyond which the cross product is not worth computing.
    static let limit = 1 << 20

    /// Fails if the cross product is too large.
    init?(_ rows: [PortRow]) {
        // There are at least two pieces, one for each protocol.
        guard rows.count * 2 <= Self.limit else { return nil }
        let starts = TransportProtocol.allCases.map { Self.starts(of: rows, $0) }
        let pieceCount = starts[0].count + starts[1].count
        guard rows.count * pieceCount <= Self.limit else { return nil }

        // The cells of all rows, one for each piece.
        var spread: [UInt32] = []
        spread.reserveCapacity(rows.count * pieceCount)
        var classes = [Int](repeating: 0, count: pieceCount)
        for row in rows {
            Self.spread(row, over: starts, onto: &spread)
            count = Self.split(&classes, count, by: spread[(spread.count - pieceCount)...])
        }
        guard count <= 1 << 16 else { return nil }

        // All pieces of a class have the same cells. Class 0 may have no piece.
        var pieceOfClass = [Int?](repeating: nil, count: count)
        for (piece, portClass) in classes.enumerated() { pieceOfClass[portClass] = piece }
        cells.reserveCapacity(rows.count * count)
        for first in stride(from: 0, to: spread.count, by: pieceCount) {
            for piece in pieceOfClass { cells.append(piece.map { spread[first + $0] } ?? 0) }
        }
        pieces = [
            zip(starts[0], classes).map { ($0, $1) },
            zip(starts[1], classes.dropFirst(starts[0].count)).map { ($0, $1) },
        ]
    }

    /// Adds a row, or returns false if it tells apart ports of one class.
    mutating func append(_ row: PortRow) -> Bool {
        var cellOfClass = [UInt32?](repeating: nil, count: count)
        cellOfClass[0] = 0
        for (transport, pieces) in zip(TransportProtocol.allCases, pieces) {
            var spans = row.spans(transport)[...], cell: UInt32 = 0
            for piece in pieces {
                if let next = spans.first, next.start <= piece.start {
                    guard next.start == piece.start else { return false }
                    cell = next.cell
                    spans.removeFirst()
                }
                guard (cellOfClass[piece.portClass] ?? cell) == cell else { return false }
                cellOfClass[piece.portClass] = cell
            }
            guard spans.isEmpty else { return false }
        }
        cells += cellOfClass.map { $0 ?? 0 }
        return true
    }

    /// The cells of a row, one for each class.
    func cells(ofRow row: Int) -> ArraySlice<UInt32> { cells[row * count..<(row + 1) * count] }

    private struct Pair: Hashable {
        let portClass: Int
        let cell: UInt32
    }

    /// Splits the classes whose ports a row tells apart, and returns the new number of classes; most rows split none.
    private static func split(_ classes: inout [Int], _ count: Int, by cells: ArraySlice<UInt32>) -> Int {
        var cellOfClass = [UInt32?](repeating: nil, count: count)
        cellOfClass[0] = 0
        var isSplit = false
        for (portClass, cell) in zip(classes, cells) {
            if let known = cellOfClass[portClass], known != cell {
                isSplit = true
                break
            }
            cellOfClass[portClass] = cell
        }
        guard isSplit else { return count }

        var split: [Pair: Int] = [Pair(portClass: 0, cell: 0): 0]
        for piece in classes.indices {
            let pair = Pair(portClass: classes[piece], cell: cells[cells.startIndex + piece])
            let portClass = split[pair] ?? split.count
            split[pair] = portClass
            classes[piece] = portClass
        }
        return split.count
    }

    /// Returns every port at which the cell of some row changes.
    private static func starts(of rows: [PortRow], _ transport: TransportProtocol) -> [Int] {
        var isStart = [UInt64](repeating: 0, count: 1024)
        for row in rows {
            for span in row.spans(transport) { isStart[Int(span.start >> 6)] |= 1 << UInt64(span.start & 63) }
        }
        var starts: [Int] = []
        for (index, word) in isStart.enumerated() where word != 0 {
            for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 { starts.append(index << 6 | bit) }
        }
        return starts
    }

    private static func spread(_ row: PortRow, over starts: [[Int]], onto cells: inout [UInt32]) {
        for (transport, starts) in zip(TransportProtocol.allCases, starts) {
            let spans = row.spans(transport)
            var span = 0
            for start in starts {
                if span + 1 < spans.count, spans[span + 1].start <= start { span += 1 }
                cells.append(spans[span].cell)
            }
        }
    }
}

import CSteering

/// A link of a chain: packets that satisfy the condition go to the cell, all others to the rest of the chain.
struct Chain: Equatable, Sendable {
    /// The condition's number in the table of conditions.
    let condition: UInt32
    /// The cell of packets that satisfy the condition; never a chain itself.
    let cell: UInt32
    /// The rest of the chain: the cell of the next link, or the cell that ends the chain; 0 where no binding matches.
    let otherwise: UInt32
    /// The number of links from this one to the end.
    let length: Int

    /// Returns the number of the chain that a cell refers to; nil for any other cell.
    static func number(of cell: UInt32) -> Int? {
        cell >> UInt32(STEERING_CELL_SHIFT) == UInt32(STEERING_BY_SOURCE) ? Int(cell & UInt32(STEERING_CELL_MASK)) : nil
    }
}

/// The distinct chains of a policy.
///
/// Equal chains are stored once, so chains share equal ends, and two cells are equal exactly if their chains are.
struct Chains {
    let conditions: [Condition]
    /// The chains, each after its own rest.
    private(set) var list: [Chain] = []
    /// Whether links that do not change the outcome are kept.
    private let keepsNeedless: Bool
    private var index = NumberIndex()

    /// The number of chains beyond which they do not fit into the tables.
    static let limit = TableWriter.limit

    var isFull: Bool { list.count > Self.limit }

    /// - Parameters:
    ///   - conditions: The conditions, by number.
    ///   - keepsNeedless: True for callers that need to know which condition decides, and not only the outcome.
    init(_ conditions: [Condition], keepsNeedless: Bool = false) {
        self.conditions = conditions
        self.keepsNeedless = keepsNeedless
    }

    /// Puts a conditional cell on top of an existing one and returns the resulting cell.
    mutating func link(_ condition: UInt32, _ cell: UInt32, over below: UInt32) -> UInt32 {
        let rest = remainder(of: below, without: conditions[Int(condition)])
        if !keepsNeedless, isNeedless(condition, cell, over: rest) { return rest }
        let chain = Chain(
            condition: condition, cell: cell, otherwise: rest,
            length: 1 + (Chain.number(of: rest).map { list[$0].length } ?? 0))
        let hash = UInt64(condition).mixed(with: UInt64(cell) << 32 | UInt64(rest))
        let number = index.place(hash: hash, next: list.count) { list[$0] == chain }
        if number == list.count { list.append(chain) }
        return Steering.cell(kind: STEERING_BY_SOURCE, UInt32(number))
    }

    /// Returns the rest of a chain for packets that do not satisfy a condition, without the links that this makes
    /// unreachable.
    private mutating func remainder(of cell: UInt32, without condition: Condition) -> UInt32 {
        // Links after the last unreachable one stay shared.
        var links: [Chain] = []
        var end = 0, last = cell, after = cell
        while let number = Chain.number(of: last) {
            let link = list[number]
            last = link.otherwise
            if condition.contains(conditions[Int(link.condition)]) {
                (end, after) = (links.count, last)
            } else {
                links.append(link)
            }
        }
        for link in links[..<end].reversed() { after = self.link(link.condition, link.cell, over: after) }
        return after
    }

    /// Returns whether packets that satisfy a condition go to the cell anyway.
    private func isNeedless(_ number: UInt32, _ cell: UInt32, over rest: UInt32) -> Bool {
        let condition = conditions[Int(number)]
        var rest = rest
        while let next = Chain.number(of: rest) {
            let link = list[next], other = conditions[Int(link.condition)]
            if condition.intersection(other) != nil {
                if link.cell != cell { return false }
                if other.contains(condition) { return true }
            }
            rest = link.otherwise
        }
        return rest == cell
    }

    /// Returns the links of the chain that a cell refers to, and the cell that ends it.
    func links(of cell: UInt32) -> (links: [Chain], end: UInt32) {
        var links: [Chain] = []
        var end = cell
        while let number = Chain.number(of: end) {
            links.append(list[number])
            end = list[number].otherwise
        }
        return (links, end)
    }

    /// Removes chains that no row uses, and renumbers the cells of the rows.
    mutating func keepOnly(namedBy rows: inout [PortRow]) {
        guard !list.isEmpty else { return }
        var isNamed = [Bool](repeating: false, count: list.count)
        for row in rows {
            for transport in TransportProtocol.allCases {
                for span in row.spans(transport) {
                    // The chains behind a used one are marked already.
                    var cell = span.cell
                    while let number = Chain.number(of: cell), !isNamed[number] {
                        isNamed[number] = true
                        cell = list[number].otherwise
                    }
                }
            }
        }
        var kept: [Chain] = []
        var numbers = [UInt32](repeating: 0, count: list.count)
        func renumbered(_ cell: UInt32) -> UInt32 {
            Chain.number(of: cell).map { Steering.cell(kind: STEERING_BY_SOURCE, numbers[$0]) } ?? cell
        }
        for (number, chain) in list.enumerated() where isNamed[number] {
            numbers[number] = UInt32(kept.count)
            kept.append(
                Chain(
                    condition: chain.condition, cell: chain.cell, otherwise: renumbered(chain.otherwise),
                    length: chain.length))
        }
        for row in rows.indices { rows[row].replaceCells(renumbered) }
        list = kept
        index = NumberIndex()
    }
}

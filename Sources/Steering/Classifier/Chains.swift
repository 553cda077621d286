import CSteering

/// A link of a chain: packets that satisfy the condition have the cell, all others what follows.
struct Chain: Equatable, Sendable {
    /// A number in the table of conditions.
    let condition: UInt32
    /// Not a chain.
    let cell: UInt32
    /// A cell: the next link's, or the one that ends the chain; 0 where the packet is not ours.
    let otherwise: UInt32
    /// How many links there are, this one and those that follow.
    let length: Int

    /// The number of the chain that a cell stands for; nil for every other cell.
    static func number(of cell: UInt32) -> Int? {
        cell >> UInt32(STEERING_CELL_SHIFT) == UInt32(STEERING_BY_SOURCE) ? Int(cell & UInt32(STEERING_CELL_MASK)) : nil
    }
}

/// The distinct chains of a policy. Equal ones are kept once, so chains that end alike share their ends, and two
/// cells are equal exactly when their chains are.
struct Chains {
    let conditions: [Condition]
    /// A chain comes after those that it continues with.
    private(set) var list: [Chain] = []
    /// Whether a link stays that leads to what would happen without it.
    private let keepsNeedless: Bool
    private var index = NumberIndex()

    /// More do not fit into the tables.
    static let limit = TableWriter.limit

    var isFull: Bool { list.count > Self.limit }

    /// - Parameters:
    ///   - conditions: By their numbers.
    ///   - keepsNeedless: For who asks which condition decides, not only what happens.
    init(_ conditions: [Condition], keepsNeedless: Bool = false) {
        self.conditions = conditions
        self.keepsNeedless = keepsNeedless
    }

    /// Paints a conditional cell over what is there: the cell to have instead.
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

    /// What is left of a chain for packets that do not satisfy a condition: links that ask for more than that
    /// are dead.
    private mutating func remainder(of cell: UInt32, without condition: Condition) -> UInt32 {
        // From the last dead link on all stays as it is.
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

    /// Whether packets that satisfy a condition have the cell already.
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

    /// The links of the chain that a cell stands for, and the cell that ends it.
    func links(of cell: UInt32) -> (links: [Chain], end: UInt32) {
        var links: [Chain] = []
        var end = cell
        while let number = Chain.number(of: end) {
            links.append(list[number])
            end = list[number].otherwise
        }
        return (links, end)
    }

    /// Keeps those that rows name, and renumbers the rows' cells.
    mutating func keepOnly(namedBy rows: inout [PortRow]) {
        guard !list.isEmpty else { return }
        var isNamed = [Bool](repeating: false, count: list.count)
        for row in rows {
            for transport in TransportProtocol.allCases {
                for span in row.spans(transport) {
                    // Behind one that is marked all are.
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

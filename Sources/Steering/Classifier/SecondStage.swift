import CSteering

/// Compiles chains into tries over the source address and over the interface index.
///
/// The program walks them for packets whose cell is a chain. The longest source prefix of a chain that contains the
/// packet's source determines which links the packet can satisfy, so each such prefix gets a combination of these
/// links. However long the chain is, a packet walks at most one trie over the source (for IPv6, one over each half) and
/// one over the interface.
struct SecondStage {
    private let chains: Chains
    private let interfaceIndices: [InterfaceName: UInt32]
    private let family: IPFamily
    private var leaves: [UInt32: UInt32] = [:]
    private var interfaceLeaves: [[Choice]: UInt32] = [:]

    /// A cell for packets from an interface, or from any if the interface is nil.
    private struct Choice: Hashable {
        /// The index of its link in the chain.
        let rank: Int
        let interface: InterfaceName?
        let cell: UInt32
    }

    init(_ chains: Chains, _ interfaceIndices: [InterfaceName: UInt32], _ family: IPFamily) {
        self.chains = chains
        self.interfaceIndices = interfaceIndices
        self.family = family
    }

    /// Returns the leaf for a cell in the family's tables.
    ///
    /// Cells of labels differ by family, since destinations do. Chains must have been compiled before.
    func leaf(_ cell: UInt32) -> UInt32 {
        if Chain.number(of: cell) != nil { return leaves[cell]! }
        let isLabel = cell >> UInt32(STEERING_CELL_SHIFT) >= UInt32(STEERING_FIRST_LABEL)
        return isLabel && family == .ipv6 ? cell + UInt32(STEERING_IPV6) : cell
    }

    /// Compiles the chains of a row.
    mutating func compile(_ row: PortRow, _ writer: inout TableWriter) {
        guard !chains.list.isEmpty else { return }
        for transport in TransportProtocol.allCases {
            for span in row.spans(transport) where Chain.number(of: span.cell) != nil && leaves[span.cell] == nil {
                leaves[span.cell] = compile(span.cell, &writer)
            }
        }
    }

    private mutating func compile(_ chain: UInt32, _ writer: inout TableWriter) -> UInt32 {
        let (links, end) = chains.links(of: chain)
        var anywhere: [Choice] = []
        var choices: [IPPrefix: [Choice]] = [:]
        for (rank, link) in links.enumerated() {
            let condition = chains.conditions[Int(link.condition)]
            let choice = Choice(rank: rank, interface: condition.interface, cell: link.cell)
            if let source = condition.source {
                choices[source, default: []].append(choice)
            } else {
                anywhere.append(choice)
            }
        }
        anywhere.append(Choice(rank: links.count, interface: nil, cell: end))
        let inherited = leaf(for: anywhere, &writer)
        guard !choices.isEmpty else { return inherited }

        // From shorter prefixes to longer ones, each with the choices of the prefixes that contain it.
        var prefixes: [Trie.NamedPrefix] = [], leaves: [UInt32] = []
        var containers: [(source: IPPrefix, choices: [Choice])] = []
        for (source, own) in choices.sorted(by: { $0.key < $1.key }) {
            while let last = containers.last, !last.source.contains(source) { containers.removeLast() }
            let all = ((containers.last?.choices ?? anywhere) + own).sorted { $0.rank < $1.rank }
            containers.append((source, all))
            prefixes.append(
                Trie.NamedPrefix(
                    key: source.address.leadingBits, family: family, length: UInt8(source.length),
                    row: UInt32(leaves.count)))
            leaves.append(leaf(for: all, &writer))
        }
        let trie = Trie(prefixes: prefixes, leaves: leaves)
        return cell(kind: STEERING_BY_SOURCE, trie.write(prefixes.indices, inherited: inherited, &writer))
    }

    /// Returns the leaf for packets to which these choices apply; the first one with the packet's interface, or with
    /// none, decides.
    private mutating func leaf(for choices: [Choice], _ writer: inout TableWriter) -> UInt32 {
        let end = choices.firstIndex { $0.interface == nil }!
        if end == 0 { return leaf(choices[0].cell) }
        let choices = choices[...end].map { Choice(rank: 0, interface: $0.interface, cell: $0.cell) }
        if let known = interfaceLeaves[choices] { return known }

        var cells: [UInt32: UInt32] = [:]
        for choice in choices.dropLast() {
            // No packet arrives on an interface that does not exist.
            guard let index = interfaceIndices[choice.interface!] else { continue }
            if cells[index] == nil { cells[index] = leaf(choice.cell) }
        }
        if cells.isEmpty { return leaf(choices.last!.cell) }
        let sorted = cells.sorted { $0.key < $1.key }
        let prefixes = sorted.enumerated().map { number, entry in
            Trie.NamedPrefix(key: UInt128(entry.key) << 96, family: .ipv4, length: 32, row: UInt32(number))
        }
        let trie = Trie(prefixes: prefixes, leaves: sorted.map(\.value))
        let compiled = cell(
            kind: STEERING_BY_INTERFACE,
            trie.write(prefixes.indices, inherited: leaf(choices.last!.cell), &writer))
        interfaceLeaves[choices] = compiled
        return compiled
    }
}

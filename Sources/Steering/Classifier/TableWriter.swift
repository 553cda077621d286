import CSteering

/// Appends nodes and rows to the fixed tables of `steering_abi.h`.
struct TableWriter {
    /// The tables in words of 8 bytes.
    var words: [UInt64]
    /// Whether there was no room for a write; it and later ones are lost.
    private(set) var isFull = false
    private(set) var nodes = 0
    private var shared = NumberIndex()
    private var sharedNodes: [Node] = []

    static let limit = TableSize.allCases.last!.bytes / 8

    init() {
        words = [UInt64](repeating: 0, count: Int(STEERING_NODES_AT) / 8)
        // Growing would copy the words. Reserved memory that is never touched costs nothing.
        words.reserveCapacity(TableSize.allCases[0].bytes / 8)
    }

    /// A node that consumes `bits` bits of the key, placed before the nodes below it.
    struct Node {
        /// The index of the word for keys that an entry does not fit.
        fileprivate let place: Int
        let bits: Int

        var entries: Range<Int> { place + 1..<place + 1 + 1 << bits }
        var word: UInt32 { UInt32(place) << UInt32(STEERING_NODE_SHIFT) | UInt32(64 - bits) }
    }

    /// Appends a node whose entries are all one leaf; nil if there is no room.
    mutating func node(bits: Int, otherwise leaf: UInt32) -> Node? {
        let node = Node(place: words.count, bits: bits)
        guard hasRoom(node.entries.upperBound) else { return nil }
        nodes += 1
        words.append(UInt64(leaf))
        words.append(contentsOf: repeatElement(TrieEntry(leaf).bits, count: 1 << bits))
        return node
    }

    /// Returns the word that refers to a complete node.
    ///
    /// If all of its entries are one leaf, the node is removed and that leaf returned.
    mutating func finish(_ node: Node) -> UInt32 {
        let first = TrieEntry(bits: words[node.place + 1])
        if first.isNode || first.skips { return node.word }
        for place in node.entries where words[place] != first.bits { return node.word }
        remove(node)
        return first.word
    }

    /// As ``finish(_:)``, but returns an existing node if it is equal, and removes this one.
    ///
    /// The nodes below it are shared too, so it is the last thing written.
    mutating func share(_ node: Node) -> UInt32 {
        let word = finish(node)
        guard word == node.word else { return word }
        // No slices: one that is alive would force a copy of the words when they change.
        var hash = UInt64(node.bits)
        for place in node.place..<node.entries.upperBound { hash = hash.mixed(with: words[place]) }
        let number = shared.place(hash: hash, next: sharedNodes.count) { [words, sharedNodes] in
            Self.areEqual(sharedNodes[$0], node, words)
        }
        if number == sharedNodes.count {
            sharedNodes.append(node)
        } else if node.entries.upperBound == words.count {
            remove(node)
        }
        return sharedNodes[number].word
    }

    private static func areEqual(_ one: Node, _ other: Node, _ words: [UInt64]) -> Bool {
        guard one.bits == other.bits else { return false }
        for index in 0...1 << one.bits where words[one.place + index] != words[other.place + index] { return false }
        return true
    }

    private mutating func remove(_ node: Node) {
        words.removeLast(words.count - node.place)
        nodes -= 1
    }

    /// Appends a trie, which is an entry and the leaf for keys that it does not fit, and returns its number.
    mutating func trie(_ entry: TrieEntry, otherwise leaf: UInt32) -> UInt32 {
        guard hasRoom(words.count + 2) else { return 0 }
        words.append(UInt64(leaf))
        words.append(entry.bits)
        return UInt32(words.count - 2)
    }

    /// Appends a row and returns its number.
    mutating func row(_ cells: some Collection<UInt32>) -> UInt32 {
        let place = words.count
        guard hasRoom(place + (cells.count + 1) / 2) else { return 0 }
        var low: UInt32?
        for cell in cells {
            if let first = low {
                words.append(UInt64(cell) << 32 | UInt64(first))
                low = nil
            } else {
                low = cell
            }
        }
        if let low { words.append(UInt64(low)) }
        return UInt32(place * 2)
    }

    /// Sets the class of a port.
    mutating func set(port: Int, of transport: Int, class portClass: Int) {
        let at = Int(STEERING_PORTS_AT) / 2 + (transport << 16 | port)
        words[at / 4] |= UInt64(portClass) << UInt64(at % 4 * 16)
    }

    /// Sets the 32-bit value at a byte offset.
    mutating func set(_ value: UInt32, at byte: Int) {
        let shift = UInt64(byte % 8 * 8)
        words[byte / 8] = words[byte / 8] & ~(UInt64(UInt32.max) << shift) | UInt64(value) << shift
    }

    func leaf(at byte: Int) -> UInt32 { UInt32(truncatingIfNeeded: words[byte / 8] >> UInt64(byte % 8 * 8)) }

    private mutating func hasRoom(_ end: Int) -> Bool {
        if end > Self.limit { isFull = true }
        return !isFull
    }
}

/// An entry of a node: bits that the key must have and that are skipped, and a word.
struct TrieEntry: Equatable {
    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    /// Creates an entry.
    ///
    /// - Parameters:
    ///   - word: A leaf, or the word of a node.
    ///   - count: The number of bits to skip, 0 to 26.
    ///   - key: The value of these bits, in the most significant positions.
    init(_ word: UInt32, skipping count: Int = 0, of key: UInt64 = 0) {
        let value = key & ~(UInt64.max >> UInt64(count))
        bits = value | UInt64(63 - count) << UInt64(STEERING_SKIP_SHIFT) | UInt64(word)
    }

    var word: UInt32 { UInt32(truncatingIfNeeded: bits) }
    var isNode: Bool { word != 0 && word & STEERING_LEAF == 0 }
    var skips: Bool { bits >> UInt64(STEERING_SKIP_SHIFT) & 63 != 63 }
}

func cell(kind: Int, _ number: UInt32) -> UInt32 {
    UInt32(kind) << UInt32(STEERING_CELL_SHIFT) | number
}

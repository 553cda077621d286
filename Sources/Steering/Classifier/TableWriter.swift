import CSteering

/// Lays nodes and rows out in the words of the tables: small ones behind the fixed tables of the first
/// page, large ones in further pages of their own. See `steering_abi.h`.
struct TableWriter {
    static let pageWords = Int(STEERING_PAGE_WORDS)

    let isLarge: Bool
    private let base: Int
    private let limit: Int
    private(set) var words: [UInt32] = []
    /// Set when there was no room; what is written after that is lost.
    private(set) var isFull = false

    init(large: Bool) {
        isLarge = large
        base = large ? Self.pageWords : Int(STEERING_NODES_AT)
        limit = large ? Self.pageWords * Int(STEERING_MAX_PAGES - 1) : Self.pageWords - Int(STEERING_NODES_AT)
    }

    /// The entry for a branch that takes `bits` bits: 2^bits entries.
    mutating func branch(_ entries: [UInt32], bits: Int) -> UInt32 {
        node(entries, bits: bits)
    }

    /// The entry for a skip: the next `bits` bits must have a value.
    mutating func skip(_ value: UInt32, bits: Int, then: UInt32, otherwise: UInt32) -> UInt32 {
        node([value, then, otherwise], bits: bits) | UInt32(STEERING_SKIP)
    }

    /// The word at which a row begins.
    mutating func row(_ cells: [UInt32]) -> UInt32 {
        append(cells, at: base + words.count)
    }

    /// A node begins at an odd word, because the lowest bit of its place in an entry is always set; and
    /// it lies in one page.
    private mutating func node(_ entries: [UInt32], bits: Int) -> UInt32 {
        var place = (base + words.count) | 1
        if place % Self.pageWords + entries.count > Self.pageWords {
            place = (place / Self.pageWords + 1) * Self.pageWords + 1
        }
        return append(entries, at: place) << UInt32(STEERING_NODE_SHIFT) | UInt32(64 - bits)
    }

    private mutating func append(_ entries: [UInt32], at place: Int) -> UInt32 {
        guard !isFull, place - base + entries.count <= limit else {
            isFull = true
            return 0
        }
        while base + words.count < place { words.append(0) }
        words.append(contentsOf: entries)
        return UInt32(place)
    }
}

func cell(kind: Int, _ number: UInt32) -> UInt32 {
    UInt32(kind) << UInt32(STEERING_CELL_SHIFT) | number
}

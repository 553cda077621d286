import CSteering

/// Lays nodes and rows out in the words of the tables: small ones behind the fixed tables of the first
/// page, large ones in further pages of their own. See `steering_abi.h`.
struct TableWriter {
    static let pageWords = Int(STEERING_PAGE_WORDS)

    /// All pages so far, by the index that entries name.
    var words: [UInt32]
    /// Set when there was no room; what is written after that is lost.
    private(set) var isFull = false
    private let limit: Int

    init(large: Bool) {
        limit = large ? Self.pageWords * Int(STEERING_MAX_PAGES) : Self.pageWords
        words = [UInt32](repeating: 0, count: large ? Self.pageWords : Int(STEERING_NODES_AT))
        // Memory that is not touched costs nothing; growing copies.
        words.reserveCapacity(large ? 8 * Self.pageWords : Self.pageWords)
    }

    /// A branch that takes `bits` bits, written before what it leads to.
    struct Branch {
        fileprivate let mark: Int
        let place: Int
        let bits: Int

        var places: Range<Int> { place..<place + 1 << bits }
        var entry: UInt32 { TableWriter.entry(at: place, bits: bits) }
    }

    /// Room for the 2^bits entries of a branch, each set to `entry`; nil when there is none.
    mutating func branch(bits: Int, filledWith entry: UInt32) -> Branch? {
        let mark = words.count
        guard let place = makeNode(count: 1 << bits) else { return nil }
        words.append(contentsOf: repeatElement(entry, count: 1 << bits))
        return Branch(mark: mark, place: place, bits: bits)
    }

    /// The branch's entry; or, when all of its own are one cell, that cell, and the branch is not needed.
    mutating func finish(_ branch: Branch) -> UInt32 {
        let first = words[branch.place]
        guard first == 0 || first & STEERING_LEAF != 0, words[branch.places].allSatisfy({ $0 == first }) else {
            return branch.entry
        }
        words.removeSubrange(branch.mark...)
        return first
    }

    /// A branch with known entries; nil when there is no room.
    mutating func branch(_ entries: [UInt32], bits: Int) -> Branch? {
        let mark = words.count
        guard let place = makeNode(count: entries.count) else { return nil }
        words.append(contentsOf: entries)
        return Branch(mark: mark, place: place, bits: bits)
    }

    /// The entry for a skip: the next `bits` bits must have a value.
    mutating func skip(_ value: UInt32, bits: Int, then: UInt32, otherwise: UInt32) -> UInt32 {
        guard let place = makeNode(count: 3) else { return 0 }
        words.append(value)
        words.append(then)
        words.append(otherwise)
        return Self.entry(at: place, bits: bits) | UInt32(STEERING_SKIP)
    }

    /// The word at which a row begins.
    mutating func row(_ cells: ArraySlice<UInt32>) -> UInt32 {
        guard hasRoom(words.count + cells.count) else { return 0 }
        words.append(contentsOf: cells)
        return UInt32(words.count - cells.count)
    }

    /// The first page, and the others: whole ones.
    consuming func pages() -> (first: ArraySlice<UInt32>, further: ArraySlice<UInt32>) {
        let count = (words.count + Self.pageWords - 1) / Self.pageWords * Self.pageWords
        words.append(contentsOf: [UInt32](repeating: 0, count: count - words.count))
        return (words[..<Self.pageWords], words[Self.pageWords...])
    }

    private static func entry(at place: Int, bits: Int) -> UInt32 {
        UInt32(place) << UInt32(STEERING_NODE_SHIFT) | UInt32(64 - bits)
    }

    /// A node begins at an odd word, because the lowest bit of its place in an entry is always set; and
    /// it lies in one page.
    private mutating func makeNode(count: Int) -> Int? {
        var place = words.count | 1
        if place % Self.pageWords + count > Self.pageWords {
            place = (place / Self.pageWords + 1) * Self.pageWords + 1
        }
        guard hasRoom(place + count) else { return nil }
        while words.count < place { words.append(0) }
        return place
    }

    private mutating func hasRoom(_ end: Int) -> Bool {
        if end > limit { isFull = true }
        return !isFull
    }
}

func cell(kind: Int, _ number: UInt32) -> UInt32 {
    UInt32(kind) << UInt32(STEERING_CELL_SHIFT) | number
}

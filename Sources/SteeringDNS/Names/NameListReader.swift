import AddressPools
import Documents

/// Builds the table of names from the lists.
///
/// Names that lie in no zone are counted and left out: no query for them is answered.
struct NameListReader: ~Copyable {
    private(set) var classes = NameClasses()
    private var builder = NameTable.Builder()
    private var keys = NameKeys()
    private let zones: ZoneOrigins
    /// The attributes of lines of a list that were parsed last, and their classes: lines often have the same.
    private var recent = [(text: [UInt8], list: Int, nameClass: NameClass)?](repeating: nil, count: 64)
    /// Called with the bytes read so far and the size of the list, nil if not known.
    private let progress: ((Int, Int?) -> Void)?

    init(zones: ZoneOrigins, progress: ((Int, Int?) -> Void)? = nil) {
        self.zones = zones
        self.progress = progress
    }

    /// Returns the table of all names read so far, and starts a new one.
    mutating func table() throws(ListError) -> NameTable {
        let all = builder
        builder = NameTable.Builder()
        var classes = classes
        let table = try all.table { (one, other) throws(ListError) in try classes.union(one, other) }
        self.classes = classes
        return table
    }

    /// Reads a list from a file, or from standard input for `-`.
    ///
    /// - Returns: How many names the list has, and those of them that lie in no zone.
    mutating func read(list: Int, contentsOf path: String) throws -> NameListSummary {
        // An estimate: 24 bytes per line.
        if let size = NameListStream.size(of: path) { builder.reserve(size / 24) }
        let above = try classes.nameClass(of: .init(listsBelow: [list]))
        var summary = NameListSummary()
        let stream = NameListStream(path, progress: progress)
        try stream.read { name, line, attributes in
            keys.read(name, at: 0)
            let nameClass = try nameClass(of: line, attributes, list)
            summary.names += 1
            guard let zoneDepth = zones.depth(above: keys) else {
                summary.addForeign(name)
                return
            }
            builder.add(keys.last, nameClass)
            var depth = keys.depth - 1
            while depth > zoneDepth, builder.addAncestor(keys[depth], above) { depth -= 1 }
        }
        return summary
    }

    /// Returns the class of a name with the attributes in a range of its line.
    private mutating func nameClass(
        of bytes: Span<UInt8>, _ range: Range<Int>, _ list: Int
    ) throws(ListError) -> NameClass {
        let place = (range.reduce(range.count) { $0 &+ Int(bytes[$1]) }) & (recent.count - 1)
        if let last = recent[place], last.list == list, last.text.count == range.count,
            zip(last.text, range).allSatisfy({ $0 == bytes[$1] })
        {
            return last.nameClass
        }
        var words: Set<String> = []
        var position = range.lowerBound
        while position < range.upperBound, bytes[position] != UInt8(ascii: "#") {
            let start = position
            while position < range.upperBound, bytes[position] != UInt8(ascii: "#"), !bytes[position].isSpace {
                position += 1
            }
            if start == position { position += 1 } else { words.insert(try Self.attribute(bytes, start..<position)) }
        }
        let nameClass = try classes.nameClass(
            of: .init(memberships: [.init(list: list, attributes: words.sorted())]))
        recent[place] = (range.map { bytes[$0] }, list, nameClass)
        return nameClass
    }

    private static func attribute(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(ListError) -> String {
        let word = String(decoding: range.prefix(80).map { bytes[$0] }, as: UTF8.self)
        guard let equals = word.firstIndex(of: "="), equals != word.startIndex, range.count <= 64 else {
            throw ListError(
                message: "\(quoted(word)) is not an attribute: write key=value, at most 64 bytes",
                position: range.lowerBound)
        }
        return word
    }
}

/// How many names a list has.
struct NameListSummary: Sendable {
    var names = 0
    /// The names that lie in no zone, and the first of them.
    private(set) var foreign = 0
    private(set) var firstForeign: DNSName?

    mutating func addForeign(_ name: Span<UInt8>) {
        foreign += 1
        if firstForeign == nil { firstForeign = DNSName(unchecked: (0..<name.count).map { name[$0] }) }
    }
}

/// The origins of zones, to tell quickly which names lie in one.
struct ZoneOrigins {
    private var table = KeyTable<Bool>()

    init(_ origins: [DNSName]) {
        var keys = NameKeys()
        for origin in origins {
            keys.read(origin.wire.span, at: 0)
            table[keys.last] = true
        }
    }

    /// Returns the number of labels of the origin of the zone that a name lies in; nil if it lies in none.
    @inline(__always)
    func depth(above name: borrowing NameKeys) -> Int? {
        var depth = name.depth
        while table[name[depth]] == nil {
            if depth == 0 { return nil }
            depth -= 1
        }
        return depth
    }
}

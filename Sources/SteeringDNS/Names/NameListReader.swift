import AddressPools
import Documents

/// Builds the table of names from the lists.
struct NameListReader: ~Copyable {
    private(set) var classes = NameClasses()
    private var builder = NameTable.Builder()
    private var keys = NameKeys()
    /// The attributes of the previous line that had to be parsed, and their class: adjacent lines often have the same.
    private var lastAttributes: (text: [UInt8], list: Int, nameClass: NameClass)?
    /// Called with the bytes read so far and the size of the list, nil if not known.
    private let progress: ((Int, Int?) -> Void)?

    init(progress: ((Int, Int?) -> Void)? = nil) { self.progress = progress }

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
    mutating func read(list: Int, contentsOf path: String) throws {
        // An estimate: 24 bytes per line.
        if let size = NameListStream.size(of: path) { builder.reserve(size / 24) }
        let stream = NameListStream(path, progress: progress)
        try stream.read { name, line, attributes in
            keys.read(name, at: 0)
            builder.add(keys.last, try nameClass(of: line, attributes, list))
            var depth = keys.depth - 1
            while depth > 0, builder.addAncestor(keys[depth]) { depth -= 1 }
        }
    }

    private mutating func nameClass(
        of bytes: Span<UInt8>, _ range: Range<Int>, _ list: Int
    ) throws(ListError) -> NameClass {
        if let last = lastAttributes, last.list == list, last.text.count == range.count,
            zip(last.text, range).allSatisfy({ $0 == bytes[$1] })
        {
            return last.nameClass
        }
        let text = range.map { bytes[$0] }
        var words: Set<String> = []
        for word in text.split(whereSeparator: \.isSpace) {
            if word.first == UInt8(ascii: "#") { break }
            let word = String(decoding: word, as: UTF8.self)
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex, word.utf8.count <= 64 else {
                throw ListError(message: "\(quoted(word)) is not an attribute: write key=value, at most 64 bytes")
            }
            words.insert(word)
        }
        let nameClass = try classes.nameClass(of: [.init(list: list, attributes: words.sorted())])
        lastAttributes = (text, list, nameClass)
        return nameClass
    }
}
